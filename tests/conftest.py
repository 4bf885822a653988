"""Fixtures that every test module shares."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # tests never assert on time
settings.load_profile("any machine")

REPO = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real videos: `$CMPL_DATA`, else `shared/data` beside the repository."""
    folder = Path(os.environ.get("CMPL_DATA", REPO.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(
            f"no real videos: {folder} does not exist (set CMPL_DATA to the folder that holds clips/ and mocap13/)"
        )
    return folder
