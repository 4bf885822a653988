"""Detecting worker processes that die or hang while they read a file, with an error that names the file."""

import errno
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess

import torch
from torch import Tensor

MAX_SECONDS_PER_FILE = 300.0  # a worker that reads one file for longer hangs; our choice
CHECK_EVERY = 5  # seconds between two checks of the workers, while an item is awaited
_MAX_PATH_BYTES = 4096  # the limit of the system for paths; longer addresses are cut
# What workers and the main process share, by the error of the system where it is used up.
_USED_UP = {
    errno.ENOSPC: "shared memory ran out: enlarge /dev/shm (docker run --shm-size 16g), or lower --workers",
    errno.EMFILE: "too many files are open: raise the limit (ulimit -n 65536), or lower --workers",
}


class WorkerError(RuntimeError):
    """A worker process died or hangs; the message names the file that it was reading.

    Attributes:
        path: that file; "" if it was reading none.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True)
class FileBeingRead:
    """The file that a worker is reading, "" for none, and for how many seconds."""

    pid: int
    path: str
    seconds: float


class CurrentFiles:
    """The file that each worker is reading, in shared memory; a worker writes only its own row.

    Args:
        workers: number of workers.
    """

    def __init__(self, workers: int) -> None:
        self._paths = torch.zeros(workers, _MAX_PATH_BYTES, dtype=torch.uint8).share_memory_()
        self._since = torch.zeros(workers, dtype=torch.float64).share_memory_()
        self._pids = torch.zeros(workers, dtype=torch.int64).share_memory_()

    def register(self, worker: int) -> None:
        """Make this process the worker of this number, from 0; `reading` then writes its row."""
        global _own_row
        self._pids[worker] = os.getpid()
        _own_row = self, worker
        self.write(worker, "")

    def write(self, worker: int, path: str) -> None:
        """Store the file that a worker starts to read, "" for none."""
        text = path.encode("utf-8", "surrogateescape")[: _MAX_PATH_BYTES - 1] + b"\0"
        self._paths[worker, : len(text)] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        self._since[worker] = time.monotonic()

    def read(self) -> list[FileBeingRead]:
        """The files that the registered workers are reading."""
        return [
            FileBeingRead(pid, _text(self._paths[worker]), time.monotonic() - since)
            for worker, (pid, since) in enumerate(zip(self._pids.tolist(), self._since.tolist(), strict=True))
            if pid
        ]


def _text(row: Tensor) -> str:
    return row.numpy().tobytes().partition(b"\0")[0].decode("utf-8", "replace")


def exit_if_used_up(error: BaseException) -> None:
    """End this worker where it cannot hand over an item since shared memory or files are used up.

    Python would drop the item, and the main process wait for it. The status is the system's error number, by which the
    main process knows the cause.
    """
    if (number := _error_number(error)) in _USED_UP:
        os._exit(number)


def _error_number(error: BaseException) -> int:
    """The system's number of an error, 0 for none; torch has it at the end of a message."""
    if isinstance(error, OSError):
        return error.errno or 0
    if "items of ancdata" in str(error):  # so Python says that a process cannot open a file that it is sent
        return errno.EMFILE
    found = re.search(r"\((\d+)\)$", str(error))
    return int(found[1]) if found else 0


@contextmanager
def sharing_with_workers() -> Iterator[None]:
    """Around what shares memory and files with workers.

    Raises:
        WorkerError: shared memory or the number of open files is used up.
    """
    try:
        yield
    except (OSError, RuntimeError) as error:
        if advice := _USED_UP.get(_error_number(error)):
            raise WorkerError(f"worker processes and this one cannot exchange data; {advice}") from error
        raise


_own_row: tuple[CurrentFiles, int] | None = None  # set in worker processes only


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Record that this worker is reading a file; outside of registered workers, do nothing."""
    if _own_row is None:
        yield
        return
    current_files, worker = _own_row
    current_files.write(worker, path)
    try:
        yield
    finally:
        current_files.write(worker, "")


@contextmanager
def watching(processes: list[BaseProcess], current_files: CurrentFiles) -> Iterator[None]:
    """Check the workers every few seconds while the main process waits for an item. Works in the main thread only.

    On Windows, which has no timer signals, a dead worker is noticed, and one that hangs is not.

    Raises:
        WorkerError: a worker is dead, or has been reading one file for five minutes while its items are awaited.
    """
    waited = 0.0  # counted in checks, so that time in which Ctrl-Z stops all processes does not count

    def check() -> None:
        nonlocal waited
        waited += CHECK_EVERY
        _check_workers(processes, current_files, waited)

    if not processes or threading.current_thread() is not threading.main_thread():
        yield
        return
    try:
        with _every(CHECK_EVERY, check):
            yield
    except WorkerError:
        raise
    except Exception:  # from the data set, or from receiving a tensor of a worker that has just died
        dead = wait([process.sentinel for process in processes], timeout=1)
        for process in processes:
            if process.sentinel in dead:
                process.join()  # its files are closed a moment before it has an exit status
        check()
        raise


@contextmanager
def _every(seconds: float, work: Callable[[], None]) -> Iterator[None]:
    """Call a function again and again by a timer signal: a stopped worker may block this process in a system call.

    Windows has no such signal, and there nothing is called.
    """
    if not hasattr(signal, "SIGALRM"):
        yield
        return
    former_handler = signal.signal(signal.SIGALRM, lambda *_: work())
    timer = signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *timer)
        signal.signal(signal.SIGALRM, former_handler)


def _check_workers(processes: list[BaseProcess], current_files: CurrentFiles, waited: float) -> None:
    files = current_files.read()
    for process in processes:
        if process.exitcode is not None:
            killed_by = signal.Signals(-process.exitcode).name if process.exitcode < 0 else ""
            if advice := _USED_UP.get(errno.ENOSPC if killed_by == "SIGBUS" else process.exitcode):
                raise WorkerError(f"a worker process cannot hand over what it has read; {advice}")
            path = next((file.path for file in files if file.pid == process.pid), "")
            how = f"killed by signal {-process.exitcode}" if process.exitcode < 0 else f"status {process.exitcode}"
            advice = "if memory ran out, lower --workers, else delete the file from the list"
            file = path or "no file being read"
            raise WorkerError(f"{file}: the worker process that was reading it died ({how}); {advice}", path)
    longest = max(files, key=lambda file: (bool(file.path), file.seconds), default=None)
    if longest and min(waited, longest.seconds) >= MAX_SECONDS_PER_FILE:
        next(process for process in processes if process.pid == longest.pid).kill()  # else the program cannot end
        raise WorkerError(
            f"{longest.path or 'no file being read'}: a worker process has been stuck for {longest.seconds:.0f} s; "
            "check the disk or server; delete the file from the list, or cut it if it takes so long to decode",
            longest.path,
        )
