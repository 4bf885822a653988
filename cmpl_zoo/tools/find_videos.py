"""Finding the videos of somebody's list on this disk, by name.

The disk is walked once and no file is opened. What cannot be placed is never guessed: it is left out, with the reason.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile

from cmpl_zoo.datasets.lists import ListError
from cmpl_zoo.video.video import IMAGE_SUFFIXES

VIDEO_SUFFIXES = {
    ".3gp", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ogv", ".ts",
    ".vob", ".webm", ".wmv",
}  # fmt: skip
ListRow = dict[str, str]


@dataclass(frozen=True)
class FoundVideos:
    """What became of a list.

    Attributes:
        rows: the videos found, `path` relative to the root, with `label` and the list's further columns.
        left_out: the others, `path` as their list has it, with the same columns and `reason`.
    """

    rows: list[ListRow]
    left_out: list[ListRow]


def find_videos(root: str | os.PathLike[str]) -> list[str]:
    """Paths of the videos below a folder, relative to it and sorted.

    A video is a file with one of the suffixes `VIDEO_SUFFIXES`, or a folder that holds JPEG or PNG pictures and no
    video, at any depth. Links are followed; hidden files and folders are passed over.

    Raises:
        ListError: there is no such folder, a part of it cannot be read, it holds no video, or one with a name that
            cannot stand in a list.
    """
    if not os.path.isdir(root):
        raise ListError(f"{root}: there is no such folder; give the one that holds the videos")
    try:
        videos = sorted(_walk(os.fspath(root)))
    except OSError as error:
        raise ListError(f"{error.filename}: cannot read this folder: {error.strerror}; check its rights") from error
    if not videos:
        kinds = " ".join(sorted(VIDEO_SUFFIXES))
        raise ListError(f"{root}: holds no video ({kinds}, or a folder of JPEG or PNG frames); check the path")
    for path in videos:
        if re.search(r"^\s|\s$|[\r\n\ud800-\udfff]", path):
            raise ListError(
                f"{root}: {path!r} begins or ends with a space, or holds a line break or bytes that are not UTF-8, "
                "which no list can hold; rename it"
            )
    return videos


class VideoFinder:
    """The videos below a folder, to be found by what a list calls them.

    Args:
        root: the folder; see `find_videos`.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = root
        self._by_name: dict[str, list[str]] = {}
        for path in find_videos(root):
            self._by_name.setdefault(_parts(path)[0], []).append(path)

    def __contains__(self, name: str) -> bool:
        """Whether a video of this name lies anywhere below the folder, whatever its suffix."""
        return _parts(name)[0] in self._by_name

    def locate(self, lists: dict[str, list[ListRow]]) -> dict[str, FoundVideos]:
        """Find the videos of lists that belong together, in the order of the lists.

        Args:
            lists: rows with `path`, as the list calls the video, mostly `label`, and any other columns. A path stands
                for the video of its name, whatever its suffix: of several, for the one that agrees in the most folders
                right above it; never for one in the folder of another class. A row that repeats another is dropped.

        Raises:
            ListError: not one video was found.
        """
        rows = [row for of_list in lists.values() for row in of_list]
        classes = {spelled(row["label"]) for row in rows if "label" in row}
        listings = {name: self._locate(of_list, classes) for name, of_list in lists.items()}
        if not any(listing.rows for listing in listings.values()):
            first = next(row for listing in listings.values() for row in listing.left_out)
            raise ListError(
                f"{self.root}: holds none of the {len(rows)} videos of the list (the first, {first['path']}: "
                f"{first['reason']}); give the folder that they lie in"
            )
        return listings

    def _locate(self, rows: list[ListRow], classes: set[str]) -> FoundVideos:
        distinct = list({tuple(row.items()): row for row in rows}.values())
        candidates = [self._candidates(row, classes) for row in distinct]
        claims = Counter(found[0] for found in candidates if len(found) == 1)
        listing = FoundVideos([], [])
        for row, found in zip(distinct, candidates, strict=True):
            if len(found) == 1 and claims[found[0]] == 1:
                listing.rows.append(row | {"path": found[0]})
            else:
                listing.left_out.append(row | {"reason": _reason(found)})
        return listing

    def _candidates(self, row: ListRow, classes: set[str]) -> list[str]:
        entry, label = _parts(row["path"]), row.get("label", "")
        found = [place for place in self._by_name.get(entry[0], ()) if not in_other_class(place, label, classes)]
        if len(found) < 2:
            return found
        agreement = [_agreement(entry, _parts(place)) for place in found]
        return [place for place, shared in zip(found, agreement, strict=True) if shared == max(agreement)]


def in_other_class(path: str, label: str, classes: set[str]) -> bool:
    """Whether the folders in a path name one of the classes (as `spelled`) and not its label."""
    folders = set(_parts(path)[1:])
    return spelled(label) not in folders and not classes.isdisjoint(folders)


def spelled(name: str) -> str:
    """A name as it is compared: Kinetics' folders have spaces or underscores, UCF-101 spells one class in two ways."""
    return name.replace(" ", "_").replace("HandStand", "Handstand")


def _agreement(entry: list[str], place: list[str]) -> int:
    """How many names two paths share, from their own names up."""
    return sum(1 for _ in takewhile(lambda names: names[0] == names[1], zip(entry, place, strict=False)))


def _reason(found: list[str]) -> str:
    if not found:
        return "not found"
    if len(found) > 1:
        return f"may be {found[0]} or {found[1]}"
    return f"{found[0]} is listed more than once, as different videos or classes"


def _walk(folder: str, prefix: str = "", above: tuple[tuple[int, int], ...] = ()) -> Iterator[str]:
    status = os.stat(folder)
    here = (status.st_dev, status.st_ino)
    if here in above:  # a link that leads back up
        return
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not (entry.name.startswith(".") or _leads_nowhere(entry))]
    videos = [prefix + entry.name for entry in visible if _suffix(entry.name) in VIDEO_SUFFIXES and entry.is_file()]
    for entry in visible:
        if entry.is_dir():
            videos += _walk(entry.path, f"{prefix}{entry.name}/", (*above, here))
    if prefix and not videos and any(_suffix(entry.name) in IMAGE_SUFFIXES for entry in visible):
        videos = [prefix.removesuffix("/")]
    yield from videos


def _leads_nowhere(entry: os.DirEntry[str]) -> bool:
    """Whether it is a link to nothing, or to itself."""
    return entry.is_symlink() and not os.path.exists(entry.path)


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _parts(path: str) -> list[str]:
    """The names in a path as they are compared, its own first, without the suffix, which prepared copies change."""
    path = spelled(path.replace("\\", "/"))
    stem, suffix = os.path.splitext(path)
    names = (stem if suffix.lower() in VIDEO_SUFFIXES else path).split("/")
    return [name for name in reversed(names) if name]
