"""`r3d50.slow_k400`: PyTorchVideo's published file, from a loopback server and with random contents."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import timm
import torch
from made_weights import published
from range_server import RangeServer, serving

import cmpl_zoo
from cmpl_zoo.hub import convert

REPO = Path(__file__).resolve().parents[1]
NAME = "SLOW_8x8_R50.pyth"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[RangeServer]:
    """A server that holds the file where PyTorchVideo's has it."""
    folder = tmp_path_factory.mktemp("site")
    file = folder / "pytorchvideo" / "model_zoo" / "kinetics" / NAME
    file.parent.mkdir(parents=True)
    torch.manual_seed(0)
    torch.save({"model_state": published("PyTorchVideo")}, file)
    with serving(folder) as server:
        yield server


@pytest.fixture
def cache(site, tmp_path, monkeypatch) -> Path:
    """Where downloads go, with the server as the mirror."""
    monkeypatch.setenv("CMPL_ZOO_MIRROR", site.url)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return tmp_path / "hub" / "checkpoints"


def file_of(site: RangeServer) -> Path:
    return next(site.folder.rglob(NAME))


def test_it_is_what_r3d50_means_and_what_convert_makes(site, cache, tmp_path):
    site.requests.clear()
    model = cmpl_zoo.create_model("r3d50", pretrained=True)
    assert [path for path, _ in site.requests] == [f"/pytorchvideo/model_zoo/kinetics/{NAME}"]
    assert (cache / NAME).read_bytes() == file_of(site).read_bytes(), "where PyTorchVideo itself keeps it"
    assert model.clip == {"frames": 8, "stride": 9, "fps": 30, "clips": 10, "crops": 3}
    cfg = model.pretrained_cfg
    assert (cfg["tag"], cfg["mean"], cfg["std"]) == ("slow_k400", (0.45,) * 3, (0.225,) * 3)
    assert (cfg["label_names"][0], cfg["label_names"][-1], len(cfg["label_names"])) == ("abseiling", "zumba", 400)
    assert "state_dict" not in cfg
    converted = cmpl_zoo.create_model(convert.slow_r50(file_of(site), tmp_path / "converted"))
    assert converted.clip == model.clip
    others = [
        converted,
        torch.hub.load(str(REPO), "r3d50_slow_k400", source="local"),
        timm.create_model("r3d50.slow_k400", pretrained=True),
    ]
    for other in others:
        for (key, weight), theirs in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
            assert torch.equal(weight, theirs), key
    assert len(site.requests) == 1, "downloaded once"


def test_another_head_other_channels_and_features_start_from_it(site, cache):
    weights = cmpl_zoo.create_model("r3d50.slow_k400", pretrained=True).state_dict()
    other = cmpl_zoo.create_model("r3d50", pretrained=True, num_classes=5, in_chans=1)
    assert other.fc.weight.shape == (5, 2048) and not other.pretrained_cfg.get("label_names")
    torch.testing.assert_close(other.conv1.weight, weights["conv1.weight"].sum(1, keepdim=True))
    features = cmpl_zoo.create_model("r3d50", pretrained=True, features_only=True, out_indices=(1,))
    assert torch.equal(features.state_dict()["layer1.0.conv1.weight"], weights["layer1.0.conv1.weight"])


def test_it_is_found_on_the_disk(site, cache, tmp_path, monkeypatch):
    monkeypatch.setenv("CMPL_ZOO_MIRROR", "http://127.0.0.1:9")  # where nothing answers
    own = tmp_path / "own"
    own.mkdir()
    shutil.copy(file_of(site), own)
    monkeypatch.setenv("CMPL_ZOO_WEIGHTS", str(own))
    assert cmpl_zoo.create_model("r3d50", pretrained=True).num_classes == 400
    monkeypatch.delenv("CMPL_ZOO_WEIGHTS")
    assert cmpl_zoo.create_model("r3d50", pretrained=True, cache_dir=own).num_classes == 400
    assert not (cache / NAME).exists()


def test_what_is_not_that_file_is_refused_in_one_sentence(site, cache):
    cache.mkdir(parents=True)
    whole = published("PyTorchVideo")
    torch.save({"model_state": {k: v for k, v in whole.items() if not k.startswith("blocks.3")}}, cache / NAME)
    wrong = {"missing .*layer3": (cache / NAME).read_bytes()}
    torch.save({"model_state": whole | {"blocks.5.proj.weight": torch.zeros(400, 3)}}, cache / NAME)
    wrong["of another shape .*fc.weight"] = (cache / NAME).read_bytes()
    wrong["no checkpoint that torch can read.*delete it"] = file_of(site).read_bytes()[:100_000]
    wrong["web page.*delete it"] = b"<html>moved</html>"
    torch.save({"weights": 3}, cache / NAME)
    wrong["holds other things than weights.*delete it"] = (cache / NAME).read_bytes()
    for message, content in wrong.items():
        (cache / NAME).write_bytes(content)
        with pytest.raises(RuntimeError, match=f"{NAME}: .*{message}") as refusal:
            cmpl_zoo.create_model("r3d50", pretrained=True)
        assert "\n" not in str(refusal.value)
