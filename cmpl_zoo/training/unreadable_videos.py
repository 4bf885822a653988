"""The videos of a run that cannot be read."""

import csv
import sys
from pathlib import Path

from tqdm import tqdm

from cmpl_zoo.datasets.training_steps import UnreadableVideo
from cmpl_zoo.training.errors import RunError


class UnreadableVideos:
    """The videos of a run that cannot be read: each is named once, on stderr and in unreadable.csv.

    Those that only an earlier start of the run could not read do not count: they may have been repaired since.

    Args:
        folder: of the run.
        videos: how many are in its lists.
        most: share of them that may be unreadable; above it the run stops.
    """

    def __init__(self, folder: Path, videos: int, most: float) -> None:
        self.file = folder / "unreadable.csv"
        self.videos, self.most = videos, most
        self.seen: set[str] = set()
        self.named: set[str] = set()
        if self.file.exists():
            with self.file.open(newline="", encoding="utf-8") as lines:
                self.named = {row["path"] for row in csv.DictReader(lines)}

    def note(self, unreadable: list[UnreadableVideo]) -> None:
        """Record videos that were replaced by others.

        Raises:
            RunError: too many videos are unreadable.
        """
        for path, message in unreadable:
            self.seen.add(path)
            if path in self.named:
                continue
            self.named.add(path)
            tqdm.write(f"left out: {message}", file=sys.stderr)
            with self.file.open("a", newline="", encoding="utf-8") as lines:
                writer = csv.writer(lines, lineterminator="\n")
                if not lines.tell():
                    writer.writerow(["path", "cause"])
                writer.writerow([path, message])
        if len(self.seen) > self.most * self.videos:
            raise RunError(
                f"{len(self.seen)} of {self.videos} videos cannot be read, more than --max-unreadable {self.most:g} "
                f"allows; {self.file} names them: repair them or move them away (`cmpl-zoo check` finds all such "
                "videos of a list or folder), and begin again; or allow more"
            )
