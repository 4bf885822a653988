"""Pretext tasks: the questions that videos answer themselves."""

import math
from collections.abc import Callable
from functools import partial
from itertools import chain, combinations, pairwise, permutations
from pathlib import Path

import av
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from made_videos import film
from torch import nn
from torch.multiprocessing import spawn

from cmpl_zoo import create_model
from cmpl_zoo.datasets.views import WeakView
from cmpl_zoo.models.freezing import freeze_batch_norm
from cmpl_zoo.pretext import DPC, TASKS, Arrow, CoCLR, MoCo, Motion, Order, Pace, Puzzle, Rotation, Speed, Tempo
from cmpl_zoo.pretext.arrow import without_borders
from cmpl_zoo.pretext.coclr import ALONE, nearest
from cmpl_zoo.pretext.dpc import PredictionHead, feature_maps
from cmpl_zoo.pretext.flow import flow_path, read_with_flow, seen_together
from cmpl_zoo.pretext.momentum import EMPTY, MOMENTUM, MomentumHead, two_layers
from cmpl_zoo.pretext.motion_statistics import patterns, statistics
from cmpl_zoo.pretext.order import order_number
from cmpl_zoo.pretext.puzzle import one_channel
from cmpl_zoo.pretext.steps import PretextSteps
from cmpl_zoo.pretext.task import PretextClip
from cmpl_zoo.tools.flow import flow_video
from cmpl_zoo.video.flow import as_color, in_pixels, to_the_other_side
from cmpl_zoo.video.video import Video, VideoError
from cmpl_zoo_cli.pretrain_config import FLOW_TASKS

SMALL = PretextClip(frames=4, stride=1, size=32, short_side=(36, 44))
SMALL_BLOCKS = SMALL._replace(frames=2)  # of which dpc takes eight
WHOLE = PretextClip(frames=4, stride=1, size=32, short_side=(32, 32))  # of square frames of 32 pixels: all of them


def small(name: str, videos: int, flow: Callable[[str], str] | None = None):
    """The task of that name, of small clips."""
    return TASKS[name]((SMALL_BLOCKS if name == "dpc" else SMALL)._replace(flow=flow), videos)


def write(path: Path, frames: np.ndarray) -> Path:
    """A video of these frames, uint8 (T, height, width, 3), without any loss."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25, options={"qp": "0"})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "bgr24"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def counting(path: Path, frames: int) -> Path:
    """A video whose frames are as bright as 40 and four times their index, so that a clip tells which it is made of."""
    levels = 40 + 4 * np.arange(frames, dtype=np.uint8)
    return write(path, np.broadcast_to(levels[:, None, None, None], (frames, 32, 32, 3)).copy())


def still(path: Path, seed: int = 0) -> Path:
    """A video of one picture."""
    picture = np.random.default_rng(seed).integers(30, 220, (1, 6, 8, 3), dtype=np.uint8)
    return write(path, picture.repeat(8, 1).repeat(8, 2).repeat(20, 0))


def inputs(task, path, seed=0):
    """Clips and targets of a video, drawn with a seed."""
    torch.manual_seed(seed)
    with Video(path) as video:
        return task.inputs(video)


def counted(clips):
    """The indices of the frames in clips of a `counting` video, (clips, frames)."""
    assert (clips == clips[:, :1, :, :1, :1]).all()
    return ((clips[:, 0, :, 0, 0].int() - 40) // 4).tolist()


def network(task):
    """A small network in training, with the task's head."""
    torch.manual_seed(0)
    model = create_model("r3d50_eighth", num_classes=0)
    return model.train(), task.head(model).train()


def normalized(clips):
    return (clips.float() - 114) / 58


def batch_of(task, paths, seed=0):
    """The clips of some videos, normalized, and their targets."""
    clips, targets = zip(*(inputs(task, path, seed + i) for i, path in enumerate(paths)), strict=True)
    return normalized(torch.cat(clips)), torch.cat(targets)


def trained(task, batches):
    """A small network and head after a step on each of these batches, and the losses."""
    model, head = network(task)
    weights = [weight for part in (model, head) for weight in part.parameters() if weight.requires_grad]
    optimizer = torch.optim.Adam(weights, lr=1e-3)
    losses = []
    for clips, targets in batches:
        loss = task.loss(model, head, clips, targets)
        loss.total.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.total.item())
    return model, head, losses


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> list[Path]:
    """Six videos of figures that move."""
    return sorted(film(tmp_path_factory.mktemp("film"), 2).glob("*/*.mp4"))


@pytest.fixture(scope="module")
def any_task(paths, tmp_path_factory):
    """A function: the name of a task to the task of these videos, with their flow where it needs that."""
    where = partial(flow_path, root=str(paths[0].parents[1]), folder=str(tmp_path_factory.mktemp("flow")))
    for path in paths:
        flow_video(str(path), where(str(path)), 64)
    return lambda name: small(name, len(paths), flow=where if name in FLOW_TASKS else None)


@pytest.mark.parametrize("name", TASKS)
def test_inputs_follow_from_the_generator(name, paths, any_task):
    task = any_task(name)
    clips, targets = inputs(task, paths[0], seed=1)
    assert clips.shape == (task.clips, 3, task.clip.frames, 32, 32)
    assert clips.dtype == torch.uint8
    assert targets.shape[0] == task.clips
    assert targets.dtype == torch.int64
    for seed in range(20):  # of another video in between
        inputs(task, paths[1], seed)
    again, same = inputs(task, paths[0], seed=1)
    assert again.equal(clips)
    assert same.equal(targets)
    assert not inputs(task, paths[0], seed=2)[0].equal(clips)


@pytest.mark.parametrize("name", TASKS)
def test_every_weight_learns_and_no_average_does(name, paths, any_task):
    task = any_task(name)
    batch = batch_of(task, paths)
    model, head, _ = trained(task, [batch])  # at the start, blocks end in a zero, behind which nothing learns
    loss = task.loss(model, head, *batch)
    loss.total.backward()
    assert loss.total.shape == loss.right.shape == ()
    assert 0 <= loss.right <= 1
    assert not loss.right.requires_grad
    for part, weight in [*model.named_parameters(), *head.named_parameters()]:
        if "average." in part:
            assert weight.grad is None and not weight.requires_grad
        else:
            assert weight.grad.abs().sum() > 0, part


@pytest.mark.parametrize("name", TASKS)
def test_loss_falls_on_a_few_videos(name, paths, any_task):
    task = any_task(name)
    batch = batch_of(task, paths if isinstance(task, MoCo) else paths[: 12 // task.clips])
    _, _, losses = trained(task, [batch] * 25)
    chance = losses[0] if isinstance(task, Motion) else math.log(task.classes)  # squared errors of its numbers
    assert losses[0] > 0.9 * chance
    assert np.mean(losses[-3:]) < (0.8 if isinstance(task, MoCo) else 0.4) * chance  # its keys are slow


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


def flowing(path, frames):
    """A clip that finds these frames, float (T, H, W, 2) in pixels, as the flow of any video."""
    write(path, np.stack([as_color(flow) for flow in frames]))
    return WHOLE._replace(flow=lambda _: str(path))


def test_flow_is_of_the_same_frames_and_is_enlarged(tmp_path):
    clip = flowing(tmp_path / "flow.mkv", np.broadcast_to(np.arange(20)[:, None, None, None], (20, 16, 16, 2)))
    with Video(counting(tmp_path / "a.mkv", 20)) as video:
        frames, flow = read_with_flow(video, clip, [3, 19, 4, 4])
    assert counted(frames.transpose(0, 1)[None]) == [[3, 19, 4, 4]]
    assert flow.shape == frames.shape
    assert in_pixels(flow)[:, :, 0, 0].round().tolist() == [[3, 3], [19, 19], [4, 4], [4, 4]]


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


def moco_of(paths, videos, task=MoCo):
    """The task, a network, its head and a batch, after one step, so that the average differs from the network."""
    task = task(SMALL, videos)
    batch = batch_of(task, paths)
    model, head, _ = trained(task, [batch])
    return task, model, head, *batch


def test_moco_pairs_clips_of_one_video(paths, tmp_path):
    task = MoCo(SMALL, len(paths))
    targets = [inputs(task, path)[1] for path in paths]
    assert all(one == other for one, other in targets)
    assert len({one.item() for one, _ in targets}) == len(paths)
    for seed in range(10):
        one, other = inputs(task, still(tmp_path / "a.mkv"), seed)[0]
        assert (one == one[:, :1]).all() and (other == other[:, :1]).all()  # a crop and colors for all frames
        assert not one.equal(other)
    starts = {tuple(clip[0] for clip in counted(inputs(plain(task), path, seed)[0]))
              for path in [counting(tmp_path / "b.mkv", 20)] for seed in range(20)}  # fmt: skip
    assert len(starts) > 10 and any(one != other for one, other in starts)


def plain(task):
    """The task with another view, which shows all of a frame."""
    task.view = WeakView(32, (32, 32))
    return task


def test_moco_loss_by_hand(paths):
    task, model, head, clips, targets = moco_of(paths, videos=20)
    others = torch.arange(6)
    with torch.no_grad():
        head.enqueue(F.normalize(torch.randn(6, 128), dim=1), others)
    head.queue[head.videos == EMPTY] = head.queue[0].clone()  # whatever is there, it does not count
    assert head.videos.tolist() == [*targets[::2].tolist(), *others.tolist(), *[EMPTY] * 8]
    loss = task.loss(model, head, clips, targets)
    model.train()
    with torch.no_grad():
        queries = F.normalize(head.projection(model(clips[::2])), dim=1)
        keys = F.normalize(head.average(clips[1::2]), dim=1)
    losses, right = [], []
    for query, key, video in zip(queries, keys, targets[::2], strict=True):
        stored = zip(head.queue, head.videos, strict=True)
        negatives = [query @ old / 0.07 for old, other in stored if other not in (video, EMPTY)]
        assert len(negatives) == 5 + 5 + 6  # the keys of both steps, but for those of the video, and the others
        positive = query @ key / 0.07
        losses.append(torch.stack([positive, *negatives]).logsumexp(0) - positive)
        right.append(positive > max(negatives))
    assert loss.total.item() == pytest.approx(torch.stack(losses).mean().item(), abs=1e-4)
    assert loss.right.item() == pytest.approx(sum(right).item() / 6)
    assert task.classes == 20 and MoCo(SMALL, 10**6).classes == 65536


def test_moco_queue_keeps_the_last_keys():
    head = MomentumHead(create_model("r3d50_eighth", num_classes=0), two_layers(256), 5)
    keys = F.normalize(torch.randn(16, 128), dim=1)
    for first, last in [(0, 3), (3, 6), (6, 7), (7, 16)]:
        before, where = head.queue.clone(), int(head.place)
        head.enqueue(keys[first:last], torch.arange(first, last))
        kept = sorted(head.videos.tolist())
        assert kept == [-1] * (5 - last) + list(range(max(0, last - 5), last))
        for key, video in zip(head.queue, head.videos, strict=True):
            assert video < 0 or key.equal(keys[video])
        assert last == 16 or head.queue[(where + last - first) % 5].equal(before[(where + last - first) % 5])


def test_moco_average_by_hand(paths):
    _, model, head, clips, _ = moco_of(paths, videos=6)
    head.queries(model, clips)  # moves the running statistics of batch norm
    learned = nn.Sequential(model, head.projection)
    assert learned.state_dict().keys() == head.average.state_dict().keys()
    weights = dict(learned.named_parameters())
    for updates, old_share in ((3, 0.75), (998, MOMENTUM), (10**6, MOMENTUM)):
        head.updates.fill_(updates)
        before = {name: value.clone() for name, value in head.average.state_dict().items()}
        head.keys(model, clips)
        for name, value in head.average.state_dict().items():
            new = learned.state_dict()[name]
            if value.is_floating_point():
                old = MOMENTUM if name in weights else old_share  # only batch norm starts with a plain average
                torch.testing.assert_close(value, old * before[name] + (1 - old) * new, rtol=1e-4, atol=1e-6)
            else:
                assert value == new
    moved = [name for name in before if not before[name].equal(learned.state_dict()[name])]
    assert any("running_mean" in name for name in moved) and any("conv1.weight" in name for name in moved)


def test_moco_keys_do_not_depend_on_their_batch(paths):
    _, _, head, clips, _ = moco_of(paths, videos=6)
    head.train()
    assert head.projection.training and not any(part.training for part in head.average.modules())
    with torch.no_grad():
        together = head.average(clips)
        alone = torch.cat([head.average(clip[None]) for clip in clips])
    torch.testing.assert_close(together, alone)


def test_tempo_shows_one_moment_at_both_strides(tmp_path):
    path = counting(tmp_path / "a.mkv", 30)
    task = plain(Tempo(WHOLE._replace(frames=5, stride=2), 1))
    starts, queries = set(), set()
    for seed in range(30):
        clips, targets = inputs(task, path, seed)
        query, key = counted(clips)
        starts.add(query[2])
        queries.add(query[1] - query[0])
        for clip in (query, key):
            assert clip == list(range(clip[0], clip[0] + 5 * (clip[1] - clip[0]), clip[1] - clip[0]))
        assert {query[1] - query[0], key[1] - key[0]} == {2, 4}
        assert query[2] == key[2] and targets[0] == targets[1]
    assert queries == {2, 4}  # the network learns from both
    assert min(starts) < 11 and max(starts) > 18


def test_tempo_loss_by_hand(paths):
    task, model, head, clips, targets = moco_of([*paths, paths[0]], videos=20, task=Tempo)
    loss = task.loss(model, head, clips, targets)
    assert head.queue.shape == (20, 2, 128) and head.videos.tolist() == [*targets[::2].tolist() * 2, *[EMPTY] * 6]

    def projected(network, projection, clips):
        _, (res4, res5) = network.forward_intermediates(clips, indices=[3, 4])
        assert res4.shape[1:] == (128, 4, 2, 2) and res5.shape[1:] == (256, 4, 1, 1)
        parts = [layers(res.mean((2, 3, 4))) for layers, res in zip(projection.layers, (res4, res5), strict=True)]
        return [F.normalize(part, dim=1) for part in parts]

    with torch.no_grad():
        queries = projected(model, head.projection, clips[::2])
        keys = projected(head.average[0].network, head.average[1], clips[1::2])
    losses, right = [], []
    for stage in range(2):
        for query, key, video in zip(queries[stage], keys[stage], targets[::2], strict=True):
            stored = zip(head.queue[:, stage], head.videos, strict=True)
            negatives = [query @ old / 0.07 for old, other in stored if other not in (video, EMPTY)]
            assert len(negatives) == (10 if video == targets[0] else 12)  # none of the same video, which comes twice
            positive = query @ key / 0.07
            losses.append(torch.stack([positive, *negatives]).logsumexp(0) - positive)
            right.append(positive > max(negatives))
    assert loss.total.item() == pytest.approx(torch.stack(losses).mean().item(), abs=1e-4)
    assert loss.right.item() == pytest.approx(sum(right[7:]).item() / 7)
    assert task.classes == 20 and Tempo(SMALL, 10**6).classes == 16384


@pytest.mark.parametrize("network", ["r3d18", "tv_r3d_18", "tv_swin3d_t"])
def test_tempo_teaches_all_of_any_network(network):
    model = create_model(network, num_classes=0)
    head = Tempo(SMALL, 8).head(model)
    clips, targets = torch.randn(4, 3, 4, 32, 32), torch.tensor([1, 1, 2, 2])
    Tempo(SMALL, 8).loss(model, head, clips, targets).total.backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_coclr_shows_frames_and_their_flow_twice(tmp_path):
    ramp = np.broadcast_to(np.arange(20)[:, None, None, None], (20, 32, 32, 2))  # as fast as the number of the frame
    clip = flowing(tmp_path / "flow.mkv", ramp)._replace(stride=2)
    path, task = counting(tmp_path / "a.mkv", 20), CoCLR(clip, 8)
    task.colors = nn.Identity()
    starts, signs = set(), set()
    for seed in range(20):
        clips, targets = inputs(task, path, seed)
        assert clips.shape == (4, 3, 4, 32, 32) and targets.unique().numel() == 1
        shown = counted(clips[::2])
        for indices, flow in zip(shown, in_pixels(clips[1::2].transpose(1, 2)), strict=True):
            assert indices == list(range(indices[0], indices[0] + 8, 2))
            assert flow[:, 1].mean(dim=(1, 2)).round().tolist() == indices
            assert flow[:, 0].abs().mean(dim=(1, 2)).round().tolist() == indices
            signs.add(int(flow[-1, 0].mean().sign()))
        starts.add((shown[0][0], shown[1][0]))
    assert signs == {1, -1} and any(one != other for one, other in starts)
    task.colors = MoCo(clip, 8).colors
    seen = torch.stack([inputs(task, path, seed)[0] for seed in range(10)])
    assert (seen[:, 1::2, 2] == 128).all() and (seen[:, ::2] % 4 != 0).any()  # those of frames alone


def test_coclr_neighbors_are_those_of_the_other_stream(paths, any_task):
    task = CoCLR(any_task("coclr").clip, 60)
    task.batches = 10
    model, head = network(task)
    clips, targets = batch_of(task, paths)
    videos = targets[::4]
    with torch.no_grad():
        for place, stream in ((2, head.frames), (3, head.flow)):
            keys = F.normalize(stream.average(clips[place::4]), dim=1)[torch.arange(50) % 6]
            stream.enqueue(F.normalize(keys + 1e-3 * torch.randn(50, 128), dim=1), torch.arange(50))
    head.frames.updates.fill_(20)
    loss = task.loss(model, head, clips, targets)
    assert head.frames.videos.equal(head.flow.videos)
    assert head.frames.videos.tolist() == [*range(50), *videos.tolist(), *[EMPTY] * 4]
    streams = [(model, head.frames), (head.flow_network, head.flow)]
    with torch.no_grad():
        made = [(stream.projection(learning(clips[place::4])), stream.average(clips[place + 2 :: 4]))
                for place, (learning, stream) in enumerate(streams)]  # fmt: skip
    queries, keys = ([F.normalize(both[which], dim=1) for both in made] for which in range(2))
    losses, found = [], []
    for stream, own, other in ((0, head.frames, head.flow), (1, head.flow, head.frames)):
        for number, video in enumerate(videos):
            stored = [place for place, of in enumerate(own.videos.tolist()) if of not in (video, EMPTY)]
            alike = sorted(stored, key=lambda place: -float(keys[1 - stream][number] @ other.queue[place]))
            found.append(set(alike[:5]))
            scores = {place: (queries[stream][number] @ own.queue[place] / 0.07).exp() for place in stored}
            positive = (queries[stream][number] @ keys[stream][number] / 0.07).exp()
            positives = positive + sum(scores[place] for place in alike[:5])
            losses.append(-(positives / (positive + sum(scores.values()))).log())
    assert loss.total.item() == pytest.approx(torch.stack(losses).mean().item(), abs=1e-4)
    assert found[:6] != found[6:]


def test_coclr_learns_alone_at_first(paths, any_task):
    task = CoCLR(any_task("coclr").clip, 20)
    task.batches = 10
    model, head = network(task)
    batch = batch_of(task, paths)
    state = {name: value.clone() for name, value in head.state_dict().items()}
    losses = {}
    for updates in (0, 5, 6, 9):
        head.load_state_dict(state)
        head.frames.updates.fill_(updates)
        losses[updates] = task.loss(model, head, *batch).total.item()
    assert ALONE == 0.6 and losses[0] == pytest.approx(losses[5], abs=0.02)
    assert losses[6] < losses[5] - 0.1 and losses[9] == pytest.approx(losses[6], abs=0.02)


def test_neighbors_are_other_videos_alone():
    scores = torch.tensor([[1.0, -torch.inf, 3, 2], [-torch.inf, 5, -torch.inf, -torch.inf]])
    assert nearest(scores, 2).tolist() == [[False, False, True, True], [False, True, False, False]]
    assert not nearest(scores, 0).any()


@pytest.mark.parametrize("task", [MoCo, Tempo])
def test_a_queue_continues_from_its_state(paths, task):
    task, model, head, clips, targets = moco_of(paths, videos=20, task=task)
    saved = [{name: value.clone() for name, value in part.state_dict().items()} for part in (model, head)]
    expected = task.loss(model, head, clips, targets).total
    fresh = network(task)
    for part, state in zip(fresh, saved, strict=True):
        part.load_state_dict(state)
    assert task.loss(*fresh, clips, targets).total.equal(expected)
    for name, value in fresh[1].state_dict().items():
        assert value.equal(head.state_dict()[name]), name


@pytest.mark.parametrize(("name", "length"), [("moco", 8), ("tempo", 8), ("coclr", 10)])  # of which one is a neighbor
def test_a_queue_is_the_same_on_two_processes(name, length, paths, any_task, tmp_path):
    clips, targets = batch_of(any_task(name), paths)
    for rank in range(2):
        torch.save((clips.chunk(2)[rank], targets.chunk(2)[rank]), tmp_path / f"batch{rank}.pt")
    torch.save((clips, targets), tmp_path / "batch.pt")
    spawn(_two_steps, (name, length, tmp_path), nprocs=2)
    _two_steps(None, name, length, tmp_path)
    (losses, state), *parts = (torch.load(tmp_path / f"{name}.pt") for name in ("all", 0, 1))
    torch.testing.assert_close(sum(half for half, _ in parts) / 2, losses)
    for _, half_state in parts:
        torch.testing.assert_close(half_state, state)
    queues = [videos for part, videos in state.items() if part.endswith("videos")]
    assert queues and all(EMPTY not in videos for videos in queues)  # six keys a step


def _two_steps(rank: int | None, name: str, length: int, folder: Path) -> None:
    """The losses and the head after two steps of a process, or of one alone, with frozen batch norm."""
    if rank is not None:
        torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    task = TASKS[name](SMALL, length)
    model, head = network(task)
    freeze_batch_norm(model)
    freeze_batch_norm(head)
    batch = torch.load(folder / ("batch.pt" if rank is None else f"batch{rank}.pt"))
    losses = torch.stack([task.loss(model, head, *batch).total.detach() for _ in range(2)])
    torch.save((losses, head.state_dict()), folder / ("all.pt" if rank is None else f"{rank}.pt"))
    if rank is not None:
        torch.distributed.destroy_process_group()


def test_order_shuffles_clips_and_tells_their_places(tmp_path):
    path = counting(tmp_path / "a.mkv", 50)
    task = Order(WHOLE._replace(frames=2, stride=2), 1)
    starts, orders = set(), []
    for seed in range(120):
        clips, places = inputs(task, path, seed)
        shown = counted(clips)
        [start] = {first - 20 * place for (first, _), place in zip(shown, places.tolist(), strict=True)}
        assert all(second == first + 2 for first, second in shown)  # 20 is two frames and a gap of 8, at stride 2
        starts.add(start)
        orders.append(tuple(places.tolist()))
    assert starts == set(range(50 - 42))
    assert {order: 10 <= orders.count(order) <= 32 for order in permutations(range(3))} == dict.fromkeys(orders, True)


@pytest.mark.parametrize(("frames", "apart"), [(43, 20), (42, 19), (15, 6), (11, 4)])
def test_order_comes_closer_in_short_videos(tmp_path, frames, apart):
    clips, places = inputs(Order(WHOLE._replace(frames=2, stride=2), 1), counting(tmp_path / "a.mkv", frames))
    starts = torch.tensor(counted(clips))[places.argsort(), 0]
    assert starts.diff().tolist() == [apart, apart]


def test_order_shows_each_clip_through_its_own_crop(tmp_path):
    one, two, three = inputs(Order(SMALL, 1), still(tmp_path / "a.mkv"))[0]
    assert all((clip == clip[:, :1]).all() for clip in (one, two, three))
    assert not one.equal(two) and not two.equal(three) and not one.equal(three)


def test_orders_are_numbered_as_permutations():
    for length in (3, 4):
        orders = torch.tensor(list(permutations(range(length))))
        assert order_number(orders).equal(torch.arange(math.factorial(length)))
    assert order_number(torch.tensor([[2, 0, 1], [0, 1, 2]])).tolist() == [4, 0]


@pytest.mark.parametrize("name", ["order", "puzzle"])
def test_loss_of_orders_by_hand(name, paths):
    task = small(name, 6)
    clips, places = batch_of(task, paths)
    model, head, _ = trained(task, [(clips, places)])
    model.eval(), head.eval()
    loss = task.loss(model, head, clips, places)
    losses, right = [], []
    for features, order in zip(model(clips).split(task.clips), places.split(task.clips), strict=True):
        if name == "order":
            pairs = [head.pair(torch.cat([features[i], features[j]])).relu() for i, j in combinations(range(3), 2)]
            scores = head.answer(torch.cat(pairs))
        else:
            scores = head(torch.cat(list(features))[None])[0]
        answer = list(permutations(range(task.clips))).index(tuple(order.tolist()))
        losses.append(scores.logsumexp(0) - scores[answer])
        right.append(scores.argmax() == answer)
    assert loss.total.item() == pytest.approx(torch.stack(losses).mean().item(), abs=1e-5)
    assert loss.right.item() == pytest.approx(sum(right).item() / 6)
    assert len(scores) == task.classes


def test_stills_do_not_tell_order(tmp_path):
    paths = [still(tmp_path / f"{i}.mkv", seed=i) for i in range(6)]
    task = Order(SMALL, 6)
    _, _, losses = trained(task, (batch_of(task, paths, seed=100 * i) for i in range(30)))
    assert np.mean(losses[-20:]) > math.log(6) - 0.02


def quarters(path: Path) -> Path:
    """A video of 32 frames, as large as a puzzle of `WHOLE`: its brightness tells the quarter and the frame."""
    side = np.arange(90) // 45
    levels = 10 + 60 * (2 * side[:, None] + side) + np.arange(32)[:, None, None]
    return write(path, levels[..., None].repeat(3, axis=3).astype(np.uint8))


def test_puzzle_takes_pieces_side_by_side_or_one_after_the_other(tmp_path):
    path = quarters(tmp_path / "a.mkv")
    task = Puzzle(WHOLE._replace(stride=2), 1)
    in_space, in_time, mirrored, starts = [], [], set(), set()
    for seed in range(100):
        pieces, places = inputs(task, path, seed)
        assert (pieces == pieces[:, :1, :, :1, :1]).all()  # no piece reaches into another cell
        levels = pieces[:, 0, :, 0, 0].int() - 10
        quarter, time = levels // 60, levels % 60
        assert (time.diff(dim=1) == 2).all()
        cell = time[:, 0] // 8
        assert (time // 8 == cell[:, None]).all() and (quarter == quarter[:, :1]).all()
        starts |= set((time[:, 0] % 8).tolist())
        if quarter.unique().numel() == 1:
            in_time.append(quarter[0, 0].item())
            assert cell.tolist() == places.tolist()
        else:
            in_space.append(cell[0].item())
            assert (cell == cell[0]).all()
            turned = [corner ^ 1 for corner in places.tolist()]  # what was on the left is on the right
            assert quarter[:, 0].tolist() in (places.tolist(), turned)
            mirrored.add(quarter[:, 0].tolist() == turned)
    assert 35 <= len(in_space) <= 65 and mirrored == {True, False}
    assert set(in_space) == set(in_time) == {0, 1, 2, 3}
    assert starts == {0, 1}  # a piece spans 7 of the 8 frames of its cell


@pytest.mark.parametrize("across", [False, True])
def test_puzzle_cuts_pieces_out_of_their_cells_at_random(tmp_path, across):
    side = np.arange(90, dtype=np.uint8)
    frame = np.broadcast_to(side if across else side[:, None], (90, 90))
    path = write(tmp_path / "a.mkv", np.broadcast_to(frame[None, ..., None], (32, 90, 90, 3)).copy())
    starts = set()
    for seed in range(40):
        pieces, _ = inputs(Puzzle(WHOLE, 1), path, seed)
        starts |= set(pieces.amin(dim=(1, 2, 3, 4)).tolist())
        assert (pieces.amax(dim=(1, 2, 3, 4)) - pieces.amin(dim=(1, 2, 3, 4)) == 31).all()
    assert starts == {*range(14), *range(45, 59)}


def test_puzzle_leaves_out_what_is_far_in_long_videos(tmp_path):
    path = counting(tmp_path / "a.mkv", 50)
    task, starts = Puzzle(WHOLE._replace(frames=2, stride=2), 1), []
    for seed in range(60):
        pieces, places = inputs(task, path, seed)
        first = torch.tensor(counted(pieces))[:, 0]
        if first.max() - first.min() > 5:  # along time
            offsets = first - 8 * places  # a cell is 8 frames long, and a piece spans 3
            assert offsets.max() - offsets.min() <= 5
            starts.append(offsets.min().item())
    assert min(starts) < 4 and max(starts) > 15


def test_one_channel_replaces_all_three(tmp_path):
    pieces, _ = inputs(Puzzle(SMALL, 1), still(tmp_path / "a.mkv"))
    assert (pieces == pieces[:, :1]).all()
    colors = torch.arange(3)[:, None, None].expand(3, 2, 2)
    drawn = set()
    for seed in range(20):
        torch.manual_seed(seed)
        [[channel]] = one_channel(colors[None]).unique(dim=1)[0, :, :1, 0].tolist()
        drawn.add(channel)
    assert drawn == {0, 1, 2}


@pytest.mark.parametrize("name", ["order", "puzzle", "dpc"])
def test_the_shortest_video_is_enough_and_a_shorter_one_is_named(name, tmp_path):
    task = TASKS[name](WHOLE._replace(frames=2, stride=3), 2)
    task.colors = nn.Identity()
    least = {"order": 16, "puzzle": 22, "dpc": 46}[name]
    paths = [str(counting(tmp_path / f"{frames}.mkv", frames)) for frames in (least, least - 1)]
    for seed in range(10):
        assert all(second == first + 3 for first, second in counted(inputs(task, paths[0], seed)[0]))
    error = PretextSteps(paths[1:], task, batch=1, steps=1, seed=0)[0]
    assert isinstance(error, VideoError)
    assert f"{least - 1}.mkv: has {least - 1} frames, and the task needs at least {least}" in str(error)


def test_dpc_takes_eight_blocks_in_a_row(tmp_path):
    path = counting(tmp_path / "a.mkv", 50)
    task, starts = DPC(WHOLE._replace(frames=3, stride=2), 1), set()
    task.colors = nn.Identity()
    for seed in range(20):
        blocks, targets = inputs(task, path, seed)
        indices = list(chain.from_iterable(counted(blocks)))
        assert indices == list(range(indices[0], indices[0] + 48, 2))
        assert targets.tolist() == list(range(8))
        starts.add(indices[0])
    assert starts == {0, 1, 2, 3}


def test_dpc_changes_the_color_of_each_frame_by_itself(tmp_path):
    task, path = DPC(SMALL_BLOCKS, 1), still(tmp_path / "a.mkv")
    frames = torch.cat([inputs(task, path, seed)[0].transpose(1, 2).flatten(0, 1) for seed in range(5)])
    assert all(not one.equal(other) for one, other in combinations(frames[:16], 2))
    gray = (frames == frames[:, :1]).flatten(1).all(dim=1)
    assert 20 < gray.sum() < 60  # of 80
    task.colors = nn.Identity()
    blocks, _ = inputs(task, path)
    assert (blocks == blocks[:1, :, :1]).all()  # but not its crop


def dpc_of(paths):
    """The task, with maps of 2x2 places, a network and its head in evaluation, after ten steps, and a batch of two."""
    task = DPC(SMALL_BLOCKS._replace(size=64, short_side=(64, 80)), 6)
    batch = batch_of(task, paths[:2])
    model, head, _ = trained(task, [batch] * 10)
    return task, model.eval(), head.eval(), *batch


def told(task, model, head, clips, targets):
    """The loss, and what the head predicted and what came true, (videos, 3, 4, 256) each."""
    given = []
    hook = head.register_forward_hook(lambda _, inputs, outputs: given.append(outputs))
    with torch.no_grad():
        loss = task.loss(model, head, clips, targets)
    hook.remove()
    return loss, *given[0]


def test_dpc_predicts_from_no_future(paths):
    task, model, head, clips, targets = dpc_of(paths)
    _, before, true = told(task, model, head, clips, targets)
    assert before.shape == true.shape == (2, 3, 4, 256)
    for block in range(8):
        changed = clips.clone()
        changed[block] = torch.randn_like(clips[block])  # of the first video
        _, after, other = told(task, model, head, changed, targets)
        assert after[0].equal(before[0]) == (block >= 5), block
        assert [other[0, time].equal(true[0, time]) for time in range(3)] == [block != 5 + time for time in range(3)]
        assert after[1].equal(before[1]) and other[1].equal(true[1])


def test_dpc_loss_by_hand(paths):
    task, model, head, clips, targets = dpc_of(paths)
    loss, predicted, true = told(task, model, head, clips, targets)
    with torch.no_grad():
        maps = model.forward_features(clips).mean(dim=2)
    losses, right = [], []
    for video in range(2):
        for time in range(3):
            for row in range(2):
                for column in range(2):
                    prediction = predicted[video, time, 2 * row + column]
                    own = head.reduce(maps[8 * video + 5 + time, :, row, column]) @ prediction
                    losses.append((true @ prediction).flatten().logsumexp(0) - own)
                    right.append(own >= (true[video] @ prediction).max() - 1e-4)
    assert loss.total.item() == pytest.approx(torch.stack(losses).mean().item(), abs=1e-3)
    assert loss.right.item() == pytest.approx(sum(right).item() / 24)
    assert task.classes == 12


def test_dpc_recurs_as_convolutions_do():
    torch.manual_seed(0)
    head = PredictionHead(8).eval()
    maps = torch.randn(2, 8, 8, 3, 5)
    with torch.no_grad():
        predicted, true = head(maps.flatten(3).transpose(2, 3))
        reduced = [convolved(head.reduce, maps[:, block]) for block in range(8)]
        state, expected = torch.zeros_like(reduced[0]), []
        for step in range(7):
            block = (reduced[step] if step < 5 else expected[-1]).relu()
            gates = convolved(head.gates, torch.cat([block, state], dim=1)).sigmoid()
            reset, update = gates[:, :256], gates[:, 256:]
            new = convolved(head.new, torch.cat([block, reset * state], dim=1)).tanh()
            state = state * (1 - update) + new * update
            if step >= 4:
                expected.append(convolved(head.predict[2], convolved(head.predict[0], state).relu()))
    for given, wanted in ((predicted, expected), (true, reduced[5:])):
        torch.testing.assert_close(given, torch.stack(wanted, dim=1).flatten(3).transpose(2, 3))


def convolved(layer, maps):
    return F.conv2d(maps, layer.weight[:, :, None, None], layer.bias)


def test_dpc_maps_are_those_that_are_pooled(paths):
    _, model, _, clips, _ = dpc_of(paths)
    maps = feature_maps(model, clips)
    assert maps.shape == (16, 256, 2, 2)
    torch.testing.assert_close(maps.mean((2, 3)), model(clips))  # which pools again
    with pytest.raises(AssertionError):
        feature_maps(model, clips[0])
    assert model.global_pool.pool_type == "avg"


def test_dpc_runs_the_compiled_network(paths):
    task, model, head, *batch = dpc_of(paths)
    graphs = []
    plain_loss = task.loss(model, head, *batch).total
    model.compile(backend=lambda graph, _: graphs.append(graph) or graph.forward)
    for _ in range(2):
        torch.testing.assert_close(task.loss(model, head, *batch).total, plain_loss)
    assert len(graphs) == 1
