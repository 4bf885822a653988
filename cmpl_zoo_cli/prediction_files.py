"""Files of predictions, CSV or JSON: a line a video, written as it comes, and continued after a kill."""

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from cmpl_zoo_cli.prediction_text import printable

if TYPE_CHECKING:
    from cmpl_zoo.prediction import RankedClasses

DIGITS = 5  # of a probability, after the point
JSON_START = '{"path": '


class Row(NamedTuple):
    """A row of a file: the path of a video as the file has it, its label, and the probability of each class."""

    path: str
    label: str
    probabilities: dict[str, float]


class CsvRows:
    """Rows in CSV: the columns path and label, and one for each class.

    Args:
        classes: names of all classes.

    Raises:
        ValueError: a class is called like another column.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        if taken := {"path", "label"} & set(classes):
            raise ValueError(f"a class of the model is called {min(taken)!r}, as a column of --csv is; take --json")
        self.columns = ["path", "label", *classes]
        self.header = csv_line(self.columns)

    def path(self, path: str) -> str:
        """A path as the file has it: what a line of text cannot hold is spelled out."""
        return printable(path)

    def line(self, row: Row) -> str:
        numbers = (f"{row.probabilities[name]:.{DIGITS}f}" for name in self.columns[2:])
        return csv_line([row.path, row.label, *numbers])

    def rows(self, text: str) -> Iterator[Row]:
        """The rows of a file; raises a ValueError where it is of another form or other classes."""
        lines = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            if (header := next(lines, self.columns)) != self.columns:
                raise ValueError(f"the columns are {','.join(header)[:80]}, and not path,label and the model's classes")
            for path, chosen, *numbers in lines:
                yield Row(path, chosen, dict(zip(self.columns[2:], map(float, numbers), strict=True)))
        except (ValueError, csv.Error) as error:
            raise ValueError(f"line {lines.line_num}: {error}") from error


class JsonRows:
    """Rows as objects in JSON, a line each: path, label and probabilities, the most probable class first.

    Args:
        classes: names of all classes.
    """

    header = ""

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = set(classes)

    def path(self, path: str) -> str:
        """A path as the file has it."""
        return path

    def line(self, row: Row) -> str:
        return json.dumps(row._asdict()) + "\n"

    def rows(self, text: str) -> Iterator[Row]:
        """The rows of a file; raises a ValueError where it is of another form or other classes."""
        for number, line in enumerate(text.split("\n")[:-1], start=1):
            try:
                row = Row(**json.loads(line))
                row = row._replace(probabilities={name: float(p) for name, p in row.probabilities.items()})
                if row.probabilities.keys() != self.classes:
                    raise ValueError(f"the classes are {', '.join(row.probabilities)[:80]}, and not the model's")
            except (ValueError, TypeError, AttributeError) as error:
                raise ValueError(f"line {number}: {error}") from error
            yield row


class PredictionFile:
    """A file of predictions, or the standard output.

    Args:
        file: its path; `-` for the standard output.
        rows: how a row is written.
        min_probability: below which a video is uncertain.
        resume: continue the file, if it is there.

    Attributes:
        name: `file`.
        former: some rows that were there already.

    Raises:
        ValueError: there is a file already, and it is not to be continued, or is not one of these classes and least
            probability.
        OSError: it cannot be written, or another process is writing it.
    """

    def __init__(self, file: str, rows: CsvRows | JsonRows, min_probability: float, resume: bool) -> None:
        self.name, self.former = file, list[Row]()
        self._rows, self._min_probability = rows, min_probability
        self._done: set[str] = set()
        if file != "-" and Path(file).is_file() and (data := Path(file).read_bytes()):
            if not resume:
                raise ValueError(f"{file}: is there already; --resume continues it, or give another file")
            try:
                self._continue(data)
            except ValueError as error:
                raise ValueError(f"{file}: cannot be continued: {error}; give another file") from error
        self._lines = Lines(file, "" if self._done else rows.header, "--resume continues")

    def __contains__(self, path: str) -> bool:
        """Whether it has a row of this video."""
        return self._rows.path(path) in self._done

    def write(self, path: str, classes: "RankedClasses") -> None:
        """Write the row of a video, given all its classes; raises an OSError where that fails."""
        from cmpl_zoo.prediction.ensemble import label_of

        rounded = [(name, round(probability, DIGITS)) for name, probability in classes]
        row = Row(self._rows.path(path), label_of(rounded, self._min_probability), dict(rounded))
        self._lines.append(self._rows.line(row))
        self._done.add(row.path)

    def close(self) -> None:
        """Close it; a file without a row is deleted."""
        self._lines.close()

    def _continue(self, data: bytes) -> None:
        """Take over the rows of a file; raises a ValueError where they are not of this model."""
        from cmpl_zoo.models.labels import UNCERTAIN

        begun = (self._rows.header or JSON_START).encode()
        if b"\n" not in data and data[: len(begun)] != begun[: len(data)]:
            raise ValueError(f"it begins with {data[:60]!r}")
        for row in self._rows.rows(data[: data.rfind(b"\n") + 1].decode()):
            if (max(row.probabilities.values()) < self._min_probability) != (row.label == UNCERTAIN):
                raise ValueError("it was made with another --min-probability")
            self._done.add(row.path)
            self.former += [row] if len(self.former) < 3 else []


class Lines:
    """A file of lines, or the standard output for `-`; a new one that stays empty is deleted.

    Args:
        file: its path; a last line that is not complete is deleted.
        header: written before the first line.
        next_step: as for `AppendedLines`.

    Raises:
        OSError: it cannot be written, or another process is writing it.
    """

    def __init__(self, file: str, header: str, next_step: str) -> None:
        from cmpl_zoo._appended_lines import AppendedLines

        self._header, self._lines, self._new = header, None, not Path(file).exists()
        if file == "-":
            return
        try:
            Path(file).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"{file}: its folder cannot be made ({error.strerror}); give another file") from error
        self._lines = AppendedLines(Path(file), next_step)
        self._lines.read()

    def append(self, line: str) -> None:
        """Write a line; raises an OSError where that fails."""
        if self._lines:
            self._lines.append(self._header + line)
        else:
            sys.stdout.write(self._header + line)
        self._header = ""

    def close(self) -> None:
        """Close it."""
        if self._lines:
            self._lines.close()  # Windows deletes no open file
            if self._new and not self._lines.file.stat().st_size:
                self._lines.file.unlink()


def csv_line(cells: Sequence[object]) -> str:
    """A line of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
