"""Ways to learn one's own classes from few labels, on real footage: where to start, and how to fine-tune.

python experiments/fine_tuning.py --data SHARED_DATA --work DIR    # about two and a half hours on a core; resumable

The videos, splits and draws of labels are those of `probe.py`: `fights` with ten labels a class and other sources to
test on, `ut_interaction` with five labels a class of its first scene and the second scene to test on. What is not
labeled there is learned from without labels. A run is train/cmpl.py with the recipe `own_videos` and the options of a
row; a finished one is a line in experiments/results/ and is not repeated.
"""

import argparse
import csv
import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from commands import REPO, script
from lists import decode_once
from probe import SEEDS, split
from results import RESULTS, Result, ResultsWriter, facts_of, read_results

from cmpl_zoo._files import as_csv, replace_text
from cmpl_zoo.datasets import VideoList, read_list, write_split

LABELS = {"fights": 10, "ut_interaction": 5}  # a class
FRAMES = 64  # pixels of the short side that videos are decoded to, once

# The frames are as small as those of the start that is compared; all else is as own_videos has it. Rates are those of
# the table that it was chosen by; AdamW and layer decay are as is usual, not chosen by us.
COMMON: dict[str, Any] = {"primary": "r3d50_quarter", "auxiliary": "r3d50_quarter", "subtract_mean_frame": True,
                          "size": 32, "short_side": [36, 40]}  # fmt: skip
FROM_RANDOM: dict[str, Any] = {"init": None, "auxiliary_init": None, "lr": 0.05}
START = "model_cards/r3d50_quarter.cmpl_mocap13"  # of this repository, where runs are started
FROM_MOCAP13: dict[str, Any] = {"init": START, "auxiliary_init": START, "lr": 0.02}
ALONE: dict[str, Any] = {"scheme": "none", "auxiliary": None, "auxiliary_init": None}
FIXMATCH: dict[str, Any] = {"scheme": "self", "auxiliary": None, "auxiliary_init": None}

ROWS: dict[str, dict[str, Any]] = {
    "random weights, labels-alone": FROM_RANDOM | ALONE,
    "random weights, fixmatch": FROM_RANDOM | FIXMATCH,
    "random weights, cross": FROM_RANDOM,
    "mocap13, labels-alone": FROM_MOCAP13 | ALONE,
    "mocap13, fixmatch": FROM_MOCAP13 | FIXMATCH,
    "mocap13, cross": FROM_MOCAP13,
    "mocap13, freeze 2": FROM_MOCAP13 | ALONE | {"freeze": "2"},
    "mocap13, freeze all": FROM_MOCAP13 | ALONE | {"freeze": "all"},
    "mocap13, layer decay 0.75": FROM_MOCAP13 | ALONE | {"layer_decay": 0.75},
    "mocap13, adamw": FROM_MOCAP13 | ALONE | {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.05},
    "uneven labels, labels-alone": FROM_MOCAP13 | ALONE,
    "uneven labels, balance": FROM_MOCAP13 | ALONE | {"balance": True},
}


def uneven(videos: VideoList, labeled: list[int], labels: int) -> list[int]:
    """Of a draw of equally many labels, all of every second class and a quarter of those of the others."""
    classes = sorted({videos.rows[i]["label"] for i in labeled})
    kept: list[int] = []
    for number, label in enumerate(classes):
        of_class = [i for i in labeled if videos.rows[i]["label"] == label]
        kept += of_class if number % 2 == 0 else of_class[: max(1, labels // 4)]
    return sorted(kept)


def lists_of(data: str, row: str, seed: int, frames: Path, work: Path) -> Path:
    """The folder of the lists `labeled`, `unlabeled` and `val`, the videos that are tested on."""
    videos = read_list(frames / "videos.csv")
    labeled, test = split(data, videos, LABELS[data], seed)
    pool = set(range(len(videos.rows))) - set(test)
    if row.startswith("uneven labels"):
        labeled = uneven(videos, labeled, LABELS[data])
    parts = {"labeled": sorted(labeled), "unlabeled": sorted(pool - set(labeled)), "val": sorted(test)}
    folder = work / "lists" / f"{data}-{row.partition(',')[0].replace(' ', '-')}-seed{seed}"
    write_split(videos, parts, folder, keep_labels=True)
    return folder


def run(row: str, options: dict[str, Any], seed: int, lists: Path, frames: Path, folder: Path) -> Result:
    """Train and test; what is kept of it."""
    options = COMMON | options | {"labeled": lists / "labeled.csv", "val": lists / "val.csv", "root": frames,
                                  "unlabeled": lists / "unlabeled.csv", "output": folder, "seed": seed}  # fmt: skip
    if options.get("scheme") == "none":
        del options["unlabeled"]
    words = [*script("cmpl.py", {"config": "own_videos"} | options), "--resume"]
    with folder.with_suffix(".log").open("a") as log:
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        subprocess.run(words, stdout=log, stderr=log, check=True, cwd=REPO, env=environment)
    summary = json.loads((folder / "summary.json").read_text())
    return {"setting": "cpu", "row": row, "seed": seed, "measured_on": "test",
            **facts_of(summary, summary["validation"]["primary"])}  # fmt: skip


def run_name(data: str, row: str, seed: int) -> str:
    """The name of a run's folder."""
    return f"{data}-{row.replace(',', '').replace('.', '-').replace(' ', '-')}-seed{seed}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="fine_tuning.py", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds fights/ and ut_interaction/")
    parser.add_argument("--work", type=Path, required=True, metavar="DIR", help="folder for frames, lists and runs")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="runs side by side")
    args = parser.parse_args()
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    for data in LABELS:
        source, frames = args.data.resolve() / data, work / data
        with (source / "videos.csv").open(newline="") as lines:
            kept = [row for row in csv.DictReader(lines) if row["label"] != "other"]
        replace_text(file := work / "lists" / data / "videos.csv", as_csv(kept, list(kept[0])))
        if not (frames / "videos.csv").exists():
            decode_once(file, frames, FRAMES, root=source)
        target = RESULTS / f"fine-tuning-{data}.jsonl"
        finished = {(result["row"], result["seed"]) for result in read_results(target)}
        waiting = [(row, seed) for seed in SEEDS for row in ROWS if (row, seed) not in finished]
        lists = {one: lists_of(data, *one, frames, work) for one in waiting}
        with ResultsWriter(target) as writer, ThreadPoolExecutor(args.jobs) as pool:
            runs = [
                pool.submit(run, row, ROWS[row], seed, lists[row, seed], frames, work / run_name(data, row, seed))
                for row, seed in waiting
            ]
            for one in runs:
                writer.add(result := one.result())
                print(f"{data}: {result['row']}, seed {result['seed']}: {result['top1']:.1f} %", flush=True)


if __name__ == "__main__":
    main()
