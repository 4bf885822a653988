"""The page that pretraining leaves: report.html."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from cmpl_zoo.report import sections
from cmpl_zoo.report.pages import render, write_page
from cmpl_zoo.report.training_parts import LR, clip_picture, drawn, machine, series
from cmpl_zoo_cli.spelling import flag, starting_words


def write_pretraining_report(
    folder: Path,
    summary: Mapping[str, Any],
    lines: Sequence[Mapping[str, Any]],
    question: str,
    clips: Sequence[tuple[Tensor, str]],
) -> Path:
    """Write the report of a run of pretraining; its path.

    Args:
        folder: of the run.
        summary: as in summary.json.
        lines: of its log.
        question: that the task asks, in a sentence.
        clips: a few, uint8 (3, frames, height, width), each with its answer, "" where that is not shown.

    Raises:
        OSError: the file cannot be written.
    """
    config = summary["config"]
    start = f", from {Path(config['init']).name}," if config["init"] else ""
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
    train = ["cmpl-zoo", "train", "VIDEOS", "-o", f"{folder}-trained", "--auxiliary", "null", "--scheme", "none"]
    seen = {option: config[option] for option in ("subtract_mean_frame", "normalize_clip")}
    train += starting_words(config["model"], str(folder / "model"), alone=True, **seen)
    again = ["cmpl-zoo", "pretrain", "--config", str(folder / "config.yaml"), "-o", f"{folder}-again"]
    page = render(
        "pretraining.html",
        title=f"Pretraining report: {folder.resolve().name}",
        sentence=f"{config['model']}{start} learned from {summary['videos']} videos without any label, by the task "
        f"{config['task']}, in {summary['step']} steps and {sections.duration(summary['seconds'])}.",
        question=question,
        commands=[
            ("Learn classes from labels, from this start.", shlex.join(train)),
            ("Pretrain the same once more, in another folder.", shlex.join(again)),
        ],
        curves=drawn(charts),
        views=[
            clip_picture(clip, f"clip {number}" + (f": {answer}" if answer else ""), f"clip {number}")
            for number, (clip, answer) in enumerate(clips, start=1)
        ],
        machine=machine(summary, lines),
        options=[(flag(name), "" if value is None else str(value)) for name, value in config.items()],
    )
    write_page(folder / "report.html", page)
    return folder / "report.html"
