"""What reading a segment finds out about its file, kept for the next segment of the same file.

An hour of video has a hundred thousand packets. Reading them takes about a second, many times what a clip takes.
"""

import os
from contextlib import suppress
from typing import Any

MOST_FILES = 2  # whose index is kept, some 40 MB for an hour of video each; our choice
_kept: dict[tuple[object, ...], dict[str, Any]] = {}


def kept_index(file: str) -> dict[str, Any]:
    """What `keep_index` kept of a file, if it has not changed since; else empty."""
    return _kept.get(_identity(file), {})


def keep_index(file: str, index: dict[str, Any]) -> None:
    """Keep what is known of a file, and forget the file whose index was kept longest ago.

    Args:
        file: path of the file, or the address of a video in a shard.
        index: anything by name; it is shared, and must not change any more.
    """
    _kept.pop(_identity(file), None)
    _kept[_identity(file)] = index
    for oldest in list(_kept)[:-MOST_FILES]:
        _kept.pop(oldest, None)


def _identity(file: str) -> tuple[object, ...]:
    with suppress(OSError):
        status = os.stat(file)
        return file, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
    return (file,)
