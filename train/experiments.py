"""The paper's experiments on the real motions of mocap13, run by run.

python train/experiments.py schemes DIR                                      # Table 1, small enough for a CPU
python train/experiments.py schemes DIR --setting gpu --jobs 3 --minutes 8

DIR holds mocap13 (and fights, for `transfer`). A run is train/cmpl.py with the recipe of the setting and the options of
a row; all rows of an experiment have the same steps, the same batches and, seed by seed, the same labels. Videos are
decoded once. A finished run is one file in benchmarks/results/ and is not repeated; one that was stopped goes on. What
is compared is the primary network after its last step. By default it is measured on recordings cut off from train.csv,
to choose settings by; `--test true` measures on test.csv, for final tables alone.
"""

import csv
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import numpy as np
import torch
import yaml
from config import Config
from torchvision.transforms.v2.functional import resize
from tqdm import tqdm

from cmpl_zoo.card import PRIVATE_OPTIONS
from cmpl_zoo.data import Video, VideoError
from cmpl_zoo.data.manifest import ManifestError, read_list, split_list, write_split

REPO = Path(__file__).resolve().parents[1]
RECIPES = {"cpu": "mocap13_cpu.yaml", "gpu": "mocap13.yaml"}
LABELS = 20  # a class, unless a row says otherwise


@dataclass(frozen=True)
class Row:
    """What a row of a table differs in.

    Attributes:
        options: of train/cmpl.py, against the recipe.
        lists: which lists it learns from; see `make_lists`.
    """

    options: dict[str, Any] = field(default_factory=dict)
    lists: str = f"uniform-{LABELS}"


ALONE = {"scheme": "none", "auxiliary": None}
FIXMATCH = {"scheme": "self", "auxiliary": None}

EXPERIMENTS: dict[str, dict[str, Row]] = {
    # Table 1: which network labels which.
    "schemes": {
        "labels-alone": Row(ALONE),
        "fixmatch": Row(FIXMATCH),
        **{
            scheme: Row({"scheme": scheme})
            for scheme in ("self-first", "opposite-first", "maximum", "average", "cross")
        },
        "all-labels": Row(ALONE, lists="all"),
    },
    # Table 4: how the labeled videos are drawn.
    "sampling": {"uniform": Row(), "category-wise": Row(lists=f"category-wise-{LABELS}")},
    # Table 2: unlabeled videos of classes that are not labeled.
    "transfer": {
        "half, labels-alone": Row(ALONE, lists="half-same"),
        "half, unlabeled of the same classes": Row(lists="half-same"),
        "half, unlabeled of the other classes": Row(lists="half-other"),
        "fights, labels-alone": Row(ALONE, lists="fights"),
        "fights, unlabeled mocap13": Row(lists="fights"),
    },
    "auxiliary": {
        **{f"{width}": Row({"auxiliary": f"r3d50_{width}"}) for width in ("eighth", "quarter", "half")},
        "equal": Row({"auxiliary": "the primary's"}),
        "r3d18": Row({"auxiliary": "r3d18"}),
        "quarter, stride 3": Row({"auxiliary": "r3d50_quarter", "auxiliary_stride": 3}),
    },
    "labels": {
        f"{method}, {count}": Row(options, lists=f"uniform-{count}")
        for count in (1, 2, 5, 10, 20)
        for method, options in {"labels-alone": ALONE, "fixmatch": FIXMATCH, "cross": {}}.items()
    },
    "knobs": {
        **{f"threshold {tau}": Row({"threshold": tau}) for tau in (0.3, 0.5, 0.8, 0.95)},
        **{f"lambda {weight}": Row({"lambda_u": weight}) for weight in (0.5, 2.0)},
        "soft labels": Row({"hard": False}),
        **{f"1 : {ratio}": Row({"unlabeled_batch": 16 * ratio}) for ratio in (1, 8)},
        "autoaugment": Row({"strong": "autoaugment"}),
        "randaugment without cutout": Row({"cutout": False}),
        "autoaugment without cutout": Row({"strong": "autoaugment", "cutout": False}),
        "weak pass by running statistics": Row({"weak_bn": "running"}),
    },
}


class ExperimentError(Exception):
    """What keeps an experiment from being run; the message names it and the next step."""


# Videos and lists


def decode_once(file: Path, folder: Path, short_side: int) -> Path:
    """The list of the same videos as `.npy` files of decoded frames, which are made where they are missing.

    Args:
        file: list of videos, beside them.
        folder: where decoded frames and the list go.
        short_side: frames are made as small as this, in pixels, where they are larger.
    """
    rows = read_list(file).rows
    targets = [(folder / row["path"]).with_suffix(".npy") for row in rows]
    missing = [(file.parent / row["path"], target) for row, target in zip(rows, targets, strict=True)
               if not target.exists()]  # fmt: skip
    with ProcessPoolExecutor() as pool:
        made = pool.map(partial(decode, short_side=short_side), *zip(*missing, strict=True), chunksize=8)
        for _ in tqdm(made, total=len(missing), desc=f"decode {file.name}", disable=not missing):
            pass
    write_rows(folder / file.name, [row | {"path": str(Path(row["path"]).with_suffix(".npy"))} for row in rows])
    return folder / file.name


def decode(source: Path, target: Path, short_side: int) -> None:
    torch.set_num_threads(1)
    with Video(source) as video:
        frames = video.read(range(video.num_frames)).permute(0, 3, 1, 2)
    if min(frames.shape[2:]) > short_side:
        frames = resize(frames, [short_side], antialias=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        np.save(file, frames.permute(0, 2, 3, 1).numpy())
    part.replace(target)


def make_lists(data: Path, work: Path, name: str, seed: int) -> dict[str, Path]:
    """The lists that a row learns from and is measured on: `labeled`, `unlabeled`, `val` and `test`.

    The recordings in `val` are the same for all seeds; a seed draws the labels.

    Args:
        data: folder of decoded frames that holds mocap13 and fights.
        work: where lists are written.
        name: `uniform-N` or `category-wise-N` for N labels a class, `all`, `half-same` or `half-other` (labels of every
            second class, unlabeled videos of the same or of the other ones), or `fights` (unlabeled: mocap13).
        seed: of the draw of labels.
    """
    folder = work / "lists" / f"{name}-seed{seed}"
    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (fights_lists if name == "fights" else mocap13_lists)(data, work / "lists", folder, name, seed)
        (folder / "done").touch()
    return {part: folder / f"{part}.csv" for part in ("labeled", "unlabeled", "val", "test")}


def mocap13_lists(data: Path, lists: Path, folder: Path, name: str, seed: int) -> None:
    parts = cut(with_recordings(data / "mocap13" / "train.csv", lists), lists / "mocap13", "recording", 0.2)
    kept, others = halves(parts["pool"]) if name.startswith("half") else (None, None)
    copy_rows(parts["pool"], folder / "pool.csv", kept)
    copy_rows(parts["val"], folder / "val.csv", kept)
    copy_rows(data / "mocap13" / "test.csv", folder / "test.csv", kept)
    if name == "all":
        for part in ("labeled", "unlabeled"):
            copy_rows(folder / "pool.csv", folder / f"{part}.csv")
        return
    sampling, _, count = name.rpartition("-")
    draw_labels(folder, seed, *((LABELS, "uniform") if kept else (int(count), sampling)))
    if name == "half-other":
        copy_rows(parts["pool"], folder / "unlabeled.csv", others)


def fights_lists(data: Path, lists: Path, folder: Path, name: str, seed: int) -> None:
    parts = cut(data / name / "videos.csv", lists / name, "source", 0.3)
    copy_rows(parts["pool"], folder / "pool.csv")
    draw_labels(folder, seed, LABELS, "uniform")
    copy_rows(data / "mocap13" / "train.csv", folder / "unlabeled.csv")
    for part in ("val", "test"):  # too few videos for both
        copy_rows(parts["val"], folder / f"{part}.csv")


def cut(file: Path, folder: Path, group: str, share: float) -> dict[str, Path]:
    """Cut a list into `pool`, to draw labels from, and `val`, no group on both sides; always the same cut."""
    manifest = read_list(file)
    split = split_list(manifest, 1, seed=0, val=share, group=group)
    write_split(manifest, {"pool": sorted(split["labeled"] + split["unlabeled"]), "val": split["val"]}, folder)
    return {"pool": folder / "pool.csv", "val": folder / "val.csv"}


def with_recordings(file: Path, lists: Path) -> Path:
    """The list with a column that names the recording: a video's name without `_vN`, which tells its rendering."""
    target = lists / "recordings.csv"
    rows = read_list(file).rows
    write_rows(target, [row | {"recording": row["path"].rpartition("_v")[0]} for row in rows])
    return target


def halves(file: Path) -> tuple[set[str], set[str]]:
    """Every second class, and the others."""
    classes = sorted({row["label"] for row in read_list(file).rows})
    return set(classes[::2]), set(classes[1::2])


def draw_labels(folder: Path, seed: int, count: int, sampling: str) -> None:
    """Split `pool.csv` into `labeled.csv` and `unlabeled.csv`, which keeps its labels for the meters."""
    manifest = read_list(folder / "pool.csv")
    write_split(manifest, split_list(manifest, count, seed, sampling), folder, keep_labels=True)


def copy_rows(file: Path, target: Path, classes: set[str] | None = None) -> None:
    """The rows of a list, of some classes or of all."""
    write_rows(target, [row for row in read_list(file).rows if classes is None or row["label"] in classes])


def write_rows(target: Path, rows: list[dict[str, str]]) -> None:
    with target.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


# Runs


@dataclass(frozen=True)
class Run:
    """One run of an experiment: a row with a seed."""

    experiment: str
    setting: str
    row: str
    seed: int
    measured_on: str

    @property
    def name(self) -> str:
        return f"{self.experiment}-{self.setting}-{self.measured_on}-{self.row}-seed{self.seed}".replace(
            ", ", "-"
        ).replace(" ", "-")


def command(run: Run, data: Path, work: Path, recipe: Path) -> list[str]:
    """The command of a run."""
    row = EXPERIMENTS[run.experiment][run.row]
    lists = make_lists(data, work, row.lists, run.seed)
    options = {
        "labeled": lists["labeled"],
        "unlabeled": lists["unlabeled"],
        "val": lists["test" if run.measured_on == "test" else "val"],
        "root": data / ("fights" if row.lists == "fights" else "mocap13"),
        "unlabeled_root": data / "mocap13",
        "output": work / run.name,
        "seed": run.seed,
        "val_every": 0,
        "resume": "true",
        **row.options,
    }
    if options.get("auxiliary") == "the primary's":
        options["auxiliary"] = yaml.safe_load(recipe.read_text())["primary"]
    words = [
        word
        for name, value in options.items()
        for word in (f"--{name}", "null" if value is None else str(value).lower() if value is False else str(value))
    ]
    return [sys.executable, str(REPO / "train" / "cmpl.py"), "--config", str(recipe), *words]


def result_file(results: Path, run: Run) -> Path:
    return results / f"{run.name}.json"


def record(run: Run, folder: Path) -> dict[str, Any]:
    """What is kept of a finished run."""
    summary = json.loads((folder / "summary.json").read_text())
    scores = summary["validation"]["primary"]
    pseudo = {
        name: next((value for value in reversed(values) if value is not None), None)
        for name, values in summary["curves"].items()
        if name.endswith(("/mask", "/pseudo_accuracy"))
    }
    return {
        "experiment": run.experiment,
        "setting": run.setting,
        "row": run.row,
        "seed": run.seed,
        "measured_on": run.measured_on,
        "top1": scores["video_top1"],
        "videos": scores["videos"],
        "clips": scores["clips"],
        "crops": scores["crops"],
        "per_class": scores["per_class"],
        "last_of_pseudo_labels": pseudo,
        **{key: summary[key] for key in ("labeled_videos", "unlabeled_videos", "step", "seconds", "hardware", "version",
                                         "commit")},
        "recipe": {k: v for k, v in summary["config"].items() if v is not None and k not in PRIVATE_OPTIONS},
    }  # fmt: skip


def run_all(
    runs: list[Run], results: Path, data: Path, work: Path, recipe: Path, jobs: int, minutes: float
) -> list[str]:
    """Make the runs that have no result, so many side by side, until the time is up; returns what went wrong."""
    waiting, failures = [run for run in runs if not result_file(results, run).exists()], []
    running: dict[subprocess.Popen[bytes], Run] = {}
    deadline = time.monotonic() + 60 * minutes if minutes else float("inf")
    environment = os.environ | {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // jobs))}
    stopping = False
    try:
        while running or (waiting and not stopping):
            while waiting and len(running) < jobs and not stopping:
                run = waiting.pop(0)
                words = command(run, data, work, recipe)
                with (work / f"{run.name}.log").open("ab") as log:
                    process = subprocess.Popen(words, stdout=log, stderr=log, cwd=REPO, env=environment)
                running[process] = run
            if time.monotonic() > deadline and not stopping:
                stopping = True
                for process in running:
                    process.terminate()
            time.sleep(0.2)
            for process in [process for process in running if process.poll() is not None]:
                run = running.pop(process)
                if process.returncode == 0:
                    result = record(run, work / run.name)
                    file = result_file(results, run)
                    part = file.with_suffix(".part")
                    part.write_text(json.dumps(result, indent=1) + "\n")
                    part.replace(file)
                    made = sum(result_file(results, one).exists() for one in runs)
                    print(f"{made}/{len(runs)}  {run.row}, seed {run.seed}: top-1 {result['top1']:.1f} %", flush=True)
                elif not stopping:
                    last = (work / f"{run.name}.log").read_text(errors="replace").splitlines()[-1:]
                    failures.append(f"{run.row}, seed {run.seed}: {''.join(last) or f'status {process.returncode}'}")
                    print(failures[-1], file=sys.stderr, flush=True)
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)  # it saves its state
        for process in running:
            process.wait()
    return failures


# Reports


def results_of(results: Path, experiment: str, setting: str, measured_on: str) -> dict[str, list[dict[str, Any]]]:
    """The results there are, by row in the order of the table, by seed."""
    found: dict[str, list[dict[str, Any]]] = {row: [] for row in EXPERIMENTS[experiment]}
    for file in sorted(results.glob(f"{experiment}-{setting}-{measured_on}-*.json")):
        result = json.loads(file.read_text())
        found[result["row"]].append(result)
    return {row: sorted(runs, key=lambda run: run["seed"]) for row, runs in found.items() if runs}


def report(results: Path, experiment: str, setting: str, measured_on: str) -> Path | None:
    """Write the table (Markdown and CSV) and the plot of what has been run; returns the Markdown file."""
    found = results_of(results, experiment, setting, measured_on)
    if not found:
        return None
    first = next(iter(found.values()))[0]
    columns = ["row", "top1_mean", "top1_std", "seeds", "labeled", "unlabeled", "steps", "seconds"]
    rows = []
    for row, runs in found.items():
        top1 = [run["top1"] for run in runs]
        spread = round(statistics.stdev(top1), 2) if len(top1) > 1 else ""
        seconds = round(statistics.median(run["seconds"] for run in runs))
        rows.append([row, round(statistics.mean(top1), 2), spread, len(top1), runs[0]["labeled_videos"],
                     runs[0]["unlabeled_videos"], runs[0]["step"], seconds])  # fmt: skip
    reports = results.parent / "experiments"
    reports.mkdir(exist_ok=True)
    file = reports / f"{experiment}-{setting}-{measured_on}.md"
    with file.with_suffix(".csv").open("w", newline="") as table:
        csv.writer(table, lineterminator="\n").writerows([columns, *rows])
    networks = " and ".join(filter(None, (first["recipe"]["primary"], first["recipe"].get("auxiliary"))))
    commits = ", ".join(sorted({str(run["commit"]) for runs in found.values() for run in runs}))
    lines = [
        f"`python train/experiments.py {experiment} --setting {setting}{' --test true' * (measured_on == 'test')}`: "
        f"{networks}, {first['recipe']['frames']}x{first['recipe']['size']}^2; top-1 in % of the primary network after "
        f"its last step, mean ± standard deviation over seeds, {first['clips']} clips x {first['crops']} crops of "
        f"{first['videos']} {measured_on} videos; {first['hardware']}; commit {commits}.",
        "",
        "| | top-1, % | seeds | labeled | unlabeled | steps | training, s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, mean, spread, seeds, labeled, unlabeled, steps, seconds in rows:
        shown = f"{mean:.1f} ± {spread:.1f}" if spread != "" else f"{mean:.1f}"
        lines.append(f"| {row} | {shown} | {seeds} | {labeled} | {unlabeled} | {steps} | {seconds} |")
    file.write_text("\n".join([*lines, "", f"![{experiment}]({file.with_suffix('.svg').name})", ""]))
    plot(experiment, found, file.with_suffix(".svg"))
    return file


def plot(experiment: str, found: dict[str, list[dict[str, Any]]], file: Path) -> None:
    """Means with standard deviations as bars and single runs as dots; `labels` as curves over labels a class."""
    try:
        import matplotlib
    except ImportError as error:
        raise ExperimentError("the plot needs matplotlib: pip install -e '.[dev]'; the table is written") from error
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = experiment  # the same file for the same numbers
    from matplotlib import pyplot

    top1 = {row: [run["top1"] for run in runs] for row, runs in found.items()}
    mean = {row: statistics.mean(values) for row, values in top1.items()}
    spread = {row: statistics.stdev(values) if len(values) > 1 else 0.0 for row, values in top1.items()}
    figure, axes = pyplot.subplots(figsize=(6, 4) if experiment == "labels" else (6, 0.6 + 0.4 * len(found)))
    if experiment == "labels":
        for method in dict.fromkeys(row.partition(", ")[0] for row in found):
            points = {int(row.partition(", ")[2]): row for row in found if row.startswith(method)}
            rows = [points[count] for count in sorted(points)]
            axes.errorbar(sorted(points), [mean[r] for r in rows], [spread[r] for r in rows], label=method, capsize=3,
                          marker="o")  # fmt: skip
        axes.set(xscale="log", xlabel="labels a class", ylabel="top-1, %")
        axes.set_xticks(sorted({int(row.partition(", ")[2]) for row in found}), minor=False)
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.minorticks_off()
        axes.legend(frameon=False)
    else:
        places = {row: -place for place, row in enumerate(found)}
        axes.errorbar([mean[r] for r in found], [places[r] for r in found], xerr=[spread[r] for r in found], fmt="s",
                      capsize=3, color="black")  # fmt: skip
        for row, values in top1.items():
            axes.plot(values, [places[row]] * len(values), ".", color="tab:blue", alpha=0.6)
        axes.set_yticks(list(places.values()), list(places))
        axes.set_xlabel("top-1, %")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)


def run_experiment(
    name: Literal["schemes", "sampling", "transfer", "auxiliary", "labels", "knobs"],
    data: str,
    setting: Literal["cpu", "gpu"] = "cpu",
    seeds: int = 3,
    jobs: int = 1,
    minutes: float = 0.0,
    test: bool = False,
    work: str = "runs/experiments",
    recipe: str | None = None,
    results: str = "benchmarks/results",
) -> int:
    """The paper's experiments on real motion, resumable run by run, with a table and a plot.

    Args:
        name: which experiment.
        data: folder that holds mocap13, and fights for transfer.
        setting: which recipe: mocap13_cpu or mocap13.
        seeds: runs of each row, with seeds 1, 2, ...
        jobs: runs side by side.
        minutes: stop after so long; the same command goes on. 0: when all is done.
        test: measure on test.csv, for final tables, instead of on recordings cut off from train.csv.
        work: folder of lists and runs.
        recipe: another recipe instead of the setting's.
        results: folder of one JSON file a run; tables and plots go to `experiments` beside it.
    """
    if name == "knobs" and setting == "cpu":
        raise ExperimentError("knobs is made of 13 rows of long runs: it needs --setting gpu")
    lists = ["mocap13/train.csv", "mocap13/test.csv", *(["fights/videos.csv"] if name == "transfer" else [])]
    for needed in lists:
        if not Path(data, needed).is_file():
            raise ExperimentError(f"{Path(data, needed)}: there is no such list; give the folder of mocap13")
    if seeds < 1 or jobs < 1 or minutes < 0:
        raise ExperimentError("--seeds and --jobs must be at least 1, and --minutes not negative")
    base = Path(recipe) if recipe else REPO / "train" / "recipes" / RECIPES[setting]
    if not base.is_file():
        raise ExperimentError(f"{base}: there is no such recipe")
    folder = Path(work).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    measured_on = "test" if test else "validation"
    runs = [Run(name, setting, row, seed, measured_on) for seed in range(1, seeds + 1) for row in EXPERIMENTS[name]]
    short_side = yaml.safe_load(base.read_text()).get("short_side", Config.short_side)[1]
    frames = folder / f"frames-{short_side}"
    for needed in lists:
        decode_once(Path(data, needed), frames / Path(needed).parent, short_side)
    kept = REPO / results
    kept.mkdir(parents=True, exist_ok=True)
    print(f"{name}: {sum(result_file(kept, run).exists() for run in runs)} of {len(runs)} runs are there", flush=True)
    failures = run_all(runs, kept, frames, folder, base.absolute(), jobs, minutes)
    file = report(kept, name, setting, measured_on)
    if missing := sum(not result_file(kept, run).exists() for run in runs) - len(failures):
        print(f"stopped with {missing} runs to go; the same command goes on")
    if file:
        print(file)
    return 1 if failures else 0


def main() -> int:
    # As Ctrl-C: the runs, which are processes of their own, are to be stopped, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    jsonargparse.set_parsing_settings(parse_optionals_as_positionals=False)
    try:
        return int(jsonargparse.auto_cli(run_experiment, as_positional=True))
    except (ExperimentError, ManifestError, VideoError) as error:
        print(f"experiments.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("experiments.py: stopped; the same command goes on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
