"""Which frames make a clip."""

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from cmpl_zoo.video.sampling import random_clips, random_spread, uniform_clips, uniform_spread

videos = st.integers(1, 300)
lengths = st.integers(1, 16)
rates = st.sampled_from([12.5, 15, 16, 25, 30000 / 1001, 30, 60])
clocks = st.sampled_from([600, 1000, 90_000])  # of QuickTime, MKV and MPEG, in 1/s
strides = st.integers(1, 12)


def clip_span(frames: int, stride: int) -> int:
    """Frames of the video from the first to the last one of a clip, both included."""
    return (frames - 1) * stride + 1


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
def test_clips_of_two_strides_share_their_center(num_frames, frames, one, other, seed):
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


@given(videos, lengths, strides, st.integers(1, 10), rates, clocks, st.integers(0, 2**31))
def test_by_time_at_the_videos_own_rate_is_as_by_frames(more, frames, stride, clips, fps, clock, seed):
    num_frames = clip_span(frames, stride) + more  # it does not loop, which would add up what the clock rounds off
    times = [round(i * clock / fps) / clock for i in range(num_frames)]
    assert uniform_clips(times, frames, stride / fps, clips) == uniform_clips(num_frames, frames, stride, clips)
    torch.manual_seed(seed)
    by_time = random_clips(times, frames, [stride / fps])
    torch.manual_seed(seed)
    assert by_time == random_clips(num_frames, frames, [stride])


def test_the_frame_at_a_time_is_the_last_that_is_shown_by_then():
    assert uniform_clips([0, 0.1, 0.15, 0.9, 1.0], frames=6, stride=0.2, clips=1) == [[0, 2, 2, 2, 2, 4]]
    assert uniform_clips([0, 1, 2], frames=4, stride=0.5, clips=1) == [[0, 0, 1, 1]]
    assert uniform_clips([i / 30 for i in range(60)], frames=4, stride=2 / 16, clips=1) == [[23, 26, 30, 34]]


def test_a_short_video_loops_by_time_when_its_last_frame_has_been_shown_as_long_as_the_others():
    assert uniform_clips([0, 0.1, 0.2], frames=6, stride=0.1, clips=1) == [[0, 1, 2, 0, 1, 2]]
    assert uniform_clips([0.0], frames=3, stride=0.5, clips=2) == [[0, 0, 0]] * 2


@given(videos, lengths, st.integers(0, 2**31))
def test_spread_frames_are_one_of_each_equal_part(num_frames, frames, seed):
    torch.manual_seed(seed)
    for part, index in enumerate(random_spread(num_frames, frames)):
        assert num_frames * part // frames <= index <= min(num_frames - 1, num_frames * (part + 1) // frames)


def test_every_frame_is_drawn_for_a_spread_clip():
    torch.manual_seed(0)
    assert {index for _ in range(100) for index in random_spread(10, 4)} == set(range(10))


def test_spread_frames_are_the_middles_at_test_and_several_clips_lie_beside_each_other():
    assert uniform_spread(20, frames=4, clips=1) == [[2, 7, 12, 17]]
    assert uniform_spread(20, frames=4, clips=5) == [
        [0, 5, 10, 15],
        [1, 6, 11, 16],
        [2, 7, 12, 17],
        [3, 8, 13, 18],
        [4, 9, 14, 19],
    ]
    assert uniform_spread(3, frames=6, clips=1) == [[0, 0, 1, 1, 2, 2]]
