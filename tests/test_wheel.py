"""The wheel, installed into an environment of its own: the command trains and evaluates in an empty folder."""

import json
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
from training import REPO


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel; what it depends on is found in the one that runs the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    for part in ("cmpl_zoo", "cmpl_zoo_cli"):
        shutil.copytree(REPO / part, source / part, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPO / file, source)
    subprocess.run([sys.executable, "-m", "build", "--wheel", "-o", str(folder), str(source)], check=True)
    [wheel] = folder.glob("*.whl")
    venv.create(folder / "env", with_pip=True)
    python = folder / "env" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True)
    packages = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], capture_output=True, text=True
    ).stdout.strip()
    # A path alone: the editable install that belongs to this checkout is a .pth file there, which is not read.
    Path(packages, "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env" / "bin"


@pytest.mark.slow
def test_the_wheel_trains_for_five_steps_in_an_empty_folder(environment: Path, tmp_path: Path) -> None:
    def call(*words: str) -> str:
        done = subprocess.run(
            [str(environment / "cmpl-zoo"), *words], cwd=tmp_path, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = [str(environment / "python"), "-c", "import cmpl_zoo; print(cmpl_zoo.__file__)"]
    assert str(environment.parent) in subprocess.run(where, cwd=tmp_path, capture_output=True, text=True).stdout
    call("demo", "-o", "videos", "--videos-per-class", "4")
    call("split", "videos/videos.csv", "--labels-per-class", "2", "--val-share", "0.25", "-o", "lists")
    lists = [word for name in ("labeled", "unlabeled", "val") for word in (f"--{name}", f"lists/{name}.csv")]
    call("train", "--config", "demo", *lists, "--root", "videos", "--steps", "5", "--output", "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["step"], summary["commit"]) == (5, "unknown")
    scored = call("evaluate", "run/primary", "--data", "lists/val.csv", "--root", "videos")
    assert "top-1" in scored
    folder = tmp_path / "evaluations" / "run-primary-on-val"
    measured = json.loads((folder / "scores.json").read_text())
    for report in (tmp_path / "run" / "report.html", folder / "report.html"):  # by templates that the wheel brings
        assert f"{measured['video_top1']:.1f} %" in report.read_text()
    assert measured["video_top1"] == summary["validation"]["primary"]["video_top1"]
