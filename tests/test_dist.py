"""The wheel and the sdist: what is in them, and what each does once it is installed into an empty environment."""

import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from training import REPO

import cmpl_zoo

pytestmark = pytest.mark.slow
WHEEL_MB = 1.5


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheel and the sdist: in `$CMPL_DIST`, where `make dist` built them, or else built here of what git tracks."""
    if not (folder := Path(os.environ.get("CMPL_DIST", ""))).name:
        folder, source = tmp_path_factory.mktemp("dist"), tmp_path_factory.mktemp("source")
        for file in tracked():
            (source / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPO / file, source / file)
        subprocess.run([sys.executable, "-m", "build", "-o", str(folder), str(source)], check=True)
    [wheel], [sdist] = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return {"wheel": wheel.absolute(), "sdist": sdist.absolute()}


def tracked(*below: str) -> set[str]:
    listed = subprocess.run(["git", "ls-files", "-z", *below], cwd=REPO, capture_output=True, text=True, check=True)
    return {file for file in listed.stdout.split("\0") if file and (REPO / file).is_file()}


@pytest.fixture(scope="module")
def torch_alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages with torch, torchvision and the libraries of the GPU, as links to those that are installed.

    They are gigabytes. All else that a distribution needs has to be in its metadata, or an empty environment lacks it.
    """
    folder = tmp_path_factory.mktemp("torch")
    for package in importlib.metadata.distributions():
        if re.match(r"(torch|torchvision|triton|nvidia|cuda)([-_]|$)", package.metadata["Name"].lower()):
            for top in {file.parts[0] for file in package.files or () if file.parts[0] not in ("..", "__pycache__")}:
                if not (folder / top).exists():
                    (folder / top).symlink_to(package.locate_file(top))
    return folder


def empty_environment(place: Path, torch_alone: Path) -> tuple[Callable[..., str], Path]:
    """A function that runs a program of a new environment in an empty folder and returns its output; that folder."""
    venv.create(place / "env", with_pip=True)
    programs, folder = place / "env" / "bin", place / "empty"
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def call(*words: str, status: int = 0) -> str:
        done = subprocess.run(
            [str(programs / words[0]), *words[1:]], cwd=folder, capture_output=True, text=True, env=environment
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    packages = call("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip()
    Path(packages, "torch_alone.pth").write_text(f"{torch_alone}\n")
    return call, folder


def test_the_wheel_holds_the_tracked_files_of_the_packages_and_is_small(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as wheel:
        held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == tracked("cmpl_zoo", "cmpl_zoo_cli")
    assert built["wheel"].stat().st_size < WHEEL_MB * 1e6


def test_the_sdist_holds_what_builds_the_wheel_and_no_results_nor_other_weights(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as sdist:
        held = {name.partition("/")[2] for name in sdist.getnames() if sdist.getmember(name).isfile()}
    made = {"PKG-INFO", "setup.cfg", *(name for name in held if name.startswith("cmpl_zoo.egg-info/"))}
    beside = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml"}
    assert held - made == tracked("cmpl_zoo", "cmpl_zoo_cli") | beside


@pytest.mark.parametrize("kind", ["wheel", pytest.param("sdist", marks=pytest.mark.release)])
def test_it_predicts_and_trains_in_an_empty_environment(
    kind: str, built: dict[str, Path], torch_alone: Path, tmp_path: Path
) -> None:
    call, folder = empty_environment(tmp_path, torch_alone)
    call("pip", "install", "--quiet", str(built[kind]))
    call("pip", "check")
    assert call("python", "-c", "import cmpl_zoo; print(cmpl_zoo.__file__)").startswith(str(tmp_path / "env"))

    call("cmpl-zoo", "demo", "-o", "videos", "--videos-per-class", "4")
    model, video = "r3d50_eighth.cmpl_demo", "videos/squat_fast/squat_fast_0001.mp4"
    found = json.loads(call("cmpl-zoo", "predict", model, video, "--json", "-"))
    here = dict(cmpl_zoo.predict(cmpl_zoo.create_model(model, pretrained=True).eval(), folder / video, topk=8))
    assert found["probabilities"] == pytest.approx(here, abs=1e-3)

    call("cmpl-zoo", "split", "videos/videos.csv", "--labels-per-class", "2", "--val-share", "0.25", "-o", "lists")
    lists = [word for name in ("labeled", "unlabeled", "val") for word in (f"--{name}", f"lists/{name}.csv")]
    train = ["cmpl-zoo", "train", "--config", "demo", *lists, "--root", "videos", "--steps", "5", "--output", "run"]
    assert "cmpl_zoo[train]" in call(*train, status=2)
    call("pip", "install", "--quiet", f"{built[kind]}[train]")
    call("pip", "check")
    call(*train)
    summary = json.loads((folder / "run" / "summary.json").read_text())
    assert (summary["step"], summary["commit"]) == (5, "unknown")
    assert "top-1" in call("cmpl-zoo", "evaluate", "run/primary", "--data", "lists/val.csv", "--root", "videos")
    measured = json.loads((folder / "evaluations" / "run-primary-on-val" / "scores.json").read_text())
    # By templates that the distribution brings.
    for report in ("run/report.html", "evaluations/run-primary-on-val/report.html"):
        assert f"{measured['video_top1']:.1f} %" in (folder / report).read_text()
    assert measured["video_top1"] == summary["validation"]["primary"]["video_top1"]


@pytest.mark.release
def test_the_first_cell_of_the_notebook_installs_the_wheel(
    built: dict[str, Path], torch_alone: Path, tmp_path: Path
) -> None:
    call, folder = empty_environment(tmp_path, torch_alone)
    notebook = json.loads((REPO / "docs" / "quickstart.ipynb").read_text())
    first_cell = "".join(next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")["source"])
    assert "upload the wheel" in call("python", "-c", first_cell, status=1)
    shutil.copy(built["wheel"], folder)
    call("python", "-c", first_cell)
    call("python", "-c", "import cmpl_zoo.exporting, cmpl_zoo.training, onnxruntime, onnxscript")
