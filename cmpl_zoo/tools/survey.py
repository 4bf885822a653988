"""What the checked videos of a list are like together: their rates, their timestamps, and how many fill a clip."""

import csv
from collections import Counter
from pathlib import Path
from statistics import median

from cmpl_zoo.datasets.typical import Length
from cmpl_zoo.models.config_json import ClipSettings, clip_text
from cmpl_zoo.tools.check import KEPT_BY_CHECK, NO_TIMES

MOST_RATES = 6  # that are named one by one


def survey(report: Path, clip: ClipSettings | None) -> list[str]:
    """Lines on the videos that `check` keeps: mixed frame rates, missing timestamps, videos shorter than a clip.

    Args:
        report: `report.csv` of `check`.
        clip: counts the videos that are shorter, if given.
    """
    with report.open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["verdict"] in KEPT_BY_CHECK]
    said = []
    rates = [float(row["fps"]) for row in rows if row["fps"]]
    by_rate = Counter(round(rate, 1) for rate in rates)
    if len(by_rate) > 1:
        named = [f"{count} at {rate:g}" for rate, count in by_rate.most_common(MOST_RATES)]
        others = len(rates) - sum(count for _, count in by_rate.most_common(MOST_RATES))
        named += [f"{others} at others"] if others else []
        said.append(f"mixed frame rates: {', '.join(named)}; median {median(rates):g} frames a second")
    if untimed := sum(NO_TIMES in row["cause"] for row in rows):
        said.append(f"without timestamps that tell time: {untimed} of {len(rows)} videos; the codec's rate counts")
    if clip is not None:
        lengths = [Length(int(row["frames"]), float(row["fps"] or 0) or None) for row in rows]
        short = sum(not length.spans(clip["frames"], clip["stride"], clip.get("fps")) for length in lengths)
        said.append(f"shorter than a clip of {clip_text(clip)}: {short} of {len(rows)} videos")
    return said
