"""Convolutions that are 1 wide in space, on channels-last clips, by kernels of fewer dimensions.

On one CPU thread and below 16 clips PyTorch keeps `nn.Conv3d` of such kernels away from oneDNN and unfolds its input
instead, which costs several times as much (benchmarks/convolutions.py). Weights are those of `nn.Conv3d`.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["PointConv3d", "TemporalConv3d"]


class TemporalConv3d(nn.Conv3d):
    """Tx1x1 of stride 1: a 2-D convolution over (time, space)."""

    def forward(self, x: Tensor) -> Tensor:
        # A batch of one is channels-last and is not, by its strides: the weight decides.
        weight = self.weight.squeeze(4).contiguous(memory_format=torch.channels_last)
        x, space = x.flatten(3), x.shape[3:]
        return F.conv2d(x, weight, self.bias, padding=self.padding[:2]).unflatten(3, space)


class PointConv3d(nn.Conv3d):
    """1x1x1 of stride 1: a matrix product of the channels of every point."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x.movedim(1, -1), self.weight.flatten(1), self.bias).movedim(-1, 1)
