"""Pretext tasks of how a clip is turned or played: rotation, arrow, pace, speed."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from pretext_clips import SMALL, WHOLE, batch_of, counted, counting, inputs, still, trained, write
from torch import nn

from cmpl_zoo.pretext import Arrow, Pace, Rotation, Speed, Tempo
from cmpl_zoo.pretext.arrow import without_borders
from cmpl_zoo.pretext.steps import PretextSteps


def test_rotation_turns_one_clip_counterclockwise(tmp_path):
    picture = np.zeros((1, 32, 32, 3), np.uint8)
    corners = [(0, 0), (0, 31), (31, 31), (31, 0)]  # clockwise from the upper left
    for (row, column), level in zip(corners, (50, 100, 150, 200), strict=True):
        picture[:, row // 16 * 16 :, column // 16 * 16 :][:, :16, :16] = level
    path = write(tmp_path / "a.mkv", picture.repeat(6, 0))
    mirrored = set()
    for seed in range(10):
        clips, targets = inputs(Rotation(WHOLE, 1), path, seed)
        assert targets.tolist() == [0, 1, 2, 3]
        seen = [[int(clip[0, -1, row, column]) for row, column in corners] for clip in clips]
        mirrored.add(seen[0][0] != 50)
        assert seen[0] in ([50, 100, 150, 200], [100, 50, 200, 150])
        # After a quarter to the left, what was at the upper right is at the upper left.
        assert seen == [seen[0][k:] + seen[0][:k] for k in range(4)]
    assert mirrored == {True, False}


def test_arrow_reverses_half_of_the_clips(tmp_path):
    path = counting(tmp_path / "a.mkv", 30)
    task = Arrow(WHOLE._replace(stride=3), 1)
    answers = []
    for seed in range(40):
        clips, targets = inputs(task, path, seed)
        [indices] = counted(clips)
        step = -3 if targets.item() else 3
        assert indices == list(range(indices[0], indices[0] + 4 * step, step))
        answers.append(targets.item())
    assert 10 < sum(answers) < 30


def test_arrow_removes_black_borders(tmp_path):
    frames = np.random.default_rng(0).integers(0, 12, (8, 64, 96, 3), dtype=np.uint8)  # noise of a codec
    frames[:, 10:50, 20:84] = 100
    frames[3, 0] = 100  # a border is black in all frames
    frames[:, 30, :] = 0  # and at the side
    tensor = torch.from_numpy(frames).permute(0, 3, 1, 2)
    assert without_borders(tensor).equal(tensor[:, :, 0:50])
    assert without_borders(tensor[4:]).equal(tensor[4:, :, 10:50, 20:84])
    frames[3, 0], frames[:, 30, 20:84] = 0, 100
    path = write(tmp_path / "a.mkv", frames)
    assert all((inputs(Arrow(SMALL, 1), path, seed)[0] == 100).all() for seed in range(10))


def test_arrow_of_a_black_video(tmp_path):
    path = write(tmp_path / "a.mkv", np.zeros((8, 32, 32, 3), np.uint8))
    assert (inputs(Arrow(SMALL, 1), path)[0] == 0).all()


def test_pace_multiplies_the_stride_and_starts_again_at_the_end(tmp_path):
    path = counting(tmp_path / "a.mkv", 30)
    task = Pace(WHOLE._replace(frames=6, stride=2), 1)
    task.jitter = nn.Identity()
    starts, answers = set(), []
    for seed in range(80):
        clips, targets = inputs(task, path, seed)
        [indices] = counted(clips)
        for former, index in pairwise(indices):
            following = former + 2 * (targets.item() + 1)
            assert index == (following if following < 30 else 0)
        starts.add(indices[0])
        answers.append(targets.item())
    assert min(starts) < 4 and max(starts) > 25
    assert all(10 <= answers.count(answer) <= 30 for answer in range(4))


def test_pace_by_hand():
    task = Pace(WHOLE._replace(frames=6), 1)
    clips = {}
    for seed in range(100):
        torch.manual_seed(seed)
        indices = task.indices(10, pace=3)
        clips[indices[0]] = indices
    assert clips[1] == [1, 5, 9, 0, 4, 8]
    assert clips[8] == [8, 0, 4, 8, 0, 4]
    assert sorted(clips) == list(range(10))


def test_pace_changes_the_color_of_each_frame_by_itself(tmp_path):
    task = Pace(SMALL, 1)
    clip, _ = inputs(task, still(tmp_path / "a.mkv"))
    assert not any(clip[0, :, i].equal(clip[0, :, j]) for i in range(4) for j in range(i))
    task.jitter = nn.Identity()
    clip, _ = inputs(task, tmp_path / "a.mkv")
    assert (clip == clip[:, :, :1]).all()  # but not its crop


def test_pace_changes_the_colors_of_all_frames_alike_where_their_mean_is_subtracted(tmp_path):
    path, task = still(tmp_path / "a.mkv"), Pace(WHOLE._replace(one_color=True), 1)
    clips = [inputs(task, path, seed)[0] for seed in range(9)]
    assert all((clip == clip[:, :, :1]).all() for clip in clips)
    assert len({clip.float().mean().item() for clip in clips}) > 3


def test_speed_skips_frames_at_random(tmp_path):
    path = counting(tmp_path / "a.mkv", 50)
    task = Speed(WHOLE._replace(frames=10, stride=2), 1)
    spans, strides = [], set()
    for seed in range(60):
        clips, targets = inputs(task, path, seed)
        assert targets.tolist() == [0, 1]
        both = torch.tensor(counted(clips))
        assert both.max() - both.min() < 2 * 22  # of one segment
        assert both.unique(dim=1).shape == (2, 10)
        gaps = both.diff(dim=1)
        assert (gaps > 0).all() and (gaps % 2 == 0).all()
        spans.append((both[:, -1] - both[:, 0]) / 2)
        strides |= set((gaps[1] // 2).tolist())
    normal, double = torch.stack(spans).T
    assert normal.min() >= 9 and normal.max() <= 11  # up to 1.2 times as many as 10, less one
    assert double.min() >= 10 and double.max() <= 21
    assert {1, 2, 3} <= strides
    # Of n frames in a row, 10 that are drawn at random span 9 / 11 (n + 1) on average, for n of 10 to 12 and 17 to 22.
    assert normal.mean().item() == pytest.approx(9 / 11 * 12, abs=0.3)
    assert double.mean().item() == pytest.approx(9 / 11 * 20.5, abs=0.8)


@pytest.mark.parametrize("task", [Pace, Speed])
def test_short_videos_start_again(tmp_path, task):
    path = counting(tmp_path / "a.mkv", 5)
    for seed in range(10):
        made = task(WHOLE._replace(frames=8), 1)
        made.jitter = nn.Identity()
        clips, _ = inputs(made, path, seed)
        for clip in counted(clips):
            assert set(clip) <= set(range(5))
            assert any(later < former for former, later in pairwise(clip))


@pytest.mark.parametrize(("task", "least"), [(Pace, 13), (Speed, 7), (Tempo, 7), (Arrow, 7)])
def test_a_video_in_which_nothing_is_to_be_seen_at_the_stride_is_named(tmp_path, task, least):
    made = task(WHOLE._replace(frames=8, stride=3), 2)
    made.jitter = made.colors = nn.Identity()
    for seed in range(10):
        clips = counted(inputs(made, counting(tmp_path / "a.mkv", least), seed)[0])
        assert all(len(set(clip)) > 1 for clip in clips)
    error = PretextSteps([str(counting(tmp_path / "b.mkv", least - 1))] * 2, made, batch=1, steps=1, seed=0)[0]
    assert f"has {least - 1} frames, and the task needs at least {least}; give fewer --frames or a smaller" in str(
        error
    )


@pytest.mark.parametrize("seed", range(5))
def test_stills_do_not_tell_arrow_and_speed(tmp_path, seed):
    path = still(tmp_path / "a.mkv")
    clip, _ = inputs(Arrow(SMALL, 1), path, seed)
    assert clip.equal(clip.flip(2))
    normal, double = inputs(Speed(SMALL, 1), path, seed)[0]
    assert normal.equal(double)


def test_stills_do_not_tell_pace(tmp_path):
    paths = [still(tmp_path / f"{i}.mkv", seed=i) for i in range(6)]
    task = Pace(SMALL, 6)
    _, _, losses = trained(task, (batch_of(task, paths, seed=100 * i) for i in range(30)))
    assert np.mean(losses[-20:]) > math.log(4) - 0.02
