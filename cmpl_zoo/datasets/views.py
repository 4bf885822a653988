"""The weak and the strong view of a clip, for uint8 frames of shape (T, C, H, W).

The random parameters are drawn once for all frames of a clip, also if the frames of a second clip are appended. The
paper uses a weak and a strong view without details. Random resize, crop and flip, and a strong augmentation on top,
follow other publications about the method; all numbers are our choice.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

STRONG_VIEWS = ("randaugment", "autoaugment")


class WeakView(nn.Module):
    """Random resize, crop and horizontal flip: uint8 (T, C, H, W) to uint8 (T, C, size, size).

    The crop is taken before the resize, scaled to the original frame, so that pixels outside it, most of a frame, are
    not resized.

    Args:
        size: height and width of the crop, in pixels.
        short_side: smallest and largest short side that frames are resized to, in pixels, both included (our choice:
            8/7 and 10/7 of `size`, as 256 and 320 for 224).
        mirror: flip half of the clips.

    Raises:
        ValueError: `short_side` is below `size`, or decreases.
    """

    def __init__(self, size: int, short_side: Sequence[int], mirror: bool = True) -> None:
        super().__init__()
        self.size, self.mirror = size, mirror
        self.smallest, self.largest = short_side
        if not size <= self.smallest <= self.largest:
            raise ValueError(
                f"short_side is {tuple(short_side)}; give two increasing numbers, the first at least {size}"
            )

    def forward(self, frames: Tensor) -> Tensor:
        height, width = frames.shape[-2:]
        short_side = _random_integer(self.smallest, self.largest)
        side = max(1, round(self.size * min(height, width) / short_side))
        top, left = _random_integer(0, height - side), _random_integer(0, width - side)
        view = tv.resized_crop(frames, top, left, side, side, [self.size, self.size], antialias=True)
        return tv.horizontal_flip(view) if self.mirror and _random_integer(0, 1) else view


class StrongView(nn.Module):
    """A weak view, then RandAugment (2 operations of magnitude 9) or AutoAugment, then Cutout: shapes as `WeakView`.

    Args:
        size: as in `WeakView`.
        short_side: as in `WeakView`.
        augment: one of `STRONG_VIEWS`.
        cutout: paint one square gray, of 10 to 25 % of the area, at the same position in all frames.

    Raises:
        ValueError: `augment` is unknown, or `short_side` is wrong as in `WeakView`.
        ModuleNotFoundError: OpenCV is not installed, which the extra `train` brings.
    """

    def __init__(self, size: int, short_side: Sequence[int], augment: str = "randaugment", cutout: bool = True) -> None:
        super().__init__()
        if augment not in STRONG_VIEWS:
            raise ValueError(f"unknown strong view {augment!r}: choose one of {', '.join(STRONG_VIEWS)}")
        from cmpl_zoo.datasets.augmentations import GRAY, AutoAugment, RandAugment  # OpenCV is of the extra `train`

        operations = RandAugment if augment == "randaugment" else AutoAugment
        self.steps = nn.Sequential(WeakView(size, short_side), operations())
        if cutout:
            self.steps.append(v2.RandomErasing(p=1.0, scale=(0.1, 0.25), ratio=(1.0, 1.0), value=GRAY))

    def forward(self, frames: Tensor) -> Tensor:
        return self.steps(frames)


def _random_integer(low: int, high: int) -> int:
    """A random integer from `low` to `high`, both included, from torch's global generator."""
    return int(torch.randint(low, high + 1, ()))
