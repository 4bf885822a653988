"""The full-size recipes on lists as long as the real ones, for two steps each.

python benchmarks/full_size.py --data DIR    # DIR holds mocap13; writes benchmarks/results/full-size.json, minutes

Rows are different paths that lead through links to the same few thousand real videos; classes, labels a class and
numbers of steps are those of the recipe. Only the clips are small (8x32^2) and in float32, so that a CPU gets through.
"""

import argparse
import csv
import itertools
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from cost import LISTS
from harness import endless_videos, save, where

from cmpl_zoo.datasets.classes import class_names

REPO = Path(__file__).resolve().parents[1]


def write_lists(name: str, mocap13: Path, folder: Path) -> str:
    """`labeled.csv` and `unlabeled.csv` of the recipe's length; returns the name of its classes."""
    known_as = "kinetics400" if name.startswith("k400") else "ucf101"
    classes = itertools.cycle(class_names(known_as))
    paths = (path for path, _ in endless_videos(mocap13, folder))
    labeled, unlabeled = LISTS[name]
    with (folder / "labeled.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label"), *zip(itertools.islice(paths, labeled), classes, strict=False)])
    with (folder / "unlabeled.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path",), *((path,) for path in itertools.islice(paths, unlabeled))])
    return known_as


def first_steps(name: str, mocap13: Path, folder: Path) -> list[str]:
    """Start the recipe, stop it after its second step; a row of the table."""
    classes = write_lists(name, mocap13, folder)
    run = folder / "run"
    command = [
        sys.executable, str(REPO / "train" / "cmpl.py"), "--config", name,
        "--labeled", str(folder / "labeled.csv"), "--unlabeled", str(folder / "unlabeled.csv"), "--classes", classes,
        "--root", str(folder), "--output", str(run), "--size", "32", "--short-side", "[36,40]", "--workers", "2",
        "--log-every", "1", "--device", "cpu", "--precision", "float32",
    ]  # fmt: skip
    metrics, log, first, steps_made = run / "metrics.jsonl", folder / "log", 0.0, 0
    began = time.perf_counter()
    with log.open("w") as errors:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        while process.poll() is None and steps_made < 2:
            time.sleep(0.05)
            steps_made = metrics.read_text().count("\n") if metrics.exists() else 0
            first = first or (time.perf_counter() - began if steps_made else 0.0)
        process.send_signal(signal.SIGTERM)
        process.wait()
    if process.returncode != 128 + signal.SIGTERM or not list((run / "states").iterdir()):
        raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}: {log.read_text()[-2000:]}")
    labeled, unlabeled = LISTS[name]
    steps = yaml.safe_load((run / "config.yaml").read_text())["steps"]
    return [f"`{name}`", f"{labeled:,}", f"{unlabeled:,}", f"{steps:,}", f"{first:.0f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds mocap13")
    args = parser.parse_args()
    rows = []
    for name in LISTS:
        with tempfile.TemporaryDirectory() as folder:
            rows.append(first_steps(name, args.data.resolve() / "mocap13", Path(folder)))
        print(*rows[-1], sep="\t", flush=True)
    caption = f"Two steps each, stopped and saved; one run, {where()}."
    columns = ["", "labeled", "unlabeled", "steps of the whole run", "command to first step, s"]
    print(save({"experiment": "full-size", "caption": caption, "columns": columns, "rows": rows}))


if __name__ == "__main__":
    main()
