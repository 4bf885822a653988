"""Parts of a network that training leaves as they are, with their batch norm (`timm.utils.freeze` holds 2-D ones)."""

from typing import Self

from torch import nn

__all__ = ["freeze", "freeze_batch_norm", "unfreeze"]


def freeze(module: nn.Module) -> None:
    """Keep a network or a part of it, such as `model.layer1`, as it is: weights and batch norm, in place.

    Its parameters get no gradient, and its batch norm stays in evaluation mode, also after `model.train()`.
    """
    module.requires_grad_(False)
    freeze_batch_norm(module)


def freeze_batch_norm(module: nn.Module) -> None:
    """Normalize by the running statistics and keep those, also after `model.train()`; weights still learn. In place."""
    for norm in module.modules():
        if type(norm) in _FROZEN:
            norm.__class__ = _FROZEN[type(norm)]
            norm.eval()


def unfreeze(module: nn.Module) -> None:
    """Undo `freeze` and `freeze_batch_norm`; call `model.train()` afterwards."""
    module.requires_grad_(True)
    for norm in module.modules():
        if isinstance(norm, _Frozen):
            norm.__class__ = type(norm).__bases__[1]


class _Frozen(nn.Module):
    def train(self, mode: bool = True) -> Self:
        return super().train(False)


# One class each, and not one made where it is needed, so that models can be pickled.
class FrozenBatchNorm1d(_Frozen, nn.BatchNorm1d):
    """Batch norm that is always in evaluation mode."""


class FrozenBatchNorm3d(_Frozen, nn.BatchNorm3d):
    """Batch norm that is always in evaluation mode."""


class FrozenSyncBatchNorm(_Frozen, nn.SyncBatchNorm):
    """Batch norm that is always in evaluation mode."""


_FROZEN: dict[type[nn.Module], type[_Frozen]] = {
    nn.BatchNorm1d: FrozenBatchNorm1d,
    nn.BatchNorm3d: FrozenBatchNorm3d,
    nn.SyncBatchNorm: FrozenSyncBatchNorm,
}
