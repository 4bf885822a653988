"""The states that a run saves and continues from."""

import hashlib
import io
import os
import sys
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from cmpl_zoo._files import atomic_write
from cmpl_zoo.training.errors import RunError


class States:
    """The last states of a run, in `states/step-N.pt`: a SHA-256 digest each, and after it what torch.save writes.

    Args:
        folder: of the run.
        keep: how many are kept.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        self.folder, self.keep = folder / "states", keep

    def files(self) -> list[Path]:
        """The saved states, the oldest first."""
        return sorted(self.folder.glob("step-*.pt"))

    @property
    def resumption(self) -> str:
        """What --resume does, for messages that end with it."""
        return "continues from the last saved state" if self.files() else "starts it again from the beginning"

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write a state whole or not at all, whenever the process dies.

        Where it cannot be written, as on a full disk, a warning says so, the former states stay and training continues.
        """
        file = self.folder / f"step-{step:09d}.pt"
        content = io.BytesIO()
        torch.save(state, content)
        try:
            with atomic_write(file) as unfinished, unfinished.open("wb") as out:
                out.write(hashlib.sha256(content.getbuffer()).digest())
                out.write(content.getbuffer())
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            tqdm.write(
                f"warning: step {step}: the state cannot be saved ({file}: {error.strerror}); training continues, and "
                f"if it stops before the next state, --resume {self.resumption}",
                file=sys.stderr,
            )
            return
        files = self.files()
        newest = files.index(file) + 1  # those after it are damaged, and the run went on from one before them
        for other in [*files[: max(0, newest - self.keep)], *files[newest:]]:
            other.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """The last state that is not damaged; None where none was saved.

        Raises:
            RunError: there are states, and all of them are damaged.
        """
        files = self.files()
        for file in reversed(files):
            if (state := read_state(file)) is not None:
                return state
            tqdm.write(f"warning: {file} is damaged; taking the state before it", file=sys.stderr)
        if files:
            raise RunError(f"{self.folder}: all {len(files)} states are damaged; begin again with --overwrite")
        return None


def read_state(file: Path) -> dict[str, Any] | None:
    """The state in one of the files that `States` writes; None where it is damaged."""
    content = memoryview(file.read_bytes())
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        return None
    state: dict[str, Any] = torch.load(io.BytesIO(content[32:]), map_location="cpu", weights_only=True)
    return state
