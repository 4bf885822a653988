"""From a data set to batches on a device."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cmpl_zoo.data.in_hand import Board

STALLED = 60.0  # seconds on one file after which a worker counts as hanging; our choice
LOOK = 5  # seconds between two looks at the workers while nothing comes


class WorkerError(RuntimeError):
    """A worker process died or hangs; the message names the file it had in hand."""


def iterate(
    dataset: Dataset[Any], device: torch.device, workers: int, indices: Iterable[int] | None = None
) -> Iterator[Any]:
    """The items of a data set in order, read by worker processes, their tensors on the device.

    On a GPU the next item is copied on a stream of its own while the present one is in use.

    Args:
        dataset: a map-style data set whose items are tuples or dictionaries of tensors and other values.
        device: where tensors go.
        workers: number of worker processes; 0 reads in this one.
        indices: which items, in this order; all by default.

    Raises:
        Exception: an item is one, as the data sets of this package return for what cannot be read.
        WorkerError: a worker died, or has had one file in hand for a minute.
    """
    items = (_checked(item) for item in _watched(dataset, device, workers, indices))
    if device.type != "cuda":
        for item in items:
            yield _map_tensors(item, lambda t: t.to(device))
        return

    copies = torch.cuda.Stream(device)
    ahead: tuple[Any, torch.cuda.Event] | None = None
    for item in items:
        with torch.cuda.stream(copies):
            copied = _map_tensors(item, lambda t: t.to(device, non_blocking=True))
            done = copies.record_event()
        if ahead is not None:
            yield _handed_over(*ahead)
        ahead = copied, done
    if ahead is not None:
        yield _handed_over(*ahead)


def _watched(dataset: Dataset[Any], device: torch.device, workers: int, indices: Iterable[int] | None) -> Iterator[Any]:
    """The items, from workers that are looked after."""
    board = Board(workers)
    others, of_others = multiprocessing.active_children(), signal.getsignal(signal.SIGCHLD) or signal.SIG_DFL
    loader = iter(
        DataLoader(
            dataset,
            batch_size=None,
            sampler=range(len(dataset)) if indices is None else indices,  # type: ignore[arg-type]
            num_workers=workers,
            pin_memory=device.type == "cuda",
            # The loader seeds its workers from here instead of advancing the global generator, which dropout draws
            # from: a resumed run starts one loader more than an unbroken one.
            generator=torch.Generator(),
            worker_init_fn=partial(_begin, board),
        )
    )
    if workers and threading.current_thread() is threading.main_thread():
        # The loader has a worker's death raised at whatever line the main program is; here it is found when awaited.
        signal.signal(signal.SIGCHLD, of_others)
    processes = [process for process in multiprocessing.active_children() if process not in others]
    while True:
        with _looking_after(processes, board):
            try:
                item = next(loader)
            except StopIteration:
                return
        yield item


def _begin(board: Board, worker: int) -> None:
    # Ctrl-C and torchrun's signals are for the whole process group; only the main process decides what they mean.
    os.setpgrp()
    board.join(worker)
    sys.excepthook = _report_unless_nobody_listens


def _report_unless_nobody_listens(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an uncaught exception, but not that the main process was stopped, as by Ctrl-C, while it fetched a tensor.

    Python's thread that hands tensors over ends in this hook; a data set's own exceptions never come here.
    """
    if not isinstance(error, (EOFError, ConnectionError)):
        sys.__excepthook__(kind, error, trace)


@contextmanager
def _looking_after(processes: list[BaseProcess], board: Board) -> Iterator[None]:
    """While something is awaited, look at the workers every few seconds, and raise what is wrong with them."""
    waited = 0.0  # counted by looks, so that the time in which Ctrl-Z stops everybody is none

    def look() -> None:
        nonlocal waited
        waited += LOOK
        _look_after(processes, board, waited)

    if not processes or threading.current_thread() is not threading.main_thread():
        yield
        return
    # An alarm, since a worker that stands still may block this process within a system call.
    of_others = signal.signal(signal.SIGALRM, lambda *_: look())
    timer = signal.setitimer(signal.ITIMER_REAL, LOOK, LOOK)
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
        signal.signal(signal.SIGALRM, of_others)


def _look_after(processes: list[BaseProcess], board: Board, waited: float) -> None:
    """Raise a `WorkerError` where a worker is dead, or hangs while its items are awaited."""
    in_hand = board.read()
    for process in processes:
        if process.exitcode is not None:
            path = next((line.path for line in in_hand if line.pid == process.pid), "") or "no file in hand"
            how = f"killed by signal {-process.exitcode}" if process.exitcode < 0 else f"status {process.exitcode}"
            advice = "if memory ran out, lower --workers, else take the file out of the list"
            if process.exitcode == -signal.SIGBUS:
                advice = "shared memory ran out: enlarge /dev/shm (docker run --shm-size 16g), or lower --workers"
            raise WorkerError(f"{path}: the worker process that had it in hand died ({how}); {advice}")
    longest = max(in_hand, key=lambda line: (bool(line.path), line.seconds), default=None)
    if longest and min(waited, longest.seconds) >= STALLED:
        os.kill(longest.pid, signal.SIGKILL)  # it would keep the program from ending
        raise WorkerError(
            f"{longest.path or 'no file in hand'}: a worker process has not gone on for {longest.seconds:.0f} s; check "
            "the disk or server it is on, or take it out of the list"
        )


def _checked(item: Any) -> Any:
    if isinstance(item, Exception):
        raise item
    return item


def _map_tensors(item: Any, function: Any) -> Any:
    if isinstance(item, Tensor):
        return function(item)
    if isinstance(item, dict):
        return {key: _map_tensors(value, function) for key, value in item.items()}
    if isinstance(item, (list, tuple)):
        return type(item)(_map_tensors(value, function) for value in item)
    return item


def _handed_over(item: Any, done: torch.cuda.Event) -> Any:
    """An item for the current stream, which waits for its copy and keeps its memory as long as it is in use."""
    stream = torch.cuda.current_stream()
    stream.wait_event(done)

    def keep(tensor: Tensor) -> Tensor:
        tensor.record_stream(stream)
        return tensor

    return _map_tensors(item, keep)
