"""Tables of what training runs reached, made of experiments/results/*.jsonl.

python experiments/tables.py add EXPERIMENT ROW RUN    # keep a run, after train/evaluate.py --json RUN/test.json
python experiments/tables.py write                     # write all tables into the pages, and draw their figures
"""

import argparse
import json
import statistics
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from figures import draw_figures
from lists import HELD_OUT
from pages import fill_pages, markdown, mean_and_interval, mean_and_spread
from results import (
    FREE,
    REMOVED,
    RESULTS,
    Result,
    ResultsError,
    ResultsWriter,
    RunsByRow,
    accuracies,
    facts_of,
    read_results,
    row_title,
)
from rows import EXPERIMENTS
from scipy.stats import ttest_1samp

from cmpl_zoo.records import views_text
from cmpl_zoo.report.intervals import wilson
from cmpl_zoo_cli.main import reporting

# The paper's own figures: Kinetics-400, 1% of the labels, short ablation setting, top-1 in %.
PAPER = {
    "schemes": {"fixmatch": 6.78, "self-first": 10.80, "opposite-first": 11.13, "maximum": 11.85, "average": 12.16,
                "cross": 12.90},  # Table 1
    "sampling": {"uniform": 12.90, "category-wise": 12.68},  # Table 4
}  # fmt: skip

# Table 2: UCF-101, fine-tuned on all its labels after learning without any from it or from Kinetics-400, top-1 in %,
# and the network of that paper. MoCo is not in it; weights of ImageNet have 86.2.
PAPER_TABLE_2 = {
    "random weights": "61.1 (3D-ResNet50)", "motion": "61.2 (C3D)", "rotation": "62.9 (3D-ResNet18)",
    "puzzle": "65.8 (3D-ResNet18)", "order": "72.4 (R(2+1)D-18)", "dpc": "75.7 (3D-ResNet34)", "arrow": "79.4 (T-CAM)",
    "speed": "81.1 (I3D)", "tempo": "82.1 (3D-ResNet50)", "pace": "87.1 (S3D-G)", "coclr": "87.6 (S3D-G)",
    "cmpl": "88.9 (3D-ResNet50)",
}  # fmt: skip

LIPS = [f"lips-{spoken}-{count}" for spoken in ("words", "phrases") for count in (5, 10)]
RANDOM = "random weights"  # the row of the pretraining experiments that the others are set against
SEEDS = 10  # of each row on lips that is shown

# The row that the others are set against, seed by seed; one for each part where rows are called "part, row".
BASE = {"schemes": "labels-alone", "sampling": "uniform", "transfer": "{part}, labels-alone", "auxiliary": "quarter",
        "ten-labels": "fixmatch", "rates": "{part}", "threshold": "{part}, 0.7", "batch-norm": "labels-alone",
        "beyond": "cross",
        "plus": "cross", "knobs": "as the recipe", "fine-tuning-fights": "{part}, labels-alone",
        "fine-tuning-ut_interaction": "{part}, labels-alone", "lips-beyond": "{part}",
        "starts-mocap13": f"{{part}}, {RANDOM}",
        **dict.fromkeys(LIPS, "fixmatch")}  # fmt: skip


def add(experiment: str, row: str, run: Path) -> Path:
    """Keep what a table needs of a finished and evaluated run."""
    summary = json.loads((run / "summary.json").read_text())
    scores = json.loads((run / "test.json").read_text())
    with ResultsWriter(file := RESULTS / f"{experiment}.jsonl") as writer:
        writer.add({"row": row, "seed": summary["config"]["seed"], **facts_of(summary, scores)})
    return file


def table_of_test_runs(results: list[Result]) -> str:
    """A row for each kind of run: mean and standard deviation over seeds, with the protocol above."""
    rows: dict[str, list[Result]] = {}
    for result in results:
        rows.setdefault(row_title(result), []).append(result)
    first = results[0]
    caption = (
        f"{span(result['videos'] for result in results)} test videos, {views_text(first)}, "
        f"{len(first['per_class'])} classes, on {first['hardware']}; the primary network's last step."
    )
    columns, cells = ["", "labeled", "unlabeled", "steps", "seeds", "top-1, %", "training, s"], []
    for row, runs in sorted(rows.items(), key=lambda item: statistics.mean(r["top1"] for r in item[1])):
        top1 = [run["top1"] for run in runs]
        seconds = statistics.median(run["seconds"] for run in runs)
        counts = [span(run[key] for run in runs) for key in ("labeled_videos", "unlabeled_videos", "step")]
        cells.append([row, *counts, len(runs), mean_and_spread(top1), f"{seconds:.0f}"])
    return f"{caption}\n\n{markdown(columns, cells)}"


def span(values: Iterable[int]) -> str:
    """A number, or the least and the greatest of several."""
    values = sorted(set(values))
    return f"{values[0]} to {values[-1]}" if len(values) > 1 else str(values[0])


def base_of(experiment: str, row: str) -> str:
    """The row that one is set against."""
    return BASE[experiment].format(part=row.partition(", ")[0])


def rows_of(experiment: str, setting: str, measured_on: str) -> RunsByRow:
    """What experiments/runner.py has recorded of an experiment, sorted by row and seed.

    Raises:
        ResultsError: runs of a row differ in more than their seed, or rows have been trained for unequal steps and are
            not called by these.
    """
    file = RESULTS / f"{experiment}.jsonl"
    rows: RunsByRow = {}
    for result in sorted(read_results(file), key=lambda result: (result["row"], result["seed"])):
        if (result["setting"], result["measured_on"]) == (setting, measured_on):
            rows.setdefault(row_title(result), {})[result["seed"]] = result
    for row, runs in rows.items():
        recipes = [
            {k: v for k, v in (REMOVED | run["recipe"]).items() if k not in {"seed", *FREE}} for run in runs.values()
        ]
        if any(recipe != recipes[0] for recipe in recipes):
            raise ResultsError(f"{file}: the runs of {row} have several recipes; delete those of one")
    steps = {run["step"] for row, runs in rows.items() for run in runs.values() if not row.endswith(" steps")}
    if len(steps) > 1:
        raise ResultsError(f"{file}: runs have {sorted(steps)} steps, which cannot be compared; delete those of one")
    return rows


def in_common(rows: RunsByRow) -> RunsByRow:
    """The runs of those seeds that all of these rows have; no rows where there is none."""
    seeds = set.intersection(*(set(runs) for runs in rows.values()))
    return {row: {seed: runs[seed] for seed in sorted(seeds)} for row, runs in rows.items() if seeds}


def gain(runs: dict[int, Result], base: dict[int, Result]) -> str:
    """How far a row's top-1 is above another's, seed by seed: mean and 95 % interval."""
    return mean_and_interval([runs[seed]["top1"] - base[seed]["top1"] for seed in runs])


def compared(experiment: str, setting: str, measured_on: str) -> str:
    """The rows of an experiment on mocap13, those of one base together, over it, and beside the paper's."""
    if not (rows := rows_of(experiment, setting, measured_on)):
        return "Not yet run."
    parts: dict[str, RunsByRow] = {}
    for row, runs in rows.items():
        parts.setdefault(base_of(experiment, row), {})[row] = runs
    paper = PAPER.get(experiment)
    over_what = next(iter(parts)) if len(parts) == 1 else "its base"
    columns = ["", "seeds", "top-1, %", f"minus {over_what} (95 %)", "mean over classes, %"]
    columns += ["the paper's top-1, Kinetics-400 1%"] if paper else []
    cells = []
    for base, part in sorted(parts.items()):
        part = in_common(part)
        measured = {row: accuracies(list(runs.values())) for row, runs in part.items()}
        for row in sorted(part, key=lambda row: statistics.mean(measured[row]["top1"])):
            line = [row, len(part[row]), mean_and_spread(measured[row]["top1"])]
            line += [gain(part[row], part[base]) if row != base and base in part else ""]
            line += [mean_and_spread(measured[row]["of_classes"])]
            line += [f"{paper[row]:.2f}" if row in paper else ""] if paper else []
            cells.append(line)
    return markdown(columns, cells) + where_machines_differ(rows)


def pretrained(experiment: str, setting: str, measured_on: str) -> str:
    """What a network reaches from each pretext task, and over random weights, seed by seed.

    A row has the seeds that have been run of it, and is in order of what it gains.
    """
    rows = rows_of(experiment, setting, measured_on)
    if not (random := rows.get(RANDOM)):
        return "Not yet run."
    columns = ["learned first by", "questions right at the end, %", "training first, s", "seeds", "top-1, %",
               f"minus {RANDOM} (95 %)", "mean over classes, %"]  # fmt: skip
    lines = []
    for row, of_row in rows.items():
        if not (part := in_common({row: of_row, RANDOM: random})):
            continue
        runs = list(part[row].values())
        starts = [run for run in runs if "pretraining" in run]
        right = f"{100 * statistics.mean(run['pretraining_right'] for run in starts):.0f}" if starts else ""
        seconds = f"{statistics.median(run['pretraining_seconds'] for run in starts):.0f}" if starts else ""
        gained = statistics.mean(run["top1"] - random[run["seed"]]["top1"] for run in runs)
        top1, mean_over_classes = map(mean_and_spread, accuracies(runs).values())
        over = "" if row == RANDOM else gain(part[row], random)
        lines.append((gained, [row, right, seconds, len(runs), top1, over, mean_over_classes]))
    return markdown(columns, [cells for _, cells in sorted(lines, key=lambda line: line[0])]) + where_machines_differ(
        rows
    )


def table_2() -> str:
    """The paper's Table 2 from the lowest row to the highest, and what each gains here over random weights by seed."""
    measured = {data: rows_of(f"pretraining-{data}", "cpu", "validation") for data in ("mocap13", "lips")}
    cells: list[list[object]] = []
    for row in [*PAPER_TABLE_2, "moco"]:
        line: list[object] = [row, PAPER_TABLE_2.get(row, "")]
        for rows in measured.values():
            part = in_common({name: rows.get(name, {}) for name in (row, RANDOM)})
            shown = part and row != RANDOM
            line += [gain(part[row], part[RANDOM]), len(part[row])] if shown else ["", ""]
        cells.append(line)
    columns = ["learned first by", "the paper's top-1, UCF-101 (network)"]
    columns += [column for data in measured for column in (f"here on {data}, minus {RANDOM} (95 %)", "seeds")]
    return markdown(columns, cells)


def causes(setting: str, measured_on: str) -> str:
    """A row for each setting of `lips-causes`: each method with it, and CMPL over FixMatch, seed by seed.

    What concerns the auxiliary network alone is set against FixMatch by the recipe.
    """
    rows = rows_of("lips-causes", setting, measured_on)
    methods = ("labels-alone", "fixmatch", "cross")
    cells = []
    for changed in dict.fromkeys(row.partition(", ")[2] for row in EXPERIMENTS["lips-causes"]):
        named = {method: f"{method}, {changed}" if changed else method for method in methods}
        if named["fixmatch"] not in rows:
            named["fixmatch"] = "fixmatch"
        part = in_common({method: rows[row] for method, row in named.items() if row in rows})
        if not {"fixmatch", "cross"} <= part.keys():
            continue  # not run yet
        top1 = {method: mean_and_spread(run["top1"] for run in runs.values()) for method, runs in part.items()}
        auxiliary = (statistics.mean(run["per_speaker"]["auxiliary"].values()) for run in part["cross"].values())
        cells.append([changed or "the recipe", len(part["cross"]), *(top1.get(method, "") for method in methods),
                      mean_and_spread(auxiliary), gain(part["cross"], part["fixmatch"])])  # fmt: skip
    columns = [
        "",
        "seeds",
        "labels-alone, top-1, %",
        "fixmatch",
        "cross",
        "its auxiliary",
        "cross minus fixmatch (95 %)",
    ]
    return markdown(columns, cells) + where_machines_differ(rows)


def labels_table(setting: str, measured_on: str) -> str:
    """A row for each number of labels a class, a column for each method."""
    if not (rows := rows_of("labels", setting, measured_on)):
        return "Not yet run."
    methods = ("labels-alone", "fixmatch", "cross")
    first, *others = methods
    columns = ["labels a class", "seeds", f"top-1, %: {first}", *others, "cross minus fixmatch (95 %)",
               f"mean over classes, %: {first}", *others]  # fmt: skip
    cells = []
    for count in sorted({int(row.rpartition(", ")[2]) for row in rows}):
        part = in_common({method: rows.get(f"{method}, {count}", {}) for method in methods})
        if not part:
            continue  # not all methods have been run
        measured = [accuracies(list(runs.values())) for runs in part.values()]
        line = [count, len(part[first]), *(mean_and_spread(of["top1"]) for of in measured)]
        line += [gain(part["cross"], part["fixmatch"]), *(mean_and_spread(of["of_classes"]) for of in measured)]
        cells.append(line)
    return markdown(columns, cells) + where_machines_differ(rows)


def suggested(experiment: str) -> str:
    """The rows of an experiment on what to label next, with what each gains over as many labels drawn at random."""
    rows: RunsByRow = {}
    for result in read_results(RESULTS / f"{experiment}.jsonl"):
        rows.setdefault(result["row"], {})[result["seed"]] = result
    rows = in_common(rows) if rows else {}
    if not rows:
        return "Not yet run."
    columns = ["labels", "labeled videos", "seeds", "top-1, %", "mean over classes, %",
               "top-1 over labels at random, seed by seed", "the same, mean of both networks"]  # fmt: skip
    cells = []
    for row, runs in rows.items():
        measured = accuracies(list(runs.values()))
        line = [row, span(run["labeled_videos"] for run in runs.values()), len(runs)]
        line += [mean_and_spread(values) for values in measured.values()]
        base = rows["more at random"]
        gains = [[run[key] - base[seed][key] for seed, run in runs.items()] for key in ("top1", "auxiliary_top1")]
        own = [] if runs is base else [gains[0], [statistics.mean(both) for both in zip(*gains, strict=True)]]
        cells.append(line + ([mean_and_interval(values) for values in own] or ["", ""]))
    first = next(iter(rows["more at random"].values()))
    caption = (
        f"{span(run['videos'] for runs in rows.values() for run in runs.values())} test videos, {views_text(first)}, "
        f"{len(first['per_class'])} classes, {first['step']} steps, on {first['hardware']}; the primary network's last "
        "step; ± is the standard deviation, and in brackets is the 95 % interval of the mean."
    )
    return f"{caption}\n\n{markdown(columns, cells)}"


def tuning_table() -> str:
    """A row for each setting that was tried on held-out speakers of lips: top-1 by number of labels and split."""
    rows: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for line in (Path(__file__).parent / "lips_tuning.jsonl").read_text().splitlines():
        run = json.loads(line)
        rows.setdefault((run["what"], run["steps"]), []).append(run)
    splits = [(labels, " ".join(HELD_OUT[split])) for labels in ("10 a class", "all") for split in (0, 1)]
    cells = []
    for (what, steps), runs in rows.items():
        found = {(run["labels"], run["held_out"]): f"{run['top1']:.1f}" for run in runs}
        seconds = [run["cpu_seconds"] for run in runs if "cpu_seconds" in run]
        spent = f"{statistics.mean(seconds):.0f}" if seconds else ""
        cells.append([what, steps, *(found.get(split, "") for split in splits), spent])
    columns = ["", "steps", "10 labels a class, A", "B", "all labels, A", "B", "CPU seconds"]
    return markdown(columns, cells)


def intervals_table() -> str:
    """How far an accuracy may be off: 95 % intervals of some accuracies on some numbers of videos."""
    accuracies_shown = (50, 70, 90)
    cells = []
    for videos in (10, 20, 50, 100, 200, 500):
        bounds = [wilson(videos * accuracy // 100, videos) for accuracy in accuracies_shown]
        cells.append([videos, *(f"{low:.0f} to {high:.0f} %" for low, high in bounds)])
    return markdown(["videos", *(f"{accuracy} % right" for accuracy in accuracies_shown)], cells)


def compute_table() -> str:
    """How many networks were trained for each file of results, and for how long."""
    cells: list[list[object]] = []
    trainings, all_hours = 0, 0.0
    seen: set[str] = set()
    for file in sorted(RESULTS.glob("*.jsonl")):
        runs = {}
        for result in read_results(file):
            # The same networks are measured on two lists, and serve other experiments too.
            training = json.dumps(
                [result["recipe"], result.get("lists"), result["seconds"], result["commit"]], sort_keys=True
            )
            if training not in seen:
                runs[training] = result["seconds"] + result.get("pretraining_seconds", 0)
        seen |= runs.keys()
        hours = sum(runs.values()) / 3600
        all_hours += hours
        trainings += len(runs)
        if runs:
            cells.append([file.stem, len(runs), f"{hours:.1f}"])
    cells.append(["all", trainings, f"{all_hours:.1f}"])
    return markdown(["experiment", "trainings", "hours"], cells)


def with_power(experiment: str) -> str:
    """The rows of an experiment on lips against its base, seed by seed, with the accuracy for each test speaker.

    The one primary comparison, named before any run, is that of `cross`; the others are corrected for their number,
    which is that of the experiment's rows, run or not. A row is shown once it has all seeds.
    """
    base_row, rows = BASE[experiment], with_all_seeds(experiment)
    if base_row not in rows:
        return "Not yet run."
    base = rows[base_row]
    differences = {
        row: [runs[seed]["top1"] - base[seed]["top1"] for seed in sorted(runs)]
        for row, runs in rows.items()
        if row != base_row
    }
    p = {row: float(ttest_1samp(values, 0).pvalue) for row, values in differences.items()}
    others = EXPERIMENTS[experiment].keys() - {base_row, "cross"}
    corrected = holm({row: value for row, value in p.items() if row != "cross"}, len(others))
    per_speaker = {row: [run["per_speaker"]["primary"] for run in runs.values()] for row, runs in rows.items()}
    speakers = sorted(next(iter(per_speaker.values()))[0])
    cells: list[list[str]] = []
    for row, runs in rows.items():
        alone = all(run["judged"] == ["primary"] for run in runs.values())  # of a vote, speakers are not counted
        cells.append([
            row,
            str(len(runs)),
            mean_and_spread(run["top1"] for run in runs.values()),
            mean_and_interval(differences[row]) if row in differences else "",
            as_p(p[row]) if row in p else "",
            as_p(corrected[row]) if row in corrected else "",
            *(
                f"{statistics.mean(each[speaker] for each in per_speaker[row]):.1f}" if alone else ""
                for speaker in speakers
            ),
        ])  # fmt: skip
    cells.sort(key=lambda line: float(line[2].split()[0]))
    columns = ["", "seeds", "top-1, %", f"minus {base_row} (95 %)", "p", f"p, corrected for {len(others)}", *speakers]
    return markdown(columns, cells)


def with_all_seeds(experiment: str) -> RunsByRow:
    """The rows of an experiment on lips that have all seeds, measured on the test speakers."""
    return {row: runs for row, runs in rows_of(experiment, "cpu", "test").items() if len(runs) == SEEDS}


def as_p(value: float) -> str:
    """A p-value as papers give it."""
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"


def holm(p: dict[str, float], planned: int) -> dict[str, float]:
    """The p-values of several comparisons, corrected for the number that was planned by Holm's method.

    Where some are still to be made, which may have lower values, each is multiplied by the number (Bonferroni).
    """
    corrected, least = {}, 0.0
    for rank, (name, value) in enumerate(sorted(p.items(), key=lambda item: item[1])):
        before = rank if len(p) == planned else 0
        corrected[name] = least = max(least, min(1.0, (planned - before) * value))
    return corrected


def where_machines_differ(rows: RunsByRow) -> str:
    """How many runs were made on what, where that is not one thing; processors and versions round sums differently."""
    counts = Counter(run["hardware"] for runs in rows.values() for run in runs.values())
    lines: list[str] = []
    for hardware, count in counts.most_common():
        whole = [f"`{row}`" for row, runs in rows.items() if all(run["hardware"] == hardware for run in runs.values())]
        lines.append(f"{count} on {hardware}" + (f" (all of {', '.join(whole)})" if whole and lines else ""))
    return f"\n\nRuns: {'; '.join(lines)}." if len(counts) > 1 else ""


def named_table(name: str) -> str | None:
    """The table of a name in a page, EXPERIMENT-SETTING-LIST or EXPERIMENT; None where it is not of training runs."""
    experiment, *where = name.rsplit("-", 2)
    if len(where) == 2 and where[0] in ("cpu", "gpu") and where[1] in ("validation", "test"):
        if experiment in LIPS:
            return with_power(experiment)
        if experiment.startswith("pretraining-"):
            return pretrained(experiment, *where)
        if experiment == "lips-causes":
            return causes(*where)
        return labels_table(*where) if experiment == "labels" else compared(experiment, *where)
    if name == "probe":
        probes = json.loads((RESULTS / "probe.json").read_text())
        return f"{probes['caption']}\n\n{markdown(probes['columns'], probes['rows'])}"
    if name == "intervals":
        return intervals_table()
    if name == "compute":
        return compute_table()
    if name == "table-2":
        return table_2()
    if name == "lips-tuning":
        return tuning_table()
    if name.startswith("suggest-"):
        return suggested(name)
    results = read_results(RESULTS / f"{name}.jsonl")
    return table_of_test_runs(results) if results else None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("add")
    verb.add_argument("experiment")
    verb.add_argument("row")
    verb.add_argument("run", type=Path)
    verbs.add_parser("write")
    args = parser.parse_args()

    def work() -> int:
        if args.verb == "add":
            print(add(args.experiment, args.row, args.run))
        else:
            fill_pages(named_table)
            draw_figures({experiment: with_all_seeds(experiment) for experiment in LIPS})
        return 0

    return reporting("tables.py", work)


if __name__ == "__main__":
    sys.exit(main())
