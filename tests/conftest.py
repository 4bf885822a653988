"""Fixtures that every test module shares."""

import os
import shutil
import signal
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings
from made_videos import film
from training import CLASSES, command, read_rows, run, write_rows

settings.register_profile("any machine", deadline=None)  # tests never assert on time
settings.load_profile("any machine")

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPO / "train"))  # the scripts' own modules

# A shell starts what it puts into the background with Ctrl-C ignored, and that is inherited; some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    # Minutes more, for what changes seldom.
    if item.get_closest_marker("release") and "CMPL_DIST" not in os.environ:
        pytest.skip("run by `make dist`")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real videos: `$CMPL_DATA`, else `shared/data` beside the repository."""
    folder = Path(os.environ.get("CMPL_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(
            f"no real videos: {folder} does not exist (set CMPL_DATA to the folder that holds clips/ and mocap13/)"
        )
    return folder


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> Path:
    """Root of twelve small made videos of each of three classes, with the list of all, `videos.csv`."""
    return film(tmp_path_factory.mktemp("videos"), 12)


@pytest.fixture(scope="session")
def lists(videos, tmp_path_factory) -> Path:
    """Labeled, unlabeled (labels kept) and validation lists of the made videos."""
    folder = tmp_path_factory.mktemp("lists")
    rows = read_rows(videos / "videos.csv")
    for name, part in {"labeled": slice(0, 3), "unlabeled": slice(3, 9), "val": slice(9, 12)}.items():
        of_class = ([row for row in rows if row["label"] == label][part] for label in CLASSES)
        write_rows(folder / f"{name}.csv", [row for some in of_class for row in some])
    return folder


@pytest.fixture
def own(videos: Path, tmp_path: Path) -> Path:
    """Three class folders of four videos, and two videos without a label, in an empty folder."""
    folder = tmp_path / "own"
    for row in read_rows(videos / "videos.csv"):
        (folder / row["label"]).mkdir(parents=True, exist_ok=True)
        if len(list((folder / row["label"]).iterdir())) < 4:
            shutil.copy(videos / row["path"], folder / row["label"])
    spare = [row["path"] for row in read_rows(videos / "videos.csv")][-2:]
    (folder / "unlabeled").mkdir()
    shutil.copy(videos / spare[0], folder / "unlabeled" / "spare_a.mp4")
    shutil.copy(videos / spare[1], folder / "spare_b.mp4")
    return folder


@pytest.fixture(scope="session")
def trained(videos, lists, tmp_path_factory) -> Path:
    """A finished CMPL run of six steps."""
    output = tmp_path_factory.mktemp("runs") / "cmpl"
    told = ["--dataset", "mocap13", "--license", "cc-by-nc-4.0"]
    run(command(lists, videos, output, "--steps", "6", "--val-every", "4", *told))
    return output


@pytest.fixture(scope="session")
def moving_figures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six videos of figures that move, for pretext tasks."""
    return sorted(film(tmp_path_factory.mktemp("film"), 2).glob("*/*.mp4"))


@pytest.fixture(scope="session")
def any_task(moving_figures: list[Path], tmp_path_factory: pytest.TempPathFactory):
    """A function: the name of a pretext task to the task of these videos, with their flow where it needs that."""
    from pretext_clips import small

    from cmpl_zoo.pretext.flow import flow_path
    from cmpl_zoo.tools.flow import flow_video
    from cmpl_zoo_cli.pretrain_config import FLOW_TASKS

    where = partial(flow_path, root=str(moving_figures[0].parents[1]), folder=str(tmp_path_factory.mktemp("flow")))
    for path in moving_figures:
        flow_video(str(path), where(str(path)), 64)
    return lambda name: small(name, len(moving_figures), flow=where if name in FLOW_TASKS else None)
