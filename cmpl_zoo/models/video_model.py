"""What every network of the zoo is to its users: timm's contract for clips, with a classifier that is called `fc`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from timm.layers import get_device_dtype
from torch import Tensor, nn

from cmpl_zoo.models.config_json import clip_settings

__all__ = ["MODEL_ARGS", "GlobalPool3d", "VideoModel"]


class GlobalPool3d(nn.Module):
    """(N, C, T, H, W) to (N, C) by `avg` or `max`; `""` passes the input on."""

    kinds: ClassVar[tuple[str, ...]] = ("avg", "max", "")  # the first is the default

    def __init__(self, pool_type: str = "avg") -> None:
        super().__init__()
        if pool_type not in self.kinds:
            known = ", ".join(repr(kind) for kind in self.kinds if kind)
            raise ValueError(f"global_pool is {pool_type!r}; it must be {known}, or '' for none")
        self.pool_type = pool_type

    def forward(self, x: Tensor) -> Tensor:
        if self.pool_type == "avg":
            return x.mean((2, 3, 4))
        if self.pool_type == "max":
            return x.amax((2, 3, 4))
        return x

    def extra_repr(self) -> str:
        return f"pool_type={self.pool_type!r}"


# Positions in MViT and Swin, which their authors and timm spare from weight decay.
POSITIONS = {"relative_position_bias_table", "rel_pos_h", "rel_pos_w", "rel_pos_t", "spatial_pos", "temporal_pos"}


class SubtractMeanFrame(nn.Module):
    """Subtract from clips (N, C, T, H, W) the mean of their frames, which leaves what moves."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=2, keepdim=True)


class NormalizeClip(nn.Module):
    """Clips (N, C, T, H, W) with mean 0 and standard deviation 1 in every channel of each, which takes light and
    contrast out of them; a channel without contrast becomes zeros."""

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x, dim=(2, 3, 4), correction=0, keepdim=True)
        return (x - mean) * (variance + 1e-5).rsqrt()


class VideoModel(nn.Module):
    """A network for clips (batch, channels, frames, height, width), by timm's contract.

    Attributes:
        clip: the clips that the model is made for: `frames` per clip; `stride`, the step from one of them to the
            next in frames of the video, or with `fps` in 1/fps seconds, whatever the rate of the video; or instead of
            both `spread` (True), one frame from each of as many equal parts of the video; for testing, `clips` of a
            video, with `crops` of each. A dict with those that are set.
        subtract_mean_frame: whether the mean frame of a clip is subtracted from its frames.
        normalize_clip: whether then each clip's mean and standard deviation are taken out of it, channel by channel.
        num_features: channels of `forward_features`.
        head_hidden_size: channels of `forward_head(..., pre_logits=True)`.
        feature_info: channels, reduction in space and module of the feature maps of `forward_intermediates`.
    """

    first_conv: ClassVar[str]  # the name of the convolution that takes the channels of the input
    pool_class: ClassVar[type[GlobalPool3d]] = GlobalPool3d

    pretrained_cfg: dict[str, Any]  # set by timm
    num_classes: int
    num_features: int
    head_hidden_size: int
    feature_info: list[dict[str, Any]]
    global_pool: GlobalPool3d
    head_drop: nn.Dropout
    fc: nn.Module

    def __init__(
        self,
        in_chans: int,
        drop_rate: float,
        clip: Mapping[str, Any] | None,
        subtract_mean_frame: bool,
        normalize_clip: bool,
    ) -> None:
        """What networks have in common.

        They make their layers and, after them, `global_pool`, `head_drop` and, by `reset_classifier`, `fc`: timm runs
        what is registered before a layer when it takes that layer's features.
        """
        super().__init__()
        self.in_chans = in_chans
        self.drop_rate = drop_rate
        self.grad_checkpointing = False
        self.clip = clip_settings(clip)
        self.subtract_mean_frame = subtract_mean_frame
        self.normalize_clip = normalize_clip
        self.adapt = nn.Sequential()  # what is done to a clip before the first layer
        if subtract_mean_frame:
            self.adapt.append(SubtractMeanFrame())
        if normalize_clip:
            self.adapt.append(NormalizeClip())

    def check_input(self, frames: int, size: tuple[int, int]) -> None:
        """Raise ValueError, with what to do, where the network cannot take clips of so many frames or of that size.

        Args:
            frames: of a clip.
            size: height and width, in pixels.
        """

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns that group parameters from the stem to the last block, by stage (coarse) or by block."""
        raise NotImplementedError

    def no_weight_decay(self) -> set[str]:
        """Names of the parameters that weight decay spares, beside biases and norms: tables of positions."""
        return {name for name, _ in self.named_parameters() if name.rpartition(".")[2] in POSITIONS}

    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute blocks in the backward pass to save memory; as in timm, BN sees such a batch twice."""
        self.grad_checkpointing = enable

    def get_classifier(self, name_only: bool = False) -> str | nn.Module:
        """The classifier, `nn.Identity` where there is none, or its name."""
        return "fc" if name_only else self.fc

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Put a new classifier in place, on the device and in the dtype of the model; it has no class names.

        Args:
            num_classes: size of the classifier, 0 for none.
            global_pool: `avg`, `max`, or `""` for none; None keeps what there is.

        Raises:
            ValueError: the pooling does not exist, or there is none but a classifier.
        """
        pool = self.global_pool if global_pool is None else self.pool_class(global_pool)
        if num_classes > 0 and not pool.pool_type:
            kind = pool.kinds[0]
            raise ValueError(f"{num_classes} classes need pooling: set global_pool to {kind!r}, or num_classes to 0")
        self.num_classes = num_classes
        self.global_pool = pool.train(self.training)
        fc = nn.Linear(self.num_features, num_classes, **get_device_dtype(self)) if num_classes > 0 else nn.Identity()
        self.fc = fc.train(self.training)

    def __setattr__(self, name: str, value: Any) -> None:
        """As ever; a classifier that shares no weight with the one before knows nothing of its class names."""
        if name == "fc" and "fc" in self._modules and hasattr(self, "pretrained_cfg"):
            weights = set(value.parameters())
            if weights and not weights & set(self.fc.parameters()):
                # timm has the configuration under two names.
                self.pretrained_cfg = self.default_cfg = {**self.pretrained_cfg, "label_names": None}
        super().__setattr__(name, value)

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) to the features before pooling."""
        raise NotImplementedError

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Pool, drop out, classify; `pre_logits` leaves the classifier out.

        Under autocast the classifier computes in the precision of its weights: in bfloat16 a logit above 16 would be
        rounded to an eighth, which moves the probabilities that a threshold is for.
        """
        x = self.head_drop(self.global_pool(x))
        if pre_logits:
            return x
        if not any(map(torch.is_autocast_enabled, ("cuda", "cpu", "mps"))):
            return self.fc(x)
        with torch.autocast(x.device.type, enabled=False):
            return self.fc(x.to(next(self.fc.parameters(), x).dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) to (N, num_classes) logits; raises as `forward_features` does."""
        return self.forward_head(self.forward_features(x))


@contextmanager
def evaluation_mode(*models: nn.Module) -> Iterator[None]:
    """Every layer in evaluation mode, and afterwards in the mode it was in: some may be frozen."""
    training = {module: module.training for model in models for module in model.modules()}
    for model in models:
        model.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode


# What a config.json may hand to a network; its blocks and widths belong to its name.
MODEL_ARGS = {"num_classes", "in_chans", "global_pool", "drop_rate", "clip", "subtract_mean_frame", "normalize_clip"}


def check_clips(x: Tensor) -> None:
    """Raise AssertionError unless `x` is a batch of clips. As timm checks: torch.fx can trace it."""
    torch._assert(x.ndim == 5, "give a batch of clips of shape (batch, channels, frames, height, width)")
