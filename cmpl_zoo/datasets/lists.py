"""Lists of videos: CSV files with the header `path,label` and paths relative to a root folder."""

import csv
import os
import stat
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from cmpl_zoo.datasets.packed_strings import PackedStrings
from cmpl_zoo.storage.remote import is_url
from cmpl_zoo.storage.shards import is_shard_set, read_index


class ListError(ValueError):
    """A list or a class file that cannot be used; the message names the file, line, cause and next step."""


@dataclass(frozen=True)
class VideoList:
    """A list of videos.

    Attributes:
        file: the CSV file that it was read from.
        paths: path of each video, including the root.
        labels: class name of each video, "" if a row has none; None if the list has no label column.
        lines: line number of each row in the file; the header is line 1.
    """

    file: Path
    paths: Sequence[str]
    labels: list[str] | None
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.paths)

    def file_and_line(self, index: int) -> str:
        """Where a video is listed, as `videos.csv, line 3`, for messages."""
        return f"{self.file}, line {self.lines[index]}"

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """The rows with all their columns; read from the file on first use, as training does not need them."""
        with self.file.open(newline="", encoding="utf-8-sig") as text:
            return [
                {key: (value or "").strip() for key, value in row.items() if key is not None}
                for row in csv.DictReader(text, skipinitialspace=True)
            ]


@dataclass(frozen=True)
class Videos:
    """Paths and class ids of the videos of a list; the id is -1 if the label is missing or not among the classes."""

    paths: Sequence[str]
    ids: Sequence[int] | np.ndarray

    def __len__(self) -> int:
        return len(self.paths)


def read_list(file: str | os.PathLike[str], root: str | os.PathLike[str] = ".", labeled: bool = True) -> VideoList:
    """Read a CSV list of videos. The videos are not opened: a missing one is only noticed when it is read.

    A list of a million rows takes seconds and about a hundred megabytes, which all workers share.

    Args:
        file: CSV with the header `path,label`; more columns are allowed, and `label` may be missing if not `labeled`.
        root: folder that the paths are relative to, or folder or URL of the shard set that holds the videos.
        labeled: require a label in every row.

    Raises:
        ListError: the list is missing or empty, lacks a column or a label, holds a video twice, or one that is not in
            the shards.
        StorageError: the index of the shards cannot be read.
    """
    file = Path(file)
    labels, lines = list[str](), array("q")
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            if not stat.S_ISREG(os.fstat(text.fileno()).st_mode):
                raise ListError(f"{file}: is no regular file, and a list is read twice; save it as a file")
            paths = PackedStrings(_paths(file, text, os.fspath(root), labeled, labels, lines))
    except OSError as error:
        raise ListError(f"{file}: cannot read this list: {error.strerror}; check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ListError(f"{file}: not a CSV text file in UTF-8 ({error}); expected the header path,label") from error
    if not lines:
        raise ListError(f"{file}: the list holds no video; add one row per video below the header")
    if repetition := _first_repetition(paths):
        first, second = repetition
        raise ListError(
            f"{file}, line {lines[second]}: {paths[second]} is on line {lines[first]} already; delete one of them"
        )
    return VideoList(file, paths, labels or None, lines)


def _paths(
    file: Path, text: Iterable[str], root: str, labeled: bool, labels: list[str], lines: "array[int]"
) -> Iterator[str]:
    """The path of each row, including the root; appends its label to `labels` and its line number to `lines`."""
    reader = csv.reader(text, skipinitialspace=True, strict=True)  # else an unclosed quote would swallow rows
    columns = next(reader, [])
    for column in ("path", "label") if labeled else ("path",):
        if column not in columns:
            header = ",".join(columns) or "nothing"
            raise ListError(f"{file}: no column {column!r} in its header ({header}); line 1 must be path,label")
        if columns.count(column) > 1:
            raise ListError(f"{file}: {columns.count(column)} columns {column!r} in its header; rename all but one")
    path_column, label_column = columns.index("path"), columns.index("label") if "label" in columns else None
    addresses = read_index(root) if is_shard_set(root) else None
    prefix = os.path.join(root, "")
    for row in reader:
        if not row:
            continue
        if len(row) < len(columns):
            row += [""] * (len(columns) - len(row))
        lines.append(reader.line_num)
        if any(cell.strip() for cell in row[len(columns) :]):
            raise ListError(
                f"{file}, line {lines[-1]}: {len(row)} cells under a header of {len(columns)}; put quotes around a "
                "cell that has a comma in it"
            )
        if not (path := row[path_column].strip()):
            raise ListError(f"{file}, line {lines[-1]}: the path is empty; fill it in or delete the line")
        if label_column is not None:
            if not (label := row[label_column].strip()) and labeled:
                raise ListError(f"{file}, line {lines[-1]}: {path} has no label; fill it in or delete the line")
            labels.append(sys.intern(label))
        if addresses is None:
            yield os.path.normpath(path if path[0] == os.sep else prefix + path)
        elif address := addresses.get(os.path.normpath(path)):
            yield address
        else:
            raise ListError(
                f"{file}, line {lines[-1]}: {path} is not in the shards of {root}; pack it too, or delete the line"
            )


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


def check_disjoint(train: VideoList, validation: VideoList) -> None:
    """Check that no video of a training list, labeled or unlabeled, is also in the validation list.

    Raises:
        ListError: a video is in both.
    """
    real_folder = cache(os.path.realpath)  # two paths may lead to the same folder

    def real(path: str) -> str:
        folder, name = os.path.split(path)
        return path if is_url(path) else os.path.join(real_folder(folder), name)

    lines = {real(path): validation.lines[i] for i, path in enumerate(validation.paths)}
    for index, path in enumerate(map(real, train.paths)):
        if path in lines:
            raise ListError(
                f"{validation.file}, line {lines[path]}: {path} is also in a training list "
                f"({train.file_and_line(index)}); delete one of them, else accuracy is measured on training videos"
            )
