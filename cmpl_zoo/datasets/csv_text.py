"""Lists as spreadsheet programs save them: a mark at the start, and semicolons or tabs in place of commas."""

import csv
import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _csv import Reader

ENCODING = "utf-8-sig"  # with or without the mark of the byte order at its start
_DELIMITERS = (",", ";", "\t")


def csv_rows(text: Iterable[str]) -> "tuple[list[str], Reader]":
    """The header of a CSV file without blanks around its names, and a reader of the rows below it.

    Args:
        text: its lines, read as `ENCODING`. Of comma, semicolon and tab the one that is most often in its header
            separates cells everywhere.

    Raises:
        csv.Error: the header is no row of a CSV file; of other rows, as they are read.
    """
    lines = iter(text)
    first = next(lines, "")
    delimiter = max(_DELIMITERS, key=first.count)
    # Strict: else an unclosed quote would swallow rows.
    reader = csv.reader(itertools.chain([first], lines), delimiter=delimiter, skipinitialspace=True, strict=True)
    return [name.strip() for name in next(reader, [])], reader


def not_text(error: UnicodeDecodeError) -> str:
    """What a file is that is not text in UTF-8, and what to do; the first bytes tell spreadsheets."""
    if error.object[:4] in (b"PK\x03\x04", b"\xd0\xcf\x11\xe0"):
        return "is a spreadsheet; save it as CSV in UTF-8"
    return f"not a text file in UTF-8 ({error}); save it in UTF-8"
