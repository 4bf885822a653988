"""What has come of an experiment so far: a table, as Markdown and CSV, and a plot."""

import statistics
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from pages import markdown, mean_and_spread
from results import Result, accuracies, row_title

from cmpl_zoo._files import as_csv, atomic_write, replace_text
from cmpl_zoo.records import views_text

# Columns of the CSV, and how a reader is told.
PSEUDO = {
    "primary/mask": "labels for F, %",
    "primary/pseudo_accuracy": "right, %",
    "auxiliary/mask": "for A, %",
    "auxiliary/pseudo_accuracy": "right, %",
    "primary/alone_mask": "for F alone, %",
    "primary/alone_pseudo_accuracy": "right, %",
    "auxiliary/alone_mask": "for A alone, %",
    "auxiliary/alone_pseudo_accuracy": "right, %",
}


def report(results: list[Result], folder: Path) -> Path:
    """Write the table (Markdown and CSV) and the plot of an experiment's results; returns the Markdown file.

    Args:
        results: of one experiment, as experiments/runner.py records them, in the order of the rows.
        folder: where the three files go.
    """
    first = results[0]
    by_row: dict[str, list[Result]] = {}
    for result in results:
        by_row.setdefault(row_title(result), []).append(result)
    rows = [summary(row, runs) for row, runs in by_row.items()]
    experiment, setting, measured_on = first["experiment"], first["setting"], first["measured_on"]
    file = folder / f"{experiment}-{setting}-{measured_on}.md"
    replace_text(file.with_suffix(".csv"), as_csv(rows, list(rows[0])))

    recipe = first["recipe"]
    commits = ", ".join(sorted({str(result["commit"]) for result in results}))
    hardware = ", or ".join(sorted({result["hardware"] for result in results}))
    pseudo = {column: title for column, title in PSEUDO.items() if any(row[column] != "" for row in rows)}
    cropped = f" of the middle {first['center']:.0%} of the frames" if first["center"] < 1 else ""
    test = " --test true" if measured_on == "test" else ""
    columns = ["", "top-1, %", "mean over classes, %", "seeds", "videos", "labeled", "unlabeled", "steps",
               "training, s", *pseudo.values()]  # fmt: skip
    caption = (
        f"# Experiment `{experiment}`: {measured_on} videos\n\n"
        f"`python experiments/runner.py {experiment} DIR --setting {setting}{test}` makes these runs. "
        f"Clips are {recipe['frames']}x{recipe['size']}^2{cropped}.\n\n"
        f"- Accuracy: top-1 in % of the primary network ({recipe['primary']}, F; of both where they vote) after its "
        "last step (of its averaged weights where such exist) and its mean over classes, mean ± standard deviation "
        f"over seeds, {views_text(first)} of the {measured_on} videos.\n"
        "- Pseudo-labels, over the last quarter of the steps and all seeds: the share of the unlabeled clips for which "
        "a network gets a label, how many of those are right, and the same for clips for which the other network gets "
        "none.\n"
        f"- Hardware: {hardware}; commit {commits}."
    )
    cells = []
    for row, runs in zip(rows, by_row.values(), strict=True):
        rest = [row[column] for column in ("seeds", "videos", "labeled", "unlabeled", "steps", "seconds", *pseudo)]
        cells.append([row["row"], *(mean_and_spread(values) for values in accuracies(runs).values()), *rest])
    table = markdown(columns, cells)
    plot(experiment, {row: [run["top1"] for run in runs] for row, runs in by_row.items()}, file.with_suffix(".svg"))
    picture = f"![top-1 of each row: mean, standard deviation and seeds]({file.with_suffix('.svg').name})"
    replace_text(file, f"{caption}\n\n{table}\n\n{picture}\n")
    return file


def summary(row: str, runs: list[Result]) -> dict[str, Any]:
    """A line of the table: the runs of a row over their seeds."""
    spread: dict[str, float | str] = {}
    for kind, values in accuracies(runs).items():
        spread[f"{kind}_mean"] = round(statistics.mean(values), 6)
        spread[f"{kind}_std"] = round(statistics.stdev(values), 6) if len(values) > 1 else ""
    return {
        "row": row,
        **spread,
        "seeds": len(runs),
        "videos": runs[0]["videos"],
        "labeled": runs[0]["labeled_videos"],
        "unlabeled": runs[0]["unlabeled_videos"],
        "steps": runs[0]["step"],
        "seconds": round(statistics.median(run["seconds"] for run in runs)),
        **{column: last_quarter_mean(column, runs) for column in PSEUDO},
    }


def last_quarter_mean(column: str, runs: list[Result]) -> float | str:
    """Mean of a curve over the last quarter of the steps of all runs, in percent; empty where there is none.

    An accuracy counts by the share of clips that it is of.
    """
    total = weights = 0.0
    for run in runs:
        curves = run["curves"]
        shares = curves.get(column.replace("pseudo_accuracy", "mask"), [])
        for step, value, share in zip(curves["step"], curves.get(column, []), shares, strict=False):
            if step > 0.75 * run["step"] and value is not None:
                weight = share if column.endswith("accuracy") else 1.0
                total, weights = total + weight * value, weights + weight
    return round(100 * total / weights, 1) if weights else ""


def plot(experiment: str, top1: dict[str, list[float]], file: Path) -> None:
    """Means with standard deviations as bars and single runs as dots; `labels` as curves over labels a class."""
    matplotlib.rcParams["svg.hashsalt"] = experiment  # the same file for the same numbers
    mean = {row: statistics.mean(values) for row, values in top1.items()}
    spread = {row: statistics.stdev(values) if len(values) > 1 else 0.0 for row, values in top1.items()}
    figure = Figure(figsize=(6, 4) if experiment == "labels" else (6, 0.6 + 0.4 * len(top1)))
    axes = figure.subplots()
    if experiment == "labels":
        for method in dict.fromkeys(row.partition(", ")[0] for row in top1):
            points = {int(row.partition(", ")[2]): row for row in top1 if row.startswith(method)}
            rows = [points[count] for count in sorted(points)]
            axes.errorbar(sorted(points), [mean[r] for r in rows], [spread[r] for r in rows], label=method, capsize=3,
                          marker="o")  # fmt: skip
        axes.set(xscale="log", xlabel="labels a class", ylabel="top-1, %")
        axes.set_xticks(sorted({int(row.partition(", ")[2]) for row in top1}), minor=False)
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.minorticks_off()
        axes.legend(frameon=False)
    else:
        places = {row: -place for place, row in enumerate(top1)}
        axes.errorbar(list(mean.values()), list(places.values()), xerr=list(spread.values()), fmt="s", capsize=3,
                      color="black")  # fmt: skip
        for row, values in top1.items():
            axes.plot(values, [places[row]] * len(values), ".", color="tab:blue", alpha=0.6)
        axes.set_yticks(list(places.values()), list(places))
        axes.set_ylim(0.5 - len(top1), 0.5)
        axes.set_xlabel("top-1, %")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_write(file) as half:
        figure.savefig(half, format="svg", bbox_inches="tight", metadata={"Date": None})
