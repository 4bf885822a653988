"""The videos of a run that cannot be read."""

import csv
import sys
from pathlib import Path

from tqdm import tqdm

from cmpl_zoo.training.errors import RunError


class UnreadableVideos:
    """The videos of a run that cannot be read: each is named once, in the log and in unreadable.csv.

    Those that only an earlier start of the run has met do not count: they may have been mended since.

    Args:
        folder: of the run.
        videos: how many are in its lists.
        most: share of them that may be unreadable; above it the run stops.
    """

    def __init__(self, folder: Path, videos: int, most: float) -> None:
        self.file = folder / "unreadable.csv"
        self.videos, self.most = videos, most
        self.met: set[str] = set()
        self.named: set[str] = set()
        if self.file.exists():
            with self.file.open(newline="", encoding="utf-8") as lines:
                self.named = {row["path"] for row in csv.DictReader(lines)}

    def note(self, unreadable: list[tuple[str, str]]) -> None:
        """Take down the (path, message) of videos that others came in the place of.

        Raises:
            RunError: they are too many.
        """
        for path, message in unreadable:
            self.met.add(path)
            if path in self.named:
                continue
            self.named.add(path)
            tqdm.write(f"left out: {message}", file=sys.stderr)
            with self.file.open("a", newline="", encoding="utf-8") as lines:
                writer = csv.writer(lines, lineterminator="\n")
                if not lines.tell():
                    writer.writerow(["path", "cause"])
                writer.writerow([path, message])
        if len(self.met) > self.most * self.videos:
            raise RunError(
                f"{len(self.met)} of {self.videos} videos cannot be read, more than --max_unreadable {self.most:g} "
                f"allows; {self.file} names them: mend them, begin again with lists without them, which `cmpl-zoo "
                "check` writes, or allow more"
            )
