"""Which frames make a clip."""

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from cmpl_zoo.video.sampling import clip_span, random_clips, uniform_clips

videos = st.integers(1, 300)
lengths = st.integers(1, 16)
strides = st.integers(1, 12)


@given(videos, lengths, st.lists(strides, min_size=1, max_size=2), st.integers(0, 2**31))
def test_random_clips_stay_in_the_video_and_keep_their_stride(num_frames, frames, stride_list, seed):
    torch.manual_seed(seed)
    clips = random_clips(num_frames, frames, stride_list)
    for clip, stride in zip(clips, stride_list, strict=True):
        assert len(clip) == frames
        assert all(0 <= i < num_frames for i in clip)
        assert all((b - a - stride) % num_frames == 0 for a, b in itertools.pairwise(clip))
        if clip_span(frames, stride) <= num_frames:
            assert clip == list(range(clip[0], clip[-1] + 1, stride)), "a clip that fits does not loop"


@given(videos, lengths, strides, strides, st.integers(0, 2**31))
def test_clips_of_two_strides_share_their_centre(num_frames, frames, one, other, seed):
    torch.manual_seed(seed)
    if max(clip_span(frames, one), clip_span(frames, other)) <= num_frames:
        a, b = random_clips(num_frames, frames, [one, other])
        assert abs((a[0] + a[-1]) - (b[0] + b[-1])) <= 1


def test_every_start_that_fits_is_drawn():
    torch.manual_seed(0)
    assert {random_clips(10, 4, [2])[0][0] for _ in range(200)} == {0, 1, 2, 3}


def test_short_video_loops():
    assert uniform_clips(5, frames=8, stride=1, clips=1) == [[0, 1, 2, 3, 4, 0, 1, 2]]
    assert uniform_clips(1, frames=3, stride=8, clips=2) == [[0, 0, 0]] * 2


def test_uniform_clips_reach_from_the_first_to_the_last_frame():
    clips = uniform_clips(100, frames=8, stride=8, clips=10)
    assert clips[0][0] == 0
    assert clips[-1][-1] == 99
    starts = [clip[0] for clip in clips]
    assert starts == sorted(set(starts))
    assert max(b - a for a, b in itertools.pairwise(starts)) <= 5


def test_one_clip_is_the_middle_one():
    assert uniform_clips(100, frames=8, stride=8, clips=1)[0][0] == (100 - 57) // 2
