"""The pages that a run of training leaves: report.html and, where it was validated, predictions.csv."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cmpl_zoo.datasets.lists import Videos
from cmpl_zoo.datasets.training_steps import ClipBatch
from cmpl_zoo.evaluation import Evaluation
from cmpl_zoo.records import Summary
from cmpl_zoo.report import sections
from cmpl_zoo.report.pages import render, shortened, write_page
from cmpl_zoo.report.predictions import write_predictions
from cmpl_zoo.report.pseudo_labels import pseudo_labels
from cmpl_zoo.report.training_parts import LR, clip_picture, drawn, machine, series
from cmpl_zoo_cli.spelling import flag
from cmpl_zoo_cli.train_config import Config


def write_run_report(
    folder: Path,
    config: Config,
    summary: Summary,
    lines: Sequence[Mapping[str, Any]],
    classes: Sequence[str],
    lists: Mapping[str, Videos],
    evaluations: Mapping[str, Evaluation],
    views: ClipBatch | None,
) -> Path:
    """Write the report of a run; its path.

    Args:
        folder: of the run.
        config: its options.
        summary: as in summary.json.
        lines: of its log.
        classes: class names by class id.
        lists: its videos by option, `labeled` and, where there are some, `unlabeled` and `val`.
        evaluations: of the validation videos, by role of the network, and of the vote; empty without.
        views: a few clips as the networks saw them at the start; None where they cannot be read.

    Raises:
        OSError: a file cannot be written.
    """
    val = lists.get("val")
    accuracy: dict[str, Any] = {"results": [], "map": None}
    if evaluations and val is not None:
        write_predictions(folder / "predictions.csv", val, classes, evaluations)
        accuracy = sections.accuracy(evaluations, val, classes)
    page = render(
        "run.html",
        title=f"Training report: {folder.resolve().name}",
        sentence=_sentence(config, summary, classes, lists),
        commands=_commands(folder, config, lists),
        curves=_curves(lines),
        pseudo=pseudo_labels(lines, classes, lists["labeled"].ids, config.threshold),
        views=_views(views, classes),
        machine=machine(summary, lines),
        options=[(flag(name), "" if value is None else str(value)) for name, value in summary["config"].items()],
        **accuracy,
    )
    write_page(folder / "report.html", page)
    return folder / "report.html"


def _sentence(config: Config, summary: Summary, classes: Sequence[str], lists: Mapping[str, Videos]) -> str:
    """What was trained on what."""
    networks = config.primary + (f" and {config.auxiliary}" if config.auxiliary else "")
    if config.primary == config.auxiliary:
        networks = f"Two {config.primary}"
    unlabeled = f" and {len(lists['unlabeled'])} unlabeled" if "unlabeled" in lists else ""
    method = {
        "none": "from the labels alone",
        "cross": "by CMPL, in which two networks label unlabeled videos for each other",
        "self": "by pseudo-labels of their own" if config.auxiliary else "by FixMatch: pseudo-labels of its own",
    }.get(config.scheme, f"by pseudo-labels of the scheme {config.scheme}")
    val = f" Accuracy is measured on {len(lists['val'])} other videos." if "val" in lists else ""
    return (
        f"{networks} learned {len(classes)} classes from {len(lists['labeled'])} labeled{unlabeled} videos {method}, "
        f"in {summary['step']} steps and {sections.duration(summary['seconds'])}.{val}"
    )


def _commands(folder: Path, config: Config, lists: Mapping[str, Videos]) -> list[tuple[str, str]]:
    """What can be typed next, each with what it is for."""
    run = str(folder)
    vote = ", by the vote of both networks" if config.auxiliary else ""
    unlabeled = ["VIDEOS"]
    if config.unlabeled and "unlabeled" in lists:
        unlabeled = [config.unlabeled, "--root", config.root_of("unlabeled")]
    commands = [
        (f"Predict other videos{vote}.", ["cmpl-zoo", "predict", run, "VIDEOS"]),
        ("Choose which videos to label next.", ["cmpl-zoo", "suggest", run, *unlabeled, "-o", "todo.csv"]),
        ("Try it in a web page.", ["cmpl-zoo", "app", run]),
    ]
    if config.val:
        root = config.root_of("val")
        commands.append(
            (f"Measure accuracy again{vote}.", ["cmpl-zoo", "evaluate", run, "--data", config.val, "--root", root])
        )
    again = ["cmpl-zoo", "train", "--config", str(folder / "config.yaml"), "-o", f"{run}-again"]
    commands.append(("Train the same once more, in another folder.", again))
    return [(purpose, shlex.join(words)) for purpose, words in commands]


def _curves(lines: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The charts of losses, of validation accuracy and of the learning rate, where the log has them."""

    roles = ("primary", "auxiliary")
    charts = [
        (
            "supervised",
            "supervised loss",
            "On labeled clips. It should fall; near zero with a poor accuracy, the labels are learned by heart.",
            series(lines, {f"{role}/supervised": role for role in roles}),
        ),
        (
            "unsupervised",
            "unsupervised loss",
            "On unlabeled clips whose pseudo-label counts. It often rises first, as more of them count.",
            series(lines, {f"{role}/unsupervised": role for role in roles}),
        ),
        (
            "accuracy",
            "validation top-1, %",
            "On the videos held out. The networks kept are those of the last step; best/ has those of the best one.",
            series(lines, {f"{role}/val_top1": role for role in (*roles, "vote")}),
        ),
        ("lr", "learning rate", "How large the steps are.", series(lines, LR)),
    ]
    return drawn(charts)


def _views(batch: ClipBatch | None, classes: Sequence[str]) -> dict[str, Any] | None:
    """Clips as the primary network saw them, as strips of frames."""
    if batch is None:
        return None

    labeled = [
        clip_picture(clip, f"labeled: {shortened(classes[label])}", "a labeled clip")
        for clip, label in zip(batch["labeled"][0], batch["labels"].tolist(), strict=True)
    ]
    pairs = []
    if "weak" in batch:
        samples = zip(batch["weak"][0], batch["strong"][0], batch["hidden_labels"].tolist(), strict=True)
        for number, (weak, strong, label) in enumerate(samples, start=1):
            known = f", in truth {shortened(classes[label])}" if label >= 0 else ""
            pairs.append(
                [
                    clip_picture(
                        weak, f"unlabeled {number}{known}: weak view", f"the weak view of unlabeled clip {number}"
                    ),
                    clip_picture(strong, "its strong view", f"the strong view of unlabeled clip {number}"),
                ]
            )
    return {"labeled": labeled, "pairs": pairs}
