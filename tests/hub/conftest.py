"""A Hub on loopback, a user of it, and a model to publish."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hub_client import CLIP, NAMES, Client
from hub_server import Hub, serve
from torch import nn

import cmpl_zoo
from cmpl_zoo import hub


@pytest.fixture(scope="session")
def server() -> Iterator[Hub]:
    with serve() as running:
        yield running


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def client(server: Hub, home: Path) -> Iterator[Client]:
    running = Client(home, server.url)
    yield running
    running.close()


@pytest.fixture(autouse=True)
def heal(server: Hub) -> Iterator[None]:
    """No test leaves the server failing."""
    yield
    server.failures.clear()
    server.cuts.clear()
    server.lies.clear()


@pytest.fixture(scope="session")
def model() -> nn.Module:
    torch.manual_seed(3)
    return cmpl_zoo.create_model("r3d50_eighth", num_classes=3, clip=CLIP).eval()


@pytest.fixture(scope="session")
def files(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A published model's files by name."""
    folder = hub.save(model, tmp_path_factory.mktemp("saved") / "small", NAMES)
    return {file.name: file.read_bytes() for file in folder.iterdir()}
