"""Reading videos in tar shards: random access by a byte index.

A shard set is a folder, on a disk or at a URL of any file system that fsspec knows. It holds `shard-000000.tar` and so
on, and the index `shards.csv`: the columns of the list that was packed (see `tools/shard.py`), and the shard, byte
offset and size of each video. It can be given in place of a root folder of videos. Each of its videos has an address,
such as `DIR/shard-000012.tar#walk/a.mp4@1536+73401`, which can be given in place of a path wherever videos are read.
"""

import csv
import io
import os
import re

from cmpl_zoo.storage.cache import cached_range
from cmpl_zoo.storage.remote import StorageError, is_url, read_range

INDEX_FILE = "shards.csv"
INDEX_COLUMNS = ("shard", "offset", "size")  # they come after the columns of the list
_ADDRESS = re.compile(r"(?P<shard>.+\.tar)#.*@(?P<offset>\d+)\+(?P<size>\d+)", re.DOTALL)


def is_shard_set(root: str | os.PathLike[str]) -> bool:
    """Whether a root is a shard set: a URL, which is not opened, or a folder with an index."""
    return is_url(os.fspath(root)) or os.path.isfile(os.path.join(root, INDEX_FILE))


def read_index(root: str) -> dict[str, str]:
    """The address of each video in a shard set, by its path in the list that was packed.

    Raises:
        StorageError: the index is missing, cannot be read, or is not an index of shards.
    """
    file = f"{root.rstrip('/')}/{INDEX_FILE}"
    try:
        if is_url(root):
            text = read_range(file).decode()
        else:
            with open(file, newline="", encoding="utf-8") as lines:
                text = lines.read()
        rows = csv.reader(io.StringIO(text, newline=""))
        header = next(rows, [])
        path, shard, offset, size = (header.index(column) for column in ("path", *INDEX_COLUMNS))
        folder = file.removesuffix(INDEX_FILE)
        return {
            os.path.normpath(row[path]): f"{folder}{row[shard]}#{row[path]}@{int(row[offset])}+{int(row[size])}"
            for row in rows
        }
    except OSError as error:
        raise StorageError(f"{file}: cannot read this index of shards ({error.strerror}); check --root") from error
    except (ValueError, IndexError, csv.Error) as error:
        raise StorageError(
            f"{file}: not an index of shards ({error}); `cmpl-zoo shard` writes one, with the columns "
            f"path,...,{','.join(INDEX_COLUMNS)}"
        ) from error


def is_address(path: str) -> bool:
    """Whether a path is the address of a video in a shard."""
    return _ADDRESS.fullmatch(path) is not None


def read_member(address: str) -> bytes | None:
    """The bytes of the video at an address in a shard, or None if the path is not such an address.

    Raises:
        StorageError: the shard cannot be read.
    """
    if not (match := _ADDRESS.fullmatch(address)):
        return None
    shard, offset, size = match["shard"], int(match["offset"]), int(match["size"])
    if is_url(shard):
        return cached_range(shard, offset, size)
    try:
        with open(shard, "rb") as file:
            file.seek(offset)
            data = file.read(size)
    except OSError as error:
        raise StorageError(f"{shard}: cannot read this shard ({error.strerror}); check --root") from error
    if len(data) < size:
        raise StorageError(f"{shard}: it ends before {address.rpartition('#')[2]} does; copy the shard again")
    return data
