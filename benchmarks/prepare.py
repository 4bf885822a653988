"""What `cmpl-zoo prepare` costs and saves: bytes, reading time and accuracy of copies, side by side in one run.

python benchmarks/prepare.py NAME LIST --root DIR [--short-sides 128 64] [--model MODEL]
"""

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from harness import save

from cmpl_zoo.datasets.lists import read_list
from cmpl_zoo.datasets.loader import available_cores
from cmpl_zoo.tools import prepare as preparing
from cmpl_zoo.tools.prepare import X264_OPTIONS, PrepareSettings
from cmpl_zoo.video.video import Video

REPO = Path(__file__).resolve().parents[1]
FRAMES, STRIDES = 8, (1, 4, 8)
DEFAULT = PrepareSettings(max_short_side=1 << 20, gop=32, crf=23)


def copies_to_make(short_sides: list[int]) -> dict[str, PrepareSettings]:
    """The settings of `prepare` that are compared, by the name of their row."""
    return {
        "default": DEFAULT,
        "GOP 16": replace(DEFAULT, gop=16),
        "GOP 64": replace(DEFAULT, gop=64),
        "crf 28": replace(DEFAULT, crf=28),
        **{f"short side {side}": replace(DEFAULT, max_short_side=side) for side in short_sides},
    }


# What the default would be with another choice of encoder.
NO_B_FRAMES = X264_OPTIONS | {"bf": "0"}
PLAIN = "no B-frames, GOP 16"  # what all rows are set against
ENCODERS: dict[str, tuple[PrepareSettings, dict[str, str]]] = {
    PLAIN: (replace(DEFAULT, gop=16), NO_B_FRAMES),
    "x264's B-frames, GOP 16": (
        replace(DEFAULT, gop=16),
        X264_OPTIONS | {"bf": "3", "b_strategy": "1", "b-pyramid": "normal"},
    ),
    "keyframes alone": (replace(DEFAULT, gop=1), NO_B_FRAMES),
    "keyframes alone, crf 16": (replace(DEFAULT, gop=1, crf=16), NO_B_FRAMES),
    "no tune=fastdecode": (DEFAULT, {name: value for name, value in X264_OPTIONS.items() if name != "tune"}),
}


def clip_indices(frames: int, rng: random.Random) -> dict[str, list[int]]:
    """A random clip of each stride, as in training, and frames spread over the whole video."""
    clips = {}
    for stride in STRIDES:
        start = rng.randrange(max(1, frames - stride * (FRAMES - 1)))
        clips[f"stride {stride}"] = [min(start + stride * i, frames - 1) for i in range(FRAMES)]
    return clips | {"spread": [frames * (2 * i + 1) // (2 * FRAMES) for i in range(FRAMES)]}


def time_reading(places: dict[str, list[str]], rounds: int) -> dict[str, list[dict[str, float]]]:
    """CPU milliseconds to open a video and read a clip: the median over rounds, for each file of each row in turn."""
    rng = random.Random(0)
    times: dict[str, list[dict[str, float]]] = {row: [] for row in places}
    for files in zip(*places.values(), strict=True):
        with Video(files[0]) as video:
            draws = [clip_indices(video.num_frames, rng) for _ in range(rounds)]
        taken: dict[str, dict[str, list[float]]] = {row: {kind: [] for kind in draws[0]} for row in places}
        for draw in draws:
            for row, file in zip(places, files, strict=True):
                for kind, indices in draw.items():
                    begun = time.process_time()
                    with Video(file) as video:
                        video.read(indices)
                    taken[row][kind].append(1000 * (time.process_time() - begun))
        for row, kinds in taken.items():
            times[row].append({kind: statistics.median(values) for kind, values in kinds.items()})
    return times


def likeness(original: str, copy: str) -> float | None:
    """Peak signal-to-noise ratio of brightness, in dB, mean of the frames; None where the sizes differ."""
    ratios = []
    with Video(original) as before, Video(copy) as after:
        for one, other in zip(before.decode(), after.decode(), strict=False):
            if (one.width // 2 * 2, one.height // 2 * 2) != (other.width, other.height):
                return None
            picture = one.reformat(other.width, other.height, "yuv420p").to_ndarray(format="gray").astype(np.float32)
            error = float(np.square(picture - other.to_ndarray(format="gray")).mean())
            ratios.append(10 * math.log10(255**2 / max(error, 1e-3)))
    return statistics.mean(ratios)


def accuracy(model: str, file: Path, root: Path, scratch: Path) -> float:
    """Top-1 in percent, by train/evaluate.py with the model's own views."""
    command = [sys.executable, str(REPO / "train" / "evaluate.py"), model, "--data", str(file)]
    scores = scratch / "scores.json"
    subprocess.run([*command, "--root", str(root), "--json", str(scores)], check=True, stdout=subprocess.DEVNULL)
    return json.loads(scores.read_text())["video_top1"]


def measure(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    video_list = read_list(args.list, args.root, labeled=False)
    roots: dict[str, tuple[Path, Path]] = {"original": (args.root, args.list)}
    for number, (row, settings) in enumerate(copies_to_make(args.short_sides).items()):
        root = scratch / f"copies{number}"
        print(row, preparing.prepare(video_list, args.root, root, settings, workers=available_cores())[1])
        roots[row] = (root, root / f"{args.list.stem}.csv")
    paths = {row: list(read_list(file, root, labeled=False).paths) for row, (root, file) in roots.items()}
    for number, (row, (settings, options)) in enumerate(ENCODERS.items()):
        root = scratch / f"encoder{number}"
        preparing.X264_OPTIONS = options
        targets = [root / Path(copy).relative_to(roots["default"][0]) for copy in paths["default"]]
        for source, target in zip(paths["original"], targets, strict=True):
            preparing.prepare_video(source, str(target), settings)
        paths[row] = [str(target) for target in targets]
        roots[row] = (root, roots["default"][1])

    step = max(1, len(video_list) // args.timed)
    times = time_reading({row: files[::step] for row, files in paths.items()}, args.rounds)
    copies: dict[str, dict[str, Any]] = {}
    for row, files in paths.items():
        psnr = [likeness(*pair) for pair in zip(paths["original"][::step], files[::step], strict=True)]
        same_size = [value for value in psnr if value is not None]
        copies[row] = {
            "bytes": sum(os.path.getsize(file) for file in files),
            "largest": max(
                os.path.getsize(file) / os.path.getsize(plain) for file, plain in zip(files, paths[PLAIN], strict=True)
            ),
            "psnr": statistics.mean(same_size) if row != "original" and len(same_size) > len(psnr) / 2 else None,
            "ms": {kind: statistics.median(t[kind] for t in times[row]) for kind in times[row][0]},
            "ratios": {
                kind: [statistics.median(ratios), max(ratios)]
                for kind in times[row][0]
                for ratios in [[t[kind] / f[kind] for t, f in zip(times[row], times[PLAIN], strict=True)]]
            },
            "top1": accuracy(args.model, roots[row][1], roots[row][0], scratch) if args.model else None,
        }
        print(row, copies[row])
    return {
        "experiment": f"prepare-{args.name}",
        "videos": len(video_list),
        "timed": len(times["original"]),
        "rounds": args.rounds,
        "base": PLAIN,
        "copies": copies,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", help="of the result, benchmarks/results/prepare-NAME.json")
    parser.add_argument("list", type=Path, help="videos that are whole, upright and have even sides")
    parser.add_argument("--root", type=Path, default=Path("."), help="folder that the paths are relative to")
    parser.add_argument("--short-sides", type=int, nargs="*", default=[], help="copies with these, too")
    parser.add_argument("--model", help="model to measure the accuracy of; the list must have labels")
    parser.add_argument("--timed", type=int, default=60, help="videos whose reading is timed, evenly spread")
    parser.add_argument("--rounds", type=int, default=5, help="clips of each")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        result = measure(args, Path(scratch))
    print(save(result))


if __name__ == "__main__":
    main()
