"""Tables of what the benchmarks measured, made of benchmarks/results/*.json.

python benchmarks/speed_tables.py    # writes them into the pages
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from harness import RESULTS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))

from pages import fill_pages, markdown


def plain_table(result: dict[str, Any]) -> str:
    """The rows that a benchmark left, under its own caption."""
    return f"{result['caption']}\n\n{markdown(result['columns'], result['rows'])}"


def table_of_copies(result: dict[str, Any]) -> str:
    """A row for each kind of copy, against one of them."""
    copies, base = result["copies"], result["base"]
    kinds = list(copies[base]["ms"])
    columns = ["", "size", "PSNR, dB", *kinds, *(["top-1, %"] if copies[base]["top1"] is not None else [])]
    caption = (
        f"{result['videos']} videos. Size: all, in brackets over that of `{base}`, and the largest such ratio of one "
        f"video. Reading of 8 frames: median CPU time over {result['timed']} videos, {result['rounds']} draws each; in "
        f"brackets how many times the speed of `{base}`, the median of the videos and the slowest."
    )
    rows = []
    for row, copy in copies.items():
        ratio = copy["bytes"] / copies[base]["bytes"]
        cells = [row, f"{copy['bytes'] / 1e6:.1f} MB ({ratio:.2f}, {copy['largest']:.2f})"]
        cells += [f"{copy['psnr']:.1f}" if copy["psnr"] else ""]
        cells += [f"{copy['ms'][kind]:.1f} ms ({1 / median:.2f}, {1 / most:.2f})"
                  for kind, (median, most) in copy["ratios"].items()]  # fmt: skip
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
        others = [by_reader[name]["cpu_ms"] for name in names if not is_own(name)]
        ahead = f"{min(others) / by_reader['cmpl_zoo']['cpu_ms']:.2f}" if others else ""
        lines.append([form, task, *cells, ahead])
    return f"{caption}\n\n{markdown(['video', 'task', *names, 'fastest other / cmpl_zoo'], lines)}"


def is_own(reader: str) -> bool:
    return reader.startswith("cmpl_zoo")


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
    for form in ("256p, as prepared", "720p, GOP 250"):
        clip = {reader: ms for (of, task, reader), ms in cpu_ms.items() if (of, task) == (form, "8 frames, stride 8")}
        best = min((reader for reader in clip if not is_own(reader)), key=lambda reader: clip[reader])
        ratios[f"a clip of 8 frames, {form}", best] = {"cpu": clip[best] / clip["cmpl_zoo"]}
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


def named_table(name: str) -> str | None:
    """The table of a name in a page; None where no benchmark has measured it."""
    special = {
        "decode": reading_table,
        "decode-views": views_table,
        "decode-loader": loader_table,
        "ratios": ratios_table,
    }
    if name in special:
        return special[name]()
    if not (file := RESULTS / f"{name}.json").exists():
        return None
    result = json.loads(file.read_text())
    return table_of_copies(result) if "copies" in result else plain_table(result)


def main() -> None:
    argparse.ArgumentParser(prog="speed_tables.py", description=__doc__.splitlines()[0]).parse_args()
    fill_pages(named_table)


if __name__ == "__main__":
    main()
