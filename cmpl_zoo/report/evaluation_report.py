"""The folder that an evaluation leaves: report.html, predictions.csv and scores.json."""

import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from cmpl_zoo._files import replace_text
from cmpl_zoo.datasets.lists import Videos
from cmpl_zoo.evaluation import Evaluation
from cmpl_zoo.records import Scores
from cmpl_zoo.report import sections
from cmpl_zoo.report.pages import render, write_page
from cmpl_zoo.report.predictions import write_predictions

FILES = ("report.html", "predictions.csv", "scores.json")  # of an evaluation, in the order they are written


def write_evaluation(
    folder: str | os.PathLike[str],
    models: Sequence[str],
    list_file: str,
    videos: Videos,
    classes: Sequence[str],
    evaluation: Evaluation,
    command: Sequence[str],
    machine: Mapping[str, str],
) -> Path:
    """Write the folder, in which the three files of a former evaluation are replaced; the path of its report.

    Args:
        folder: to write to.
        models: as the user named them; several have voted.
        list_file: the list.
        videos: of the list.
        classes: class names by class id.
        evaluation: of the models on these videos.
        command: that made it, as words.
        machine: what it was made with, by what that is.

    Raises:
        OSError: a file cannot be written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    name = " and ".join(models)
    voted = ", which vote by the mean of their probabilities," if len(models) > 1 else ""
    page = render(
        "evaluation.html",
        title=f"{name} on {Path(list_file).name}",
        sentence=f"{name}{voted} on the {len(videos)} videos of {list_file}, of {len(classes)} classes.",
        commands=[
            ("Predict other videos.", shlex.join(["cmpl-zoo", "predict", models[0], "VIDEOS", *_voters(models[1:])])),
            ("This evaluation again.", shlex.join(command)),
        ],
        machine=machine,
        **sections.accuracy({name: evaluation}, videos, classes),
    )
    report, predictions, scores = (folder / name for name in FILES)
    write_page(report, page)  # the largest first: a disk that is full keeps the former evaluation
    write_predictions(predictions, videos, classes, {"model": evaluation})
    write_scores(scores, models, list_file, evaluation.scores)
    return report


def write_scores(file: Path, models: Sequence[str], list_file: str, scores: Scores) -> None:
    """Write the scores of models on a list as JSON."""
    replace_text(file, json.dumps({"model": list(models), "data": list_file, **scores}, indent=2) + "\n")


def _voters(others: Sequence[str]) -> list[str]:
    return [word for model in others for word in ("--with", model)]
