"""The operations of RandAugment and AutoAugment by OpenCV, several times as fast as torchvision's on a CPU.

torchvision draws which operations a clip gets, and how strong. The values are torchvision's but for rounding, and but
for pixels at the border of the fill (`benchmarks/views.py` counts them).
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torchvision.transforms import v2

from cmpl_zoo.video.clips import IMAGENET_MEAN

GRAY = [round(255 * m) for m in IMAGENET_MEAN]  # zero after normalization
LEVELS = np.arange(256)

cv2.setNumThreads(0)  # clips are read by as many processes as there are cores


class WithOpenCV:
    """Stands before an automatic augmentation of torchvision among the bases of a class."""

    def __init__(self) -> None:
        super().__init__(interpolation=v2.InterpolationMode.BILINEAR, fill=GRAY)  # type: ignore[call-arg]

    def _apply_image_or_video_transform(
        self, frames: Tensor, operation: str, magnitude: float, *_: Any, **__: Any
    ) -> Tensor:
        """Frames, uint8 (T, 3, H, W), after an operation; torchvision calls this for each one that it has drawn."""
        changed = [OPERATIONS[operation](frame, magnitude) for frame in frames.permute(0, 2, 3, 1).contiguous().numpy()]
        return torch.from_numpy(np.stack(changed)).permute(0, 3, 1, 2)


class RandAugment(WithOpenCV, v2.RandAugment):
    """Two operations of magnitude 9: torchvision's defaults, bilinear, with gray where a warp has no pixel."""


class AutoAugment(WithOpenCV, v2.AutoAugment):
    """ImageNet's policy: torchvision's default, bilinear, with gray where a warp has no pixel."""


def warp(frame: np.ndarray, matrix: Any) -> np.ndarray:
    """The pixel at (x, y) is the former one at `matrix` (x, y, 1), between pixels bilinearly."""
    size = frame.shape[1], frame.shape[0]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(frame, np.array(matrix, np.float64), size, flags=flags, borderValue=GRAY)


def rotate(frame: np.ndarray, degrees: float) -> np.ndarray:
    height, width = frame.shape[:2]
    return warp(frame, cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -degrees, scale=1))


def translate(frame: np.ndarray, right: int, down: int) -> np.ndarray:
    height, width = frame.shape[:2]
    kept = frame[max(0, -down) : height - max(0, down), max(0, -right) : width - max(0, right)]
    edges = max(0, down), max(0, -down), max(0, right), max(0, -right)
    return cv2.copyMakeBorder(kept, *edges, cv2.BORDER_CONSTANT, value=GRAY)


def gray(frame: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)


def mix(frame: np.ndarray, other: np.ndarray, factor: float) -> np.ndarray:
    """From `other` at a factor of 0 through the frame at 1 to beyond it; fractions are cut off, as torchvision does."""
    return cv2.addWeighted(frame, factor, other, 1 - factor, -0.5)


def color(frame: np.ndarray, factor: float) -> np.ndarray:
    return mix(frame, cv2.cvtColor(gray(frame), cv2.COLOR_GRAY2RGB), factor)


def sharpness(frame: np.ndarray, factor: float) -> np.ndarray:
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    sharp = frame.copy()  # the border has no whole neighborhood, and stays
    sharp[1:-1, 1:-1] = mix(frame, cv2.filter2D(frame, -1, kernel), factor)[1:-1, 1:-1]
    return sharp


def by_table(frame: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Values looked up in a table of 256, or in one for each channel, (256, 3)."""
    return cv2.LUT(frame, np.clip(table, 0, 255).astype(np.uint8).reshape(256, 1, -1))


def contrast(frame: np.ndarray, factor: float) -> np.ndarray:
    return by_table(frame, factor * LEVELS + (1 - factor) * cv2.mean(gray(frame))[0])


def histograms(frame: np.ndarray) -> np.ndarray:
    """How often each channel has each value, (256, 3)."""
    counts = np.empty((256, 3), int)
    for channel in range(3):
        counts[:, channel] = cv2.calcHist([frame], [channel], None, [256], [0, 256]).ravel()
    return counts


def autocontrast(frame: np.ndarray) -> np.ndarray:
    """Each channel stretched to 0..255; one that has a single value stays."""
    present = histograms(frame) > 0
    low, high = present.argmax(axis=0), 255 - present[::-1].argmax(axis=0)
    stretched = (LEVELS[:, None] - low) * (255 / np.maximum(1, high - low))
    return by_table(frame, np.where(high > low, stretched, LEVELS[:, None]))


def equalize(frame: np.ndarray) -> np.ndarray:
    """Each channel's histogram flattened, in whole numbers as Pillow does it; one that has few values stays."""
    counts = histograms(frame)
    brightest = counts[255 - (counts > 0)[::-1].argmax(axis=0), range(3)]
    step = (frame.shape[0] * frame.shape[1] - brightest) // 255
    below = counts.cumsum(axis=0) - counts
    return by_table(frame, np.where(step > 0, (below + step // 2) // np.maximum(1, step), LEVELS[:, None]))


# Of a frame, uint8 (H, W, 3), and the magnitude that torchvision gives.
OPERATIONS: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "Identity": lambda frame, _: frame,
    "ShearX": lambda frame, slope: warp(frame, [[1, slope, slope / 2], [0, 1, 0]]),
    "ShearY": lambda frame, slope: warp(frame, [[1, 0, 0], [slope, 1, slope / 2]]),
    "TranslateX": lambda frame, pixels: translate(frame, int(pixels), 0),
    "TranslateY": lambda frame, pixels: translate(frame, 0, int(pixels)),
    "Rotate": rotate,
    "Brightness": lambda frame, more: by_table(frame, (1 + more) * LEVELS),
    "Color": lambda frame, more: color(frame, 1 + more),
    "Contrast": lambda frame, more: contrast(frame, 1 + more),
    "Sharpness": lambda frame, more: sharpness(frame, 1 + more),
    "Posterize": lambda frame, bits: by_table(frame, LEVELS & (256 - 2 ** (8 - int(bits)))),
    "Solarize": lambda frame, least: by_table(frame, np.where(least <= LEVELS / 255, 255 - LEVELS, LEVELS)),
    "AutoContrast": lambda frame, _: autocontrast(frame),
    "Equalize": lambda frame, _: equalize(frame),
    "Invert": lambda frame, _: 255 - frame,
}
