"""Weights of other projects, checked against the networks that they come from."""

import importlib
import pickle
import re
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from torch import nn

import cmpl_zoo
from cmpl_zoo.hub import convert
from cmpl_zoo.models.labels import label_names
from cmpl_zoo.video.clips import resolve_clip_config


@pytest.fixture(scope="module")
def slow_r50() -> nn.Module:
    """PyTorchVideo's own network, with random weights and statistics that matter.

    The module is imported past its package, which fails with today's torchvision.
    """
    pytest.importorskip("fvcore", reason="needs PyTorchVideo: make test-slow installs it")
    package = pytest.importorskip("pytorchvideo", reason="needs PyTorchVideo: make test-slow installs it")
    models = types.ModuleType("pytorchvideo.models")
    models.__path__ = [str(Path(package.__path__[0], "models"))]
    sys.modules[models.__name__] = models
    resnet = importlib.import_module("pytorchvideo.models.resnet")
    torch.manual_seed(0)
    network = resnet.create_resnet(stem_conv_kernel_size=(1, 7, 7), head_pool_kernel_size=(8, 7, 7))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, 0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.slow
def test_slow_r50_is_the_same_function(slow_r50: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "SLOW_8x8_R50.pyth"
    torch.save({"model_state": slow_r50.state_dict()}, file)
    command = [Path(sys.executable).with_name("cmpl-zoo"), "convert", "slow_r50", file, "-o", tmp_path / "model"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model = cmpl_zoo.create_model(tmp_path / "model").eval()
    clips = torch.randn(2, 3, 8, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(model(clips), slow_r50(clips), rtol=1e-4, atol=1e-4)
    names = label_names(model)
    assert (len(names), names[0], names[-1]) == (400, "abseiling", "zumba")
    settings = resolve_clip_config(model)
    assert (settings["frames"], settings["stride"], settings["clips"], settings["crops"]) == (8, 8, 10, 3)
    assert (settings["mean"], settings["std"], settings["size"]) == ((0.45,) * 3, (0.225,) * 3, (224, 224))
    card = (tmp_path / "model" / "README.md").read_text()
    assert "supervised" in card and "no CMPL" in card


def test_bad_files(tmp_path: Path) -> None:
    bad = {
        "page": b"<html>",
        "empty": b"",
        "list": pickle.dumps([1]),
        "text": b"hello",
        "opcodes": b"\x80\x02.",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module")  # a pickled object, not weights
    torch.save({"model_state": {"blocks.0.conv.weight": torch.zeros(64, 3, 1, 7, 7)}}, tmp_path / "part")
    torch.save({"model_state": {}}, tmp_path / "nothing")
    torch.save({"model_state": 5}, tmp_path / "number")
    torch.save({"model_state": {0: torch.zeros(1)}}, tmp_path / "numbered")
    for name in (*bad, "module", "part", "nothing", "number", "numbered"):
        with pytest.raises(ValueError, match=re.escape(str(tmp_path / name))):
            convert.slow_r50(tmp_path / name, tmp_path / "out")
    with pytest.raises(FileNotFoundError):
        convert.slow_r50(tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()
