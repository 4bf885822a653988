"""Files of weights as training elsewhere leaves them, and the ways to name a model."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

import cmpl_zoo
from cmpl_zoo.training.checkpoint import States

SMALL = "r3d50_eighth"
CLASSES = 5


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return cmpl_zoo.create_model(SMALL, num_classes=CLASSES).eval()


@pytest.fixture(scope="module")
def folder(model: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return cmpl_zoo.save(model, tmp_path_factory.mktemp("saved") / "small", list("abcde"))


def same(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().items(), b.state_dict().items(), strict=True)
    return all(k == m and torch.equal(v, w) for (k, v), (m, w) in pairs)


class Lit(nn.Module):
    """What a LightningModule saves: the network under a name of its own, and a loss and a metric with states."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.loss = nn.CrossEntropyLoss(weight=torch.ones(CLASSES))
        self.register_buffer("total", torch.tensor(3))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda m: m.state_dict(),
        lambda m: {"state_dict": Lit(m).state_dict(), "epoch": 3},
        lambda m: Lit(torch.compile(m, backend="eager")).state_dict(),
        lambda m: {"state_dict": Lit(nn.DataParallel(m)).state_dict()},
        lambda m: nn.DataParallel(m).state_dict(),
        lambda m: torch.compile(m, backend="eager").state_dict(),
        lambda m: torch.optim.swa_utils.AveragedModel(m).state_dict(),
        lambda m: torch.optim.swa_utils.AveragedModel(Lit(m)).state_dict(),
        lambda m: {"model": m.state_dict(), "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]}},
        lambda m: {"state_dict": nn.DataParallel(timm.utils.ModelEmaV3(m)).state_dict()},
    ],
    ids=["plain", "lightning", "compiled", "lightning-ddp", "ddp", "compile", "swa", "swa-lightning", "model", "ema"],
)
def test_the_network_in_a_checkpoint_is_found(wrap: Any, model: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    torch.save(wrap(model), file)
    torch.manual_seed(1)
    assert same(cmpl_zoo.create_model(SMALL, num_classes=CLASSES, checkpoint_path=file), model)
    features = cmpl_zoo.create_model(SMALL, features_only=True, checkpoint_path=file)
    assert torch.equal(features.layer4[0].conv1.weight, model.layer4[0].conv1.weight)


def test_a_checkpoint_that_does_not_fit_says_what_to_do(model: nn.Module, tmp_path: Path) -> None:
    weights = model.state_dict()
    two = {f"{name}.{key}": weight for name in ("student", "teacher") for key, weight in weights.items()}
    headless = {key: weight for key, weight in weights.items() if not key.startswith("fc.")}
    for name, content, message in (
        ("head", weights, r"its classifier has 5 classes, and the model 7; give create_model num_classes=5, .*reset_"),
        ("headless", headless, r"its classifier has 0 classes, and the model 7; give create_model num_classes=0"),
        ("two", two, r"holds 2 networks, whose keys begin with 'student\.' and 'teacher\.'; save the one"),
        (
            "image",
            timm.create_model("resnet50").state_dict(),
            r"these are weights for images; .*_overlay=",
        ),
        ("object", model, r"holds Python objects .*nn.modules.*weights_only=False"),
        ("other", {"conv.weight": torch.zeros(1)}, r"no weights of this model .*Missing key"),
        ("list", [1, 2], r"no weights of this model"),
    ):
        torch.save(content, file := tmp_path / f"{name}.pth")
        with pytest.raises(RuntimeError, match=f"{name}.pth: {message}") as raised:
            cmpl_zoo.create_model(SMALL, num_classes=7, checkpoint_path=file)
        assert "\n" not in str(raised.value)
    torch.save(weights, file)  # and what the message says works
    again = cmpl_zoo.create_model(SMALL, num_classes=5, checkpoint_path=file)
    again.reset_classifier(7)
    assert again.fc.out_features == 7 and torch.equal(again.conv1.weight, model.conv1.weight)


def test_a_state_of_a_run_names_its_networks(model: nn.Module, tmp_path: Path) -> None:
    """The folder of the run, that of its states, and a state."""
    cmpl_zoo.save(model, tmp_path / "primary", list("abcde"))
    states = States(tmp_path)
    states.save(5, {"step": 5, "networks": {"primary": model.state_dict()}})
    for ask in (
        lambda: cmpl_zoo.create_model(SMALL, checkpoint_path=states.files()[0]),
        lambda: cmpl_zoo.create_model(tmp_path),
        lambda: cmpl_zoo.create_model(tmp_path / "states"),
    ):
        with pytest.raises((RuntimeError, FileNotFoundError), match=str(tmp_path / "primary")):
            ask()


# Ways to name a model


def test_a_model_directory_is_found_by_its_files_and_from_home(
    folder: Path, model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    monkeypatch.chdir(folder)
    for name in (folder / "model.safetensors", folder / "config.json", "~/small", "local-dir:~/small", "~/small/",
                 "model.safetensors", "."):  # fmt: skip
        assert same(cmpl_zoo.create_model(name, pretrained=True), model)
    shutil.copy(folder / "model.safetensors", tmp_path / "weights.safetensors")
    with pytest.raises(
        ValueError, match=r"weights\.safetensors' is neither .*checkpoint_path='.*weights\.safetensors'"
    ):
        cmpl_zoo.create_model(tmp_path / "weights.safetensors")
    for path in ("~/small/model.safetensors", tmp_path / "weights.safetensors"):
        assert same(cmpl_zoo.create_model(SMALL, num_classes=5, checkpoint_path=path), model)
    shutil.copy(folder / "model.safetensors", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        cmpl_zoo.create_model(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("https://example.org/model", r"Hub give hf-hub:ORG/NAME, and of other addresses download"),
        ("https://huggingface.co/datasets/someone/videos", r"hf-hub:ORG/NAME"),
        ("s3://bucket/model", r"of other addresses download"),
        ("someone/actions@v1", r"hf-hub:someone/actions@v1"),
        ("~/nowhere", r"check the path"),
        ("~nobody_of_this_name/model", r"check the path"),
        ("", r"list_models\(\) list them"),
        ("r3d50.cmpl", r"did you mean"),
    ],
)
def test_a_name_of_nothing_says_what_there_is(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=rf"is neither a model of this zoo nor a model directory; .*{message}"):
        cmpl_zoo.create_model(name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"img_size": 112}, r"takes no img_size: .*pretrained_cfg_overlay=\{'input_size'"),
        ({"num_frames": 16}, r"takes no num_frames: .*clip=\{'frames'"),
        ({"stride": 4}, r"takes no stride: .*clip="),
        ({"token": "hf_x"}, r"takes no token: .*HF_TOKEN"),
        ({"revision": "v1"}, r"takes no revision: .*hf-hub:ORG/NAME@REVISION"),
    ],
)
def test_an_argument_of_another_name_says_ours(arguments: dict[str, Any], message: str) -> None:
    for make in (cmpl_zoo.create_model, timm.create_model):
        with pytest.raises(TypeError, match=message):
            make(SMALL, **arguments)
    with pytest.raises(TypeError, match=message):  # before anything is asked of the Hub
        cmpl_zoo.create_model("hf-hub:someone/actions", **arguments)


def test_the_second_argument_is_no_number_of_classes() -> None:
    with pytest.raises(TypeError, match=r"pretrained is 5; it must be True or False, .*num_classes="):
        cmpl_zoo.create_model(SMALL, 5)


def test_a_model_is_made_on_a_device_and_in_a_dtype(folder: Path, model: nn.Module, tmp_path: Path) -> None:
    torch.save(model.state_dict(), tmp_path / "weights.pth")
    for make in (cmpl_zoo.create_model, timm.create_model):
        assert {p.device.type for p in make(SMALL, device="meta").parameters()} == {"meta"}
    kinds = dict(device=torch.device("cpu"), dtype=torch.bfloat16)
    for made in (
        cmpl_zoo.create_model(folder, **kinds),
        timm.create_model(f"local-dir:{folder}", pretrained=True, **kinds),
        cmpl_zoo.create_model(SMALL, num_classes=CLASSES, checkpoint_path=tmp_path / "weights.pth", **kinds),
    ):
        assert {p.dtype for p in made.parameters()} == {torch.bfloat16}
        assert torch.equal(made.fc.weight, model.fc.weight.bfloat16())
    again = cmpl_zoo.create_model(cmpl_zoo.save(cmpl_zoo.create_model(folder, **kinds), tmp_path / "b", list("abcde")))
    assert torch.equal(again.fc.weight, model.fc.weight.bfloat16().float()), "where it was made is not saved with it"
