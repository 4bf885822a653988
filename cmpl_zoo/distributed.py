"""The processes that share a run, and the device of each. torchrun starts them; without it there is one."""

import glob
import hashlib
import os
import re
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

# Where Linux lists them; in a container the first is the host's.
NVIDIA_GPUS = ("/proc/driver/nvidia/gpus/*", "/dev/nvidia[0-9]*")


class RankError(RuntimeError):
    """The ranks cannot continue together; the message names the missing one where it is known."""


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
        self._step = 0  # the last one that this rank has reached
        self._store: Any = None
        self._cpu_group: Any = None
        if timeout is not None and int(os.environ.get("WORLD_SIZE", "1")) > 1:  # set by torchrun
            patience = timedelta(seconds=timeout)
            store, self.rank, self.size = next(dist.rendezvous("env://", timeout=patience))
            self._store = _store_of_this_start(store, self.rank, self.size, timeout)
            on_gpus = torch.cuda.is_available()
            dist.init_process_group(
                "cpu:gloo,cuda:nccl" if on_gpus else "gloo", store=self._store, rank=self.rank, world_size=self.size,
                timeout=patience * (2 if on_gpus else 1),
            )  # fmt: skip
            # NCCL ends a process without a message where it waits too long, so this group gives up first.
            self._cpu_group = dist.new_group(backend="gloo", timeout=patience)
        self.first = self.rank == 0
        self.restarted = any(self.gather(int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0))

    @property
    def local(self) -> int:
        """Number of this process on its machine, and so of its GPU."""
        return int(os.environ.get("LOCAL_RANK", "0"))

    def agree(self, step: int, *asked: bool) -> list[bool]:
        """Whether any rank asks for each of these things, once all ranks have reached a step.

        Raises:
            RankError: one of them does not reach it.
        """
        if self.size == 1:
            return list(asked)
        self._step = step
        self._store.set(f"step {self.rank}", str(step))
        flags = torch.tensor(asked, dtype=torch.uint8)
        with self.together():
            dist.all_reduce(flags, dist.ReduceOp.MAX, self._cpu_group)
        return flags.bool().tolist()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Around what all ranks do at once: a failure in it names the missing ones.

        Raises:
            RankError: the other ranks did not answer, or their connection broke.
        """
        try:
            yield
        except RuntimeError as error:
            # gloo raises plain RuntimeErrors; other classes are this package's and torch's own.
            plain = type(error) is RuntimeError and not device_failure(error)
            if self.size == 1 or not (plain or isinstance(error, dist.DistError)):
                raise
            cause = str(error).splitlines()[0]
            raise RankError(f"the ranks lost each other at step {self._step}: {self._lost()} ({cause})") from error

    def _lost(self) -> str:
        """Which ranks are missing, in words: those that have not reached this step, else those that do not answer.

        A rank can also hang after it has reached a step. All others find out at the same time, since all wait equally
        long, and announce themselves here; a rank that has not done so some seconds later is the one that hangs.
        """
        if late := [str(rank) for rank in range(self.size) if self._step_of(rank) < self._step]:
            return f"rank {', '.join(late)} has not reached it"
        self._store.set(f"alive {self.rank} {self._step}", "")
        silent, deadline = set(range(self.size)), time.monotonic() + 5
        while silent and time.monotonic() < deadline:
            silent = {rank for rank in silent if not self._store.check([f"alive {rank} {self._step}"])}
            time.sleep(0.05)
        if silent:
            return f"rank {', '.join(map(str, sorted(silent)))} has reached it but no longer answers"
        return "all of them have reached it and answer"

    def _step_of(self, rank: int) -> int:
        key = f"step {rank}"
        return int(self._store.get(key)) if self._store.check([key]) else 0

    def sum(self, values: Tensor) -> Tensor:
        """The sum over all ranks, on the CPU."""
        values = values.to("cpu", copy=True)  # on a CPU, too: the caller's values stay as they are
        if self.size > 1:
            with self.together():
                dist.all_reduce(values, group=self._cpu_group)
        return values

    def gather(self, value: Any) -> list[Any]:
        """The value of every rank, on every rank."""
        if self.size == 1:
            return [value]
        values = [None] * self.size
        with self.together():
            dist.all_gather_object(values, value, self._cpu_group)
        return values

    def fail(self, error: Exception | None) -> None:
        """On rank 0, raise the first error of any rank; end the others without a message. All ranks call it."""
        if errors := [error for error in self.gather(error) if error is not None]:
            if self.first:
                raise errors[0]
            raise SystemExit(2)

    def first_alone(self, work: Callable[[], object]) -> None:
        """Let rank 0 do something while the others wait; where it fails, all end."""
        failure = None
        if self.first:
            try:
                work()
            except Exception as error:
                failure = error
        self.fail(failure)

    def share_buffers(self, module: nn.Module) -> None:
        """Give every rank the buffers of rank 0: batch norm keeps statistics of the clips of its own rank."""
        if self.size > 1:
            with self.together():
                for buffer in module.buffers():
                    dist.broadcast(buffer, 0)

    def check_equal(self, module: nn.Module) -> None:
        """Check that all ranks have the same weights and buffers.

        Raises:
            RankError: one of them has other ones.
        """
        digest = hashlib.sha256()
        for tensor in module.state_dict().values():
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy())
        digests = self.gather(digest.hexdigest())
        if others := [str(rank) for rank, theirs in enumerate(digests) if theirs != digests[0]]:
            raise RankError(
                f"at step {self._step} the weights of rank {', '.join(others)} are not those of rank 0, which a GPU or "
                "memory that fails can cause; --resume continues from the last saved state, where they were equal"
            )

    def leave(self) -> None:
        """Leave the group; all ranks do so at once. Where one of them is lost, NCCL would wait for it here."""
        if self.size > 1:
            dist.destroy_process_group()

    def exit_failed(self, status: int) -> None:
        """End this process with a status, without leaving the group; does nothing where it has been left.

        An orderly end of Python would close the connections to the other ranks, and NCCL wait there for those that are
        lost or still compute. Processes that read videos end by themselves once this one is gone.
        """
        if dist.is_initialized():
            for output in (sys.stdout, sys.stderr):
                with suppress(OSError):
                    output.flush()
            os._exit(status)


def device_failure(error: RuntimeError) -> str:
    """What an error of CUDA or its libraries says, in one line; "" for other errors, and where memory ran out."""
    line = str(error).partition("\n")[0].rstrip(".")
    if type(error) is torch.AcceleratorError:
        return line
    # Its libraries raise plain RuntimeErrors; "unable to find an engine" is cuDNN's.
    theirs = re.search(r"CUDA error|cuDNN error|CUDNN_|CUBLAS_|unable to find an engine", line)
    return line if type(error) is RuntimeError and theirs else ""


@contextmanager
def device_errors_explained() -> Iterator[None]:
    """Around a computation without training: a device that fails, or its memory, in one sentence.

    Raises:
        RuntimeError: the sentence.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        cause = str(error).partition(". ")[0]
        raise RuntimeError(f"{cause}; a lower --batch-size or --precision bf16 needs less memory") from error
    except RuntimeError as error:
        if not (failure := device_failure(error)):
            raise
        raise RuntimeError(f"the GPU failed: {failure}; see whether nvidia-smi reports faults") from error


def set_up_device(name: str, number: int = 0) -> torch.device:
    """The device of a process, which then computes on it as fast as it can.

    For a GPU this changes settings of the whole process: its current device, TF32 for matrix products, and cuDNN's
    search for the fastest kernels.

    Args:
        name: `cuda`, `mps` or `cpu`; `auto` is `cuda` where there is a GPU and else `cpu`, with a warning where
            there is an NVIDIA GPU that torch cannot use. It is never `mps`: nobody has compared its results with the
            CPU's.
        number: which GPU of several.

    Raises:
        DeviceError: the device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = "cuda" if there["cuda"] else "cpu"
        if name == "cpu" and number == 0 and (cause := unusable_gpu()):
            print(
                f"warning: computing on the CPU, although this machine has an NVIDIA GPU: {cause}; a container needs "
                "--gpus all, and a driver that is too old a newer one or another build of torch",
                file=sys.stderr,
            )
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


def unusable_gpu() -> str:
    """Why torch cannot use an NVIDIA GPU that is installed; "" where there is none, or somebody has hidden it."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if hidden or not any(glob.glob(pattern) for pattern in NVIDIA_GPUS):
        return ""
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as error:  # the latter where torch is built without CUDA
        return str(error).partition("\n")[0].partition(". Please")[0]
    return "torch finds none"


def _store_of_this_start(store: dist.Store, rank: int, size: int, timeout: float) -> dist.Store:
    """The part of torchrun's store that belongs to this start of the processes.

    The store outlives a restart and still holds the addresses of the former processes, to which the new ones would try
    to connect. So each process announces itself by a name that no former one had, and rank 0 tells it under which
    prefix this start keeps its keys.
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
