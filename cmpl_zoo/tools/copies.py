"""A file for each video of a list, under its relative path in another folder, such as a copy or its optical flow."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from cmpl_zoo._files import temporary_path
from cmpl_zoo.datasets.lists import ListError, VideoList
from cmpl_zoo.storage.shards import is_shard_set
from cmpl_zoo.tools.journal import Journal
from cmpl_zoo.video.segments import recording_of, split_fragment


class Copies(NamedTuple):
    """A kind of copies.

    Attributes:
        verb: of the command that makes them.
        options: that they depend on.
        columns: of the report.
        kept: verdicts of videos that have a copy.
    """

    verb: str
    options: dict[str, Any]
    columns: Sequence[str]
    kept: Sequence[str]


def make_copies(
    video_list: VideoList,
    root: str | os.PathLike[str],
    output: str | os.PathLike[str],
    kind: Copies,
    make: Callable[..., Mapping[str, Any]],
    workers: int,
    rows: Callable[[list[str]], list[dict[str, str]]] | None = None,
) -> tuple[bool, str]:
    """Make the copy of every video of a list; a run that was killed continues after the last row of its report.

    Args:
        video_list: the list, read with `root`.
        root: folder that its paths are relative to.
        output: folder for the copies, the report and the list of the videos that have a copy.
        kind: of the copies.
        make: makes one in a worker, of a path and a target, and calls `alive` while it works; returns its row.
        workers: number of worker processes, of one thread each.
        rows: the rows of the new list, of the copies' paths; by default those of the old one.

    Returns:
        Whether all videos have a copy, and a summary in one line.

    Raises:
        ListError: two videos would have the same copy, a video is outside the root, or the root is a shard set.
        ValueError: a copy would overwrite a file, or `output` holds copies of another list or with other options.
        OSError: the copies cannot be written.
    """
    targets = _copy_paths(video_list, root)
    _check_overwriting(video_list, output, targets, kind.verb)
    with Journal(output, video_list, root, kind.verb, kind.options, kind.columns) as journal:
        tasks = [(path, os.path.join(output, target)) for path, target in zip(video_list.paths, targets, strict=True)]
        try:
            journal.complete(partial(_make_one, make=make), tasks, workers)
        finally:
            for _, target in tasks:  # of a worker that died, or of an earlier run that was killed
                temporary_path(target).unlink(missing_ok=True)
        summary = journal.conclude(kind.kept, rows(targets) if rows else None)
        return all(verdict in kind.kept for verdict in journal.verdicts), summary


def _make_one(
    task: tuple[str, str], alive: Callable[[], None], *, make: Callable[..., Mapping[str, Any]]
) -> Mapping[str, Any]:
    path, target = task
    return make(path, target, alive=alive)


def copy_path(path: str, root: str | os.PathLike[str]) -> str:
    """Path of the copy of a video, relative to the folder of the copies.

    Args:
        path: of the video, with the segment that it has.
        root: folder of the videos.
    """
    file, segment = split_fragment(path)
    relative = os.path.relpath(file, root)
    stem = relative if os.path.isdir(file) else os.path.splitext(relative)[0]
    if segment:
        stem += f"_{segment.start:.3f}-" + ("end" if segment.end is None else f"{segment.end:.3f}")
    return f"{stem}.mp4"


def _copy_paths(video_list: VideoList, root: str | os.PathLike[str]) -> list[str]:
    """`copy_path` of each video of a list.

    Raises:
        ListError: two videos would have the same copy, a video is outside the root, or the root is a shard set.
    """
    if is_shard_set(root):
        raise ListError(
            f"--root {os.fspath(root)} holds shards, but copies are made of files; give the files, then shard the "
            "copies"
        )
    targets: dict[str, list[int]] = {}
    for index, path in enumerate(video_list.paths):
        file, _ = split_fragment(path)
        if os.path.relpath(file, root).split(os.sep)[0] in (os.pardir, os.curdir):
            raise ListError(
                f"{video_list.file_and_line(index)}: {path} is outside {root}, so its copy would be outside the "
                "output folder; give a --root that holds all videos"
            )
        targets.setdefault(copy_path(path, root), []).append(index)
    clashes = {target: indices for target, indices in targets.items() if len(indices) > 1}
    if clashes:
        lines = "; ".join(
            f"{target} of lines {', '.join(str(video_list.lines[index]) for index in indices)}"
            for target, indices in clashes.items()
        )
        raise ListError(
            f"{video_list.file}: {len(clashes)} copies would have the names of others ({lines}); rename these videos, "
            "or delete their lines"
        )
    return list(targets)


def _check_overwriting(video_list: VideoList, output: str | os.PathLike[str], targets: list[str], verb: str) -> None:
    """Raise a ValueError if a copy would replace a video of the list, or a file that is not from the verb."""
    copies = (os.path.join(output, target) for target in targets)
    existing = {file_id: copy for copy in copies if (file_id := _file_id(copy))}
    for path in map(recording_of, video_list.paths) if existing else ():
        if copy := existing.get(_file_id(path) or (0, 0)):
            raise ValueError(f"{copy} would overwrite {path}; give another folder for the copies")
    if existing and not os.path.exists(os.path.join(output, f"{verb}.json")):  # else an earlier run made them
        raise ValueError(f"{next(iter(existing.values()))} exists already; give another folder for the copies")


def _file_id(path: str) -> tuple[int, int] | None:
    """Device and inode, which are the same for all links to a file; None if there is no file."""
    with suppress(OSError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None
