"""Optical flow as a video: the movement of each pixel, kept as a color.

Frame t of the flow of a video tells how far each pixel of its frame t moves to the next one; its last frame repeats the
one before. Red is the movement to the right and green the movement down, blue is 128. A color grows with the square
root of the movement, from 64 pixels to the left or up (1) over none (128) to 64 pixels to the right or down (255);
faster pixels count as these. Steps are 0.004 pixels where little moves, and a pixel where much does: even ones, up to
20 pixels as is usual, change a tenth to a fifth of the blocks and directions of `motion` (benchmarks/README.md).
"""

import numpy as np
from torch import Tensor

FASTEST = 64  # pixels from one frame to the next, of the flow's own size
ZERO, STEPS = 128, 127  # the color of no movement, and how many there are on both sides of it


def as_color(flow: np.ndarray) -> np.ndarray:
    """Movement in pixels, float (H, W, 2), to a frame, uint8 (H, W, 3)."""
    color = np.full((*flow.shape[:2], 3), ZERO, np.uint8)
    color[..., :2] = np.rint(ZERO + STEPS * np.sign(flow) * np.sqrt(np.abs(flow).clip(max=FASTEST) / FASTEST))
    return color


def in_pixels(color: Tensor) -> Tensor:
    """Frames of flow, uint8 (..., 3, H, W), to movement to the right and down in pixels, float (..., 2, H, W)."""
    root = (color[..., :2, :, :].float() - ZERO) / STEPS
    return FASTEST * root * root.abs()


def to_the_other_side(color: Tensor) -> Tensor:
    """Frames of flow whose pixels have been mirrored: what moved to the right now moves to the left."""
    color = color.clone()
    color[..., 0, :, :] = (2 * ZERO - color[..., 0, :, :].short()).clamp(max=255)  # only 0 has no opposite
    return color
