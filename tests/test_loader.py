"""What the loader does about videos that cannot be read, and about workers that die or hang."""

import os
import re
import shutil
import signal
import sys
import time
from functools import partial

import numpy as np
import psutil
import pytest
import torch
from torch.utils.data import Dataset
from training import Script, read_rows, run

from cmpl_zoo.datasets import watchdog
from cmpl_zoo.datasets.evaluation_batches import EvaluationBatches
from cmpl_zoo.datasets.lists import Videos
from cmpl_zoo.datasets.loader import iterate
from cmpl_zoo.datasets.training_steps import TrainingClip, TrainingSteps
from cmpl_zoo.datasets.watchdog import WorkerError, reading
from cmpl_zoo.video.errors import VideoError

CPU = torch.device("cpu")


@pytest.fixture
def twelve(videos, tmp_path) -> Videos:
    """Twelve videos; numbers 3 and 7 are damaged beyond reading."""
    paths = []
    for number, row in enumerate(read_rows(videos / "videos.csv")[::3]):
        path = tmp_path / f"{number}.mp4"
        shutil.copy(videos / row["path"], path)
        if number in (3, 7):
            path.write_bytes(path.read_bytes()[:100])
        paths.append(str(path))
    return Videos(paths, np.arange(12, dtype=np.int32))


assert_equal = partial(torch.testing.assert_close, rtol=0, atol=0)


def steps(twelve: Videos, **options) -> TrainingSteps:
    settings = {"labeled_batch": 4, "unlabeled_batch": 6, "steps": 6, "clips": [TrainingClip(2, 2, 32)]}
    return TrainingSteps(twelve, twelve, short_side=[36, 40], **settings | options)


def test_a_bad_video_is_replaced_by_the_same_one_for_any_workers_and_ranks(twelve):
    whole = list(iterate(steps(twelve), CPU, 0))
    for workers in (1, 2):
        for batch, other in zip(whole, iterate(steps(twelve), CPU, workers), strict=True):
            assert batch["unreadable"] == other.pop("unreadable")
            assert_equal({key: value for key, value in batch.items() if key != "unreadable"}, other)
    ranks = [list(iterate(steps(twelve, rank=rank, world_size=2), CPU, 0)) for rank in (0, 1)]
    for batch, one, two in zip(whole, *ranks, strict=True):
        for key in ("labels", "hidden_labels"):
            assert_equal(batch[key], torch.cat([one[key], two[key]]))
        for key in ("labeled", "weak", "strong"):
            assert_equal(batch[key], [torch.cat(parts) for parts in zip(one[key], two[key], strict=True)])
    bad = {path for batch in whole for path, _ in batch["unreadable"]}
    assert bad == {twelve.paths[3], twelve.paths[7]}
    shown = {int(i) for batch in whole for key in ("labels", "hidden_labels") for i in batch[key]}
    assert shown == set(range(12)) - {3, 7}


def test_augmentation_follows_from_pass_and_video_alone(twelve):
    """The same video in the same pass looks the same, whatever the batch and so its place in it."""

    def clips(**options):
        kept = {}
        for batch in iterate(steps(twelve, **options), CPU, 0):
            for index, clip in zip(batch["hidden_labels"].tolist(), batch["strong"][0], strict=True):
                kept.setdefault(index, []).append(clip)
        return kept

    one, other = clips(unlabeled_batch=6, steps=4), clips(unlabeled_batch=3, steps=8)
    for index in set(range(12)) - {3, 7}:
        same = [torch.equal(a, b) for a in one[index] for b in other[index]]
        assert any(same)
    assert not torch.equal(one[0][0], one[0][1])  # another pass, another view


def test_where_nothing_can_be_read_it_ends_with_the_first_cause(tmp_path):
    nowhere = Videos([str(tmp_path / f"{i}.mp4") for i in range(30)], [0] * 30)
    for workers in (0, 1):
        with pytest.raises(VideoError, match=r"\.mp4: .*no such file.* 9 videos .*--root"):
            list(iterate(steps(nowhere), CPU, workers))


def test_evaluation_replaces_nothing(twelve):
    data = EvaluationBatches(
        twelve, [{"clips": 1, "crops": 1, "frames": 2, "stride": 2, "size": (32, 32)}], batch_size=4
    )
    items = list(iterate(data, CPU, 1))
    assert [i for _, ids, *_ in items for i in ids.tolist()] == [0, 1, 2, 4, 5, 6, 8, 9, 10, 11]
    assert [len(views) for (views,), *_ in items] == [3, 3, 4]
    assert [twelve.paths[i] for _, _, failed, *_ in items for i, _ in failed] == [twelve.paths[3], twelve.paths[7]]


class Fatal(Dataset):
    """Item 5 sends a signal to the process that reads it, as the system does when memory runs out or a disk stalls."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> torch.Tensor:
        with reading(f"videos/{index}.mp4"):
            if index == 5:
                os.kill(os.getpid(), self.number)
                time.sleep(600)  # the signal comes at once, or this would be a hang
            return torch.tensor(index)


def test_a_worker_that_dies_is_named_with_its_file():
    before = signal.getsignal(signal.SIGCHLD)
    with pytest.raises(WorkerError, match=r"^videos/5\.mp4: .*worker process .*killed by signal 9"):
        list(iterate(Fatal(signal.SIGKILL), CPU, 2))
    assert signal.getsignal(signal.SIGCHLD) == before


def test_a_worker_that_hangs_is_named_with_its_file_and_gone(monkeypatch):
    monkeypatch.setattr(watchdog, "MAX_SECONDS_PER_FILE", 3.0)
    monkeypatch.setattr(watchdog, "CHECK_EVERY", 1)
    with pytest.raises(WorkerError, match=r"^videos/5\.mp4: .*worker process .* \d+ s"):
        list(iterate(Fatal(signal.SIGSTOP), CPU, 2))
    assert not [p for p in psutil.Process().children() if p.status() == psutil.STATUS_STOPPED]


SIGNALLED = """
import os, signal, time, torch
from cmpl_zoo.datasets.loader import iterate

class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 40
    def __getitem__(self, index):
        time.sleep(0.02)
        return torch.tensor(index)

if __name__ == "__main__":
    came = []
    signals = {10: signal.SIGINT, 20: signal.SIGTERM}
    for number in signals.values():
        signal.signal(number, lambda number, _: came.append(number))
    seen = []
    for item in iterate(Numbers(), torch.device("cpu"), 2):
        seen.append(item.item())
        if len(seen) in signals:
            os.killpg(0, signals[len(seen)])
    assert seen == list(range(40)) and came == list(signals.values())
"""


def test_signals_to_the_process_group_leave_the_workers_alone(tmp_path):
    """Ctrl-C goes to a whole group, and so does what torchrun sends; the main process decides what they mean."""
    script = tmp_path / "signalled.py"
    script.write_text(SIGNALLED)
    run([sys.executable, str(script)])


INTERRUPTED = """
import os, random, signal, threading, torch
from cmpl_zoo.datasets import iterate

class Tensors(torch.utils.data.Dataset):
    def __len__(self):
        return 10**6
    def __getitem__(self, index):
        return [torch.full((2,), index) for _ in range(6)]

def read_until_stopped():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for number, _ in enumerate(iterate(Tensors(), torch.device("cpu"), 2)):
            if number == 2:
                threading.Timer(random.uniform(0, 0.05), os.kill, (os.getpid(), signal.SIGINT)).start()
    except KeyboardInterrupt:
        pass

if __name__ == "__main__":
    for _ in range(10):
        if (process := os.fork()) == 0:
            read_until_stopped()
            os._exit(0)
        assert os.waitpid(process, 0)[1] == 0
"""


def test_ctrl_c_while_tensors_are_fetched_leaves_no_traceback(tmp_path):
    script = tmp_path / "interrupted.py"
    script.write_text(INTERRUPTED)
    assert run([sys.executable, str(script)]).stderr == ""


USED_UP = """
import ctypes, os, resource, subprocess, sys, torch
from cmpl_zoo.datasets import watchdog
from cmpl_zoo.datasets.loader import iterate

watchdog.CHECK_EVERY = 1

class Tensors(torch.utils.data.Dataset):
    def __len__(self):
        return 8
    def __getitem__(self, index):
        return [torch.zeros(100_000) for _ in range(20)]

if __name__ == "__main__":
    if sys.argv[1] == "files":
        most = len(os.listdir("/dev/fd")) + int(sys.argv[2])
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    else:
        CLONE_NEWNS = 0x20000
        mount = ["mount", "-t", "tmpfs", "-o", f"size={sys.argv[2]}k", "tmpfs", "/dev/shm"]
        private = ["mount", "--make-rprivate", "/"]
        if ctypes.CDLL(None).unshare(CLONE_NEWNS) or any(subprocess.call(words) for words in (private, mount)):
            sys.exit("no mounts of its own")
    try:
        list(iterate(Tensors(), torch.device("cpu"), 2))
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
"""


@pytest.mark.parametrize(
    "what, left, message",
    [
        ("memory", 1000, r"^WorkerError: a worker .*/dev/shm .*--shm-size"),
        ("memory", 4, r"^WorkerError: .*/dev/shm .*--shm-size"),  # not even the row of each worker has room
        ("files", 16, r"^WorkerError: .*too many files are open.*ulimit -n"),
    ],
)
def test_where_shared_memory_or_files_are_used_up_the_setting_is_named(tmp_path, what, left, message):
    script = tmp_path / "used_up.py"
    script.write_text(USED_UP)
    process = Script([sys.executable, str(script), what, str(left)])
    output, error = process.communicate()
    if "no mounts of its own" in error:
        pytest.skip("this system lets nobody mount a small /dev/shm")
    assert re.search(message, output), output + error
    assert "Traceback" not in error


def test_errors_of_a_data_set_pass_through():
    class Broken(Dataset):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> None:
            raise RuntimeError("what it says")

    with pytest.raises(RuntimeError, match="what it says"):
        list(iterate(Broken(), CPU, 1))
