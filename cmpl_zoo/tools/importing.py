"""Making lists of videos: from class folders, Kinetics, UCF-101, HMDB-51, lists of other projects, and segments.

Annotation tools have modules of their own: `label_studio.py` and `boris.py`.
"""

import csv
import io
import re
from collections.abc import Collection
from pathlib import Path

from cmpl_zoo._files import as_csv
from cmpl_zoo.datasets.lists import ListError
from cmpl_zoo.tools.find_videos import (
    UNLISTABLE_REASON,
    FoundVideos,
    ListRow,
    VideoFinder,
    find_videos,
    in_other_class,
    normalized_name,
)
from cmpl_zoo.tools.segment_lists import LabeledSegment, StrPath, find_segments, read_table, seconds_of
from cmpl_zoo.tools.text_files import read_text, write_text

SEGMENT_COLUMNS = ("video", "label", "start", "end")
HMDB51_PARTS = {"1": "train", "2": "test", "0": "unused"}
UNLABELED = "unlabeled"  # the folder of videos without labels, beside those of the classes


def folders(root: StrPath) -> FoundVideos:
    """A list of the videos in a folder that holds one folder per class.

    If class folders have subfolders, such as one per day or scene, the list has a column `folder`, to group a split by;
    subfolders of one name count as one. Videos in a folder `unlabeled` have no label.

    Args:
        root: the folder; videos may be at any depth below a class folder. Those directly in the root are left out.

    Raises:
        ListError: there is no such folder, or no video in a class folder.
    """
    scan = find_videos(root)
    found = FoundVideos([], [], scan.passed_over)
    for path in scan.videos:
        if "/" in path:
            label = path.split("/")[0].strip()
            found.rows.append({"path": path, "label": "" if label == UNLABELED else label})
        else:
            found.left_out.append({"path": path, "label": "", "reason": "not in a class folder"})
    if not any(row["label"] for row in found.rows):
        first = scan.videos[0]
        raise ListError(
            f"{root}: none of its videos is in a class folder (the first, {first}); give the folder above, or make a "
            "list without labels with `cmpl-zoo import videos`"
        )
    found.left_out.extend({"path": path, "label": "", "reason": UNLISTABLE_REASON} for path in scan.unlistable)
    add_subfolders(found.rows)
    return found


def add_subfolders(rows: list[ListRow]) -> None:
    """Add a column `folder` to the videos of class folders, if some of those have subfolders; see `folder_of`."""
    if any(row["path"].count("/") > 1 for row in rows):
        for row in rows:
            row["folder"] = folder_of(row["path"], {row["path"].split("/")[0]})


def folder_of(path: str, class_folders: Collection[str]) -> str:
    """The folder of a video below the folder of its class, such as that of a day: videos of several classes may be in
    folders of one name. Without such a folder, the path of the video, which makes it a group of its own.

    Args:
        path: of the video, relative to the folder of all.
        class_folders: names of the folders of the classes, and of that of videos without a label.
    """
    folders = path.split("/")[:-1]
    return "/".join(folders[1:] if folders and folders[0] in class_folders else folders) or path


def videos(root: StrPath) -> FoundVideos:
    """A list of all videos below a folder, whose column `label` is empty.

    Args:
        root: the folder.

    Raises:
        ListError: there is no such folder, or no video in it.
    """
    scan = find_videos(root)
    left_out = [{"path": path, "reason": UNLISTABLE_REASON} for path in scan.unlistable]
    return FoundVideos([{"path": path, "label": ""} for path in scan.videos], left_out, scan.passed_over)


def kinetics(annotations: StrPath, root: StrPath) -> FoundVideos:
    """A list of the Kinetics videos that are on this disk.

    Args:
        annotations: official CSV file of Kinetics-400, -600 or -700, with the columns youtube_id, time_start and
            time_end (whole seconds). The other columns are kept, usually label (not in test lists) and split.
        root: folder of the videos, at any depth, named `ID_SSSSSS_EEEEEE.mp4` (start and end in six digits) or else
            `ID.mp4`, or with the suffix of another video format.

    Raises:
        ListError: the CSV file is not of this form, or none of its videos is found.
    """
    rows = _read_annotations(Path(annotations))
    finder = VideoFinder(root)
    for row in rows:
        clip = f"{row['youtube_id']}_{int(row['time_start']):06d}_{int(row['time_end']):06d}"
        row["path"] = row["youtube_id"] if clip not in finder and row["youtube_id"] in finder else clip
    return finder.find({"": rows})[""]


def ucf101(root: StrPath, splits: StrPath, fold: int) -> tuple[list[str], dict[str, FoundVideos]]:
    """Class names and the lists `train` and `test` of UCF-101.

    The lists have a column `group` of class and scene, such as `Archery_g08`: clips of a group share a scene.

    Args:
        root: folder of the videos, at any depth, as .avi or any other video format.
        splits: folder of the official classInd.txt, trainlist0N.txt and testlist0N.txt.
        fold: 1, 2 or 3.

    Raises:
        ListError: one of these files is missing or not of the official form, or none of the videos is found.
    """
    classes = _read_class_index(Path(splits, "classInd.txt"))
    lists: dict[str, list[ListRow]] = {"train": [], "test": []}
    for part, rows in lists.items():
        file = Path(splits, f"{part}list0{fold}.txt")
        for number, line in _lines(file):
            entry = re.match(r"(\w+)/v_\w+_(g\d+)_c\d+\.avi", line)
            if entry is None or entry[1] not in classes:
                raise ListError(
                    f"{file}, line {number}: {line!r} should be CLASS/v_CLASS_gNN_cNN.avi, with a class of "
                    "classInd.txt; give the official files"
                )
            rows.append({"path": entry[0], "label": entry[1], "group": f"{entry[1]}_{entry[2]}"})
    return classes, VideoFinder(root).find(lists)


def hmdb51(root: StrPath, splits: StrPath, fold: int) -> tuple[list[str], dict[str, FoundVideos]]:
    """Class names and the lists `train`, `test` and `unused` of HMDB-51.

    The unused videos can serve as unlabeled ones, but may come from the same film as a test video.

    Args:
        root: folder of the videos, at any depth, as .avi or any other video format.
        splits: folder of the official CLASS_test_splitN.txt, one per class.
        fold: 1, 2 or 3.

    Raises:
        ListError: these files are missing, one is not of the official form, or none of the videos is found.
    """
    ending = f"_test_split{fold}.txt"
    files = sorted(Path(splits).glob(f"*{ending}"))
    if not files:
        raise ListError(f"{splits}: holds no file CLASS{ending}; give the folder of HMDB-51's split files")
    classes = [file.name.removesuffix(ending) for file in files]
    lists: dict[str, list[ListRow]] = {part: [] for part in HMDB51_PARTS.values()}
    for file, label in zip(files, classes, strict=True):
        for number, line in _lines(file):
            name, _, part = line.rpartition(" ")
            if not name or part not in HMDB51_PARTS:
                raise ListError(
                    f"{file}, line {number}: {line!r} should be NAME.avi and 0, 1 or 2; give the official files"
                )
            lists[HMDB51_PARTS[part]].append({"path": f"{label}/{name.strip()}", "label": label})
    return classes, VideoFinder(root).find(lists)


def pairs(file: StrPath, root: StrPath, classes: list[str] | None = None) -> FoundVideos:
    """A list from lines `path label`, or `path frames label` for folders of frames, as other projects publish them.

    Args:
        file: text file. Paths may hold spaces and may be of another machine; see `VideoFinder.find`.
        root: folder of the videos.
        classes: class names by class id, if labels are numbers from 0.

    Raises:
        ListError: the file is not of this form, a label is not among the classes or contradicts the class folder
            in its path, or none of the videos is found.
    """
    lines = [(number, line.rpartition(" ")) for number, line in _lines(Path(file))]
    with_frame_counts = all(re.search(r"\S \d+$", entry) for _, (entry, _, _) in lines)
    class_folders = {normalized_name(name) for name in classes or ()}
    rows: list[ListRow] = []
    for number, (entry, _, label) in lines:
        where = f"{file}, line {number}"
        path = (entry.rpartition(" ")[0] if with_frame_counts else entry).strip()
        if not path:
            raise ListError(f"{where}: {label!r} should be a path and a label, with a space between them")
        name = _class_name(label, classes, where)
        if in_other_class(path, name, class_folders):
            raise ListError(
                f"{where}: label {label} is {name!r}, but {path} is in the folder of another class; give the "
                "--classes that the labels belong to"
            )
        rows.append({"path": path, "label": name})
    return VideoFinder(root).find({"": rows})[""]


def segments(file: StrPath, root: StrPath) -> FoundVideos:
    """A list of labeled segments from a table `video,label,start,end`, such as the bouts of `cmpl-zoo predict`.

    Args:
        file: CSV, or with tabs or semicolons, with these columns; others are dropped. Times are in seconds from the
            first frame; an empty start is 0, and where the end is empty too, the label is of all of the video.
        root: folder of the videos, which are found by name.

    Raises:
        ListError: the file is not of this form, a time is out of range, or none of the videos is found.
    """
    file = Path(file)
    found = []
    for number, row in read_table(file, read_text(file), SEGMENT_COLUMNS, "a table video,label,start,end"):
        where = f"{file}, line {number}"
        if not row["video"] or not row["label"]:
            raise ListError(
                f"{where}: the {'video' if row['label'] else 'label'} is empty; fill it in or delete the line"
            )
        start = seconds_of(row["start"] or "0", where)
        end = seconds_of(row["end"], where) if row["end"] else None
        if start < 0 or (end is not None and end <= start):
            raise ListError(f"{where}: a segment must start at 0 s or later and before it ends; correct its times")
        found.append(LabeledSegment(row["video"], row["label"], start, end))
    if not found:
        raise ListError(f"{file}: the table holds no segment; add one per line below the header")
    return find_segments(found, root)[0]


def write_list(found: FoundVideos, file: StrPath) -> Path | None:
    """Write a list of the videos found, and beside it NAME.left_out.csv if some are left out; replaces both files.

    Returns:
        The file of the videos left out, or None if there are none.

    Raises:
        ListError: a file cannot be written, or the second one is there already and no import has written it.
    """
    file, left_out = Path(file), left_out_file(file)
    if left_out.exists() and "reason" not in read_text(left_out).partition("\n")[0].split(","):
        raise ListError(f"{left_out}: is there already, and no import has written it; give -o another name")
    write_text(file, _csv(found.rows))
    if found.left_out:
        write_text(left_out, _csv(found.left_out))
        return left_out
    left_out.unlink(missing_ok=True)  # of an earlier import
    return None


def left_out_file(file: StrPath) -> Path:
    """Where the videos are that are left out of a list."""
    return Path(file).with_name(f"{Path(file).stem}.left_out.csv")


def write_classes(classes: list[str], file: StrPath) -> None:
    """Write class names, one per line, as `read_classes` reads them.

    Raises:
        ListError: the file cannot be written.
    """
    write_text(Path(file), "".join(f"{name}\n" for name in classes))


def _read_class_index(file: Path) -> list[str]:
    """Class names by class id from UCF-101's classInd.txt, which has lines `1 ApplyEyeMakeup`."""
    classes: list[str] = []
    for number, line in _lines(file):
        index, _, name = line.partition(" ")
        if index != str(len(classes) + 1) or not name:
            raise ListError(
                f"{file}, line {number}: {line!r} should be {len(classes) + 1} and a class name; give the official file"
            )
        classes.append(name.strip())
    return classes


def _read_annotations(file: Path) -> list[ListRow]:
    """The rows of a Kinetics CSV file, with an empty `path` as their first column."""
    reader = csv.DictReader(io.StringIO(read_text(file)), skipinitialspace=True, strict=True)
    try:
        columns, numbered = reader.fieldnames or [], [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ListError(f"{file}: not a CSV file ({error}, line {reader.line_num}); correct the line") from error
    for column in ("youtube_id", "time_start", "time_end"):
        if column not in columns:
            raise ListError(
                f"{file}: no column {column!r} in its header ({','.join(columns)}); the official lists of Kinetics "
                "have label,youtube_id,time_start,time_end,split"
            )
    rows: list[ListRow] = []
    for number, row in numbered:
        complete = len(row) == len(columns) and None not in row.values()
        if not (complete and row["time_start"].isdecimal() and row["time_end"].isdecimal()):
            raise ListError(
                f"{file}, line {number}: should be {','.join(columns)}, with times in whole seconds; correct the "
                "line or give the official list"
            )
        rows.append({"path": ""} | row)
    if not rows:
        raise ListError(f"{file}: the list holds no video; give the official list")
    return rows


def _class_name(label: str, classes: list[str] | None, where: str) -> str:
    """The class name for a label of a published list, which is a name or a number from 0."""
    if not label.isdecimal():
        if classes is not None and label not in classes:
            raise ListError(
                f"{where}: label {label!r} is not among the {len(classes)} names of --classes; correct one of them"
            )
        return label
    if classes is None:
        raise ListError(
            f"{where}: label {label} is a number; give its class names with --classes kinetics400, ucf101 or FILE"
        )
    if int(label) >= len(classes):
        raise ListError(
            f"{where}: label {label} is too large for the {len(classes)} names of --classes, which are numbered from "
            "0; give the --classes that the labels belong to"
        )
    return classes[int(label)]


def _lines(file: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their line numbers."""
    lines = [(number, line.strip()) for number, line in enumerate(read_text(file).split("\n"), start=1) if line.strip()]
    if not lines:
        raise ListError(f"{file}: the list is empty; give another file")
    return lines


def _csv(rows: list[ListRow]) -> str:
    return as_csv(rows, list(rows[0]) if rows else ["path", "label"])
