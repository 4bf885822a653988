"""Lists of labeled segments, `path,label,start,end`, from the rows of an annotation tool."""

import csv
import io
import math
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from cmpl_zoo.datasets.lists import ListError
from cmpl_zoo.models.labels import UNCERTAIN
from cmpl_zoo.tools.find_videos import FoundVideos, ListRow, VideoFinder

StrPath = str | os.PathLike[str]
COLUMNS = ["path", "label", "start", "end"]


@dataclass(frozen=True)
class LabeledSegment:
    """A label of a part of a video.

    Attributes:
        video: path of the video, as the tool has it.
        label: class name.
        start: seconds from the first frame, at least 0.
        end: likewise, above `start`; None for the end of the video.
        reason: why the list cannot hold it, "" where it can.
    """

    video: str
    label: str
    start: float = 0
    end: float | None = None
    reason: str = ""

    @property
    def row(self) -> ListRow:
        """As a row of a list."""
        start = seconds_text(self.start) if self.start or self.end else ""
        return {"path": self.video, "label": self.label, "start": start, "end": seconds_text(self.end)}


def find_segments(segments: Iterable[LabeledSegment], root: StrPath) -> tuple[FoundVideos, dict[str, str]]:
    """The segments whose videos are on this disk; the others are left out, and those that contradict each other.

    Args:
        segments: equal ones count once. A video is found by name; see `VideoFinder.find`.
        root: folder of the videos.

    Returns:
        The list, and the path of each video that is found by the name that the tool gives it.

    Raises:
        ListError: none of the videos is found, none of the segments can be used, or there is no such folder.
    """
    segments = [
        replace(segment, reason="uncertain is no class") if segment.label == UNCERTAIN else segment
        for segment in dict.fromkeys(segments)
    ]
    usable = [segment for segment in segments if not segment.reason]
    finder = VideoFinder(root)
    names = dict.fromkeys(segment.video for segment in usable or segments)
    found = finder.find({"": [{"path": name, "name": name} for name in names]})[""]
    paths = {row["name"]: row["path"] for row in found.rows}
    reasons = {row["name"]: row["reason"] for row in found.left_out}
    labels: defaultdict[tuple[str, float, float | None], set[str]] = defaultdict(set)
    for segment in usable:
        labels[segment.video, segment.start, segment.end].add(segment.label)
    listing = FoundVideos([], [], found.passed_over)
    for segment in segments:
        also = sorted(labels[segment.video, segment.start, segment.end] - {segment.label})
        reason = segment.reason or reasons.get(segment.video, "") or (f"labeled {also[0]} as well" if also else "")
        if reason:
            listing.left_out.append(segment.row | {"reason": reason})
        else:
            listing.rows.append(segment.row | {"path": paths[segment.video]})
    if not listing.rows:
        first = listing.left_out[0]
        raise ListError(
            f"{root}: none of the {len(segments)} labels can be used (the first, of {first['path']}: "
            f"{first['reason']}); correct them"
        )
    return listing, paths


def read_table(file: Path, text: str, needed: tuple[str, ...], form: str) -> list[tuple[int, dict[str, str]]]:
    """The rows of a table with their line numbers.

    Its header is the first line with the needed columns. Some tools write facts before it, a name and a value a line:
    they count as further columns, with one value.

    Args:
        file: for messages.
        text: of the file; cells are separated by commas, tabs or semicolons.
        needed: columns of the header.
        form: what the file should be, for messages.

    Raises:
        ListError: there is no such header, a row is longer than it, or a quote is not closed.
    """
    for delimiter in ",\t;":
        if (rows := _rows_of(file, text, delimiter, needed)) is not None:
            return rows
    raise ListError(f"{file}: no line with the columns {', '.join(needed)}; give {form}")


def _rows_of(file: Path, text: str, delimiter: str, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]] | None:
    """As `read_table`, of a table with one delimiter; None where none of its lines has the needed columns."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)  # see `csv_rows`
    header, facts, rows = list[str](), dict[str, str](), []
    try:
        for line in reader:
            cells = [cell.strip() for cell in line]
            if not header and set(needed) <= set(cells):
                header = cells
            elif not header:
                facts[cells[0] if cells else ""] = cells[1] if len(cells) > 1 else ""
            elif any(cells[len(header) :]):
                raise ListError(
                    f"{file}, line {reader.line_num}: {len(cells)} cells under a header of {len(header)}; put quotes "
                    f"around a cell that has a {delimiter!r} in it"
                )
            elif any(cells):
                rows.append((reader.line_num, facts | dict(zip(header, cells + [""] * len(header), strict=False))))
    except csv.Error as error:
        if header:  # else it may be one with the next delimiter
            raise ListError(f"{file}, line {reader.line_num}: not a CSV file ({error}); correct the line") from error
    return rows if header else None


def seconds_of(text: str, where: str) -> float:
    """A number of seconds; raises a ListError that begins with `where`."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ListError(f"{where}: {text!r} should be a time in seconds; correct it or delete the line")
    return seconds


def seconds_text(seconds: float | None) -> str:
    """In microseconds at most; "" for None."""
    return "" if seconds is None else repr(round(float(seconds), 6)).removesuffix(".0")
