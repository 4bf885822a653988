"""The figures of docs/results.md, made of experiments/results/lips-*.jsonl."""

import statistics
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from pages import REPO
from results import RESULTS, Result, read_results
from scipy.stats import ttest_1samp

from cmpl_zoo._files import atomic_write

FOLDER = REPO / "docs" / "images"
METHODS = {"labels-alone": "labels alone", "fixmatch": "FixMatch", "cross": "CMPL"}
SEEDS = 10  # of a row that is shown
GREY, BLUE, ORANGE = "#777777", "#3b6fb6", "#c8641a"


def draw_figures() -> None:
    """Draw all of them again; the same numbers give the same files."""
    few_labels(FOLDER / "few_labels.svg")
    exchange(FOLDER / "exchange.svg")


def runs_of(experiment: str, row: str) -> list[Result]:
    """The runs of a row that were measured on the test speakers, by seed."""
    runs = [run for run in read_results(RESULTS / f"{experiment}.jsonl") if run["row"] == row]
    return sorted((run for run in runs if run["measured_on"] == "test"), key=lambda run: run["seed"])


def few_labels(file: Path) -> None:
    """Top-1 of each method on each part of lips that has all its seeds: mean, its 95 % interval and the seeds."""
    panels = {}
    for spoken in ("words", "phrases"):
        for count in (5, 10):
            rows = {row: runs_of(f"lips-{spoken}-{count}", row) for row in METHODS}
            if all(len(runs) == SEEDS for runs in rows.values()):
                panels[f"ten {spoken}, {count} labels each"] = rows
    figure, all_axes = _figure(len(panels), height=1.9)
    for axes, (title, rows) in zip(all_axes, panels.items(), strict=True):
        for place, runs in enumerate(rows.values()):
            top1 = [run["top1"] for run in runs]
            low, high = ttest_1samp(top1, 0).confidence_interval(0.95)
            axes.plot(top1, [-place - 0.2] * len(top1), "o", color=BLUE, alpha=0.3, markersize=4, markeredgewidth=0)
            axes.plot([low, high], [-place] * 2, color="black", linewidth=2)
            axes.plot(statistics.mean(top1), -place, "o", color="black", markersize=6)
            axes.annotate(
                f"{statistics.mean(top1):.1f}", (statistics.mean(top1), -place), (0, 7), textcoords="offset points",
                ha="center", fontsize=9,
            )  # fmt: skip
        axes.set_yticks([-place for place in range(len(rows))], list(METHODS.values()))
        axes.set_ylim(0.6 - len(rows), 0.6)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("top-1 on four other speakers, %")
    _save(figure, file)


def exchange(file: Path) -> None:
    """How many unlabeled clips have a pseudo-label, and how many of these are right, over the steps."""
    one, pair = (runs_of("lips-words-10", row) for row in ("fixmatch", "cross"))
    lines = [
        (one, "primary", "FixMatch: its own", GREY, "-"),
        (pair, "auxiliary", "CMPL: from F, for A", BLUE, "-"),
        (pair, "primary", "CMPL: from A, for F", ORANGE, "-"),
        (pair, "auxiliary/alone", "of these, where A itself is not sure", BLUE, ":"),
        (pair, "primary/alone", "of these, where F itself is not sure", ORANGE, ":"),
    ]
    figure, (shares, rights) = _figure(2, height=3.2)
    for runs, of, label, color, style in lines:
        prefix = f"{of}_" if of.endswith("alone") else f"{of}/"
        for axes, key in ((shares, f"{prefix}mask"), (rights, f"{prefix}pseudo_accuracy")):
            axes.plot(*mean_curve(runs, key), style, color=color, label=label)
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


def _figure(panels: int, height: float) -> tuple[Figure, Sequence]:
    """A figure of panels side by side."""
    matplotlib.rcParams |= {"svg.hashsalt": "cmpl_zoo", "svg.fonttype": "none"}  # the same numbers, the same file
    figure = Figure(figsize=(max(6.0, 4.2 * panels), height), layout="constrained")
    return figure, figure.subplots(1, panels, squeeze=False)[0]


def _save(figure: Figure, file: Path) -> None:
    for axes in figure.axes:
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    with atomic_write(file) as half:
        figure.savefig(half, format="svg", metadata={"Date": None}, facecolor="white")
