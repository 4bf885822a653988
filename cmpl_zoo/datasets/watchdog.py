"""Watching over worker processes: which file each is reading, and an error that names it where one dies or hangs."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

import torch
from torch import Tensor

STALLED = 60.0  # seconds on one file after which a worker counts as hanging; our choice
LOOK_EVERY = 5  # seconds between two looks at the workers while nothing comes
_LONGEST = 4096  # bytes of a path, as the system allows; a longer address is cut


class WorkerError(RuntimeError):
    """A worker process died or hangs; the message names the file that it was reading."""


@dataclass(frozen=True)
class FileBeingRead:
    """What a worker process is reading: a path, or "" between files, and for how many seconds."""

    pid: int
    path: str
    seconds: float


class ReadingBoard:
    """A line of shared memory for each worker process, which it alone writes and any process reads.

    Args:
        workers: how many processes.
    """

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
        """Say which file a worker is reading now, "" for none."""
        text = path.encode("utf-8", "surrogateescape")[: _LONGEST - 1] + b"\0"
        self._paths[worker, : len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        self._since[worker] = time.monotonic()

    def read(self) -> list[FileBeingRead]:
        """What the workers that have begun are reading."""
        return [
            FileBeingRead(pid, _text(self._paths[worker]), time.monotonic() - since)
            for worker, (pid, since) in enumerate(zip(self._pids.tolist(), self._since.tolist(), strict=True))
            if pid
        ]


def _text(line: Tensor) -> str:
    return line.numpy().tobytes().partition(b"\0")[0].decode("utf-8", "replace")


_line: tuple[ReadingBoard, int] | None = None  # of this process, where it is a worker


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Tell that this process reads a file; in one that joined no board, nothing."""
    if _line is None:
        yield
        return
    board, worker = _line
    board.write(worker, path)
    try:
        yield
    finally:
        board.write(worker, "")


@contextmanager
def watching(processes: list[BaseProcess], board: ReadingBoard) -> Iterator[None]:
    """While something is awaited, look at the workers every few seconds, and raise what is wrong with them.

    Raises:
        WorkerError: a worker is dead, or has read one file for a minute while its items are awaited.
    """
    waited = 0.0  # counted by looks, so that the time in which Ctrl-Z stops everybody is none

    def look() -> None:
        nonlocal waited
        waited += LOOK_EVERY
        _check_workers(processes, board, waited)

    if not processes or threading.current_thread() is not threading.main_thread():
        yield
        return
    # An alarm, since a worker that stands still may block this process within a system call.
    former_handler = signal.signal(signal.SIGALRM, lambda *_: look())
    timer = signal.setitimer(signal.ITIMER_REAL, LOOK_EVERY, LOOK_EVERY)
    try:
        yield
    except WorkerError:
        raise
    except Exception:  # the data set's own, or what comes of fetching a tensor from a worker that has just died
        dead = wait([process.sentinel for process in processes], timeout=1)
        for process in processes:
            if process.sentinel in dead:
                process.join()  # its files are closed a moment before it has an exit status
        look()
        raise
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, former_handler)


def _check_workers(processes: list[BaseProcess], board: ReadingBoard, waited: float) -> None:
    files = board.read()
    for process in processes:
        if process.exitcode is not None:
            path = next((file.path for file in files if file.pid == process.pid), "") or "no file being read"
            how = f"killed by signal {-process.exitcode}" if process.exitcode < 0 else f"status {process.exitcode}"
            advice = "if memory ran out, lower --workers, else take the file out of the list"
            if process.exitcode == -signal.SIGBUS:
                advice = "shared memory ran out: enlarge /dev/shm (docker run --shm-size 16g), or lower --workers"
            raise WorkerError(f"{path}: the worker process that was reading it died ({how}); {advice}")
    longest = max(files, key=lambda file: (bool(file.path), file.seconds), default=None)
    if longest and min(waited, longest.seconds) >= STALLED:
        os.kill(longest.pid, signal.SIGKILL)  # it would keep the program from ending
        raise WorkerError(
            f"{longest.path or 'no file being read'}: a worker process has been stuck for {longest.seconds:.0f} s; "
            "check the disk or server it is on, or take it out of the list"
        )
