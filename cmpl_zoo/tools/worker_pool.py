"""Running a function on every video of a list in worker processes; a crash or a hang costs only that one video.

`multiprocessing.Pool` waits forever for the result of a worker that died, and `ProcessPoolExecutor` then gives up all
its tasks; among 240,000 files of unknown origin, some crash their reader.
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

MAX_WAIT = 5.0  # seconds that the main process waits for messages before it checks the workers; our choice
TIMEOUT = 300.0  # seconds without a frame after which a video is given up; our choice


@dataclass(frozen=True)
class LostTask:
    """The result of a task whose worker died or had to be killed."""

    cause: str


def every_video(
    work: Callable[[Any, Callable[[], None]], Any], tasks: Sequence[Any], workers: int, timeout: float = TIMEOUT
) -> Generator[Any, None, None]:
    """Call `work(task, alive)` for every task in worker processes; the results come in the order of the tasks.

    Args:
        work: a module-level function, or a `functools.partial` of one. It must call `alive()` once per frame.
        tasks: what can be pickled.
        workers: number of worker processes.
        timeout: seconds without a call of `alive` after which a worker is killed.

    Yields:
        Results, and a `LostTask` for each task whose worker died or was killed; a new worker replaces that one.

    Raises:
        RuntimeError: a worker died before it got a task.
        Exception: any exception that `work` raises; it ends the run.
    """
    if not tasks:
        return
    if "forkserver" in multiprocessing.get_all_start_methods():
        context: Any = multiprocessing.get_context("forkserver")  # not fork: the progress bar has a thread
        context.set_forkserver_preload(["cmpl_zoo.video.video"])  # imported once, not by every worker
    else:  # Windows
        context = multiprocessing.get_context("spawn")
    remaining = enumerate(tasks)
    results: dict[int, Any] = {}  # results that are not yielded yet, by the index of their task
    next_index = 0
    pool = [_Worker(context, work, timeout) for _ in range(min(workers, len(tasks)))]
    last_check = time.monotonic()
    try:
        while next_index < len(tasks):
            time_left = min(worker.deadline for worker in pool) - time.monotonic()
            ready = wait([worker.pipe for worker in pool], min(MAX_WAIT, max(0.0, time_left)))
            now = time.monotonic()
            # Time in which this process did not listen, because of Ctrl-Z or a slow use of results, does not count.
            if (not_listening := now - last_check - MAX_WAIT) > 0:
                for worker in pool:
                    worker.deadline += not_listening
            last_check = now
            for worker in list(pool):
                if worker.pipe in ready:
                    kind, value = worker.receive()
                elif now > worker.deadline:
                    kind, value = "lost", LostTask(f"given up after {timeout:g} seconds without a frame")
                else:
                    continue
                if kind == "raised":
                    raise value
                if kind == "lost":
                    if worker.task_index is None:
                        raise RuntimeError(f"a worker process ended at its start ({value.cause}); try fewer --workers")
                    _remove(pool, worker)
                    pool.append(_Worker(context, work, timeout))
                if kind in ("done", "lost"):
                    results[worker.task_index] = value  # type: ignore[index]
                if kind in ("ready", "done"):
                    if (following := next(remaining, None)) is None:
                        _remove(pool, worker)
                    else:
                        worker.send(*following)
            while next_index in results:
                yield results.pop(next_index)
                next_index += 1
    finally:
        for worker in pool:
            worker.process.terminate()
        for worker in pool:
            worker.process.join(timeout=1)
            worker.kill()


def _remove(pool: list["_Worker"], worker: "_Worker") -> None:
    pool.remove(worker)
    worker.kill()


class _Worker:
    """A worker process and the task that it is working on."""

    def __init__(self, context: Any, work: Callable[..., Any], timeout: float) -> None:
        self.pipe, worker_end = context.Pipe()
        self.process = context.Process(target=_worker_main, args=(work, worker_end), daemon=True)
        self.process.start()
        worker_end.close()
        self.task_index: int | None = None
        self.timeout = timeout
        self.deadline = time.monotonic() + TIMEOUT

    def send(self, task_index: int, task: Any) -> None:
        """Send the next task to the worker."""
        self.task_index = task_index
        self.deadline = time.monotonic() + self.timeout
        with suppress(BrokenPipeError):  # it has just died, as `receive` will find
            self.pipe.send(task)

    def receive(self) -> tuple[str, Any]:
        """The next message of the worker and its value: ready, alive, done or raised; or lost, if it is dead."""
        self.deadline = time.monotonic() + self.timeout
        try:
            return self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            return "lost", LostTask(_cause_of_death(self.process.exitcode))

    def kill(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _cause_of_death(exitcode: int | None) -> str:
    if exitcode is None or exitcode >= 0:
        return f"its worker process ended with status {exitcode}"
    name = signal.Signals(-exitcode).name
    return f"its worker process was killed by {name}" + (", perhaps as memory ran out" if name == "SIGKILL" else "")


def _worker_main(work: Callable[[Any, Callable[[], None]], Any], pipe: Connection) -> None:
    """The main function of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the workers too; the main process handles it
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # lets `work` delete a file that it has not finished
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    last_sent = 0.0

    def alive() -> None:
        nonlocal last_sent
        if time.monotonic() > last_sent + 1:
            last_sent = time.monotonic()
            pipe.send(("alive", None))

    with suppress(EOFError, BrokenPipeError):  # the main process has ended
        pipe.send(("ready", None))
        while True:
            task = pipe.recv()
            try:
                answer = "done", work(task, alive)
            except Exception as error:
                error.add_note(f"In a worker process:\n{traceback.format_exc()}")
                answer = "raised", error
            pipe.send(answer)


def _exit_with_parent() -> None:
    """End this worker when the main process ends, also if it is killed; else it could still write in the next run."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGTERM)
