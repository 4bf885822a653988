"""R3D networks for predicting on a CPU: kernels in oneDNN's own layout, and shortcuts added by the convolution itself.

Of one small clip, torch keeps kernels up to 3 wide away from oneDNN and unfolds the input instead, two fifths of the
time; and oneDNN brings every kernel into its layout at every call, a tenth. The operations used here do neither. They
have no public name in torch; they are those that torch.compile calls. Theirs with ReLU are not used: they turn NaN into
0, and damaged weights would give probabilities that look right.
"""

import torch
from torch import Tensor, nn

from cmpl_zoo.models.r3d import R3D, BasicBlock, Bottleneck

__all__ = ["PackedBlock", "PackedConv3d", "pack"]


class PackedConv3d(nn.Module):
    """A convolution for inference on a CPU.

    Args:
        conv: with a bias.
        dtype: of the computation, whatever that of the input.
    """

    def __init__(self, conv: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        assert isinstance(conv, nn.Conv3d) and conv.bias is not None
        self.weight = nn.Parameter(conv.weight.detach().to(dtype), requires_grad=False)
        self.bias = nn.Parameter(conv.bias.detach().to(dtype), requires_grad=False)
        self.geometry = conv.padding, conv.stride, conv.dilation, conv.groups
        self._packed_for: torch.Size | None = None

    def forward(self, x: Tensor, shortcut: Tensor | None = None) -> Tensor:
        """(N, C, T, H, W) to what the convolution gives, or to its sum with a shortcut, in the memory of that."""
        x = x.to(self.weight.dtype)
        if x.shape != self._packed_for:  # on which the best layout depends
            self._packed = torch.ops.mkldnn._reorder_convolution_weight(self.weight, *self.geometry, x.shape)
            self._packed_for = x.shape
        args = self._packed, self.bias, *self.geometry
        if shortcut is None:
            return torch.ops.mkldnn._convolution_pointwise(x, *args, "none", [], None)
        return torch.ops.mkldnn._convolution_pointwise_.binary(shortcut, x, *args, "add", 1.0, None, [], None)


class PackedBlock(nn.Module):
    """A residual block of packed convolutions. Without a convolution in its shortcut, the input's memory is used."""

    def __init__(self, block: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        assert isinstance(block, (BasicBlock, Bottleneck))
        convs = (conv for name, conv in block.named_children() if name.startswith("conv"))
        self.convs = nn.ModuleList(PackedConv3d(conv, dtype) for conv in convs)
        self.downsample = None
        if block.downsample is not None:
            [conv] = block.downsample.children()
            self.downsample = PackedConv3d(conv, dtype)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        *first, last = self.convs
        for conv in first:
            x = conv(x).relu_()
        return last(x, shortcut).relu_()


def pack(model: R3D, dtype: torch.dtype = torch.float32) -> bool:
    """Pack the convolutions of a network in place: the same function, for inference on a CPU alone.

    Args:
        model: on the CPU, with its batch norm folded (`R3D.reparameterize`).
        dtype: of the computation up to the pooling.

    Returns:
        Whether it is packed; it stays as it is where torch or the processor has no such operations.
    """
    try:
        tried, one = PackedConv3d(nn.Conv3d(16, 16, 1), dtype), torch.zeros(1, 16, 1, 1, 1, dtype=dtype)
        tried(one, tried(one))
    except (AttributeError, RuntimeError):  # no operation of this name; or of other arguments, or not of this type
        return False
    model.set_submodule("conv1", PackedConv3d(model.conv1, dtype))
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        for i, block in enumerate(stage):
            stage[i] = PackedBlock(block, dtype)
    return True
