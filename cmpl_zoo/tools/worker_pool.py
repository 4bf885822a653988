"""A function over every video of a list, in worker processes, where a crash or a hang costs one video and no more.

`multiprocessing.Pool` waits for ever for the result of a worker that died, and `ProcessPoolExecutor` then gives up all
its tasks; among 240,000 files of unknown origin, some crash their reader. POSIX only.
"""

import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

LOOK_EVERY = 5.0  # seconds between two looks at the workers, at most
PATIENCE = 300.0  # seconds without a frame after which a video is given up


@dataclass(frozen=True)
class Lost:
    """In place of a result: the worker died of the task, or had to be killed."""

    cause: str


def available_cores() -> int:
    """CPU cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def every_video(
    work: Callable[[Any, Callable[[], None]], Any], tasks: Sequence[Any], workers: int, patience: float = PATIENCE
) -> Generator[Any, None, None]:
    """`work(task, alive)` of every task, computed by worker processes, in the order of the tasks.

    Args:
        work: a function of a module (or a `functools.partial` of one). It calls `alive()` once a frame.
        tasks: what it is called with; anything that can be pickled.
        workers: number of processes.
        patience: seconds without a call of `alive` after which a worker is killed.

    Yields:
        Results, and a `Lost` for each task whose worker died or was killed; another worker takes its place.

    Raises:
        RuntimeError: a worker died before it got a task.
        Exception: what `work` raised; it ends the run.
    """
    if not tasks:
        return
    context = multiprocessing.get_context("forkserver")  # not fork: the progress bar has a thread
    context.set_forkserver_preload(["cmpl_zoo.video.video"])  # imported once, not by every worker
    waiting = enumerate(tasks)
    ahead: dict[int, Any] = {}  # results that came before their turn
    turn = 0
    pool = [_Worker(context, work, patience) for _ in range(min(workers, len(tasks)))]
    looked = time.monotonic()
    try:
        while turn < len(tasks):
            next_deadline = min(worker.deadline for worker in pool)
            heard = wait([worker.pipe for worker in pool], min(LOOK_EVERY, max(0.0, next_deadline - time.monotonic())))
            now = time.monotonic()
            if (
                unseen := now - looked - LOOK_EVERY
            ) > 0:  # Ctrl-Z, which stops the workers, too, or a slow use of results
                for worker in pool:
                    worker.deadline += unseen
            looked = now
            for worker in list(pool):
                if worker.pipe in heard:
                    kind, value = worker.hear()
                elif now > worker.deadline:
                    kind, value = "lost", Lost(f"given up after {patience:g} seconds without a frame")
                else:
                    continue
                if kind == "raised":
                    raise value
                if kind == "lost":
                    if worker.place is None:
                        raise RuntimeError(f"a worker process ended as it started ({value.cause}); try fewer --workers")
                    _retire(pool, worker)
                    pool.append(_Worker(context, work, patience))
                if kind in ("done", "lost"):
                    ahead[worker.place] = value  # type: ignore[index]
                if kind in ("ready", "done"):
                    if (following := next(waiting, None)) is None:
                        _retire(pool, worker)
                    else:
                        worker.give(*following)
            while turn in ahead:
                yield ahead.pop(turn)
                turn += 1
    finally:
        for worker in pool:
            worker.process.terminate()
        for worker in pool:
            worker.process.join(timeout=1)
            worker.kill()


def _retire(pool: list["_Worker"], worker: "_Worker") -> None:
    pool.remove(worker)
    worker.kill()


class _Worker:
    """A process and what it has in hand."""

    def __init__(self, context: Any, work: Callable[..., Any], patience: float) -> None:
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(work, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.place: int | None = None
        self.patience = patience
        self.deadline = time.monotonic() + PATIENCE

    def give(self, place: int, task: Any) -> None:
        """A task and its place in the order."""
        self.place = place
        self.deadline = time.monotonic() + self.patience
        with suppress(BrokenPipeError):  # it died just now, as the next `hear` finds
            self.pipe.send(task)

    def hear(self) -> tuple[str, Any]:
        """What it says: ready, alive, done, raised; or lost, where it can say nothing any more."""
        self.deadline = time.monotonic() + self.patience
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            return "lost", Lost(_cause_of_death(self.process.exitcode))

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _cause_of_death(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"its process ended with status {exitcode}"
    name = signal.Signals(-exitcode).name
    return f"its process was killed by {name}" + (", as for want of memory" if name == "SIGKILL" else "")


def _serve(work: Callable[[Any, Callable[[], None]], Any], pipe: Connection) -> None:
    """The life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the workers too; the main process decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # lets `work` remove what it has half written
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    said = 0.0

    def alive() -> None:
        nonlocal said
        if time.monotonic() > said + 1:
            said = time.monotonic()
            pipe.send(("alive", None))

    with suppress(EOFError, BrokenPipeError):  # the run has ended
        pipe.send(("ready", None))
        while True:
            task = pipe.recv()
            try:
                answer = "done", work(task, alive)
            except Exception as error:
                error.add_note(f"In a worker process:\n{traceback.format_exc()}")
                answer = "raised", error
            pipe.send(answer)


def _end_with_the_run() -> None:
    """A killed run takes its workers with it, so that none still writes when it is started again."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
