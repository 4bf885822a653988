"""From the lists that people have to ours: rows with a path relative to the root of the videos, and a label.

Every importer scans the root once and finds what a foreign list names by its file name, wherever it lies and whatever
its suffix, so that renamed folders and copies made by `cmpl-zoo prepare` are found. What is not there is reported.
"""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cmpl_zoo.data.classes import class_names
from cmpl_zoo.data.manifest import ManifestError

VIDEOS = {".3gp", ".avi", ".flv", ".gif", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv"}
PICTURES = {".jpg", ".jpeg", ".png"}

Row = dict[str, str]


@dataclass
class Imported:
    """Lists by name, class names where an official split gives their order, and what is not on disk."""

    lists: dict[str, list[Row]] = field(default_factory=dict)
    classes: list[str] | None = None
    missing: list[Row] = field(default_factory=list)


class _Disk:
    """The videos under a root, found by name."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root)
        if not self.root.is_dir():
            raise ManifestError(f"{root}: there is no such folder; give the one that the videos lie in")
        self.paths = sorted(_scan(self.root, ""))
        if not self.paths:
            raise ManifestError(f"{root}: no videos and no folders of frames in it; give the folder that they lie in")
        self._of_stem: dict[str, list[PurePosixPath]] = {}
        for path in map(PurePosixPath, self.paths):
            self._of_stem.setdefault(_stem(path).casefold(), []).append(path)

    def __contains__(self, stem: str) -> bool:
        return stem.casefold() in self._of_stem

    def find(self, name: str) -> str:
        """The path of a video that a foreign list calls so: of those with this file name, that whose folders fit best.

        Raises:
            LookupError: there is none, or there are several and nothing tells which is meant.
        """
        wanted = PurePosixPath(name.replace("\\", "/"))
        found = self._of_stem.get(_stem(wanted).casefold(), [])
        # HandStandPushups and HandstandPushups are one; two YouTube ids that differ in case are not.
        found = [path for path in found if _stem(path) == _stem(wanted)] or found
        folders = _plain(wanted)
        fitting = {path: len(_plain(path) & folders) for path in found}
        best = [path for path in found if fitting[path] == max(fitting.values())]
        if len(best) != 1:
            raise LookupError(f"{len(best)} files of this name, such as {best[0]}" if best else "no such file")
        return str(best[0])


def _scan(folder: Path, prefix: str) -> Iterator[str]:
    """Videos and folders of frames below a folder, without hidden ones."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                inside = list(_scan(Path(entry.path), f"{prefix}{entry.name}/"))
                yield from inside or ([prefix + entry.name] if _has_pictures(entry.path) else [])
            elif os.path.splitext(entry.name)[1].lower() in VIDEOS:
                yield prefix + entry.name


def _has_pictures(folder: str) -> bool:
    return any(os.path.splitext(name)[1].lower() in PICTURES for name in os.listdir(folder))


def _stem(path: PurePosixPath) -> str:
    return path.stem if path.suffix.lower() in VIDEOS else path.name


def _plain(path: PurePosixPath) -> set[str]:
    """The names of its folders, however they were spelled on the way to the disk."""
    return {part.casefold().replace("_", " ") for part in path.parent.parts}


def _collect(disk: _Disk, source: object, entries: Iterable[tuple[str, str, Row]]) -> Imported:
    """Put (list, name, other columns) entries into their lists, or among the missing.

    Raises:
        ManifestError: none of them is on disk, or one is there twice.
    """
    imported, names = Imported(), dict[str, str]()
    for to, name, columns in entries:
        rows = imported.lists.setdefault(to, [])
        try:
            path = disk.find(name)
        except LookupError as error:
            imported.missing.append({"path": name, "cause": str(error)})
            continue
        if path in names:
            raise ManifestError(f"{source}: {names[path]} and {name} are both {path} under {disk.root}; delete one")
        names[path] = name
        rows.append({"path": path, **columns})
    if not names:
        first = f", such as {imported.missing[0]['path']}," if imported.missing else ""
        raise ManifestError(f"{source}: none of its {len(imported.missing)} videos{first} lies under {disk.root}")
    return imported


def folders(root: str | os.PathLike[str]) -> Imported:
    """A folder per class: the label of a video is the first folder on its path."""
    rows = []
    for path in _Disk(root).paths:
        label, _, rest = path.partition("/")
        if rest:
            rows.append({"path": path, "label": label})
    if not rows:
        raise ManifestError(f"{root}: its videos do not lie in folders; make one for each class")
    return Imported({"videos": rows})


def kinetics(annotations: str | os.PathLike[str], root: str | os.PathLike[str]) -> Imported:
    """An official CSV of Kinetics-400, 600 or 700, and the videos of a usual download.

    Files are called YOUTUBEID_000012_000022 after the seconds of the clip, or YOUTUBEID where the list has one clip of
    a video. The test lists carry no label.
    """
    reader = csv.DictReader(_lines(annotations))
    columns = reader.fieldnames or []
    if lacking := [c for c in ("youtube_id", "time_start", "time_end") if c not in columns]:
        raise ManifestError(
            f"{annotations}: no column {lacking[0]!r} in its header ({','.join(columns)}); give the official CSV, "
            "which begins label,youtube_id,time_start,time_end"
        )
    rows = list(reader)
    clips = Counter(row["youtube_id"] for row in rows)
    disk = _Disk(root)

    def entries() -> Iterator[tuple[str, str, Row]]:
        for line, row in enumerate(rows, start=2):
            video, folder = row["youtube_id"], f"{row.get('split') or ''}/{row.get('label') or ''}"
            try:
                start, end = (int(float(row[column])) for column in ("time_start", "time_end"))
            except (TypeError, ValueError):
                raise ManifestError(
                    f"{annotations}, line {line}: the times {row['time_start']!r} and {row['time_end']!r} are no "
                    "seconds; correct them or delete the line"
                ) from None
            name = f"{video}_{start:06d}_{end:06d}"
            if name not in disk and clips[video] == 1 and video in disk:
                name = video
            yield "videos", f"{folder}/{name}.mp4", {"label": row["label"]} if "label" in columns else {}

    return _collect(disk, annotations, entries())


def ucf101(root: str | os.PathLike[str], splits: str | os.PathLike[str], fold: int) -> Imported:
    """UCF-101: one of its three splits, in the class order of classInd.txt.

    The column `group` names the source that clips were cut from (g08): clips of one source never stand on both sides
    of an official split, and should not of ours (`cmpl-zoo split --group group`).
    """
    splits = Path(splits)
    classes = [line.split()[-1] for line in _lines(splits / "classInd.txt") if line.strip()]
    official = {name.casefold(): name for name in classes}

    def entries() -> Iterator[tuple[str, str, Row]]:
        for to in ("train", "test"):
            file = splits / f"{to}list{fold:02d}.txt"
            for number, line in enumerate(_lines(file), start=1):
                if not (words := line.split()):
                    continue
                name = PurePosixPath(words[0])
                if (label := official.get(name.parent.name.casefold())) is None:
                    raise ManifestError(
                        f"{file}, line {number}: {name} is in none of the {len(classes)} classes of classInd.txt"
                    )
                group = next((part for part in name.stem.split("_") if part[:1] == "g" and part[1:].isdecimal()), "")
                yield to, str(name), {"label": label, "group": f"{label}_{group}"}

    imported = _collect(_Disk(root), splits, entries())
    imported.classes = classes
    return imported


def hmdb51(root: str | os.PathLike[str], splits: str | os.PathLike[str], fold: int) -> Imported:
    """HMDB-51: one of its three splits; what a split leaves out (`unused`) may serve as unlabeled videos."""
    ending = f"_test_split{fold}.txt"
    files = sorted(Path(splits).glob(f"*{ending}"))
    if not files:
        raise ManifestError(f"{splits}: no files of the form CLASS{ending}; give the folder of the official splits")
    lists = {"0": "unused", "1": "train", "2": "test"}

    def entries() -> Iterator[tuple[str, str, Row]]:
        for file in files:
            label = file.name.removesuffix(ending)
            for number, line in enumerate(_lines(file), start=1):
                if not line.strip():
                    continue
                name, _, use = line.strip().rpartition(" ")
                if use not in lists or not name:
                    raise ManifestError(f"{file}, line {number}: {line.strip()!r} is not a file name and 0, 1 or 2")
                yield lists[use], f"{label}/{name.strip()}", {"label": label}

    imported = _collect(_Disk(root), splits, entries())
    imported.classes = [file.name.removesuffix(ending) for file in files]
    return imported


def pairs(
    file: str | os.PathLike[str], root: str | os.PathLike[str], classes: str | os.PathLike[str] | None = None
) -> Imported:
    """A list of `path label` lines, as other projects publish them; the path may hold spaces and someone's own folders.

    Args:
        file: the list; a label is what stands after the last space.
        root: folder of the videos.
        classes: for labels that are numbers, from 0: `kinetics400`, `ucf101` or a text file of class names.
    """
    names = class_names(classes) if classes is not None else None

    def entries() -> Iterator[tuple[str, str, Row]]:
        for number, line in enumerate(_lines(file), start=1):
            if not line.strip():
                continue
            path, _, label = line.strip().rpartition(" ")
            if not path:
                raise ManifestError(f"{file}, line {number}: {line.strip()!r} is not a path, a space and a label")
            if label.isdecimal():
                if names is None:
                    raise ManifestError(
                        f"{file}, line {number}: the label {label} is a number; give the names by --classes "
                        "(kinetics400, ucf101, or a text file, one a line, from 0)"
                    )
                if int(label) >= len(names):
                    raise ManifestError(
                        f"{file}, line {number}: the label {label} is beyond the {len(names)} classes of {classes}, "
                        "which are numbered from 0"
                    )
                label = names[int(label)]
            yield "videos", path.strip(), {"label": label}

    return _collect(_Disk(root), file, entries())


def _lines(file: str | os.PathLike[str]) -> list[str]:
    try:
        lines = Path(file).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file}: cannot read this list ({error})") from error
    if not lines:
        raise ManifestError(f"{file}: the list is empty")
    return lines


def write_lists(imported: Imported, output: str | os.PathLike[str]) -> dict[Path, int]:
    """Write what was imported; files of the same names are replaced.

    Args:
        imported: a single list goes to the file `output`; the lists of an official split go into the folder `output`,
            as train.csv and so on, with classes.txt.
        output: made where missing. What is missing on disk is listed beside it, in NAME.missing.csv or missing.csv.

    Returns:
        The files and how many videos each lists.
    """
    output = Path(output)
    if list(imported.lists) == ["videos"]:
        files, missing = {output: imported.lists["videos"]}, output.with_suffix(".missing.csv")
    else:
        files = {output / f"{name}.csv": rows for name, rows in imported.lists.items()}
        missing = output / "missing.csv"
    missing.parent.mkdir(parents=True, exist_ok=True)
    if imported.missing:
        files[missing] = imported.missing
    for file, rows in files.items():
        _write(file, rows)
    if imported.classes:
        (output / "classes.txt").write_text("\n".join(imported.classes) + "\n", encoding="utf-8")
    return {file: len(rows) for file, rows in files.items()}


def _write(file: Path, rows: list[Row]) -> None:
    unfinished = file.with_name(file.name + ".writing")
    with unfinished.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, rows[0] if rows else ["path", "label"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(unfinished, file)
