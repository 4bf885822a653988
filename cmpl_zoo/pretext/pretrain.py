"""Pretraining: a network learns by a task that videos answer themselves."""

import json
import math
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from cmpl_zoo._files import as_csv
from cmpl_zoo.datasets.lists import read_list
from cmpl_zoo.distributed import Ranks, set_up_device
from cmpl_zoo.models import VideoModel, create_model
from cmpl_zoo.models.freezing import freeze_batch_norm
from cmpl_zoo.pretext import TASKS
from cmpl_zoo.pretext.finish import save_result
from cmpl_zoo.pretext.flow import flow_path
from cmpl_zoo.pretext.steps import PretextBatch, PretextSteps
from cmpl_zoo.pretext.task import PretextClip, PretextLoss, Task
from cmpl_zoo.tools.own_videos import more_videos
from cmpl_zoo.training.clip_input import ClipInput
from cmpl_zoo.training.errors import RunError
from cmpl_zoo.training.lists import check_some_readable, warn_of_warmup
from cmpl_zoo.training.loop import Loop
from cmpl_zoo.training.meters import Meters
from cmpl_zoo.training.networks import check_is_name, distribute, start_from
from cmpl_zoo.training.optimization import Optimization
from cmpl_zoo.training.own_lists import put_back_lists, write_own_lists
from cmpl_zoo.training.plan import how_long
from cmpl_zoo.training.progress import loss_in_words
from cmpl_zoo.training.provenance import digests
from cmpl_zoo.training.run_folder import (
    LISTS,
    RECORD,
    check_lists,
    check_room,
    continues,
    lock_own,
    needed,
    open_run,
)
from cmpl_zoo_cli.pretrain_config import PretrainConfig


class Pretext(nn.Module):
    """A network with the head of a task; one call is the loss of a batch.

    Args:
        network: without a classifier.
        task: that it learns by.
        config: of the run.
    """

    def __init__(self, network: VideoModel, task: Task, config: PretrainConfig) -> None:
        super().__init__()
        self.network, self.task = network, task
        self.head = task.head(network)
        self.input = ClipInput(network, place=0)
        if config.batch_norm == "frozen":
            freeze_batch_norm(self)

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that weight decay spares, beside biases and norms; timm asks for them."""
        return {f"network.{name}" for name in self.network.no_weight_decay()}

    def forward(self, batch: PretextBatch) -> PretextLoss:
        """The loss of clips as `PretextSteps` makes them."""
        return self.task.loss(self.network, self.head, self.input([batch["clips"]]), batch["targets"])


class PretextMeters(Meters):
    """The loss, and the share of questions that were answered right."""

    def update(self, loss: PretextLoss, clips: PretextBatch, share: float) -> None:
        self.clips += len(clips["targets"])
        share /= self.ranks.size
        self._add("loss", share * loss.total)
        self._add("right", share * loss.right)


class PretextLoop(Loop):
    """A loop that learns by a pretext task."""

    steps: PretextSteps

    def _in_words(self, line: dict[str, Any]) -> str:
        chance = self.steps.task.chance
        right = "" if line["right"] is None else f", {line['right']:.0%} right (by chance {chance})"
        return f"{loss_in_words(line)}{right}"


class Prepared(NamedTuple):
    """What a run learns from, once it has been looked at.

    Attributes:
        config: with `steps`, and with a list in place of a folder of videos.
        videos: their paths.
        task: that makes clips of them.
    """

    config: PretrainConfig
    videos: Sequence[str]
    task: Task


def prepare(config: PretrainConfig, ranks: Ranks, until_end: ExitStack) -> Prepared:
    """Make the list of a folder of videos, and look at some of them.

    Args:
        config: options of the run.
        ranks: the processes that share it.
        until_end: see `write_own_lists`.

    Raises:
        ListError, VideoError, StorageError: the list or videos cannot be used.
        RunError: there is one video alone, or the folder of the run cannot be had.
    """
    root = config.unlabeled if Path(config.unlabeled).is_dir() else config.root
    config = listed(config, ranks, until_end)
    videos = read_list(config.unlabeled, config.root, labeled=False).paths
    if len(videos) < 2:
        raise RunError(f"{config.unlabeled}: has one video, and a task needs others to tell it from; give more")
    ranks.first_alone(lambda: check_some_readable(videos, config.unlabeled, "--unlabeled and --root"))
    flow = None
    if config.flow is not None:
        flow = partial(flow_path, root=root, folder=config.flow)
        check_some_have_flow(videos, flow, config.flow, ranks)
    steps = config.steps or math.ceil((config.epochs or 0) * len(videos) / config.batch)
    clip = PretextClip(
        config.frames, config.stride, config.size, config.short_side, flow, one_color=config.subtract_mean_frame
    )
    try:
        task = TASKS[config.task](clip, len(videos))
    except ValueError as error:
        raise RunError(f"--task {config.task} {error}") from error
    task.batches, task.accumulation = steps * config.accumulation, config.accumulation
    config = replace(config, steps=steps, epochs=None)
    warn_of_warmup(config, ranks)
    return Prepared(config, videos, task)


def plan(prepared: Prepared) -> list[str]:
    """Four lines: how many videos, which task, by what network, and how long.

    Builds the network and computes a few steps, whose time is that of this machine now.

    Raises:
        RunError, DeviceError: the network cannot be built, or there is no such device.
        VideoError, WorkerError: the first videos cannot be read.
    """
    config, videos, task = prepared
    pretext = build_pretext(config, task)
    of_a_video = "" if task.clips == 1 else f", {task.clips} clips of each"
    takes = how_long(pretext, pretext_steps(prepared), lambda batch: pretext(batch).total, config)
    return [
        f"videos      {len(videos)}, whose labels, if any, are not looked at",
        f"task        {config.task}: {task.question().partition(':')[0]} (right by chance: {task.chance})",
        f"network     {config.model} from {config.init or 'random weights'}",
        f"training    {config.steps} steps of {config.batch} videos{of_a_video}, {takes}",
    ]


def pretext_steps(prepared: Prepared, rank: int = 0, world_size: int = 1) -> PretextSteps:
    """The batches of a rank, by the number of the step."""
    config, videos, task = prepared
    assert config.steps is not None
    return PretextSteps(
        videos, task, batch=config.batch, steps=config.steps, seed=config.seed, rank=rank, world_size=world_size
    )


def pretrain(prepared: Prepared, ranks: Ranks) -> Path:
    """One run, from a list of videos to a model directory without a classifier.

    Args:
        prepared: its options, videos and task.
        ranks: the processes that share it.

    Returns:
        The run's folder: the model directory `model`, metrics.jsonl, summary.json, report.html, states.

    Raises:
        VideoError, StorageError, WorkerError: videos cannot be used.
        RunError: the run cannot start or continue.
        RankError: a process was lost.
        StopRequested: a signal came, and the state is saved.
    """
    # Build
    config, videos, task = prepared
    torch.manual_seed(config.seed)
    device = set_up_device(config.device, ranks.local)
    pretext = build_pretext(config, task).to(device).to(memory_format=torch.channels_last_3d)
    model = distribute(pretext, config, {"batch": config.batch}, ranks, device)
    optimization = Optimization(pretext, model, pretext, config, device)
    steps = pretext_steps(prepared, ranks.rank, ranks.size)

    with open_run(config, ranks):
        run = PretextLoop(
            config,
            Path(config.output),
            ranks,
            steps=steps,
            device=device,
            state={"pretext": pretext} | optimization.state,
            learned=[pretext],
            digests=digests(config.unlabeled),
            videos=len(videos),
            meters=partial(PretextMeters, device, ranks),
        )

        # The loop
        pretext.train()
        with run.interrupt, ranks.together():
            for batch in run.batches():
                gradient_norm = optimization.step(run, batch)
                run.end_step(gradient_norm, lr=optimization.lr)

        # Finish
        if run.log:
            save_result(pretext.network, config, run, steps)
            run.log.close()
            print(run.folder)
    return run.folder


def listed(config: PretrainConfig, ranks: Ranks, until_end: ExitStack) -> PretrainConfig:
    """The config with a list in place of a folder of videos; it is made in DIR/lists when the run begins."""
    if not Path(config.unlabeled).is_dir():
        return config
    folder = Path(config.output, LISTS)
    made_from = json.dumps({"unlabeled": os.path.abspath(config.unlabeled)}) + "\n"

    def make() -> None:
        lock_own(folder.parent, until_end)
        put_back_lists(folder.parent)
        if continues(config, ranks):
            if not (folder / RECORD).exists():
                raise RunError(
                    f"{folder.parent} holds a run whose list was given; continue it with the same --unlabeled"
                )
            if (folder / RECORD).read_text(encoding="utf-8") != made_from:
                raise RunError(f"{folder} has the list of another folder; give the same, or another --output")
            return
        check_room(folder.parent, config.overwrite, needed(config))
        check_lists(folder)
        rows = more_videos(config.unlabeled, config.root)
        write_own_lists({"unlabeled.csv": as_csv(rows, ["path"]), RECORD: made_from}, folder.parent, until_end)

    ranks.first_alone(make)
    return replace(config, unlabeled=str(folder / "unlabeled.csv"), root=".")


def check_some_have_flow(videos: Sequence[str], flow: Callable[[str], str], folder: str, ranks: Ranks) -> None:
    """Raise an error where a folder is none of flow, or where none of a few videos has flow that can be read."""
    if not Path(folder, "flow.json").exists():  # as of the folder of the videos themselves
        raise RunError(f"--flow {folder} holds no flow.json, which `cmpl-zoo flow` writes there; give its folder")
    tried = [flow(videos[index]) for index in range(0, len(videos), max(1, len(videos) // 10))]
    ranks.first_alone(lambda: check_some_readable(tried, folder, "--flow, which cmpl-zoo flow fills, and --root"))


def build_pretext(config: PretrainConfig, task: Task) -> Pretext:
    """The network with the head of its task.

    Raises:
        RunError: the network cannot be built, or the task cannot be learned by it.
    """
    network = build_network(config)
    try:
        return Pretext(network, task, config)
    except ValueError as error:
        raise RunError(f"--task {config.task} {error}") from error


def build_network(config: PretrainConfig) -> VideoModel:
    """The network without a classifier, from random weights or those of `init`.

    Raises:
        RunError: the model is unknown, cannot take such clips, or weights to start from do not fit it.
    """
    try:
        check_is_name(config.model, "model", "init")
        network = create_model(
            config.model,
            num_classes=0,
            subtract_mean_frame=config.subtract_mean_frame,
            normalize_clip=config.normalize_clip,
            clip={"frames": config.frames, "stride": config.stride},
            pretrained_cfg_overlay={"input_size": (3, config.size, config.size), "crop_pct": config.crop_pct},
        )
        network.check_input(config.frames, (config.size, config.size))
        if config.init is not None:
            start_from(config.init, network, config.model, "init")
    except (ValueError, RuntimeError, OSError) as error:
        raise RunError(str(error)) from error
    network.set_grad_checkpointing(config.grad_checkpointing)
    if config.compile:
        network.compile()
    return network
