"""Finding the videos of a published list on this disk, by name.

The folder is scanned once and no file is opened. Nothing is guessed: a video that is not found, or not for sure, is
left out, with the reason.
"""

import os
import re
import unicodedata
import warnings
from collections import Counter
from dataclasses import dataclass, field
from itertools import takewhile

from cmpl_zoo.datasets.lists import ListError
from cmpl_zoo.video.images import IMAGE_SUFFIXES

VIDEO_SUFFIXES = {
    ".3g2", ".3gp", ".apng", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gif", ".m2ts", ".m2v", ".m4v", ".mkv",
    ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".webp", ".wmv",
}  # fmt: skip
# Names that a list in CSV cannot hold: with a space at an end, a line break, or bytes that are not UTF-8.
UNLISTABLE = re.compile(r"^\s|\s$|[\r\n\ud800-\udfff]")
UNLISTABLE_REASON = (
    "begins or ends with a space, or holds a line break or bytes that are not UTF-8, which a list cannot; rename it"
)
ListRow = dict[str, str]


@dataclass
class FoundVideos:
    """The videos of a list that are on this disk, and those that are left out, as they are found.

    Attributes:
        rows: videos found: `path`, relative to the root, `label` and the other columns of the list.
        left_out: the other videos: `path`, as in the list, the same columns, and `reason`.
        passed_over: see `Scan`.
        elsewhere: the path in the list and the one that was found, of those that are in a folder of another name, which
            is not called like the label.
    """

    rows: list[ListRow]
    left_out: list[ListRow]
    passed_over: Counter[str]
    elsewhere: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True)
class Scan:
    """The files below a folder.

    Attributes:
        videos: paths of the videos, relative to the folder and sorted.
        unlistable: those of videos whose names a list cannot hold, with the characters at fault escaped.
        passed_over: how many other files there are, by suffix, in lower case.
    """

    videos: list[str]
    unlistable: list[str]
    passed_over: Counter[str]


def find_videos(root: str | os.PathLike[str]) -> Scan:
    """The videos below a folder.

    A video is a file with one of `VIDEO_SUFFIXES`, or a folder that holds JPEG or PNG images and no video, at any
    depth. Links are followed; hidden files and folders are skipped.

    Raises:
        ListError: there is no such folder, a folder in it cannot be read, or it holds no video with a name that a list
            can hold.
    """
    if not os.path.isdir(root):
        raise ListError(f"{root}: there is no such folder; give the one that holds the videos")
    passed_over: Counter[str] = Counter()
    try:
        paths = sorted(_walk(os.fspath(root), passed_over))
    except OSError as error:
        raise ListError(
            f"{error.filename}: cannot read this folder: {error.strerror}; check its permissions"
        ) from error
    videos = [path for path in paths if not UNLISTABLE.search(path)]
    unlistable = [_escaped(path) for path in paths if UNLISTABLE.search(path)]
    if not videos and unlistable:
        raise ListError(f"{root}: {unlistable[0]}: {UNLISTABLE_REASON}")
    if not videos:
        kinds = " ".join(sorted(VIDEO_SUFFIXES))
        raise ListError(f"{root}: holds no video ({kinds}, or a folder of JPEG or PNG frames); check the path")
    return Scan(videos, unlistable, passed_over)


def left_out_of(root: str | os.PathLike[str], unlistable: list[str]) -> str:
    """What to say of videos whose names a list cannot hold."""
    others = f" and {len(unlistable) - 1} more" if len(unlistable) > 1 else ""
    return f"{root}: left out {unlistable[0]}{others}: {UNLISTABLE_REASON}"


def listable_videos(root: str | os.PathLike[str]) -> list[str]:
    """The videos that `find_videos` finds, with a warning of those whose names a list cannot hold."""
    scan = find_videos(root)
    if scan.unlistable:
        warnings.warn(left_out_of(root, scan.unlistable), stacklevel=3)
    return scan.videos


class VideoFinder:
    """Finds the videos below a folder by the paths in a list.

    Args:
        root: the folder; see `find_videos`.
        published: the lists are published ones: a video in the folder of another class than a list says is never
            meant, and rows of one video are left out. Of one's own labels, a label counts more than the folder, and
            rows of one video with one label are one, the first; or rows without labels whose other columns are equal.

    Attributes:
        videos: paths of all videos below it, relative to it and sorted.

    Raises:
        ListError: as `find_videos`.
    """

    def __init__(self, root: str | os.PathLike[str], published: bool = True) -> None:
        self.root, self.published = os.path.abspath(root), published
        self._by_name: dict[str, list[str]] = {}
        scan = find_videos(root)
        self.videos, self._paths = scan.videos, set(scan.videos)
        self._passed_over = scan.passed_over
        self._parts = {path: _reversed_parts(path) for path in scan.videos}
        for path, parts in self._parts.items():
            self._by_name.setdefault(parts[0], []).append(path)

    def __contains__(self, name: str) -> bool:
        """Whether there is a video of this name at any depth, with any suffix."""
        return _reversed_parts(name)[0] in self._by_name

    def find(self, lists: dict[str, list[ListRow]]) -> dict[str, FoundVideos]:
        """Find the videos of the lists of a data set, and keep their order.

        A path in a list means that video, or else the one of that name, with any suffix. If there are several, it means
        the one that has the most folders in common with it, counted from the video up. One in the folder of another
        class is never meant, or only where there is no other, and no folder speaks against it. A row that repeats
        another is dropped. Rows of one video that differ in `start` or `end` are segments of it.

        Args:
            lists: rows by the name of their list: `path`, as published, usually `label`, and any other columns.

        Raises:
            ListError: no video was found.
        """
        rows = [row for list_rows in lists.values() for row in list_rows]
        classes = {normalized_name(row["label"]) for row in rows if "label" in row}
        found = {name: self._find(list_rows, classes) for name, list_rows in lists.items()}
        if not any(per_list.rows for per_list in found.values()):
            first = next(row for per_list in found.values() for row in per_list.left_out)
            raise ListError(
                f"{self.root}: holds none of the {len(rows)} videos of the list (the first, {first['path']}: "
                f"{first['reason']}); give the folder of the videos"
            )
        return found

    def _find(self, rows: list[ListRow], classes: set[str]) -> FoundVideos:
        distinct = list({tuple(row.items()): row for row in rows}.values())
        candidates = [self._candidates(row, classes) for row in distinct]
        segments = [(row.get("start"), row.get("end")) for row in distinct]
        rows_of: dict[object, dict[object, ListRow]] = {}  # by what they say, the first row that says it
        for row, paths, part in zip(distinct, candidates, segments, strict=True):
            rows_of.setdefault((*paths, part), {}).setdefault(self._said(row), row)
        found = FoundVideos([], [], self._passed_over)
        for row, paths, part in zip(distinct, candidates, segments, strict=True):
            said = rows_of[(*paths, part)]
            if len(paths) != 1 or len(said) != 1:
                found.left_out.append(row | {"reason": _reason(paths)})
            elif row is said[self._said(row)]:
                found.rows.append(row | {"path": paths[0]})
                if in_other_folder(row["path"], paths[0], row.get("label", "")):
                    found.elsewhere.append((row["path"], paths[0]))
        return found

    def _said(self, row: ListRow) -> object:
        """What rows of one video must agree in to be one; see `published`."""
        if self.published:
            return tuple(row.items())
        return row["label"] if "label" in row else tuple((row | {"path": ""}).items())

    def _candidates(self, row: ListRow, classes: set[str]) -> list[str]:
        """The paths that a row may mean: none, one, or several that match equally well."""
        if row["path"] in self._paths:
            return [row["path"]]
        if os.path.isabs(row["path"]) and (below := os.path.relpath(row["path"], self.root)) in self._paths:
            return [below]
        listed, label = _reversed_parts(row["path"]), row.get("label", "")
        of_that_name = self._by_name.get(listed[0], [])
        paths = [path for path in of_that_name if not in_other_class(path, label, classes)]
        if not paths and not self.published:  # one of the two paths is then the end of the other
            parts = [self._parts[path] for path in of_that_name]
            ends = [_matching_parts(listed, found) == min(len(listed), len(found)) for found in parts]
            paths = [path for path, whole in zip(of_that_name, ends, strict=True) if whole]
        if len(paths) < 2:
            return paths
        matches = [_matching_parts(listed, self._parts[path]) for path in paths]
        return [path for path, count in zip(paths, matches, strict=True) if count == max(matches)]


def in_other_class(path: str, label: str, classes: set[str]) -> bool:
    """Whether a folder in the path is called like one of the classes, and none like the label.

    Args:
        path: path of a video.
        label: its class name.
        classes: all class names, after `normalized_name`.
    """
    folders = set(_reversed_parts(path)[1:])
    return normalized_name(label) not in folders and not classes.isdisjoint(folders)


def in_other_folder(listed: str, found: str, label: str) -> bool:
    """Whether a video is in a folder of another name than a list says, which is not called like its label."""
    (of_list, *_), (of_disk, *_) = ([*_reversed_parts(path)[1:2], ""] for path in (listed, found))
    return bool(of_list and of_disk) and of_disk not in (of_list, normalized_name(label))


def normalized_name(name: str) -> str:
    """A name or path for comparisons: Kinetics' folders have spaces or underscores, UCF-101 spells HandStand in two
    ways, and Macs take accents off their letters."""
    return unicodedata.normalize("NFC", name).replace(" ", "_").replace("HandStand", "Handstand")


def _matching_parts(listed: list[str], found: list[str]) -> int:
    """How many parts two reversed paths have in common, from the first."""
    return sum(1 for _ in takewhile(lambda names: names[0] == names[1], zip(listed, found, strict=False)))


def _reason(candidates: list[str]) -> str:
    """Why a row with these candidates is left out."""
    if not candidates:
        return "not found"
    if len(candidates) > 1:
        return f"may be {candidates[0]} or {candidates[1]}"
    return f"{candidates[0]} is listed more than once, as different videos or classes"


def _walk(
    folder: str, passed_over: Counter[str], prefix: str = "", parents: tuple[tuple[int, int], ...] = ()
) -> list[str]:
    """Paths of the videos below a folder, with a prefix; counts the other files. See `find_videos`."""
    status = os.stat(folder)
    identity = (status.st_dev, status.st_ino)
    if identity in parents:  # a link to a folder above it
        return []
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not (entry.name.startswith(".") or _is_broken_link(entry))]
    files = [entry.name for entry in visible if entry.is_file()]
    videos = [prefix + name for name in files if _suffix(name) in VIDEO_SUFFIXES]
    others = Counter(suffix for name in files if (suffix := _suffix(name)) not in VIDEO_SUFFIXES)
    for entry in visible:
        if entry.is_dir():
            videos += _walk(entry.path, passed_over, f"{prefix}{entry.name}/", (*parents, identity))
    if prefix and not videos and not IMAGE_SUFFIXES.isdisjoint(others):
        videos = [prefix.removesuffix("/")]
        for suffix in IMAGE_SUFFIXES:
            del others[suffix]
    passed_over.update(others)
    return videos


def _escaped(path: str) -> str:
    """A path with escapes for characters that cannot be printed: line breaks, and bytes that are not UTF-8."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in path)


def _is_broken_link(entry: os.DirEntry[str]) -> bool:
    """Whether it is a link to a missing file, or to itself."""
    return entry.is_symlink() and not os.path.exists(entry.path)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _reversed_parts(path: str) -> list[str]:
    """The normalized names in a path, last one first, without the suffix, which is another one in prepared copies."""
    path = normalized_name(path.replace("\\", "/"))
    stem, suffix = os.path.splitext(path)
    names = (stem if suffix.lower() in VIDEO_SUFFIXES else path).split("/")
    return [name for name in reversed(names) if name]
