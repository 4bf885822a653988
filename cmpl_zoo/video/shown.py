"""How players show the pictures of a video: the shape of its pixels, rotation, interlacing, and HDR."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.stream import VideoStream

HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # by their numbers in ITU-T H.273


def pixel_shape(stream: VideoStream) -> Fraction:
    """Width of a pixel divided by its height (FFmpeg's sample aspect ratio), as players take it.

    The container's value overrides the codec's. Values beyond 1:4 and 4:1 are mistakes, and those within 2% of 1:1
    come from a size that was rounded, as scalers note it; both count as 1:1 (our choice).
    """
    for ratio in (stream.sample_aspect_ratio, stream.codec_context.sample_aspect_ratio):
        if ratio and Fraction(1, 4) <= ratio <= 4:
            return Fraction(1) if abs(ratio - 1) <= Fraction(1, 50) else ratio
    return Fraction(1)


def shown_size(width: int, height: int, pixel: Fraction) -> tuple[int, int]:
    """Width and height of a picture with square pixels: the side that is too short is enlarged, none is shrunk.

    Args:
        width: in pixels, before rotation.
        height: in pixels, before rotation.
        pixel: see `pixel_shape`.
    """
    if pixel == 1:
        return width, height
    return (round(width * pixel), height) if pixel > 1 else (width, round(height / pixel))


def orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """How a player must show a frame: whether transposed, and after that flipped vertically and horizontally."""
    display: Any = frame.side_data.get("DISPLAYMATRIX")  # a buffer; the stub says object
    if display is None:
        return False, False, False
    # A pixel (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = (int(value) for value in np.frombuffer(display, np.int32)[:5])
    if transposed := abs(b) > abs(a):
        a, d = c, b
    return transposed, d < 0, a < 0


def hdr_transfer(frame: av.VideoFrame) -> str:
    """Name of the transfer function of a frame in HDR, "" if it is not in HDR."""
    return HDR_TRANSFERS.get(int(frame.color_trc), "")


def is_as_shown(frame: av.VideoFrame, pixel: Fraction) -> bool:
    """Whether a frame is stored as it is shown: upright, with square pixels, progressive, not in HDR."""
    return pixel == 1 and not any(orientation(frame)) and not frame.interlaced_frame and not hdr_transfer(frame)
