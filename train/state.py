"""The folder of a run: whose it is, and the states that training goes on from."""

import csv
import hashlib
import io
import os
import shutil
import signal
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import yaml
from config import FREE_ON_RESUME, Config, read_config, write_config
from tqdm import tqdm


class RunError(Exception):
    """A run that cannot start or go on; the message says why and what to do."""


def open_run(config: Config, resume: bool, remark: str) -> Path:
    """The run's folder, made or found, with its resolved options in config.yaml.

    Args:
        config: of the run.
        resume: go on with what is there.
        remark: first line of config.yaml.

    Raises:
        RunError: it holds another run, or the same run with other options.
    """
    folder = Path(config.output)
    if folder.exists() and not folder.is_dir():
        raise RunError(f"--output {folder} is a file; give a folder")
    file = folder / "config.yaml"
    options = asdict(config) | {"short_side": list(config.short_side)}
    metrics = folder / "metrics.jsonl"
    # One that failed before its first log line and its first state is no run.
    begun = States(folder).files() or (metrics.exists() and metrics.stat().st_size)
    if begun and config.overwrite and not resume:
        refuse_what_is_needed(config, folder)
        shutil.rmtree(folder)
    elif begun:
        if not resume:
            raise RunError(
                f"{folder} holds a run already; go on with it by --resume true, give another --output, or delete it by "
                "--overwrite true"
            )
        before = former_options(file)
        changed = [k for k, v in options.items() if k not in FREE_ON_RESUME and before.get(k) != v]
        if changed:
            was = ", ".join(f"{key} was {before.get(key)}" for key in changed)
            raise RunError(f"{folder} holds a run with other options ({was}); give them, or another --output")
        if any(before.get(key) != options[key] for key in ("root", "unlabeled_root")):
            (folder / "unreadable.csv").unlink(missing_ok=True)  # its paths are those of another folder
    elif not file.exists() and folder.exists() and any(folder.iterdir()):
        raise RunError(f"{folder} is not empty and holds no run; give another --output")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not begun:
            (folder / "unreadable.csv").unlink(missing_ok=True)
        write_config(options | {"resume": False, "overwrite": False}, file, remark)
    except OSError as error:
        raise RunError(f"--output {folder} cannot be written to ({error.strerror}); give a folder that can") from error
    return folder


def refuse_what_is_needed(config: Config, folder: Path) -> None:
    """Raise RunError where the run that is to be deleted holds what this one starts from."""
    lists = ("labeled", "unlabeled", "val", "classes")
    for name in ("init", "auxiliary_init", *lists, "root", "unlabeled_root", "val_root"):
        value = getattr(config, name)
        if value and Path(value).exists() and Path(value).resolve().is_relative_to(folder.resolve()):
            raise RunError(f"--overwrite true would delete --{name} {value} with {folder}; give another --output")


def former_options(file: Path) -> dict[str, Any]:
    """What config.yaml says of a run that is to go on.

    Raises:
        RunError: it is missing or damaged.
    """
    try:
        options = read_config(file)
    except OSError as error:
        cause = error.strerror
    except (UnicodeDecodeError, yaml.YAMLError):
        cause = "it is not YAML"
    else:
        if isinstance(options, dict):
            return options
        cause = "it holds no options"
    raise RunError(
        f"{file} cannot be read ({cause}), and a run goes on with its own options alone; put it back, or begin again "
        "by --overwrite true instead of --resume"
    )


class States:
    """The last states of a run, in `states/step-N.pt`: each a SHA-256 digest and, after it, what torch.save writes.

    Args:
        folder: of the run.
        keep: how many are kept.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self.keep = folder / "states", keep

    def files(self) -> list[Path]:
        """The states that there are, the oldest first."""
        return sorted(self.folder.glob("step-*.pt"))

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write a state whole: a reader finds it or the ones before, whenever the process dies.

        Where it cannot be written, as on a full disk, the former ones stay, the log says so and training goes on.
        """
        file = self.folder / f"step-{step:09d}.pt"
        unfinished = file.with_suffix(".writing")
        content = io.BytesIO()
        torch.save(state, content)
        try:
            self.folder.mkdir(exist_ok=True)
            with unfinished.open("wb") as out:
                out.write(hashlib.sha256(content.getbuffer()).digest())
                out.write(content.getbuffer())
                out.flush()
                os.fsync(out.fileno())
            os.replace(unfinished, file)
        except OSError as error:
            with suppress(OSError):
                unfinished.unlink()
            tqdm.write(
                f"warning: step {step}: the state cannot be saved ({file}: {error.strerror}); training goes on, and a "
                "stop before the next state loses the steps since the last",
                file=sys.stderr,
            )
            return
        for old in self.files()[: -self.keep]:
            old.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """The last state that is whole; None where there is none at all.

        Raises:
            RunError: there are states, and all of them are damaged.
        """
        files = self.files()
        for file in reversed(files):
            content = memoryview(file.read_bytes())
            if hashlib.sha256(content[32:]).digest() == content[:32]:
                return torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
            tqdm.write(f"warning: {file} is damaged; taking the state before it", file=sys.stderr)
        if files:
            raise RunError(f"{self.folder}: all {len(files)} states are damaged; begin again by --overwrite true")
        return None


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


class Interrupt:
    """Ctrl-C, SIGTERM (a cluster that takes the machine back) and SIGUSR1 (SLURM, before the time is up) ask to stop.

    The run stops after the present step; a second Ctrl-C stops it at once.
    """

    def __init__(self) -> None:
        self.asked: int = 0  # the signal's number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _frame: object) -> None:
        self.asked = number
        signal.signal(signal.SIGINT, signal.default_int_handler)
