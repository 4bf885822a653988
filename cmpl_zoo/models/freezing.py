"""Parts of a network that training leaves as they are; batch norm and drops then stay in evaluation mode."""

from typing import Self

from timm.models import group_parameters
from torch import nn
from torchvision.ops import StochasticDepth

from cmpl_zoo.models.video_model import VideoModel

__all__ = ["freeze", "freeze_batch_norm", "freeze_stages", "unfreeze"]


def freeze(module: nn.Module) -> None:
    """Keep a network or a part of it, such as `model.layer1`, as it is, in place.

    Its parameters get no gradient, and its batch norm, dropout and stochastic depth stay in evaluation mode, also after
    `model.train()`.
    """
    module.requires_grad_(False)
    _stay_in_evaluation_mode(module, _FROZEN)


def freeze_stages(model: VideoModel, last: int | str) -> None:
    """Freeze a stage of a network and all before it, as `freeze` does, in place.

    No backward pass goes through them, and no activation of theirs is kept.

    Args:
        model: any network of this zoo.
        last: `"stem"`, or the number of a stage, also as `"layer2"`; or `"all"`, which leaves the classifier alone.

    Raises:
        ValueError: there is no such stage.
    """
    stage_of = group_parameters(model, model.group_matcher(coarse=True), reverse=True)  # the classifier's is the last
    stages = ["stem", *(str(number) for number in range(1, max(stage_of.values())))]
    stage = stages[-1] if last == "all" else str(last).removeprefix("layer")
    if stage not in stages:
        raise ValueError(f"there is no stage {last!r}; give one of {', '.join(stages)}, or all")
    for name, weight in model.named_parameters():
        if stage_of[name] <= stages.index(stage):
            weight.requires_grad = False
    for module in model.modules():
        weights = list(module.parameters())
        if weights and not any(weight.requires_grad for weight in weights):
            freeze(module)


def is_frozen(module: nn.Module) -> bool:
    """Whether `freeze` or `freeze_batch_norm` keeps it in evaluation mode."""
    return isinstance(module, _Frozen)


def convert_sync_batchnorm(module: nn.Module) -> nn.Module:
    """As `nn.SyncBatchNorm.convert_sync_batchnorm`, which would unfreeze batch norm."""
    frozen = [name for name, norm in module.named_modules() if is_frozen(norm)]
    module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for name in frozen:
        freeze_batch_norm(module.get_submodule(name))
    return module


def freeze_batch_norm(module: nn.Module) -> None:
    """Normalize by the running statistics and keep those, also after `model.train()`; weights still learn. In place."""
    _stay_in_evaluation_mode(module, _FROZEN_BATCH_NORM)


def unfreeze(module: nn.Module) -> None:
    """Undo `freeze` and `freeze_batch_norm`; call `model.train()` afterwards."""
    module.requires_grad_(True)
    for part in module.modules():
        if isinstance(part, _Frozen):
            part.__class__ = type(part).__bases__[1]


def _stay_in_evaluation_mode(module: nn.Module, frozen: "dict[type[nn.Module], type[_Frozen]]") -> None:
    for part in module.modules():
        if type(part) in frozen:
            part.__class__ = frozen[type(part)]
            part.eval()


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


class FrozenDropout(_Frozen, nn.Dropout):
    """Dropout that is always in evaluation mode."""


class FrozenStochasticDepth(_Frozen, StochasticDepth):
    """Stochastic depth that is always in evaluation mode."""


_FROZEN_BATCH_NORM: dict[type[nn.Module], type[_Frozen]] = {
    nn.BatchNorm1d: FrozenBatchNorm1d,
    nn.BatchNorm3d: FrozenBatchNorm3d,
    nn.SyncBatchNorm: FrozenSyncBatchNorm,
}
_FROZEN = _FROZEN_BATCH_NORM | {nn.Dropout: FrozenDropout, StochasticDepth: FrozenStochasticDepth}
