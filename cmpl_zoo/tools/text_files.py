"""Text files of importers and labels, whose errors are a `ListError`."""

from pathlib import Path

from cmpl_zoo._files import replace_text
from cmpl_zoo.datasets.csv_text import ENCODING, not_text
from cmpl_zoo.datasets.lists import ListError


def read_text(file: Path, what: str = "this list", advice: str = "check the path") -> str:
    """The text of a file in UTF-8.

    Raises:
        ListError: it cannot be read; the message says what should be in the file, and the advice.
    """
    try:
        return file.read_text(encoding=ENCODING)
    except OSError as error:
        raise ListError(f"{file}: cannot read {what}: {error.strerror}; {advice}") from error
    except UnicodeDecodeError as error:
        raise ListError(f"{file}: {not_text(error)}") from error


def write_text(file: Path, text: str) -> None:
    """Write a text file, atomically; raises a ListError where it cannot be written."""
    try:
        replace_text(file, text)
    except OSError as error:
        raise ListError(f"{file}: cannot write this file: {error.strerror}; give another path") from error
