"""What predicting many videos costs beside reading them alone, with as many processes that read.

python benchmarks/predict.py --data SHARED_DATA    # writes benchmarks/results/predict.json, some minutes

The videos are those of `fights`. Reading alone is decoding and resizing the same views by the same loader. The two take
turns. CPU time is that of all processes, and says more than wall time where something else runs on the machine.
"""

import argparse
import os
import statistics
from pathlib import Path

from harness import reading_alone, save, taking_turns, views_of_a_video, where

from cmpl_zoo.datasets import read_list
from cmpl_zoo.precision import Precision
from cmpl_zoo.prediction import predict
from cmpl_zoo.prediction.loading import load_models
from cmpl_zoo.video.clips import resolve_clip_config

NETWORKS: tuple[tuple[str, Precision], ...] = (
    ("r3d50_eighth.cmpl_demo", "float32"),
    ("r3d50_eighth.cmpl_demo", "bf16"),
    ("model_cards/r3d50_quarter.cmpl_mocap13", "float32"),
)


def measure(name: str, precision: Precision, data: Path, workers: int, rounds: int) -> list[str]:
    """A row of the table."""
    [model] = load_models([name], "cpu", precision)  # as `cmpl-zoo predict` does
    config = resolve_clip_config(model)
    root = data / "fights"
    paths = read_list(root / "videos.csv", root).paths
    read = reading_alone(paths, config, workers)

    def predict_all() -> None:
        for _ in predict(model, paths, workers=workers, precision=precision):
            pass

    walls, cpus = taking_turns(read, predict_all, rounds)
    medians = [f"{statistics.median(per_action):.1f}" for per_action in zip(*walls, strict=True)]
    shares = [f"{statistics.median(one / other for one, other in rounds):.0%}" for rounds in (walls, cpus)]
    return [f"`{Path(name).name}`", precision, views_of_a_video(config), *medians, *shares]


def main() -> None:
    parser = argparse.ArgumentParser(prog="predict.py", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder that holds fights/")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes that read")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    caption = (
        f"The 300 videos of `fights`, {args.workers} processes that read; medians of {args.rounds} rounds, the two "
        f"taking turns, {where()}."
    )
    columns = ["", "precision", "views of a video", "reading alone, s", "predict, s", "speed of predict", "by CPU time"]
    rows = [measure(name, precision, args.data, args.workers, args.rounds) for name, precision in NETWORKS]
    print(save({"experiment": "predict", "caption": caption, "columns": columns, "rows": rows}))


if __name__ == "__main__":
    main()
