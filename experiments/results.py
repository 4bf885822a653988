"""What is kept of a run that was measured, and how such numbers are told."""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from cmpl_zoo.card import PRIVATE_OPTIONS


def kept(summary: dict[str, Any], scores: dict[str, Any]) -> dict[str, Any]:
    """What a result keeps of a run's summary.json and of what train/evaluate.py measured."""
    return {
        "top1": scores["video_top1"],
        **{key: scores[key] for key in ("videos", "clips", "crops", "per_class")},
        **{key: summary[key] for key in ("labeled_videos", "unlabeled_videos", "step", "seconds", "hardware",
                                         "version", "commit")},
        "recipe": {key: value for key, value in summary["config"].items() if key not in PRIVATE_OPTIONS},
    }  # fmt: skip


def accuracies(runs: list[dict[str, Any]]) -> dict[str, list[float]]:
    """Top-1 and the mean over classes of each run, in percent."""
    return {
        "top1": [run["top1"] for run in runs],
        "of_classes": [statistics.mean(run["per_class"].values()) for run in runs],
    }


def mean_and_spread(values: Iterable[float]) -> str:
    """Mean ± standard deviation, which one value has not."""
    values = list(values)
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def markdown(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of Markdown, without a line's end."""
    lines = ["".join(f"| {cell} " if cell != "" else "| " for cell in line) + "|" for line in (columns, *rows)]
    return "\n".join([lines[0], "|---" * len(columns) + "|", *lines[1:]])
