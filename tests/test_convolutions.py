"""Convolutions that stand in for nn.Conv3d: the same function, also where that one fails."""

import math

import pytest
import torch
from torch import nn

import cmpl_zoo
from cmpl_zoo.models.convolutions import PointConv3d, TemporalConv3d


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("channels_last", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("convolution", "kernel"), [(TemporalConv3d, (3, 1, 1)), (TemporalConv3d, (5, 1, 1)), (PointConv3d, (1, 1, 1))]
)
def test_convolutions_of_fewer_dimensions_are_conv3d(
    convolution: type[nn.Conv3d], kernel: tuple[int, int, int], bias: bool, channels_last: bool, batch: int
) -> None:
    """In float64: outputs, and gradients of input, weight and bias."""
    torch.manual_seed(0)
    arguments = {"padding": (kernel[0] // 2, 0, 0), "bias": bias, "dtype": torch.float64}
    plain, ours = (make(6, 4, kernel, **arguments) for make in (nn.Conv3d, convolution))
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(batch, 6, 5, 7, 9, dtype=torch.float64)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    found = []
    for conv in (plain, ours):
        own = x.clone().requires_grad_()
        y = conv(own)
        y.square().sum().backward()
        found.append([y.detach(), own.grad, *(weight.grad for weight in conv.parameters())])
    for theirs, other in zip(*found, strict=True):
        torch.testing.assert_close(other, theirs, rtol=1e-12, atol=1e-12)
    assert not channels_last or ours(x).is_contiguous(memory_format=torch.channels_last_3d)


def test_a_bf16_gradient_of_the_stem_takes_in_the_clips_alone() -> None:
    """Whatever freed memory holds, here NaN. Of a plain `nn.Conv3d` one in six is NaN on an AMD EPYC."""
    stem = cmpl_zoo.create_model("r3d50_eighth").conv1.to(memory_format=torch.channels_last_3d)
    for _ in range(40):
        freed = [torch.full((size,), math.nan) for size in (64, 256, 1000, 2940, 4096, 8192, 11760, 23520, 65536)]
        del freed
        clips = torch.rand(3, 3, 4, 32, 32).contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast("cpu", torch.bfloat16):
            features = stem(clips)
        stem.weight.grad = None
        features.float().square().mean().backward()
        assert stem.weight.grad.isfinite().all()
