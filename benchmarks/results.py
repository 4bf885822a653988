"""Results, one JSON file a run in benchmarks/results/, and the tables made of them.

python benchmarks/results.py add EXPERIMENT ROW RUN     # after train/evaluate.py --json RUN/test.json
python benchmarks/prepare.py NAME LIST --root DIR       # a file of copies that were compared, prepare-NAME.json
python benchmarks/results.py tables                     # writes them into the two README.md and docs/
"""

import argparse
import json
import re
import statistics
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from harness import RESULTS

from cmpl_zoo.card import PRIVATE_OPTIONS
from cmpl_zoo.data.files import replace_text

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


def markdown(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)]).replace("|  |", "| |")


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
    ratios["a CMPL step, float32", "all views through both networks with gradients"] = {"cpu-amx": ratio}
    cells = [
        [*what, *(f"{found[kind]:.2f}" if kind in found else "" for kind in ("cpu", "cpu-amx"))]
        for what, found in ratios.items()
    ]
    return markdown(["", "instead of", "times as fast, AMD EPYC", "Intel Xeon with AMX"], cells)


# The paper's own figures: Kinetics-400, 1% of the labels, short ablation setting, top-1 in %.
PAPER = {
    "schemes": {"fixmatch": 6.78, "self-first": 10.80, "opposite-first": 11.13, "maximum": 11.85, "average": 12.16,
                "cross": 12.90},  # Table 1
    "sampling": {"uniform": 12.90, "category-wise": 12.68},  # Table 4
}  # fmt: skip


# The row that the others are set against, seed by seed; one for each part where rows are called "first, last".
BASE = {"schemes": "labels-alone", "sampling": "uniform", "transfer": "{first}, labels-alone", "auxiliary": "eighth",
        "labels": "labels-alone, {last}", "batch-norm": "labels-alone", "beyond": "cross", "plus": "cross",
        "knobs": "as the recipe"}  # fmt: skip


def base_of(experiment: str, row: str) -> str:
    """The row that one is set against."""
    first, _, last = row.partition(", ")
    return BASE[experiment].format(first=first, last=last)


def place_in_table(experiment: str, row_and_runs: tuple[str, dict[int, dict[str, Any]]]) -> tuple[int, str, float]:
    """Rows of one base together (1, 2, 5 labels before 10 and 20), the worst first."""
    base = base_of(experiment, row_and_runs[0])
    return len(base), base, statistics.mean(run["top1"] for run in row_and_runs[1].values())


def compared(experiment: str, setting: str, measured_on: str) -> str:
    """The rows of an experiment on mocap13, over one of them, and beside the paper's."""
    results = [json.loads(file.read_text()) for file in sorted(RESULTS.glob(f"{experiment}-{setting}-*.json"))]
    results = [result for result in results if result["measured_on"] == measured_on]
    if not results:
        return "Not yet run."
    if len(steps := {result["step"] for result in results}) > 1:
        raise SystemExit(f"results.py: the runs of {experiment} have {sorted(steps)} steps, which cannot be compared")
    by_row: dict[str, dict[int, dict[str, Any]]] = {}
    for result in results:
        by_row.setdefault(result["row"], {})[result["seed"]] = result
    paper = PAPER.get(experiment)
    bases = {base_of(experiment, row) for row in by_row}
    over_what = bases.pop() if len(bases) == 1 else "its base"
    columns = ["", "seeds", "top-1, %", f"over {over_what}, seed by seed", "mean over classes, %"]
    columns += ["the paper's top-1, Kinetics-400 1%"] if paper else []
    cells = []
    for row, runs in sorted(by_row.items(), key=partial(place_in_table, experiment)):
        top1 = {seed: run["top1"] for seed, run in runs.items()}
        base = by_row.get(base_of(experiment, row), {})
        over = [value - base[seed]["top1"] for seed, value in top1.items() if seed in base]
        by_class = [statistics.mean(run["per_class"].values()) for run in runs.values()]
        line = [row, len(runs), mean_and_spread(top1.values())]
        line += ["" if not over or base is runs else mean_and_spread(over), mean_and_spread(by_class)]
        line += [f"{paper[row]:.2f}" if row in paper else ""] if paper else []
        cells.append(line)
    return markdown(columns, cells) + where_processors_differ(results)


def where_processors_differ(results: list[dict[str, Any]]) -> str:
    """Which rows were made on what, where a table has rows of several processors; these round sums differently."""
    rows: dict[str, dict[str, None]] = {}
    for result in results:
        rows.setdefault(result["hardware"], {})[result["row"]] = None
    lines = (f"{hardware}: {'; '.join(of_it)}." for hardware, of_it in rows.items())
    return "\n\nNot all on one processor. " + " ".join(lines) if len(rows) > 1 else ""


def mean_and_spread(values: Iterable[float]) -> str:
    values = list(values)
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def named_table(name: str) -> str:
    special: dict[str, Callable[[], str]] = {
        "decode": reading_table,
        "decode-views": views_table,
        "decode-loader": loader_table,
        "ratios": ratios_table,
        **{
            f"{experiment}-{setting}-{measured_on}": partial(compared, experiment, setting, measured_on)
            for experiment in BASE
            for setting in ("cpu", "gpu")
            for measured_on in ("validation", "test")
        },
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
