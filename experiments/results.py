"""Results of training runs: one file of JSON lines an experiment in experiments/results/, one line a run.

Most options are the same in all runs of an experiment. So a line that has nothing but a `recipe` holds all options of a
run, and the runs below it hold only the options that differ from these. A run with other options than those of the last
such line, not just other values, is preceded by a new one: what is read is what was recorded. The name of the
experiment is that of the file.

Lines are only added: of two of the same run the later one counts. A last line without an end is of a process that was
killed in writing it, and is no result.
"""

import json
import os
import statistics
import sys
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any

from cmpl_zoo._appended_lines import AppendedLines
from cmpl_zoo.hub.cards import PRIVATE_OPTIONS
from cmpl_zoo_cli.train_config import FREE_ON_RESUME, Config

RESULTS = Path(__file__).resolve().parent / "results"
FREE = FREE_ON_RESUME | PRIVATE_OPTIONS  # options that the networks do not depend on, or that the runner gives

# Options that stored runs have and training no longer does, and their defaults: measured, none helped
# (docs/results.md).
REMOVED = {
    "ema_teachers": False,
    "distribution_alignment": False,
    "class_thresholds": False,
    "mix_clips": False,
    "temporal_warp": False,
}
DEFAULTS = {option.name: option.default for option in fields(Config)} | REMOVED
LAST_COMMIT_WITH_REMOVED = "9f7f944"  # the last one that has the options in `REMOVED`

Result = dict[str, Any]
RunsByRow = dict[str, dict[int, Result]]  # then by seed


class ResultsError(RuntimeError):
    """A file of results that cannot be read or written; the message names it and the next step."""


def read_results(file: Path) -> list[Result]:
    """The results in a file, each with all of its recipe; none where there is no file.

    Raises:
        ResultsError: a line is not JSON.
    """
    return _read(file)[0]


def _read(file: Path) -> tuple[list[Result], dict[str, Any]]:
    """The results in a file and the last recipe that they differ from."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    results: dict[tuple[object, ...], Result] = {}
    recipe: dict[str, Any] = {}
    for number, line in enumerate(text.split("\n")[:-1], 1):  # what follows the last end of a line was cut off
        try:
            facts = json.loads(line)
        except ValueError as error:
            raise ResultsError(f"{file}: line {number} is not JSON ({error}); restore or delete that line") from error
        if facts.keys() == {"recipe"}:
            recipe = facts["recipe"]
            continue
        run = tuple(facts.get(key) for key in ("setting", "row", "seed", "measured_on"))
        results[run] = {"experiment": file.stem} | facts | {"recipe": recipe | facts["recipe"]}
    return list(results.values()), recipe


class ResultsWriter:
    """Adds results to the file of an experiment, as the only one that does; a context manager.

    Raises:
        OSError: another process writes to the file, or it cannot be written.
        ResultsError: a line of it is not JSON.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._lines = AppendedLines(file)
        os.register_at_fork(after_in_child=self._lines.close)  # a child that outlives this process would keep the lock
        try:
            size = file.stat().st_size
            if len(self._lines.read()) < size:
                print(f"{file}: its last line was cut off and is dropped; that run is made again", file=sys.stderr)
            _, self._recipe = _read(file)
        except ResultsError:
            self._lines.close()
            raise

    def add(self, result: Result) -> None:
        """Write the line of a run."""
        lines, recipe = [], result["recipe"]
        if recipe.keys() != self._recipe.keys():
            lines, self._recipe = [{"recipe": recipe}], recipe
        different = {key: value for key, value in recipe.items() if value != self._recipe[key]}
        facts = {key: value for key, value in result.items() if key != "experiment"}
        lines.append(facts | {"recipe": different})
        self._lines.append("".join(json.dumps(line) + "\n" for line in lines))

    def __enter__(self) -> "ResultsWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()


def facts_of(summary: dict[str, Any], scores: dict[str, Any]) -> Result:
    """What a result keeps of a run's summary.json and of what train/evaluate.py measured."""
    return {
        "top1": scores["video_top1"],
        **{key: scores[key] for key in ("videos", "clips", "crops", "per_class")},
        **{key: summary[key] for key in ("labeled_videos", "unlabeled_videos", "step", "seconds", "hardware",
                                         "version", "commit")},
        "recipe": {key: value for key, value in summary["config"].items() if key not in PRIVATE_OPTIONS},
    }  # fmt: skip


def difference(made: dict[str, Any], wanted: dict[str, Any]) -> str | None:
    """The first of the wanted options that is another one in `made`, in words; None where all agree.

    Removed options, and those that are newer than a result, count as left at their defaults.
    """
    made, wanted = DEFAULTS | made, REMOVED | wanted
    other = next((key for key, value in wanted.items() if key not in made or made[key] != value), None)
    return f"{other} {made.get(other, 'unknown')}, which is {wanted[other]} now" if other else None


def accuracies(runs: list[Result]) -> dict[str, list[float]]:
    """Top-1 and the mean over classes of each run, in percent."""
    return {
        "top1": [run["top1"] for run in runs],
        "of_classes": [statistics.mean(run["per_class"].values()) for run in runs],
    }


def row_title(result: Result) -> str:
    """What tables call the row of a result: a row that nobody can run any more with the last commit that could."""
    used = any(result["recipe"].get(option, default) != default for option, default in REMOVED.items())
    return f"{result['row']} (commit {LAST_COMMIT_WITH_REMOVED})" if used else result["row"]
