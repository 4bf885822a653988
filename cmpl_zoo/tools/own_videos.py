"""The lists of a run from a folder of one's own videos: which are labeled, which are not, and which are held out."""

import itertools
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cmpl_zoo._files import as_csv, replace_text
from cmpl_zoo.datasets.classes import sorted_classes
from cmpl_zoo.datasets.lists import ListError, RealPaths, read_list
from cmpl_zoo.datasets.splits import split_list, split_texts
from cmpl_zoo.tools.find_labels import labels_of_files, labels_of_folders, without_label
from cmpl_zoo.tools.find_videos import FoundVideos, ListRow, listable_videos
from cmpl_zoo.tools.importing import UNLABELED, folder_of
from cmpl_zoo.tools.list_doubts import (
    classes_alike,
    doubtful_recordings,
    found_elsewhere,
    of_held_out_recordings,
    of_videos_held_out,
    predicted_labels,
    same_subfolders,
    untold_recordings,
    untold_recordings_of_others,
)
from cmpl_zoo.video.segments import recording_of, split_fragment


@dataclass(frozen=True)
class MadeLists:
    """Lists that are not written yet.

    Attributes:
        files: text by file name: `labeled.csv` and, where there are such videos, `val.csv`, `unlabeled.csv` and
            `left_out.csv`, with paths relative to the folder of the videos or, outside of it, absolute ones.
        labeled: how many videos are learned from with their labels.
        unlabeled: how many without.
        left_out: videos that are labeled, but not found or not for sure: `path`, `label` and `reason`.
        doubts: sentences about names of classes that may mean one, about videos whose recording is not told or is held
            out, and about videos on both sides that may be of one recording.
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
    val: str | None = None,
    val_root: str | None = None,
    val_share: float = 0.2,
    group: str | None = None,
    seed: int = 0,
    labels_alone: bool = False,
) -> MadeLists:
    """The lists of a run.

    Args:
        root: folder of the videos.
        labels: files with their labels; see `labels_of_files`. Without any, see `labels_of_folders`.
        unlabeled: folder or list of more videos without labels. Those that have a label in `root` are skipped.
        unlabeled_root: folder that the paths in that list start from; by default `root`.
        val: a list of videos to validate on, instead of some of these: they and their recordings are left out here.
        val_root: folder that the paths in that list start from; by default `root`.
        val_share: see `split_list`; 0: no `val.csv`. Not looked at with `val`.
        group: see `split_list`: a column of the file of labels, or `folder`, the folder that a video is in. Videos
            without a label whose group is held out are left out.
        seed: see `split_list`.
        labels_alone: the run will not learn from videos without a label, and no doubt is about them.

    Raises:
        ListError: there is no video, one class alone, a class of one video although some are to be held out, no such
            group, or a file that cannot be read.
    """
    found, others = labels_of_files(root, labels, group) if labels else labels_of_folders(root, group)
    source = ", ".join(labels) or root
    if unlabeled:
        others += more_videos(unlabeled, unlabeled_root or root, group)
    real = RealPaths()
    labeled_files = {file_of(row, root, real) for row in found.rows}
    others = [row for row in each_once(others, root, group, real) if file_of(row, root, real) not in labeled_files]
    doubts = found_elsewhere(found.elsewhere)
    if val:
        val_share = 0
        held = HeldOut(val, val_root or root, group, real)
        out = [row["path"] for row in [*found.rows, *others] if held.has(row, root)]
        found = replace(found, rows=[row for row in found.rows if not held.has(row, root)])
        others = [row for row in others if not held.has(row, root)]
        if not found.rows:
            raise ListError(f"{source}: all labeled videos are in {val}, or of recordings in it; label others")
        doubts += [of_videos_held_out(len(out), out[0], val)] if out else []
    doubts += predicted_labels(found.rows) + check_classes(found, source, val_share)
    if group and group not in found.rows[0]:
        raise no_group(found.rows[0], source, group, labels)
    files, parts = split_rows(found.rows, root, source, val_share, group, seed)
    held_out = {row[group] for row in parts.get("val", ())} if group else set()
    learned = [row for row in others if row.get(group or "") not in held_out]
    if learned:
        files["unlabeled.csv"] = as_csv(learned, list(learned[0]))
    if found.left_out:
        files["left_out.csv"] = as_csv(found.left_out, ["path", "label", "reason"])
    if group:
        doubts += untold_recordings(found.rows, group)
        if not labels_alone:
            doubts += untold_recordings_of_others(learned, group) + of_held_out_recordings(others, group, held_out)
    elif "recording" not in found.rows[0]:
        doubts += (not labels and same_subfolders(found.rows)) or doubtful_recordings(
            parts["labeled"], parts.get("val", [])
        )
    return MadeLists(files, len(parts["labeled"]), len(learned), found.left_out, doubts)


def check_classes(found: FoundVideos, source: str, val_share: float) -> list[str]:
    """The doubts about the names of classes.

    Raises:
        ListError: there is one class alone, or one of a single video although some are to be held out.
    """
    sizes = Counter(row["label"] for row in found.rows)
    first = found.left_out[0] if found.left_out else None
    without = f" ({len(found.left_out)} are left out; the first, {first['path']}: {first['reason']})" if first else ""
    if len(sizes) < 2:
        raise ListError(
            f"{source}: all labeled videos are of one class, {next(iter(sizes))!r}{without}; label at least two"
        )
    alike = classes_alike(sizes)
    if alone := [name for name in sorted_classes(sizes) if val_share and sizes[name] < 2]:
        raise ListError(
            f"{source}: class {alone[0]!r} has one video, and one to learn from and one to validate on are needed; add "
            f"videos, or leave the class out{''.join(f'; {doubt}' for doubt in alike)}{without}"
        )
    return alike


def no_group(row: ListRow, source: str, group: str, labels: Sequence[str]) -> ListError:
    """The error where labeled videos, of which this is a row, have no column of groups."""
    known = [column for column in row if column not in ("path", "label")]
    if labels:
        instead = f"there are {', '.join([*known, 'folder'])}"
    elif group == "folder":
        instead = "make a subfolder for each recording in the class folders"
    else:
        instead = f"give a file with the columns path,label,{group} by --labels" + (
            ", or --group folder" if known else ""
        )
    return ListError(f"{source}: no column {group!r} to group by; {instead}")


def split_rows(
    rows: list[ListRow], root: str, source: str, val_share: float, group: str | None, seed: int
) -> tuple[dict[str, str], dict[str, list[ListRow]]]:
    """The lists of labeled videos as text by file name, and their rows: `labeled` and, unless `val_share` is 0, `val`.

    Raises:
        ListError: as `split_list`.
    """
    labeled = as_csv(rows, list(rows[0]))
    if not val_share:
        return {"labeled.csv": labeled}, {"labeled": rows}
    with tempfile.TemporaryDirectory() as folder:
        replace_text(file := Path(folder, "labeled.csv"), labeled)
        try:
            video_list = read_list(file, root)
            split = split_list(video_list, None, seed, val=val_share, group=group)
        except ListError as error:  # told of the file that exists
            raise ListError(str(error).replace(str(file), source)) from error
        parts = {name: [video_list.rows[i] for i in indices] for name, indices in split.items()}
        return split_texts(video_list, split, group=group), parts


def each_once(rows: list[ListRow], root: str, group: str | None, real: RealPaths) -> list[ListRow]:
    """The first row of each video or segment, with the group that one of its rows tells."""
    first: dict[object, ListRow] = {}
    for row in rows:
        kept = first.setdefault((file_of(row, root, real), split_fragment(row["path"])[1]), row)
        if group and not kept[group]:
            kept[group] = row[group]
    return list(first.values())


def file_of(row: ListRow, root: str, real: RealPaths) -> str:
    """The file of a video or segment, whatever path leads to it."""
    return real(recording_of(os.path.join(root, row["path"])))


class HeldOut:
    """Videos of a list, and others of their recordings.

    Args:
        file: the list.
        root: folder that its paths start from.
        group: column of the recordings; a column `recording` has them, too.
        real: which files paths lead to.

    Raises:
        ListError: the list cannot be used, or has neither column although there is a group.
    """

    def __init__(self, file: str, root: str, group: str | None, real: RealPaths) -> None:
        video_list = read_list(file, root)
        columns = [name for name in (group, "recording") if name and name in video_list.rows[0]]
        if group and not columns:
            raise ListError(f"{file}: no column {group!r}, by which videos are grouped; add it")
        self.group, self.real = group, real
        self.files = {real(recording_of(path)) for path in video_list.paths}
        self.recordings = {row[name] for row in video_list.rows for name in columns} - {""}

    def has(self, row: ListRow, root: str) -> bool:
        """Whether it is a video, or of a recording, of the list."""
        return file_of(row, root, self.real) in self.files or row.get(self.group or "recording", "") in self.recordings


def more_videos(folder_or_list: str, root: str, group: str | None = None) -> list[ListRow]:
    """Rows of the videos of a folder, or of a list whose paths start from `root`: absolute paths and, if asked for,
    the group; see `labels_of_files`.

    Raises:
        ListError: the folder holds no video, or the list cannot be used.
    """
    values: Sequence[str] = ()
    if os.path.isdir(folder_or_list):
        below = listable_videos(folder_or_list)
        paths: Sequence[str] = [os.path.join(folder_or_list, path) for path in below]
        values = [folder_of(path, {UNLABELED}) for path in below] if group == "folder" else ()
    else:
        video_list = read_list(folder_or_list, root, labeled=False)
        paths, values = video_list.paths, [row.get(group, "") for row in video_list.rows] if group else ()
    named = itertools.zip_longest(paths, values, fillvalue="")
    return [without_label(os.path.abspath(path), group, value) for path, value in named]


def write_lists(files: Mapping[str, str], folder: Path) -> None:
    """Write all the files into a new folder, or none; a former one is replaced.

    Raises:
        OSError: they cannot be written.
    """
    unfinished = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(unfinished, ignore_errors=True)  # of a process that was killed
        for name, text in files.items():
            replace_text(unfinished / name, text)
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(unfinished, folder)
    except BaseException as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if isinstance(error, OSError):  # told of what was to be written
            raise OSError(error.errno, error.strerror, str(folder)) from error
        raise
