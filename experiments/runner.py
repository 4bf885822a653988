"""The paper's experiments, and some beyond it, on the real motions of mocap13 or the real footage of lips, run by run.

python experiments/runner.py schemes DIR                                      # Table 1, small enough for a CPU
python experiments/runner.py schemes DIR --setting gpu --jobs 3 --minutes 8
python experiments/runner.py lips-words-10 DIR --seeds 10 --test true

DIR holds mocap13 (and fights, for `transfer`), or lips. A run is train/cmpl.py with the recipe of the setting and the
options of a row (rows.py); what a row is not about is the same in all rows of an experiment, the labels too, seed by
seed. The networks of a row with a start have first learned from all of its videos without labels, by train/pretrain.py
with the small recipe of a task. Videos are decoded once. A finished run is one line in experiments/results/ and is not
repeated, not for another experiment either; one that was stopped is continued. What is compared is the primary network
after its last step, or both where a row says that they vote. By default they are measured on recordings cut off from
train.csv, to choose settings by; `--test true` measures the same networks on test.csv, for final tables alone. Of lips
they are measured on three speakers who are not learned from, and with `--test true` on the test speakers after learning
from all others, which needs a --work folder of its own.

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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jsonargparse
import yaml
from commands import REPO, script
from lists import data_of, decode_once, make_lists
from results import FREE, Result, ResultsWriter, difference, facts_of, read_results
from rows import EXPERIMENTS, data_set, lists_needed
from settings import OPTIONS, ExperimentRun, Settings

from cmpl_zoo.datasets.lists import read_list
from cmpl_zoo.datasets.loader import available_cores
from cmpl_zoo_cli.main import reporting
from cmpl_zoo_cli.pretrain_config import FLOW_TASKS
from cmpl_zoo_cli.train_config import Config

RECIPES = {
    ("mocap13", "cpu"): REPO / "cmpl_zoo" / "training" / "recipes" / "mocap13_cpu.yaml",
    ("mocap13", "gpu"): REPO / "cmpl_zoo" / "training" / "recipes" / "mocap13.yaml",
    ("lips", "cpu"): REPO / "experiments" / "recipes" / "lips.yaml",
}
# Share of a frame that is kept: in mocap13 the actor is in the middle, and 32 pixels show as much as 43 of the whole.
CENTER = {("mocap13", "cpu"): 0.75, ("mocap13", "gpu"): 1.0, ("lips", "cpu"): 1.0}


class ExperimentError(RuntimeError):
    """What keeps an experiment from being run; the message names it and the next step."""


class Start(NamedTuple):
    """A network that is pretrained, and the folder of that run."""

    model: str
    folder: Path


@dataclass(frozen=True)
class Place:
    """Where the runs of a call find their things and put them.

    Attributes:
        settings: of the runs.
        frames: folder of decoded videos.
        work: lists, runs and their logs.
        results: folder of one file an experiment.
    """

    settings: Settings
    frames: Path
    work: Path
    results: Path

    def results_file(self, experiment: str) -> Path:
        """The file of an experiment's results."""
        return self.results / f"{experiment}.jsonl"

    def results_of(self, experiment: str) -> dict[ExperimentRun, Result]:
        """The finished runs of an experiment, in the order of the file."""
        return {
            ExperimentRun(experiment, result["setting"], result["row"], result["seed"]): result
            for result in read_results(self.results_file(experiment))
            if result["measured_on"] == self.settings.measured_on
        }

    def folder_of(self, run: ExperimentRun) -> Path:
        """Where its networks are trained, which equal runs share."""
        return self.work / self.settings.equal_runs(run)[0].name

    def folders_of(self, run: ExperimentRun) -> set[Path]:
        """Every folder that it may write to."""
        folders = {self.folder_of(run), *(start.folder for start in self.starts_of(run).values())}
        return folders | ({flow} if (flow := self.flow_of(run)) else set())

    def starts_of(self, run: ExperimentRun) -> dict[str, Start]:
        """Where its networks are pretrained, by the option that takes the result; none of a run from random weights.

        Runs that learn from the same videos with the same seed share them.
        """
        if (task := run.table_row.start) is None:
            return {}
        lists, options = self.settings.lists_of(run), self.settings.options(run)
        videos = "-".join([data_of(lists), *re.findall("words|phrases|held-out", lists)])
        models = {"init": options["primary"], "auxiliary_init": options["auxiliary"]}
        folder = self.work / "starts" / task
        return {
            option: Start(model, folder / f"{videos}-{model}-seed{run.seed}")
            for option, model in models.items()
            if model
        }

    def flow_of(self, run: ExperimentRun) -> Path | None:
        """The folder of the optical flow that it learns from first; None where its start needs none."""
        needs_flow = run.table_row.start in FLOW_TASKS
        return self.work / "flow" / data_of(self.settings.lists_of(run)) if needs_flow else None

    def facts_of_start(self, run: ExperimentRun) -> dict[str, Any]:
        """What is kept of the pretraining of its primary network: options, seconds, the last share of right answers."""
        if (start := self.starts_of(run).get("init")) is None:
            return {}
        summary = json.loads((start.folder / "summary.json").read_text())
        right = [share for share in summary["curves"]["right"] if share is not None]
        return {
            "pretraining": {key: summary["config"][key] for key in self.settings.pretraining(run, start.model)},
            "pretraining_seconds": summary["seconds"],
            "pretraining_right": right[-1],
        }

    def log_of(self, run: ExperimentRun) -> Path:
        """What the run's processes print."""
        return self.work / f"{self.folder_of(run).name}.log"

    def config_of(self, run: ExperimentRun) -> dict[str, Any]:
        """The options that a finished run was made with, what it started from by the task's name."""
        config = json.loads((self.folder_of(run) / "summary.json").read_text())["config"]
        return config | {
            option: start.folder.parent.name
            for option, start in self.starts_of(run).items()
            if config[option] == str(start.folder / "model")
        }

    def check(self, run: ExperimentRun, result: Result | None) -> None:
        """Refuse a result, or a finished run, of other options."""
        if result and (change := self.settings.change(result, run)):
            raise ExperimentError(
                f"{self.results_file(run.experiment)}: {run.row}, seed {run.seed}, was made with {change}; delete its "
                "line, or give another --results"
            )
        if (file := self.folder_of(run) / "summary.json").exists():
            config = self.config_of(run)
            lists, _, _ = Path(config["labeled"]).parent.name.rpartition("-seed")
            if change := difference(
                config | {"lists": lists, "center": self.settings.center}, self.settings.training(run)
            ):
                raise ExperimentError(f"{file}: was made with {change}; delete {file.parent}, or give another --work")

    def scores_of(self, run: ExperimentRun) -> Path | None:
        """What train/evaluate.py measures of its networks; None where the training has done it."""
        judged = run.table_row.judged
        measured_in_training = self.settings.measured_on == "validation" or data_set(run.experiment) == "lips"
        if measured_in_training and judged == ("primary",):
            return None
        return self.folder_of(run) / f"{self.settings.measured_on}-{'-'.join(judged)}.json"

    def next_command(self, run: ExperimentRun, jobs: int) -> list[str] | None:
        """What a run needs next: training, a measurement, or nothing."""
        folder = self.folder_of(run)
        lists = self.settings.lists_of(run)
        files = make_lists(self.frames, self.work, lists, run.seed)
        root = self.frames / data_of(lists)
        if (folder / "summary.json").exists():
            if (scores := self.scores_of(run)) is None or scores.exists():
                return None
            judged = [str(folder / network) for network in run.table_row.judged]
            data = files["test" if self.settings.measured_on == "test" else "val"]
            return [sys.executable, str(REPO / "train" / "evaluate.py"), *judged, "--data", str(data),
                    "--root", str(root), "--workers", "0", "--json", str(scores)]  # fmt: skip
        flow = self.flow_of(run)
        if flow and not (flow / (whole := root / Path(lists_needed(run.experiment)[0]).name).name).exists():
            return [sys.executable, "-m", "cmpl_zoo_cli", "flow", str(whole), "--root", str(root), "-o", str(flow)]
        for start in self.starts_of(run).values():
            if not (start.folder / "summary.json").exists():
                return script("pretrain.py", self.settings.pretraining(run, start.model) | {
                    "unlabeled": files["labeled"].with_name("pool.csv"), "root": root, "output": start.folder,
                    "seed": run.seed, "resume": True, **({"flow": flow} if flow else {}),
                })  # fmt: skip
        options = self.settings.options(run)
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
            **{option: start.folder / "model" for option, start in self.starts_of(run).items()},
        }
        return script("cmpl.py", options)

    def result_of_an_equal_run(self, run: ExperimentRun) -> Result | None:
        """What another experiment has measured of the same networks; None where none has."""
        for equal in self.settings.equal_runs(run):
            if (found := self.results_of(equal.experiment).get(equal)) and not self.settings.change(found, run):
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
            "measured_on": self.settings.measured_on,
            **facts_of(summary | {"config": self.config_of(run)}, measured),
            **self.facts_of_start(run),
            **(per_speaker(folder) if data_set(run.experiment) == "lips" else {}),
            **{key: self.settings.made_with(run)[key] for key in ("lists", "center", "judged")},
            "curves": curves,
        }  # fmt: skip


def per_speaker(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
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
    """The first run that does not wait for one that writes to a folder of it."""
    taken = {folder for run in running for folder in place.folders_of(run)}
    return next((run for run in waiting if taken.isdisjoint(place.folders_of(run))), None)


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
                result = place.result_of_an_equal_run(run)
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
    pretraining: int | None = None,
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
        pretraining: steps of pretraining of rows with a start, instead of those of the task's small recipe.
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
    if min(seeds, jobs, 1 if pretraining is None else pretraining) < 1 or minutes < 0:
        raise ExperimentError("--seeds, --jobs and --pretraining must be at least 1, and --minutes not negative")
    base = Path(recipe) if recipe else RECIPES[videos, setting]
    if not base.is_file():
        raise ExperimentError(f"{base}: there is no such recipe")
    try:
        options = yaml.safe_load(base.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ExperimentError(f"{base}: is not YAML; give a recipe like those in cmpl_zoo/training/recipes") from error
    if not isinstance(options, dict):
        raise ExperimentError(f"{base}: holds no options; give a recipe like those in cmpl_zoo/training/recipes")
    if unknown := sorted(options.keys() - OPTIONS.keys() - FREE):
        raise ExperimentError(f"{base}: train/cmpl.py has no option {', '.join(unknown)}; its --help lists them")
    if options.get("steps") is None:
        raise ExperimentError(f"{base}: gives no steps; all rows of an experiment have the same number")
    folder, center = Path(work).absolute(), CENTER[videos, setting]
    short_side = options.get("short_side", Config.short_side)[1]
    frames = folder / f"frames-{short_side}-of-{center}"
    measured_on = "test" if test else "validation"
    settings = Settings(options, center, measured_on, pretraining)
    place = Place(settings, frames, folder, Path(results).absolute())
    place.work.mkdir(parents=True, exist_ok=True)
    runs = [run for run in place.settings.runs_of(name, setting, seeds) if rows is None or run.row in rows]
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
