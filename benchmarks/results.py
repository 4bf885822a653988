"""Results, one JSON file a run in benchmarks/results/, and the tables made of them.

python benchmarks/results.py add EXPERIMENT ROW RUN     # after train/evaluate.py --json RUN/test.json
python benchmarks/prepare.py NAME LIST --root DIR       # a file of copies that were compared, prepare-NAME.json
python benchmarks/results.py tables                     # writes them into the two README.md and docs/
"""

import argparse
import itertools
import json
import re
import statistics
import sys
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from harness import RESULTS

from cmpl_zoo.card import PRIVATE_OPTIONS
from cmpl_zoo.data.files import replace_text

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))

from experiment_report import accuracies, markdown, mean_and_spread

REPO = Path(__file__).resolve().parents[1]


def add(experiment: str, row: str, run: Path) -> Path:
    """Keep what a report needs of a finished and evaluated run."""
    summary = json.loads((run / "summary.json").read_text())
    scores = json.loads((run / "test.json").read_text())
    config = {k: v for k, v in summary["config"].items() if v is not None and k not in PRIVATE_OPTIONS}
    result = {
        "experiment": experiment,
        "row": row,
        "seed": config["seed"],
        "top1": scores["video_top1"],
        "videos": scores["videos"],
        "clips": scores["clips"],
        "crops": scores["crops"],
        "classes": len(scores["per_class"]),
        "per_class": scores["per_class"],
        "labeled_videos": summary["labeled_videos"],
        "unlabeled_videos": summary["unlabeled_videos"],
        "step": summary["step"],
        "seconds": summary["seconds"],
        "hardware": summary["hardware"],
        "version": summary["version"],
        "commit": summary["commit"],
        "config": config,
    }
    file = RESULTS / f"{experiment}-{row}-seed{config['seed']}.json"
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
        f"{first['videos']} test videos, views {first['clips']} x {first['crops']} (clips x crops), "
        f"{first['classes']} classes, on {first['hardware']}; the primary network's last step."
    )
    columns, cells = ["", "labeled", "unlabeled", "steps", "seeds", "top-1, %", "training, s"], []
    for row, runs in sorted(rows.items(), key=lambda item: statistics.mean(r["top1"] for r in item[1])):
        top1 = [run["top1"] for run in runs]
        seconds = statistics.median(run["seconds"] for run in runs)
        one = runs[0]
        counts = (one["labeled_videos"], one["unlabeled_videos"], one["step"], len(runs))
        cells.append([row, *counts, mean_and_spread(top1), f"{seconds:.0f}"])
    return f"{caption}\n\n{markdown(columns, cells)}"


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
    for form in ("256p, GOP 16", "720p, GOP 250"):
        clip = {reader: ms for (of, task, reader), ms in cpu_ms.items() if (of, task) == (form, "8 frames, stride 8")}
        own = clip.pop("cmpl_zoo")
        best = min(clip, key=lambda reader: clip[reader])
        ratios[f"a clip of 8 frames, {form}", best] = {"cpu": clip[best] / own}
    for kind in ("cpu", "cpu-amx"):
        for row in json.loads((RESULTS / f"model-{kind}.json").read_text())["measured"]:
            if row["network"].startswith("r3d50_quarter"):
                what = f"{row['mode']}, {row['network']}, batch {row['batch']} of 8x{row['size']}^2, {row['type']}"
                ratios.setdefault((what, "`nn.Conv3d` in the default layout"), {})[kind] = row["over_plain"]
    seconds = json.loads((RESULTS / "step-cpu-amx.json").read_text())["seconds"]
    ratio = statistics.median(slow / own for slow, own in zip(seconds["obvious"], seconds["step"], strict=True))
    what = "a CMPL step, r3d50_quarter and r3d50_eighth, 4 and 8 clips of 8x64^2, float32"
    ratios[what, "all views through both networks with gradients"] = {"cpu-amx": ratio}
    cells = [
        [*what, *(f"{found[kind]:.2f}" if kind in found else "" for kind in ("cpu", "cpu-amx"))]
        for what, found in ratios.items()
    ]
    return markdown(["", "compared with", "speed-up, AMD EPYC", "speed-up, Intel Xeon with AMX"], cells)


# The paper's own figures: Kinetics-400, 1% of the labels, short ablation setting, top-1 in %.
TABLE_1 = {"fixmatch": 6.78, "self-first": 10.80, "opposite-first": 11.13, "maximum": 11.85, "average": 12.16,
           "cross": 12.90}  # fmt: skip
TABLE_4 = {"uniform": 12.90, "category-wise": 12.68}
PAPER = {"schemes": TABLE_1, "schemes-5": TABLE_1, "sampling": TABLE_4}


# The row that the others are set against, seed by seed; one for each part where rows are called "part, row".
BASE = {"schemes": "labels-alone", "schemes-5": "labels-alone", "sampling": "uniform",
        "transfer": "{part}, labels-alone", "auxiliary": "eighth", "batch-norm": "labels-alone", "beyond": "cross",
        "plus": "cross", "knobs": "as the recipe"}  # fmt: skip


def base_of(experiment: str, row: str) -> str:
    """The row that one is set against."""
    return BASE[experiment].format(part=row.partition(", ")[0])


def runs_of(experiment: str, setting: str, measured_on: str) -> list[dict[str, Any]]:
    """What train/experiments.py has recorded of an experiment."""
    results = [json.loads(file.read_text()) for file in sorted(RESULTS.glob(f"{experiment}-{setting}-*.json"))]
    results = [result for result in results if result["measured_on"] == measured_on]
    if len(steps := {result["step"] for result in results}) > 1:
        raise SystemExit(f"results.py: the runs of {experiment} have {sorted(steps)} steps, which cannot be compared")
    return results


def by_row_and_seed(results: list[dict[str, Any]]) -> dict[str, dict[int, dict[str, Any]]]:
    rows: dict[str, dict[int, dict[str, Any]]] = {}
    for result in results:
        rows.setdefault(result["row"], {})[result["seed"]] = result
    return rows


def over(runs: dict[int, dict[str, Any]], base: dict[int, dict[str, Any]]) -> str:
    """How far a row's top-1 is above another's, seed by seed."""
    differences = [run["top1"] - base[seed]["top1"] for seed, run in runs.items() if seed in base]
    return mean_and_spread(differences) if differences else ""


def compared(experiment: str, setting: str, measured_on: str) -> str:
    """The rows of an experiment on mocap13, those of one base together, over it, and beside the paper's."""
    if not (results := runs_of(experiment, setting, measured_on)):
        return "Not yet run."
    rows = by_row_and_seed(results)
    measured = {row: accuracies(list(runs.values())) for row, runs in rows.items()}
    bases = {row: base_of(experiment, row) for row in rows}
    over_what = bases[next(iter(rows))] if len(set(bases.values())) == 1 else "its base"
    paper = PAPER.get(experiment)
    columns = ["", "seeds", "top-1, %", f"gain over {over_what}, seed by seed", "mean over classes, %"]
    columns += ["the paper's top-1, Kinetics-400 1%"] if paper else []
    cells = []
    for row in sorted(rows, key=lambda row: (bases[row], statistics.mean(measured[row]["top1"]))):
        line = [row, len(rows[row]), mean_and_spread(measured[row]["top1"])]
        line += ["" if row == bases[row] else over(rows[row], rows.get(bases[row], {}))]
        line += [mean_and_spread(measured[row]["of_classes"])]
        line += [f"{paper[row]:.2f}" if row in paper else ""] if paper else []
        cells.append(line)
    return markdown(columns, cells) + where_processors_differ(results)


def table_1(setting: str, measured_on: str) -> str:
    """Table 1 with few and with more labels, in the order of the paper's figures, which stand beside."""
    parts = {"5 labels a class": "schemes-5", "20 labels a class": "schemes"}
    columns = {title: by_row_and_seed(runs_of(name, setting, measured_on)) for title, name in parts.items()}
    cells = []
    for row in ("labels-alone", *TABLE_1, "all-labels"):
        top1 = [accuracies(list(rows[row].values()))["top1"] if row in rows else [] for rows in columns.values()]
        paper = f"{TABLE_1[row]:.2f}" if row in TABLE_1 else ""
        cells.append([row, *(mean_and_spread(values) if values else "" for values in top1), paper])
    return markdown(["top-1, %", *columns, "the paper, Kinetics-400 1%"], cells)


def labels_table(setting: str, measured_on: str) -> str:
    """A row for each number of labels a class, a column for each method."""
    if not (results := runs_of("labels", setting, measured_on)):
        return "Not yet run."
    rows = by_row_and_seed(results)
    methods = ("labels-alone", "fixmatch", "cross")
    first, *others = methods
    columns = ["labels a class", "seeds", f"top-1, %: {first}", *others, "gain of cross over fixmatch, seed by seed",
               f"mean over classes, %: {first}", *others]  # fmt: skip
    cells = []
    for count in sorted({int(row.rpartition(", ")[2]) for row in rows}):
        of_count = [rows[name] for method in methods if (name := f"{method}, {count}") in rows]
        if len(of_count) < len(methods):
            continue  # not all run yet
        measured = [accuracies(list(runs.values())) for runs in of_count]
        line = [count, len(of_count[0]), *(mean_and_spread(of["top1"]) for of in measured)]
        cells.append([*line, over(of_count[2], of_count[1]), *(mean_and_spread(of["of_classes"]) for of in measured)])
    return markdown(columns, cells) + where_processors_differ(results)


def where_processors_differ(results: list[dict[str, Any]]) -> str:
    """Which rows were not made on the processor of most; processors round sums differently."""
    most, *others = (hardware for hardware, _ in Counter(result["hardware"] for result in results).most_common())
    rows = {of: sorted({f"`{run['row']}`" for run in results if run["hardware"] == of}) for of in others}
    exceptions = "; ".join(f"{', '.join(named)}: {hardware}" for hardware, named in rows.items())
    return f"\n\n{most}, but for {exceptions}." if others else ""


def named_table(name: str) -> str:
    special: dict[str, Callable[[], str]] = {
        "decode": reading_table,
        "decode-views": views_table,
        "decode-loader": loader_table,
        "ratios": ratios_table,
    }
    for setting, measured_on in itertools.product(("cpu", "gpu"), ("validation", "test")):
        special[f"table-1-{setting}-{measured_on}"] = partial(table_1, setting, measured_on)
        special[f"labels-{setting}-{measured_on}"] = partial(labels_table, setting, measured_on)
        for experiment in BASE:
            special[f"{experiment}-{setting}-{measured_on}"] = partial(compared, experiment, setting, measured_on)
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
