"""torchvision's video networks as networks of the zoo: torchvision's own function, by the contract of this zoo."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from made_videos import encode
from timm.models import group_parameters
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import video
from torchvision.models.video.mvit import MSBlockConfig, MViT
from torchvision.models.video.swin_transformer import SwinTransformer3d
from training import CLASSES, command, run

import cmpl_zoo
from cmpl_zoo.datasets.classes import class_ids, class_names
from cmpl_zoo.datasets.lists import Videos, read_list
from cmpl_zoo.exporting import export_model
from cmpl_zoo.models.labels import label_names
from cmpl_zoo.models.torchvision_video import ENTRIES, VideoMViT, VideoSwin, checkpoint_filter_fn
from cmpl_zoo.training import Config
from cmpl_zoo.training.errors import RunError
from cmpl_zoo.training.networks import build_networks
from cmpl_zoo_cli.main import main

NAMES = ["tv_r3d_18", "tv_mc3_18", "tv_r2plus1d_18", "tv_s3d", "tv_mvit_v1_b", "tv_mvit_v2_s", "tv_swin3d_t",
         "tv_swin3d_s", "tv_swin3d_b"]  # fmt: skip
FIXED = {"tv_s3d": (14, 224, 224), "tv_mvit_v1_b": (16, 224, 224), "tv_mvit_v2_s": (16, 224, 224)}


def clips(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def close(a: Tensor, b: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def torchvisions(name: str) -> nn.Module:
    """torchvision's own network, random in whatever could be loaded wrongly, its batch norm's statistics too."""
    torch.manual_seed(3)
    network = getattr(video, name.removeprefix("tv_"))().eval()
    for key, value in network.state_dict().items():
        if key.endswith("running_var"):
            value.uniform_(0.5, 1.5)
        elif key.endswith(("running_mean", "bias")):
            value.normal_(std=0.1)
    return network


def with_weights(name: str, network: nn.Module) -> nn.Module:
    with torch.device("meta"):
        ours = cmpl_zoo.create_model(name)
    ours.load_state_dict(checkpoint_filter_fn(network.state_dict(), ours), assign=True)
    return ours.eval()


def small_mvit(v2: bool) -> nn.Module:
    """torchvision's MViT with three blocks for clips of 4 x 64 x 64; version 2 has relative positions."""
    every = [3, 3, 3] if v2 else []
    same = [1, 1, 1] if v2 else []
    width = 16 if v2 else 32
    blocks = [
        MSBlockConfig(1, 16, width, every, [3, 3, 3], same, [1, 4, 4]),
        MSBlockConfig(2, width, 32, [3, 3, 3], [3, 3, 3], [1, 2, 2], [1, 2, 2]),
        MSBlockConfig(2, 32, 32, every, [3, 3, 3], same, [1, 2, 2]),
    ]
    return MViT((64, 64), 4, blocks, v2, False, v2, v2)


def small_swin() -> nn.Module:
    """torchvision's Swin with few channels and with windows that are smaller than the feature maps."""
    return SwinTransformer3d([2, 4, 4], 24, [2, 1, 2, 1], [1, 2, 4, 8], [2, 3, 3])


# One network of each family, small enough to be run often, with clips for it.
FAMILIES: dict[str, tuple[Callable[..., nn.Module], tuple[int, int, int]]] = {
    "resnet": (partial(cmpl_zoo.create_model, "tv_mc3_18"), (4, 32, 32)),
    "s3d": (partial(cmpl_zoo.create_model, "tv_s3d", global_pool="max"), (14, 32, 32)),
    "swin": (partial(VideoSwin, small_swin), (4, 32, 32)),
    "mvit": (partial(VideoMViT, partial(small_mvit, False)), (4, 64, 64)),
    "mvit2": (partial(VideoMViT, partial(small_mvit, True)), (4, 64, 64)),
}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


def make(family: str, **kwargs: Any) -> tuple[nn.Module, Tensor]:
    """A network with 5 classes unless told otherwise, in evaluation mode, and a batch of clips for it."""
    torch.manual_seed(0)
    maker, size = FAMILIES[family]
    model = maker(**{"num_classes": 5, **kwargs}).eval()
    return model, clips(2, kwargs.get("in_chans", 3), *size)


# The function and the settings are torchvision's


def test_all_of_torchvisions_networks_are_registered() -> None:
    assert set(NAMES) == set(timm.list_models(module="torchvision_video")) == set(cmpl_zoo.list_models("tv_*"))
    theirs = [name for name in dir(video) if name.endswith("_Weights")]
    entries = {weights for name in theirs for weights in getattr(video, name)}
    assert {weights for weights, _ in ENTRIES.values()} == entries
    assert cmpl_zoo.list_models("tv_*", pretrained=True) == sorted(ENTRIES)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if "mvit" in name else []) for name in NAMES]
)
def test_logits_are_torchvisions(name: str) -> None:
    network = torchvisions(name)
    model = with_weights(name, network)
    # S3D's pooling is a mean over windows: more than one of them fits into these.
    x = clips(1, 3, *((22, 224, 256) if name == "tv_s3d" else FIXED.get(name, (9, 70, 48))))
    with torch.inference_mode():
        wanted = network(x)
        assert wanted.std() > 0.01, "else agreeing shows nothing"
        close(model(x), wanted)


@pytest.mark.parametrize("v2", [False, True])
def test_logits_of_a_small_mvit_are_torchvisions(v2: bool) -> None:
    torch.manual_seed(3)
    network = small_mvit(v2).eval()
    model = VideoMViT(lambda: small_mvit(v2)).eval()
    model.pretrained_cfg = {"num_classes": 400, "input_size": (3, 64, 64), "architecture": "small"}
    model.load_state_dict(checkpoint_filter_fn(network.state_dict(), model))
    x = clips(2, 3, 4, 64, 64)
    with torch.inference_mode():
        close(model(x), network(x))


@pytest.mark.parametrize("tagged", ENTRIES)
def test_settings_are_torchvisions(tagged: str) -> None:
    weights, _ = ENTRIES[tagged]
    transforms, meta = weights.transforms(), weights.meta
    with torch.device("meta"):
        model = cmpl_zoo.create_model(tagged)
    cfg = model.pretrained_cfg
    assert cfg["url"] == weights.url and re.search(r"-[0-9a-f]{8}\.pth$", cfg["url"])
    assert (list(cfg["mean"]), list(cfg["std"])) == (transforms.mean, transforms.std)
    assert list(cfg["input_size"]) == [3, *transforms.crop_size]
    short_side = round(max(cfg["input_size"]) / cfg["crop_pct"])
    assert short_side == min(transforms.resize_size)
    assert model.num_classes == len(meta["categories"]) == 400 and meta["categories"] == class_names("kinetics400")
    assert sum(p.numel() for p in model.parameters()) == meta["num_params"]
    rate, views, frames = re.search(
        r"`frame_rate=([\d.]+)`, `clips_per_video=(\d+)`, and `clip_len=(\d+)`", meta["_docs"]
    ).groups()
    wanted = {"frames": int(frames), "stride": 1, "fps": float(rate), "clips": int(views), "crops": 1}
    assert model.clip == wanted
    with torch.device("meta"):
        assert cmpl_zoo.create_model(tagged.partition(".")[0], clip={"crops": 3}).clip == wanted | {"crops": 3}


@pytest.mark.parametrize("name", ["tv_r3d_18", "tv_r2plus1d_18", "tv_s3d"])
def test_cost_is_what_torchvision_states(name: str) -> None:
    """torchvision calls them GFLOPS; they are multiply-adds, at the clips of its meta."""
    weights, _ = ENTRIES[f"{name}.k400"]
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        cmpl_zoo.create_model(name).eval()(torch.empty(1, 3, 16, *weights.transforms().crop_size))
    assert counter.get_total_flops() / 2e9 == pytest.approx(weights.meta["_ops"], rel=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_without_weights_it_has_no_names_and_no_source(name: str) -> None:
    with torch.device("meta"):
        model = timm.create_model(name)
    assert not any(model.pretrained_cfg.get(key) for key in ("label_names", "hf_hub_id", "file", "url", "license"))
    assert label_names(model) == [str(i) for i in range(400)]


# What they cannot take


@pytest.mark.parametrize("name", NAMES)
def test_limits_are_torchvisions(name: str) -> None:
    with torch.device("meta"):
        model = cmpl_zoo.create_model(name)
    meta = next(weights for tagged, (weights, _) in ENTRIES.items() if tagged.startswith(name)).meta
    frames, (height, width) = meta.get("min_temporal_size", 1), meta["min_size"]
    model.check_input(frames, (height, width))
    others = [(frames - 1, height, width), (frames, height - 1, width), (frames, height, width - 1)]
    if "mvit" in name:
        others += [(frames + 1, height, width), (frames, height + 32, width)]
    else:
        model.check_input(200, (height + 7, width + 9))
    if name in FIXED:
        for other in others:
            with pytest.raises(ValueError, match=rf"{frames} frames of {height} x {width}.*have {other[0]} frames"):
                model.check_input(other[0], other[1:])


def test_what_a_network_cannot_take_is_said_before_predicting_and_training(tmp_path: Path) -> None:
    with torch.device("meta"):
        short = cmpl_zoo.create_model("tv_mvit_v2_s", clip={"frames": 8}).eval()
        small = cmpl_zoo.create_model("tv_s3d", pretrained_cfg_overlay={"input_size": (3, 112, 112)}).eval()
    with pytest.raises(ValueError, match=r"MViT takes clips of 16 frames of 224 x 224.*8 frames of 224 x 224"):
        cmpl_zoo.predict(short, "no.mp4")
    with pytest.raises(
        ValueError, match=r"S3D takes clips of at least 14 frames of 224 x 224.*128 frames of 112 x 112"
    ):
        cmpl_zoo.evaluate(small, Videos(["no.mp4"], [0]))
    config = Config(labeled="a", unlabeled="b", output="o", steps=1, primary="tv_s3d", auxiliary=None, scheme="self",
                    frames=8, size=64)  # fmt: skip
    with pytest.raises(RunError, match=r"at least 14 frames.*8 frames of 64 x 64.*--frames and --size"):
        build_networks(config, CLASSES)


# The contract


def test_forward_parts(family: str) -> None:
    model, x = make(family)
    with torch.inference_mode():
        features = model.forward_features(x)
        pooled = model.forward_head(features, pre_logits=True)
        logits = model(x)
        close(logits, model.get_classifier()(pooled))
    assert pooled.shape == (2, model.head_hidden_size) == (2, model.num_features)
    assert logits.shape == (2, 5) and logits.isfinite().all()
    assert features.shape[2 if "mvit" in family else 1] == model.num_features
    assert model.get_classifier(name_only=True) == "fc" == next(reversed(dict(model.named_modules())))


def test_an_image_is_not_a_clip(family: str) -> None:
    model, x = make(family)
    for call in (model, model.forward_features, model.forward_intermediates):
        with pytest.raises(AssertionError, match=r"give a batch of clips of shape \(batch, channels, frames"):
            call(x[:, :, 0])


def test_classifier_can_be_replaced_and_left_out(family: str) -> None:
    model, x = make(family)
    model, x = model.double(), x.double()
    model.pretrained_cfg = {"label_names": list("abcde")}
    model.reset_classifier(7)
    assert model(x).shape == (2, 7) and model.num_classes == 7
    assert model.fc.weight.dtype == torch.float64
    assert model.pretrained_cfg["label_names"] is None
    pooled = model.forward_head(model.forward_features(x), pre_logits=True)
    model.reset_classifier(0)
    close(model(x), pooled)
    model.reset_classifier(0, "")
    close(model(x), model.forward_features(x))
    with pytest.raises(ValueError, match="5 classes need pooling"):
        model.reset_classifier(5)
    assert isinstance(make(family, num_classes=0)[0].get_classifier(), nn.Identity)


def test_poolings() -> None:
    model, x = make("resnet", global_pool="max")
    features = model.forward_features(x)
    close(model.forward_head(features, pre_logits=True), features.amax((2, 3, 4)))
    model, x = make("mvit")
    close(model.forward_head(model.forward_features(x), pre_logits=True), model.forward_features(x)[:, 0])
    with pytest.raises(ValueError, match="global_pool is 'avg'; it must be 'token', or ''"):
        make("mvit", global_pool="avg")
    with pytest.raises(ValueError, match="global_pool is 'token'; it must be 'avg', 'max', or ''"):
        make("swin", global_pool="token")


def test_dropout_is_before_the_classifier(family: str) -> None:
    model, x = make(family, drop_rate=0.5)
    features = model.forward_features(x)
    pooled = model.forward_head(features, pre_logits=True)
    dropped = model.train().forward_head(features, pre_logits=True)
    assert 0.3 < (dropped[pooled != 0] == 0).float().mean() < 0.7
    assert torch.equal(pooled, model.eval().forward_head(features, pre_logits=True))


def test_input_channels(family: str) -> None:
    model, x = make(family, in_chans=1)
    assert model.in_chans == 1 and model(x).shape == (2, 5)
    three, _ = make(family)
    close(model.get_submodule(model.first_conv).weight, three.get_submodule(three.first_conv).weight.sum(1, True))
    with torch.inference_mode():  # one gray channel is the same picture as three
        three.load_state_dict(
            model.state_dict() | {f"{three.first_conv}.weight": three.get_submodule(three.first_conv).weight}
        )
        close(model(x), three(x.expand(-1, 3, -1, -1, -1)), 1e-4)
    assert make(family, in_chans=4)[0](clips(2, 4, *x.shape[2:])).shape == (2, 5)


def test_the_mean_frame_can_be_subtracted(family: str) -> None:
    model, x = make(family, subtract_mean_frame=True)
    plain, _ = make(family)
    close(model(x), plain(x - x.mean(2, keepdim=True)))


def test_each_clip_can_be_normalized(family: str) -> None:
    model, x = make(family, normalize_clip=True)
    plain, _ = make(family)
    x = 3 * x + 2
    mean, std = x.mean((2, 3, 4), keepdim=True), x.std((2, 3, 4), correction=0, keepdim=True)
    close(model(x), plain((x - mean) / std), 1e-3)


def test_feature_maps(family: str) -> None:
    model, x = make(family)
    outputs: dict[str, Any] = {}
    for info in model.feature_info:
        module = model.get_submodule(info["module"])
        module.register_forward_hook(lambda _, __, y, key=info["module"]: outputs.update({key: y}))
    with torch.inference_mode():
        last, maps = model.forward_intermediates(x)
        close(last, model.forward_features(x))
    assert len(maps) == len(model.feature_info)
    for found, info in zip(maps, model.feature_info, strict=True):
        assert found.shape[1] == info["num_chs"]
        assert found.shape[3:] == tuple(size // info["reduction"] for size in x.shape[3:])
        raw = outputs[info["module"]]
        raw = raw[0][:, 1:] if isinstance(raw, tuple) else raw  # of MViT tokens, the class token first
        close(
            found.flatten(2).mean(2),
            raw.flatten(1, -2).mean(1) if "mvit" in family or family == "swin" else raw.flatten(2).mean(2),
        )
    with torch.inference_mode():
        early, some = model.forward_intermediates(x, indices=[0], stop_early=True)
        close(early, maps[0])
        close(some[0], maps[0])
        assert len(model.forward_intermediates(x, indices=2, intermediates_only=True)) == 2
        assert model.prune_intermediate_layers([0, 1]) == [0, 1]
        close(model.forward_intermediates(x, indices=[1], intermediates_only=True)[0], maps[1])
        assert model(x).shape[-1 if "mvit" in family else 1] == model.num_features == maps[1].shape[1]
    with pytest.raises(ValueError, match="'NHWC', but video features come as 'NCTHW'"):
        model.forward_intermediates(x, output_fmt="NHWC")


@pytest.mark.parametrize("name", ["tv_mc3_18", "tv_swin3d_t"])
def test_features_only(name: str) -> None:
    torch.manual_seed(0)
    wrapped = cmpl_zoo.create_model(name, features_only=True, out_indices=(1, 3)).eval()
    torch.manual_seed(0)
    model = cmpl_zoo.create_model(name, num_classes=400).eval()
    x = clips(1, 3, 4, 32, 32)
    with torch.inference_mode():
        for found, wanted in zip(
            wrapped(x), model.forward_intermediates(x, [1, 3], intermediates_only=True), strict=True
        ):
            close(found, wanted)
    assert wrapped.feature_info.channels() == [model.feature_info[i]["num_chs"] for i in (1, 3)]
    assert len(cmpl_zoo.create_model(name, features_only=True).feature_info.channels()) == len(model.feature_info)


@pytest.mark.parametrize(("name", "stages", "blocks"), [
    ("tv_r3d_18", 4, 8), ("tv_s3d", 4, 11), ("tv_mvit_v1_b", 4, 16), ("tv_mvit_v2_s", 4, 16), ("tv_swin3d_t", 4, 15),
])  # fmt: skip
def test_group_matcher(name: str, stages: int, blocks: int) -> None:
    """From the stem (0) to the classifier; S3D's blocks without its four poolings, Swin's with its three mergings."""
    with torch.device("meta"):
        model = cmpl_zoo.create_model(name)
    for coarse, groups in ((True, stages), (False, blocks)):
        layer = group_parameters(model, model.group_matcher(coarse=coarse), reverse=True)
        assert layer.keys() == dict(model.named_parameters()).keys()
        assert set(layer.values()) == set(range(groups + 2))
        assert list(layer.values()) == sorted(layer.values())
        assert f"{model.first_conv}.weight" in {key for key, i in layer.items() if i == 0}
        assert {key for key, i in layer.items() if i == groups + 1} == {"fc.weight", "fc.bias"}


def test_recomputed_blocks_give_the_same_gradients(family: str) -> None:
    results = []
    for enable in (False, True):
        model, x = make(family)
        model.train().set_grad_checkpointing(enable)
        calls: list[int] = []
        model.get_submodule(model.stages[-1][-1]).register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        torch.manual_seed(5)  # of stochastic depth
        out = model(x)
        out.square().mean().backward()
        assert len(calls) == 1 + enable
        assert all(parameter.grad is not None for parameter in model.parameters())
        results.append([out, *(parameter.grad for parameter in model.parameters())])
    for plain, recomputed in zip(*results, strict=True):
        close(plain, recomputed, 1e-4)


def test_channels_last_clips_change_nothing(family: str) -> None:
    """As training makes them."""
    model, x = make(family)
    with torch.inference_mode():
        close(model(x.contiguous(memory_format=torch.channels_last_3d)), model(x), 1e-4)


ONE_FAST = pytest.mark.parametrize(
    "family", [pytest.param(one, marks=[] if one == "resnet" else [pytest.mark.slow]) for one in FAMILIES]
)


@ONE_FAST
def test_captures_as_one_graph(family: str) -> None:
    model, x = make(family)
    close(torch.compile(model, fullgraph=True, backend="eager")(x), model(x))


@ONE_FAST
def test_export_with_any_batch(family: str) -> None:
    model, x = make(family)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=64)},))
    other = clips(5, *x.shape[1:])
    close(program.module()(other), model(other))


# Weights


@pytest.mark.parametrize("name", ["tv_mc3_18", "tv_s3d", "tv_swin3d_t"])
def test_torchvisions_file_loads(name: str, tmp_path: Path) -> None:
    network, file = torchvisions(name), tmp_path / "weights.pth"
    torch.save(network.state_dict(), file)
    load = partial(cmpl_zoo.create_model, name, pretrained=True, pretrained_cfg_overlay={"file": str(file)})
    model, want = load(), with_weights(name, network)
    assert label_names(model) == class_names("kinetics400")
    assert all(torch.equal(value, want.state_dict()[key]) for key, value in model.state_dict().items())
    other = load(num_classes=3, in_chans=1)
    assert other.fc.weight.shape[0] == 3 and label_names(other) == ["0", "1", "2"]
    key = f"{model.first_conv}.weight"
    close(other.state_dict()[key], want.state_dict()[key].sum(1, keepdim=True))
    maps = load(features_only=True)
    assert torch.equal(maps.model.state_dict()[key], want.state_dict()[key])


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    state_dict = torchvisions("tv_mc3_18").state_dict()
    torch.save({key: value for key, value in state_dict.items() if key != "layer2.0.conv1.0.weight"}, file)
    with pytest.raises(RuntimeError, match=rf"{file}.*tv_mc3_18.*1 missing \(layer2\.0\.conv1\.0\.weight"):
        cmpl_zoo.create_model("tv_mc3_18", pretrained=True, num_classes=2, pretrained_cfg_overlay={"file": str(file)})


@pytest.mark.parametrize(
    "name", ["tv_mc3_18", "tv_s3d", "tv_swin3d_t", pytest.param("tv_mvit_v2_s", marks=pytest.mark.slow)]
)
def test_a_saved_network_is_the_same_one(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = cmpl_zoo.create_model(name, num_classes=3, clip={"clips": 2}, subtract_mean_frame=True).eval()
    folder = cmpl_zoo.save(model, tmp_path / "model", ["a", "b", "c"])
    again = cmpl_zoo.create_model(folder)
    assert type(again) is type(model) and label_names(again) == ["a", "b", "c"]
    assert (again.clip, again.subtract_mean_frame) == (model.clip, True)
    for key in ("mean", "std", "input_size", "crop_pct"):
        assert torch.equal(torch.tensor(again.pretrained_cfg[key]), torch.tensor(model.pretrained_cfg[key]))
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in again.state_dict().items())
    assert (
        f"{model.clip['frames']} frames, stride 1 at {model.clip['fps']:g} frames a second"
        in (folder / "README.md").read_text()
    )


# In use


def test_a_run_trains_one_beside_ours_and_what_it_saves_predicts_and_evaluates(
    videos: Path, lists: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(command(lists, videos, tmp_path / "run", "--steps", "1", "--val", "null", "--auxiliary", "tv_mc3_18"))
    folder = tmp_path / "run" / "auxiliary"
    model = cmpl_zoo.create_model(folder).eval()
    assert model.pretrained_cfg["architecture"] == "tv_mc3_18" and label_names(model) == CLASSES
    assert tuple(model.pretrained_cfg["mean"]) == (0.43216, 0.394666, 0.37645), "torchvision's"
    file = next((videos / CLASSES[0]).iterdir())
    ranked = cmpl_zoo.predict(model, file)
    assert {name for name, _ in ranked} == set(CLASSES) and sum(p for _, p in ranked) == pytest.approx(1)
    assert main(["predict", str(folder), str(file)]) == 0
    assert f"{ranked[0][1]:.1%}  {ranked[0][0]}" in capsys.readouterr().out
    val = read_list(lists / "val.csv", videos)
    scores = cmpl_zoo.evaluate(model, Videos(val.paths, class_ids(val, CLASSES)), workers=0)
    assert (scores["videos"], scores["unreadable"]) == (len(val.paths), 0)


# Exported


@pytest.mark.parametrize("suffix", [pytest.param(".onnx", marks=pytest.mark.slow), ".pt2"])
def test_every_family_is_exported_with_any_batch(
    family: str, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`export_model` compares the file's probabilities with the model's, in batches of one and of two."""
    pytest.importorskip("onnxscript")
    frames, height, width = FAMILIES[family][1]
    model, x = make(family, clip={"frames": frames, "stride": 1})
    monkeypatch.setattr(type(model), "check_input", lambda *_: None)  # of the registered networks, which are larger
    with torch.no_grad():  # else its probabilities are all the same, or 0 and 1
        model.fc.weight.mul_(2 / model(x).std())  # type: ignore[operator, union-attr]
    size = {"input_size": (3, height, width), "crop_pct": 1.0, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    model.pretrained_cfg = {"architecture": family, "num_classes": 5, **size}  # type: ignore[assignment]
    videos = [str(encode(tmp_path / f"{number}.mp4", frames=20 + 5 * number)) for number in range(3)]
    made = export_model(model, tmp_path / f"m{suffix}", videos)
    assert made.difference < 1e-4 and made.clips == 3
