"""Writing tar shards: a list of videos as a few large files, which disks and servers like better than many small ones.

The layout is WebDataset's: the files of a sample stand together and share a key, here the row number of the video.
`000000123.mp4` is the video, unchanged, and `000000123.json` its row of the list.
"""

import errno
import io
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tqdm import tqdm

from cmpl_zoo._files import as_csv, atomic_write
from cmpl_zoo.datasets.lists import ListError, VideoList
from cmpl_zoo.storage.remote import StorageError
from cmpl_zoo.storage.shards import INDEX_COLUMNS, INDEX_FILE

BLOCK = tarfile.BLOCKSIZE
_TAIL = 2 * BLOCK + tarfile.RECORDSIZE  # what ends an archive takes at most


@dataclass(frozen=True)
class _Member:
    """A video and where it will lie."""

    key: str
    path: str
    row: dict[str, str]
    shard: str
    offset: int
    size: int


def write_shards(video_list: VideoList, directory: str | os.PathLike[str], shard_bytes: int) -> Path:
    """Pack the videos of a list into shards, in its order.

    Where every byte goes follows from the sizes of the files. So a run that was stopped goes on with the first shard
    that is not there yet, and the index, written last, tells that all of them are.

    Args:
        video_list: the list; the columns of its rows go into the index and beside each video.
        directory: where `shard-*.tar` and `shards.csv` go; created where missing.
        shard_bytes: greatest size of a shard, which a single larger video exceeds.

    Returns:
        The index.

    Raises:
        ListError: a video of the list is missing, or a folder of frames.
        ValueError: a column of the list is called like one of the index, or `shard_bytes` is below 1.
        StorageError: the folder holds shards of another list, or cannot be written.
    """
    if shard_bytes < 1:
        raise ValueError(f"shards of {shard_bytes} bytes cannot hold a video; give a larger --shard-size")
    directory = Path(directory)
    members = list(_plan(video_list, shard_bytes))
    index, plan = directory / INDEX_FILE, directory / f"{INDEX_FILE}.writing"
    text = _index(members)
    for file in (index, plan):
        if file.exists() and file.read_text(encoding="utf-8") != text:
            raise StorageError(f"{directory} holds shards of another list; give another folder, or delete it")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        plan.write_text(text, encoding="utf-8")
        with tqdm(total=len(members), desc=directory.name, unit="video") as progress:
            for shard, of_shard in groupby(members, key=lambda member: member.shard):
                _write(directory / shard, list(of_shard), progress)
        os.replace(plan, index)
    except OSError as error:
        advice = "free some space" if error.errno == errno.ENOSPC else "check the folder"
        raise StorageError(
            f"{directory}: cannot write shards ({error.strerror or error}); {advice} and give the same command again, "
            "it goes on with the shard that is missing"
        ) from error
    return index


def _plan(video_list: VideoList, shard_bytes: int) -> Iterator[_Member]:
    """Where each video will lie."""
    if clash := set(INDEX_COLUMNS) & set(video_list.rows[0]):
        raise ValueError(f"{video_list.file}: the column {min(clash)!r} would hide the index's own; rename it")
    number, offset = 0, 0
    for index, row in enumerate(video_list.rows):
        path = video_list.paths[index]
        if os.path.isdir(path) or path.endswith(".npy"):
            kind = "a file of decoded frames" if path.endswith(".npy") else "a folder of frames"
            raise ListError(
                f"{video_list.file_and_line(index)}: {path} is {kind}; `cmpl-zoo prepare` makes videos of "
                "those, which can be packed"
            )
        try:
            size = os.path.getsize(path)
        except OSError as error:
            raise ListError(
                f"{video_list.file_and_line(index)}: {path} cannot be packed ({error.strerror}); `cmpl-zoo "
                "check` writes a list without such videos"
            ) from error
        end = _end(offset, size, row)
        if offset and end + _TAIL > shard_bytes:
            number, offset = number + 1, 0
            end = _end(offset, size, row)
        yield _Member(f"{index:09d}", path, row, f"shard-{number:06d}.tar", offset + BLOCK, size)
        offset = end


def _record(row: dict[str, str]) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode()


def _end(offset: int, size: int, row: dict[str, str]) -> int:
    """Where the next sample begins: after a header and padded content for the video, and the same for its row."""
    for length in (size, len(_record(row))):
        offset += BLOCK + -(-length // BLOCK) * BLOCK
    return offset


def _index(members: list[_Member]) -> str:
    rows = (member.row | {name: getattr(member, name) for name in INDEX_COLUMNS} for member in members)
    return as_csv(rows, [*members[0].row, *INDEX_COLUMNS])


def _write(file: Path, members: list[_Member], progress: tqdm) -> None:
    """One shard, whole or not at all."""
    if file.exists():
        progress.update(len(members))
        return
    with atomic_write(file) as temporary, tarfile.open(temporary, "w", format=tarfile.USTAR_FORMAT) as tar:
        for member in members:
            with open(member.path, "rb") as video:
                _add(tar, f"{member.key}{Path(member.path).suffix.lower() or '.video'}", video, member.size)
            record = _record(member.row)
            _add(tar, f"{member.key}.json", io.BytesIO(record), len(record))
            progress.update()


def _add(tar: tarfile.TarFile, name: str, content: io.IOBase, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    tar.addfile(info, content)
    if content.read(1):
        raise StorageError(f"{getattr(content, 'name', name)} has changed while it was packed; pack the list again")
