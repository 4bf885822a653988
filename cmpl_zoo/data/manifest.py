"""Lists of videos: CSV files with the header `path,label`, their classes, and label splits.

Paths are relative to a root folder. Other columns are kept by `split_list` and ignored in training.
"""

import csv
import os
import random
import stat
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from cmpl_zoo.data.files import as_csv, replace_text
from cmpl_zoo.data.packed import PackedStrings
from cmpl_zoo.data.remote import is_url
from cmpl_zoo.data.shards import is_shard_set, read_index

SAMPLINGS = ("uniform", "category-wise")


class ManifestError(ValueError):
    """A list or a class file that cannot be used; the message names file, line and remedy."""


@dataclass(frozen=True)
class Manifest:
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

    @cached_property
    def rows(self) -> list[dict[str, str]]:
        """The rows with all their columns, read from the file when first asked for: training has no use for them."""
        with self.file.open(newline="", encoding="utf-8-sig") as text:
            return [
                {key: (value or "").strip() for key, value in row.items() if key is not None}
                for row in csv.DictReader(text, skipinitialspace=True)
            ]


def read_list(file: str | os.PathLike[str], root: str | os.PathLike[str] = ".", labeled: bool = True) -> Manifest:
    """Read a CSV list of videos. The videos themselves are not looked at: a missing one is found when read.

    A list of a million rows takes seconds and about a hundred megabytes, in arrays that worker processes share.

    Args:
        file: CSV with the header `path,label`; further columns are allowed, `label` may lack if not `labeled`.
        root: folder that the paths are relative to, or folder or URL of a shard set that holds them.
        labeled: every row must have a label.

    Raises:
        ManifestError: the list is missing, empty, lacks a column or a label, or holds a video twice or one that is not
            in the shards.
        StorageError: the index of the shards cannot be read.
    """
    file = Path(file)
    labels, lines = list[str](), array("q")
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            if not stat.S_ISREG(os.fstat(text.fileno()).st_mode):
                raise ManifestError(f"{file}: is no regular file, and a list is read twice; write it to one")
            paths = PackedStrings(_paths(file, text, os.fspath(root), labeled, labels, lines))
    except OSError as error:
        raise ManifestError(f"{file}: cannot read this list: {error.strerror}; check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(
            f"{file}: not a CSV text file in UTF-8 ({error}); expected the header path,label"
        ) from error
    if not lines:
        raise ManifestError(f"{file}: the list holds no video; add a row per video below the header")
    if twice := _first_repetition(paths):
        first, second = twice
        raise ManifestError(
            f"{file}, line {lines[second]}: {paths[second]} is on line {lines[first]} already; delete one"
        )
    return Manifest(file, paths, labels or None, lines)


def _paths(
    file: Path, text: Iterable[str], root: str, labeled: bool, labels: list[str], lines: "array[int]"
) -> Iterator[str]:
    """The path of each row, the root included; labels and line numbers are appended to what the caller gave."""
    reader = csv.reader(text, skipinitialspace=True, strict=True)  # a quote that is not closed would take in rows
    columns = next(reader, [])
    for column in ("path", "label") if labeled else ("path",):
        if column not in columns:
            found = ",".join(columns) or "nothing"
            raise ManifestError(f"{file}: no column {column!r} in its header ({found}); line 1 must be path,label")
        if columns.count(column) > 1:
            raise ManifestError(f"{file}: {columns.count(column)} columns {column!r} in its header; rename all but one")
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
            raise ManifestError(
                f"{file}, line {lines[-1]}: {len(row)} cells under a header of {len(columns)}; put quotes around what "
                "has a comma in it"
            )
        if not (path := row[path_column].strip()):
            raise ManifestError(f"{file}, line {lines[-1]}: the path is empty; fill it in or delete the line")
        if label_column is not None:
            if not (label := row[label_column].strip()) and labeled:
                raise ManifestError(f"{file}, line {lines[-1]}: {path} has no label; fill it in or delete the line")
            labels.append(sys.intern(label))
        if addresses is None:
            yield os.path.normpath(path if path[0] == os.sep else prefix + path)
        elif address := addresses.get(os.path.normpath(path)):
            yield address
        else:
            raise ManifestError(f"{file}, line {lines[-1]}: {path} is not in the shards of {root}; pack it, too")


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


def read_classes(file: str | os.PathLike[str]) -> list[str]:
    """Class names, one a line; the line number, from 0, is the class id.

    Raises:
        ManifestError: the file is missing, empty, or names a class twice.
    """
    try:
        names = [line.strip() for line in Path(file).read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file}: cannot read these class names ({error}); give a text file, one a line") from error
    while names and not names[-1]:
        names.pop()
    for line, name in enumerate(names, start=1):
        if not name:
            raise ManifestError(f"{file}, line {line}: the class name is empty; delete the line")
        if (first := names.index(name) + 1) < line:
            raise ManifestError(f"{file}, line {line}: class {name!r} is on line {first} already; delete one")
    if not names:
        raise ManifestError(f"{file}: no class names; write one a line")
    return names


def class_ids(manifest: Manifest, classes: Sequence[str]) -> np.ndarray:
    """The class id of each video of a labeled list: int32 (videos,).

    Raises:
        ManifestError: a label is not among the classes.
    """
    ids = {name: i for i, name in enumerate(classes)}
    assert manifest.labels is not None, "a list read with labeled=True has labels"
    for index, label in enumerate(manifest.labels):
        if label not in ids:
            raise ManifestError(
                f"{manifest.file}, line {manifest.lines[index]}: label {label!r} is not among the {len(ids)} classes "
                f"({', '.join(list(classes)[:5])}{', ...' if len(ids) > 5 else ''}); correct it; training "
                "takes the list of classes by --classes"
            )
    return np.fromiter((ids[label] for label in manifest.labels), np.int32, len(manifest))


def check_disjoint(train: Manifest, validation: Manifest) -> None:
    """Refuse a video that is both in a list to train on, labeled or not, and in the validation list.

    Raises:
        ManifestError: there is one.
    """
    real_folder = cache(os.path.realpath)  # one folder may be written in two ways

    def real(path: str) -> str:
        folder, name = os.path.split(path)
        return path if is_url(path) else os.path.join(real_folder(folder), name)

    lines = {real(path): validation.lines[i] for i, path in enumerate(validation.paths)}
    for index, path in enumerate(map(real, train.paths)):
        if path in lines:
            raise ManifestError(
                f"{validation.file}, line {lines[path]}: {path} is also there for training "
                f"({train.file}, line {train.lines[index]}); delete one, or the accuracy would be of videos seen before"
            )


def split_list(
    manifest: Manifest,
    labels_per_class: int | None,
    seed: int = 0,
    sampling: str = "uniform",
    val: float = 0.0,
    group: str | None = None,
) -> dict[str, list[int]]:
    """Draw which videos keep their label, and which are put aside for validation.

    Args:
        manifest: a labeled list.
        labels_per_class: labeled videos per class (`uniform`), or on average per class (`category-wise`); None: all of
            them, so that there is no `unlabeled`.
        seed: seed of the draw.
        sampling: `uniform` draws the same number from each class; `category-wise` draws labels_per_class x classes
            videos in proportion to the classes' sizes (largest remainder), at least one of each (Table 4).
        val: share of each class's videos, in [0, 1), cut off for validation before labels are drawn.
        group: column whose values (a recording, a source, an actor) never stand on both sides of that cut.
            A group belongs to its most frequent class.

    Returns:
        Indices into the list, ascending: `labeled`, `unlabeled` (the rest), and `val` if asked for.

    Raises:
        ManifestError: too few videos, none of a class left to learn from, or no such column.
        ValueError: an argument is out of range.
    """
    if labels_per_class is not None and labels_per_class < 1:
        raise ValueError(f"--labels-per-class must be at least 1, not {labels_per_class}")
    if labels_per_class is None and not val:
        raise ValueError("--labels-per-class all is the list as it is; give a --val share to cut off, or no split")
    if not 0 <= val < 1:
        raise ValueError(f"--val is a share of the videos from 0 up to, not including, 1; not {val}")
    if sampling not in SAMPLINGS:
        raise ValueError(f"unknown --sampling {sampling!r}: choose one of {', '.join(SAMPLINGS)}")
    if group is not None and group not in manifest.rows[0]:
        raise ManifestError(f"{manifest.file}: no column {group!r} to group by; its columns are "
                            f"{', '.join(manifest.rows[0])}")  # fmt: skip

    validation = _draw_validation(manifest, seed, val, group)
    if val and not validation:
        raise ManifestError(
            f"{manifest.file}: --val {val} of the videos of each class is less than half of one; raise --val"
        )
    held_out = set(validation)
    assert manifest.labels is not None
    by_class: dict[str, list[int]] = {label: [] for label in sorted(set(manifest.labels))}
    for index, label in enumerate(manifest.labels):
        if index not in held_out:
            by_class[label].append(index)
    if gone := [label for label, members in by_class.items() if not members]:
        uncut, other = (f", whose {group}s are never cut,", ", or group otherwise") if group else ("", "")
        raise ManifestError(
            f"{manifest.file}: --val {val}{uncut} would take all videos of class {gone[0]!r}; lower it or add "
            f"videos{other}"
        )
    if labels_per_class is None:
        return {"labeled": [i for i in range(len(manifest)) if i not in held_out], "val": sorted(validation)}

    sizes = {label: len(members) for label, members in by_class.items()}
    quotas = dict.fromkeys(sizes, labels_per_class)
    if sampling == "category-wise":
        quotas = _proportional_quotas(manifest, sizes, labels_per_class * len(sizes))
    labeled: list[int] = []
    for label, members in by_class.items():
        if len(members) < quotas[label]:
            raise ManifestError(
                f"{manifest.file}: class {label!r} has {len(members)} videos to draw from, fewer than the "
                f"{quotas[label]} labels asked for; lower --labels-per-class or --val"
            )
        labeled += random.Random(f"labels/{seed}/{label}").sample(members, quotas[label])
    chosen = set(labeled)
    rest = [i for members in by_class.values() for i in members if i not in chosen]
    split = {"labeled": sorted(labeled), "unlabeled": sorted(rest)}
    return split | ({"val": sorted(validation)} if val else {})


def _draw_validation(manifest: Manifest, seed: int, val: float, group: str | None) -> list[int]:
    """Whole groups at random, class by class, until each class's share is reached."""
    assert manifest.labels is not None
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(manifest.rows):
        groups.setdefault(row[group] if group else str(index), []).append(index)
    by_class: dict[str, list[list[int]]] = {label: [] for label in sorted(set(manifest.labels))}
    for members in groups.values():
        counts = Counter(manifest.labels[i] for i in members)
        by_class[counts.most_common(1)[0][0]].append(members)

    drawn: list[int] = []
    for label, candidates in by_class.items():
        wanted = round(val * sum(len(members) for members in candidates))
        random.Random(f"val/{seed}/{label}").shuffle(candidates)
        taken = 0
        for members in candidates:
            if taken >= wanted:
                break
            drawn += members
            taken += len(members)
    return drawn


def _proportional_quotas(manifest: Manifest, sizes: dict[str, int], total: int) -> dict[str, int]:
    """`total` labels over the classes in proportion to their sizes: largest remainder, at least one each."""
    videos = sum(sizes.values())
    if total > videos:
        raise ManifestError(
            f"{manifest.file}: {total} labels asked for, but only {videos} videos to draw from; "
            "lower --labels-per-class or --val"
        )
    shares = {label: total * size / videos for label, size in sizes.items()}
    quotas = {label: max(1, int(share)) for label, share in shares.items()}
    while sum(quotas.values()) < total:
        quotas[max(quotas, key=lambda label: shares[label] - quotas[label])] += 1
    while sum(quotas.values()) > total:  # the minimum of one has given small classes more than their share
        shrinkable = [label for label in quotas if quotas[label] > 1]
        quotas[min(shrinkable, key=lambda label: shares[label] - quotas[label])] -= 1
    return quotas


def write_split(manifest: Manifest, split: dict[str, list[int]], directory: str | os.PathLike[str],
                keep_labels: bool = False) -> None:  # fmt: skip
    """Write `labeled.csv`, `unlabeled.csv` and, where asked for, `val.csv` with all columns of the list.

    Args:
        manifest: the list that was split.
        split: what `split_list` returned.
        directory: created where missing; lists of these names in it are replaced.
        keep_labels: keep the label column of `unlabeled.csv`, for measuring pseudo-labels; training never sees it.
    """
    for name, indices in split.items():
        hide = name == "unlabeled" and not keep_labels
        columns = [c for c in manifest.rows[0] if not (hide and c == "label")]
        replace_text(Path(directory, f"{name}.csv"), as_csv((manifest.rows[i] for i in indices), columns))
