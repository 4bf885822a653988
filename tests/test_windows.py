"""What docs/windows.md claims, as far as Linux can show it: the command in processes that lack what Windows lacks."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training import REPO, read_rows

MODEL = "r3d50_eighth.cmpl_demo"


def python(*words: str, folder: Path, posix: bool = False) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with or without what Windows lacks."""
    path = [str(REPO / "tests" / "without_posix")] * (not posix) + [str(REPO)]
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(path)},
    )


def cmpl_zoo(*words: str, folder: Path, posix: bool = False) -> str:
    done = python("-m", "cmpl_zoo_cli", *words, folder=folder, posix=posix)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `videos`, which are rendered without POSIX, too."""
    folder = tmp_path_factory.mktemp("windows")
    cmpl_zoo("demo", "-o", "videos", "--videos-per-class", "3", folder=folder)
    return folder


@pytest.mark.parametrize("module", ["fcntl", "pwd", "grp", "resource", "termios"])
def test_these_processes_lack_the_modules(module: str, tmp_path: Path) -> None:
    done = python("-c", f"import {module}", folder=tmp_path)
    assert done.returncode == 1 and f"No module named '{module}'" in done.stderr


def test_it_imports_and_predicts_in_workers_as_anywhere(rendered: Path) -> None:
    predict = ["predict", MODEL, "videos/walk", "--workers", "1", "--csv"]
    cmpl_zoo(*predict, "posix.csv", folder=rendered, posix=True)
    cmpl_zoo(*predict, "without.csv", folder=rendered)
    cmpl_zoo(*predict, "without.csv", "--resume", folder=rendered)
    assert (rendered / "without.csv").read_bytes() == (rendered / "posix.csv").read_bytes()


def test_a_file_of_predictions_that_stays_empty_is_deleted(tmp_path: Path) -> None:
    Path(tmp_path, "empty.mp4").touch()
    done = python("-m", "cmpl_zoo_cli", "predict", MODEL, "empty.mp4", "--csv", "p.csv", folder=tmp_path)
    assert done.returncode == 1 and "empty.mp4: the file is empty" in done.stderr
    assert not Path(tmp_path, "p.csv").exists()


def test_an_open_file_cannot_be_deleted(tmp_path: Path) -> None:
    done = python("-c", "import os; file = open('f', 'w'); os.unlink('f')", folder=tmp_path)
    assert done.returncode == 1 and "PermissionError" in done.stderr


@pytest.mark.slow
@pytest.mark.release
def test_list_and_info_answer(tmp_path: Path) -> None:
    assert MODEL in cmpl_zoo("list", "r3d50_eighth", folder=tmp_path)
    assert "616,952" in cmpl_zoo("info", "r3d50_eighth", folder=tmp_path)


def test_a_worker_that_dies_is_named_with_its_file(tmp_path: Path) -> None:
    Path(tmp_path, "dies.py").write_text("""
import os
import torch
from torch.utils.data import Dataset
from cmpl_zoo.datasets.loader import iterate
from cmpl_zoo.datasets.watchdog import reading

class Dies(Dataset):
    def __len__(self):
        return 2
    def __getitem__(self, index):
        with reading("crashes.mp4"):
            os._exit(3)

if __name__ == "__main__":
    list(iterate(Dies(), torch.device("cpu"), 1))
""")
    done = python("dies.py", folder=tmp_path)
    assert done.returncode == 1
    assert "WorkerError: crashes.mp4: the worker process that was reading it died (status 3)" in done.stderr


@pytest.mark.slow
@pytest.mark.release
def test_features_check_prepare_and_shard_work_as_anywhere(rendered: Path) -> None:
    videos = ["videos/videos.csv", "--root", "videos"]
    for place, posix in (("without", False), ("posix", True)):
        cmpl_zoo("features", MODEL, *videos, "-o", f"{place}.npz", "--workers", "1", folder=rendered, posix=posix)
        cmpl_zoo("check", *videos, "-o", f"{place}/checked", "--workers", "1", folder=rendered, posix=posix)
        copies = ["-o", f"{place}/small", "--max-short-side", "32", "--workers", "1"]
        cmpl_zoo("prepare", *videos, *copies, folder=rendered, posix=posix)
        small = ["shard", f"{place}/small/videos.csv", "--root", f"{place}/small", "-o", f"{place}/shards"]
        cmpl_zoo(*small, folder=rendered, posix=posix)
    without, expected = (np.load(rendered / f"{place}.npz") for place in ("without", "posix"))
    assert np.array_equal(without["features"], expected["features"])
    for file in ("checked/videos.csv", "small/videos.csv"):
        assert (rendered / "without" / file).read_bytes() == (rendered / "posix" / file).read_bytes()
    # The encoder's files differ by some bytes from call to call.
    packed = [
        [row["path"] for row in read_rows(rendered / place / "shards/shards.csv")] for place in ("without", "posix")
    ]
    assert packed[0] == packed[1] and len(packed[0]) == 24


@pytest.mark.slow
@pytest.mark.release
def test_training_evaluation_and_export_work(rendered: Path) -> None:
    cmpl_zoo(
        "train", "videos", "-o", "run", "--config", "own_videos", "--steps", "3", "--workers", "1", folder=rendered
    )
    scored = cmpl_zoo("evaluate", "run/primary", "--data", "run/lists/val.csv", "--root", "videos", folder=rendered)
    assert "top-1" in scored
    assert "memory_mb" not in (rendered / "run" / "metrics.jsonl").read_text()
    cmpl_zoo("export", "run/primary", "-o", "trained.onnx", "--videos", "videos/walk", folder=rendered)
    assert (rendered / "trained.onnx").stat().st_size > 1e6
