"""Pretext tasks of several clips of a video: order, puzzle, dpc."""

import math
from itertools import chain, combinations, permutations
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pretext_clips import (
    SMALL,
    SMALL_BLOCKS,
    WHOLE,
    batch_of,
    counted,
    counting,
    inputs,
    small,
    still,
    trained,
    write,
)
from torch import nn

from cmpl_zoo.pretext import DPC, TASKS, Order, Puzzle
from cmpl_zoo.pretext.dpc import PredictionHead, feature_maps
from cmpl_zoo.pretext.order import order_number
from cmpl_zoo.pretext.puzzle import one_channel
from cmpl_zoo.pretext.steps import PretextSteps
from cmpl_zoo.video.errors import VideoError


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


def test_order_mirrors_nothing(tmp_path):
    picture = np.zeros((18, 32, 32, 3), np.uint8)
    picture[:, :, 16:] = 255
    path = write(tmp_path / "a.mkv", picture)
    for seed in range(5):
        clips, _ = inputs(Order(WHOLE, 1), path, seed)
        assert not clips[..., :16].any() and (clips[..., 16:] == 255).all()


def test_orders_are_numbered_as_permutations():
    for length in (3, 4):
        orders = torch.tensor(list(permutations(range(length))))
        assert order_number(orders).equal(torch.arange(math.factorial(length)))
    assert order_number(torch.tensor([[2, 0, 1], [0, 1, 2]])).tolist() == [4, 0]


@pytest.mark.parametrize("name", ["order", "puzzle"])
def test_loss_of_orders_by_hand(name, moving_figures):
    task = small(name, 6)
    clips, places = batch_of(task, moving_figures)
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
    blocks = [inputs(DPC(SMALL_BLOCKS._replace(one_color=True), 1), path, seed)[0] for seed in range(5)]
    assert all((clips == clips[:1, :, :1]).all() for clips in blocks) and not blocks[0].equal(blocks[1])


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


def test_dpc_predicts_from_no_future(moving_figures):
    task, model, head, clips, targets = dpc_of(moving_figures)
    _, before, true = told(task, model, head, clips, targets)
    assert before.shape == true.shape == (2, 3, 4, 256)
    for block in range(8):
        changed = clips.clone()
        changed[block] = torch.randn_like(clips[block])  # of the first video
        _, after, other = told(task, model, head, changed, targets)
        assert after[0].equal(before[0]) == (block >= 5), block
        assert [other[0, time].equal(true[0, time]) for time in range(3)] == [block != 5 + time for time in range(3)]
        assert after[1].equal(before[1]) and other[1].equal(true[1])


def test_dpc_loss_by_hand(moving_figures):
    task, model, head, clips, targets = dpc_of(moving_figures)
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


def test_dpc_maps_are_those_that_are_pooled(moving_figures):
    _, model, _, clips, _ = dpc_of(moving_figures)
    maps = feature_maps(model, clips)
    assert maps.shape == (16, 256, 2, 2)
    torch.testing.assert_close(maps.mean((2, 3)), model(clips))  # which pools again
    with pytest.raises(AssertionError):
        feature_maps(model, clips[0])
    assert model.global_pool.pool_type == "avg"


def test_dpc_runs_the_compiled_network(moving_figures):
    task, model, head, *batch = dpc_of(moving_figures)
    graphs = []
    plain_loss = task.loss(model, head, *batch).total
    model.compile(backend=lambda graph, _: graphs.append(graph) or graph.forward)
    for _ in range(2):
        torch.testing.assert_close(task.loss(model, head, *batch).total, plain_loss)
    assert len(graphs) == 1
