"""How cost grows: with frames and pixels of a clip, with the number of videos, and with processes.

python benchmarks/growth.py --data DIR    # DIR holds mocap13; writes benchmarks/results/growth-*.json and a plot

Each size of clip is measured in a process of its own, whose greatest resident memory is its own, too; torch and the
package alone are in the first column. Videos are links to those of mocap13, so that 100,000 paths are 100,000 paths and
reading them costs what it costs. Processes are torchrun's, and share one batch.
"""

import argparse
import csv
import itertools
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from harness import endless_videos, save, where

REPO = Path(__file__).resolve().parents[1]
MODEL = "r3d50_quarter"
CLIPS = [*((frames, 112) for frames in (4, 8, 16, 32, 64)), *((8, size) for size in (160, 224, 320))]
VIDEOS = (100, 1_000, 10_000, 100_000)
PROCESSES = (1, 2, 4)


def one_size(frames: int, size: int) -> dict[str, float]:
    """Seconds and memory of a clip, in this process."""
    import cmpl_zoo

    network = cmpl_zoo.create_model(MODEL)
    clip = torch.randn(1, 3, frames, size, size)

    def inference() -> None:
        network.eval()
        with torch.inference_mode():
            network(clip)

    def training() -> None:
        network.train()
        network(clip).square().mean().backward()

    found: dict[str, float] = {"alone_mb": memory()}
    for name, action in (("inference", inference), ("training", training)):
        times = []
        for _ in range(6):
            began = time.perf_counter()
            action()
            times.append(time.perf_counter() - began)
        found |= {name: statistics.median(times[1:]), f"{name}_mb": memory()}
    return found


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_clips() -> dict[str, Any]:
    rows = []
    for frames, size in CLIPS:
        words = [sys.executable, __file__, "--one", str(frames), str(size)]
        rows.append((frames, size, json.loads(subprocess.run(words, check=True, capture_output=True).stdout)))
        print(*rows[-1], flush=True)
    volume = [frames * size**2 / (8 * 112**2) for frames, size, _ in rows]
    plot(rows)
    return {
        "experiment": "growth-clips",
        "caption": f"{MODEL}, one clip, {where()}; medians of 5. A clip of 8x112^2 is the unit of the second column.",
        "columns": ["clip", "values", "inference, ms", "a unit, ms", "training, ms", "a unit, ms",
                    "alone, MB", "inference, MB", "training, MB"],
        "rows": [
            [f"{frames}x{size}^2", f"{units:.1f}"]
            + [f"{1e3 * m[key] / per:.0f}" for key in ("inference", "training") for per in (1, units)]
            + [f"{m[key]:.0f}" for key in ("alone_mb", "inference_mb", "training_mb")]
            for (frames, size, m), units in zip(rows, volume, strict=True)
        ],
        "measured": rows,
    }  # fmt: skip


def plot(rows: list[tuple[int, int, dict[str, float]]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "growth"
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(8, 3.2))
    units = [frames * size**2 / (8 * 112**2) for frames, size, _ in rows]
    ticks = [10, 20, 50, 100, 200, 500]
    for axes, keys, scale, what_it_is in (
        (left, ("inference", "training"), 1e3, "time of a clip, ms"),
        (right, ("inference_mb", "training_mb"), 1.0, "memory without the package, MB"),
    ):
        for key in keys:
            base = [m["alone_mb"] if key.endswith("mb") else 0.0 for _, _, m in rows]
            values = [scale * (m[key] - zero) for (_, _, m), zero in zip(rows, base, strict=True)]
            for grown, marker in ((112, "o"), (None, "s")):
                chosen = sorted((u, v) for u, v, (frames, size, _) in zip(units, values, rows, strict=True)
                                if (size == 112 if grown else frames == 8))  # fmt: skip
                what = "frames" if grown else "pixels"
                axes.plot(*zip(*chosen, strict=True), marker=marker, label=f"{key.removesuffix('_mb')}, more {what}")
        axes.set(xscale="log", yscale="log", xlabel="size of the clip, in clips of 8x112^2", ylabel=what_it_is)
        axes.set_xticks([0.5, 1, 2, 4, 8], ["1/2", "1", "2", "4", "8"])
        axes.set_yticks(ticks, [str(tick) for tick in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(REPO / "benchmarks" / "growth.svg", metadata={"Date": None})


def measure_videos(mocap13: Path, steps: int = 24, rounds: int = 5) -> dict[str, Any]:
    from cmpl_zoo.datasets.lists import Videos
    from cmpl_zoo.datasets.training_steps import TrainingClip, TrainingSteps

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        longest = itertools.islice(endless_videos(mocap13, Path(scratch)), max(VIDEOS))
        paths = [f"{scratch}/{path}" for path, _ in longest]
        data = {}
        for count in VIDEOS:
            videos = Videos(paths[:count], [0] * count)
            data[count] = TrainingSteps(
                videos, videos, labeled_batch=2, unlabeled_batch=2, steps=steps * rounds,
                clips=[TrainingClip(frames=8, stride=4, size=56)], short_side=(60, 68),
            )  # fmt: skip
        times: dict[int, list[float]] = {count: [] for count in VIDEOS}
        for number in range(rounds):
            for count in VIDEOS:
                began = time.perf_counter()
                for step in range(number * steps, (number + 1) * steps):
                    data[count][step]
                times[count].append((time.perf_counter() - began) / (4 * steps))
    return {
        "experiment": "growth-videos",
        "caption": f"Reading and augmenting a clip of mocap13, one thread, {where()}; medians of {rounds} interleaved "
        f"rounds of {4 * steps} clips.",
        "columns": ["videos", "ms a clip"],
        "rows": [[f"{count:,}", f"{1e3 * statistics.median(of):.2f}"] for count, of in times.items()],
        "measured": times,
    }


def measure_processes(mocap13: Path) -> dict[str, Any]:
    rates = {}
    with tempfile.TemporaryDirectory() as scratch:
        with (mocap13 / "train.csv").open(newline="") as lines:
            rows = list(csv.DictReader(lines))[::10]
        with Path(scratch, "list.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["path", "label"])
            writer.writeheader()
            writer.writerows(rows)
        for processes in PROCESSES:
            output = Path(scratch, str(processes))
            torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
            options = {
                "config": REPO / "cmpl_zoo" / "training" / "recipes" / "demo.yaml",
                "labeled": Path(scratch, "list.csv"), "unlabeled": Path(scratch, "list.csv"), "root": mocap13,
                "primary": MODEL, "size": 112, "short_side": "[112,128]", "labeled_batch": 8, "unlabeled_batch": 8,
                "steps": 8, "unlabeled_warmup": 0, "warmup_steps": 0, "log_every": 2, "device": "cpu", "output": output,
            }  # fmt: skip
            chosen = [word for name, value in options.items() for word in (f"--{name}", str(value))]
            words = [sys.executable, *torchrun, str(REPO / "train" / "cmpl.py"), *chosen]
            subprocess.run(words, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
            log = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
            rates[processes] = statistics.median(line["clips_per_s"] for line in log[1:])
            print(processes, rates[processes], flush=True)
    return {
        "experiment": "growth-processes",
        "caption": f"Training {MODEL} and r3d50_eighth, 8 labeled and 8 unlabeled clips of 8x112^2 a step, one thread "
        f"a process, {where()}; median of three log lines of two steps.",
        "columns": ["processes", "clips/s", "over one"],
        "rows": [[count, f"{rate:.1f}", f"{rate / rates[1]:.2f}"] for count, rate in rates.items()],
        "measured": rates,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder that holds mocap13")
    parser.add_argument("--one", nargs=2, type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(one_size(*args.one)))
        return
    if args.data is None:
        parser.error("give --data, the folder that holds mocap13")
    mocap13 = (args.data / "mocap13").resolve()
    for result in (measure_videos(mocap13), measure_processes(mocap13), measure_clips()):
        save(result)
        print(*result["rows"], sep="\n", flush=True)


if __name__ == "__main__":
    main()
