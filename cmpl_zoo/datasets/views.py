"""The weak and the strong view of a clip, on uint8 frames of shape (T, C, H, W).

One draw of parameters serves all frames of a clip, and also the frames of a second clip stacked below them.
The paper has a weak and a strong view; what they are made of (random resize, crop and flip; a strong augmentation on
top) is as other publications about it have it, and every number is our choice.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from cmpl_zoo.video.clips import IMAGENET_MEAN

STRONG_VIEWS = ("randaugment", "autoaugment")

# What Cutout leaves: the ImageNet mean, zero after normalization.
_GREY = [round(255 * m) for m in IMAGENET_MEAN]


class WeakView(nn.Module):
    """Random resize, random crop, random horizontal flip, of (T, C, H, W) uint8 to (T, C, size, size).

    The crop is cut out before the resize, at the place and of the size that it has in the frame: pixels that no
    crop shows are most of a frame, and are not resized.

    Args:
        size: height and width of the crop, in pixels.
        short_side: least and greatest short side that frames are resized to, in pixels, both included (our choice:
            8/7 and 10/7 of the size, as 256 and 320 are to 224).

    Raises:
        ValueError: `short_side` is less than the crop, or falls.
    """

    def __init__(self, size: int, short_side: Sequence[int]) -> None:
        super().__init__()
        self.size = size
        self.least, self.greatest = short_side
        if not size <= self.least <= self.greatest:
            raise ValueError(f"short_side is {tuple(short_side)}; give two rising numbers, the first at least {size}")

    def forward(self, frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        short_side = _draw(self.least, self.greatest)
        side = max(1, round(self.size * min(height, width) / short_side))
        top, left = _draw(0, height - side), _draw(0, width - side)
        view = tv.resized_crop(frames, top, left, side, side, [self.size, self.size], antialias=True)
        return tv.horizontal_flip(view) if _draw(0, 1) else view


class StrongView(nn.Module):
    """A weak view, then RandAugment (2 operations of magnitude 9) or AutoAugment, then Cutout.

    Args:
        size: as in `WeakView`.
        short_side: as in `WeakView`.
        augment: one of `STRONG_VIEWS`.
        cutout: paint one square grey, of a tenth to a quarter of the area, at the same place in all frames.

    Raises:
        ValueError: `augment` is unknown.
    """

    def __init__(self, size: int, short_side: Sequence[int], augment: str = "randaugment", cutout: bool = True) -> None:
        super().__init__()
        if augment not in STRONG_VIEWS:
            raise ValueError(f"unknown strong view {augment!r}: choose one of {', '.join(STRONG_VIEWS)}")
        operations = v2.RandAugment if augment == "randaugment" else v2.AutoAugment
        self.steps = nn.Sequential(
            WeakView(size, short_side), operations(interpolation=v2.InterpolationMode.BILINEAR, fill=_GREY)
        )
        if cutout:
            self.steps.append(v2.RandomErasing(p=1.0, scale=(0.1, 0.25), ratio=(1.0, 1.0), value=_GREY))

    def forward(self, frames: Tensor) -> Tensor:
        return self.steps(frames)


def _draw(least: int, greatest: int) -> int:
    """A whole number from `least` to `greatest`, both included."""
    return int(torch.randint(least, greatest + 1, ()))
