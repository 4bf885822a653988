"""The commands that follow once the videos of a list are labeled."""

import json
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmpl_zoo_cli.spelling import flag
from cmpl_zoo_cli.train_config import OwnVideos


@dataclass(frozen=True)
class NextTraining:
    """How to train again with more labels.

    Attributes:
        videos: folder that paths start from.
        labels: files with the labels that there are.
        output: folder of the new run.
        group: the column that it takes groups from.
        options: further ones of `cmpl-zoo train`.
        note: what to mind, a line at the end.
    """

    videos: str
    labels: Sequence[str]
    output: str
    group: str | None = None
    options: Sequence[str] = ()
    note: str = ""

    def lines(self, file: Path) -> list[str]:
        """What to type, once the label column of a file is filled in."""

        def train(labels: str) -> list[str]:
            group = ["--group", self.group] if self.group else []
            return ["train", self.videos, "--labels", *self.labels, labels, *group, *self.options, "-o", self.output]

        tasks, corrected = (str(file.with_name(f"{file.stem}_{name}")) for name in ("tasks.json", "labels.csv"))
        commands = [
            train(str(file)),
            ["labelstudio", str(file), "--root", self.videos, "-o", tasks],
            ["import", "labelstudio", "EXPORT.json", self.videos, "-o", corrected],
            train(corrected),
        ]
        first, *others = ["  " + shlex.join(["cmpl-zoo", *words]) for words in commands]
        typed = f"next: type classes into the column label of {file}; rows left empty stay unlabeled. Then"
        end = [self.note] if self.note else []
        return [typed, first, "or label them in Label Studio, and export as JSON:", *others, *end]


def next_training(model: str, folder: str, labels: Sequence[str]) -> NextTraining:
    """How to train again with more labels than the run of a model had, and measure on the same list if it had one.

    Args:
        model: a model directory of the run, or any other model.
        folder: of the videos, unless the run tells.
        labels: lists with labels, unless the run tells.
    """
    run = Path(model).parent
    lists = run / "lists"
    made_from = facts_in(lists / "made_from.json", "made_from")
    config = facts_in(run / "summary.json", "config")
    measured = config or made_from  # a run may have been continued with another list
    # Videos that it has held out itself may be learned from now.
    kept = measured.get("val") and not is_in(measured["val"], str(lists))
    val = options_of(measured, "val", "val_root") if kept else []
    if made_from.get("videos"):
        own = [str(file) for name in ("labeled", "val") if (file := lists / f"{name}.csv").exists()]
        share = made_from.get("val_share", OwnVideos.val_share)
        options = options_of(made_from, "unlabeled", "unlabeled_root") + val
        options += ["--val-share", str(share)] if share != OwnVideos.val_share else []
        videos, labels = as_typed(made_from["videos"]), made_from.get("labels") or own
        return NextTraining(videos, labels, next_folder(run), made_from.get("group"), options)
    labeled = config.get("labeled")  # a pretrained network has none
    if labeled and Path(labeled).exists() and is_in(folder, config["root"]):
        note = f"All other videos of {config['root']} count as unlabeled then; keep those to test on elsewhere."
        return NextTraining(config["root"], [labeled], next_folder(run), options=val, note=note)
    return NextTraining(folder, labels, "runs/second")


def facts_in(file: Path, name: str) -> dict[str, Any]:
    """What a file of a run says under a name; nothing where it does not, as that of a model which is of no run."""
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))[name]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return facts if isinstance(facts, dict) else {}


def options_of(facts: dict[str, Any], *names: str) -> list[str]:
    """Those of these options that are given in facts, with their values."""
    return [word for name in names if (value := facts.get(name)) for word in (flag(name), value)]


def as_typed(folder: str) -> str:
    """A folder as one types it here: relative if it is below this one."""
    below = os.path.relpath(folder)
    return folder if below.startswith(os.pardir) else below


def is_in(path: str, root: str) -> bool:
    """Whether a path is a folder itself or in it."""
    return Path(path).resolve().is_relative_to(Path(root).resolve())


def next_folder(run: Path) -> str:
    """`runs/mine_2` after `runs/mine`, and `runs/mine_3` after that."""
    numbered = re.fullmatch(r"(.+)_(\d+)", run.name)
    return str(run.with_name(f"{numbered[1]}_{int(numbered[2]) + 1}" if numbered else f"{run.name}_2"))
