"""torchvision's video networks, with its weights: its own modules, by the contract of this zoo.

`tv_r3d_18` and the like hold the layers that `torchvision.models.video.r3d_18()` makes, under torchvision's names; the
classifier alone is called `fc` in each of them, as everywhere in this zoo. With the same weights they give the same
logits.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch.nn.functional as F
from timm.models import generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from timm.models._manipulate import checkpoint
from torch import Tensor, nn
from torchvision.models import WeightsEnum, video
from torchvision.models.video.mvit import PositionalEncoding

from cmpl_zoo.models.building import adapt_channels, build, fit_checkpoint
from cmpl_zoo.models.video_model import GlobalPool3d, VideoModel, check_clips

__all__ = ["TorchvisionVideo", "VideoMViT", "VideoResNet", "VideoS3D", "VideoSwin", "checkpoint_filter_fn"]


class TorchvisionVideo(VideoModel):
    """A video network of torchvision, as a network of this zoo; each family has a class of its own below.

    Attributes, beside those of every `VideoModel`:
        stages: the names of the blocks that run between one feature map and the next, after the stem.
    """

    classifier: ClassVar[str]  # torchvision's name of the layer that is `fc` here
    stem_modules: ClassVar[Sequence[str]]  # modules before the first block

    stages: list[list[str]]

    def __init__(
        self,
        network: Callable[[], nn.Module],
        num_classes: int = 400,
        in_chans: int = 3,
        global_pool: str | None = None,
        drop_rate: float = 0.0,
        clip: Mapping[str, Any] | None = None,
        subtract_mean_frame: bool = False,
        normalize_clip: bool = False,
    ) -> None:
        """
        Args:
            network: the function of torchvision that makes the network.
            num_classes: size of the classifier; 0 for none, then the output is the pooled features.
            in_chans: channels of the input.
            global_pool: `avg` (torchvision's), `max`, or `""` for none, which needs `num_classes=0`; of MViT `token`
                or `""`.
            drop_rate: dropout before the classifier, 0 to 1; torchvision trains S3D with 0.2 and MViT with 0.5.
            clip: clip settings (see `VideoModel`).
            subtract_mean_frame: subtract the mean frame of a clip from its frames.
            normalize_clip: take each clip's mean and standard deviation out of it, channel by channel.

        Raises:
            ValueError: a pooling or a clip setting that does not exist.
        """
        super().__init__(in_chans, drop_rate, clip, subtract_mean_frame, normalize_clip)
        for name, module in network().named_children():
            if name not in ("avgpool", self.classifier.partition(".")[0]):
                self.add_module(name, module)
        if in_chans != 3:
            first = self.get_submodule(self.first_conv)
            assert isinstance(first, nn.Conv3d)
            first.weight = nn.Parameter(adapt_channels(first.weight.detach(), in_chans))
            first.in_channels = in_chans
        self.stages, channels, reductions = self._divide()
        self.feature_info = [
            {"num_chs": width, "reduction": reduction, "module": (names or self.stem_modules)[-1]}
            for names, width, reduction in zip(self.stages, channels, reductions, strict=True)
        ]
        self.num_features = self.head_hidden_size = channels[-1]
        self.global_pool = self.pool_class() if global_pool is None else self.pool_class(global_pool)
        self.head_drop = nn.Dropout(drop_rate)
        self.reset_classifier(num_classes)

    def _divide(self) -> tuple[list[list[str]], Sequence[int], Sequence[int]]:
        """The blocks of each stage, and the channels and the reduction in space of its feature map."""
        raise NotImplementedError

    def _embed(self, x: Tensor) -> Any:
        """Clips to what the first block takes."""
        return self.get_submodule(self.stem_modules[0])(x)

    def _map(self, x: Any) -> Tensor:
        """What a block gives as a feature map (N, C, T, H, W)."""
        return x

    def _features(self, x: Any) -> Tensor:
        """What the last block gives as the features that `forward_head` takes."""
        return self._map(x)

    def _run(self, names: Sequence[str], x: Any) -> Any:
        for name in names:
            block, args = self.get_submodule(name), x if isinstance(x, tuple) else (x,)
            x = checkpoint(block, *args) if self.grad_checkpointing else block(*args)
        return x

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) to (N, num_features, T', H', W'), or of MViT to normalized tokens, the class token first.

        Raises:
            AssertionError: the input is not five-dimensional.
        """
        check_clips(x)
        x = self._embed(self.adapt(x))
        for names in self.stages:
            x = self._run(names, x)
        return self._features(x)

    def forward_intermediates(
        self,
        x: Tensor,
        indices: int | list[int] | None = None,
        norm: bool = False,
        stop_early: bool = False,
        output_fmt: str = "NCTHW",
        intermediates_only: bool = False,
    ) -> list[Tensor] | tuple[Tensor, list[Tensor]]:
        """Feature maps of chosen stages.

        Args:
            x: (N, C, T, H, W).
            indices: which maps of `feature_info`: the last n if int, all if None.
            norm: part of timm's signature, without effect: maps are not normalized.
            stop_early: do not run the stages after the last one asked for.
            output_fmt: `NCTHW`, or `NCHW` as timm calls channels first.
            intermediates_only: leave out the final features.

        Returns:
            The final features (if stopped early, the last map) and the list of feature maps, or the list alone.

        Raises:
            AssertionError: the input is not five-dimensional.
            ValueError: the format is another.
        """
        if output_fmt not in ("NCTHW", "NCHW"):
            raise ValueError(f"output_fmt is {output_fmt!r}, but video features come as 'NCTHW' only; leave it out")
        check_clips(x)
        take, last = feature_take_indices(len(self.stages), indices)
        maps = []
        x = self._embed(self.adapt(x))
        stages = self.stages[: last + 1] if stop_early else self.stages
        for i, names in enumerate(stages):
            x = self._run(names, x)
            if i in take:
                maps.append(self._map(x))
        if intermediates_only:
            return maps
        return (self._features(x) if len(stages) == len(self.stages) else self._map(x)), maps

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop the stages after the last one in `indices` (as in `forward_intermediates`) and the head.

        Args:
            indices: stages to keep.
            prune_norm: drop the final norm even where the last stage stays; without that it always goes.
            prune_head: drop the head even where the last stage stays; without that it always goes.

        Returns:
            The stages kept, counted from the first.
        """
        take, last = feature_take_indices(len(self.stages), indices)
        shorter = last + 1 < len(self.stages)
        for name in (name for names in self.stages[last + 1 :] for name in names):
            self.set_submodule(name, nn.Identity())
        del self.stages[last + 1 :]
        self.num_features = self.head_hidden_size = self.feature_info[last]["num_chs"]
        if hasattr(self, "norm") and (shorter or prune_norm):
            self.set_submodule("norm", nn.Identity())
        if shorter or prune_head:
            self.reset_classifier(0, "")
        return take

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns that group parameters from the stem to the last block, by stage (coarse) or by block."""

        def pattern(names: Sequence[str]) -> str:
            return rf"^(?:{'|'.join(map(re.escape, names))})\."

        groups = [names for stage in self.stages for names in ([stage] if coarse else [[name] for name in stage])]
        blocks: list[tuple[str, Any]] = [(pattern(names), (i,)) for i, names in enumerate(groups) if names]
        # The final norm is of the last group: so timm marks it.
        return {"stem": pattern(self.stem_modules), "blocks": [*blocks, (r"^norm\.", (99999,))]}


class VideoResNet(TorchvisionVideo):
    """R3D-18, MC3-18 and R(2+1)D-18 ("A Closer Look at Spatiotemporal Convolutions for Action Recognition", 2018).

    Any number of frames and any size. From layer2 on each stage halves time as well (MC3 does not).
    """

    classifier = "fc"
    stem_modules = ("stem",)
    first_conv = "stem.0"

    def _divide(self) -> tuple[list[list[str]], Sequence[int], Sequence[int]]:
        layers = [[f"layer{i}.{j}" for j in range(len(getattr(self, f"layer{i}")))] for i in range(1, 5)]
        return [[], *layers], (64, 64, 128, 256, 512), (2, 2, 4, 8, 16)


class S3DPool(GlobalPool3d):
    """S3D's `avg` is the mean over windows of 2 frames and 7 x 7 places, one step apart: those inside count more."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool3d(x, (2, 7, 7), stride=1).mean((2, 3, 4)) if self.pool_type == "avg" else super().forward(x)


class VideoS3D(TorchvisionVideo):
    """S3D ("Rethinking Spatiotemporal Feature Learning", 2018). From 14 frames and 224 x 224 pixels."""

    classifier = "classifier.1"
    stem_modules = ("features.0",)
    first_conv = "features.0.0.0"
    pool_class = S3DPool

    def _divide(self) -> tuple[list[list[str]], Sequence[int], Sequence[int]]:
        bounds = [(1, 1), (1, 4), (4, 7), (7, 13), (13, 16)]  # each stage but the first begins where space is halved
        stages = [[f"features.{i}" for i in range(*bound)] for bound in bounds]
        return stages, (64, 192, 480, 832, 1024), (2, 4, 8, 16, 32)

    def check_input(self, frames: int, size: tuple[int, int]) -> None:
        """Raise ValueError below 14 frames or 224 x 224 pixels, torchvision's limits."""
        if frames < 14 or min(size) < 224:
            _refuse("S3D", "at least 14 frames of 224 x 224 pixels", frames, size)


class ClassToken(GlobalPool3d):
    """(N, tokens, C) to the class token (N, C), which is the first; `""` passes all on."""

    kinds = ("token", "")

    def __init__(self, pool_type: str = "token") -> None:
        super().__init__(pool_type)

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0] if self.pool_type == "token" else x


class VideoMViT(TorchvisionVideo):
    """MViT ("Multiscale Vision Transformers", 2021, and "MViTv2", 2022). 16 frames of 224 x 224 pixels, no others."""

    classifier = "head.1"
    stem_modules = ("conv_proj", "pos_encoding")
    first_conv = "conv_proj"
    pool_class = ClassToken

    conv_proj: nn.Conv3d
    pos_encoding: PositionalEncoding
    blocks: Any  # torchvision's MultiscaleBlocks, which state no types
    norm: nn.LayerNorm

    def _divide(self) -> tuple[list[list[str]], Sequence[int], Sequence[int]]:
        stages: list[list[str]] = [[]]
        widths: list[int] = []
        for i, block in enumerate(self.blocks):
            if block.pool_skip is not None:  # it halves space
                widths.append(block.norm1.normalized_shape[0])
                stages.append([])
            stages[-1].append(f"blocks.{i}")
        return stages, [*widths, self.norm.normalized_shape[0]], [4 * 2**i for i in range(len(stages))]

    def check_input(self, frames: int, size: tuple[int, int]) -> None:
        """Raise ValueError for anything but the clips that its position embeddings are for."""
        if (frames, *size) != (16, 224, 224):
            _refuse("MViT", "16 frames of 224 x 224 pixels and no others", frames, size)

    def _embed(self, x: Tensor) -> tuple[Tensor, tuple[int, int, int]]:
        x = self.pos_encoding(self.conv_proj(x).flatten(2).transpose(1, 2))
        return x, (self.pos_encoding.temporal_size, *self.pos_encoding.spatial_size)

    def _map(self, x: tuple[Tensor, tuple[int, int, int]]) -> Tensor:
        tokens, size = x
        return tokens[:, 1:].transpose(1, 2).unflatten(2, size)

    def _features(self, x: tuple[Tensor, tuple[int, int, int]]) -> Tensor:
        return self.norm(x[0])


class VideoSwin(TorchvisionVideo):
    """Video Swin ("Video Swin Transformer", 2021). Any number of frames and any size."""

    classifier = "head"
    stem_modules = ("patch_embed",)
    first_conv = "patch_embed.proj"

    norm: nn.LayerNorm

    def _divide(self) -> tuple[list[list[str]], Sequence[int], Sequence[int]]:
        stages = [[f"features.{i}.{j}" for j in range(len(getattr(self.features, str(i))))] for i in range(0, 7, 2)]
        for i, stage in enumerate(stages[1:]):
            stage.insert(0, f"features.{2 * i + 1}")  # merges patches
        width = self.norm.normalized_shape[0] // 8
        return stages, [width * 2**i for i in range(4)], (4, 8, 16, 32)

    def _map(self, x: Tensor) -> Tensor:
        return x.permute(0, 4, 1, 2, 3)

    def _features(self, x: Tensor) -> Tensor:
        return self._map(self.norm(x))


def _refuse(network: str, what: str, frames: int, size: tuple[int, int]) -> None:
    height, width = size
    raise ValueError(
        f"{network} takes clips of {what}, and these have {frames} frames of {height} x {width}; set frames and size "
        "to that (in training --frames and --size, or for the auxiliary network --auxiliary-frames and "
        "--auxiliary-size), or take another network"
    )


def checkpoint_filter_fn(state_dict: dict[str, Tensor], model: TorchvisionVideo) -> dict[str, Tensor]:
    """Fit torchvision's file, or one of this zoo, to `model`; arguments and errors as in `fit_checkpoint`."""
    theirs = f"{model.classifier}."
    state_dict = {re.sub(f"^{re.escape(theirs)}", "fc.", key): weight for key, weight in state_dict.items()}
    if (weight := state_dict.get("fc.weight")) is not None:
        state_dict["fc.weight"] = weight.flatten(1)  # S3D's is a convolution of 1x1x1
    return fit_checkpoint(state_dict, model)


# By the name of weights: torchvision's entry, and the clips that its prose gives for the accuracy that it states, the
# only place where it does: "The accuracies are estimated on video-level with parameters `frame_rate=15`,
# `clips_per_video=5`, and `clip_len=16`" (meta["_docs"] of each entry; S3D's "on clip-level"). The frames of its clips
# follow each other at that rate; its test crops the center.
_RESNET = {"frames": 16, "fps": 15, "clips": 5}
_MVIT = {"frames": 16, "fps": 7.5, "clips": 5}
_SWIN = {"frames": 32, "fps": 15, "clips": 12}
ENTRIES: dict[str, tuple[WeightsEnum, dict[str, Any]]] = {
    "tv_r3d_18.k400": (video.R3D_18_Weights.KINETICS400_V1, _RESNET),
    "tv_mc3_18.k400": (video.MC3_18_Weights.KINETICS400_V1, _RESNET),
    "tv_r2plus1d_18.k400": (video.R2Plus1D_18_Weights.KINETICS400_V1, _RESNET),
    "tv_s3d.k400": (video.S3D_Weights.KINETICS400_V1, {"frames": 128, "fps": 15, "clips": 1}),
    "tv_mvit_v1_b.k400": (video.MViT_V1_B_Weights.KINETICS400_V1, _MVIT),
    "tv_mvit_v2_s.k400": (video.MViT_V2_S_Weights.KINETICS400_V1, _MVIT),
    "tv_swin3d_t.k400": (video.Swin3D_T_Weights.KINETICS400_V1, _SWIN),
    "tv_swin3d_s.k400": (video.Swin3D_S_Weights.KINETICS400_V1, _SWIN),
    # Of an architecture the first, here the better one, is what pretrained=True means without a tag.
    "tv_swin3d_b.k400_in22k": (video.Swin3D_B_Weights.KINETICS400_IMAGENET22K_V1, _SWIN),
    "tv_swin3d_b.k400": (video.Swin3D_B_Weights.KINETICS400_V1, _SWIN),
}
_CLIPS = {name: {"stride": 1, "crops": 1, **clip} for name, (_, clip) in ENTRIES.items()}
_CLIPS |= {name.partition(".")[0]: clip for name, clip in _CLIPS.items()}


def _cfg(weights: WeightsEnum) -> dict[str, Any]:
    """What torchvision's transforms and meta say. It resizes 18-layer networks' and S3D's frames to a fixed shape
    (128 x 171 and 256 x 256); here the short side becomes that long and the shape stays, as for the others."""
    transforms = weights.transforms()
    height, width = transforms.crop_size
    return {
        "num_classes": len(weights.meta["categories"]),
        "input_size": (3, height, width),
        "crop_pct": max(height, width) / min(transforms.resize_size),
        "interpolation": "bilinear",
        "mean": tuple(transforms.mean),
        "std": tuple(transforms.std),
        "classifier": "fc",
    }


default_cfgs = generate_default_cfgs(
    {
        name: {
            **_cfg(weights),
            "url": weights.url,
            "label_names": weights.meta["categories"],
            "origin_url": "https://github.com/pytorch/vision",
        }
        for name, (weights, _) in ENTRIES.items()
    }
)


def _create(network: type[TorchvisionVideo], variant: str, pretrained: bool, **kwargs: Any) -> TorchvisionVideo:
    weights, _ = next(entry for name, entry in ENTRIES.items() if name.startswith(f"{variant}."))
    maps = 4 if network in (VideoMViT, VideoSwin) else 5
    return build(
        network,
        variant,
        pretrained,
        _cfg(weights),
        _CLIPS,
        checkpoint_filter_fn,
        feature_cfg={"feature_cls": "getter", "out_indices": tuple(range(maps))},
        network=getattr(video, variant.removeprefix("tv_")),
        **kwargs,
    )


@register_model
def tv_r3d_18(pretrained: bool = False, **kwargs: Any) -> TorchvisionVideo:
    """R3D-18."""
    return _create(VideoResNet, "tv_r3d_18", pretrained, **kwargs)


@register_model
def tv_mc3_18(pretrained: bool = False, **kwargs: Any) -> TorchvisionVideo:
    """MC3-18: convolutions in time in the first stage alone."""
    return _create(VideoResNet, "tv_mc3_18", pretrained, **kwargs)


@register_model
def tv_r2plus1d_18(pretrained: bool = False, **kwargs: Any) -> TorchvisionVideo:
    """R(2+1)D-18: convolutions in space and in time by turns."""
    return _create(VideoResNet, "tv_r2plus1d_18", pretrained, **kwargs)


@register_model
def tv_s3d(pretrained: bool = False, **kwargs: Any) -> TorchvisionVideo:
    """S3D."""
    return _create(VideoS3D, "tv_s3d", pretrained, **kwargs)


@register_model
def tv_mvit_v1_b(pretrained: bool = False, **kwargs: Any) -> TorchvisionVideo:
    """MViT, base."""
    return _create(VideoMViT, "tv_mvit_v1_b", pretrained, **kwargs)


@register_model
def tv_mvit_v2_s(pretrained: bool = False, **kwargs: Any) -> TorchvisionVideo:
    """MViTv2, small."""
    return _create(VideoMViT, "tv_mvit_v2_s", pretrained, **kwargs)


@register_model
def tv_swin3d_t(pretrained: bool = False, **kwargs: Any) -> TorchvisionVideo:
    """Video Swin, tiny."""
    return _create(VideoSwin, "tv_swin3d_t", pretrained, **kwargs)


@register_model
def tv_swin3d_s(pretrained: bool = False, **kwargs: Any) -> TorchvisionVideo:
    """Video Swin, small."""
    return _create(VideoSwin, "tv_swin3d_s", pretrained, **kwargs)


@register_model
def tv_swin3d_b(pretrained: bool = False, **kwargs: Any) -> TorchvisionVideo:
    """Video Swin, base."""
    return _create(VideoSwin, "tv_swin3d_b", pretrained, **kwargs)
