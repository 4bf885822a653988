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

REPO = Path(__file__).resolve().parents[1]
CMPL_ZOO = str(Path(sys.executable).with_name("cmpl-zoo"))
LABELS_PER_CLASS = 5
METHODS = {
    "labels alone": ["--scheme", "none", "--auxiliary", "null"],
    "FixMatch": ["--scheme", "self", "--auxiliary", "null"],
    "CMPL": [],
}


def run(*command: str | Path) -> None:
    """Show a command and run it; a failure ends the demo."""
    words = [str(word) for word in command]
    shown = ["python" if word == sys.executable else Path(word).name if word == CMPL_ZOO else word for word in words]
    print(f"\n$ {shlex.join(shown)}", flush=True)
    subprocess.run(words, cwd=REPO, check=True)


def one_seed(videos: Path, folder: Path, seed: int) -> dict[str, dict]:
    """Split, train and evaluate with one seed; returns the test scores of each method's primary network."""
    shutil.rmtree(REPO / folder, ignore_errors=True)  # of an earlier demo; the videos stay
    lists = folder / "lists"
    run(CMPL_ZOO, "split", videos / "videos.csv", "--labels-per-class", str(LABELS_PER_CLASS), "--seed", str(seed),
        "--val", "0.25", "--group", "actor", "--keep-labels", "-o", lists)  # fmt: skip
    scores = {}
    for method, options in METHODS.items():
        output = folder / method.lower().replace(" ", "-")
        began = time.perf_counter()
        run(sys.executable, "train/cmpl.py", "--config", "train/recipes/demo.yaml", "--labeled", lists / "labeled.csv",
            "--unlabeled", lists / "unlabeled.csv", "--root", videos, "--seed", str(seed), "--output", output,
            "--dataset", "cmpl_zoo_demo", "--license", "apache-2.0", *options)  # fmt: skip
        seconds = time.perf_counter() - began
        run(sys.executable, "train/evaluate.py", "--model", output / "primary", "--data", lists / "val.csv",
            "--root", videos, "--json", output / "test.json")  # fmt: skip
        scores[method] = json.loads((REPO / output / "test.json").read_text()) | {"seconds": seconds}
    return scores


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo.py", description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1, help="repeat with seeds 1, 2, ... and report the spread")
    parser.add_argument("--output", type=Path, default=Path("runs/demo"))
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error(f"--seeds must be at least 1, and is {args.seeds}")
    try:
        demo(args.output, args.seeds)
    except subprocess.CalledProcessError as error:
        print(f"demo.py: the last command ended with status {error.returncode}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo.py: stopped; the same command begins again", file=sys.stderr)
        return 130
    return 0


def demo(output: Path, seeds: int) -> None:
    """Render videos, train on them with each seed, and print a table."""
    videos = output / "videos"
    # The recipe's settings were chosen on other videos, those of seed 0.
    run(CMPL_ZOO, "demo", videos, "--seed", "1")
    scores = [one_seed(videos, output / f"seed{seed}", seed) for seed in range(1, seeds + 1)]
    with (REPO / output / "seed1" / "lists" / "val.csv").open(newline="") as held_out:
        video = videos / next(csv.DictReader(held_out))["path"]
    run(CMPL_ZOO, "predict", output / "seed1" / "cmpl" / "primary", video)

    first = scores[0]["CMPL"]
    print(f"\nTop-1 in % on {first['videos']} held-out videos, {first['clips']} x {first['crops']} views (clips x "
          f"crops), {LABELS_PER_CLASS} labels a class, chance {100 / len(first['per_class']):.1f}")  # fmt: skip
    for method in METHODS:
        values = [of_seed[method]["video_top1"] for of_seed in scores]
        spread = f" +- {statistics.stdev(values):.1f} (n={len(values)})" if len(values) > 1 else ""
        seconds = statistics.median(of_seed[method]["seconds"] for of_seed in scores)
        print(f"  {method:14}{statistics.mean(values):5.1f}{spread}   {seconds:.0f} s of training")


if __name__ == "__main__":
    sys.exit(main())
