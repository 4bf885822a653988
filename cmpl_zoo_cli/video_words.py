"""The videos that the words of a command line stand for: files, folders, patterns, lists, shard sets, addresses."""

import os
from collections.abc import Callable, Iterable, Iterator
from glob import glob, has_magic
from itertools import chain
from os.path import exists, isdir, isfile, join, splitext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeVar

from cmpl_zoo_cli.prediction_text import report

if TYPE_CHECKING:
    from cmpl_zoo.datasets import VideoList

Found = TypeVar("Found")
STREAMS = {"http", "https", "rtmp", "rtmps", "rtp", "rtsp", "rtsps", "srt", "tcp", "udp"}  # that FFmpeg reads
CAMERA = "/dev/video"  # how Linux calls cameras


def is_stream(word: str) -> bool:
    """Whether a word is the address of a stream, or a camera."""
    return (word.partition("://")[0].lower() in STREAMS and "://" in word) or word.startswith(CAMERA)


def matches_of(word: str) -> list[str]:
    """The paths that match a pattern which the shell left as it is; any other word is one path."""
    if exists(file_of(word)) or not has_magic(word):
        return [word]
    folder = next(folder for folder in Path(word).parents if folder.exists())  # may be called `day [1]`
    pattern = os.path.relpath(word, folder)
    return sorted(str(folder / found) for found in glob(pattern, root_dir=folder, recursive=True)) or [word]


def file_of(path: str) -> str:
    """The file of a path that may end in a segment."""
    from cmpl_zoo.video import VideoError
    from cmpl_zoo.video.segments import split_fragment

    try:
        return split_fragment(path)[0]
    except VideoError:  # of which its reader tells
        return path


def is_list(path: str) -> bool:
    """Whether a path is a list of videos."""
    return isfile(path) and path.lower().endswith(".csv")


def expanded(words: Iterable[str], found_in: Callable[[str], Iterable[Found]]) -> tuple[list[Found], int]:
    """What is found in words and in what they match; and how many of these stand for no video, which is reported.

    Args:
        words: as `videos_of` takes them, and patterns.
        found_in: what a path stands for; a `VideoError` where that is no video, a `ListError` for a folder of none.

    Raises:
        ListError: a list cannot be used, or the only word is a folder without a video.
    """
    from cmpl_zoo.datasets import ListError
    from cmpl_zoo.video import VideoError

    found, refused = list[Found](), 0
    paths = list(chain.from_iterable(map(matches_of, words)))
    for path in paths:
        try:
            found.extend(found_in(path))
        except (VideoError, ListError) as error:
            if isinstance(error, ListError) and not (isdir(path) and len(paths) > 1):
                raise
            report(str(error))
            refused += 1
    return found, refused


def videos_of(path: str, root: str) -> Iterator[str]:
    """The paths of the videos that a path stands for; no video is opened.

    Args:
        path: of a video; a folder, for all videos below it (a folder of frames is one video); a list in CSV; or the
            folder or URL of a shard set.
        root: that the paths in a list are relative to.

    Raises:
        VideoError: it stands for something other than a video.
        ListError: a folder holds no video, or a list cannot be used.
        StorageError: the index of a shard set cannot be read.
    """
    from cmpl_zoo.datasets import read_list
    from cmpl_zoo.storage.remote import is_url
    from cmpl_zoo.storage.shards import is_address, is_shard_set
    from cmpl_zoo.tools.find_videos import VIDEO_SUFFIXES
    from cmpl_zoo.video import VideoError

    suffix = splitext(path)[1].lower()
    if is_address(path):
        yield path
    elif is_url(path) and suffix in VIDEO_SUFFIXES:
        schemes = ", ".join(sorted(STREAMS))
        raise VideoError(f"{path}: videos are read from {schemes} or a path; save it as a file, and give its path")
    elif is_shard_set(path):
        yield from _videos_in_shards(path)
    elif isdir(path):
        yield from _videos_below(path)
    elif is_list(path):
        yield from read_list(path, root, labeled=False).paths
    else:
        _check_video(path, suffix)
        yield path


def list_of(list_or_folder: str, root: str, output: str, verb: str) -> "tuple[VideoList, str]":
    """A list of videos, and the folder that its paths start from.

    Args:
        list_or_folder: CSV; or a folder, whose list is then made in `output/lists`.
        root: folder that the paths in a CSV start from.
        output: of the command, which writes VERB.json there once it has begun.
        verb: the command.

    Raises:
        ListError: the list cannot be used, or the folder holds no video.
        ValueError: there is a list that another has made, or the folder is a shard set.
        OSError: the list cannot be written.
    """
    from cmpl_zoo._files import as_csv, replace_text
    from cmpl_zoo.datasets import read_list
    from cmpl_zoo.storage.shards import is_shard_set
    from cmpl_zoo.tools.find_videos import listable_videos

    if isdir(list_or_folder) and is_shard_set(list_or_folder):
        raise ValueError(f"{list_or_folder}: is a shard set; give a list of its videos and --root {list_or_folder}")
    if not isdir(list_or_folder):
        return read_list(list_or_folder, root, labeled=False), root
    file = Path(output, "lists", "videos.csv")
    text = as_csv(({"path": path} for path in listable_videos(list_or_folder)), ["path"])
    if file.exists() and file.read_bytes() != text.encode() and not Path(output, f"{verb}.json").exists():
        raise ValueError(f"{file} exists already and is not from this command; give another folder")
    replace_text(file, text)
    return read_list(file, list_or_folder, labeled=False), list_or_folder


def _videos_in_shards(root: str) -> Iterator[str]:
    """The videos and segments that were packed, in the order of their list."""
    from cmpl_zoo.datasets import read_list
    from cmpl_zoo.storage.remote import is_url, read_range
    from cmpl_zoo.storage.shards import INDEX_FILE

    index = f"{root.rstrip('/')}/{INDEX_FILE}"
    with TemporaryDirectory() as folder:
        if is_url(root):
            copy = Path(folder, INDEX_FILE)
            copy.write_bytes(read_range(index))
            index = str(copy)
        yield from read_list(index, root, labeled=False).paths


def _videos_below(folder: str) -> Iterator[str]:
    from cmpl_zoo.datasets import ListError
    from cmpl_zoo.tools.find_videos import find_videos, left_out_of
    from cmpl_zoo.video import VideoError
    from cmpl_zoo.video.images import IMAGE_SUFFIXES

    if exists(join(folder, "config.json")):
        raise VideoError(f"{folder}: this is a model; the first word is the model, and --with takes others that vote")
    try:
        scan = find_videos(folder)
    except ListError:
        if IMAGE_SUFFIXES.isdisjoint(splitext(name)[1].lower() for name in os.listdir(folder)):
            raise
        yield folder  # of frames
        return
    yield from (join(folder, path) for path in scan.videos)
    if scan.unlistable:
        raise VideoError(left_out_of(folder, scan.unlistable))


def _check_video(path: str, suffix: str) -> None:
    """Raise VideoError for what is no video, in the words of its kind."""
    from cmpl_zoo.video import VideoError

    if isfile(path) and suffix == ".txt":
        raise VideoError(f"{path}: this is a text; a list of videos is CSV with a column path, and ends in .csv")
    if exists(file_of(path)):
        return
    if path == "-":
        raise VideoError("-: videos are not read from standard input; save it as a file, and give its path")
    if has_magic(path):
        raise VideoError(f"{path}: no file is called like this; check the pattern")
