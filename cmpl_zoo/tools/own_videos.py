"""The lists of a run from a folder of one's own videos: which are labeled, which are not, and which are held out."""

import csv
import io
import itertools
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cmpl_zoo._files import as_csv, replace_text
from cmpl_zoo.datasets.classes import sorted_classes
from cmpl_zoo.datasets.lists import ListError, read_list
from cmpl_zoo.datasets.splits import split_list, write_split
from cmpl_zoo.tools.find_videos import UNLISTABLE_REASON, FoundVideos, ListRow, VideoFinder, find_videos
from cmpl_zoo.tools.importing import add_subfolders
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.segments import recording_of, split_fragment

UNLABELED = "unlabeled"  # the folder of videos without labels, beside those of the classes
PATH_COLUMNS = ("path", "filepath", "video", "filename")  # in a file of labels; of several, the first of these
DELIMITERS = (",", ";", "\t")
NOT_GROUPS = ("path", "label", "start", "end", "predicted", "probability", "disagreement")  # columns of lists


@dataclass(frozen=True)
class MadeLists:
    """Lists that are not written yet.

    Attributes:
        files: text by file name: `labeled.csv` and, where there are such videos, `val.csv`, `unlabeled.csv` and
            `left_out.csv`, with paths relative to the folder of the videos or, outside of it, absolute ones.
        labeled: how many videos are learned from with their labels.
        unlabeled: how many without.
        left_out: videos that are labeled, but not found or not for sure: `path`, `label` and `reason`.
        doubts: sentences about names of classes that may mean one, about videos whose recording is not told, and about
            videos on both sides that may be of one recording.
    """

    files: dict[str, str]
    labeled: int
    unlabeled: int
    left_out: list[ListRow]
    doubts: list[str]


def make_lists(
    root: str,
    labels: Sequence[str] = (),
    *,
    unlabeled: str | None = None,
    unlabeled_root: str | None = None,
    val_share: float = 0.2,
    group: str | None = None,
    seed: int = 0,
) -> MadeLists:
    """The lists of a run.

    Args:
        root: folder of the videos.
        labels: files with their labels; see `labels_of_files`. Without any, see `labels_of_folders`.
        unlabeled: folder or list of more videos without labels. Those that have a label in `root` are skipped.
        unlabeled_root: folder that the paths in that list start from; by default `root`.
        val_share: see `split_list`; 0: no `val.csv`.
        group: see `split_list`: a column of the file of labels, or `folder`, the folder that a video is in.
        seed: see `split_list`.

    Raises:
        ListError: there is no video, one class alone, a class of one video although some are to be held out, no such
            group, or a file that cannot be read.
    """
    found, others = labels_of_files(root, labels, group) if labels else labels_of_folders(root, group)
    source = ", ".join(labels) or root
    sizes = Counter(row["label"] for row in found.rows)
    if len(sizes) < 2:
        raise ListError(f"{source}: all labeled videos are of one class, {next(iter(sizes))!r}; label at least two")
    alike = classes_alike(sizes)
    if alone := [name for name in sorted_classes(sizes) if val_share and sizes[name] < 2]:
        raise ListError(
            f"{source}: class {alone[0]!r} has one video, and one to learn from and one to validate on are needed; add "
            f"videos, or leave the class out{''.join(f'; {doubt}' for doubt in alike)}"
        )
    if group and group not in found.rows[0]:
        known = [column for column in found.rows[0] if column not in ("path", "label")]
        if labels:
            instead = f"there are {', '.join([*known, 'folder'])}"
        elif group == "folder":
            instead = "make a subfolder for each recording in the class folders"
        else:
            instead = f"give a file with the columns path,label,{group} by --labels" + (
                ", or --group folder" if known else ""
            )
        raise ListError(f"{source}: no column {group!r} to group by; {instead}")
    if unlabeled:
        labeled_files = {os.path.realpath(os.path.join(root, row["path"])) for row in found.rows}
        more = more_videos(unlabeled, unlabeled_root or root, group)
        others += [row for row in more if os.path.realpath(recording_of(row["path"])) not in labeled_files]

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "labeled.csv")
        replace_text(file, as_csv(found.rows, list(found.rows[0])))
        parts = {"labeled": found.rows}
        if val_share:
            try:
                video_list = read_list(file, root)
                indices = split_list(video_list, None, seed, val=val_share, group=group)
            except ListError as error:  # told of the file that exists
                raise ListError(str(error).replace(str(file), source)) from error
            write_split(video_list, indices, folder, group=group)
            parts = {name: [video_list.rows[i] for i in of_part] for name, of_part in indices.items()}
        files = {file.name: file.read_text(encoding="utf-8") for file in Path(folder).iterdir()}
    if others:
        files["unlabeled.csv"] = as_csv(others, list(others[0]))
    if found.left_out:
        files["left_out.csv"] = as_csv(found.left_out, ["path", "label", "reason"])
    if group:
        doubts = untold_recordings(found.rows, group)
    else:
        doubts = doubtful_recordings(parts["labeled"], parts.get("val", [])) if "recording" not in found.rows[0] else []
    return MadeLists(files, len(parts["labeled"]), len(others), found.left_out, alike + doubts)


def labels_of_folders(root: str, group: str | None = None) -> tuple[FoundVideos, list[ListRow]]:
    """The labeled videos of a folder that holds a folder for each class, and rows of those without a label.

    Those are directly in the folder, or in `unlabeled/`. Where class folders have subfolders, there is a column
    `folder`, as `importing.folders` makes it.

    Args:
        root: the folder.
        group: a column that the rows without a label have, too.

    Raises:
        ListError: there is no such folder, or no video in a class folder.
    """
    scan = find_videos(root)
    label_of = {path: path.split("/")[0].strip() if "/" in path else "" for path in scan.videos}
    labeled = {path: label for path, label in label_of.items() if label not in ("", UNLABELED)}
    if not labeled:
        raise ListError(
            f"{root}: none of its videos is in a class folder (the first, {scan.videos[0]}); move some into a folder "
            "for each class, or give a file of labels with --labels"
        )
    rows = [{"path": path, "label": label} for path, label in labeled.items()]
    add_subfolders(rows)
    left_out = [{"path": path, "label": "", "reason": UNLISTABLE_REASON} for path in scan.unlistable]
    others = [without_label(path, group) for path in scan.videos if path not in labeled]
    return FoundVideos(rows, left_out, scan.passed_over), others


def labels_of_files(root: str, files: Sequence[str], group: str | None = None) -> tuple[FoundVideos, list[ListRow]]:
    """The videos of a folder that files label, and rows of the others.

    A video or a segment that several files give the same label is taken once, with the columns of the first one.

    Args:
        root: the folder; a video is found by its name, see `VideoFinder.find`, or outside of it by its absolute path.
        files: CSV, or with semicolons or tabs in place of the commas, with the columns `label` and `path` (or
            `filepath`, `video`, `filename`); other columns are kept, of which `start`, `end` and `recording` have the
            meaning that they have in a list. Of a row without a label only the group counts.
        group: a column, in which a labeled video without a value is a group of its own; the rows of the others have
            it, too. Where it is `folder`, and no file has such a column, one is added: the folder that a video is in.

    Raises:
        ListError: a file cannot be read, lacks a column or has no label, two have other labels for one video, or none
            of the videos is found.
    """
    all_rows = {file: read_labels(file) for file in files}
    rows = {file: [row for row in all_rows[file] if row["label"]] for file in files}
    if empty := [file for file in files if not rows[file]]:
        instead = ", or leave the file out" if len(files) > 1 else ""
        raise ListError(f"{empty[0]}: no row has a label; fill in the column label{instead}")
    finder = VideoFinder(root)
    listed = {file: without_fragments(rows[file]) for file in rows}
    paths_outside = {row["path"] for file in rows for row in listed[file] if is_outside(row["path"], root)}
    outside = {file: [row for row in listed[file] if row["path"] in paths_outside] for file in rows}
    below = {file: [row for row in listed[file] if row["path"] not in paths_outside] for file in rows}
    found = finder.find(below) if any(below.values()) else {}
    merged = FoundVideos([], [], found[files[0]].passed_over if found else Counter())
    first: dict[tuple[str, object, object], tuple[str, str]] = {}  # label and file of each video or segment
    for file in rows:
        merged.left_out.extend(found[file].left_out if found else ())
        for row in [*(found[file].rows if found else ()), *outside[file]]:
            video = row["path"], _time(row.get("start") or "0"), _time(row.get("end") or "inf")
            label, other = first.get(video, (row["label"], ""))
            if label != row["label"]:
                raise ListError(
                    f"{row['path']} is {label!r} in {other} and {row['label']!r} in {file}; correct one of them"
                )
            if video not in first:
                first[video] = label, file
                merged.rows.append(row)
    columns = dict.fromkeys(name for row in merged.rows for name in row)
    merged.rows[:] = [{name: row.get(name, "") for name in columns} for row in merged.rows]
    if group == "folder" and "folder" not in columns:
        for row in merged.rows:
            row["folder"] = os.path.dirname(row["path"]) or row["path"]
    elif group in columns:
        for row in merged.rows:
            row[group] = row[group] or row["path"]
    told: dict[str, str] = {}
    if group in columns:
        grouped = [
            {"path": recording_of(row["path"]), group: row[group]}
            for file in files
            for row in all_rows[file]
            if not row["label"] and row.get(group)
        ]
        with suppress(ListError):  # none of them is in the folder
            told = {row["path"]: row[group] for row in finder.find({"": grouped})[""].rows} if grouped else {}
    labeled = {row["path"] for row in merged.rows}
    return merged, [without_label(path, group, told.get(path, "")) for path in finder.videos if path not in labeled]


def without_label(path: str, group: str | None, value: str = "") -> ListRow:
    """The row of a video without a label, with its group; see `labels_of_files`."""
    if group is None:
        return {"path": path}
    return {"path": path, group: value or ((os.path.dirname(path) or path) if group == "folder" else "")}


def is_outside(path: str, root: str) -> bool:
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
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ListError(f"{file}: cannot read these labels: {error.strerror}; check --labels") from error
    except UnicodeDecodeError as error:
        raise ListError(f"{file}: not a text file in UTF-8 ({error}); save it as CSV in UTF-8") from error
    first = text.partition("\n")[0]
    delimiter = next((mark for mark in DELIMITERS if mark in first), ",")
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        numbered = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise ListError(f"{file}, line {reader.line_num}: not a CSV file ({error}); correct the line") from error
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
                f"that has a {delimiter!r} in it"
            )
        row = dict(zip(columns, [*cells, *[""] * (len(columns) - len(cells))], strict=True))
        if not row["path"]:
            raise ListError(f"{file}, line {number}: the {path_column} is empty; fill it in or delete the line")
        rows.append({"path": row.pop("path"), "label": row.pop("label")} | row)
    if not rows:
        raise ListError(f"{file}: the file labels no video; add one row per video below the header")
    return rows


def more_videos(folder_or_list: str, root: str, group: str | None = None) -> list[ListRow]:
    """Rows of the videos of a folder, or of a list whose paths start from `root`: absolute paths and, if asked for,
    the group; see `labels_of_files`.

    Raises:
        ListError: the folder holds no video, or the list cannot be used.
    """
    values: Sequence[str] = ()
    if os.path.isdir(folder_or_list):
        paths: Sequence[str] = [os.path.join(folder_or_list, path) for path in find_videos(folder_or_list).videos]
    else:
        video_list = read_list(folder_or_list, root, labeled=False)
        paths, values = video_list.paths, [row.get(group, "") for row in video_list.rows] if group else ()
    named = itertools.zip_longest(paths, values, fillvalue="")
    return [without_label(os.path.abspath(path), group, value) for path, value in named]


def classes_alike(sizes: Mapping[str, int]) -> list[str]:
    """A sentence for each class whose name is that of a larger one but for case, spaces and underscores.

    Args:
        sizes: how many videos each class has.
    """
    largest: dict[str, str] = {}
    doubts = []
    for name in sorted(sizes, key=lambda name: (-sizes[name], name)):
        known = largest.setdefault(re.sub(r"[\s_-]+", " ", name).casefold(), name)
        if known != name:
            doubts.append(
                f"class {name!r} ({sizes[name]} videos) is {known!r} ({sizes[known]}) but for case, spaces or "
                "underscores: if they are one, correct these labels"
            )
    return doubts


def untold_recordings(rows: list[ListRow], group: str) -> list[str]:
    """A sentence where labeled videos have no value in the column of their groups, and are groups of their own."""
    untold = [row["path"] for row in rows if row[group] == row["path"]] if group != "folder" else []
    if not untold:
        return []
    return [
        f"{len(untold)} of {len(rows)} labeled videos have nothing in the column {group} (such as {untold[0]}), and "
        "count as recordings of their own; if some are of one recording, accuracy looks better than it is: fill it in"
    ]


def doubtful_recordings(labeled: list[ListRow], val: list[ListRow]) -> list[str]:
    """A sentence where a video that is held out may be of the recording of one that is learned from.

    The rule: both are in one subfolder of a class, or have one name, without folder, suffix, and a number at its end.

    Args:
        labeled: rows of the videos to learn from: `path` and, if class folders have subfolders, `folder`.
        val: rows of those that are held out.
    """
    rows = labeled + val
    values = {name: {row[name] for row in rows} - {""} for name in rows[0] if name not in NOT_GROUPS}
    columns = [name for name, of_column in values.items() if 1 < len(of_column) < len(rows)]
    by = " or ".join(f"--group {name}" for name in columns) or "--group COLUMN of --labels"
    first = labeled[::-1]  # of several, the first one stays
    by_folder = {row["folder"]: row["path"] for row in first if row.get("folder", row["path"]) != row["path"]}
    by_name = {name_without_number(row["path"]): row["path"] for row in first}
    folder_pairs = [(row["path"], by_folder.get(row.get("folder", ""))) for row in val]
    name_pairs = [(row["path"], by_name.get(name_without_number(row["path"]))) for row in val]
    rules = [
        (folder_pairs, "are in one folder with a video to learn from"),
        (name_pairs, "have the name of a video to learn from, but for a number at its end"),
    ]
    for pairs, how in rules:
        if alike := [(held_out, other) for held_out, other in pairs if other]:
            return [
                f"{len(alike)} of {len(val)} videos to validate on {how} (such as {alike[0][0]} and {alike[0][1]}); if "
                f"such are clips of one recording, accuracy looks better than it is: name the recordings by {by}"
                + ("" if "folder" in columns else ", or give each a folder of its own, and --group folder")
            ]
    return []


def name_without_number(path: str) -> str:
    """The name of a video without folder, suffix, and a number at its end with what separates it: `run_03.mp4` and
    `run_04.avi` are both `run`."""
    return re.sub(r"[\W_]*\d+$", "", os.path.splitext(os.path.basename(path))[0])


def write_lists(files: dict[str, str], folder: Path) -> None:
    """Write all the files into a new folder, or none; a former one is replaced.

    Raises:
        OSError: they cannot be written.
    """
    unfinished = folder.with_name(f".{folder.name}.part")
    made = [parent for parent in (folder.parent, *folder.parent.parents) if not parent.exists()]
    try:
        shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
        for name, text in files.items():
            replace_text(unfinished / name, text)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(unfinished, folder)
    except BaseException as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        with suppress(OSError):
            for parent in made:
                parent.rmdir()
        if isinstance(error, OSError):  # told of what was to be written
            raise OSError(error.errno, error.strerror, str(folder)) from error
        raise
