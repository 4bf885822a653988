"""R3D: the 3-D ResNet family of Cross-Model Pseudo-Labeling (CVPR 2022, supplementary material, Table 3).

The first convolution of every bottleneck is inflated in time and nothing ever halves time, so a clip keeps
its number of frames up to the final pooling. Input is (batch, channels, frames, height, width) everywhere.

Modules carry the names of timm's ResNet, so that an image checkpoint maps onto this network name by name.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from timm.data import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD
from timm.models import checkpoint_seq, generate_default_cfgs, register_model
from timm.models._features import feature_take_indices
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.video import R3D_18_Weights

from cmpl_zoo.models.building import build, fit_checkpoint
from cmpl_zoo.models.convolutions import PointConv3d, StemConv3d, TemporalConv3d, unless_exportable
from cmpl_zoo.models.pretrained import UNPUBLISHED, WEIGHTS, hub_id
from cmpl_zoo.models.slow_only import PYTORCHVIDEO, SLOW_R50_URL
from cmpl_zoo.models.video_model import GlobalPool3d, VideoModel, check_clips

__all__ = ["R3D", "BasicBlock", "Bottleneck", "checkpoint_filter_fn"]


class BasicBlock(nn.Module):
    """Two 3x3x3 convolutions and a shortcut (our choice: the paper describes no basic block)."""

    expansion = 1

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inplanes, planes, 3, stride=(1, stride, stride), padding=1, bias=False)
        self.bn1 = nn.BatchNorm3d(planes)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv3d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(planes)
        self.act2 = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.bn2(self.conv2(x))
        x += shortcut
        return self.act2(x)

    def reparameterize(self) -> None:
        """See `R3D.reparameterize`."""
        _fold_batch_norms(self)


class Bottleneck(nn.Module):
    """[3x1x1, planes; 1x3x3, planes; 1x1x1, 4 planes] and a shortcut (paper, Table 3).

    The table does not say where space is halved; the stride sits on the 1x3x3, the most probable reading.
    """

    expansion = 4

    def __init__(self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None) -> None:
        super().__init__()
        outplanes = planes * self.expansion
        temporal, point = unless_exportable(TemporalConv3d), unless_exportable(PointConv3d)
        self.conv1 = temporal(inplanes, planes, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.bn1 = nn.BatchNorm3d(planes)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv3d(planes, planes, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False)
        self.bn2 = nn.BatchNorm3d(planes)
        self.act2 = nn.ReLU(inplace=True)
        self.conv3 = point(planes, outplanes, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(outplanes)
        self.act3 = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.act1(self.bn1(self.conv1(x)))
        x = self.act2(self.bn2(self.conv2(x)))
        x = self.bn3(self.conv3(x))
        x += shortcut
        return self.act3(x)

    def reparameterize(self) -> None:
        """See `R3D.reparameterize`."""
        _fold_batch_norms(self)


def _fold_batch_norms(module: nn.Module) -> None:
    """conv1 and bn1, conv2 and bn2 and so on become one convolution each; so does the shortcut."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm3d):
            conv = name.replace("bn", "conv")
            setattr(module, conv, fuse_conv_bn_eval(getattr(module, conv), child))
            setattr(module, name, nn.Identity())
        elif name == "downsample" and isinstance(child, nn.Sequential) and len(child) == 2:
            module.downsample = nn.Sequential(fuse_conv_bn_eval(*child))


def _stage(
    block: type[BasicBlock] | type[Bottleneck], inplanes: int, planes: int, depth: int, stride: int
) -> nn.Sequential:
    """`depth` blocks; the first one halves space where `stride` is 2."""
    outplanes = planes * block.expansion
    downsample = None
    if stride != 1 or inplanes != outplanes:
        # Table 3 is silent on the shortcut; a strided 1x1x1 convolution with BN is the most probable reading.
        convolution = unless_exportable(PointConv3d) if stride == 1 else nn.Conv3d
        downsample = nn.Sequential(
            convolution(inplanes, outplanes, 1, stride=(1, stride, stride), bias=False),
            nn.BatchNorm3d(outplanes),
        )
    first = block(inplanes, planes, stride, downsample)
    return nn.Sequential(first, *(block(outplanes, planes) for _ in range(depth - 1)))


class R3D(VideoModel):
    """3-D ResNet. Kernels, widths, depths and the strides of stem and pool are the paper's (Table 3).

    Unlike the R3D of torchvision (`tv_r3d_18`), whose kernels are 3 x 3 x 3, each block looks along time and in space
    by itself, 3 x 1 x 1 and 1 x 3 x 3, and time is never halved.

    The most probable reading where the table is silent: where res3-5 halve space, the shortcut, BN with eps
    1e-5 and momentum 0.1 after every convolution and no bias in one, global average pool, dropout, linear.

    Input is a float tensor (batch, channels, frames, height, width): any number of frames from 1, any height
    and width from 32, normalized with `pretrained_cfg["mean"]` and `["std"]`. Output is (batch, num_classes)
    logits. In training BN needs more than one value a channel in res5: more than one frame of 32x32 a batch.

    Attributes, beside those of every `VideoModel`:
        feature_info: of the stem and of res2 to res5.
    """

    first_conv = "conv1"

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        width_divisor: int = 1,
        num_classes: int = 400,
        in_chans: int = 3,
        global_pool: str = "avg",
        drop_rate: float = 0.0,
        clip: Mapping[str, Any] | None = None,
        subtract_mean_frame: bool = False,
        normalize_clip: bool = False,
    ) -> None:
        """
        Args:
            block: the residual block.
            layers: blocks in res2, res3, res4 and res5.
            width_divisor: every width is divided by it; a divisor of 64.
            num_classes: size of the classifier; 0 for none, then the output is the pooled features.
            in_chans: channels of the input.
            global_pool: `avg`, `max`, or `""` for none, which needs `num_classes=0`.
            drop_rate: dropout before the classifier, 0 to 1; 0 as in timm, 0.5 is the most probable reading.
            clip: clip settings (see Attributes); those not given keep `DEFAULT_CLIP`.
            subtract_mean_frame: subtract the mean frame of a clip from its frames, so that a still background does not
                mislead (our choice, for few videos; the paper's networks see the frames). A single frame becomes zeros.
            normalize_clip: take each clip's mean and standard deviation out of it, channel by channel, so that light
                and contrast do not mislead (our choice, as above).

        Raises:
            ValueError: a width, a pooling or a clip setting that does not exist.
        """
        super().__init__(in_chans, drop_rate, clip, subtract_mean_frame, normalize_clip)
        if width_divisor < 1 or 64 % width_divisor:
            raise ValueError(
                f"width_divisor is {width_divisor}, which does not divide 64; give a power of two, such as 1, 2, 4 or 8"
            )
        width = 64 // width_divisor
        stem = unless_exportable(StemConv3d)
        self.conv1 = stem(in_chans, width, (5, 7, 7), stride=(1, 2, 2), padding=(2, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.act1 = nn.ReLU(inplace=True)
        self.maxpool: nn.Module = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        wide = width * block.expansion
        self.layer1 = _stage(block, width, width, layers[0], stride=1)
        self.layer2 = _stage(block, wide, 2 * width, layers[1], stride=2)
        self.layer3 = _stage(block, 2 * wide, 4 * width, layers[2], stride=2)
        self.layer4 = _stage(block, 4 * wide, 8 * width, layers[3], stride=2)

        self.feature_info = [
            {"num_chs": width, "reduction": 2, "module": "act1"},
            {"num_chs": wide, "reduction": 4, "module": "layer1"},
            {"num_chs": 2 * wide, "reduction": 8, "module": "layer2"},
            {"num_chs": 4 * wide, "reduction": 16, "module": "layer3"},
            {"num_chs": 8 * wide, "reduction": 32, "module": "layer4"},
        ]
        self.num_features = self.head_hidden_size = 8 * wide
        self.global_pool = GlobalPool3d(global_pool)
        self.head_drop = nn.Dropout(drop_rate)
        self.reset_classifier(num_classes)

        # The last BN of a block starts at 0, so that every block starts as its shortcut (our choice, as timm's and
        # SlowFast's ResNets do). Otherwise untrained logits are so large that pseudo-labels are confident from the
        # first step.
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, Bottleneck):
                nn.init.zeros_(module.bn3.weight)
            elif isinstance(module, BasicBlock):
                nn.init.zeros_(module.bn2.weight)

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns that group parameters from the stem to res5, by stage (coarse) or by block."""
        return {"stem": r"^(?:conv1|bn1)", "blocks": r"^layer(\d+)" if coarse else r"^layer(\d+)\.(\d+)"}

    def reparameterize(self) -> None:
        """Fold batch norm into the convolutions, in place: the same function, faster, and no longer to be trained.

        What `timm.utils.reparameterize_model` does to the blocks, and the stem as well. A saved state dict of such a
        model has other keys and loads into no other one.

        Raises:
            RuntimeError: the model is in training mode; call `eval()` first.
        """
        if self.training:
            raise RuntimeError("batch norm can be folded in evaluation mode only; call model.eval() first")
        for module in [self, *(block for stage in self._stages() for block in stage)]:
            _fold_batch_norms(module)

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
            indices: which stages: the last n if int, all if None; 0 is the stem, 1 to 4 are res2 to res5.
            norm: part of timm's signature, without effect: there is no final norm.
            stop_early: do not run the stages after the last one asked for.
            output_fmt: `NCTHW`, or `NCHW` as timm calls channels first.
            intermediates_only: leave out the final features.

        Returns:
            The final features and the list of feature maps, or the list alone.

        Raises:
            AssertionError: the input is not five-dimensional.
            ValueError: the format is another.
        """
        if output_fmt not in ("NCTHW", "NCHW"):
            raise ValueError(f"output_fmt is {output_fmt!r}, but video features come as 'NCTHW' only; leave it out")
        take, last = feature_take_indices(5, indices)
        intermediates = []
        x = self._stem(x)
        if 0 in take:
            intermediates.append(x)
        x = self.maxpool(x)
        for i, layer in enumerate(self._stages()[: last if stop_early else 4], start=1):
            x = checkpoint_seq(layer, x) if self.grad_checkpointing else layer(x)
            if i in take:
                intermediates.append(x)
        return intermediates if intermediates_only else (x, intermediates)

    def prune_intermediate_layers(
        self, indices: int | list[int] = 1, prune_norm: bool = False, prune_head: bool = True
    ) -> list[int]:
        """Drop the stages after the last one in `indices` (as in `forward_intermediates`) and the head.

        Args:
            indices: stages to keep.
            prune_norm: part of timm's signature, without effect: there is no final norm.
            prune_head: drop the head even where res5 stays; without res5 it always goes.

        Returns:
            The stages kept, counted from the stem.
        """
        take, last = feature_take_indices(5, indices)
        for i in range(last + 1, 5):
            setattr(self, f"layer{i}", nn.Sequential())
        if last == 0:
            self.maxpool = nn.Identity()
        self.num_features = self.head_hidden_size = self.feature_info[last]["num_chs"]
        if prune_head or last < 4:
            self.reset_classifier(0, "")
        return take

    def forward_features(self, x: Tensor) -> Tensor:
        """(N, C, T, H, W) to res5's feature map, (N, num_features, T, H/32, W/32) with sizes rounded up.

        Raises:
            AssertionError: the input is not five-dimensional.
        """
        x = self.maxpool(self._stem(x))
        for layer in self._stages():
            x = checkpoint_seq(layer, x) if self.grad_checkpointing else layer(x)
        return x

    def _stem(self, x: Tensor) -> Tensor:
        check_clips(x)
        if not torch.onnx.is_in_onnx_export():  # whose older form knows no memory formats
            x = x.contiguous(memory_format=torch.channels_last_3d)  # in which every convolution here is fastest
        return self.act1(self.bn1(self.conv1(self.adapt(x))))

    def _stages(self) -> tuple[nn.Sequential, ...]:
        return self.layer1, self.layer2, self.layer3, self.layer4


def in_the_middle(kernel: Tensor, frames: int) -> Tensor:
    """A kernel (out, in, T, H, W) in the middle of one of `frames` (both odd), with zeros around it."""
    before = (frames - kernel.shape[2]) // 2
    return F.pad(kernel, (0, 0, 0, 0, before, before))


def checkpoint_filter_fn(state_dict: dict[str, Tensor], model: R3D) -> dict[str, Tensor]:
    """Fit a checkpoint to `model`: kernels of fewer frames are inflated, a stem of other channels is adapted, the rest
    matches.

    A kernel of an image, or of fewer frames, goes to the middle of the kernel in time, with zeros around it: the same
    function, so that a still video gives what the image gave, at the first and last frame too. Spreading it over time
    would not, because of the zero padding.

    Args:
        state_dict: a checkpoint of the same architecture, or of timm's image ResNet of that depth; it is not changed.
        model: the whole model, before timm wraps it for features.

    Returns:
        The state dict to load. A stem's weights are summed for one channel, else repeated and scaled.

    Raises:
        RuntimeError: a key other than the classifier's is missing, unknown, or of another shape; or the classifier
            is not of the number of classes that the checkpoint's configuration says.
    """
    state_dict = dict(state_dict)
    wanted = model.state_dict()
    for key, weight in state_dict.items():
        if key in wanted and wanted[key].ndim == 5 and weight.ndim in (4, 5):
            weight = weight.unsqueeze(2) if weight.ndim == 4 else weight
            state_dict[key] = in_the_middle(weight, max(weight.shape[2], wanted[key].shape[2]))
    return fit_checkpoint(state_dict, model)


def _create_r3d(variant: str, pretrained: bool = False, **kwargs: Any) -> R3D:
    return build(R3D, variant, pretrained, _cfg(), _CLIPS, checkpoint_filter_fn, **kwargs)


def _cfg(**kwargs: Any) -> dict[str, Any]:
    # timm's configuration is two-dimensional: frames travel in `clip`, and `first_conv` is left unset so that
    # timm leaves the stem to checkpoint_filter_fn.
    return {
        "num_classes": 400,
        "input_size": (3, 224, 224),
        "pool_size": (7, 7),
        "crop_pct": 0.875,
        "interpolation": "bilinear",
        "mean": IMAGENET_DEFAULT_MEAN,
        "std": IMAGENET_DEFAULT_STD,
        "classifier": "fc",
        **kwargs,
    }


def _packaged(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The configuration and the clip settings of weights that come with this package."""
    folder = Path(__file__).parent / "weights" / name
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    cfg = config["pretrained_cfg"] | {"label_names": config["label_names"], "file": str(folder / WEIGHTS)}
    return cfg, config["model_args"]["clip"]


_DEMO_CFG, _DEMO_CLIP = _packaged("r3d50_eighth.cmpl_demo")


def _unpublished(architecture: str) -> dict[str, dict[str, Any]]:
    return {
        f"{architecture}.{tag}": _cfg(num_classes=classes, hf_hub_id=hub_id(f"{architecture}.{tag}"))
        for tag, classes in UNPUBLISHED.items()
    }


default_cfgs = generate_default_cfgs(
    {
        # Of an architecture the first name with weights is what pretrained=True means without a tag.
        "r3d50.slow_k400": _cfg(
            url=SLOW_R50_URL,
            mean=PYTORCHVIDEO.mean,
            std=PYTORCHVIDEO.std,
            label_names=tuple(R3D_18_Weights.KINETICS400_V1.meta["categories"]),
            license="apache-2.0",
            origin_url="https://github.com/facebookresearch/pytorchvideo",
        ),
        # Image weights are inflated by checkpoint_filter_fn; torchvision's first ones, as of the paper's time (ours).
        "r3d50.in1k": _cfg(
            num_classes=1000,
            hf_hub_id="timm/resnet50.tv_in1k",
            license="bsd-3-clause",
            origin_url="https://github.com/pytorch/vision",
        ),
        **_unpublished("r3d50"),
        **_unpublished("r3d50_quarter"),
        "r3d50_eighth.cmpl_demo": _DEMO_CFG,
        "r3d18.untrained": _cfg(),
        "r3d50_half.untrained": _cfg(),
        "r3d101.untrained": _cfg(),
    }
)
# Clip settings that differ from DEFAULT_CLIP; the auxiliary network's stride is the recipes'.
_CLIPS: dict[str, Mapping[str, Any]] = {f"r3d50_quarter.{tag}": {"stride": 4} for tag in UNPUBLISHED}
_CLIPS["r3d50_eighth.cmpl_demo"] = _DEMO_CLIP
_CLIPS["r3d50.slow_k400"] = PYTORCHVIDEO.clip


@register_model
def r3d18(pretrained: bool = False, **kwargs: Any) -> R3D:
    """3D-ResNet18: r3d50's stem and basic blocks. Our choice: the paper does not define it."""
    args = dict(block=BasicBlock, layers=(2, 2, 2, 2), **kwargs)
    return _create_r3d("r3d18", pretrained, **args)


@register_model
def r3d50(pretrained: bool = False, **kwargs: Any) -> R3D:
    """3D-ResNet50, the paper's primary network (Table 3)."""
    args = dict(block=Bottleneck, layers=(3, 4, 6, 3), **kwargs)
    return _create_r3d("r3d50", pretrained, **args)


@register_model
def r3d50_half(pretrained: bool = False, **kwargs: Any) -> R3D:
    """3D-ResNet50 with half of every width (Table 3)."""
    args = dict(block=Bottleneck, layers=(3, 4, 6, 3), width_divisor=2, **kwargs)
    return _create_r3d("r3d50_half", pretrained, **args)


@register_model
def r3d50_quarter(pretrained: bool = False, **kwargs: Any) -> R3D:
    """3D-ResNet50 with a quarter of every width, the paper's auxiliary network (Table 3)."""
    args = dict(block=Bottleneck, layers=(3, 4, 6, 3), width_divisor=4, **kwargs)
    return _create_r3d("r3d50_quarter", pretrained, **args)


@register_model
def r3d50_eighth(pretrained: bool = False, **kwargs: Any) -> R3D:
    """3D-ResNet50 with an eighth of every width. Our choice, the smallest of the family."""
    args = dict(block=Bottleneck, layers=(3, 4, 6, 3), width_divisor=8, **kwargs)
    return _create_r3d("r3d50_eighth", pretrained, **args)


@register_model
def r3d101(pretrained: bool = False, **kwargs: Any) -> R3D:
    """3D-ResNet101: r3d50 with 23 blocks in res4. Our choice: the paper does not define it."""
    args = dict(block=Bottleneck, layers=(3, 4, 23, 3), **kwargs)
    return _create_r3d("r3d101", pretrained, **args)
