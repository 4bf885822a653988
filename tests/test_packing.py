"""Networks packed for a CPU: the same function, in whatever shape the clips come, and one that hides no damage."""

import copy

import pytest
import torch
from torch import Tensor, nn

import cmpl_zoo
from cmpl_zoo.models.packing import PackedBlock, pack
from cmpl_zoo.precision import Precision, autocast
from cmpl_zoo.prediction.loading import load_models

SMALL = "r3d50_eighth"
SHAPES = [(1, 3, 8, 32, 32), (2, 3, 4, 48, 64), (1, 3, 1, 33, 47), (1, 3, 8, 32, 32), (9, 3, 2, 32, 32)]


def folded(name: str) -> nn.Module:
    """With batch norm that does something."""
    torch.manual_seed(0)
    model = cmpl_zoo.create_model(name, num_classes=5).train()
    for _ in range(2):
        model(3 * torch.randn(2, 3, 4, 48, 48) + 1)
    model.eval().reparameterize()
    return model


def far(found: Tensor, expected: Tensor) -> float:
    return float((found.float() - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", [SMALL, "r3d18"])
@torch.inference_mode()
def test_packed_is_the_same_function(name: str) -> None:
    """One network takes clips of all these shapes in turn."""
    model = folded(name)
    packed = copy.deepcopy(model)
    assert pack(packed), "torch has other operations now, or this processor none: see cmpl_zoo/models/packing.py"
    assert not any(isinstance(module, nn.Conv3d) for module in packed.modules())
    for shape in SHAPES:
        clips = torch.randn(shape)
        before = clips.clone()
        assert far(packed(clips), model(clips)) < 2e-6
        assert torch.equal(clips, before)


@torch.inference_mode()
def test_feature_maps_keep_their_values_though_blocks_use_the_memory_of_their_input() -> None:
    for name in (SMALL, "r3d18"):
        model = folded(name)
        packed = copy.deepcopy(model)
        pack(packed)
        clips = torch.randn(2, 3, 4, 32, 32)
        found, expected = (net.forward_intermediates(clips, intermediates_only=True) for net in (packed, model))
        assert all(far(ours, theirs) < 2e-6 for ours, theirs in zip(found, expected, strict=True))


@torch.inference_mode()
def test_in_bf16_it_is_as_near_as_autocast() -> None:
    model = folded(SMALL)
    packed = copy.deepcopy(model)
    if not pack(packed, torch.bfloat16):
        pytest.skip("this processor has no convolutions in bf16")
    clips = torch.randn(2, 3, 8, 48, 48)
    expected = model(clips)
    with torch.autocast("cpu", torch.bfloat16):
        assert packed.forward_features(clips).dtype == torch.bfloat16
        assert 0 < far(packed(clips), expected) < max(0.01, 2 * far(model(clips), expected))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
@pytest.mark.parametrize("layer", ["conv1", "layer2.0.downsample.0", "layer3.0.conv2", "layer4.2.conv3"])
@torch.inference_mode()
def test_damaged_weights_are_seen_in_the_logits(layer: str, value: float) -> None:
    """oneDNN's own ReLU makes 0 of NaN."""
    model = folded(SMALL)
    model.get_submodule(layer).weight[0] = value
    pack(model)
    assert not model(torch.randn(1, 3, 2, 32, 32)).isfinite().all()


@torch.inference_mode()
def test_what_cannot_be_packed_stays_as_it_is() -> None:
    """oneDNN computes in no float64."""
    model = folded(SMALL).double()
    clips = torch.randn(1, 3, 2, 32, 32, dtype=torch.float64)
    before = model(clips)
    assert not pack(model, torch.float64)
    assert torch.equal(model(clips), before)


@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
def test_models_are_loaded_packed_for_a_cpu(precision: Precision) -> None:
    [plain] = load_models(["r3d50_eighth.cmpl_demo"], "cpu")
    assert isinstance(plain.layer1[0], PackedBlock)
    [model] = load_models(["r3d50_eighth.cmpl_demo"], "cpu", precision)
    clips = torch.randn(2, 3, 8, 48, 48)
    with torch.inference_mode():
        expected = plain(clips).softmax(1)
        with autocast(torch.device("cpu"), precision):
            found = model(clips.to(next(model.parameters()).dtype)).softmax(1)
    torch.testing.assert_close(found.float(), expected, rtol=0, atol=1e-6 if precision == "float32" else 0.01)
