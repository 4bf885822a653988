"""Lists of videos from what people have: class folders, Kinetics, UCF-101, HMDB-51, and lists of other projects."""

import csv
import io
import os
import re
from pathlib import Path

from cmpl_zoo._files import as_csv, replace_text
from cmpl_zoo.datasets.lists import ListError
from cmpl_zoo.tools.find_videos import FoundVideos, ListRow, VideoFinder, find_videos, in_other_class, spelled

HMDB51_PARTS = {"1": "train", "2": "test", "0": "unused"}
StrPath = str | os.PathLike[str]


def folders(root: StrPath) -> FoundVideos:
    """A list of a folder that holds a folder for each class.

    Where a class has folders in it, such as one a day or a scene, the list has a column `folder`, to split by.

    Args:
        root: the folder; videos may lie any depth below a class folder. Those directly in the root are left out.

    Raises:
        ListError: there is no such folder, or no video in a class folder.
    """
    listing = FoundVideos([], [])
    for path in find_videos(root):
        if "/" in path:
            listing.rows.append({"path": path, "label": path.split("/")[0].strip()})
        else:
            listing.left_out.append({"path": path, "label": "", "reason": "lies in no class folder"})
    if not listing.rows:
        first = listing.left_out[0]["path"]
        raise ListError(
            f"{root}: no video in it lies in a class folder (the first, {first}); give the folder above, or make a "
            "list without labels by `cmpl-zoo import videos`"
        )
    if any(row["path"].count("/") > 1 for row in listing.rows):
        for row in listing.rows:
            folder = row["path"].rpartition("/")[0]
            row["folder"] = folder if "/" in folder else row["path"]  # one that lies in none is by itself
    return listing


def videos(root: StrPath) -> FoundVideos:
    """A list of all videos below a folder, without labels.

    Args:
        root: the folder.

    Raises:
        ListError: there is no such folder, or no video in it.
    """
    return FoundVideos([{"path": path} for path in find_videos(root)], [])


def kinetics(annotations: StrPath, root: StrPath) -> FoundVideos:
    """A list of the Kinetics videos that are on this disk.

    Args:
        annotations: official CSV of Kinetics-400, -600 or -700. Columns youtube_id, time_start and time_end (whole
            seconds); mostly label (the test lists have none), split and others, which are all kept.
        root: folder below which the videos lie, flat or in any folders, as `ID_SSSSSS_EEEEEE.mp4` (the seconds in six
            digits) or else as `ID.mp4`, or with the suffix of another video.

    Raises:
        ListError: the CSV is not of this form, or none of its videos is there.
    """
    rows = _read_annotations(Path(annotations))
    places = VideoFinder(root)
    for row in rows:
        clip = f"{row['youtube_id']}_{int(row['time_start']):06d}_{int(row['time_end']):06d}"
        row["path"] = row["youtube_id"] if clip not in places and row["youtube_id"] in places else clip
    return places.locate({"": rows})[""]


def ucf101(root: StrPath, splits: StrPath, fold: int) -> tuple[list[str], dict[str, FoundVideos]]:
    """Class names and the lists `train` and `test` of UCF-101.

    The lists have a column `group`, class and scene, as `Archery_g08`: clips of a group share their scene.

    Args:
        root: folder of the videos, in any folders, as .avi or any other video.
        splits: folder of the official classInd.txt, trainlist0N.txt and testlist0N.txt.
        fold: 1, 2 or 3.

    Raises:
        ListError: one of these files is missing or not of the official form, or none of the videos is there.
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
    return classes, VideoFinder(root).locate(lists)


def hmdb51(root: StrPath, splits: StrPath, fold: int) -> tuple[list[str], dict[str, FoundVideos]]:
    """Class names and the lists `train`, `test` and `unused` of HMDB-51.

    The unused videos can serve as unlabeled ones, but may come from the same film as a test video.

    Args:
        root: folder of the videos, in any folders, as .avi or any other video.
        splits: folder of the official CLASS_test_splitN.txt, one for each class.
        fold: 1, 2 or 3.

    Raises:
        ListError: there are no such files or one is not of the official form, or none of the videos is there.
    """
    ending = f"_test_split{fold}.txt"
    files = sorted(Path(splits).glob(f"*{ending}"))
    if not files:
        raise ListError(f"{splits}: holds no CLASS{ending}; give the folder of HMDB-51's split files")
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
    return classes, VideoFinder(root).locate(lists)


def pairs(file: StrPath, root: StrPath, classes: list[str] | None = None) -> FoundVideos:
    """A list of lines `path label`, or `path frames label` for folders of frames, as other projects publish them.

    Args:
        file: text file. Paths may hold spaces and come from another machine: one stands for the video of its name
            below the root that agrees with it in the most folders.
        root: folder of the videos.
        classes: class names by class id, which labels that are numbers count from 0.

    Raises:
        ListError: the file is not of this form, a label is not among the classes or contradicts the class folder
            in its path, or none of the videos is there.
    """
    lines = [(number, line.rpartition(" ")) for number, line in _lines(Path(file))]
    frames_told = all(re.search(r"\S \d+$", entry) for _, (entry, _, _) in lines)
    folders_of_classes = {spelled(name) for name in classes or ()}
    rows: list[ListRow] = []
    for number, (entry, _, label) in lines:
        where = f"{file}, line {number}"
        path = (entry.rpartition(" ")[0] if frames_told else entry).strip()
        if not path:
            raise ListError(f"{where}: {label!r} should be a path and a label, with a space between them")
        name = _class_name(label, classes, where)
        if in_other_class(path, name, folders_of_classes):
            raise ListError(
                f"{where}: label {label} is {name!r}, but {path} lies in the folder of another class; give the "
                "--classes that the labels belong to"
            )
        rows.append({"path": path, "label": name})
    return VideoFinder(root).locate({"": rows})[""]


def write_list(listing: FoundVideos, file: StrPath) -> Path | None:
    """Write a list, and what it leaves out beside it as NAME.left_out.csv; files of these names are replaced.

    Returns:
        The file of what was left out; None where nothing was.

    Raises:
        ListError: one cannot be written.
    """
    file = Path(file)
    left_out = file.with_name(f"{file.stem}.left_out.csv")
    _write(file, _csv(listing.rows))
    if listing.left_out:
        _write(left_out, _csv(listing.left_out))
        return left_out
    left_out.unlink(missing_ok=True)  # of an earlier import
    return None


def write_classes(classes: list[str], file: StrPath) -> None:
    """Write class names, one a line, as `read_classes` reads them.

    Raises:
        ListError: the file cannot be written.
    """
    _write(Path(file), "".join(f"{name}\n" for name in classes))


def _read_class_index(file: Path) -> list[str]:
    """The names of UCF-101's classInd.txt, lines `1 ApplyEyeMakeup`, by class id."""
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
    """The rows of a Kinetics CSV, with room for a path before the rest."""
    reader = csv.DictReader(io.StringIO(_read(file)), skipinitialspace=True, strict=True)
    try:
        columns, found = reader.fieldnames or [], [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise ListError(f"{file}: not a CSV file ({error}, line {reader.line_num}); mend the line") from error
    for column in ("youtube_id", "time_start", "time_end"):
        if column not in columns:
            raise ListError(
                f"{file}: no column {column!r} in its header ({','.join(columns)}); the official lists of Kinetics "
                "have label,youtube_id,time_start,time_end,split"
            )
    rows: list[ListRow] = []
    for number, row in found:
        complete = len(row) == len(columns) and None not in row.values()
        if not (complete and row["time_start"].isdecimal() and row["time_end"].isdecimal()):
            raise ListError(
                f"{file}, line {number}: should be {','.join(columns)}, with times in whole seconds; mend the "
                "line or give the official list"
            )
        rows.append({"path": ""} | row)
    if not rows:
        raise ListError(f"{file}: the list holds no video; give the official list")
    return rows


def _class_name(label: str, classes: list[str] | None, where: str) -> str:
    """The class that a label of a published list means, a name or a number from 0."""
    if not label.isdecimal():
        if classes is not None and label not in classes:
            raise ListError(f"{where}: label {label!r} is not among the {len(classes)} names of --classes")
        return label
    if classes is None:
        raise ListError(
            f"{where}: label {label} is a number; say which classes are meant by --classes kinetics400, ucf101 or FILE"
        )
    if int(label) >= len(classes):
        raise ListError(
            f"{where}: label {label} is beyond the {len(classes)} names of --classes, which count from 0; give the "
            "--classes that the labels belong to"
        )
    return classes[int(label)]


def _lines(file: Path) -> list[tuple[int, str]]:
    """The lines that are not blank, with their numbers."""
    lines = [(number, line.strip()) for number, line in enumerate(_read(file).split("\n"), start=1) if line.strip()]
    if not lines:
        raise ListError(f"{file}: the list is empty; give another file")
    return lines


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ListError(f"{file}: cannot read this list: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise ListError(f"{file}: not a text file in UTF-8 ({error}); save it in UTF-8") from error


def _csv(rows: list[ListRow]) -> str:
    return as_csv(rows, list(rows[0]) if rows else ["path", "label"])


def _write(file: Path, text: str) -> None:
    try:
        replace_text(file, text)
    except OSError as error:
        raise ListError(f"{file}: cannot write this file: {error.strerror}; give another place") from error
