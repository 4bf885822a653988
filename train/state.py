"""The folder of a run: whose it is, and the state that training goes on from."""

import os
import signal
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from config import FREE_ON_RESUME, Config, read_config, write_config


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


class Interrupt:
    """Ctrl-C asks to stop after the present step; a second one stops at once."""

    def __init__(self) -> None:
        self.asked = False
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
