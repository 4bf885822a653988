"""Lists of videos: CSV files with the header `path,label`, and paths relative to a root folder."""

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
    """A list or a class file that cannot be used; the message names file, line and remedy."""


@dataclass(frozen=True)
class VideoList:
    """A list of videos.

    Attributes:
        file: the CSV file it was read from.
        paths: path of each video, the root included.
        labels: class name of each video, or None where the list has no label column; "" where a row has none.
        lines: line number of each row in the file; the header is line 1.
    """

    file: Path
    paths: Sequence[str]
    labels: list[str] | None
    lines: Sequence[int]

    def __len__(self) -> int:
        return len(self.paths)

    def position(self, index: int) -> str:
        """The file and the line of a video, for messages."""
        return f"{self.file}, line {self.lines[index]}"

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """The rows with all their columns, read from the file when first asked for: training has no use for them."""
        with self.file.open(newline="", encoding="utf-8-sig") as text:
            return [
                {key: (value or "").strip() for key, value in row.items() if key is not None}
                for row in csv.DictReader(text, skipinitialspace=True)
            ]


@dataclass(frozen=True)
class Videos:
    """Paths and class ids of one list; id -1 where a label is unknown or foreign."""

    paths: Sequence[str]
    ids: Sequence[int] | np.ndarray

    def __len__(self) -> int:
        return len(self.paths)


def read_list(file: str | os.PathLike[str], root: str | os.PathLike[str] = ".", labeled: bool = True) -> VideoList:
    """Read a CSV list of videos. The videos themselves are not looked at: a missing one is found when read.

    A list of a million rows takes seconds and about a hundred megabytes, in arrays that worker processes share.

    Args:
        file: CSV with the header `path,label`; further columns are allowed, `label` may lack if not `labeled`.
        root: folder that the paths are relative to, or folder or URL of a shard set that holds them.
        labeled: every row must have a label.

    Raises:
        ListError: the list is missing, empty, lacks a column or a label, or holds a video twice or one that is not
            in the shards.
        StorageError: the index of the shards cannot be read.
    """
    file = Path(file)
    labels, lines = list[str](), array("q")
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            if not stat.S_ISREG(os.fstat(text.fileno()).st_mode):
                raise ListError(f"{file}: is no regular file, and a list is read twice; write it to one")
            paths = PackedStrings(_paths(file, text, os.fspath(root), labeled, labels, lines))
    except OSError as error:
        raise ListError(f"{file}: cannot read this list: {error.strerror}; check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ListError(f"{file}: not a CSV text file in UTF-8 ({error}); expected the header path,label") from error
    if not lines:
        raise ListError(f"{file}: the list holds no video; add a row per video below the header")
    if twice := _first_repetition(paths):
        first, second = twice
        raise ListError(f"{file}, line {lines[second]}: {paths[second]} is on line {lines[first]} already; delete one")
    return VideoList(file, paths, labels or None, lines)


def _paths(
    file: Path, text: Iterable[str], root: str, labeled: bool, labels: list[str], lines: "array[int]"
) -> Iterator[str]:
    """The path of each row, the root included; labels and line numbers are appended to what the caller gave."""
    reader = csv.reader(text, skipinitialspace=True, strict=True)  # a quote that is not closed would take in rows
    columns = next(reader, [])
    for column in ("path", "label") if labeled else ("path",):
        if column not in columns:
            found = ",".join(columns) or "nothing"
            raise ListError(f"{file}: no column {column!r} in its header ({found}); line 1 must be path,label")
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
                f"{file}, line {lines[-1]}: {len(row)} cells under a header of {len(columns)}; put quotes around what "
                "has a comma in it"
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
            raise ListError(f"{file}, line {lines[-1]}: {path} is not in the shards of {root}; pack it, too")


def _first_repetition(paths: Sequence[str]) -> tuple[int, int] | None:
    """The places of the first path that stands in a list twice, by hashes: a set of paths takes ten times as much."""
    hashes = np.fromiter((hash(path) for path in paths), np.int64, len(paths))
    values, counts = np.unique(hashes, return_counts=True)
    seen: dict[str, int] = {}
    for index in np.flatnonzero(np.isin(hashes, values[counts > 1])).tolist():
        if (path := paths[index]) in seen:
            return seen[path], index
        seen[path] = index
    return None


def check_disjoint(train: VideoList, validation: VideoList) -> None:
    """Refuse a video that is both in a list to train on, labeled or not, and in the validation list.

    Raises:
        ListError: there is one.
    """
    real_folder = cache(os.path.realpath)  # one folder may be written in two ways

    def real(path: str) -> str:
        folder, name = os.path.split(path)
        return path if is_url(path) else os.path.join(real_folder(folder), name)

    lines = {real(path): validation.lines[i] for i, path in enumerate(validation.paths)}
    for index, path in enumerate(map(real, train.paths)):
        if path in lines:
            raise ListError(
                f"{validation.file}, line {lines[path]}: {path} is also there for training "
                f"({train.position(index)}); delete one, or the accuracy would be of videos seen before"
            )
