"""The processes that share a run, which torchrun starts (without it there is one), and the device of each."""

import hashlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class RankError(RuntimeError):
    """The ranks cannot go on together; the message names the one that stays behind, where it is known."""


class DeviceError(ValueError):
    """There is no such device on this machine."""


class Ranks:
    """What one process knows of the others.

    Args:
        timeout: seconds that a rank waits for the others in one step; without it, this process is alone.

    Attributes:
        rank: of this process, from 0.
        size: number of processes.
        first: whether this is rank 0, which alone prints and writes.
        restarted: whether torchrun has started these processes again after one failed.

    Raises:
        RankError: some of them did not come.
    """

    def __init__(self, timeout: float | None = None) -> None:
        self.rank, self.size = 0, 1
        self._step = 0  # the one that this rank has come to
        self._store: Any = None
        self._words: Any = None  # the group for what is on the CPU
        if timeout is not None and int(os.environ.get("WORLD_SIZE", "1")) > 1:  # set by torchrun
            patience = timedelta(seconds=timeout)
            store, self.rank, self.size = next(dist.rendezvous("env://", timeout=patience))
            self._store = _of_this_start(store, self.rank, self.size, timeout)
            on_gpus = torch.cuda.is_available()
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if on_gpus else "gloo", store=self._store, rank=self.rank, world_size=self.size,
                timeout=patience * (2 if on_gpus else 1),
            )  # fmt: skip
            # NCCL ends a process without a word where it waits too long, so what is agreed on here gives up first.
            self._words = dist.new_group(backend="gloo", timeout=patience)
        self.first = self.rank == 0
        self.restarted = any(self.gather(int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0))

    @property
    def local(self) -> int:
        """Number of this process on its machine, and so of its GPU."""
        return int(os.environ.get("LOCAL_RANK", "0"))

    def agree(self, step: int, *asked: bool) -> list[bool]:
        """Whether any rank asks for each of these things, once all ranks have come to a step.

        Raises:
            RankError: one of them does not come.
        """
        if self.size == 1:
            return list(asked)
        self._step = step
        self._store.set(f"step {self.rank}", str(step))
        flags = torch.tensor(asked, dtype=torch.uint8)
        with self.together():
            dist.all_reduce(flags, dist.ReduceOp.MAX, self._words)
        return flags.bool().tolist()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Around what all ranks do at once: a failure in it names those that stay behind.

        Raises:
            RankError: the others did not come, or their connection broke.
        """
        try:
            yield
        except RuntimeError as error:
            # gloo raises plain RuntimeErrors; other classes are this package's and torch's own.
            if self.size == 1 or not (type(error) is RuntimeError or isinstance(error, dist.DistError)):
                raise
            cause = str(error).splitlines()[0]
            raise RankError(f"the ranks lost each other at step {self._step}: {self._lost()} ({cause})") from error

    def _lost(self) -> str:
        """Which ranks are not here, in words: those that have not come to this step, else those that are silent now.

        A rank can stand still after it has come. All that live find out at the same time, since all wait as long, and
        say so here; who has not done that some seconds later is the one that they waited for.
        """
        if late := [str(rank) for rank in range(self.size) if self._step_of(rank) < self._step]:
            return f"rank {', '.join(late)} has not come to it"
        self._store.set(f"alive {self.rank} {self._step}", "")
        silent, deadline = set(range(self.size)), time.monotonic() + 5
        while silent and time.monotonic() < deadline:
            silent = {rank for rank in silent if not self._store.check([f"alive {rank} {self._step}"])}
            time.sleep(0.05)
        if silent:
            return f"rank {', '.join(map(str, sorted(silent)))} has come to it but no longer answers"
        return "all of them are in it and answer"

    def _step_of(self, rank: int) -> int:
        key = f"step {rank}"
        return int(self._store.get(key)) if self._store.check([key]) else 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all ranks, on the CPU."""
        values = values.to("cpu", copy=True)  # on a CPU, too: the caller's own go on
        if self.size > 1:
            with self.together():
                dist.all_reduce(values, group=self._words)
        return values

    def gather(self, value: Any) -> list[Any]:
        """The value of every rank, on every rank."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        with self.together():
            dist.all_gather_object(values, value, self._words)
        return values

    def fail(self, error: Exception | None) -> None:
        """Raise, on rank 0, the first error that any rank brings, and end the others in silence. All ranks call it."""
        if errors := [error for error in self.gather(error) if error is not None]:
            if self.first:
                raise errors[0]
            raise SystemExit(2)

    def first_alone(self, work: Callable[[], object]) -> None:
        """Have rank 0 do something, and the others wait until it is done, or end where it fails."""
        fault = None
        if self.first:
            try:
                work()
            except Exception as error:
                fault = error
        self.fail(fault)

    def share_buffers(self, module: nn.Module) -> None:
        """Give every rank the buffers of rank 0: batch norm keeps statistics of what its own rank has seen."""
        if self.size > 1:
            with self.together():
                for buffer in module.buffers():
                    dist.broadcast(buffer, 0)

    def check_equal(self, module: nn.Module) -> None:
        """Make sure that all ranks have come to the same weights and buffers.

        Raises:
            RankError: one of them has others, and on all of them the run is worth nothing.
        """
        digest = hashlib.sha256()
        for tensor in module.state_dict().values():
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        digests = self.gather(digest.hexdigest())
        if others := [str(rank) for rank, theirs in enumerate(digests) if theirs != digests[0]]:
            raise RankError(f"the weights of rank {', '.join(others)} are not those of rank 0; the run cannot be used")

    def leave(self) -> None:
        """Part from the others, all at once: where one of them is lost, NCCL would wait for it here."""
        if self.size > 1:
            dist.destroy_process_group()


def pick_device(name: str, number: int = 0) -> torch.device:
    """`auto` is the first there is of cuda, mps and cpu; `number` tells which GPU of several.

    Raises:
        DeviceError: the device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, available in there.items() if available)
    if not there[name]:
        raise DeviceError(f"--device {name}: this machine has none that torch can use; take auto or cpu")
    if name == "cuda":
        if number >= torch.cuda.device_count():
            raise DeviceError(f"process {number} of this machine has no GPU; start {torch.cuda.device_count()} at most")
        torch.cuda.set_device(number)
        # A convolution of 1x1x1 is a matrix product here, and those of cuDNN take TF32 by default.
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True  # shapes are the same step after step
        return torch.device(name, number)
    return torch.device(name)


def _of_this_start(store: dist.Store, rank: int, size: int, timeout: float) -> dist.Store:
    """The part of torchrun's store that belongs to the processes that are alive.

    The store outlives a restart and still holds the addresses of the dead, to which the living would try to connect.
    So rank 0 tells each process that is here, by a name that no earlier one has had, where this start keeps its keys.
    """
    name = uuid.uuid4().hex
    if rank:
        store.set(f"here {rank}", name)
        start = store.get(f"start for {name}").decode()
        store.set(f"{start} joined by {rank}", "")
        return dist.PrefixStore(start, store)
    missing, deadline = set(range(1, size)), time.monotonic() + timeout
    while missing:
        for other in sorted(missing):
            if store.check([f"here {other}"]):
                store.set(f"start for {store.get(f'here {other}').decode()}", name)
            if store.check([f"{name} joined by {other}"]):
                missing.remove(other)
        if time.monotonic() > deadline:
            ranks = ", ".join(map(str, sorted(missing)))
            raise RankError(f"rank {ranks} did not come within {timeout / 60:g} minutes of the start")
        time.sleep(0.01)
    return dist.PrefixStore(name, store)
