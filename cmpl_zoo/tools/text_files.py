"""Text files of the importers, whose errors are a `ListError`."""

from pathlib import Path

from cmpl_zoo._files import replace_text
from cmpl_zoo.datasets.lists import ListError


def read_text(file: Path) -> str:
    """The text of a file in UTF-8; raises a ListError where it cannot be read."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ListError(f"{file}: cannot read this list: {error.strerror}; check the path") from error
    except UnicodeDecodeError as error:
        raise ListError(f"{file}: not a text file in UTF-8 ({error}); save it in UTF-8") from error


def write_text(file: Path, text: str) -> None:
    """Write a text file, atomically; raises a ListError where it cannot be written."""
    try:
        replace_text(file, text)
    except OSError as error:
        raise ListError(f"{file}: cannot write this file: {error.strerror}; give another path") from error
