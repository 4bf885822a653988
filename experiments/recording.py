"""How much of a recording its timeline names right: videos of a list joined into one recording, in known order.

python experiments/recording.py join LIST --root DIR -o recording.mp4    # and recording.csv: video,label,start,end
python experiments/recording.py score recording.csv bouts.csv            # bouts.csv is of cmpl-zoo predict --bouts

The order is random, the same for a seed. Pictures are fitted into one size, with black borders, at one frame rate.
"""

import argparse
import csv
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from torchvision.transforms.v2 import functional as tv

from cmpl_zoo._files import as_csv, replace_text
from cmpl_zoo.datasets import read_list
from cmpl_zoo.video import Video

WIDTH, HEIGHT, FPS = 320, 240, 30


def join(file: Path, root: Path, target: Path, seed: int) -> float:
    """Write the recording and, beside it, the list of its parts; returns its length in seconds."""
    videos = read_list(file, root)
    order = list(range(len(videos)))
    random.Random(seed).shuffle(order)
    parts, number = [], 0
    with av.open(str(target), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in order:
            first = number
            with Video(videos.paths[index]) as video:
                frames = video.read(range(video.num_frames)).permute(0, 3, 1, 2)
                times = video.timestamps or [i / FPS for i in range(len(frames))]
            scale = min(WIDTH / frames.shape[3], HEIGHT / frames.shape[2])
            height, width = (int(side * scale) // 2 * 2 for side in frames.shape[2:])
            left, top = (WIDTH - width) // 2, (HEIGHT - height) // 2
            frames = tv.pad(tv.resize(frames, [height, width], antialias=True), [left, top, WIDTH - width - left,
                                                                               HEIGHT - height - top])  # fmt: skip
            shown = 0
            for at in range(max(1, round((times[-1] + times[-1] / max(1, len(times) - 1)) * FPS))):
                while shown + 1 < len(times) and times[shown + 1] <= at / FPS:
                    shown += 1
                picture = av.VideoFrame.from_ndarray(frames[shown].permute(1, 2, 0).contiguous().numpy(), "rgb24")
                picture.pts, picture.time_base = number, Fraction(1, FPS)
                container.mux(stream.encode(picture))
                number += 1
            label = videos.labels[index] if videos.labels else ""
            parts.append({"video": target.name, "label": label, "start": f"{first / FPS:.3f}",
                          "end": f"{number / FPS:.3f}"})  # fmt: skip
        container.mux(stream.encode())
    replace_text(target.with_suffix(".csv"), as_csv(parts, list(parts[0])))
    return number / FPS


def score(truth: Path, bouts: Path) -> tuple[float, float]:
    """The share of seconds whose label is right, and that of the most frequent label, both in percent."""
    parts, found = (
        [(row["label"], float(row["start"]), float(row["end"])) for row in csv.DictReader(file.open(newline=""))]
        for file in (truth, bouts)
    )
    seconds: dict[str, float] = {}
    for label, start, end in parts:
        seconds[label] = seconds.get(label, 0) + end - start
    right = sum(
        max(0.0, min(end, until) - max(start, since))
        for label, start, end in parts
        for name, since, until in found
        if name == label
    )
    return 100 * right / sum(seconds.values()), 100 * max(seconds.values()) / sum(seconds.values())


def main() -> None:
    parser = argparse.ArgumentParser(prog="recording.py", description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("join")
    verb.add_argument("list", type=Path)
    verb.add_argument("--root", type=Path, default=Path())
    verb.add_argument("-o", "--output", type=Path, required=True)
    verb.add_argument("--seed", type=int, default=0)
    verb = verbs.add_parser("score")
    verb.add_argument("truth", type=Path)
    verb.add_argument("bouts", type=Path)
    args = parser.parse_args()
    if args.verb == "join":
        print(f"{args.output}  {join(args.list, args.root, args.output, args.seed):.1f} s")
    else:
        right, largest = score(args.truth, args.bouts)
        print(f"{right:.1f} % of the seconds are labeled right; always the most frequent label: {largest:.1f} %")


if __name__ == "__main__":
    main()
