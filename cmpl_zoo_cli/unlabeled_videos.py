"""The videos without a label among those that the words of a command line stand for."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os.path import exists, realpath

from cmpl_zoo_cli.prediction_text import report
from cmpl_zoo_cli.video_words import expanded, file_of, is_list, videos_of


@dataclass(frozen=True)
class ListedVideo:
    """A video that a word stands for.

    Attributes:
        path: that it is opened by.
        label: "" if it has none.
        columns: the further columns of its list.
    """

    path: str
    label: str = ""
    columns: dict[str, str] = field(default_factory=dict)

    def recording(self, group: str | None) -> str:
        """What it is taken from: the column `recording`, that of the groups or `group` of its list, else its file."""
        from cmpl_zoo.video.segments import recording_of

        columns = self.columns
        named = columns.get("recording") or columns.get(group or "") or columns.get("group")
        return named or recording_of(self.path)


def unlabeled_videos(words: Sequence[str], root: str) -> tuple[list[ListedVideo], int]:
    """The videos without a label that words stand for, each once, and how many words stand for none, which are told.

    A video or segment that is labeled in one list has a label in the others, too; a file of which a list has segments
    is not a video of its own.

    Args:
        words: as `videos_of` takes them, and patterns.
        root: folder that the paths in lists start from.

    Raises:
        ListError: a list cannot be used, a folder holds no video, or all videos have a label.
    """
    from cmpl_zoo.datasets import ListError
    from cmpl_zoo.video.segments import split_fragment

    listed, refused = expanded(words, lambda path: _listed(path, root))
    found: dict[tuple[str, object], ListedVideo] = {}
    labeled, cut = set[tuple[str, object]](), set[str]()
    for video in listed:
        file, segment = split_fragment(video.path)
        key = realpath(file), segment
        cut |= {key[0]} if segment else set()
        labeled |= {key} if video.label else set()
        if key not in found or video.columns:
            found[key] = video
    left = [video for key, video in found.items() if key not in labeled and not (key[1] is None and key[0] in cut)]
    if found and not left:
        raise ListError(f"{', '.join(words)}: all {len(labeled)} videos have a label already; give more videos")
    return left, refused


def _listed(word: str, root: str) -> Iterator[ListedVideo]:
    """The videos of a word; see `videos_of`. Labels of a list that lead to no file are told: they count for nothing."""
    from cmpl_zoo.datasets import read_list
    from cmpl_zoo.storage.remote import is_url
    from cmpl_zoo.storage.shards import is_address

    if not is_list(word):
        yield from map(ListedVideo, videos_of(word, root))
        return
    listed = read_list(word, root, labeled=False)
    labeled = [path for path, label in zip(listed.paths, listed.labels or (), strict=False) if label]
    if lost := [path for path in labeled if not (is_url(path) or is_address(path) or exists(file_of(path)))]:
        report(
            f"{word}: {len(lost)} of {len(labeled)} labeled videos are not there (the first: {lost[0]}), so that these "
            "labels count for none; give --root the folder that its paths start from"
        )
    for path, row in zip(listed.paths, listed.rows, strict=True):
        columns = {name: cell for name, cell in row.items() if name not in ("path", "label", "start", "end")}
        yield ListedVideo(path, row.get("label", ""), columns)


def lists_with_labels(words: Sequence[str], root: str) -> list[str]:
    """The lists among the words that label a video."""
    from cmpl_zoo.datasets import read_list

    return [word for word in words if is_list(word) and any(read_list(word, root, labeled=False).labels or ())]


def relative(path: str, folder: str) -> str:
    """A path as a list whose root is the folder has it: absolute if it is outside."""
    from cmpl_zoo.storage.shards import is_address

    if is_address(path):
        return path
    in_real_folder = os.path.join(realpath(os.path.dirname(path)), os.path.basename(path))
    for file, root in ((path, folder), (in_real_folder, realpath(folder))):  # one may lead over a link
        if not (below := os.path.relpath(file, root)).startswith(os.pardir):
            return below
    return os.path.abspath(path)
