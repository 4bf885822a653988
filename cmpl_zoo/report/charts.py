"""Charts for a page, drawn by matplotlib as SVG text, without a window."""

import io
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe and Ito's colors, which people of every color vision tell apart, but for black and yellow, which vanish
# on one of the page's two backgrounds; the blue is a lighter one.
COLORS = ("#2C82C9", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#888888")
DASHES = ("-", "--", ":", "-.")
POINTS = 200  # of a curve, at most; a point is then the mean of some log lines
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# Colors that are replaced by those of the page, which has a dark form.
TEXT, LINE = "#010203", "#040506"
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "xtick.labelcolor": TEXT,
    "ytick.labelcolor": TEXT,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
}


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], y_label: str, name: str, percent: bool = False
) -> str:
    """A chart of curves over the steps of a run; curves differ in color and in their dashes.

    Args:
        series: steps and values by the name of the curve; None and NaN are left out.
        y_label: what is measured.
        name: of the chart, one word, unlike those of the other charts of the page.
        percent: the values are from 0 to 100.
    """
    with mpl.rc_context(STYLE):
        legend_rows = math.ceil(len(series) / 2) if len(series) > 1 else 0
        figure = Figure(figsize=(4.6, 2.9 + 0.25 * legend_rows), layout="constrained")
        axes = figure.subplots()
        for number, (label, (steps, values)) in enumerate(series.items()):
            x, y = _thinned(steps, values)
            axes.plot(
                x,
                y,
                color=COLORS[number % len(COLORS)],
                linestyle=DASHES[number % len(DASHES)],
                marker="o" if len(x) < 12 else "",
                markersize=4,
                label=label,
            )
        axes.set_xlabel("step")
        axes.set_ylabel(y_label)
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        axes.set_xlim(0, 1.02 * max(max(steps) for steps, _ in series.values()))
        axes.set_ylim(0, 100 if percent else None if axes.dataLim.ymax > 0 else 1)
        if legend_rows:
            figure.legend(loc="outside upper left", ncols=2, fontsize=9)
        return _svg(figure, name, f"{y_label} over steps: {', '.join(series)}")


def feature_map(points: np.ndarray, ids: np.ndarray, shown: Sequence[int], name: str) -> str:
    """A map of videos, a letter each: the class with the n-th letter and color is the n-th of `shown`.

    Args:
        points: (videos, 2).
        ids: class ids, (videos,).
        shown: the class ids that have a letter; other videos are small dots.
        name: of the chart; see `curves`.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4.6), layout="constrained")
        axes = figure.subplots()
        others = ~np.isin(ids, shown)
        if others.any():
            axes.scatter(points[others, 0], points[others, 1], s=6, color="#999999", alpha=0.5, linewidths=0)
        for number, class_id in enumerate(shown):
            axes.scatter(
                points[ids == class_id, 0],
                points[ids == class_id, 1],
                s=60,
                marker=rf"$\mathbf{{{LETTERS[number]}}}$",
                color=COLORS[number % len(COLORS)],
                linewidths=0,
            )
        axes.set_xticklabels([])
        axes.set_yticklabels([])
        axes.tick_params(length=0)
        axes.set_xlabel("first direction")
        axes.set_ylabel("second direction")
        return _svg(figure, name, f"a map of {len(points)} videos by their features")


def _thinned(steps: Sequence[float], values: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """A curve of `POINTS` points at most, each the mean of neighbors."""
    pairs = np.array([(x, y) for x, y in zip(steps, values, strict=True) if y is not None and y == y], dtype=float)
    if not len(pairs):
        return np.empty(0), np.empty(0)
    parts = np.array_split(pairs, min(POINTS, len(pairs)))
    return np.array([part[:, 0].mean() for part in parts]), np.array([part[:, 1].mean() for part in parts])


def _svg(figure: Figure, name: str, text: str) -> str:
    """A figure as an element of a page: in the page's colors, with names of its own, and with its text form."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.S)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = svg.replace(TEXT, "currentColor").replace(LINE, "var(--line)")
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(text)}" ', 1)
