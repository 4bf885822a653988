"""The pretext task of motion statistics, and the flow that tasks read."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pretext_clips import counted, counting, flowing, inputs, write

from cmpl_zoo.datasets.views import WeakView
from cmpl_zoo.pretext import Motion
from cmpl_zoo.pretext.flow import read_with_flow, seen_together
from cmpl_zoo.pretext.motion_statistics import patterns, statistics
from cmpl_zoo.pretext.task import PretextClip
from cmpl_zoo.tools.flow import flow_video
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.flow import in_pixels, to_the_other_side
from cmpl_zoo.video.video import Video


@pytest.mark.parametrize("eighth", range(8))
def test_motion_counts_directions_clockwise_from_the_right(eighth):
    angle = torch.tensor(eighth * math.pi / 4)
    place = torch.arange(32) - 15.5
    flow = torch.zeros(4, 2, 32, 32)
    flow[:, 1] = 3.0 * (place * angle.cos() + place[:, None] * angle.sin() > 0)  # grows in that direction
    numbers = statistics(flow).tolist()
    assert [numbers[i] for i in (3, 7, 11)] == [eighth + 1] * 3
    assert numbers[:2] == [1, 1]  # nothing moves to the right


def test_motion_statistics_by_hand():
    flow = torch.zeros(4, 2, 64, 64)
    flow[:, 0, :, 40:] = 2  # the right part moves to the right,
    flow[:, 0, 16:32, 40:] = 8  # and some rows of it faster
    flow[2] *= 2
    flow[1, 1, 58:, 26:30] = -7  # something at the lower side moves up
    numbers = statistics(flow).tolist()
    assert numbers[:2] == [4 + 3, 1]  # second row, third column; the movement grows to the right
    assert numbers[2] == 12 + 2
    assert numbers[6] == 4  # the outermost ring
    assert numbers[8] == 4  # above the center and right of it, nearer to the side
    assert numbers[10] == 6  # below the center and left of it, nearer to the lower side
    assert numbers[12:] == [3, 2]
    assert statistics(-flow)[1] == 5
    assert statistics(torch.zeros(4, 2, 64, 64)).tolist() == [1] * 14


def test_motion_patterns():
    squares, rings, triangles = patterns(112)  # the size of the published code, which has these corners
    assert [int(squares[y, x]) for y, x in [(0, 0), (27, 28), (28, 0), (111, 111)]] == [0, 1, 4, 15]
    for ring, (first, last) in enumerate([(42, 70), (28, 84), (14, 98), (0, 112)]):
        assert rings[first, first] == rings[last - 1, 56] == ring
        assert (rings[first:last, first:last] <= ring).all()
    octants = {(10, 5): 0, (5, 10): 1, (5, 100): 2, (10, 106): 3, (60, 5): 4, (106, 50): 5, (106, 60): 6, (60, 106): 7}
    assert all(triangles[place] == number for place, number in octants.items())
    assert [pattern.unique().tolist() for pattern in patterns(30)] == [list(range(n)) for n in (16, 4, 8)]


def test_flow_is_of_the_same_frames_and_is_enlarged(tmp_path):
    clip = flowing(tmp_path / "flow.mkv", np.broadcast_to(np.arange(20)[:, None, None, None], (20, 16, 16, 2)))
    with Video(counting(tmp_path / "a.mkv", 20)) as video:
        frames, flow = read_with_flow(video, clip, [3, 19, 4, 4])
    assert counted(frames.transpose(0, 1)[None]) == [[3, 19, 4, 4]]
    assert flow.shape == frames.shape
    assert in_pixels(flow)[:, :, 0, 0].round().tolist() == [[3, 3], [19, 19], [4, 4], [4, 4]]


def test_flow_of_another_video_is_refused(tmp_path):
    clip = flowing(tmp_path / "flow.mkv", np.zeros((12, 16, 16, 2)))
    with (
        Video(counting(tmp_path / "a.mkv", 20)) as video,
        pytest.raises(VideoError, match=r"flow\.mkv: has 12 frames, and .*a\.mkv has 20: .*again with cmpl-zoo flow"),
    ):
        read_with_flow(video, clip, [3])


def test_flow_shares_the_view_and_is_mirrored_with_it():
    colors = torch.randint(1, 256, (5, 3, 40, 60), dtype=torch.uint8, generator=torch.manual_seed(0))
    mirrored = []
    for seed in range(20):
        torch.manual_seed(seed)
        frames, flow = seen_together(WeakView(32, (34, 40)), colors, colors)  # of the same pixels
        assert flow[:, 1:].equal(frames[:, 1:])
        mirrored.append(flow.equal(to_the_other_side(frames)))
        assert mirrored[-1] or flow.equal(frames)
    assert 4 < sum(mirrored) < 16


@pytest.mark.parametrize(("down", "right", "number"), [(1, 0, 3), (-1, 0, 3), (0, 1, 1), (0, -1, 1)])
def test_motion_of_half_a_video(tmp_path, down, right, number):
    """The right half of the frames moves: where does its movement grow?"""
    coarse = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 12, 12))).float()
    picture = F.interpolate(coarse, size=(48, 48), mode="bicubic")[0].clamp(0, 255).byte().permute(1, 2, 0).numpy()
    video = picture[None].repeat(8, 0)
    for i, frame in enumerate(video):
        frame[:, 24:] = np.roll(picture, (2 * i * down, 2 * i * right), (0, 1))[:, 24:]
    path = write(tmp_path / "a.mkv", video)
    flow_video(str(path), str(tmp_path / "flow.mp4"), 48)
    clip = PretextClip(frames=4, stride=1, size=48, short_side=(48, 48), flow=lambda _: str(tmp_path / "flow.mp4"))
    found = {}
    for seed in range(8):
        clips, targets = inputs(Motion(clip, 1), path, seed)
        still = (clips[0].float().std(dim=1).mean(dim=0) < 3).float()
        is_mirrored = bool(still[:, :20].mean() < still[:, 28:].mean())
        found[is_mirrored] = targets[0].tolist()
    # Not mirrored, what moves is at the right. Mirrored, it is at the left, and moves to the other side.
    assert found[False][number] == (1 if down + right > 0 else 5)
    assert found[True][number] == (found[False][number] if right else 6 - found[False][number])
    for numbers in found.values():
        assert (numbers[number - 1] - 1) % 4 in (1, 2)  # the squares at the middle
