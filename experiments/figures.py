"""The figures of docs/results.md: what was reached on lips."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from commands import REPO
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from results import Result, RunsByRow
from scipy.stats import ttest_1samp

from cmpl_zoo._files import atomic_write

FOLDER = REPO / "docs" / "images"
METHODS = {"labels-alone": "labels alone", "fixmatch": "FixMatch", "cross": "CMPL"}
VOTES = {  # ours, where it has been run, and as many networks that do not teach each other
    "fixmatch, two equal networks vote": "two of FixMatch vote",
    "cross, two equal networks vote": "two of CMPL vote",
}
GRAY, BLUE, ORANGE = "#777777", "#3b6fb6", "#c8641a"


def draw_figures(lips: Mapping[str, RunsByRow]) -> None:
    """Draw all of them again; the same numbers give the same files.

    Args:
        lips: the rows of each experiment on it that have all seeds, measured on the test speakers.
    """
    few_labels(lips, FOLDER / "few_labels.svg")
    exchange(lips["lips-words-10"], FOLDER / "exchange.svg")


def few_labels(lips: Mapping[str, RunsByRow], file: Path) -> None:
    """Top-1 in each experiment that has all of `METHODS`: mean, its 95 % interval and the seeds."""
    shown = {experiment: rows for experiment, rows in lips.items() if METHODS.keys() <= rows.keys()}
    figure, all_axes = _figure(len(shown), height=2.4)
    for panel, (axes, (experiment, rows)) in enumerate(zip(all_axes, shown.items(), strict=True)):
        _, spoken, count = experiment.split("-")
        names = METHODS | {row: name for row, name in VOTES.items() if row in rows}
        for place, row in enumerate(names):
            top1 = [run["top1"] for run in rows[row].values()]
            low, high = ttest_1samp(top1, 0).confidence_interval(0.95)
            axes.plot(top1, [-place - 0.2] * len(top1), "o", color=BLUE, alpha=0.3, markersize=4, markeredgewidth=0)
            axes.plot([low, high], [-place] * 2, color="black", linewidth=2)
            axes.plot(statistics.mean(top1), -place, "o", color="black", markersize=6)
            axes.annotate(
                f"{statistics.mean(top1):.1f}", (statistics.mean(top1), -place), (0, 7), textcoords="offset points",
                ha="center", fontsize=9,
            )  # fmt: skip
        axes.set_yticks([-place for place in range(len(names))], list(names.values()))
        axes.set_ylim(0.6 - len(METHODS | VOTES), 0.6)
        axes.set_title(f"ten {spoken}, {count} labels each", fontsize=10)
        if panel + 2 >= len(shown):  # there is no panel below
            axes.set_xlabel("top-1 on four other speakers, %")
            axes.tick_params(labelbottom=True)
    _save(figure, file)


def exchange(rows: RunsByRow, file: Path) -> None:
    """How many unlabeled clips have a pseudo-label, and how many of these are right, over the steps."""
    lines = [
        ("fixmatch", "primary/", "FixMatch: its own", GRAY, "-"),
        ("cross", "auxiliary/", "CMPL: from F, for A", BLUE, "-"),
        ("cross", "primary/", "CMPL: from A, for F", ORANGE, "-"),
        ("cross", "auxiliary/alone_", "of these, where A itself is not sure", BLUE, ":"),
        ("cross", "primary/alone_", "of these, where F itself is not sure", ORANGE, ":"),
    ]
    figure, (shares, rights) = _figure(2, height=3.2)
    for row, curve, label, color, style in lines:
        for axes, key in ((shares, f"{curve}mask"), (rights, f"{curve}pseudo_accuracy")):
            axes.plot(*mean_curve(list(rows[row].values()), key), style, color=color, label=label)
    shares.set_ylabel("unlabeled clips with a label, %")
    rights.set_ylabel("of these labels right, %")
    for axes in (shares, rights):
        axes.set_xlabel("step")
        axes.set_ylim(0, 100)
    shares.legend(frameon=False, fontsize=8, loc="upper left")
    _save(figure, file)


def mean_curve(runs: Sequence[Result], key: str) -> tuple[list[int], list[float]]:
    """The mean over runs of a curve in percent, at the steps where every run has it."""
    steps = runs[0]["curves"]["step"]
    columns = list(zip(*(run["curves"][key] for run in runs), strict=True))
    kept = [place for place, values in enumerate(columns) if None not in values]
    return [steps[place] for place in kept], [100 * statistics.mean(columns[place]) for place in kept]


def _figure(panels: int, height: float) -> tuple[Figure, Sequence[Axes]]:
    """A figure of panels, two in a row."""
    matplotlib.rcParams |= {"svg.hashsalt": "cmpl_zoo", "svg.fonttype": "none"}  # the same numbers, the same file
    columns, rows = min(panels, 2), math.ceil(panels / 2)
    figure = Figure(figsize=(max(6.0, 4.2 * columns), height * rows), layout="constrained")
    all_axes: list[Axes] = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel().tolist()
    for axes in all_axes[panels:]:
        axes.remove()
    return figure, all_axes[:panels]


def _save(figure: Figure, file: Path) -> None:
    for axes in figure.axes:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    with atomic_write(file) as half:
        figure.savefig(half, format="svg", metadata={"Date": None}, facecolor="white")
