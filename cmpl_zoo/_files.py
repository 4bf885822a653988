"""Atomic writing of files: whole or not at all. And CSV text."""

import csv
import errno
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_write(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside the target to write to; at the end it replaces the target, or on error is removed.

    Raises:
        OSError: the folder cannot be created, or the target cannot be written or replaced, as a device; it names a
            file.
    """
    check_replaceable(target)
    temporary = temporary_path(target)
    temporary.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        if error.filename is None:  # of a write, as to a full disk
            error.filename = os.fspath(target)
        raise
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def temporary_path(target: str | os.PathLike[str]) -> Path:
    """The path that `atomic_write` writes to; a process that is killed leaves it behind."""
    target = Path(target)
    name = f".{target.name}.part"
    if len(os.fsencode(name)) > 255:  # the longest name that file systems allow
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()}.part"
    return target.with_name(name)


def check_replaceable(file: str | os.PathLike[str]) -> None:
    """Raise OSError for what must not become a file: a folder, a device such as /dev/null, a pipe."""
    if os.path.isdir(file):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(file))
    if os.path.exists(file) and not os.path.isfile(file):
        raise OSError(errno.EINVAL, "it is no regular file", os.fspath(file))


def replace_text(file: str | os.PathLike[str], text: str) -> None:
    """Write a text file in UTF-8, atomically; raises an OSError where it cannot be written."""
    with atomic_write(file) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="")


def as_csv(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> str:
    """CSV text: a header of these columns and one line per row; other keys of a row are ignored."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def without_folders(name: str) -> str:
    """A name for others to read: of a path that exists here, or starts at the root, its last part alone."""
    return Path(name).name if os.path.isabs(name) or os.path.exists(name) else name
