"""What a run will do and how long that takes, in five lines, before it begins."""

import itertools
import statistics
import time
from collections import Counter
from dataclasses import replace

import torch

from cmpl_zoo.datasets.loader import iterate
from cmpl_zoo.distributed import Ranks, pick_device
from cmpl_zoo.precision import autocast
from cmpl_zoo.training.cmpl import CMPL
from cmpl_zoo.training.lists import TrainingLists, number_of_steps, training_steps
from cmpl_zoo.training.networks import build_networks
from cmpl_zoo.training.provenance import hardware
from cmpl_zoo_cli.train_config import Config

WARM_UP, MEASURED = 2, 4  # steps; our choice
MOST_CLASSES = 8  # that are counted one by one
UNITS = ((2 * 86400, 86400, "days"), (5400, 3600, "hours"), (90, 60, "minutes"), (0, 1, "seconds"))


def plan(config: Config, lists: TrainingLists, held_out: str, reason: str) -> list[str]:
    """Five lines: what is learned from, with and without labels, what is validated on, by what, and how long.

    Builds the networks and computes a few steps, whose time is that of this machine now.

    Args:
        config: of the run.
        lists: its videos.
        held_out: how the videos to validate on were chosen.
        reason: where the recipe comes from.

    Raises:
        RunError, DeviceError: the networks cannot be built, or there is no such device.
        VideoError, WorkerError: the first videos cannot be read.
    """
    steps = number_of_steps(config, lists)
    seconds = seconds_per_step(replace(config, steps=steps, epochs=None), lists)
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
    takes = f"about {duration(steps * seconds)}, at {seconds:.2g} s a step measured now on"
    machine = hardware(config.precision, pick_device(config.device), Ranks())
    return [
        f"labeled     {len(lists.labeled)} videos of {len(lists.classes)} classes: {names}{more}",
        f"unlabeled   {f'{len(lists.unlabeled)} videos' if lists.unlabeled else 'none: learns from the labels alone'}",
        f"validation  {f'{len(lists.val)} videos, {held_out}' if lists.val else 'none'}",
        f"networks    {built} ({reason})",
        f"training    {steps} steps of {clips}, {takes} {machine}",
    ]


def seconds_per_step(config: Config, lists: TrainingLists) -> float:
    """The median time of a few steps of a run, with reading and without the optimizer; nothing is learned.

    Args:
        config: of the run, with `steps`.
        lists: its videos.
    """
    device = pick_device(config.device)
    torch.manual_seed(config.seed)
    cmpl = CMPL(build_networks(config, lists.classes), config).to(device).to(memory_format=torch.channels_last_3d)
    cmpl.train()
    batches = training_steps(config, lists, Ranks())
    times = [time.perf_counter()]
    for batch in iterate(batches, device, config.workers, range(min(WARM_UP + MEASURED, len(batches)))):
        with autocast(device, config.precision):
            loss = cmpl(batch, config.lambda_u)
        loss.total.backward()
        cmpl.zero_grad()
        float(loss.total.detach())  # a GPU computes beside this program until it is asked for a number
        times.append(time.perf_counter())
    durations = [end - start for start, end in itertools.pairwise(times)]
    return statistics.median(durations[WARM_UP:] or durations)


def duration(seconds: float) -> str:
    """A time in words, rounded."""
    size, unit = next((size, unit) for least, size, unit in UNITS if seconds >= least)
    number = max(1, round(seconds / size))
    return f"{number} {unit.removesuffix('s') if number == 1 else unit}"
