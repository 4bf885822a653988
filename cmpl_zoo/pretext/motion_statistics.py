"""Where motion boundaries are largest, and their directions, as the task `motion` counts them."""

from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCKS, DIRECTIONS = (16, 4, 8), 8  # blocks of the three patterns


def statistics(flow: Tensor) -> Tensor:
    """The 14 numbers of a clip, counted from 1.

    Of each pattern the block and the direction of the horizontal flow and those of the vertical one, and at last the
    frames of both. Directions are clockwise, 45 degrees apart, from the right.

    Args:
        flow: in pixels, (T, 2, size, size).

    Returns:
        int64 (14,).
    """
    gradients = boundaries(flow)
    components = list(zip(*polar(gradients.sum(dim=0)), strict=True))
    pairs = [largest(pattern, *component) for pattern in patterns(flow.shape[-1]) for component in components]
    frames = polar(gradients)[0].sum(dim=(2, 3)).argmax(dim=0)
    return 1 + torch.tensor([*chain.from_iterable(pairs), *frames.tolist()])


def boundaries(flow: Tensor) -> Tensor:
    """Gradients of both components of a flow (T, 2, H, W) to the right and down, by Prewitt: (T, 2, 2, H, W)."""
    to_the_right = torch.tensor([[-1.0, 0, 1]]).expand(3, 3)
    kernels = torch.stack([to_the_right, to_the_right.T])[:, None]
    padded = F.pad(flow, (1, 1, 1, 1), mode="replicate").flatten(0, 1)[:, None]
    return F.conv2d(padded, kernels).unflatten(0, flow.shape[:2])


def polar(gradients: Tensor) -> tuple[Tensor, Tensor]:
    """Length and angle, in eighths of a turn from 0 to 8, of gradients (..., 2, H, W)."""
    right, down = gradients.unbind(dim=-3)
    return torch.hypot(right, down), torch.atan2(down, right) / (torch.pi / 4) % DIRECTIONS


def patterns(size: int) -> list[Tensor]:
    """Which block each pixel is in, from 0, in three ways, int64 (size, size): squares row by row, rings from the
    inside, and triangles between the diagonals and the lines through the center."""
    place = torch.arange(size)
    offset = (2 * place + 1 - size).abs()  # from the center, in halves of a pixel
    squares = 4 * (4 * place // size)[:, None] + 4 * place // size
    rings = 4 * torch.maximum(offset[:, None], offset) // size
    low, right = (2 * place >= size).long()[:, None], (2 * place >= size).long()
    steep = (offset[:, None] > offset).long()
    triangles = 4 * low + 2 * right + (steep ^ right)
    return [squares, rings, triangles]


def largest(pattern: Tensor, strength: Tensor, angle: Tensor) -> tuple[int, int]:
    """The block of the largest mean strength, and the direction that most of its strength has, both from 0."""
    size = torch.bincount(pattern.flatten())
    block = int((torch.bincount(pattern.flatten(), strength.flatten()) / size).argmax())
    strength, angle = strength[pattern == block], angle[pattern == block]
    below, share = angle.long() % DIRECTIONS, angle % 1  # each counts for the two directions that it is between
    votes = torch.bincount(below, strength * (1 - share), DIRECTIONS)
    votes += torch.bincount((below + 1) % DIRECTIONS, strength * share, DIRECTIONS)
    return block, int(votes.argmax())
