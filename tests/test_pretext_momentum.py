"""Pretext tasks that compare clips with keys of a slow average: moco, tempo, coclr."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pretext_clips import SMALL, WHOLE, batch_of, counted, counting, flowing, inputs, network, plain, still, trained
from torch import nn
from torch.multiprocessing import spawn

from cmpl_zoo import create_model
from cmpl_zoo.models.freezing import freeze_batch_norm
from cmpl_zoo.pretext import TASKS, CoCLR, MoCo, Tempo
from cmpl_zoo.pretext.coclr import NEIGHBORS_FROM, nearest
from cmpl_zoo.pretext.momentum import EMPTY, MOMENTUM, MomentumHead, two_layers
from cmpl_zoo.video.flow import in_pixels


def moco_of(paths, videos, task=MoCo):
    """The task, a network, its head and a batch, after one step, so that the average differs from the network."""
    task = task(SMALL, videos)
    batch = batch_of(task, paths)
    model, head, _ = trained(task, [batch])
    return task, model, head, *batch


def test_moco_pairs_clips_of_one_video(moving_figures, tmp_path):
    task = MoCo(SMALL, len(moving_figures))
    targets = [inputs(task, path)[1] for path in moving_figures]
    assert all(one == other for one, other in targets)
    assert len({one.item() for one, _ in targets}) == len(moving_figures)
    for seed in range(10):
        one, other = inputs(task, still(tmp_path / "a.mkv"), seed)[0]
        assert (one == one[:, :1]).all() and (other == other[:, :1]).all()  # a crop and colors for all frames
        assert not one.equal(other)
    starts = {tuple(clip[0] for clip in counted(inputs(plain(task), path, seed)[0]))
              for path in [counting(tmp_path / "b.mkv", 20)] for seed in range(20)}  # fmt: skip
    assert len(starts) > 10 and any(one != other for one, other in starts)


def test_moco_loss_by_hand(moving_figures):
    task, model, head, clips, targets = moco_of(moving_figures, videos=20)
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


def test_moco_average_by_hand(moving_figures):
    _, model, head, clips, _ = moco_of(moving_figures, videos=6)
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


@pytest.mark.parametrize("name", ["moco", "tempo", "coclr"])
def test_an_average_moves_as_far_in_a_step_of_several_parts(name, moving_figures, any_task):
    task = any_task(name)
    task.accumulation = 4
    head = task.head(create_model("r3d50_eighth", num_classes=0))
    averages = [module for module in head.modules() if isinstance(module, MomentumHead)]
    assert [one.momentum**4 for one in averages] == pytest.approx([MOMENTUM] * len(averages), abs=1e-9)


def test_moco_keys_do_not_depend_on_their_batch(moving_figures):
    _, _, head, clips, _ = moco_of(moving_figures, videos=6)
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


def test_tempo_loss_by_hand(moving_figures):
    task, model, head, clips, targets = moco_of([*moving_figures, moving_figures[0]], videos=20, task=Tempo)
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


def test_coclr_neighbors_are_those_of_the_other_stream(moving_figures, any_task):
    task = CoCLR(any_task("coclr").clip, 60)
    task.batches = 10
    model, head = network(task)
    clips, targets = batch_of(task, moving_figures)
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


def test_coclr_learns_alone_at_first(moving_figures, any_task):
    task = CoCLR(any_task("coclr").clip, 20)
    task.batches = 10
    model, head = network(task)
    batch = batch_of(task, moving_figures)
    state = {name: value.clone() for name, value in head.state_dict().items()}
    losses = {}
    for updates in (0, 5, 6, 9):
        head.load_state_dict(state)
        head.frames.updates.fill_(updates)
        losses[updates] = task.loss(model, head, *batch).total.item()
    assert NEIGHBORS_FROM == 0.6 and losses[0] == pytest.approx(losses[5], abs=0.02)
    assert losses[6] < losses[5] - 0.1 and losses[9] == pytest.approx(losses[6], abs=0.02)


def test_neighbors_are_other_videos_alone():
    scores = torch.tensor([[1.0, -torch.inf, 3, 2], [-torch.inf, 5, -torch.inf, -torch.inf]])
    assert nearest(scores, 2).tolist() == [[False, False, True, True], [False, True, False, False]]
    assert not nearest(scores, 0).any()


@pytest.mark.parametrize("task", [MoCo, Tempo])
def test_a_queue_continues_from_its_state(moving_figures, task):
    task, model, head, clips, targets = moco_of(moving_figures, videos=20, task=task)
    saved = [{name: value.clone() for name, value in part.state_dict().items()} for part in (model, head)]
    expected = task.loss(model, head, clips, targets).total
    fresh = network(task)
    for part, state in zip(fresh, saved, strict=True):
        part.load_state_dict(state)
    assert task.loss(*fresh, clips, targets).total.equal(expected)
    for name, value in fresh[1].state_dict().items():
        assert value.equal(head.state_dict()[name]), name


QUEUES = {"moco": 8, "tempo": 8, "coclr": 10}  # of ten keys one is a neighbor


def test_queues_are_the_same_on_two_processes(moving_figures, any_task, tmp_path):
    for name in QUEUES:
        clips, targets = batch_of(any_task(name), moving_figures)
        for rank in range(2):
            torch.save((clips.chunk(2)[rank], targets.chunk(2)[rank]), tmp_path / f"{name}{rank}.pt")
        torch.save((clips, targets), tmp_path / f"{name}.pt")
    spawn(_two_steps, (tmp_path,), nprocs=2)
    _two_steps(None, tmp_path)
    whole, *parts = (torch.load(tmp_path / f"made{rank}.pt") for rank in ("", 0, 1))
    for name, (losses, state) in whole.items():
        torch.testing.assert_close(sum(part[name][0] for part in parts) / 2, losses)
        for part in parts:
            torch.testing.assert_close(part[name][1], state)
        queues = [videos for key, videos in state.items() if key.endswith("videos")]
        assert queues and all(EMPTY not in videos for videos in queues)  # six keys a step


def _two_steps(rank: int | None, folder: Path) -> None:
    """The losses and the head of each task after two steps of a process, or of one alone, with frozen batch norm."""
    number = "" if rank is None else str(rank)
    if rank is not None:
        torch.distributed.init_process_group("gloo", f"file://{folder}/store", rank=rank, world_size=2)
    made = {}
    for name, length in QUEUES.items():
        task = TASKS[name](SMALL, length)
        model, head = network(task)
        freeze_batch_norm(model)
        freeze_batch_norm(head)
        batch = torch.load(folder / f"{name}{number}.pt")
        losses = torch.stack([task.loss(model, head, *batch).total.detach() for _ in range(2)])
        made[name] = losses, head.state_dict()
    torch.save(made, folder / f"made{number}.pt")
    if rank is not None:
        torch.distributed.destroy_process_group()
