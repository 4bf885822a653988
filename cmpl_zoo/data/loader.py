"""From a data set to batches on a device."""

import signal
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cmpl_zoo.data.video import VideoError


def iterate(
    dataset: Dataset[Any], device: torch.device, workers: int, indices: Iterable[int] | None = None
) -> Iterator[Any]:
    """The items of a data set in order, read by worker processes, their tensors on the device.

    On a GPU the next item is copied on a stream of its own while the present one is in use.

    Args:
        dataset: a map-style data set whose items are tuples or dictionaries of tensors and numbers.
        device: where tensors go.
        workers: number of worker processes; 0 reads in this one.
        indices: which items, in this order; all by default.

    Raises:
        VideoError: an item is one, as the data sets of this package return for a file that cannot be read.
    """
    order = range(len(dataset)) if indices is None else indices  # type: ignore[arg-type]
    loader: Iterable[Any] = DataLoader(
        dataset,
        batch_size=None,
        sampler=order,
        num_workers=workers,
        pin_memory=device.type == "cuda",
        # The loader seeds its workers from here instead of advancing the global generator, which dropout draws from:
        # a resumed run starts one loader more than an unbroken one.
        generator=torch.Generator(),
        # Ctrl-C reaches the workers too; only the main process decides what it means.
        worker_init_fn=_ignore_interrupt,
    )
    items = (_checked(item) for item in loader)
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


def _ignore_interrupt(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _checked(item: Any) -> Any:
    if isinstance(item, VideoError):
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
