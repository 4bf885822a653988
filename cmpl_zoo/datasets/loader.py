"""From a data set to batches on a device."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cmpl_zoo.datasets.watchdog import ReadingBoard, watching


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
        WorkerError: a worker died, or has been reading one file for a minute.
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
    """The items, from workers that are watched over."""
    board = ReadingBoard(workers)
    others = multiprocessing.active_children()
    former_handler = signal.getsignal(signal.SIGCHLD) or signal.SIG_DFL
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
        signal.signal(signal.SIGCHLD, former_handler)
    processes = [process for process in multiprocessing.active_children() if process not in others]
    while True:
        with watching(processes, board):
            try:
                item = next(loader)
            except StopIteration:
                return
        yield item


def _begin(board: ReadingBoard, worker: int) -> None:
    # Ctrl-C and torchrun's signals are for the whole process group; only the main process decides what they mean.
    os.setpgrp()
    board.join(worker)


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
