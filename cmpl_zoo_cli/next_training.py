"""The commands that follow once the videos of a list are labeled."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NextTraining:
    """How to train again with more labels.

    Attributes:
        videos: folder that paths start from.
        labels: files with the labels that there are.
        output: folder of the new run.
        group: the column that it takes groups from.
        options: further ones of `cmpl-zoo train`.
    """

    videos: str
    labels: Sequence[str]
    output: str
    group: str | None = None
    options: Sequence[str] = ()

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
        return [typed, first, "or label them in Label Studio, and export as JSON:", *others]


def next_training(model: str, folder: str, labels: Sequence[str]) -> NextTraining:
    """How to train again with more labels than the run of a model had.

    Args:
        model: a model directory of the run, or any other model.
        folder: of the videos, unless the run tells.
        labels: lists with labels, unless the run tells.
    """
    run = Path(model).parent
    try:
        made_from = json.loads((run / "lists" / "made_from.json").read_text(encoding="utf-8"))["made_from"]
        videos, group = made_from["videos"], made_from["group"]
        given, unlabeled, unlabeled_root = (made_from[name] for name in ("labels", "unlabeled", "unlabeled_root"))
    except (OSError, ValueError, KeyError, TypeError):  # another model than that of `train VIDEOS`
        videos = None
    if videos is None:
        return NextTraining(folder, labels, "runs/second")
    own = [str(file) for name in ("labeled", "val") if (file := run / "lists" / f"{name}.csv").exists()]
    options = {"--unlabeled": unlabeled, "--unlabeled-root": unlabeled_root}
    words = [word for option, value in options.items() if value for word in (option, value)]
    return NextTraining(videos, given or own, str(run.with_name(next_name(run.name))), group, words)


def next_name(name: str) -> str:
    """`mine_2` after `mine`, and `mine_3` after that."""
    numbered = re.fullmatch(r"(.+)_(\d+)", name)
    return f"{numbered[1]}_{int(numbered[2]) + 1}" if numbered else f"{name}_2"
