"""The page that pretraining leaves: report.html."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cmpl_zoo.pretext.steps import PretextBatch
from cmpl_zoo.pretext.task import Task
from cmpl_zoo.report import sections
from cmpl_zoo.report.pages import render, write_page
from cmpl_zoo.report.training_parts import LR, clip_picture, drawn, machine, series
from cmpl_zoo_cli.run_options import flag

SHOWN = 8  # clips
MOST_ANSWERS = 10  # of a task whose clips are shown with theirs


def write_pretraining_report(
    folder: Path, summary: Mapping[str, Any], lines: Sequence[Mapping[str, Any]], task: Task, batch: PretextBatch | None
) -> Path:
    """Write the report of a run of pretraining; its path.

    Args:
        folder: of the run.
        summary: as in summary.json.
        lines: of its log.
        task: that was learned by.
        batch: of the first step; None where its videos cannot be read.

    Raises:
        OSError: the file cannot be written.
    """
    config = summary["config"]
    start = f", from {Path(config['init']).name}," if config["init"] else ""
    shown = zip(batch["clips"][:SHOWN], batch["targets"].tolist(), strict=False) if batch else ()
    few = task.classes <= MOST_ANSWERS
    charts = [
        ("loss", "loss", "It should fall.", series(lines, {"loss": "loss"})),
        (
            "right",
            "questions answered right, %",
            "It should rise above chance. If all are right at once, something else than motion gives the answer away.",
            series(lines, {"right": "right"}, scale=100),
        ),
        ("lr", "learning rate", "How large the steps are.", series(lines, LR)),
    ]
    train = ["cmpl-zoo", "train", "VIDEOS", "-o", f"{folder}-trained", "--primary", config["model"]]
    train += ["--auxiliary", "null", "--scheme", "none", "--init", str(folder / "model")]
    again = ["cmpl-zoo", "pretrain", "--config", str(folder / "config.yaml"), "-o", f"{folder}-again"]
    page = render(
        "pretraining.html",
        title=f"Pretraining report: {folder.resolve().name}",
        sentence=f"{config['model']}{start} learned from {summary['videos']} videos without any label, by the task "
        f"{config['task']}, in {summary['step']} steps and {sections.duration(summary['seconds'])}.",
        question=task.question(),
        commands=[
            ("Learn classes from labels, from this start.", shlex.join(train)),
            ("Pretrain the same once more, in another folder.", shlex.join(again)),
        ],
        curves=drawn(charts),
        views=[
            clip_picture(clip, f"clip {number}" + (f": {answer}" if few else ""), f"clip {number}")
            for number, (clip, answer) in enumerate(shown, start=1)
        ],
        machine=machine(summary, lines),
        options=[(flag(name), "" if value is None else str(value)) for name, value in config.items()],
    )
    write_page(folder / "report.html", page)
    return folder / "report.html"
