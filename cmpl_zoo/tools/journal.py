"""The report of a long run over a list of videos: also the journal that a run which was killed goes on from."""

import csv
import fcntl
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from cmpl_zoo._files import as_csv, replace_text
from cmpl_zoo.datasets.lists import VideoList
from cmpl_zoo.tools.worker_pool import Lost, every_video


class Journal:
    """`report.csv` in a folder: a row a video, in the order of the list, written as they come; a context manager.

    Beside it stands `VERB.json`, the options that it was begun with. It is opened by one process at a time.

    Args:
        directory: made where it is missing.
        video_list: the list, read with `root`.
        root: folder that its paths are relative to.
        verb: the command that writes it.
        options: the options that every row depends on, by name.
        columns: of the report; the first three are path, verdict and cause.

    Attributes:
        verdicts: of the rows written so far, by an earlier run or by this one.

    Raises:
        ValueError: the folder holds the report of another list or of other options, or the list itself, or there is
            no such root.
        OSError: it cannot be written, or another process has it open.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        video_list: VideoList,
        root: str | os.PathLike[str],
        verb: str,
        options: dict[str, Any],
        columns: Sequence[str],
    ) -> None:
        self.video_list, self.columns = video_list, columns
        self.file = Path(directory, "report.csv")
        self.kept_file = Path(directory, f"{video_list.file.stem}.csv")
        if self.kept_file.resolve() == video_list.file.resolve():
            raise ValueError(
                f"{directory} holds the list itself, which the new one would overwrite; give another folder"
            )
        if self.kept_file == self.file:
            raise ValueError(f"{video_list.file} has the name of the report to come; rename the list")
        if not os.path.isdir(root):
            raise ValueError(
                f"--root {root}: no such folder; give the one that the paths of {video_list.file} start from"
            )
        try:
            Path(directory).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"{directory}: cannot be made ({error.strerror}); give another folder") from error
        self._check_options(Path(directory, f"{verb}.json"), {"root": os.path.abspath(root), **options})
        self._handle = self._open()
        try:
            self.verdicts = self._read()
        except ValueError:
            os.close(self._handle)
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)

    def _check_options(self, file: Path, options: dict[str, Any]) -> None:
        if not file.exists():
            for mine in (self.file, self.kept_file):
                if mine.exists():
                    raise ValueError(f"{mine} is there already and not from this command; give another folder")
            replace_text(file, json.dumps(options, indent=1) + "\n")
            return
        try:
            begun = dict(json.loads(file.read_text()))
        except (ValueError, TypeError) as error:
            raise ValueError(f"{file}: not what {self.file.name} was begun with; give another folder") from error
        if "short_side" in begun:  # its name in reports of version 0.1
            begun["max_short_side"] = begun.pop("short_side")
        for name, value in options.items():
            if begun.get(name) != value:
                raise ValueError(
                    f"{self.file} was begun {_as_option(name, begun.get(name))}, not {_as_option(name, value)}; "
                    "repeat that, or give another folder"
                )

    def _open(self) -> int:
        handle = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise OSError(f"{self.file}: another run is writing it; wait for that, or give another folder") from error
        except OSError:
            pass  # a file system without locks
        return handle

    def _read(self) -> list[str]:
        """Verdicts of the rows that are there; a row that a killed run left half written is cut off."""
        data = self.file.read_bytes()
        whole = data.rfind(b"\n") + 1
        os.truncate(self._handle, whole)
        rows = list(csv.reader(io.StringIO(data[:whole].decode(errors="replace"), newline="")))
        if not rows:
            self._write(self.columns)
            return []
        expected = ["path", *(row["path"] for row in self.video_list.rows)]
        for number, row in enumerate(rows):
            if row[:1] != expected[number : number + 1] or len(row) != len(self.columns):
                raise ValueError(
                    f"{self.file}, line {number + 1}: not of {self.video_list.file}; give another folder, or delete "
                    "the report to begin again"
                )
        return [row[1] for row in rows[1:]]

    def _write(self, values: Sequence[Any]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values)
        rest = line.getvalue().encode()
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError as error:
            raise OSError(f"{self.file}: {error.strerror}; mend that, and the same command goes on") from error

    def append(self, row: dict[str, Any]) -> None:
        """Write the row of the next video; `path` is added, and a column that it lacks stays empty."""
        row = {"path": self.video_list.rows[len(self.verdicts)]["path"], **row}
        self._write([row.get(column, "") for column in self.columns])
        self.verdicts.append(row["verdict"])

    def complete(self, work: Callable[..., dict[str, Any]], tasks: Sequence[Any], workers: int) -> None:
        """Append `work(task, alive)` for every video that has no row yet, with a progress bar.

        A video that its worker died of gets the verdict `unreadable` with that cause.

        Args:
            work: see `every_video`; returns a row.
            tasks: one a video of the list.
            workers: number of processes.

        Raises:
            KeyboardInterrupt: Ctrl-C, with a message that the same command goes on.
            Exception: see `every_video`.
        """
        begun = len(self.verdicts)
        results = every_video(work, tasks[begun:], workers)
        try:
            with closing(results), tqdm(total=len(tasks), initial=begun, unit="video", disable=None) as bar:
                for row in results:
                    self.append({"verdict": "unreadable", "cause": row.cause} if isinstance(row, Lost) else row)
                    bar.update()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped after {len(self.verdicts)} of {len(tasks)} videos; the same command goes on from there"
            ) from None

    def conclude(self, kept: Sequence[str], paths: Sequence[str] | None = None) -> str:
        """Write the list of the videos that are kept, with all its columns, and sum up.

        Args:
            kept: the verdicts of videos that stay in the list.
            paths: what stands in the column `path`; by default what the list says.

        Returns:
            One line: how many videos have which verdict, and where the list is.
        """
        paths = paths or [row["path"] for row in self.video_list.rows]
        rows = [
            row | {"path": path}
            for row, path, verdict in zip(self.video_list.rows, paths, self.verdicts, strict=True)
            if verdict in kept
        ]
        replace_text(self.kept_file, as_csv(rows, list(self.video_list.rows[0])))
        counts = Counter(self.verdicts)
        order = [*kept, *sorted(counts.keys() - kept)]
        summed = ", ".join(f"{counts[verdict]} {verdict}" for verdict in order if counts[verdict])
        videos = f"{len(rows)} of {len(self.verdicts)} videos"
        return f"{summed}; {self.kept_file} lists {videos}, {self.file} says why"


def _as_option(name: str, value: Any) -> str:
    """An option as it is given on the command line: `with --max-short-side 256`, `without --copy`."""
    option = "--" + name.replace("_", "-")
    if isinstance(value, bool) or value is None:
        return f"with{'' if value else 'out'} {option}"
    return f"with {option} {value}"
