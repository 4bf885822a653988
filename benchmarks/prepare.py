"""What `cmpl-zoo prepare` costs and saves: bytes, reading time and accuracy of copies, side by side in one run.

python benchmarks/prepare.py NAME LIST --root DIR [--short-sides 128 64] [--model MODEL]
"""

import argparse
import json
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

import av
from harness import save

from cmpl_zoo.datasets.lists import read_list
from cmpl_zoo.tools.prepare import X264_OPTIONS, PrepareSettings, prepare
from cmpl_zoo.tools.worker_pool import available_cores
from cmpl_zoo.video.video import Video

REPO = Path(__file__).resolve().parents[1]
FRAMES, STRIDE = 8, 8
DEFAULT = PrepareSettings(max_short_side=1 << 20, gop=16, crf=23)


def copies_to_make(short_sides: list[int]) -> dict[str, PrepareSettings]:
    """The settings of `prepare` that are compared, by the name of their row."""
    return {
        "GOP 16, crf 23": DEFAULT,
        "GOP 250, crf 23": replace(DEFAULT, gop=250),
        "GOP 16, crf 28": replace(DEFAULT, crf=28),
        **{f"GOP 16, crf 23, short side {side}": replace(DEFAULT, max_short_side=side) for side in short_sides},
    }


# What the default would be with another choice of encoder.
ENCODERS = {
    "GOP 16, crf 23, B-frames": X264_OPTIONS | {"bf": "3"},
    "GOP 16, crf 23, no tune=fastdecode": {name: value for name, value in X264_OPTIONS.items() if name != "tune"},
}


def encode_otherwise(source: str, target: Path, options: dict[str, str]) -> None:
    """The default copy of an upright video with even sides, but for x264's options."""
    target.parent.mkdir(parents=True, exist_ok=True)
    rest = {"crf": str(DEFAULT.crf), "g": str(DEFAULT.gop), "keyint_min": str(DEFAULT.gop)}
    with Video(source) as video, av.open(str(target), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=25, options=options | rest)
        for place, frame in enumerate(video.decode()):
            picture = frame.reformat(frame.width // 2 * 2, frame.height // 2 * 2, "yuv420p", threads=1)
            if place == 0:
                stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
            picture.pts, picture.time_base, picture.pict_type = place, 1 / stream.codec_context.framerate, 0
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def clip_indices(frames: int, rng: random.Random) -> dict[str, list[int]]:
    """A random clip as in training, and frames spread over the whole video."""
    start = rng.randrange(max(1, frames - STRIDE * (FRAMES - 1)))
    return {
        "clip": [min(start + STRIDE * i, frames - 1) for i in range(FRAMES)],
        "spread": [frames * (2 * i + 1) // (2 * FRAMES) for i in range(FRAMES)],
    }


def time_reading(places: dict[str, list[str]], rounds: int) -> dict[str, list[dict[str, float]]]:
    """Milliseconds to open a video and read a clip: the median over rounds, for each file of each row in turn."""
    rng = random.Random(0)
    times: dict[str, list[dict[str, float]]] = {row: [] for row in places}
    for files in zip(*places.values(), strict=True):
        with Video(files[0]) as video:
            draws = [clip_indices(video.num_frames, rng) for _ in range(rounds)]
        taken: dict[str, dict[str, list[float]]] = {row: {"clip": [], "spread": []} for row in places}
        for draw in draws:
            for row, file in zip(places, files, strict=True):
                for kind, indices in draw.items():
                    begun = time.perf_counter()
                    with Video(file) as video:
                        video.read(indices)
                    taken[row][kind].append(1000 * (time.perf_counter() - begun))
        for row, kinds in taken.items():
            times[row].append({kind: statistics.median(values) for kind, values in kinds.items()})
    return times


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
        print(row, prepare(video_list, args.root, root, settings, workers=available_cores())[1])
        roots[row] = (root, root / f"{args.list.stem}.csv")
    paths = {row: list(read_list(file, root, labeled=False).paths) for row, (root, file) in roots.items()}
    for number, (row, options) in enumerate(ENCODERS.items()):
        root = scratch / f"encoder{number}"
        paths[row] = []
        for source, copy in zip(paths["original"], paths["GOP 16, crf 23"], strict=True):
            target = root / Path(copy).relative_to(roots["GOP 16, crf 23"][0])
            encode_otherwise(source, target, options)
            paths[row].append(str(target))
        roots[row] = (root, roots["GOP 16, crf 23"][1])

    step = max(1, len(video_list) // args.timed)
    times = time_reading({row: files[::step] for row, files in paths.items()}, args.rounds)
    copies: dict[str, dict[str, Any]] = {}
    for row, files in paths.items():
        ratios = {
            kind: statistics.median(t[kind] / o[kind] for t, o in zip(times[row], times["original"], strict=True))
            for kind in ("clip", "spread")
        }
        copies[row] = {
            "bytes": sum(os.path.getsize(file) for file in files),
            "clip_ms": statistics.median(t["clip"] for t in times[row]),
            "spread_ms": statistics.median(t["spread"] for t in times[row]),
            "clip_ratio": ratios["clip"],
            "spread_ratio": ratios["spread"],
            "top1": accuracy(args.model, roots[row][1], roots[row][0], scratch) if args.model else None,
        }
        print(row, copies[row])
    return {
        "experiment": f"prepare-{args.name}",
        "videos": len(video_list),
        "timed": len(times["original"]),
        "rounds": args.rounds,
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
