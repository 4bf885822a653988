"""Fixtures that every test module shares."""

import csv
import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings
from training import CLASSES, command, run

settings.register_profile("any machine", deadline=None)  # tests never assert on time
settings.load_profile("any machine")

REPO = Path(__file__).resolve().parents[1]

# A shell starts what it puts into the background with Ctrl-C ignored, and that is inherited; some tests press it.
signal.signal(signal.SIGINT, signal.default_int_handler)


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
def lists(shared_data, tmp_path_factory) -> Path:
    """Labeled, unlabeled (labels kept) and validation lists of a few mocap13 videos of three classes."""
    folder = tmp_path_factory.mktemp("lists")
    rows: dict[str, list[dict[str, str]]] = {name: [] for name in CLASSES}
    with (shared_data / "mocap13" / "train.csv").open(newline="") as lines:
        for row in csv.DictReader(lines):
            if row["label"] in rows:
                rows[row["label"]].append(row)
    for name, part in {"labeled": slice(0, 3), "unlabeled": slice(3, 9), "val": slice(9, 12)}.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(file, ["path", "label"])
            writer.writeheader()
            for of_class in rows.values():
                writer.writerows(of_class[part])
    return folder


@pytest.fixture(scope="session")
def trained(shared_data, lists, tmp_path_factory) -> Path:
    """A finished CMPL run of six steps."""
    output = tmp_path_factory.mktemp("runs") / "cmpl"
    told = ["--dataset", "mocap13", "--license", "cc-by-nc-4.0"]
    run(command(lists, shared_data / "mocap13", output, "--steps", "6", "--val_every", "4", *told))
    return output
