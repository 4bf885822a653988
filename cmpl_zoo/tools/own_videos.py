"""The lists of a run from a folder of one's own videos: which are labeled, which are not, and which are held out."""

import itertools
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cmpl_zoo._files import as_csv, replace_text
from cmpl_zoo.datasets.classes import sorted_classes
from cmpl_zoo.datasets.lists import ListError, read_list
from cmpl_zoo.datasets.splits import split_list, write_split
from cmpl_zoo.tools.find_labels import labels_of_files, labels_of_folders, without_label
from cmpl_zoo.tools.find_videos import ListRow, find_videos
from cmpl_zoo.tools.list_doubts import (
    classes_alike,
    doubtful_recordings,
    of_held_out_recordings,
    untold_recordings,
)
from cmpl_zoo.video.segments import recording_of


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
        group: see `split_list`: a column of the file of labels, or `folder`, the folder that a video is in. Videos
            without a label whose group is held out are left out.
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
    held_out = {row[group] for row in parts.get("val", ())} if group else set()
    learned = [row for row in others if row.get(group or "") not in held_out]
    if learned:
        files["unlabeled.csv"] = as_csv(learned, list(learned[0]))
    if found.left_out:
        files["left_out.csv"] = as_csv(found.left_out, ["path", "label", "reason"])
    if group:
        doubts = untold_recordings(found.rows, group) + of_held_out_recordings(others, group, held_out)
    else:
        doubts = doubtful_recordings(parts["labeled"], parts.get("val", [])) if "recording" not in found.rows[0] else []
    return MadeLists(files, len(parts["labeled"]), len(learned), found.left_out, alike + doubts)


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
