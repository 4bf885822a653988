"""What the benchmarks share: their options, long lists of videos, the machine they ran on, and where results go."""

import argparse
import csv
import itertools
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cmpl_zoo._files import replace_text
from cmpl_zoo.datasets import EvaluationBatches, Videos, iterate
from cmpl_zoo.video.clips import view_config

RESULTS = Path(__file__).parent / "results"


def device_and_rounds(doc: str, rounds: int) -> tuple[torch.device, int]:
    """The options of a benchmark that runs on a CPU or a GPU, every network in turn in every round."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=rounds)
    args = parser.parse_args()
    return torch.device(args.device), args.rounds


def endless_videos(mocap13: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Ever new paths below `folder`, with labels: links in it lead to mocap13's training videos, again and again."""
    with (mocap13 / "train.csv").open(newline="") as lines:
        videos = [(row["path"], row["label"]) for row in csv.DictReader(lines)]
    for copy in itertools.count():
        link = folder / f"copy{copy:03d}"
        link.symlink_to(mocap13)
        yield from ((f"{link.name}/{path}", label) for path, label in videos)


def where(device: torch.device | None = None) -> str:
    """The machine and torch's version, for a caption."""
    on_gpu = device is not None and device.type == "cuda"
    machine = torch.cuda.get_device_name() if on_gpu else f"{os.cpu_count()} CPU cores ({processor()})"
    return f"{machine}, torch {torch.__version__.partition('+')[0]}"


def processor() -> str:
    """What the processor is called, and whether it has a unit for products of bf16 matrices."""
    return torch.cpu.get_capabilities().get("cpu_name", platform.machine()) + (" with AMX" if has_amx() else "")


def has_amx() -> bool:
    return bool(torch.cpu.get_capabilities().get("amx_bf16"))


def kind(device: torch.device) -> str:
    """Ends the name of a result, so that those of different kinds of machines stand side by side."""
    return f"{device.type}-amx" if device.type == "cpu" and has_amx() else device.type


def rows_over(times: dict[str, list[float]], base: str) -> list[list[str]]:
    """A row for each action: its median in ms, and the median of its ratio to another one, round by round.

    Args:
        times: seconds of every round, by action.
        base: the action that all are set against.
    """
    return [
        [
            name,
            f"{1e3 * statistics.median(seconds):.1f}",
            f"{statistics.median(a / b for a, b in zip(seconds, times[base], strict=True)):.2f}",
        ]
        for name, seconds in times.items()
    ]


def spent(action: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU time in seconds; worker processes count once they have ended."""

    def cpu() -> float:
        usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(usage.ru_utime + usage.ru_stime for usage in usages)

    wall, before = time.perf_counter(), cpu()
    action()
    return time.perf_counter() - wall, cpu() - before


def taking_turns(
    one: Callable[[], object], other: Callable[[], object], rounds: int
) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Wall times in seconds of two actions, in pairs round by round, and likewise CPU times; see `spent`."""
    pairs = []
    for number in range(rounds):
        first, second = (one, other) if number % 2 else (other, one)
        pairs.append({action: spent(action) for action in (first, second)})
    walls, cpus = ([(pair[one][place], pair[other][place]) for pair in pairs] for place in (0, 1))
    return walls, cpus


def reading_alone(paths: Sequence[str], config: dict[str, Any], workers: int) -> Callable[[], None]:
    """Decoding and resizing of the views of videos that a model asks for, by the loader that predicts and evaluates."""
    batches = EvaluationBatches(Videos(paths, np.arange(len(paths))), [view_config(config)])

    def read() -> None:
        for _ in iterate(batches, torch.device("cpu"), workers):
            pass

    return read


def views_of_a_video(config: dict[str, Any]) -> str:
    """Their number and size, for a table."""
    return f"{config['clips'] * config['crops']} x {config['frames']}x{'x'.join(map(str, config['size']))}"


def save(result: dict[str, Any]) -> Path:
    """Write a result under the name of its experiment."""
    file = RESULTS / f"{result['experiment']}.json"
    replace_text(file, json.dumps(result, indent=1) + "\n")
    return file
