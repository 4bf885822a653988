"""What a list of a million rows costs: time from the command to the first step, and memory of all processes together.

python benchmarks/scale.py --data DIR    # DIR holds mocap13; about four minutes

Lists of 1,000 and of 1,000,000 different paths, a tenth of them labeled, lead to the same few thousand real videos
through links to their folder; train/cmpl.py starts on each with eight workers.
"""

import argparse
import csv
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from harness import endless_videos, save, where

REPO = Path(__file__).resolve().parents[1]
ROWS = (1_000, 1_000_000)
WORKERS = 8


def write_lists(rows: int, mocap13: Path, folder: Path) -> None:
    """`labeled.csv` and `unlabeled.csv` of so many rows in all, and the links that make that many paths."""
    folder.mkdir()
    files = {name: (folder / f"{name}.csv").open("w", newline="") for name in ("labeled", "unlabeled")}
    writers = {name: csv.writer(file) for name, file in files.items()}
    for writer in writers.values():
        writer.writerow(["path", "label"])
    for row, video in enumerate(itertools.islice(endless_videos(mocap13, folder), rows)):
        writers["unlabeled" if row % 10 else "labeled"].writerow(video)
    for file in files.values():
        file.close()


def start(lists: Path, output: Path) -> dict[str, float]:
    """Seconds to the first logged step, and megabytes of all processes together at that time."""
    command = [
        sys.executable, str(REPO / "train" / "cmpl.py"), "--config", "demo",
        "--labeled", str(lists / "labeled.csv"), "--unlabeled", str(lists / "unlabeled.csv"), "--root", str(lists),
        "--workers", str(WORKERS), "--steps", "1000", "--unlabeled-warmup", "0", "--log-every", "1", "--device", "cpu",
        "--output", str(output),
    ]  # fmt: skip
    began = time.perf_counter()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        metrics = output / "metrics.jsonl"
        while not metrics.exists() or not metrics.stat().st_size:
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(command)} ended with status {process.returncode}")
            time.sleep(0.01)
        seconds = time.perf_counter() - began
        while len(metrics.read_text().splitlines()) < 2 * WORKERS:  # every worker has begun
            time.sleep(0.01)
        family = [process, *process.children(recursive=True)]
        # PSS shares what processes have in common out among them, so that it can be summed.
        memory = [member.memory_full_info() for member in family]
        return {
            "seconds": seconds,
            "pss_mb": sum(m.pss for m in memory) / 1e6,
            "rss_of_workers_mb": sum(m.rss for m in memory[1:]) / 1e6,
        }
    finally:
        for member in [*process.children(recursive=True), process]:
            member.kill()
        process.wait()


def import_script() -> float:
    """Seconds that Python takes to import what train/cmpl.py imports."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import cmpl_zoo.training"], check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds mocap13")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    measured: dict[int, list[dict[str, float]]] = {rows: [] for rows in ROWS}
    with tempfile.TemporaryDirectory() as scratch:
        for rows in ROWS:
            write_lists(rows, (args.data / "mocap13").resolve(), Path(scratch, str(rows)))
        for run in range(args.runs):
            for rows in ROWS:
                imports = {"imports": import_script()}
                measured[rows].append(imports | start(Path(scratch, str(rows)), Path(scratch, f"run{run}-{rows}")))
                print(rows, measured[rows][-1], flush=True)

    median = {r: {key: statistics.median(m[key] for m in runs) for key in runs[0]} for r, runs in measured.items()}
    result = {
        "experiment": "scale",
        "caption": f"train/cmpl.py, demo recipe, {WORKERS} workers; medians of {args.runs} runs each, interleaved, on "
        f"{where()}.",
        "columns": [
            "rows",
            "imports alone, s",
            "command to first step, s",
            "memory of all processes (PSS), MB",
            "RSS of workers, MB",
        ],
        "rows": [[f"{r:,}", *(round(value, 1) for value in m.values())] for r, m in median.items()],
        "measured": measured,
    }
    save(result)


if __name__ == "__main__":
    main()
