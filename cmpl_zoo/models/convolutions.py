"""Convolutions of channels-last clips that `nn.Conv3d` would do slowly or wrongly on a CPU; weights are as there.

On one CPU thread and below 16 clips PyTorch keeps kernels that are 1 wide in space away from oneDNN and unfolds the
input instead, which costs several times as much (benchmarks/convolutions.py): here they have fewer dimensions. In an
ONNX file they are as `nn.Conv3d` has them: these forms would fix the batch size where the example is one clip.
"""

import torch
import torch.nn.functional as F
from timm.layers import is_exportable
from torch import Tensor, nn

__all__ = ["PointConv3d", "StemConv3d", "TemporalConv3d", "unless_exportable"]


def unless_exportable(kind: type[nn.Conv3d]) -> type[nn.Conv3d]:
    """`kind`, or `nn.Conv3d` where timm builds a network with `exportable=True`, for tools that know no other."""
    return nn.Conv3d if is_exportable() else kind


class StemConv3d(nn.Conv3d):
    """Of the few channels of a picture; in training under the CPU's autocast in float32.

    oneDNN's bf16 gradient of a kernel of three or four channels takes in memory that nobody wrote (torch 2.14 on an AMD
    EPYC): where that happened to hold no numbers, the loss was NaN after the first step. Of eight and more it does not.
    """

    def forward(self, x: Tensor) -> Tensor:
        if torch.is_autocast_enabled("cpu") and torch.is_grad_enabled():
            with torch.autocast("cpu", enabled=False):
                return super().forward(x.to(self.weight.dtype))
        return super().forward(x)


class TemporalConv3d(nn.Conv3d):
    """Tx1x1 of stride 1: a 2-D convolution over (time, space)."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            return super().forward(x)
        # A batch of one is channels-last and is not, by its strides: the weight decides.
        weight = self.weight.squeeze(4).contiguous(memory_format=torch.channels_last)
        x, space = x.flatten(3), x.shape[3:]
        return F.conv2d(x, weight, self.bias, padding=self.padding[:2]).unflatten(3, space)


class PointConv3d(nn.Conv3d):
    """1x1x1 of stride 1: a matrix product of the channels of every point."""

    def forward(self, x: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            return super().forward(x)
        return F.linear(x.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)
