"""Weights of other projects, checked against the networks that they come from."""

import importlib
import importlib.util
import pickle
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch
from made_weights import published
from torch import nn

import cmpl_zoo
from cmpl_zoo.hub import convert
from cmpl_zoo.models.labels import label_names
from cmpl_zoo.video.clips import resolve_clip_config


def random_statistics(network: nn.Module) -> nn.Module:
    """Batch norm that matters."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.5, 1.0)
            nn.init.normal_(module.bias, 0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


def module_of(package: str, name: str, **stand_ins: object) -> types.ModuleType:
    """A module of a package, imported past the package's own imports, which fail with today's torchvision.

    Args:
        package: its name.
        name: of the module within.
        stand_ins: what stands in for another module within, which it takes nothing but types from.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.submodule_search_locations is None:
        pytest.skip(f"needs {package}: make test-slow installs it")
    folder, parts = Path(found.submodule_search_locations[0]), name.split(".")
    for depth in range(len(parts)):
        parent = types.ModuleType(".".join([package, *parts[:depth]]))
        parent.__path__ = [str(folder.joinpath(*parts[:depth]))]
        sys.modules[parent.__name__] = parent
    for other, names in stand_ins.items():
        stand_in = types.ModuleType(f"{package}.{other}")
        stand_in.__dict__.update(names)  # type: ignore[call-overload]
        sys.modules[stand_in.__name__] = stand_in
    return importlib.import_module(f"{package}.{name}")


def pytorchvideos() -> tuple[nn.Module, dict[str, Any]]:
    """PyTorchVideo's own network, and its checkpoint as published."""
    resnet = module_of("pytorchvideo", "models.resnet")
    network = resnet.create_resnet(stem_conv_kernel_size=(1, 7, 7), head_pool_kernel_size=(8, 7, 7))
    network = random_statistics(network)
    return network, {"model_state": network.state_dict()}


def mmaction2s() -> tuple[nn.Module, dict[str, Any]]:
    """mmaction2's own backbone, under a head of its names, and its checkpoint as published."""
    type_names = dict.fromkeys(("OptConfigType", "ConfigType", "OptMultiConfig"), object)
    resnet = module_of("mmaction", "models.backbones.resnet3d_slowonly", utils=type_names)

    class Recognizer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            inflated = {"inflate": (0, 0, 1, 1), "conv1_kernel": (1, 7, 7)}
            self.backbone = resnet.ResNet3dSlowOnly(depth=50, pretrained=None, lateral=False, **inflated)
            self.cls_head = nn.ModuleDict({"fc_cls": nn.Linear(2048, 400)})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.cls_head["fc_cls"](self.backbone(x).mean((2, 3, 4)))

    network = random_statistics(Recognizer())
    return network, {"meta": {"epoch": 256}, "state_dict": network.state_dict()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("project", "clip", "mean"),
    [
        (pytorchvideos, {"frames": 8, "stride": 9, "fps": 30, "clips": 10, "crops": 3}, (0.45,) * 3),
        (mmaction2s, {"frames": 8, "stride": 8, "clips": 10, "crops": 3}, (0.485, 0.456, 0.406)),
    ],
)
def test_the_same_function_as_the_publishers_network(project, clip, mean, tmp_path) -> None:
    torch.manual_seed(0)
    network, checkpoint = project()
    file = tmp_path / "published.pth"
    torch.save(checkpoint, file)
    command = [Path(sys.executable).with_name("cmpl-zoo"), "convert", "slow_r50", file, "-o", tmp_path / "model"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    model = cmpl_zoo.create_model(tmp_path / "model").eval()
    clips = torch.randn(2, 3, 8, 224, 224)
    with torch.inference_mode():
        torch.testing.assert_close(model(clips), network(clips), rtol=1e-5, atol=1e-5)
    names = label_names(model)
    assert (len(names), names[0], names[-1]) == (400, "abseiling", "zumba")
    settings = resolve_clip_config(model)
    assert {key: settings[key] for key in clip} == clip
    assert settings["mean"] == pytest.approx(mean) and settings["size"] == (224, 224)
    card = (tmp_path / "model" / "README.md").read_text()
    assert "trained with all labels" in card and "no CMPL" in card


@pytest.mark.parametrize(("project", "stride"), [("PyTorchVideo", 9), ("PySlowFast", 9), ("mmaction2", 8)])
def test_every_weight_finds_its_place(project: str, stride: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights = published(project, classes=3)
    (tmp_path / "classes.txt").write_text("jump\nrun\nwalk\n")
    torch.save({"epoch": 3, "model_state": weights}, tmp_path / "checkpoint.pyth")
    convert.slow_r50(tmp_path / "checkpoint.pyth", tmp_path / "model", str(tmp_path / "classes.txt"))
    model = cmpl_zoo.create_model(tmp_path / "model")
    assert (label_names(model), model.clip["stride"]) == (["jump", "run", "walk"], stride)
    # The order of layers is the same in every project: stem, blocks of three convolutions and a shortcut, classifier.
    ours = {key: weight for key, weight in model.state_dict().items() if ".downsample." not in key}
    theirs = {key: weight for key, weight in weights.items() if not re.search("branch1|downsample", key)}
    assert len(ours) == len(theirs) == 1 + 5 + 16 * 18 + 2
    for (key, own), given in zip(ours.items(), theirs.values(), strict=True):
        if own.shape != given.shape:
            before = (own.shape[2] - given.shape[2]) // 2
            assert not own[:, :, :before].any() and not own[:, :, before + given.shape[2] :].any(), key
            own = own[:, :, before : before + given.shape[2]]
        torch.testing.assert_close(own, given, rtol=0, atol=0, msg=key)
    shortcuts = [weight for key, weight in weights.items() if re.search("branch1|downsample", key)]
    own = [weight for key, weight in model.state_dict().items() if ".downsample." in key]
    assert all(torch.equal(a, b) for a, b in zip(own, shortcuts, strict=True))


def five(folder: Path) -> Path:
    """A file of five class names."""
    (folder / "five.txt").write_text("a\nb\nc\nd\ne\n")
    return folder / "five.txt"


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

    weights = published("mmaction2", 5)
    torch.save({"state_dict": weights}, tmp_path / "published-01234567.pth")
    torch.save({"state_dict": weights, "message_hub": Path("x")}, tmp_path / "training.pth")
    torch.save({"state_dict": weights | {"cls_head.fc_cls.weight": torch.zeros(5, 9)}}, tmp_path / "narrow.pth")
    torch.save({"state_dict": {k: v for k, v in weights.items() if "layer3.2" not in k}}, tmp_path / "shallow.pth")
    torch.save({"state_dict": weights | {"backbone.layer5.0.conv1.conv.weight": torch.zeros(1)}}, tmp_path / "deep.pth")
    torch.save(published("PySlowFast"), tmp_path / "slowfast.pyth")
    (tmp_path / "SLOW_8x8_R50.pkl").write_bytes(pickle.dumps({"blobs": {"conv1_w": [0.0]}}))
    (tmp_path / "four.txt").write_text("a\nb\nc\nd\n")
    for name, message in (
        ("published-01234567.pth", "SHA-256 begins with .*instead of 01234567"),
        ("training.pth", r"holds pathlib\.\w*Path beside the weights.*publish_model"),
        ("narrow.pth", "1 of another shape .*fc.weight"),
        ("shallow.pth", r"missing .*layer3\.2\.conv1\.weight"),
        ("deep.pth", "1 unknown .*layer5"),
        ("SLOW_8x8_R50.pkl", r"Caffe2.*r3d50\.slow_k400"),
    ):
        with pytest.raises(ValueError, match=f"{re.escape(name)}: .*{message}"):
            convert.slow_r50(tmp_path / name, tmp_path / "out", None if "pkl" in name else str(five(tmp_path)))
    for file in ("slowfast.pyth", "narrow.pth"):
        with pytest.raises(ValueError, match=f"{file}: the names of its .* classes are not known.*--classes"):
            convert.slow_r50(tmp_path / file, tmp_path / "out")
    with pytest.raises(ValueError, match=r"four\.txt has 4 names.* has 5 classes"):
        convert.slow_r50(tmp_path / "deep.pth", tmp_path / "out", str(tmp_path / "four.txt"))
    with pytest.raises(FileNotFoundError):
        convert.slow_r50(tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()
