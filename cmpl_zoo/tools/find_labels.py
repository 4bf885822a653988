"""Which of one's own videos have a label: by their folders, or by files."""

import csv
import io
import os
import unicodedata
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cmpl_zoo.datasets.csv_text import csv_rows
from cmpl_zoo.datasets.lists import ListError, RealPaths, Videos, with_times
from cmpl_zoo.models.labels import UNCERTAIN
from cmpl_zoo.tools.find_videos import (
    UNLISTABLE_REASON,
    FoundVideos,
    ListRow,
    VideoFinder,
    find_videos,
    left_out_of,
)
from cmpl_zoo.tools.importing import UNLABELED, add_subfolders, folder_of
from cmpl_zoo.tools.text_files import read_text
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.segments import recording_of, split_fragment

PATH_COLUMNS = ("path", "filepath", "video", "filename")  # in a file of labels; of several, the first of these


def labels_of_folders(root: str, group: str | None = None) -> tuple[FoundVideos, list[ListRow]]:
    """The labeled videos of a folder that holds a folder for each class, and rows of those without a label.

    Those are directly in the folder, or in `unlabeled/`. A file that several links lead to is one video. Where class
    folders have subfolders, there is a column `folder`, as `importing.folders` makes it.

    Args:
        root: the folder.
        group: a column that the rows without a label have, too.

    Raises:
        ListError: there is no such folder, no video in a class folder, or one file in several.
    """
    scan = find_videos(root)
    named = {path: path.split("/")[0].strip() if "/" in path else "" for path in scan.videos}
    label_of = {path: unicodedata.normalize("NFC", label) for path, label in named.items()}
    real, first = RealPaths(), dict[str, str]()
    for path in [path for path, label in label_of.items() if label not in ("", UNLABELED)]:
        other = first.setdefault(real(os.path.join(root, path)), path)
        if label_of[other] != label_of[path]:
            raise ListError(f"{root}: {other} and {path} are one file in two classes; delete the link that is wrong")
    labeled = {path: label_of[path] for path in first.values()}
    if not labeled:
        raise ListError(
            f"{root}: none of its videos is in a class folder (the first, {scan.videos[0]}); move some into a folder "
            "for each class, or give a file of their labels (train: --labels, evaluate: --data)"
        )
    rows = [{"path": path, "label": label} for path, label in labeled.items()]
    add_subfolders(rows)
    left_out = [{"path": path, "label": "", "reason": UNLISTABLE_REASON} for path in scan.unlistable]
    class_folders = {path.split("/")[0] for path in labeled} | {UNLABELED}
    others = [
        without_label(path, group, folder_of(path, class_folders) if group == "folder" else "")
        for path in scan.videos
        if path not in labeled
    ]
    return FoundVideos(rows, left_out, scan.passed_over), others


def videos_of_folders(root: str, classes: Sequence[str]) -> Videos:
    """The videos of a folder that holds a folder for each class, to be measured on; others are left out, with a warning
    of those whose names a list cannot hold.

    Args:
        root: the folder.
        classes: class names by class id.

    Raises:
        ListError: there is no such folder, no video in a class folder, or one of another class.
    """
    found, _ = labels_of_folders(root)
    if found.left_out:
        warnings.warn(left_out_of(root, [row["path"] for row in found.left_out]), stacklevel=2)
    rows = found.rows
    ids = {name: number for number, name in enumerate(classes)}
    if others := sorted({row["label"] for row in rows} - ids.keys()):
        known = ", ".join(list(classes)[:5]) + (", ..." if len(classes) > 5 else "")
        raise ListError(
            f"{root}: the folder {others[0]!r} is none of the {len(ids)} classes ({known}); move it out of there, or "
            "give a list without its videos"
        )
    return Videos([os.path.join(root, row["path"]) for row in rows], [ids[row["label"]] for row in rows])


def labels_of_files(root: str, files: Sequence[str], group: str | None = None) -> tuple[FoundVideos, list[ListRow]]:
    """The videos of a folder that files label, and rows of the others.

    A video or a segment that several rows give the same label is taken once, with the columns of the first one.

    Args:
        root: the folder; a video is found by its name, see `VideoFinder.find`, or outside of it by its absolute path.
        files: CSV, or with semicolons or tabs in place of the commas, with the columns `label` and `path` (or
            `filepath`, `video`, `filename`); other columns are kept, of which `start`, `end` and `recording` have the
            meaning that they have in a list. Of a row without a label, or with `uncertain` for one, as `cmpl-zoo
            predict` writes it, only the group counts.
        group: a column, in which a labeled video without a value is a group of its own; the rows of the others have
            it, too. Where it is `folder`, what no file tells is the folder that the video is in, see `folder_of`.

    Raises:
        ListError: a file cannot be read, lacks a column or has no label, two have other labels for one video, or none
            of the videos is found.
    """
    all_rows = {file: read_labels(file) for file in files}
    labeled = {file: [row for row in all_rows[file] if row["label"]] for file in files}
    if empty := [file for file in files if not labeled[file]]:
        instead = ", or leave the file out" if len(files) > 1 else ""
        raise ListError(f"{empty[0]}: no row has a label; fill in the column label{instead}")
    # A label that somebody corrected counts more than the folder that the video is in.
    finder = VideoFinder(root, published=False)
    found = videos_of_files(labeled, finder)
    rows = merged({file: of_file.rows for file, of_file in found.items()})
    left_out = [row for of_file in found.values() for row in of_file.left_out]
    elsewhere = [paths for of_file in found.values() for paths in of_file.elsewhere]

    with_label = {row["path"] for row in rows}
    others = [path for path in finder.videos if path not in with_label]
    group_of: dict[str, str] = {}  # of the others, where it is told
    if group == "folder":
        class_folders = {row["label"] for row in rows} | {UNLABELED}
        rows = [row | {group: row.get(group) or folder_of(row["path"], class_folders)} for row in rows]
        group_of = {path: folder_of(path, class_folders) for path in others}
    if group and any(group in row for row in rows):
        rows = [row | {group: row[group] or row["path"]} for row in rows]
        unlabeled = [row for file in files for row in all_rows[file] if not row["label"]]
        group_of |= groups_told(unlabeled + left_out, group, finder)
    passed_over = found[files[0]].passed_over
    return FoundVideos(rows, left_out, passed_over, elsewhere), [
        without_label(path, group, group_of.get(path, "")) for path in others
    ]


def videos_of_files(labeled: dict[str, list[ListRow]], finder: VideoFinder) -> dict[str, FoundVideos]:
    """The videos of the rows of each file: below the folder by their names, or outside of it."""
    listed = {file: without_fragments(rows) for file, rows in labeled.items()}
    outside = {row["path"] for rows in listed.values() for row in rows if is_outside(row["path"], finder.root)}
    below = {file: [row for row in rows if row["path"] not in outside] for file, rows in listed.items()}
    nothing = FoundVideos([], [], Counter())
    found = finder.find(below) if any(below.values()) else dict.fromkeys(listed, nothing)
    return {
        file: replace(found[file], rows=found[file].rows + [row for row in rows if row["path"] in outside])
        for file, rows in listed.items()
    }


def merged(rows_of_files: dict[str, list[ListRow]]) -> list[ListRow]:
    """The rows of all files with the columns of all, each video or segment once.

    Raises:
        ListError: two files give one of them other labels.
    """
    rows: dict[tuple[str, object, object], ListRow] = {}
    source: dict[tuple[str, object, object], str] = {}
    for file, of_file in rows_of_files.items():
        for row in of_file:
            video = row["path"], _time(row.get("start") or "0"), _time(row.get("end") or "inf")
            label, other = rows.setdefault(video, row)["label"], source.setdefault(video, file)
            if label != row["label"]:
                raise ListError(
                    f"{row['path']} is {label!r} in {other} and {row['label']!r} in {file}; correct one of them"
                )
    columns = dict.fromkeys(name for row in rows.values() for name in row)
    return [{name: row.get(name, "") for name in columns} for row in rows.values()]


def groups_told(rows: list[ListRow], group: str, finder: VideoFinder) -> dict[str, str]:
    """The group of each video of rows, where they name one, by its path below the folder."""
    grouped = [{"path": recording_of(row["path"]), group: row[group]} for row in rows if row.get(group)]
    if not grouped:
        return {}
    try:
        return {row["path"]: row[group] for row in finder.find({"": grouped})[""].rows}
    except ListError:  # none of them is in the folder
        return {}


def without_label(path: str, group: str | None, value: str = "") -> ListRow:
    """The row of a video without a label, with its group; see `labels_of_files`."""
    return {"path": path} if group is None else {"path": path, group: value}


def is_outside(path: str, root: str | os.PathLike[str]) -> bool:
    """Whether a path is absolute, and that of a file which is not below a folder."""
    return (
        os.path.isabs(path) and os.path.exists(path) and not Path(path).resolve().is_relative_to(Path(root).resolve())
    )


def _time(cell: str) -> float | str:
    """The seconds in a cell; the cell where it holds none, of which the reader of the list tells."""
    try:
        return float(cell)
    except ValueError:
        return cell


def without_fragments(rows: list[ListRow]) -> list[ListRow]:
    """The rows of a list with the columns `start` and `end` in place of fragments of paths, if there are any.

    Raises:
        ListError: a fragment is malformed, or a row also has `start` or `end`.
    """
    try:
        split = [split_fragment(row["path"]) for row in rows]
    except VideoError as error:
        raise ListError(str(error)) from error
    if not any(segment for _, segment in split):
        return rows
    columns = []
    for row, (file, segment) in zip(rows, split, strict=True):
        times = {"start": row.get("start", ""), "end": row.get("end", "")}
        if segment and any(times.values()):
            raise ListError(f"{row['path']} has its segment in the path and in start,end; delete one of them")
        if segment:
            times = {"start": str(segment.start), "end": "" if segment.end is None else str(segment.end)}
        columns.append(row | {"path": file} | times)
    return columns


def read_labels(file: str) -> list[ListRow]:
    """The rows of a file of labels, with `path` in place of another name of that column; see `labels_of_files`."""
    text = read_text(Path(file), "these labels", "check --labels")
    reader = None
    try:
        header, reader = csv_rows(io.StringIO(text))
        numbered = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise ListError(
            f"{file}, line {reader.line_num if reader else 1}: not a CSV file ({error}); correct the line"
        ) from error
    path_column = next((name for name in PATH_COLUMNS if name in header), None)
    if path_column is None or "label" not in header:
        missing = "label" if path_column else "path (or filepath, video, filename)"
        raise ListError(
            f"{file}: no column {missing} in its header ({', '.join(header) or 'nothing'}); line 1 must be path,label, "
            "also with semicolons or tabs in place of commas"
        )
    if repeated := [name for name, count in Counter(header).items() if count > 1]:
        raise ListError(f"{file}: several columns {repeated[0]!r} in its header; rename all but one")
    columns = ["path" if name == path_column else name for name in header]
    rows = []
    for number, cells in numbered:
        if len(cells) > len(columns):
            raise ListError(
                f"{file}, line {number}: {len(cells)} cells under a header of {len(columns)}; put quotes around a cell "
                f"that has a {reader.dialect.delimiter!r} in it"
            )
        row = dict(zip(columns, [*cells, *[""] * (len(columns) - len(cells))], strict=True))
        if not row["path"]:
            raise ListError(f"{file}, line {number}: the {path_column} is empty; fill it in or delete the line")
        if row.get("start") or row.get("end"):
            try:
                with_times(row["path"], row["path"], row.get("start", ""), row.get("end", ""))
            except ValueError as error:
                raise ListError(f"{file}, line {number}: {error}") from error
        label = row.pop("label")
        rows.append({"path": row.pop("path"), "label": "" if label == UNCERTAIN else label} | row)
    if not rows:
        raise ListError(f"{file}: the file labels no video; add one row per video below the header")
    return rows
