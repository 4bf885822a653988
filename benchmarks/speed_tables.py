"""Results, one JSON file a run in benchmarks/results/, and the tables made of them.

python benchmarks/results.py add EXPERIMENT ROW RUN     # after train/evaluate.py --json RUN/test.json
python benchmarks/prepare.py NAME LIST --root DIR       # a file of copies that were compared, prepare-NAME.json
python benchmarks/results.py tables                     # writes them into the two README.md and docs/
"""

import argparse
import json
import re
import statistics
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from harness import RESULTS

from cmpl_zoo.card import views_of
from cmpl_zoo.data.files import replace_text

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))

from config import FREE_ON_RESUME
from experiment_results import accuracies, kept, markdown, mean_and_spread

REPO = Path(__file__).resolve().parents[1]


def add(experiment: str, row: str, run: Path) -> Path:
    """Keep what a report needs of a finished and evaluated run."""
    summary = json.loads((run / "summary.json").read_text())
    scores = json.loads((run / "test.json").read_text())
    seed = summary["config"]["seed"]
    result = {"experiment": experiment, "row": row, "seed": seed, **kept(summary, scores)}
    file = RESULTS / f"{experiment}-{row}-seed{seed}.json"
    replace_text(file, json.dumps(result, indent=1) + "\n")
    return file


def table(experiment: str) -> str:
    """A row for each kind of run: mean and standard deviation over seeds, with the protocol above."""
    results = [json.loads(file.read_text()) for file in sorted(RESULTS.glob("*.json"))]
    results = [result for result in results if result["experiment"] == experiment]
    if not results:
        return "Not yet run."
    if "columns" in results[0]:
        return plain_table(results[0])
    if "copies" in results[0]:
        return table_of_copies(results[0])
    rows: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        rows.setdefault(result["row"], []).append(result)
    first = results[0]
    caption = (
        f"{span(result['videos'] for result in results)} test videos, {views_of(first)}, "
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


def plain_table(result: dict[str, Any]) -> str:
    """The rows that a benchmark left, under its own caption."""
    return f"{result['caption']}\n\n{markdown(result['columns'], result['rows'])}"


def table_of_copies(result: dict[str, Any]) -> str:
    """A row for each kind of copy, against the original."""
    copies, kinds = result["copies"], {"clip": "clip of 8, stride 8", "spread": "8 frames over all"}
    columns = ["", "size", *kinds.values(), *(["top-1, %"] if copies["original"]["top1"] is not None else [])]
    caption = (
        f"{result['videos']} videos; reading is the median over {result['timed']} of them, {result['rounds']} draws "
        "each, in brackets that of the ratio to the original."
    )
    rows = []
    for row, copy in copies.items():
        cells = [row, f"{copy['bytes'] / 1e6:.1f} MB ({copy['bytes'] / copies['original']['bytes']:.2f})"]
        cells += [f"{copy[f'{kind}_ms']:.1f} ms ({copy[f'{kind}_ratio']:.2f})" for kind in kinds]
        cells += [f"{copy['top1']:.1f}"] if copy["top1"] is not None else []
        rows.append(cells)
    return f"{caption}\n\n{markdown(columns, rows)}"


def reading_table() -> str:
    """A row for each form and task, a column for each reader; the last is how far ahead this package is."""
    result = json.loads((RESULTS / "decode.json").read_text())
    rows: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
    for row in result["readers"]:
        rows.setdefault((row["form"], row["task"]), {})[row["reader"]] = row
    names = sorted({row["reader"] for row in result["readers"]})
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items() if version)
    videos = result["videos"]
    caption = (
        f"{videos['real']} real and {videos['rendered']} rendered videos, {result['repetitions']} repetitions; CPU "
        f"(wall) time in ms. {result['machine']}; {versions}."
    )
    lines = []
    for (form, task), by_reader in rows.items():
        cells = [f"{by_reader[name]['cpu_ms']:.1f} ({by_reader[name]['wall_ms']:.1f})" for name in names]
        others = [by_reader[name]["cpu_ms"] for name in names if name != "cmpl_zoo"]
        ahead = f"{min(others) / by_reader['cmpl_zoo']['cpu_ms']:.2f}" if others else ""
        lines.append([form, task, *cells, ahead])
    return f"{caption}\n\n{markdown(['video', 'task', *names, 'fastest other / cmpl_zoo'], lines)}"


def views_table() -> str:
    result = json.loads((RESULTS / "decode.json").read_text())
    rows = [[row["what"], f"{row['cpu_ms']:.1f}", f"{row['wall_ms']:.1f}"] for row in result["views"]]
    return markdown(["8 frames", "CPU, ms", "wall, ms"], rows)


def loader_table() -> str:
    result = json.loads((RESULTS / "decode.json").read_text())
    rows = [[row["what"], f"{row['a_second']:.1f}", f"{row['a_cpu_second']:.1f}"] for row in result["loader"]]
    return markdown(["2 x 8 frames", "a second", "a second of CPU time"], rows)


def ratios_table() -> str:
    """The README's few numbers, out of those of whole benchmarks, on the two processors that they were run on."""
    ratios: dict[tuple[str, str], dict[str, float]] = {}
    decode = json.loads((RESULTS / "decode.json").read_text())
    cpu_ms = {(r["form"], r["task"], r["reader"]): r["cpu_ms"] for r in decode["readers"]}
    for form in ("256p, GOP 16, no B-frames", "720p, GOP 250"):
        clip = {reader: ms for (of, task, reader), ms in cpu_ms.items() if (of, task) == (form, "8 frames, stride 8")}
        own = clip.pop("cmpl_zoo")
        best = min(clip, key=lambda reader: clip[reader])
        ratios[f"a clip of 8 frames, {form}", best] = {"cpu": clip[best] / own}
    for kind in ("cpu", "cpu-amx"):
        for row in json.loads((RESULTS / f"model-{kind}.json").read_text())["measured"]:
            if row["network"].startswith("r3d50_quarter"):
                what = f"{row['mode']}, {row['network']}, batch {row['batch']} of 8x{row['size']}^2, {row['type']}"
                ratios.setdefault((what, "`nn.Conv3d` in the default layout"), {})[kind] = row["over_plain"]
    step = json.loads((RESULTS / "step-cpu-amx.json").read_text())
    seconds = step["seconds"]
    ratio = statistics.median(slow / own for slow, own in zip(seconds["obvious"], seconds["step"], strict=True))
    what = f"a CMPL step, {step['caption'].partition(';')[0]}"
    ratios[what, "all views through both networks with gradients"] = {"cpu-amx": ratio}
    cells = [
        [*what, *(f"{found[kind]:.2f}" if kind in found else "" for kind in ("cpu", "cpu-amx"))]
        for what, found in ratios.items()
    ]
    return markdown(["", "compared with", "speed-up, AMD EPYC", "speed-up, Intel Xeon with AMX"], cells)


# The paper's own figures: Kinetics-400, 1% of the labels, short ablation setting, top-1 in %.
PAPER = {
    "schemes": {"fixmatch": 6.78, "self-first": 10.80, "opposite-first": 11.13, "maximum": 11.85, "average": 12.16,
                "cross": 12.90},  # Table 1
    "sampling": {"uniform": 12.90, "category-wise": 12.68},  # Table 4
}  # fmt: skip

# The row that the others are set against, seed by seed; one for each part where rows are called "part, row".
BASE = {"schemes": "labels-alone", "sampling": "uniform", "transfer": "{part}, labels-alone", "auxiliary": "quarter",
        "ten-labels": "fixmatch", "threshold": "{part}, 0.7", "batch-norm": "labels-alone", "beyond": "cross",
        "plus": "cross", "knobs": "as the recipe"}  # fmt: skip


def base_of(experiment: str, row: str) -> str:
    """The row that one is set against."""
    return BASE[experiment].format(part=row.partition(", ")[0])


Rows = dict[str, dict[int, dict[str, Any]]]  # runs by row and by seed


def rows_of(experiment: str, setting: str, measured_on: str) -> Rows:
    """What train/experiments.py has recorded of an experiment.

    Raises:
        SystemExit: runs of a row differ in more than their seed, or rows have been trained for unequal steps.
    """
    results = [json.loads(file.read_text()) for file in sorted(RESULTS.glob(f"{experiment}-{setting}-*.json"))]
    rows: Rows = {}
    for result in results:
        if result["measured_on"] == measured_on:
            rows.setdefault(result["row"], {})[result["seed"]] = result
    for row, runs in rows.items():
        recipes = [
            {k: v for k, v in run["recipe"].items() if k not in {"seed", *FREE_ON_RESUME}} for run in runs.values()
        ]
        if any(recipe != recipes[0] for recipe in recipes):
            raise SystemExit(f"results.py: the runs of {experiment}, {row}, have several recipes; delete those of one")
    if len(steps := {run["step"] for runs in rows.values() for run in runs.values()}) > 1:
        raise SystemExit(f"results.py: the runs of {experiment} have {sorted(steps)} steps, which cannot be compared")
    return rows


def in_common(rows: Rows) -> Rows:
    """The runs of those seeds that all of these rows have; no rows where there is none."""
    seeds = set.intersection(*(set(runs) for runs in rows.values()))
    return {row: {seed: runs[seed] for seed in sorted(seeds)} for row, runs in rows.items() if seeds}


def gain(runs: dict[int, dict[str, Any]], base: dict[int, dict[str, Any]]) -> str:
    """How far a row's top-1 is above another's, seed by seed."""
    return mean_and_spread(runs[seed]["top1"] - base[seed]["top1"] for seed in runs)


def compared(experiment: str, setting: str, measured_on: str) -> str:
    """The rows of an experiment on mocap13, those of one base together, over it, and beside the paper's."""
    if not (rows := rows_of(experiment, setting, measured_on)):
        return "Not yet run."
    parts: dict[str, Rows] = {}
    for row, runs in rows.items():
        parts.setdefault(base_of(experiment, row), {})[row] = runs
    paper = PAPER.get(experiment)
    over_what = next(iter(parts)) if len(parts) == 1 else "its base"
    columns = ["", "seeds", "top-1, %", f"gain over {over_what}, seed by seed", "mean over classes, %"]
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


def labels_table(setting: str, measured_on: str) -> str:
    """A row for each number of labels a class, a column for each method."""
    if not (rows := rows_of("labels", setting, measured_on)):
        return "Not yet run."
    methods = ("labels-alone", "fixmatch", "cross")
    first, *others = methods
    columns = ["labels a class", "seeds", f"top-1, %: {first}", *others, "gain of cross over fixmatch, seed by seed",
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


def where_machines_differ(rows: Rows) -> str:
    """How many runs were made on what, where that is not one thing; processors and versions round sums differently."""
    counts = Counter(run["hardware"] for runs in rows.values() for run in runs.values())
    lines = []
    for hardware, count in counts.most_common():
        whole = [f"`{row}`" for row, runs in rows.items() if all(run["hardware"] == hardware for run in runs.values())]
        lines.append(f"{count} on {hardware}" + (f" (all of {', '.join(whole)})" if whole and lines else ""))
    return f"\n\nRuns: {'; '.join(lines)}." if len(counts) > 1 else ""


def named_table(name: str) -> str:
    """The table of a name in a page: `EXPERIMENT-SETTING-LIST` for those of train/experiments.py."""
    experiment, *where = name.rsplit("-", 2)
    if len(where) == 2 and where[0] in ("cpu", "gpu") and where[1] in ("validation", "test"):
        return labels_table(*where) if experiment == "labels" else compared(experiment, *where)
    special = {
        "decode": reading_table,
        "decode-views": views_table,
        "decode-loader": loader_table,
        "ratios": ratios_table,
    }
    return special[name]() if name in special else table(name)


def write_tables() -> None:
    """Fill what stands between `<!-- table: NAME -->` and `<!-- end -->`."""
    for page in (REPO / "README.md", REPO / "benchmarks" / "README.md", *sorted((REPO / "docs").glob("*.md"))):
        text = page.read_text()
        pattern = r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)"
        page.write_text(re.sub(pattern, lambda m: f"{m[1]}{named_table(m[2])}\n{m[3]}", text, flags=re.DOTALL))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("add")
    verb.add_argument("experiment")
    verb.add_argument("row")
    verb.add_argument("run", type=Path)
    verbs.add_parser("tables")
    args = parser.parse_args()
    if args.verb == "add":
        print(add(args.experiment, args.row, args.run))
    else:
        write_tables()


if __name__ == "__main__":
    main()
