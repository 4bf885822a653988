"""Which file every worker process has in hand, told through shared memory, so that one that dies or hangs is named."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

_LONGEST = 4096  # bytes of a path, as the system allows; a longer address is cut


@dataclass(frozen=True)
class InHand:
    """What a process has in hand: a path, or "" between files, and for how many seconds."""

    pid: int
    path: str
    seconds: float


class Board:
    """A line for each worker process, which it alone writes and any process reads."""

    def __init__(self, workers: int) -> None:
        self._paths = torch.zeros(workers, _LONGEST, dtype=torch.uint8).share_memory_()
        self._since = torch.zeros(workers, dtype=torch.float64).share_memory_()
        self._pids = torch.zeros(workers, dtype=torch.int64).share_memory_()

    def join(self, worker: int) -> None:
        """Make this process the one that writes a worker's line."""
        global _line
        self._pids[worker] = os.getpid()
        _line = self, worker
        self.write(worker, "")

    def write(self, worker: int, path: str) -> None:
        text = path.encode("utf-8", "surrogateescape")[: _LONGEST - 1] + b"\0"
        self._paths[worker, : len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        self._since[worker] = time.monotonic()

    def read(self) -> list[InHand]:
        """What the workers that have begun have in hand."""
        return [
            InHand(pid, _text(self._paths[worker]), time.monotonic() - since)
            for worker, (pid, since) in enumerate(zip(self._pids.tolist(), self._since.tolist(), strict=True))
            if pid
        ]


def _text(line: Tensor) -> str:
    return line.numpy().tobytes().partition(b"\0")[0].decode("utf-8", "replace")


_line: tuple[Board, int] | None = None  # of this process, where it is a worker


@contextmanager
def in_hand(path: str) -> Iterator[None]:
    """Tell that this process works on a file; in one that joined no board, nothing."""
    if _line is None:
        yield
        return
    board, worker = _line
    board.write(worker, path)
    try:
        yield
    finally:
        board.write(worker, "")
