"""Files of weights from a server on loopback: cut, wrong, missing, mirrored, offline, there already."""

import hashlib
import logging
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import WeakFileLock
from range_server import RangeServer, serving

import cmpl_zoo
from cmpl_zoo.models.download import download

CONTENT = random.Random(0).randbytes(300_000)
HASHED = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"
PLAIN = "SLOW.pyth"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RangeServer]:
    folder = tmp_path / "served" / "models"
    folder.mkdir(parents=True)
    for name in (HASHED, PLAIN):
        (folder / name).write_bytes(CONTENT)
    with serving(tmp_path / "served") as running:
        yield running


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch.hub's own cache, empty; and no settings of whoever runs the tests."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path / "hub"))
    for name in ("CMPL_ZOO_MIRROR", "CMPL_ZOO_WEIGHTS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "hub" / "checkpoints"


def names(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if file.suffix != ".lock"}


def test_a_file_comes_into_torch_hubs_cache_and_is_asked_for_once(server: RangeServer, cache: Path) -> None:
    url = f"{server.url}/models/{HASHED}"
    for _ in range(2):
        file = download(url)
        assert file == cache / HASHED and file.read_bytes() == CONTENT
    assert server.requests == [(f"/models/{HASHED}", 0)] and names(cache) == {HASHED}


def test_cache_dir(server: RangeServer, tmp_path: Path) -> None:
    assert download(f"{server.url}/models/{PLAIN}", cache_dir=tmp_path / "mine") == tmp_path / "mine" / PLAIN


def test_a_cut_transfer_is_continued(server: RangeServer, cache: Path) -> None:
    """huggingface_hub writes in pieces of 10 MiB: as many whole ones as came are kept."""
    content = random.Random(1).randbytes(24_000_000)
    name = f"large-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    (server.folder / "models" / name).write_bytes(content)
    server.failures = 2
    with pytest.raises(RuntimeError, match=rf"{server.url}/models/{name}.*status 503.*try again later"):
        download(f"{server.url}/models/{name}")
    assert download(f"{server.url}/models/{name}").read_bytes() == content, "cut in the middle, and continued by itself"
    assert [first for _, first in server.requests] == [10 * 2**20] and names(cache) == {name}


@pytest.mark.parametrize("kept", [1000, len(CONTENT), len(CONTENT) + 5])
def test_what_a_former_call_received_is_used(server: RangeServer, cache: Path, kept: int) -> None:
    """As after a process was killed: in the middle, after the last byte, or with the part of another file."""
    cache.mkdir(parents=True)
    (cache / f"{HASHED}.part").write_bytes((CONTENT + b"other")[:kept])
    if kept > len(CONTENT):
        with pytest.raises(RuntimeError, match=rf"{HASHED}: is shorter than what was received before; try again"):
            download(f"{server.url}/models/{HASHED}")
    assert download(f"{server.url}/models/{HASHED}").read_bytes() == CONTENT
    assert [first for _, first in server.requests] == {1000: [1000], len(CONTENT): []}.get(kept, [0])


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (CONTENT[:-1] + b"x", r"SHA-256 begins with [0-9a-f]{8} instead of " + HASHED[4:12]),
        (b"<!DOCTYPE html><title>Sign in</title>", "it is a web page"),
        (b"", r"SHA-256 begins with e3b0c442"),
    ],
)
def test_a_wrong_file_never_gets_the_name(server: RangeServer, cache: Path, content: bytes, why: str) -> None:
    (server.folder / "models" / HASHED).write_bytes(content)
    with pytest.raises(RuntimeError, match=rf"{server.url}/models/{HASHED}.*{why}.*CMPL_ZOO_WEIGHTS"):
        download(f"{server.url}/models/{HASHED}")
    assert names(cache) == set()


def test_no_such_file(server: RangeServer, cache: Path) -> None:
    with pytest.raises(RuntimeError, match=r"/models/nothing\.pth.*status 404.*CMPL_ZOO_WEIGHTS.*CMPL_ZOO_MIRROR"):
        download(f"{server.url}/models/nothing.pth")
    assert not (cache / "nothing.pth").exists()


def test_no_network(server: RangeServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    import time

    url = f"{server.url}/models/{HASHED}"
    server.shutdown()
    server.server_close()
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between its tries
    logger = logging.getLogger("huggingface_hub.file_download")
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    with pytest.raises(RuntimeError, match=rf"{url}: cannot be downloaded \(.*check the network.*CMPL_ZOO_WEIGHTS"):
        download(url)
    assert not caplog.records  # of huggingface_hub's retries


def test_a_mirror_replaces_scheme_and_host(server: RangeServer, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CMPL_ZOO_MIRROR", server.url)
    assert download(f"https://download.example/models/{HASHED}").read_bytes() == CONTENT
    monkeypatch.setenv("CMPL_ZOO_MIRROR", f"{server.url}/models/")
    assert download(f"https://download.example/{PLAIN}").read_bytes() == CONTENT
    monkeypatch.setenv("CMPL_ZOO_MIRROR", "mirror.example")
    with pytest.raises(RuntimeError, match=r"CMPL_ZOO_MIRROR is mirror\.example, no address"):
        download("https://download.example/models/other.pth")


def test_a_folder_of_ones_own(
    server: RangeServer, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    monkeypatch.setenv("CMPL_ZOO_WEIGHTS", str(own))
    with pytest.raises(RuntimeError, match=rf"CMPL_ZOO_WEIGHTS is {own}, and there is no such folder"):
        download(f"{server.url}/models/{HASHED}")
    own.mkdir()
    (own / HASHED).write_bytes(CONTENT)
    assert download(f"{server.url}/models/{HASHED}") == own / HASHED and server.requests == []
    (own / HASHED).write_bytes(CONTENT[:1000])
    with pytest.raises(RuntimeError, match=rf"{own / HASHED}: is not the published file .*CMPL_ZOO_WEIGHTS"):
        download(f"{server.url}/models/{HASHED}")
    assert download(f"{server.url}/models/{PLAIN}") == cache / PLAIN, "what is not in the folder is downloaded"


def test_a_cut_file_in_the_cache_is_named(server: RangeServer, cache: Path) -> None:
    """torch.hub's own loader leaves such ones under their final name."""
    cache.mkdir(parents=True)
    (cache / HASHED).write_bytes(CONTENT[:1000])
    with pytest.raises(RuntimeError, match=rf"{cache / HASHED}: is not the published file.*delete it and try again"):
        download(f"{server.url}/models/{HASHED}")


def test_a_place_that_cannot_be_written(server: RangeServer, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RuntimeError, match=rf"{tmp_path / 'file'}.*cannot be written.*cache_dir"):
        download(f"{server.url}/models/{HASHED}", cache_dir=tmp_path / "file")


def test_who_asks_while_another_process_downloads_waits_for_its_file(server: RangeServer, cache: Path) -> None:
    cache.mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        with WeakFileLock(cache / f"{HASHED}.lock"):
            asked = pool.submit(download, f"{server.url}/models/{HASHED}")
            assert not wait([asked], timeout=0.5).done
            (cache / HASHED).write_bytes(CONTENT)
        assert asked.result() == cache / HASHED and server.requests == []


# The weights of a name


@pytest.fixture
def published(server: RangeServer) -> str:
    """The address of random weights of tv_mc3_18, in torchvision's form and with a true hash in their name."""
    from torchvision.models.video import mc3_18

    torch.manual_seed(0)
    file = server.folder / "models" / "mc3.pth"
    torch.save(mc3_18().state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return f"https://download.example/models/{file.rename(file.with_name(f'mc3-{digest[:8]}.pth')).name}"


def test_a_pretrained_network_is_downloaded_by_its_name(
    server: RangeServer, published: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CMPL_ZOO_MIRROR", server.url)
    overlay = {"url": published}
    model = cmpl_zoo.create_model("tv_mc3_18", pretrained=True, pretrained_cfg_overlay=overlay)
    saved = torch.load(cache / Path(published).name, weights_only=True)
    assert torch.equal(model.fc.weight, saved["fc.weight"]) and model.pretrained_cfg["label_names"][0] == "abseiling"
    # The real address, at which this server has the random weights: their hash is not the published one.
    real = server.folder / "models" / "mc3_18-a90a0ba3.pth"
    real.write_bytes((cache / Path(published).name).read_bytes())
    with pytest.raises(RuntimeError, match=rf"{server.url}/models/{real.name}: is not the published .*of a90a0ba3"):
        cmpl_zoo.create_model("tv_mc3_18", pretrained=True)


def test_what_else_is_in_a_pickle_is_not_run(server: RangeServer, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "was run"),)

    file = server.folder / "models" / "evil.pth"
    torch.save({"fc.weight": Evil()}, file)
    with pytest.raises(RuntimeError):
        cmpl_zoo.create_model("tv_mc3_18", True, pretrained_cfg_overlay={"url": f"{server.url}/models/evil.pth"})
    assert not (tmp_path / "was run").exists()


def test_offline(tmp_path: Path) -> None:
    """In a process of its own: huggingface_hub reads the variable when it is imported."""
    env = os.environ | {"HF_HUB_OFFLINE": "1", "TORCH_HOME": str(tmp_path)}
    code = "import cmpl_zoo; cmpl_zoo.create_model('tv_mc3_18', pretrained=True)"
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(
        r"^RuntimeError: https://download\.pytorch\.org/models/mc3_18-a90a0ba3\.pth: .*HF_HUB_OFFLINE.*CMPL_ZOO_W",
        done.stderr,
        re.M,
    )
