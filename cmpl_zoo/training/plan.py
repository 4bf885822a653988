"""What a run will do and how long that takes, in a few lines, before it begins."""

import itertools
import statistics
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from cmpl_zoo.datasets.loader import iterate
from cmpl_zoo.distributed import Ranks, set_up_device
from cmpl_zoo.precision import autocast
from cmpl_zoo.training.cmpl import CMPL
from cmpl_zoo.training.lists import TrainingLists, number_of_steps, training_steps
from cmpl_zoo.training.networks import build_networks
from cmpl_zoo.training.provenance import hardware
from cmpl_zoo_cli.run_options import RunOptions
from cmpl_zoo_cli.train_config import Config

WARM_UP, MEASURED = 2, 4  # steps; our choice
MOST_CLASSES = 8  # that are counted one by one
UNITS = ((2 * 86400, 86400, "days"), (5400, 3600, "hours"), (90, 60, "minutes"), (0, 1, "seconds"))


def plan(config: Config, lists: TrainingLists, held_out: str, unlabeled: str, reason: str) -> list[str]:
    """Five lines: what is learned from, with and without labels, what is validated on, by what, and how long.

    Builds the networks and computes a few steps, whose time is that of this machine now.

    Args:
        config: of the run.
        lists: its videos.
        held_out: how the videos to validate on were chosen.
        unlabeled: which videos are without a label, after their number.
        reason: where the recipe comes from.

    Raises:
        RunError, DeviceError: the networks cannot be built, or there is no such device.
        VideoError, WorkerError: the first videos cannot be read.
    """
    config = replace(config, steps=number_of_steps(config, lists), epochs=None)
    cmpl = CMPL(build_networks(config, lists.classes), config)
    batches = training_steps(config, lists, Ranks())
    sizes = Counter(lists.classes[i] for i in lists.labeled.ids)
    names = ", ".join(f"{name} {size}" for name, size in sizes.most_common(MOST_CLASSES))
    more = ", ..." if len(sizes) > MOST_CLASSES else ""
    networks = [(config.primary, config.init)]
    if config.auxiliary:
        networks.append((config.auxiliary, config.auxiliary_init))
    built = " and ".join(f"{name} from {init or 'random weights'}" for name, init in networks)
    clips = f"{config.labeled_batch} labeled" + (
        f" and {config.unlabeled_batch} unlabeled clips" if lists.unlabeled else " clips"
    )
    without = f"{len(lists.unlabeled)} videos{unlabeled}" if lists.unlabeled else "none: learns from the labels alone"
    return [
        f"labeled     {len(lists.labeled)} videos of {len(lists.classes)} classes: {names}{more}",
        f"unlabeled   {without}",
        f"validation  {f'{len(lists.val)} videos, {held_out}' if lists.val else 'none'}",
        f"networks    {built} ({reason})",
        f"training    {config.steps} steps of {clips}, "
        + how_long(cmpl, batches, lambda batch: cmpl(batch, config.lambda_u).total, config),
    ]


def how_long(module: nn.Module, batches: Dataset[Any], loss: Callable[[Any], Tensor], config: RunOptions) -> str:
    """How long a run takes on this machine, in words, measured now.

    Args:
        module: what learns.
        batches: of the run.
        loss: of a batch, computed by the module.
        config: of the run, with `steps`.
    """
    assert config.steps is not None
    device = set_up_device(config.device)
    module.to(device).to(memory_format=torch.channels_last_3d).train()
    seconds = seconds_per_step(module, batches, loss, config, device)
    machine = hardware(config.precision, device, Ranks())
    return f"about {in_words(config.steps * seconds)}, at {seconds:.2g} s a step measured now on {machine}"


def seconds_per_step(
    module: nn.Module, batches: Dataset[Any], loss: Callable[[Any], Tensor], config: RunOptions, device: torch.device
) -> float:
    """The median time of a few steps of a run, with reading and without the optimizer; nothing is learned."""
    times = [time.perf_counter()]
    for batch in iterate(batches, device, config.workers, range(min(WARM_UP + MEASURED, config.steps or 1))):
        with autocast(device, config.precision):
            total = loss(batch)
        total.backward()
        module.zero_grad()
        float(total.detach())  # a GPU computes beside this program until it is asked for a number
        times.append(time.perf_counter())
    durations = [end - start for start, end in itertools.pairwise(times)]
    return statistics.median(durations[WARM_UP:] or durations)


def in_words(seconds: float) -> str:
    """A time in words, rounded."""
    size, unit = next((size, unit) for least, size, unit in UNITS if seconds >= least)
    number = max(1, round(seconds / size))
    return f"{number} {unit.removesuffix('s') if number == 1 else unit}"
