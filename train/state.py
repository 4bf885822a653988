"""The folder of a run: whose it is, and the state that training goes on from."""

import csv
import os
import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from config import FREE_ON_RESUME, Config, read_config, write_config
from tqdm import tqdm


class RunError(Exception):
    """A run that cannot start or go on; the message says why and what to do."""


def open_run(config: Config) -> Path:
    """The run's folder, made or found, with its resolved options in config.yaml.

    Raises:
        RunError: it holds another run, or the same run with other options.
    """
    folder = Path(config.output)
    file = folder / "config.yaml"
    options = asdict(config) | {"short_side": list(config.short_side)}
    metrics = folder / "metrics.jsonl"
    # One that failed before its first log line and its first state is no run.
    if (folder / "state.pt").exists() or (metrics.exists() and metrics.stat().st_size):
        if not config.resume:
            raise RunError(f"{folder} holds a run already; go on with it by --resume true, or give another --output")
        before = read_config(file)
        changed = [k for k, v in options.items() if k not in FREE_ON_RESUME and before.get(k) != v]
        if changed:
            was = ", ".join(f"{key} was {before.get(key)}" for key in changed)
            raise RunError(f"{folder} holds a run with other options ({was}); give them, or another --output")
    elif not file.exists() and folder.exists() and any(folder.iterdir()):
        raise RunError(f"{folder} is not empty and holds no run; give another --output")
    folder.mkdir(parents=True, exist_ok=True)
    write_config(options, file)
    return folder


def save_state(state: dict[str, Any], file: Path) -> None:
    """Write a state whole: a reader finds the former one or this one, whenever the process dies."""
    written = file.with_suffix(".writing")
    torch.save(state, written)
    os.replace(written, file)


def load_state(file: Path) -> dict[str, Any]:
    return torch.load(file, map_location="cpu", weights_only=True)


class UnreadableVideos:
    """The videos of a run that cannot be read: each is named once, in the log and in unreadable.csv.

    Args:
        folder: of the run.
        videos: how many are in its lists.
        most: share of them from which on the run is not worth going on with.
    """

    def __init__(self, folder: Path, videos: int, most: float) -> None:
        self.file = folder / "unreadable.csv"
        self.videos, self.most = videos, most
        self.paths: set[str] = set()
        if self.file.exists():
            with self.file.open(newline="", encoding="utf-8") as lines:
                self.paths = {row["path"] for row in csv.DictReader(lines)}

    def note(self, unreadable: list[tuple[str, str]]) -> None:
        """Take down the (path, message) of videos that others came in the place of.

        Raises:
            RunError: they are too many.
        """
        for path, message in unreadable:
            if path in self.paths:
                continue
            self.paths.add(path)
            tqdm.write(f"left out: {message}", file=sys.stderr)
            with self.file.open("a", newline="", encoding="utf-8") as lines:
                writer = csv.writer(lines, lineterminator="\n")
                if not lines.tell():
                    writer.writerow(["path", "cause"])
                writer.writerow([path, message])
        if len(self.paths) > self.most * self.videos:
            raise RunError(
                f"{len(self.paths)} of {self.videos} videos cannot be read, more than --max_unreadable {self.most:g} "
                f"allows; {self.file} names them, and `cmpl-zoo check` writes lists without them"
            )


class Interrupt:
    """Ctrl-C asks to stop after the present step; a second one stops at once."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
