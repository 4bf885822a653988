"""What `cmpl-zoo features` costs beside reading the videos alone, with as many processes that read.

python benchmarks/features.py --data SHARED_DATA    # writes benchmarks/results/features.json, some minutes

The videos are those of `fights`. Reading alone is decoding and resizing the same views by the same loader. The two take
turns. CPU time is that of all processes, and says more than wall time where something else runs on the machine.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path

from harness import reading_alone, save, taking_turns, views_of_a_video, where

from cmpl_zoo.datasets import read_list
from cmpl_zoo.features import extract_features
from cmpl_zoo.models import create_model
from cmpl_zoo.video.clips import resolve_clip_config

NETWORKS = ("r3d50_eighth.cmpl_demo", "model_cards/r3d50_quarter.cmpl_mocap13")


def measure(name: str, data: Path, workers: int, rounds: int) -> list[str]:
    """A row of the table."""
    model = create_model(name, pretrained=True).eval()
    config = resolve_clip_config(model)
    root = data / "fights"
    videos = read_list(root / "videos.csv", root)
    read = reading_alone(videos.paths, config, workers)

    def extract() -> None:
        with tempfile.TemporaryDirectory() as folder:
            extract_features(model, name, videos, root, Path(folder, "features.npz"), workers=workers)

    walls, cpus = taking_turns(read, extract, rounds)
    medians = [f"{statistics.median(per_action):.1f}" for per_action in zip(*walls, strict=True)]
    ratios = [statistics.median(other / one for one, other in per_round) for per_round in (walls, cpus)]
    return [f"`{Path(name).name}`", views_of_a_video(config), *medians, *(f"{ratio:.2f}" for ratio in ratios)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="features.py", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder that holds fights/")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that read")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    caption = (
        f"The 300 videos of `fights`, {args.workers} processes that read; medians of {args.rounds} rounds, the two "
        f"taking turns, {where()}."
    )
    columns = ["", "views of a video", "reading alone, s", "features, s", "ratio of a round", "ratio of CPU time"]
    rows = [measure(name, args.data, args.workers, args.rounds) for name in NETWORKS]
    print(save({"experiment": "features", "caption": caption, "columns": columns, "rows": rows}))


if __name__ == "__main__":
    main()
