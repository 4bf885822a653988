"""What the reports of all kinds of training show: curves, clips as the network saw them, and the machine."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup
from torch import Tensor

from cmpl_zoo.report import sections
from cmpl_zoo.report.charts import curves
from cmpl_zoo.report.contact_sheet import Picture
from cmpl_zoo.report.pictures import clip_frames, data_uri, strip

SHOWN_FRAMES, VIEW_HEIGHT, VIEW_QUALITY = 8, 80, 75
LR = {"lr": "learning rate"}
Series = dict[str, tuple[list[float], list[float]]]  # steps and values by name


def series(lines: Sequence[Mapping[str, Any]], keys: Mapping[str, str], scale: float = 1) -> Series:
    """Those keys that a log has more than once, by their names."""
    found = {}
    for key, name in keys.items():
        pairs = [(line["step"], scale * line[key]) for line in lines if line.get(key) is not None]
        if len(pairs) > 1:
            found[name] = ([step for step, _ in pairs], [value for _, value in pairs])
    return found


def drawn(charts: Iterable[tuple[str, str, str, Series]]) -> list[dict[str, Any]]:
    """Charts that have something to show, each of (name, label, how to read it, series)."""
    return [
        {"title": label, "how": how, "svg": Markup(curves(found, label, name, percent="%" in label))}
        for name, label, how, found in charts
        if found
    ]


def clip_picture(clip: Tensor, title: str, what: str) -> Picture:
    """A clip as a strip of frames.

    Args:
        clip: uint8 (3, frames, height, width).
        title: above it.
        what: it shows, for those who do not see it.
    """
    image = strip(clip_frames(clip, SHOWN_FRAMES, VIEW_HEIGHT))
    alt = f"{min(SHOWN_FRAMES, clip.shape[1])} frames of {what}"
    return Picture(title, [], data_uri(image, VIEW_QUALITY), alt, True, image.width, image.height)


def machine(summary: Mapping[str, Any], lines: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What the run was made with, and how fast it was."""
    waited = [line["waited_for_data"] for line in lines if "waited_for_data" in line]
    memory = [line["memory_mb"] for line in lines if "memory_mb" in line]
    facts = {
        "hardware": summary["hardware"],
        "versions": f"cmpl_zoo {summary['version']}, commit {summary['commit']}",
        "training time": f"{sections.duration(summary['seconds'])}, without validation",
        "throughput": f"{summary['clips_per_s']:.1f} clips a second",
    }
    if waited:
        facts["waiting for data"] = f"{100 * sum(waited) / len(waited):.0f} % of the time"
    if memory:
        facts["most memory"] = f"{max(memory):.0f} MB"
    return facts
