"""Lists of videos: CSV files with the header `path,label` and paths relative to a root folder.

A video may be a segment of a file: its path ends in a media fragment (see `video/segments.py`), or the columns `start`
and `end` have its seconds. A column `recording` names what a video is taken from, where that is not its file.
"""

import csv
import os
import stat
import sys
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import zip_longest
from pathlib import Path

import numpy as np

from cmpl_zoo.datasets.csv_text import ENCODING, csv_rows, not_text
from cmpl_zoo.datasets.packed_strings import PackedStrings
from cmpl_zoo.storage.remote import is_url
from cmpl_zoo.storage.shards import is_shard_set, read_index
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.segments import Segment, recording_of, split_fragment, with_fragment


class ListError(ValueError):
    """A list or a class file that cannot be used; the message names the file, line, cause and next step."""


@dataclass(frozen=True)
class VideoList:
    """A list of videos.

    Attributes:
        file: the CSV file that it was read from.
        paths: path of each video, including the root; of a segment with its fragment.
        labels: class name of each video, "" if a row has none; None if the list has no label column.
        lines: line number of each row in the file; the header is line 1.
        recordings: value of each row in the column `recording`, "" if a row has none; None if there is no such column.
    """

    file: Path
    paths: Sequence[str]
    labels: list[str] | None
    lines: Sequence[int]
    recordings: list[str] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def file_and_line(self, index: int) -> str:
        """Where a video is listed, as `videos.csv, line 3`, for messages."""
        return f"{self.file}, line {self.lines[index]}"

    def recording(self, index: int) -> str:
        """What a video is taken from: its value in the column `recording`, else its file."""
        return (self.recordings[index] if self.recordings else "") or recording_of(self.paths[index])

    def name(self, index: int) -> str:
        """A video as listed: its path relative to the root, with its segment."""
        row = self.rows[index]
        if not (row.get("start") or row.get("end")):
            return row["path"]
        return with_fragment(row["path"], float(row.get("start") or 0), float(row["end"]) if row.get("end") else None)

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """The rows with all their columns; read from the file on first use, as training does not need them."""
        with self.file.open(newline="", encoding=ENCODING) as text:
            columns, reader = csv_rows(text)
            return [
                dict(zip_longest(columns, map(str.strip, row[: len(columns)]), fillvalue=""))
                for row in reader
                if any(row)
            ]


@dataclass(frozen=True)
class Videos:
    """The videos of a list.

    Attributes:
        paths: including the root; of a segment with its fragment.
        ids: class ids; -1 if the label is missing or not among the classes.
        recordings: of how many recordings they are, see `VideoList.recording`; None where nobody has counted.
    """

    paths: Sequence[str]
    ids: Sequence[int] | np.ndarray
    recordings: int | None = None

    def __len__(self) -> int:
        return len(self.paths)


def read_list(file: str | os.PathLike[str], root: str | os.PathLike[str] = ".", labeled: bool = True) -> VideoList:
    """Read a CSV list of videos. The videos are not opened: a missing one is only noticed when it is read.

    A list of a million rows takes seconds and about a hundred megabytes, which all workers share.

    Args:
        file: CSV with the header `path,label`, in UTF-8, also with semicolons or tabs in place of the commas; more
            columns are allowed, and `label` may be missing if not `labeled`.
            `start` and `end` are the seconds of a segment, see `Segment`; an empty one is the start or end of the file.
        root: folder that the paths are relative to, or folder or URL of the shard set that holds the videos.
        labeled: require a label in every row.

    Raises:
        ListError: the list is missing or empty, lacks a column or a label, holds a video or a segment twice, one that
            is not in the shards, or a segment that is none.
        StorageError: the index of the shards cannot be read.
    """
    file = Path(file)
    labels, recordings, lines = list[str](), list[str](), array("q")
    try:
        with file.open(newline="", encoding=ENCODING) as text:
            if not stat.S_ISREG(os.fstat(text.fileno()).st_mode):
                raise ListError(f"{file}: is no regular file, and a list is read twice; save it as a file")
            paths = PackedStrings(_paths(file, text, os.fspath(root), labeled, labels, recordings, lines))
    except IsADirectoryError as error:
        raise ListError(
            f"{file}: is a folder; `cmpl-zoo import folders {file} -o videos.csv` makes a list of it, to be given with "
            f"--root {file}"
        ) from error
    except OSError as error:
        raise ListError(f"{file}: cannot read this list: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise ListError(f"{file}: {not_text(error)}") from error
    except csv.Error as error:
        raise ListError(f"{file}: not a CSV text file in UTF-8 ({error}); expected the header path,label") from error
    if not lines:
        raise ListError(f"{file}: the list holds no video; add one row per video below the header")
    if repetition := _first_repetition(paths):
        first, second = repetition
        raise ListError(
            f"{file}, line {lines[second]}: {paths[second]} is on line {lines[first]} already; delete one of them"
        )
    return VideoList(file, paths, labels or None, lines, recordings or None)


def _paths(
    file: Path,
    text: Iterable[str],
    root: str,
    labeled: bool,
    labels: list[str],
    recordings: list[str],
    lines: "array[int]",
) -> Iterator[str]:
    """The path of each row, including the root; appends its label, its recording and its line number."""
    find = _finder(root)
    columns, reader = csv_rows(text)
    for column in ("path", "label") if labeled else ("path",):
        if column not in columns:
            header = ",".join(columns) or "nothing"
            raise ListError(f"{file}: no column {column!r} in its header ({header}); line 1 must be path,label")
    for column in filter(None, columns):
        if columns.count(column) > 1:
            raise ListError(f"{file}: {columns.count(column)} columns {column!r} in its header; rename all but one")
    path_column = columns.index("path")
    label_column, start_column, end_column, recording_column = (
        columns.index(column) if column in columns else None for column in ("label", "start", "end", "recording")
    )
    for row in reader:
        if not any(row):
            continue
        if len(row) < len(columns):
            row += [""] * (len(columns) - len(row))
        lines.append(reader.line_num)
        if any(cell.strip() for cell in row[len(columns) :]):
            raise ListError(
                f"{file}, line {lines[-1]}: {len(row)} cells under a header of {len(columns)}; put quotes around a "
                f"cell that has a {reader.dialect.delimiter!r} in it"
            )
        if not (path := row[path_column].strip()):
            raise ListError(f"{file}, line {lines[-1]}: the path is empty; fill it in or delete the line")
        if label_column is not None:
            if not (label := row[label_column].strip()) and labeled:
                raise ListError(f"{file}, line {lines[-1]}: {path} has no label; fill it in or delete the line")
            labels.append(sys.intern(label))
        if recording_column is not None:
            recordings.append(sys.intern(row[recording_column].strip()))
        start, end = ("" if column is None else row[column].strip() for column in (start_column, end_column))
        try:
            yield find(path, start, end)
        except (ValueError, VideoError) as error:
            raise ListError(f"{file}, line {lines[-1]}: {error}") from error


def _finder(root: str) -> Callable[[str, str, str], str]:
    """A function from the cells `path`, `start` and `end` of a row to the path of the video, including the root.

    It raises a `ValueError` or a `VideoError` if there is no such video in the shards, or no such segment.
    """
    addresses = read_index(root) if is_shard_set(root) else None
    prefix = os.path.join(root, "")

    def find(path: str, start: str, end: str) -> str:
        if addresses is None:
            file, segment = split_fragment(os.path.normpath(path if os.path.isabs(path) else prefix + path))
        else:
            listed = os.path.normpath(path)
            listed, segment = (listed, None) if listed in addresses else split_fragment(listed)
            if listed not in addresses:
                raise ValueError(f"{path} is not in the shards of {root}; pack it too, or delete the line")
            file = addresses[listed]
        if start or end:
            if segment:
                raise ValueError(f"{path} has its segment in the path and in start,end; delete one of them")
            return with_times(path, file, start, end)
        return with_fragment(file, segment.start, segment.end) if segment else file

    return find


def with_times(path: str, file: str, start: str, end: str) -> str:
    """The path of a segment of a file, by the cells of the columns `start` and `end`.

    Raises:
        ValueError: they are no numbers, or no segment; the message begins with `path`.
    """
    times = [_seconds(path, name, cell) for name, cell in (("start", start), ("end", end))]
    try:
        return with_fragment(file, *times)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; correct start and end, in seconds") from error


def _seconds(path: str, name: str, cell: str) -> float | None:
    """The time in a cell of the column `start` or `end`; None if it is empty."""
    try:
        return float(cell) if cell else None
    except ValueError:
        raise ValueError(f"{path}: {name} is {cell!r}, and must be a number of seconds or empty") from None


def _first_repetition(paths: Sequence[str]) -> tuple[int, int] | None:
    """The two indices of the first path that is listed twice. Found by hashes: a set of paths takes 10x the memory."""
    hashes = np.fromiter((hash(path) for path in paths), np.int64, len(paths))
    values, counts = np.unique(hashes, return_counts=True)
    seen: dict[str, int] = {}
    for index in np.flatnonzero(np.isin(hashes, values[counts > 1])).tolist():
        if (path := paths[index]) in seen:
            return seen[path], index
        seen[path] = index
    return None


class RealPaths:
    """The files that paths lead to, over links of folders or of files, with one look at each folder."""

    def __init__(self) -> None:
        self._folder, self._links = cache(os.path.realpath), cache(links_in)

    def __call__(self, path: str) -> str:
        """The file of a path; a URL as it is."""
        folder, name = os.path.split(path)
        if is_url(path):
            return path
        return os.path.realpath(path) if name in self._links(folder) else os.path.join(self._folder(folder), name)


def links_in(folder: str) -> set[str]:
    """The names of the links in a folder; none where it cannot be read."""
    try:
        with os.scandir(folder or ".") as entries:
            return {entry.name for entry in entries if entry.is_symlink()}
    except OSError:
        return set()


def check_disjoint(train: VideoList, validation: VideoList) -> None:
    """Check that no recording of a training list, labeled or unlabeled, is also in the validation list.

    A recording is a file, of which there may be several segments, or what the column `recording` names. Where that says
    that segments of a file are different recordings, they may still not overlap.

    Raises:
        ListError: a video, or a recording, is in both.
    """
    real = RealPaths()

    def recording(video_list: VideoList, index: int) -> str:
        return (video_list.recordings[index] if video_list.recordings else "") or real(video_list.recording(index))

    held_out = {recording(validation, index): index for index in range(len(validation))}
    by_file: dict[str, list[tuple[Segment, int]]] = {}
    if train.recordings or validation.recordings:
        for index, path in enumerate(validation.paths):
            file, segment = split_fragment(path)
            by_file.setdefault(real(file), []).append((segment or Segment(0), index))
    for index, path in enumerate(train.paths):
        file, segment = split_fragment(path)
        in_file = by_file.get(real(file), ()) if by_file else ()
        overlapping = (other for held, other in in_file if held.overlaps(segment or Segment(0)))
        other = next(overlapping, held_out.get(recording(train, index)))
        if other is None:
            continue
        where = f"{validation.file_and_line(other)}: {validation.paths[other]}"
        if real(path) == real(validation.paths[other]):
            raise ListError(
                f"{where} is also in a training list ({train.file_and_line(index)}); delete one of them, else accuracy "
                "is measured on training videos"
            )
        raise ListError(
            f"{where} is of the same recording as {path} in a training list ({train.file_and_line(index)}): "
            "accuracy would look better than it is; hold out whole recordings, as `cmpl-zoo split` does, or have it "
            "group by another column with --group"
        )
