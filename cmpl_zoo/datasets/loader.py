"""Loading the items of a data set in worker processes, onto a device."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from multiprocessing.queues import Queue
from types import TracebackType
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map_only
from torch.utils.data import DataLoader, Dataset

from cmpl_zoo.datasets.watchdog import CurrentFiles, exit_if_used_up, sharing_with_workers, watching


def iterate(
    dataset: Dataset[Any], device: torch.device, workers: int, indices: Iterable[int] | None = None
) -> Iterator[Any]:
    """The items of a data set in order, read by worker processes, with their tensors on the device.

    On a GPU the next item is copied on its own CUDA stream while the current one is in use.

    Args:
        dataset: a map-style data set whose items are tuples or dictionaries of tensors and other values.
        device: where to put tensors.
        workers: number of worker processes; 0 reads in this process.
        indices: indices of the items, in this order; all by default.

    Raises:
        ValueError: there are fewer than no workers.
        Exception: an item that is an exception, which the data sets of this package return if they cannot read.
        WorkerError: a worker died, or has been reading one file for five minutes, or shared memory or the number of
            open files is used up.
    """
    if workers < 0:
        raise ValueError(f"workers is {workers}, and is a number of processes; give 0 or more")
    items = (_raise_if_error(item) for item in _read_items(dataset, device, workers, indices))
    if device.type != "cuda":
        for item in items:
            yield tree_map_only(Tensor, lambda t: t.to(device), item)
        return

    copy_stream = torch.cuda.Stream(device)
    previous: tuple[Any, torch.cuda.Event] | None = None
    for item in items:
        with torch.cuda.stream(copy_stream):
            copied = tree_map_only(Tensor, lambda t: t.to(device, non_blocking=True), item)
            done = copy_stream.record_event()
        if previous is not None:
            yield _wait_for_copy(*previous)
        previous = copied, done
    if previous is not None:
        yield _wait_for_copy(*previous)


def available_cores() -> int:
    """Number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def cores_beside(workers: int) -> Iterator[None]:
    """Around a computation of torch on the CPU while workers read: it takes the cores that they leave, at least one.

    Threads beyond that wait for each other, by loops that take the workers' time.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, max(1, available_cores() - workers)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _read_items(
    dataset: Dataset[Any], device: torch.device, workers: int, indices: Iterable[int] | None
) -> Iterator[Any]:
    """The items in CPU memory; raises a `WorkerError` if a worker dies or hangs."""
    sharing = sharing_with_workers if workers else nullcontext
    other_children = multiprocessing.active_children()
    child_ended = getattr(signal, "SIGCHLD", None)  # not on Windows
    former_handler = child_ended and (signal.getsignal(child_ended) or signal.SIG_DFL)
    with sharing():
        current_files = CurrentFiles(workers)
        loader = iter(
            DataLoader(
                dataset,
                batch_size=None,
                sampler=range(len(dataset)) if indices is None else indices,  # type: ignore[arg-type]
                num_workers=workers,
                pin_memory=device.type == "cuda",
                # Else the loader seeds its workers from the global generator, which dropout uses, and a resumed run,
                # with one loader more, would draw other numbers than a run without a break.
                generator=torch.Generator(),
                worker_init_fn=partial(_start_worker, current_files),
            )
        )
    if workers and child_ended and threading.current_thread() is threading.main_thread():
        # The loader's handler raises an error for a dead worker at any line of the main program. `watching` raises it
        # only while an item is awaited.
        signal.signal(child_ended, former_handler)
    processes = [process for process in multiprocessing.active_children() if process not in other_children]
    while True:
        with sharing(), watching(processes, current_files):
            try:
                item = next(loader)
            except StopIteration:
                return
        yield item


def _start_worker(current_files: CurrentFiles, worker: int) -> None:
    # Ctrl-C and torchrun send signals to the whole process group; only the main process must handle them.
    if hasattr(os, "setpgrp"):  # Windows has no process groups
        os.setpgrp()
    current_files.register(worker)
    sys.excepthook = _report
    Queue._on_queue_feeder_error = staticmethod(  # type: ignore[attr-defined]
        lambda error, _: _report(type(error), error, error.__traceback__)
    )


def _report(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an uncaught exception, unless the main process ended, as by Ctrl-C, while it fetched a tensor.

    Python's threads that send items and their tensors end here; the exceptions of a data set never do.
    """
    exit_if_used_up(error)
    if not isinstance(error, (EOFError, ConnectionError)):
        sys.__excepthook__(kind, error, trace)


def _raise_if_error(item: Any) -> Any:
    if isinstance(item, Exception):
        raise item
    return item


def _wait_for_copy(item: Any, done: torch.cuda.Event) -> Any:
    """The item, ready for the current CUDA stream: it waits for the copy and keeps its memory while it is in use."""
    stream = torch.cuda.current_stream()
    stream.wait_event(done)

    def keep(tensor: Tensor) -> Tensor:
        tensor.record_stream(stream)
        return tensor

    return tree_map_only(Tensor, keep, item)
