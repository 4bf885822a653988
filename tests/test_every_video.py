"""The pool of workers: order, crashes, kills and hangs, with real processes."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cmpl_zoo.tools.worker_pool import LostTask, every_video

pytestmark = pytest.mark.timeout(120)


def work(task, alive):
    match task:
        case "crash":
            ctypes.string_at(0)
        case "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(7)
        case "hang":
            time.sleep(1000)
        case "slow":
            for _ in range(8):
                time.sleep(0.5)
                alive()
        case "disk full":
            raise OSError("the disk is full")
        case Path():
            task.write_text(str(os.getpid()))
            time.sleep(1000)
    return task


@pytest.mark.parametrize("workers", [1, 3, 50])
def test_results_come_in_the_order_of_the_tasks(workers):
    assert list(every_video(work, list(range(40)), workers)) == list(range(40))


def test_no_tasks():
    assert list(every_video(work, [], 2)) == []


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize(
    ("death", "cause"),
    [
        ("crash", "its worker process was killed by SIGSEGV"),
        ("killed", "its worker process was killed by SIGKILL, perhaps as memory ran out"),
        ("exit", "its worker process ended with status 7"),
        ("hang", "given up after 2 seconds without a frame"),
    ],
)
def test_a_worker_that_dies_or_hangs_costs_its_task_alone(workers, death, cause):
    tasks = [1, death, 2, 3, death, death, 4]
    results = list(every_video(work, tasks, workers, timeout=2))
    assert results == [LostTask(cause) if task == death else task for task in tasks]


def test_a_slow_worker_that_gets_on_is_waited_for():
    assert list(every_video(work, ["slow", 1], 2, timeout=3)) == ["slow", 1]


STOPPED = """
import os, signal, sys, time
from cmpl_zoo.tools import worker_pool

worker_pool.MAX_WAIT = 0.5

def work(task, alive):
    for _ in range(8):
        time.sleep(0.25)
        alive()
    return task

if __name__ == "__main__":
    for result in worker_pool.every_video(work, [0, 1], 1, timeout=4):
        print(result, flush=True)
        if result == 0 and sys.argv[1] == "as its results are used":
            os.killpg(0, signal.SIGSTOP)
"""


@pytest.mark.slow
def test_a_run_that_ctrl_z_stops_for_longer_than_its_patience_continues(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(STOPPED)
    processes = [
        subprocess.Popen([sys.executable, script, moment], stdout=subprocess.PIPE, text=True, start_new_session=True)
        for moment in ("as it waits", "as its results are used")
    ]
    for process in processes:
        assert process.stdout.readline() == "0\n"
    time.sleep(1)  # the next result comes after two
    for process in processes:
        os.killpg(process.pid, signal.SIGSTOP)
    time.sleep(5)
    for process in processes:
        process.send_signal(signal.SIGCONT)
    time.sleep(0.5)  # the workers come back last, as they may on a machine with much to do
    for process in processes:
        os.killpg(process.pid, signal.SIGCONT)
    assert [process.communicate(timeout=60)[0].split() for process in processes] == [["1"], ["1"]]


def test_an_exception_ends_the_run_and_its_workers():
    before = set(psutil.Process().children(recursive=True))
    with pytest.raises(OSError, match="the disk is full"):
        list(every_video(work, [1, "disk full", "hang", "hang"], 2))
    left = [p for p in set(psutil.Process().children(recursive=True)) - before if "forkserver" not in p.cmdline()[-1]]
    assert not left


def test_workers_end_when_nobody_wants_more_results(tmp_path):
    note = tmp_path / "pid"
    results = every_video(work, [1, note], 2)
    assert next(results) == 1
    while not note.exists() or not note.read_text():
        time.sleep(0.01)
    results.close()
    assert not psutil.pid_exists(int(note.read_text()))
