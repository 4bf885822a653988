"""The paper's experiments, and some beyond it, on the real motions of mocap13 or the real footage of lips, run by run.

python experiments/runner.py schemes DIR                                      # Table 1, small enough for a CPU
python experiments/runner.py schemes DIR --setting gpu --jobs 3 --minutes 8
python experiments/runner.py lips-words-10 DIR --seeds 10 --test true

DIR holds mocap13 (and fights, for `transfer`), or lips. A run is train/cmpl.py with the recipe of the setting and the
options of a row; what a row is not about is the same in all rows of an experiment, the labels too, seed by seed. Videos
are decoded once. A finished run is one line in experiments/results/ and is not repeated, not for another experiment
either; one that was stopped is continued. What is compared is the primary network after its last step, or both where a
row says that they vote. By default they are measured on recordings cut off from train.csv, to choose settings by;
`--test true` measures the same networks on test.csv, for final tables alone. Of lips they are measured on three
speakers who are not learned from, and with `--test true` on the test speakers after learning from all others, which
needs a --work folder of its own.

Exit status: 0 when all runs are there, 1 where some failed, 2 for a mistake in the call, 3 when the time was up, 130
after Ctrl-C. In every case the same call continues; one call at a time in a --work folder, and one for an experiment.
"""

import csv
import importlib.util
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

import jsonargparse
import yaml
from lists import LABELS, data_of, decode_once, make_lists
from results import FREE, Result, ResultsWriter, difference, facts_of, read_results

from cmpl_zoo.datasets.lists import read_list
from cmpl_zoo.datasets.loader import available_cores
from cmpl_zoo_cli.main import reporting
from cmpl_zoo_cli.run_options import flag
from cmpl_zoo_cli.train_config import Config

REPO = Path(__file__).resolve().parents[1]
RECIPES = {
    ("mocap13", "cpu"): REPO / "cmpl_zoo" / "training" / "recipes" / "mocap13_cpu.yaml",
    ("mocap13", "gpu"): REPO / "cmpl_zoo" / "training" / "recipes" / "mocap13.yaml",
    ("lips", "cpu"): REPO / "experiments" / "recipes" / "lips.yaml",
}
DEFAULTS = json.loads(json.dumps({option.name: option.default for option in fields(Config) if option.name not in FREE}))
# Share of a frame that is kept: in mocap13 the actor is in the middle, and 32 pixels show as much as 43 of the whole.
CENTER = {("mocap13", "cpu"): 0.75, ("mocap13", "gpu"): 1.0, ("lips", "cpu"): 1.0}


@dataclass(frozen=True)
class TableRow:
    """What a row of a table differs in.

    Attributes:
        options: of train/cmpl.py, instead of the recipe's.
        lists: which lists it learns from; see `make_lists`.
        judged: the networks whose mean probabilities are compared.
    """

    options: dict[str, Any] = field(default_factory=dict)
    lists: str = f"uniform-{LABELS}"
    judged: tuple[str, ...] = ("primary",)


ALONE = {"scheme": "none", "auxiliary": None}
FIXMATCH = {"scheme": "self", "auxiliary": None}
METHODS: dict[str, dict[str, Any]] = {"labels-alone": ALONE, "fixmatch": FIXMATCH, "cross": {}}
ONE_BATCH = {"strong_bn": "labeled"}
BOTH = ("primary", "auxiliary")
SCHEMES = {scheme: {"scheme": scheme} for scheme in ("self-first", "opposite-first", "maximum", "average", "cross")}
# A step of all labels learns from as many clips as one that has unlabeled ones: lips.yaml has 16 of each.
ALL_LABELS = ALONE | {"labeled_batch": 32}
AVERAGED = {"ema": 0.99}
MOCAP13_PLUS = TableRow(AVERAGED, judged=BOTH)  # what helped of `beyond`: the recipe mocap13_plus
CAUSES: dict[str, dict[str, Any]] = {
    "threshold 0.5": {"threshold": 0.5},
    "threshold 0.9": {"threshold": 0.9},
    "soft labels": {"hard": False},
    "autoaugment": {"strong": "autoaugment"},
    "without cutout": {"cutout": False},
    "weak pass by running statistics": {"weak_bn": "running"},
    "one batch": ONE_BATCH,
    "720 steps": {"steps": 720},
}
AUXILIARIES: dict[str, dict[str, Any]] = {
    "equal": {"auxiliary": "the primary's"},
    "of 4 frames": {"auxiliary_frames": 4},
    "of 48 pixels": {"auxiliary_size": 48},
    "half": {"auxiliary": "r3d50_half"},
    "r3d18": {"auxiliary": "r3d18"},
}

EXPERIMENTS: dict[str, dict[str, TableRow]] = {
    # Table 1: which network labels which.
    "schemes": {
        "labels-alone": TableRow(ALONE),
        "fixmatch": TableRow(FIXMATCH),
        **{scheme: TableRow(options) for scheme, options in SCHEMES.items()},
        "all-labels": TableRow(ALONE, lists="all"),
    },
    # Table 4: how the labeled videos are drawn.
    "sampling": {"uniform": TableRow(), "category-wise": TableRow(lists=f"category-wise-{LABELS}")},
    # Table 2: unlabeled videos of classes that are not labeled.
    "transfer": {
        "half, labels-alone": TableRow(ALONE, lists="half-same"),
        "half, unlabeled of the same classes": TableRow(lists="half-same"),
        "half, unlabeled of the other classes": TableRow(lists="half-other"),
        "fights, labels-alone": TableRow(ALONE, lists="fights"),
        "fights, unlabeled mocap13": TableRow(lists="fights"),
    },
    "auxiliary": {
        **{f"{width}": TableRow({"auxiliary": f"r3d50_{width}"}) for width in ("eighth", "quarter", "half")},
        "equal": TableRow({"auxiliary": "the primary's"}),
        "r3d18": TableRow({"auxiliary": "r3d18"}),
        "quarter, stride 3": TableRow({"auxiliary": "r3d50_quarter", "auxiliary_stride": 3}),
    },
    "labels": {
        f"{method}, {count}": TableRow(options, lists=f"uniform-{count}")
        for count in (1, 2, 5, 10, 20)
        for method, options in METHODS.items()
    },
    # The above with ten labels alone, for more seeds than all of it can be run for.
    "ten-labels": {method: TableRow(options, lists="uniform-10") for method, options in METHODS.items()},
    # Surer pseudo-labels.
    "threshold": {
        f"{method}, {tau}": TableRow(METHODS[method] | {"threshold": tau})
        for method in ("fixmatch", "cross")
        for tau in (0.7, 0.9)
    },
    # Strong views in batch norm's batch of the labeled clips, as concatenating all clips of a step makes it.
    "batch-norm": {
        "labels-alone": TableRow(ALONE),
        "fixmatch, one batch": TableRow(FIXMATCH | ONE_BATCH),
        "fixmatch": TableRow(FIXMATCH),
        "cross, one batch": TableRow(ONE_BATCH),
        "cross": TableRow(),
    },
    # What other work adds, off by default.
    "beyond": {
        "cross": TableRow(),
        "both networks vote": TableRow(judged=BOTH),
        "averaged weights": TableRow(AVERAGED),
        "averaged weights vote": MOCAP13_PLUS,
        "lambda from the first step": TableRow({"unlabeled_warmup": 0}),
    },
    "plus": {"cross": TableRow(), "mocap13_plus": MOCAP13_PLUS},
    "knobs": {
        "as the recipe": TableRow(),
        **{f"threshold {tau}": TableRow({"threshold": tau}) for tau in (0.3, 0.5, 0.8, 0.95)},
        **{f"lambda {weight}": TableRow({"lambda_u": weight}) for weight in (0.5, 2.0)},
        "soft labels": TableRow({"hard": False}),
        **{f"{count} unlabeled clips a step": TableRow({"unlabeled_batch": count}) for count in (16, 128)},
        "autoaugment": TableRow({"strong": "autoaugment"}),
        "randaugment without cutout": TableRow({"cutout": False}),
        "autoaugment without cutout": TableRow({"strong": "autoaugment", "cutout": False}),
        "weak pass by running statistics": TableRow({"weak_bn": "running"}),
    },
    # Table 1 on real footage, with as many seeds as tell the schemes apart, and the same recipe on other classes.
    **{
        f"lips-words-{count}": {
            **{row: TableRow(options, f"words-{count}") for row, options in (METHODS | SCHEMES).items()},
            "all-labels": TableRow(ALL_LABELS, "words-all"),
            "all-labels-strong": TableRow(ALL_LABELS | {"labeled_view": "strong"}, "words-all"),
        }
        for count in (5, 10)
    },
    **{
        f"lips-phrases-{count}": {
            **{row: TableRow(options, f"phrases-{count}") for row, options in METHODS.items()},
            "all-labels": TableRow(ALL_LABELS, "phrases-all"),
        }
        for count in (5, 10)
    },
    # Why the pair is or is not ahead of one network: the recipe's settings one at a time, on held-out speakers.
    "lips-causes": {
        **{row: TableRow(options, "words-10") for row, options in METHODS.items()},
        **{
            f"{method}, {setting}": TableRow(METHODS[method] | options, "words-10")
            for setting, options in CAUSES.items()
            for method in ("fixmatch", "cross")
        },
        **{f"cross, auxiliary {row}": TableRow(options, "words-10") for row, options in AUXILIARIES.items()},
    },
    # What else could help where labels are fewest.
    "lips-beyond": {
        **{row: TableRow(options, "words-5") for row, options in METHODS.items()},
        **{
            f"{method}, {setting}": TableRow(METHODS[method] | options, "words-5")
            for setting, options in {
                "averaged weights": AVERAGED,
                "48 unlabeled clips a step": {"unlabeled_batch": 48},
            }.items()
            for method in ("fixmatch", "cross")
        },
        "labels-alone, averaged weights": TableRow(ALONE | AVERAGED, "words-5"),
        "cross, two equal networks": TableRow(AUXILIARIES["equal"], "words-5"),
        **{
            f"cross, {setting}vote": TableRow(options, "words-5", BOTH)
            for setting, options in {
                "": {},
                "averaged weights ": AVERAGED,
                "two equal networks ": AUXILIARIES["equal"],
            }.items()
        },
    },
}


def data_set(experiment: str) -> str:
    """The name of the videos that an experiment is made on, `mocap13` or `lips`."""
    return data_of(next(iter(EXPERIMENTS[experiment].values())).lists)


def lists_needed(experiment: str) -> list[str]:
    """The lists of videos that an experiment needs, in the folder that holds the data sets."""
    if data_set(experiment) == "lips":
        spoken = next(iter(EXPERIMENTS[experiment].values())).lists.partition("-")[0]
        return [f"lips/{spoken}_train.csv", f"lips/{spoken}_test.csv"]
    return ["mocap13/train.csv", "mocap13/test.csv", *(["fights/videos.csv"] if experiment == "transfer" else [])]


class ExperimentError(RuntimeError):
    """What keeps an experiment from being run; the message names it and the next step."""


@dataclass(frozen=True)
class ExperimentRun:
    """One run of an experiment: a row with a seed."""

    experiment: str
    setting: str
    row: str
    seed: int

    @property
    def name(self) -> str:
        """As files and folders are called."""
        row = re.sub("[^a-z0-9.]+", "-", self.row)
        return f"{self.experiment}-{self.setting}-{row}-seed{self.seed}"


@dataclass(frozen=True)
class Place:
    """Where an experiment finds its things and puts them.

    Attributes:
        frames: folder of decoded videos.
        center: share of the frames that they show, of mocap13 or of lips.
        work: lists, runs and their logs.
        results: folder of one file an experiment.
        recipe: options of train/cmpl.py.
        measured_on: `validation`, or `test` for the test list.
    """

    frames: Path
    center: float
    work: Path
    results: Path
    recipe: dict[str, Any]
    measured_on: str

    def results_file(self, experiment: str) -> Path:
        """The file of an experiment's results."""
        return self.results / f"{experiment}.jsonl"

    def results_of(self, experiment: str) -> dict[ExperimentRun, Result]:
        """The finished runs of an experiment, in the order of the file."""
        return {
            ExperimentRun(experiment, result["setting"], result["row"], result["seed"]): result
            for result in read_results(self.results_file(experiment))
            if result["measured_on"] == self.measured_on
        }

    def runs_of(self, experiment: str, setting: str, seeds: int) -> list[ExperimentRun]:
        """All runs of an experiment; of rows that come to the same in this setting, the first."""
        rows: dict[str, str] = {}
        for row in EXPERIMENTS[experiment]:
            rows.setdefault(json.dumps(self.made_with(ExperimentRun(experiment, setting, row, seed=1))), row)
        return [ExperimentRun(experiment, setting, row, seed) for seed in range(1, seeds + 1) for row in rows.values()]

    def twins(self, run: ExperimentRun) -> list[ExperimentRun]:
        """The runs of all experiments that come to the same training, itself among them."""
        every = (replace(run, experiment=name, row=row) for name, rows in EXPERIMENTS.items() for row in rows)
        wanted = self.training(run)
        return [one for one in every if self.training(one) == wanted]

    def folder_of(self, run: ExperimentRun) -> Path:
        """Where its networks are trained, which twins share."""
        return self.work / self.twins(run)[0].name

    def training(self, run: ExperimentRun) -> dict[str, Any]:
        """What tells its training from others: every option that the networks depend on, the lists and the frames."""
        options = {key: value for key, value in self.options(run).items() if key not in FREE}
        return DEFAULTS | options | {"seed": run.seed, "lists": self.lists_of(run), "center": self.center}

    def lists_of(self, run: ExperimentRun) -> str:
        """The name of the lists that it learns from and is measured on."""
        lists = EXPERIMENTS[run.experiment][run.row].lists
        held_out = data_of(lists) == "lips" and self.measured_on == "validation"
        return f"{lists}-held-out" if held_out else lists

    def made_with(self, run: ExperimentRun) -> dict[str, Any]:
        """What tells its result from others: the training, and which networks are judged."""
        return self.training(run) | {"judged": list(EXPERIMENTS[run.experiment][run.row].judged)}

    def log_of(self, run: ExperimentRun) -> Path:
        """What the run's processes print."""
        return self.work / f"{self.folder_of(run).name}.log"

    def options(self, run: ExperimentRun) -> dict[str, Any]:
        """What the run's recipe and its row say, the row before the recipe."""
        options = self.recipe | EXPERIMENTS[run.experiment][run.row].options
        if options.get("auxiliary") == "the primary's":
            options["auxiliary"] = options.get("primary", Config.primary)
        return options

    def change(self, result: Result, run: ExperimentRun) -> str | None:
        """The first thing in which a result was made otherwise than a run would be now; None where there is none."""
        made = result["recipe"] | {key: result.get(key) for key in ("lists", "center", "judged")}
        return difference(made, self.made_with(run))

    def check(self, run: ExperimentRun, result: Result | None) -> None:
        """Refuse a result, or a finished run, of other options."""
        if result and (change := self.change(result, run)):
            raise ExperimentError(
                f"{self.results_file(run.experiment)}: {run.row}, seed {run.seed}, was made with {change}; delete its "
                "line, or give another --results"
            )
        if (file := self.folder_of(run) / "summary.json").exists():
            config = json.loads(file.read_text())["config"]
            lists, _, _ = Path(config["labeled"]).parent.name.rpartition("-seed")
            if change := difference(config | {"lists": lists, "center": self.center}, self.training(run)):
                raise ExperimentError(f"{file}: was made with {change}; delete {file.parent}, or give another --work")

    def scores_of(self, run: ExperimentRun) -> Path | None:
        """What train/evaluate.py measures of its networks; None where the training has done it."""
        judged = EXPERIMENTS[run.experiment][run.row].judged
        measured_in_training = self.measured_on == "validation" or data_set(run.experiment) == "lips"
        if measured_in_training and judged == ("primary",):
            return None
        return self.folder_of(run) / f"{self.measured_on}-{'-'.join(judged)}.json"

    def next_command(self, run: ExperimentRun, jobs: int) -> list[str] | None:
        """What a run needs next: training, a measurement, or nothing."""
        folder = self.folder_of(run)
        lists = self.lists_of(run)
        files = make_lists(self.frames, self.work, lists, run.seed)
        root = self.frames / data_of(lists)
        if (folder / "summary.json").exists():
            if (scores := self.scores_of(run)) is None or scores.exists():
                return None
            judged = [str(folder / network) for network in EXPERIMENTS[run.experiment][run.row].judged]
            data = files["test" if self.measured_on == "test" else "val"]
            return [sys.executable, str(REPO / "train" / "evaluate.py"), *judged, "--data", str(data),
                    "--root", str(root), "--workers", "0", "--json", str(scores)]  # fmt: skip
        options = self.options(run)
        options |= {
            "labeled": files["labeled"],
            "unlabeled": files["unlabeled"],
            "val": files["val"],
            "root": root,
            "unlabeled_root": self.frames / data_set(run.experiment),
            "output": folder,
            "seed": run.seed,
            "val_every": 0,
            "workers": options.get("workers", Config.workers) // jobs,
            "resume": True,
        }
        words = []
        for name, value in options.items():
            words += [flag(name), str(value) if isinstance(value, str | Path) else json.dumps(value)]
        return [sys.executable, str(REPO / "train" / "cmpl.py"), *words]

    def result_of_a_twin(self, run: ExperimentRun) -> Result | None:
        """What another experiment has measured of the same networks; None where none has."""
        for twin in self.twins(run):
            if (found := self.results_of(twin.experiment).get(twin)) and not self.change(found, run):
                return found | {"experiment": run.experiment, "row": run.row}
        return None

    def record(self, run: ExperimentRun) -> Result:
        """What is kept of a finished run."""
        folder = self.folder_of(run)
        summary = json.loads((folder / "summary.json").read_text())
        scores = self.scores_of(run)
        measured = json.loads(scores.read_text()) if scores else summary["validation"]["primary"]
        curves = {name: values for name, values in summary["curves"].items()
                  if name == "step" or name.endswith(("mask", "pseudo_accuracy"))}  # fmt: skip
        return {
            "experiment": run.experiment,
            "setting": run.setting,
            "row": run.row,
            "seed": run.seed,
            "measured_on": self.measured_on,
            **facts_of(summary, measured),
            **(per_speaker(folder) if data_set(run.experiment) == "lips" else {}),
            **{key: self.made_with(run)[key] for key in ("lists", "center", "judged")},
            "curves": curves,
        }  # fmt: skip


def per_speaker(folder: Path) -> dict[str, dict[str, float]]:
    """Top-1 in percent of each network of a run for each speaker it was measured on, by role and speaker."""
    config = json.loads((folder / "summary.json").read_text())["config"]
    speakers = [row["group"] for row in read_list(config["val"]).rows]
    with (folder / "predictions.csv").open(newline="") as lines:
        predictions = list(csv.DictReader(lines))
    columns = {"primary": "right", "auxiliary": "auxiliary_right"}
    right: dict[str, dict[str, list[bool]]] = {}
    for speaker, prediction in zip(speakers, predictions, strict=True):
        for role in [role for role, column in columns.items() if column in prediction]:
            right.setdefault(role, {}).setdefault(speaker, []).append(prediction[columns[role]] == "yes")
    return {
        "per_speaker": {
            role: {speaker: 100 * statistics.mean(of) for speaker, of in each.items()} for role, each in right.items()
        }
    }


def next_of(waiting: list[ExperimentRun], running: Iterable[ExperimentRun], place: Place) -> ExperimentRun | None:
    """The first run that does not wait for one in the same folder."""
    taken = {place.folder_of(run) for run in running}
    return next((run for run in waiting if place.folder_of(run) not in taken), None)


def run_all(
    runs: list[ExperimentRun],
    finished: dict[ExperimentRun, Result],
    writer: ResultsWriter,
    place: Place,
    jobs: int,
    deadline: float,
) -> list[str]:
    """Make the runs that are not finished, so many side by side, until the time is up; returns what went wrong."""
    waiting, failures = [run for run in runs if run not in finished], []
    running: dict[subprocess.Popen[bytes], ExperimentRun] = {}
    environment = {"OMP_NUM_THREADS": str(max(1, available_cores() // jobs))} | os.environ
    stopping = False
    try:
        while running or (waiting and not stopping):
            while len(running) < jobs and not stopping and (run := next_of(waiting, running.values(), place)):
                waiting.remove(run)
                result = place.result_of_a_twin(run)
                if result is None and (words := place.next_command(run, jobs)):
                    with place.log_of(run).open("ab") as log:
                        process = subprocess.Popen(words, stdout=log, stderr=log, cwd=REPO, env=environment)
                    running[process] = run
                    continue
                result = result or place.record(run)
                writer.add(result)
                finished[run] = result
                made = sum(one in finished for one in runs)
                print(f"{made}/{len(runs)}  {run.row}, seed {run.seed}: top-1 {result['top1']:.1f} %", flush=True)
            if time.monotonic() > deadline and not stopping:
                stopping = True
                for process in running:
                    process.terminate()
            time.sleep(0.2)
            for process in [process for process in running if process.poll() is not None]:
                run = running.pop(process)
                if process.returncode == 0:
                    waiting.insert(0, run)  # to be measured or recorded
                elif not stopping:
                    last = (place.log_of(run).read_text(errors="replace").splitlines() or [""])[-1]
                    failures.append(
                        f"{run.row}, seed {run.seed}: ended with status {process.returncode}, last saying {last!r}; "
                        f"the rest is in {place.log_of(run)}"
                    )
                    print(failures[-1], file=sys.stderr, flush=True)
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)  # it saves its state
        for process in running:
            process.wait()
    return failures


def run_experiment(
    name: Literal[*EXPERIMENTS],  # type: ignore[valid-type]
    data: str,
    setting: Literal["cpu", "gpu"] = "cpu",
    seeds: int = 3,
    rows: list[str] | None = None,
    jobs: int = 1,
    minutes: float = 0.0,
    test: bool = False,
    work: str = "runs/experiments",
    recipe: str | None = None,
    results: str = "experiments/results",
) -> int:
    """The paper's experiments and some beyond it on real videos, resumable run by run, with a table and a plot.

    Args:
        name: which experiment.
        data: folder that holds mocap13, and fights for transfer; or lips.
        setting: which recipe: mocap13_cpu or mocap13; of lips there is one, for the CPU.
        seeds: runs of each row, with seeds 1, 2, ...; the table is of these.
        rows: make the runs of these rows alone; by default of all.
        jobs: runs side by side.
        minutes: stop after so long and keep what is done; 0: when all is done.
        test: measure on the test list, for final tables, instead of on recordings, or speakers, of the training list.
        work: folder of lists and runs.
        recipe: another recipe instead of the setting's.
        results: folder of one file an experiment; tables and plots go to `reports` beside it.
    """
    deadline = time.monotonic() + 60 * minutes if minutes else float("inf")
    if name == "knobs" and setting == "cpu":
        raise ExperimentError(f"knobs is made of {len(EXPERIMENTS['knobs'])} rows of long runs: it needs --setting gpu")
    videos, lists = data_set(name), lists_needed(name)
    if (videos, setting) not in RECIPES:
        raise ExperimentError(f"{name} has no recipe for --setting {setting}; leave it out")
    if unknown := sorted(set(rows or ()) - EXPERIMENTS[name].keys()):
        raise ExperimentError(f"--rows: {name} has no row {', '.join(unknown)}; it has {', '.join(EXPERIMENTS[name])}")
    for needed in lists:
        if not Path(data, needed).is_file():
            raise ExperimentError(
                f"{Path(data, needed)}: there is no such list; give the folder that holds {Path(needed).parent}"
            )
    if importlib.util.find_spec("matplotlib") is None:
        raise ExperimentError("the plot of the results needs matplotlib: pip install -e '.[dev]'")
    if seeds < 1 or jobs < 1 or minutes < 0:
        raise ExperimentError("--seeds and --jobs must be at least 1, and --minutes not negative")
    base = Path(recipe) if recipe else RECIPES[videos, setting]
    if not base.is_file():
        raise ExperimentError(f"{base}: there is no such recipe")
    try:
        options = yaml.safe_load(base.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ExperimentError(f"{base}: is not YAML; give a recipe like those in cmpl_zoo/training/recipes") from error
    if not isinstance(options, dict):
        raise ExperimentError(f"{base}: holds no options; give a recipe like those in cmpl_zoo/training/recipes")
    if unknown := sorted(options.keys() - DEFAULTS.keys() - FREE):
        raise ExperimentError(f"{base}: train/cmpl.py has no option {', '.join(unknown)}; its --help lists them")
    if options.get("steps") is None:
        raise ExperimentError(f"{base}: gives no steps; all rows of an experiment have the same number")
    folder, center = Path(work).absolute(), CENTER[videos, setting]
    short_side = options.get("short_side", Config.short_side)[1]
    frames = folder / f"frames-{short_side}-of-{center}"
    place = Place(frames, center, folder, Path(results).absolute(), options, "test" if test else "validation")
    place.work.mkdir(parents=True, exist_ok=True)
    runs = [run for run in place.runs_of(name, setting, seeds) if rows is None or run.row in rows]
    with ResultsWriter(place.results_file(name)) as writer:
        finished = place.results_of(name)
        for run in runs:
            place.check(run, finished.get(run))
        for needed in lists:
            kept = center if needed.startswith("mocap13") else 1.0
            decode_once(Path(data, needed), frames / Path(needed).parent, short_side, kept)
        print(f"{name}: {sum(run in finished for run in runs)} of {len(runs)} runs are there", flush=True)
        failures = run_all(runs, finished, writer, place, jobs, deadline)
    from report import report  # needs matplotlib

    order = rows_in_order(name, finished)
    told = [run for run in finished if run.setting == setting and run.seed <= seeds]
    if told:
        told.sort(key=lambda run: (order.index(run.row), run.seed))
        print(report([finished[run] for run in told], place.results.parent / "reports"))
    if missing := sum(run not in finished for run in runs) - len(failures):
        print(f"stopped with {missing} runs to go; the same command continues")
    return 1 if failures else 3 if missing else 0


def rows_in_order(experiment: str, finished: Iterable[ExperimentRun]) -> list[str]:
    """The rows of an experiment; one that cannot be run any more comes after the one that it follows in the file."""
    rows, place = list(EXPERIMENTS[experiment]), 0
    for row in dict.fromkeys(run.row for run in finished):
        if row not in rows:
            rows.insert(place, row)
        place = rows.index(row) + 1
    return rows


def main() -> int:
    # As Ctrl-C: the runs, which are processes of their own, are to be stopped, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    jsonargparse.set_parsing_settings(parse_optionals_as_positionals=False)

    def work() -> int:
        try:
            return int(jsonargparse.auto_cli(run_experiment, as_positional=True))
        except KeyboardInterrupt:
            raise KeyboardInterrupt("stopped; the same command continues") from None

    return reporting("runner.py", work)


if __name__ == "__main__":
    sys.exit(main())
