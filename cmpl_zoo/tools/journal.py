"""The report of a long run over a list of videos, and the journal from which a killed run continues."""

import csv
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tqdm import tqdm

from cmpl_zoo._appended_lines import AppendedLines
from cmpl_zoo._files import as_csv, replace_text
from cmpl_zoo.datasets.lists import VideoList
from cmpl_zoo.storage.remote import is_url
from cmpl_zoo.storage.shards import is_shard_set
from cmpl_zoo.tools.worker_pool import LostTask, every_video
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.segments import recording_of
from cmpl_zoo_cli.spelling import flag


class Journal:
    """The file `report.csv` in a folder: one row per video in the order of the list, each written at once.

    A context manager. Beside the report is `VERB.json`, with the options of the run. Only one process at a time can
    open it.

    Args:
        directory: the folder; created if missing.
        video_list: the list, read with `root`.
        root: folder, or shards, that its paths are relative to.
        verb: the verb of `cmpl-zoo` that writes the report.
        options: the options that the rows depend on, by name.
        columns: columns of the report; the first three are path, verdict and cause.

    Attributes:
        file: the report.
        kept_file: the list of the videos to keep, which has the file name of the old list.
        verdicts: verdicts of the rows written so far, by an earlier run or by this one.
        finished_before: how many of them an earlier run wrote.

    Raises:
        ValueError: the folder holds the report of another list or of other options, or the list itself; or there is
            no such root.
        OSError: the report cannot be written, or another process has it open.
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
        self.video_list, self.columns, root = video_list, columns, os.fspath(root)
        self.file = Path(directory, "report.csv")
        self.kept_file = Path(directory, f"{video_list.file.stem}.csv")
        if self.kept_file.resolve() == video_list.file.resolve():
            raise ValueError(
                f"{directory} holds {video_list.file}, which the new list would overwrite; give another folder"
            )
        if self.kept_file == self.file:
            raise ValueError(f"{video_list.file} has the name of the report; rename the list")
        paths, packed = video_list.paths, is_shard_set(root)
        if not (packed or os.path.isdir(root)):
            raise ValueError(
                f"--root {root}: no such folder; give the one that the paths in {video_list.file} are relative to"
            )
        if not (packed or self.file.exists()) and not any(os.path.exists(recording_of(path)) for path in paths):
            raise ValueError(
                f"{video_list.file}: none of its {len(paths)} videos is there (the first: {paths[0]}); check it and "
                f"--root {root}"
            )
        try:
            Path(directory).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(f"{directory}: cannot be created ({error.strerror}); give another folder") from error
        self._check_options(
            Path(directory, f"{verb}.json"),
            {"root": root if is_url(root) else os.path.abspath(root), **options},
        )
        self._lines = AppendedLines(self.file)
        try:
            self.verdicts = self._read()
            self.finished_before = len(self.verdicts)
        except ValueError:
            self._lines.close()
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()

    def _check_options(self, file: Path, options: dict[str, Any]) -> None:
        if not file.exists():
            for output in (self.file, self.kept_file):
                if output.exists():
                    raise ValueError(f"{output} exists already and is not from this command; give another folder")
            replace_text(file, json.dumps(options, indent=1) + "\n")
            return
        try:
            former = dict(json.loads(file.read_text()))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{file}: does not hold the options of {self.file.name} ({error}); give another folder"
            ) from error
        for name, value in options.items():
            if former.get(name) != value:
                raise ValueError(
                    f"{self.file} was started {_as_option(name, former.get(name))}, not {_as_option(name, value)}; "
                    "give the same option, or another folder"
                )

    def _read(self) -> list[str]:
        """The verdicts in the report; a last row that a killed run did not finish is deleted."""
        rows = list(csv.reader(io.StringIO(self._lines.read().decode(errors="replace"), newline="")))
        if not rows:
            self._write(self.columns)
            return []
        expected = ["path", *(self.video_list.name(index) for index in range(len(self.video_list)))]
        for number, row in enumerate(rows):
            if row[:1] != expected[number : number + 1] or len(row) != len(self.columns):
                raise ValueError(
                    f"{self.file}, line {number + 1}: does not belong to {self.video_list.file}; give another folder, "
                    "or delete the report to start again"
                )
        return [row[1] for row in rows[1:]]

    def _write(self, values: Sequence[Any]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(values)
        self._lines.append(line.getvalue())

    def append(self, row: Mapping[str, Any]) -> None:
        """Write the row of the next video; `path` is added, and a missing column stays empty."""
        row = {"path": self.video_list.name(len(self.verdicts)), **row}
        self._write([row.get(column, "") for column in self.columns])
        self.verdicts.append(row["verdict"])

    def complete(self, work: Callable[..., Mapping[str, Any]], tasks: Sequence[Any], workers: int) -> None:
        """Append the row `work(task, alive)` of every video that has none yet, with a progress bar.

        A video whose worker died or hung gets the verdict `unreadable`.

        Args:
            work: see `every_video`; returns a row.
            tasks: one task per video of the list.
            workers: number of worker processes.

        Raises:
            KeyboardInterrupt: Ctrl-C; the message says that the same command continues.
            Exception: as `every_video`.
        """
        finished = self.finished_before
        results = every_video(work, tasks[finished:], workers)
        try:
            with closing(results), tqdm(total=len(tasks), initial=finished, unit="video", disable=None) as bar:
                for row in results:
                    self.append({"verdict": "unreadable", "cause": row.cause} if isinstance(row, LostTask) else row)
                    bar.update()
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"stopped after {len(self.verdicts)} of {len(tasks)} videos; the same command continues from there"
            ) from None

    def conclude(self, kept: Sequence[str], rows: Sequence[dict[str, str]] | None = None) -> str:
        """Write the list of the videos to keep.

        Args:
            kept: the verdicts of videos to keep.
            rows: of the new list, one per video; by default those of the old one.

        Returns:
            A summary in one line: the number of videos per verdict, and the files written.

        Raises:
            OSError: the list cannot be written.
        """
        rows = self.video_list.rows if rows is None else rows
        kept_rows = [row for row, verdict in zip(rows, self.verdicts, strict=True) if verdict in kept]
        replace_text(self.kept_file, as_csv(kept_rows, list(rows[0])))
        counts = Counter(self.verdicts)
        order = [*kept, *sorted(counts.keys() - kept)]
        per_verdict = ", ".join(f"{counts[verdict]} {verdict}" for verdict in order if counts[verdict])
        videos = f"{len(kept_rows)} of {len(self.verdicts)} videos"
        summary = f"{per_verdict}; {self.kept_file} lists {videos}, {self.file} says why"
        if self.finished_before < len(self.verdicts):
            return summary
        return f"{summary}; all of it is of an earlier run, so delete {self.file} if videos have changed since"


def cause_of(error: VideoError, path: str) -> str:
    """The message of an error without the path of the video, or of the file of a segment, at its start."""
    return str(error).removeprefix(f"{path}: ").removeprefix(f"{recording_of(path)}: ")


def _as_option(name: str, value: Any) -> str:
    """An option as on the command line: `with --max-short-side 256`, `without --copy`."""
    option = flag(name)
    if isinstance(value, bool) or value is None:
        return f"with{'' if value else 'out'} {option}"
    return f"with {option} {value}"
