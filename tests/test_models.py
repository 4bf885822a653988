"""The R3D family: Table 3 of the paper, and timm's contract over every registered model."""

import copy
import pickle
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from timm.models import group_parameters, save_for_hf
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models.feature_extraction import create_feature_extractor

import cmpl_zoo
from cmpl_zoo import hub
from cmpl_zoo.models import freeze, unfreeze
from cmpl_zoo.models.config_json import DEFAULT_CLIP
from cmpl_zoo.models.labels import label_names
from cmpl_zoo.models.r3d import R3D, BasicBlock, Bottleneck, checkpoint_filter_fn, default_cfgs

FAMILY = {"r3d18", "r3d50", "r3d50_half", "r3d50_quarter", "r3d50_eighth", "r3d101"}
DEPTHS = {"r3d101": (3, 4, 23, 3), "r3d18": (2, 2, 2, 2)}
SMALL = "r3d50_eighth"
TAGGED = [f"{name}.{tag}" for name, cfg in default_cfgs.items() for tag in cfg.tags]


@pytest.fixture(params=timm.list_models(module="r3d"))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def make(name: str, **kwargs: Any) -> nn.Module:
    """A model whose blocks take part: untrained ones start as their shortcut, which would hide their faults.

    They add little each, since 33 in a row would otherwise make rounding as large as what is tested.
    """
    torch.manual_seed(0)
    model = timm.create_model(name, **kwargs).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d) and not module.weight.is_meta and not module.weight.any():
            nn.init.constant_(module.weight, 0.2)
    return model


def clips(*shape: int) -> Tensor:
    return torch.randn(*(shape or (2, 3, 4, 32, 32)), generator=torch.Generator().manual_seed(1))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def saved(model: nn.Module, folder: Path) -> dict[str, str]:
    """A file of weights, as `pretrained_cfg_overlay` takes it."""
    save_file(model.state_dict(), folder / "model.safetensors")
    return {"file": str(folder / "model.safetensors")}


def loaded(name: str, source: dict[str, Any], **kwargs: Any) -> nn.Module:
    torch.manual_seed(7)  # a key that is not loaded must not be equal by chance
    return timm.create_model(name, pretrained=True, pretrained_cfg_overlay=source, **kwargs).eval()


def classes_of_weights(name: str) -> int:
    """As many as the best weights of a name have, which `loaded` takes a checkpoint for."""
    return timm.get_pretrained_cfg(name).num_classes


# The network of the paper


def test_family() -> None:
    assert set(timm.list_models(module="r3d")) == FAMILY


@pytest.mark.parametrize(
    ("name", "parameters", "gmac"),
    [("r3d50", 33_024_208, 51.48), ("r3d50_half", 8_486_192, 14.05), ("r3d50_quarter", 2_236_768, 4.10)],
)
def test_size_and_cost_are_the_papers(name: str, parameters: int, gmac: float) -> None:
    with torch.device("meta"):
        model = make(name, num_classes=400)
        with FlopCounterMode(display=False) as counter:  # convolutions and the classifier; BN and ReLU are free
            model(torch.empty(1, 3, 8, 224, 224))
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert round(counter.get_total_flops() / 2e9, 2) == gmac


@pytest.mark.parametrize(("name", "divisor"), [("r3d50", 1), ("r3d50_quarter", 4)])
def test_output_sizes_are_table_3(name: str, divisor: int) -> None:
    rows = {
        "conv1": (64, 8, 112, 112),
        "maxpool": (64, 8, 56, 56),
        "layer1": (256, 8, 56, 56),
        "layer2": (512, 8, 28, 28),
        "layer3": (1024, 8, 14, 14),
        "layer4": (2048, 8, 7, 7),
    }
    with torch.device("meta"):
        model = make(name)
        sizes = {}
        for row in rows:
            model.get_submodule(row).register_forward_hook(
                lambda _module, _args, y, row=row: sizes.update({row: tuple(y.shape[1:])})
            )
        model(torch.empty(1, 3, 8, 224, 224))
    assert sizes == {row: (channels // divisor, *size) for row, (channels, *size) in rows.items()}


def test_kernels_are_table_3() -> None:
    with torch.device("meta"):
        model = make("r3d50")
    assert model.conv1.weight.shape == (64, 3, 5, 7, 7)
    for stage, planes in enumerate((64, 128, 256, 512), start=1):
        for block in model.get_submodule(f"layer{stage}"):
            assert block.conv1.weight.shape[0::2] == (planes, 3, 1)
            assert block.conv1.kernel_size == (3, 1, 1)
            assert block.conv2.weight.shape == (planes, planes, 1, 3, 3)
            assert block.conv3.weight.shape == (4 * planes, planes, 1, 1, 1)
    assert [m.eps for m in model.modules() if isinstance(m, nn.BatchNorm3d)] == [1e-5] * 53
    assert [m.momentum for m in model.modules() if isinstance(m, nn.BatchNorm3d)] == [0.1] * 53


@pytest.mark.parametrize(("name", "image"), [("r3d50", "resnet50"), ("r3d18", "resnet18")])
def test_is_the_image_network_on_one_frame(name: str, image: str) -> None:
    """With image weights in the middle of every temporal kernel, a single frame gives the same logits."""
    flat, model = make(image, num_classes=5), make(name, num_classes=5)
    assert flat.state_dict().keys() == model.state_dict().keys()
    for key, value in model.state_dict().items():
        source = flat.state_dict()[key]
        if value.ndim == 5:
            value.zero_()[:, :, value.shape[2] // 2] = source
        else:
            value.copy_(source)
    x = clips(2, 3, 1, 64, 48)
    with torch.inference_mode():
        close(model(x), flat(x[:, :, 0]))


# timm's contract, over the family


def test_forward_parts(name: str) -> None:
    model = make(name, num_classes=5)
    with torch.inference_mode():
        features = model.forward_features(clips())
        pooled = model.forward_head(features, pre_logits=True)
        logits = model(clips())
        close(logits, model.get_classifier()(pooled))
    assert features.shape == (2, model.num_features, 4, 1, 1)
    assert pooled.shape == (2, model.head_hidden_size)
    close(pooled, features.mean((2, 3, 4)))
    assert logits.shape == (2, 5) and logits.isfinite().all()


def test_no_classifier(name: str) -> None:
    with torch.inference_mode():
        model = make(name, num_classes=0)
        assert isinstance(model.get_classifier(), nn.Identity)
        assert model(clips()).shape == (2, model.num_features)
        model = make(name, num_classes=0, global_pool="")
        assert model(clips()).shape == (2, model.num_features, 4, 1, 1)


def test_reset_classifier(name: str) -> None:
    model = make(name).double()
    x = clips().double()
    features = model.forward_features(x)
    model.reset_classifier(7, "max")
    assert model.get_classifier(name_only=True) == "fc" and model.num_classes == 7
    assert model.get_classifier().weight.dtype == torch.float64
    assert model(x).shape == (2, 7)
    close(model.forward_head(features, pre_logits=True), features.amax((2, 3, 4)))
    model.reset_classifier(3)  # keeps the pooling
    assert model.global_pool.pool_type == "max" and model(x).shape == (2, 3)
    model.reset_classifier(0, "")
    assert model(x).shape == features.shape


def test_forward_intermediates(name: str) -> None:
    model = make(name, num_classes=5)
    with torch.inference_mode():
        last, maps = model.forward_intermediates(clips())
        close(last, model.forward_features(clips()))
        assert [m.shape[1] for m in maps] == [info["num_chs"] for info in model.feature_info]
        assert [m.shape[2:] for m in maps] == [
            (4, 32 // i["reduction"], 32 // i["reduction"]) for i in model.feature_info
        ]
        close(maps[-1], last)

        some = model.forward_intermediates(clips(), indices=[0, -3], stop_early=True, intermediates_only=True)
        close(some[0], maps[0])
        close(some[1], maps[2])
        early, _ = model.forward_intermediates(clips(), indices=[2], stop_early=True)
        close(early, maps[2])
        assert len(model.forward_intermediates(clips(), indices=2, intermediates_only=True)) == 2


def test_stop_early_runs_no_later_stage() -> None:
    model = make(SMALL)
    model.layer3.register_forward_hook(lambda *_: pytest.fail("layer3 ran"))
    model.forward_intermediates(clips(), indices=[2], stop_early=True)


@pytest.mark.parametrize("feature_cls", ["list", "hook", "getter"])
def test_features_only(name: str, feature_cls: str, tmp_path: Path) -> None:
    model = make(name, num_classes=classes_of_weights(name))
    wrapped = loaded(name, saved(model, tmp_path), features_only=True, out_indices=(0, 2, 4), feature_cls=feature_cls)
    with torch.inference_mode():
        maps = wrapped(clips())
        _, expected = model.forward_intermediates(clips(), indices=[0, 2, 4])
    assert wrapped.feature_info.channels() == [m.shape[1] for m in maps]
    assert wrapped.feature_info.reduction() == [2, 8, 32]
    for got, want in zip(maps, expected, strict=True):
        close(got, want)


def test_prune_intermediate_layers(name: str) -> None:
    model = make(name, num_classes=5)
    full = sum(p.numel() for p in model.parameters())
    with torch.inference_mode():
        expected = model.forward_intermediates(clips(), indices=[1, 2], intermediates_only=True)
        assert model.prune_intermediate_layers([1, 2]) == [1, 2]
        got = model.forward_intermediates(clips(), indices=[1, 2], intermediates_only=True)
        close(got[0], expected[0])
        close(got[1], expected[1])
        assert model(clips()).shape[1] == model.num_features == expected[1].shape[1]
        assert sum(p.numel() for p in model.parameters()) < full
        model.set_grad_checkpointing()
        assert model.prune_intermediate_layers([0]) == [0]
        assert model(clips()).shape == (2, model.num_features, 4, 16, 16)


def test_prune_keeps_the_head_if_asked() -> None:
    model = make(SMALL, num_classes=5)
    model.prune_intermediate_layers(1, prune_head=False)
    assert model(clips()).shape == (2, 5)
    model.prune_intermediate_layers(1)
    assert model(clips()).shape == (2, model.num_features, 4, 1, 1)


def test_group_matcher(name: str) -> None:
    with torch.device("meta"):
        model = make(name)
    depths = DEPTHS.get(name, (3, 4, 6, 3))
    for coarse, groups in ((True, 4), (False, sum(depths))):
        layer = group_parameters(model, model.group_matcher(coarse=coarse), reverse=True)
        assert layer.keys() == dict(model.named_parameters()).keys()
        assert set(layer.values()) == set(range(groups + 2))  # and the stem and the head
        assert {k for k, i in layer.items() if i == 0} == {"conv1.weight", "bn1.weight", "bn1.bias"}
        assert {k for k, i in layer.items() if i == groups + 1} == {"fc.weight", "fc.bias"}
        assert list(layer.values()) == sorted(layer.values())


def test_every_parameter_gets_a_gradient(name: str) -> None:
    model = make(name, num_classes=5).train()
    model(clips()).square().mean().backward()
    assert [k for k, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_grad_checkpointing_agrees(name: str) -> None:
    results = []
    for enable in (False, True):
        model = make(name, num_classes=5).train()
        model.set_grad_checkpointing(enable)
        x = clips().requires_grad_()
        y = model(x)
        y.square().mean().backward()
        results.append((y, x.grad, *(p.grad for p in model.parameters())))
    for plain, checkpointed in zip(*results, strict=True):
        close(plain, checkpointed)


def test_grad_checkpointing_recomputes() -> None:
    model = make(SMALL).train()
    model.set_grad_checkpointing()
    calls = []
    model.layer2[1].register_forward_pre_hook(lambda *_: calls.append(1))
    model(clips()).sum().backward()
    assert len(calls) == 2


@pytest.mark.parametrize("tagged", TAGGED)
def test_default_cfg(tagged: str) -> None:
    model = make(tagged)
    cfg = model.pretrained_cfg
    assert f"{cfg['architecture']}.{cfg['tag']}" == tagged
    assert cfg["num_classes"] == model.num_classes
    assert len(default_cfgs[SMALL].cfgs["cmpl_demo"].label_names) == 8
    assert cfg.get("label_names") is None, "untrained, it tells no classes apart"
    own = make(tagged, num_classes=2, pretrained_cfg_overlay={"label_names": ["a", "b"]})
    assert label_names(own) == ["a", "b"], "who trains it names them"
    assert cfg["num_classes"] == {"in1k": 1000, "cmpl_demo": 8}.get(cfg["tag"], 101 if "ucf101_" in tagged else 400)
    assert (tuple(cfg["input_size"]), cfg["crop_pct"]) == (
        ((3, 48, 48), 0.9) if cfg["tag"] == "cmpl_demo" else ((3, 224, 224), 0.875)
    )
    imagenet = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    colors = ((0.45,) * 3, (0.225,) * 3) if cfg["tag"] == "slow_k400" else imagenet
    assert (tuple(cfg["mean"]), tuple(cfg["std"])) == colors
    assert cfg["classifier"] == model.get_classifier(name_only=True)
    assert isinstance(model.get_submodule(cfg["classifier"]), nn.Linear)
    assert cfg["first_conv"] is None  # the stem is checkpoint_filter_fn's
    features = model.forward_features(clips(1, 3, 1, 224, 224))
    assert features.shape[3:] == tuple(cfg["pool_size"])


# Checkpoints


def test_load_gives_the_same_model(name: str, tmp_path: Path) -> None:
    model = make(name, num_classes=classes_of_weights(name))
    with torch.inference_mode():
        assert torch.equal(loaded(name, saved(model, tmp_path))(clips()), model(clips()))


def test_load_with_other_classes(name: str, tmp_path: Path) -> None:
    model = make(name)
    other = loaded(name, saved(model, tmp_path), num_classes=5)
    with torch.inference_mode():
        assert torch.equal(other.forward_features(clips()), model.forward_features(clips()))
        assert other(clips()).shape == (2, 5)


def test_load_with_other_channels(name: str, tmp_path: Path) -> None:
    model = make(name, num_classes=classes_of_weights(name))
    source, stem = saved(model, tmp_path), model.conv1.weight
    expected = {
        1: stem.sum(1, keepdim=True),
        2: stem[:, :2] * 3 / 2,
        4: torch.cat([stem, stem[:, :1]], 1) * 3 / 4,
    }
    for in_chans, weight in expected.items():
        other = loaded(name, source, in_chans=in_chans)
        close(other.conv1.weight, weight)
        assert torch.equal(other.layer1[0].conv1.weight, model.layer1[0].conv1.weight)
    x = clips(2, 1, 4, 32, 32)
    with torch.inference_mode():  # one gray channel is the same picture as three
        close(loaded(name, source, in_chans=1)(x), model(x.expand(-1, 3, -1, -1, -1)))


@pytest.mark.parametrize("how", [{"num_classes": 5}, {"features_only": True}, {}])
@pytest.mark.parametrize("what", ["missing", "of another shape", "unknown"])
def test_load_of_a_checkpoint_that_does_not_fit(name: str, what: str, how: dict[str, Any]) -> None:
    with torch.device("meta"):
        state_dict = timm.create_model(name, num_classes=classes_of_weights(name)).state_dict()
    key = "layer3.1.conv2.weight"
    weight = state_dict.pop(key)
    if what == "of another shape":
        state_dict[key] = weight[:1]
    if what == "unknown":
        state_dict |= {key: weight, "layer9.weight": weight}
    with pytest.raises(RuntimeError, match=rf"{what} \({'layer9.weight' if what == 'unknown' else key}\).*create the"):
        loaded(name, {"state_dict": state_dict}, **how)


def test_a_deeper_model_does_not_load_into_a_shallower_one() -> None:
    with torch.device("meta"):
        state_dict = timm.create_model("r3d101").state_dict()
    with pytest.raises(RuntimeError, match=r"306 unknown \(layer3\.6\.conv1\.weight"):
        loaded("r3d50", {"state_dict": state_dict}, num_classes=5)


def test_load_leaves_the_checkpoint_as_it_is() -> None:
    state_dict = make(SMALL).state_dict()
    keys, stem = list(state_dict), state_dict["conv1.weight"].clone()
    adapted = checkpoint_filter_fn(state_dict, make(SMALL, in_chans=1))
    assert adapted["conv1.weight"].shape[1] == 1
    assert list(state_dict) == keys and torch.equal(state_dict["conv1.weight"], stem)


def test_clip_travels_with_a_model_directory(tmp_path: Path) -> None:
    model = make("r3d50_half", clip={"frames": 16, "stride": 2, "clips": 10, "crops": 1})
    save_for_hf(model, tmp_path, safe_serialization=True)
    other = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    assert other.clip == model.clip
    assert torch.equal(other(clips()), model(clips()))


def test_a_network_to_which_light_and_contrast_are_nothing(tmp_path: Path) -> None:
    model = make(SMALL, num_classes=3, normalize_clip=True)
    plain = make(SMALL, num_classes=3)
    plain.load_state_dict(model.state_dict())
    x = 3 * clips() + 2
    mean, std = x.mean((2, 3, 4), keepdim=True), x.std((2, 3, 4), correction=0, keepdim=True)
    close(model(x), plain((x - mean) / std), 1e-4)
    darker = torch.rand(2, 3, 1, 1, 1) + 0.5, torch.rand(2, 3, 1, 1, 1)
    close(model(darker[0] * x - darker[1]), model(x), 1e-4)
    assert model(torch.ones_like(x)).isfinite().all()
    both = make(SMALL, num_classes=3, subtract_mean_frame=True, normalize_clip=True)
    both.load_state_dict(model.state_dict())
    close(both(x), model(x - x.mean(2, keepdim=True)), 1e-4)
    hub.save(model, tmp_path, ["bow", "run", "walk"])
    other = cmpl_zoo.create_model(tmp_path).eval()
    assert other.normalize_clip
    assert torch.equal(other(x), model(x))


def test_a_network_that_sees_motion_alone(tmp_path: Path) -> None:
    model = make(SMALL, num_classes=3, subtract_mean_frame=True)
    plain = make(SMALL, num_classes=3)
    plain.load_state_dict(model.state_dict())
    x = clips()
    close(model(x), plain(x - x.mean(dim=2, keepdim=True)))
    close(model(x + torch.rand(1, 3, 1, *x.shape[3:])), model(x))
    hub.save(model, tmp_path, ["bow", "run", "walk"])
    other = cmpl_zoo.create_model(tmp_path).eval()
    assert other.subtract_mean_frame
    assert torch.equal(other(x), model(x))
    maps = cmpl_zoo.create_model(tmp_path, features_only=True).eval()(x)
    for found, expected in zip(maps, model.forward_intermediates(x, intermediates_only=True), strict=True):
        close(found, expected)


# Arguments and inputs


@pytest.mark.parametrize("tagged", TAGGED)
def test_default_clip(tagged: str) -> None:
    with torch.device("meta"):
        model = make(tagged)
    if tagged == "r3d50_eighth.cmpl_demo":
        assert model.clip == {"frames": 8, "stride": 2, "fps": 16, "clips": 2, "crops": 1}  # of the recipe demo.yaml
    elif tagged == "r3d50.slow_k400":
        assert model.clip == {"frames": 8, "stride": 9, "fps": 30, "clips": 10, "crops": 3}  # PyTorchVideo's
    else:
        stride = 4 if tagged.startswith("r3d50_quarter") else 8  # the strides of the recipes
        assert model.clip == {"frames": 8, "stride": stride, "clips": 10, "crops": 3}
    assert model.clip is not DEFAULT_CLIP


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"clip": {"frames": 8, "frame_rate": 2}}, "no setting frame_rate; it takes frames, stride"),
        ({"clip": {"frames": 0}}, "frames is 0; give a whole number from 1"),
        ({"clip": {"stride": 1.5}}, r"stride is 1\.5"),
        ({"global_pool": "catavgmax"}, "global_pool is 'catavgmax'"),
        ({"global_pool": ""}, "classes need pooling"),
    ],
)
def test_bad_arguments(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        timm.create_model(SMALL, **kwargs)


@pytest.mark.parametrize(
    ("name", "kwargs", "error", "message"),
    [
        (SMALL, {"checkpoint_path": "nowhere.safetensors"}, FileNotFoundError, "nowhere.safetensors: there is no"),
        (SMALL, {"pretrained": True, "pretrained_cfg_overlay": {"file": "nowhere.safetensors"}}, RuntimeError,
         r"nowhere\.safetensors: there is no such file of weights"),
        (f"{SMALL}.untrained", {}, ValueError, r"'r3d50_eighth\.untrained' is neither"),
        (SMALL, {"clip": {"crops": 2}}, ValueError, r"crops is 2; give 1 \(the center\) or 3"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(name: str, kwargs: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        cmpl_zoo.create_model(name, **kwargs)


def test_a_file_of_weights_is_loaded_afterwards(tmp_path: Path) -> None:
    model, file = make(SMALL, num_classes=8), tmp_path / "weights.pth"
    torch.save(model.state_dict(), file)
    directory = hub.save(make(SMALL, num_classes=8), tmp_path / "other", list("abcdefgh"))
    for name in (SMALL, directory):
        again = cmpl_zoo.create_model(name, num_classes=8, checkpoint_path=file).eval()
        assert torch.equal(again(clips()), model(clips()))
        with pytest.raises(FileNotFoundError, match=r"nowhere\.pth: there is no such file of weights"):
            cmpl_zoo.create_model(name, checkpoint_path="nowhere.pth")
    for wrong in ("wrong.pth", "wrong.safetensors"):
        (tmp_path / wrong).write_bytes(b"neither the one nor the other")
    torch.save(make("r3d50_quarter").state_dict(), tmp_path / "wider.pth")
    for wrong in ("wrong.pth", "wrong.safetensors", "wider.pth"):
        with pytest.raises(RuntimeError, match=rf"{wrong}: no weights of this model .*; give a state dict of it"):
            cmpl_zoo.create_model(SMALL, checkpoint_path=tmp_path / wrong)


def test_bad_width() -> None:
    with pytest.raises(ValueError, match="width_divisor is 3"):
        R3D(Bottleneck, (1, 1, 1, 1), width_divisor=3)


def test_an_image_is_not_a_clip(name: str) -> None:
    model = make(name)
    for call in (model, model.forward_features, model.forward_intermediates):
        with pytest.raises(AssertionError, match=r"give a batch of clips of shape \(batch, channels, frames"):
            call(clips(2, 3, 32, 32))


def test_torch_fx_traces_it(name: str) -> None:
    model = make(name)
    layer3 = create_feature_extractor(model, ["layer3"])
    close(layer3(clips())["layer3"], model.forward_intermediates(clips(), indices=[3])[1][0])


def test_video_features_have_one_format() -> None:
    with pytest.raises(ValueError, match="'NHWC', but video features come as 'NCTHW'"):
        make(SMALL).forward_intermediates(clips(), output_fmt="NHWC")


@pytest.mark.parametrize("in_chans", [1, 2])
def test_input_channels(name: str, in_chans: int) -> None:
    model = make(name, in_chans=in_chans, num_classes=5)
    assert model.in_chans == in_chans
    assert model(clips(2, in_chans, 4, 32, 32)).shape == (2, 5)


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(32, 70), st.integers(32, 70))
def test_any_size(batch: int, frames: int, height: int, width: int) -> None:
    model = make(SMALL, num_classes=5)
    with torch.inference_mode():
        features = model.forward_features(clips(batch, 3, frames, height, width))
        logits = model.forward_head(features)
    assert features.shape == (batch, 256, frames, -(-height // 32), -(-width // 32))
    assert logits.shape == (batch, 5) and logits.isfinite().all()


def test_untrained_blocks_start_as_their_shortcut() -> None:
    for name in ("r3d18", SMALL):
        model = timm.create_model(name)
        for block in (block for stage in model._stages() for block in stage):
            last = block.bn2 if isinstance(block, BasicBlock) else block.bn3
            assert not last.weight.any()


def test_dropout_acts_in_training_only() -> None:
    model = make(SMALL, drop_rate=0.5, num_classes=400)
    features = model.forward_features(clips())
    assert (model.forward_head(features, pre_logits=True) == 0).float().mean() < 0.1
    model.train()
    assert 0.3 < (model.forward_head(features, pre_logits=True) == 0).float().mean() < 0.7
    maps = make(SMALL, drop_rate=0.5, features_only=True).train()
    for one, again in zip(maps(clips()), maps(clips()), strict=True):
        assert torch.equal(one, again), "it is for the classifier alone"


# Other ways to run it


def test_channels_last(name: str) -> None:
    model = make(name, num_classes=5)
    with torch.inference_mode():
        expected = model(clips())
        model = model.to(memory_format=torch.channels_last_3d)
        x = clips().contiguous(memory_format=torch.channels_last_3d)
        close(model(x), expected)


def trained(name: str) -> nn.Module:
    """A model in float64 whose batch norm has seen something."""
    model = make(name, num_classes=5).double().train()
    for _ in range(2):
        model(3 * clips().double() + 1)
    return model.eval()


def test_the_layout_changes_no_output_and_no_gradient(name: str) -> None:
    """Against the same convolutions run one by one in torch's default layout."""
    model = trained(name)
    results = []
    for layout in (None, torch.contiguous_format):
        model.zero_grad()
        x = clips().double().requires_grad_()
        if layout is not None:
            for module in model.modules():
                if isinstance(module, nn.Conv3d):
                    module.register_forward_pre_hook(lambda _, x, layout=layout: x[0].contiguous(memory_format=layout))
        out = model(x)
        out.square().sum().backward()
        results.append([out, x.grad, *(parameter.grad.clone() for parameter in model.parameters())])
    for ours, plain in zip(*results, strict=True):
        close(ours, plain, 1e-9)


@pytest.mark.parametrize("how", ["ours", "timm"])
def test_folded_batch_norm_is_the_same_function(name: str, how: str) -> None:
    model = trained(name)
    x = clips().double()
    with torch.inference_mode():
        expected = model(x)
        if how == "ours":
            model.reparameterize()
        else:
            model = timm.utils.reparameterize_model(model)
        assert sum(isinstance(m, nn.BatchNorm3d) for m in model.modules()) == (0 if how == "ours" else 1)
        close(model(x), expected, 1e-9)


def test_only_an_evaluated_model_can_be_folded() -> None:
    with pytest.raises(RuntimeError, match=r"call model\.eval\(\) first"):
        make(SMALL).train().reparameterize()


def test_export_with_any_batch() -> None:
    model = make(SMALL)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(model, (clips(),), dynamic_shapes=({0: batch},))
    for n in (1, 5):
        x = clips(n, 3, 4, 32, 32)
        close(program.module()(x), model(x))


def test_an_onnx_export_keeps_the_batch_dynamic_where_the_example_is_one_clip(monkeypatch: pytest.MonkeyPatch) -> None:
    """What torch.onnx.export does before it needs the package onnx; what fails here comes out static there."""
    model = make(SMALL)
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    batch = torch.export.Dim("batch")
    with torch.fx.experimental._config.patch(backed_size_oblivious=True):
        program = torch.export.export(model, (clips(1, 3, 4, 32, 32),), dynamic_shapes=({0: batch},))
    monkeypatch.undo()
    for n in (1, 2, 5):
        x = clips(n, 3, 4, 32, 32)
        close(program.module()(x), model(x))


@pytest.mark.slow
def test_a_file_of_the_older_onnx_exporter_takes_any_batch(tmp_path: Path) -> None:
    """From an example of one clip. `cmpl-zoo export` takes the newer one."""
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    model, file = make(SMALL), str(tmp_path / "model.onnx")
    how: dict[str, Any] = {"dynamic_axes": {"x": {0: "batch"}}, "dynamo": False}
    with warnings.catch_warnings(action="ignore"):  # it is deprecated
        torch.onnx.export(model, (clips(1, 3, 4, 32, 32),), file, input_names=["x"], **how)
    session = runtime.InferenceSession(file)
    for n in (1, 2, 5):
        x = clips(n, 3, 4, 32, 32)
        close(torch.from_numpy(session.run(None, {"x": x.numpy()})[0]), model(x).detach())


@pytest.mark.parametrize("name", [SMALL, "r3d18"])
@pytest.mark.parametrize("make_model", [timm.create_model, cmpl_zoo.create_model])
def test_exportable_is_of_plain_convolutions_and_the_same_function(name: str, make_model: Any) -> None:
    """For tools that go by the class of a module: thop and ptflops would pass over all but nn.Conv3d."""
    model = make(name)
    plain = make_model(name, exportable=True).eval()
    assert {type(m) for m in plain.modules() if isinstance(m, nn.Conv3d)} == {nn.Conv3d}
    plain.load_state_dict(model.state_dict())
    with torch.inference_mode():
        close(plain(clips()), model(clips()))
    assert {type(m) for m in make(name).modules() if isinstance(m, nn.Conv3d)} != {nn.Conv3d}, "others are as before"


def test_captures_as_one_graph() -> None:
    """What `fullgraph` needs, without the minute that a C++ compiler takes."""
    model = make(SMALL)
    captured = torch.compile(model, fullgraph=True, backend="eager")
    close(captured(clips()), model(clips()))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler, and there is no g++")
def test_compile_agrees_with_eager() -> None:
    model = make(SMALL)
    compiled = torch.compile(model, fullgraph=True)
    with torch.inference_mode():
        close(compiled(clips()), model(clips()))


# Freezing


def test_what_is_frozen_stays_as_it_is_in_training(tmp_path: Path) -> None:
    """Weights and statistics of the frozen part, bit for bit; the rest learns; and a copy stays frozen."""
    model = make(SMALL, num_classes=5)
    for part in (model.conv1, model.bn1, model.layer1, model.layer2):
        freeze(part)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for network in (model, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        optimizer = torch.optim.SGD(network.parameters(), lr=0.1, weight_decay=0.1)
        network.train()
        network(clips()).square().mean().backward()
        optimizer.step()
        changed = {
            key.partition(".")[0] for key, value in network.state_dict().items() if not torch.equal(value, before[key])
        }
        assert changed == {"layer3", "layer4", "fc"}
    assert model.state_dict().keys() == make(SMALL, num_classes=5).state_dict().keys()
    again = cmpl_zoo.create_model(hub.save(model, tmp_path, list("abcde"))).eval()
    close(again(clips()), model.eval()(clips()))
    assert timm.utils.reparameterize_model(model)(clips()).shape == (2, 5)


def test_what_is_no_longer_frozen_learns_again() -> None:
    model = make(SMALL, num_classes=5, drop_rate=0.5)
    model.fc = nn.Sequential(nn.BatchNorm1d(model.num_features), nn.Linear(model.num_features, 5))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    freeze(model)
    model.train()(clips())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    close(model(clips()), model(clips()))  # without dropout
    assert not any(parameter.requires_grad for parameter in model.parameters())
    unfreeze(model)
    model.train()(clips()).sum().backward()
    moved = {key for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert moved == {key for key in before if key.endswith(("running_mean", "running_var", "batches_tracked"))}
    assert all(parameter.grad is not None for parameter in model.parameters())
