"""What the runs of an experiment are: their options, lists and starts; and which of them come to the same."""

import json
import re
from dataclasses import dataclass, fields, replace
from typing import Any

import yaml
from lists import data_of
from results import FREE, Result, difference
from rows import EXPERIMENTS, TableRow

from cmpl_zoo.pretext import TASKS
from cmpl_zoo_cli.pretrain_parser import RECIPES as PRETEXT_RECIPES
from cmpl_zoo_cli.recipes import packaged
from cmpl_zoo_cli.train_config import Config

# What pretraining takes from the recipe of the rows; dpc keeps its size, with which maps have more than one place.
CLIP = ("size", "short_side", "crop_pct", "subtract_mean_frame", "normalize_clip")
# Strides by data set and task, elsewhere those of the small recipes: on mocap13 that of the rows where a task shows one
# clip at one pace, and less where 10 to 48 frames allow no more; on lips, where clips have 4 to 27 frames, 1.
STRIDES = {
    "lips": dict.fromkeys(TASKS, 1),
    "mocap13": dict.fromkeys(("moco", "coclr", "rotation", "arrow"), 5) | dict.fromkeys(("speed", "tempo"), 2),
}
# Of train/cmpl.py, as YAML would give them.
OPTIONS = json.loads(json.dumps({option.name: option.default for option in fields(Config) if option.name not in FREE}))


@dataclass(frozen=True)
class ExperimentRun:
    """One run of an experiment: a row with a seed."""

    experiment: str
    setting: str
    row: str
    seed: int

    @property
    def table_row(self) -> TableRow:
        """What it differs in from the other rows."""
        return EXPERIMENTS[self.experiment][self.row]

    @property
    def name(self) -> str:
        """As files and folders are called."""
        row = re.sub("[^a-z0-9.]+", "-", self.row)
        return f"{self.experiment}-{self.setting}-{row}-seed{self.seed}"


@dataclass(frozen=True)
class Settings:
    """What the runs of a call have in common.

    Attributes:
        recipe: options of train/cmpl.py.
        center: share of the frames that the videos show, of mocap13 or of lips.
        measured_on: `validation`, or `test` for the test list.
        pretraining_steps: of rows with a start; by default those of the task's small recipe.
    """

    recipe: dict[str, Any]
    center: float
    measured_on: str
    pretraining_steps: int | None = None

    def runs_of(self, experiment: str, setting: str, seeds: int) -> list[ExperimentRun]:
        """All runs of an experiment; of rows that come to the same in this setting, the first."""
        rows: dict[str, str] = {}
        for row in EXPERIMENTS[experiment]:
            rows.setdefault(json.dumps(self.made_with(ExperimentRun(experiment, setting, row, seed=1))), row)
        return [ExperimentRun(experiment, setting, row, seed) for seed in range(1, seeds + 1) for row in rows.values()]

    def equal_runs(self, run: ExperimentRun) -> list[ExperimentRun]:
        """The runs of all experiments that come to the same training, itself among them."""
        every = (replace(run, experiment=name, row=row) for name, rows in EXPERIMENTS.items() for row in rows)
        wanted = self.training(run)
        return [one for one in every if self.training(one) == wanted]

    def options(self, run: ExperimentRun) -> dict[str, Any]:
        """What the run's recipe and its row say, the row before the recipe; what it starts from by the task's name."""
        row = run.table_row
        options = self.recipe | row.options
        if options.get("auxiliary") == "the primary's":
            options["auxiliary"] = options.get("primary", Config.primary)
        if row.start is not None:
            options["init"] = row.start
            options["auxiliary_init"] = row.start if options["auxiliary"] else None
        return options

    def lists_of(self, run: ExperimentRun) -> str:
        """The name of the lists that it learns from and is measured on."""
        lists = run.table_row.lists
        held_out = data_of(lists) == "lips" and self.measured_on == "validation"
        return f"{lists}-held-out" if held_out else lists

    def pretraining(self, run: ExperimentRun, model: str) -> dict[str, Any]:
        """Options of train/pretrain.py for a network that the run starts from."""
        task = run.table_row.start
        recipe = yaml.safe_load(packaged(PRETEXT_RECIPES)[f"{task}_small"].read_text(encoding="utf-8"))
        own = ("size", "short_side") if task == "dpc" else ()
        clip = {option: value for option, value in self.options(run).items() if option in CLIP and option not in own}
        strides = STRIDES[data_of(self.lists_of(run))]
        stride = {"stride": strides[task]} if task in strides else {}
        steps = {"steps": self.pretraining_steps} if self.pretraining_steps else {}
        return recipe | {"model": model} | clip | stride | steps

    def training(self, run: ExperimentRun) -> dict[str, Any]:
        """What tells its training from others: every option that the networks depend on, the lists and the frames."""
        options = {key: value for key, value in self.options(run).items() if key not in FREE}
        return OPTIONS | options | {"seed": run.seed, "lists": self.lists_of(run), "center": self.center}

    def made_with(self, run: ExperimentRun) -> dict[str, Any]:
        """What tells its result from others: the training, and which networks are judged."""
        made = self.training(run) | {"judged": list(run.table_row.judged)}
        return made | ({"pretraining": self.pretraining(run, made["primary"])} if run.table_row.start else {})

    def change(self, result: Result, run: ExperimentRun) -> str | None:
        """The first thing in which a result was made otherwise than a run would be now; None where there is none."""
        made = result["recipe"] | {key: result.get(key) for key in ("lists", "center", "judged", "pretraining")}
        return difference(made, self.made_with(run))
