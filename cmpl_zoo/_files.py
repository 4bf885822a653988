"""Files that are written whole or not at all, and lists of videos as CSV text."""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole_or_nothing(target: str | os.PathLike[str]) -> Iterator[Path]:
    """A name beside the target to write to; it becomes the target at the end, and is removed where that fails."""
    half = half_of(target)
    half.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield half
        os.replace(half, target)
    finally:
        with suppress(FileNotFoundError):
            half.unlink()


def half_of(target: str | os.PathLike[str]) -> Path:
    """What `whole_or_nothing` writes to; a process that is killed leaves it behind."""
    target = Path(target)
    name = f".{target.name}.part"
    if len(os.fsencode(name)) > 255:  # the most that file systems take
        name = f".{hashlib.sha256(os.fsencode(target.name)).hexdigest()}.part"
    return target.with_name(name)


def replace_text(file: str | os.PathLike[str], text: str) -> None:
    """Write a text file as a whole or not at all."""
    with whole_or_nothing(file) as half:
        half.write_text(text, encoding="utf-8", newline="")


def as_csv(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> str:
    """A header and a line a row, with these of its columns."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
