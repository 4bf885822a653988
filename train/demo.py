"""The whole way on rendered videos: split, train three ways for equal steps, evaluate, predict.

python train/demo.py [--seeds 3]

Runs the very commands that a user runs on a folder of videos, and prints each of them.
"""

import argparse
import csv
import json
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from cmpl_zoo_cli.arguments import whole
from cmpl_zoo_cli.main import reporting

LABELS_PER_CLASS = 5
METHODS = {
    "labels alone": ["--scheme", "none", "--auxiliary", "null"],
    "FixMatch": ["--scheme", "self", "--auxiliary", "null"],
    "CMPL": [],
}


def run(*words: str | Path) -> None:
    """Show a command and run it.

    Raises:
        RuntimeError: it failed, and has told why.
    """
    told = [str(word) for word in words]
    print(f"\n$ cmpl-zoo {shlex.join(told)}", flush=True)
    if status := subprocess.run([sys.executable, "-m", "cmpl_zoo_cli", *told]).returncode:
        raise RuntimeError(f"the last command ended with status {status}; its message says what to do")


def folder_of(method: str) -> str:
    """The name of the folder of a method's run."""
    return method.lower().replace(" ", "-")


def remove_earlier_demo(folder: Path) -> None:
    """Delete the lists and runs of a seed.

    Raises:
        RuntimeError: the folder holds something else.
    """
    made = {folder / name for name in ("lists", *map(folder_of, METHODS))}
    if not folder.is_dir():
        return
    if others := set(folder.iterdir()) - made:
        raise RuntimeError(f"{min(others)}: the demo has not made this, and would delete it; give another --output")
    shutil.rmtree(folder)


def one_seed(videos: Path, folder: Path, seed: int) -> dict[str, dict]:
    """Split, train and evaluate with one seed; returns the test scores of each method's primary network."""
    lists = folder / "lists"
    run("split", videos / "videos.csv", "--labels-per-class", str(LABELS_PER_CLASS), "--seed", str(seed),
        "--val-share", "0.25", "--group", "actor", "--keep-labels", "-o", lists)  # fmt: skip
    scores = {}
    for method, options in METHODS.items():
        output = folder / folder_of(method)
        began = time.perf_counter()
        run("train", "--config", "demo", "--labeled", lists / "labeled.csv",
            "--unlabeled", lists / "unlabeled.csv", "--root", videos, "--seed", str(seed), "--output", output,
            "--dataset", "cmpl_zoo_demo", "--license", "apache-2.0", *options)  # fmt: skip
        seconds = time.perf_counter() - began
        run("evaluate", output / "primary", "--data", lists / "val.csv",
            "--root", videos, "--json", output / "test.json")  # fmt: skip
        scores[method] = json.loads((output / "test.json").read_text()) | {"seconds": seconds}
    return scores


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo.py", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seeds",
        type=whole(1),
        default=1,
        metavar="N",
        help="repeat with seeds 1, 2, ..., N and report the spread (default: 1)",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("runs/demo"),
        metavar="DIR",
        help="folder for the videos and runs (default: runs/demo)",
    )
    args = parser.parse_args()
    return reporting("demo.py", lambda: demo(args.output, args.seeds))


def demo(output: Path, seeds: int) -> int:
    """Render videos, train on them with each seed, and print a table."""
    videos = output / "videos"
    folders = {seed: output / f"seed{seed}" for seed in range(1, seeds + 1)}
    for folder in folders.values():
        remove_earlier_demo(folder)
    # The recipe's settings were chosen on other videos, those of seed 0.
    run("demo", "-o", videos, "--seed", "1")
    scores = [one_seed(videos, folder, seed) for seed, folder in folders.items()]
    with (output / "seed1" / "lists" / "val.csv").open(newline="") as held_out:
        video = videos / next(csv.DictReader(held_out))["path"]
    run("predict", output / "seed1" / "cmpl" / "primary", video)

    first = scores[0]["CMPL"]
    print(f"\nTop-1 in % on {first['videos']} held-out videos, {first['clips']} x {first['crops']} views (clips x "
          f"crops), {LABELS_PER_CLASS} labels a class, chance {100 / len(first['per_class']):.1f}")  # fmt: skip
    for method in METHODS:
        values = [per_seed[method]["video_top1"] for per_seed in scores]
        spread = f" +- {statistics.stdev(values):.1f} (n={len(values)})" if len(values) > 1 else ""
        seconds = statistics.median(per_seed[method]["seconds"] for per_seed in scores)
        print(f"  {method:14}{statistics.mean(values):5.1f}{spread}   {seconds:.0f} s of training")
    if len(scores) == 1:
        print("One seed ranks nothing: from seed to seed each of them moves by 20 points (experiments/README.md).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
