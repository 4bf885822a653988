"""Writing tar shards: a few large files of videos, which disks and servers read faster than many small files.

The layout is WebDataset's: the files of a sample follow each other and share a key, here the row number of the video.
`000000123.mp4` is the video, unchanged, and `000000123.json` its row of the list. A file of which there are several
segments is packed once, under the row number of the first, with a list of their rows.
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
from cmpl_zoo._locks import locked_by_another
from cmpl_zoo.datasets.lists import ListError, VideoList
from cmpl_zoo.storage.remote import StorageError
from cmpl_zoo.storage.shards import INDEX_COLUMNS, INDEX_FILE
from cmpl_zoo.video.segments import recording_of

BLOCK = tarfile.BLOCKSIZE
_MAX_TAIL = 2 * BLOCK + tarfile.RECORDSIZE  # bytes: the largest end of a tar archive


@dataclass(frozen=True)
class _Member:
    """A file and its position in the shards: name of the shard, byte offset and size; and the rows of its segments."""

    key: str
    path: str
    rows: list[dict[str, str]]
    shard: str
    offset: int
    size: int


def write_shards(video_list: VideoList, directory: str | os.PathLike[str], shard_bytes: int) -> Path:
    """Pack the videos of a list into shards, in the order of the list.

    The position of every byte follows from the sizes of the files. So a run that was stopped continues with the first
    missing shard. The index is written last: if it exists, all shards are complete.

    Args:
        video_list: the list; its columns are written to the index and, as JSON, beside each video.
        directory: folder for `shard-*.tar` and `shards.csv`; created if missing.
        shard_bytes: largest size of a shard, in bytes; only a single larger video exceeds it.

    Returns:
        The file of the index.

    Raises:
        ListError: a video of the list is missing, or is a folder of frames or a `.npy` file.
        ValueError: a column of the list has the name of a column of the index, or `shard_bytes` is below 1.
        StorageError: the folder holds shards of another list or cannot be written, another process is writing them, or
            a video cannot be read or changed meanwhile.
    """
    if shard_bytes < 1:
        raise ValueError(f"a shard of {shard_bytes} bytes cannot hold a video; give a larger --shard-size")
    directory = Path(directory)
    rows = _rows(video_list)
    members = list(_plan(video_list, rows, shard_bytes))
    index, plan = directory / INDEX_FILE, directory / f"{INDEX_FILE}.writing"
    text = _index(video_list, rows, members)
    for file in (index, plan):
        if file.exists() and file.read_text(encoding="utf-8") != text:
            raise StorageError(f"{directory} holds shards of another list; give another folder, or delete it")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with plan.open("a", encoding="utf-8") as writing:
            if locked_by_another(writing.fileno(), "flock"):
                raise StorageError(f"{directory}: another process is writing shards there; wait for its end")
            writing.truncate(0)
            writing.write(text)
            writing.flush()
            with tqdm(total=len(members), desc=directory.name, unit="video") as progress:
                for shard, shard_members in groupby(members, key=lambda member: member.shard):
                    _write(directory / shard, list(shard_members), progress)
        os.replace(plan, index)
    except OSError as error:
        advice = "free some space" if error.errno == errno.ENOSPC else "check the folder"
        raise StorageError(
            f"{directory}: cannot write shards ({error.strerror or error}); {advice} and repeat the same command, "
            "which continues with the first missing shard"
        ) from error
    return index


def _rows(video_list: VideoList) -> list[dict[str, str]]:
    """The rows of the index: those of the list, but with all segments in the columns `start` and `end`."""
    rows = [{"start": "", "end": "", **row} for row in video_list.rows]
    in_path = False
    for row, path in zip(rows, video_list.paths, strict=True):
        name = os.path.basename(recording_of(path))
        if os.path.basename(row["path"]) != name:
            in_path = True
            row["path"] = os.path.join(os.path.dirname(row["path"]), name)
            row["start"], _, row["end"] = path.removeprefix(recording_of(path)).removeprefix("#t=").partition(",")
    return rows if in_path else video_list.rows


def _plan(video_list: VideoList, rows: list[dict[str, str]], shard_bytes: int) -> Iterator[_Member]:
    """The position of each file in the shards."""
    if clash := set(INDEX_COLUMNS) & set(rows[0]):
        raise ValueError(
            f"{video_list.file}: the column {min(clash)!r} has the name of a column of the index; rename it"
        )
    files: dict[str, list[int]] = {}
    for index, path in enumerate(video_list.paths):
        files.setdefault(recording_of(path), []).append(index)
    number, offset = 0, 0
    for path, indices in files.items():
        if os.path.isdir(path) or path.endswith(".npy"):
            kind = "a file of decoded frames" if path.endswith(".npy") else "a folder of frames"
            raise ListError(
                f"{video_list.file_and_line(indices[0])}: {path} is {kind}; `cmpl-zoo prepare` makes a video "
                "of it, which can be packed"
            )
        try:
            size = os.path.getsize(path)
        except OSError as error:
            raise ListError(
                f"{video_list.file_and_line(indices[0])}: {path} cannot be packed ({error.strerror}); `cmpl-zoo "
                "check` writes a list without such videos"
            ) from error
        of_file = [rows[index] for index in indices]
        end = _end(offset, size, of_file)
        if offset and end + _MAX_TAIL > shard_bytes:
            number, offset = number + 1, 0
            end = _end(offset, size, of_file)
        yield _Member(f"{indices[0]:09d}", path, of_file, f"shard-{number:06d}.tar", offset + BLOCK, size)
        offset = end


def _record(rows: list[dict[str, str]]) -> bytes:
    return json.dumps(rows if len(rows) > 1 else rows[0], ensure_ascii=False).encode()


def _end(offset: int, size: int, rows: list[dict[str, str]]) -> int:
    """Byte offset of the next sample: the video and its rows each take a header and their content, padded."""
    for length in (size, len(_record(rows))):
        offset += BLOCK + -(-length // BLOCK) * BLOCK
    return offset


def _index(video_list: VideoList, rows: list[dict[str, str]], members: list[_Member]) -> str:
    by_path = {member.path: member for member in members}
    of_rows = (by_path[recording_of(path)] for path in video_list.paths)
    placed = (
        row | {name: getattr(member, name) for name in INDEX_COLUMNS} for row, member in zip(rows, of_rows, strict=True)
    )
    return as_csv(placed, [*rows[0], *INDEX_COLUMNS])


def _write(file: Path, members: list[_Member], progress: tqdm) -> None:
    """Write one shard atomically; one that exists with all its bytes is skipped."""
    last = members[-1]
    end = _end(last.offset - BLOCK, last.size, last.rows) + 2 * BLOCK
    if file.exists() and file.stat().st_size == -(-end // tarfile.RECORDSIZE) * tarfile.RECORDSIZE:
        progress.update(len(members))
        return
    with atomic_write(file) as temporary, tarfile.open(temporary, "w", format=tarfile.GNU_FORMAT) as tar:
        for member in members:
            try:
                content = open(member.path, "rb")  # noqa: SIM115
            except OSError as error:
                raise StorageError(
                    f"{member.path} cannot be packed ({error.strerror}); repair that, and repeat the same command"
                ) from error
            with content as video:
                _add(tar, f"{member.key}{Path(member.path).suffix.lower() or '.video'}", video, member.size)
            record = _record(member.rows)
            _add(tar, f"{member.key}.json", io.BytesIO(record), len(record))
            progress.update()


def _add(tar: tarfile.TarFile, name: str, content: io.IOBase, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size = size
    tar.addfile(info, content)
    if content.read(1):
        raise StorageError(
            f"{getattr(content, 'name', name)} changed while it was packed; pack the list into another folder"
        )
