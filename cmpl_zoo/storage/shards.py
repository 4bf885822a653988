"""Videos in tar shards: random access by a byte index.

A shard set is a folder, on a disk or behind any URL that fsspec knows, which holds `shard-000000.tar` and so on, and
`shards.csv`: the columns of the list that was packed (see `pack.py`), and where each video lies (shard, offset, size).
It stands wherever a root folder of videos does. A video in it has an address, such as
`DIR/shard-000012.tar#walk/a.mp4@1536+73401`, which everything that reads videos takes for a path.
"""

import csv
import io
import os
import re

from cmpl_zoo.storage.remote import StorageError, cached_range, is_url, read_range

INDEX = "shards.csv"
PLACE = ("shard", "offset", "size")  # the columns of the index that come after those of the list
_ADDRESS = re.compile(r"(?P<shard>.+\.tar)#.*@(?P<offset>\d+)\+(?P<size>\d+)", re.DOTALL)


def is_shard_set(root: str | os.PathLike[str]) -> bool:
    return is_url(os.fspath(root)) or os.path.isfile(os.path.join(root, INDEX))


def read_index(root: str) -> dict[str, str]:
    """Path of each video, as in the list that was packed -> its address.

    Raises:
        StorageError: the index is missing, cannot be read, or is none.
    """
    file = f"{root.rstrip('/')}/{INDEX}"
    try:
        if is_url(root):
            text = read_range(file).decode()
        else:
            with open(file, newline="", encoding="utf-8") as lines:
                text = lines.read()
        rows = csv.reader(io.StringIO(text, newline=""))
        header = next(rows, [])
        path, shard, offset, size = (header.index(column) for column in ("path", *PLACE))
        folder = file.removesuffix(INDEX)
        return {
            os.path.normpath(row[path]): f"{folder}{row[shard]}#{row[path]}@{int(row[offset])}+{int(row[size])}"
            for row in rows
        }
    except OSError as error:
        raise StorageError(f"{file}: cannot read this index of shards ({error.strerror}); check --root") from error
    except (ValueError, IndexError, csv.Error) as error:
        raise StorageError(
            f"{file}: not an index of shards ({error}); `cmpl-zoo shard` writes one, with the columns "
            f"path,...,{','.join(PLACE)}"
        ) from error


def read_member(address: str) -> bytes | None:
    """The bytes of the video at an address within a shard; None where the path is no such address.

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
        raise StorageError(f"{shard}: it ends before {address.rpartition('#')[2]} does; copy it anew")
    return data
