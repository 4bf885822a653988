"""Labels from BORIS, the event logger of behavior labs: its exports "tabular events" and "aggregated events".

BORIS counts the time of an observation from its offset on, through all media files that it plays one after the other;
a list counts it from the start of each file.
"""

import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from cmpl_zoo.datasets.lists import ListError
from cmpl_zoo.tools.find_videos import FoundVideos
from cmpl_zoo.tools.segment_lists import LabeledSegment, StrPath, find_segments, read_table, seconds_of
from cmpl_zoo.tools.text_files import read_text

FORM = "BORIS's export of tabular or aggregated events, as TSV or CSV"
# The names of columns have changed between versions 4 and 9.
MEDIA = ("Media file name", "Media file path", "Media file")
KINDS = ("Behavior type", "Status")


@dataclass(frozen=True)
class Event:
    """A state from its start to its stop, in the time of an observation. Missing times are None."""

    line: dict[str, str]
    start: float | None
    stop: float | None


def boris(files: Sequence[StrPath], root: StrPath) -> FoundVideos:
    """A list of the states that were logged: `path,label,start,end`.

    In tabular events, a START and the next STOP of the same observation, subject, behavior and modifiers are a state.
    POINT events have no duration and are left out; a warning tells how many.

    Args:
        files: TSV or CSV, each of one observation or of several.
        root: folder of the videos, which are found by name.

    Raises:
        ListError: a file is not of this form, or none of the videos is found.
    """
    segments, points = list[LabeledSegment](), 0
    for file in map(Path, files):
        text = read_text(file)
        aggregated = re.search(r"\bStart \(s\)", text) is not None
        times = ("Start (s)", "Stop (s)") if aggregated else ("Time",)
        lines = read_table(file, text, ("Behavior", *times), FORM)
        states = [(number, line) for number, line in lines if _first(line, KINDS) != "POINT"]
        points += len(lines) - len(states)
        pair = _aggregated if aggregated else _paired
        segments += [_segment(event) for event in pair(file, states)]
    if points:
        warnings.warn(f"left out {points} POINT events, which have no duration", stacklevel=2)
    if not segments:
        raise ListError(f"{files[0]}: holds no state, from a START to a STOP; give {FORM}")
    return find_segments(segments, root)[0]


def _aggregated(file: Path, lines: list[tuple[int, dict[str, str]]]) -> Iterator[Event]:
    for number, line in lines:
        where = f"{file}, line {number}"
        yield Event(line, _time(line["Start (s)"], where), _time(line["Stop (s)"], where))


def _paired(file: Path, lines: list[tuple[int, dict[str, str]]]) -> Iterator[Event]:
    begun: dict[tuple[str, ...], Event] = {}
    for number, line in lines:
        where = f"{file}, line {number}"
        kind, time = _first(line, KINDS), _time(line["Time"], where)
        modifiers = (cell for column, cell in line.items() if column.startswith("Modifier"))
        key = (line.get("Observation id", ""), line.get("Subject", ""), line["Behavior"], *modifiers)
        if kind == "START":
            if key in begun:
                yield begun[key]
            begun[key] = Event(line, time, None)
        elif kind == "STOP":
            started = begun.pop(key, None)
            yield Event(started.line if started else line, started.start if started else None, time)
        else:
            raise ListError(f"{where}: {kind!r} should be START, STOP or POINT; give {FORM}")
    yield from begun.values()


def _segment(event: Event) -> LabeledSegment:
    """The event in the time of its media file."""
    line, start, stop = event.line, event.start, event.stop
    queue, durations = _queue(line)
    named = _first(line, MEDIA)
    video = named if named and named not in ("NA", "Not found") and ";" not in named else (queue or [""])[0]
    label = line["Behavior"]
    if not video:
        return LabeledSegment("", label, reason="has no media file, as a live observation")
    if start is None or stop is None:
        missing = "a START without a STOP" if stop is None else "a STOP without a START"
        return LabeledSegment(video, label, reason=f"{missing} at {stop if start is None else start:g} s")
    offset = _time(line.get("Time offset (s)", ""), "Time offset (s)") or 0.0
    duration = None
    if len(queue) > 1:
        names = [PureWindowsPath(name).name for name in queue]
        place = names.index(PureWindowsPath(video).name) if PureWindowsPath(video).name in names else -1
        if place < 0 or len(durations) != len(queue):
            return LabeledSegment(video, label, reason="one of several media files whose durations are not told")
        offset, duration = offset + sum(durations[:place]), durations[place]
    start, stop = max(0.0, round(start - offset, 6)), round(stop - offset, 6)
    if stop <= start:
        return LabeledSegment(video, label, reason=f"stops at {stop:g} s, when it starts")
    if duration is not None and stop > duration + 0.001:
        return LabeledSegment(video, label, start, stop, reason="continues in the next media file")
    return LabeledSegment(video, label, start, stop)


def _queue(line: dict[str, str]) -> tuple[list[str], list[float]]:
    """The media files that the first player shows one after the other, and their durations in seconds."""
    files = _first(line, ("Source", *MEDIA)).partition("|")[0]
    durations = line.get("Media duration (s)", "").partition("|")[0]
    queue = [name.strip() for name in re.sub(r"^player #1:", "", files).split(";") if name.strip() not in ("", "NA")]
    try:
        return queue, [float(duration) for duration in durations.split(";")]
    except ValueError:
        return queue, []


def _first(line: dict[str, str], columns: Sequence[str]) -> str:
    """The cell of the first of these columns that the table has."""
    return next((line[column] for column in columns if column in line), "")


def _time(text: str, where: str) -> float | None:
    return None if text in ("", "NA") else seconds_of(text, where)
