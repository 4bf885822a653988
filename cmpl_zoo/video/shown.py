"""How players show the pictures of a video: the shape of its pixels, rotation, colors, interlacing, and HDR."""

from fractions import Fraction
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # by their numbers in ITU-T H.273
BT709, BT2020 = 1, 9  # matrices of colors, by their numbers there
MATRICES = {0, BT709, 2, 3, 4, 5, 6, 7, BT2020}  # that FFmpeg's scaler knows
OF_BT2020 = {10, 13, 14}  # others, of BT.2020's colors
BY_ROTATION = {90: (True, True, False), -90: (True, False, True), 180: (False, True, True), -180: (False, True, True)}


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
    try:
        display: Any = frame.side_data.get("DISPLAYMATRIX")  # a buffer; the stub says object
    except ValueError:  # beside it is something that this PyAV does not know and its FFmpeg does, such as EXIF
        return BY_ROTATION.get(frame.rotation, (False, False, False))
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


class Shape(NamedTuple):
    """The size and orientation in which all frames of a video are shown, those of its first frame.

    Attributes:
        width: in pixels, before rotation.
        height: in pixels, before rotation.
        transposed: and the others, see `orientation`.
        upside_down: flipped vertically.
        mirrored: flipped horizontally.
    """

    width: int
    height: int
    transposed: bool
    upside_down: bool
    mirrored: bool


def shape_of(first: av.VideoFrame, pixel: Fraction) -> Shape:
    """The shape of a video by its first frame and the `pixel_shape` of its stream."""
    return Shape(*shown_size(first.width, first.height, pixel), *orientation(first))


def as_rgb(frame: av.VideoFrame, shape: Shape, reformatter: VideoReformatter) -> np.ndarray:
    """A frame as it is shown, uint8 (height, width, 3); raises an FFmpegError where FFmpeg cannot convert it."""
    frame.colorspace = nearest_matrix(frame)
    rgb = reformatter.reformat(frame, shape.width, shape.height, "rgb24", threads=1).to_ndarray()
    if shape.transposed:
        rgb = rgb.transpose(1, 0, 2)
    return np.ascontiguousarray(rgb[:: -1 if shape.upside_down else 1, :: -1 if shape.mirrored else 1])


def nearest_matrix(frame: av.VideoFrame) -> int:
    """The matrix that a frame's colors are converted by (H.273): its own, or where FFmpeg's scaler has not got that one
    the nearest one that it has (our choice; players differ)."""
    matrix = int(frame.colorspace)
    if matrix in MATRICES:
        return matrix
    return BT2020 if matrix in OF_BT2020 else BT709


def is_as_shown(frame: av.VideoFrame, pixel: Fraction) -> bool:
    """Whether a frame is stored as it is shown: upright, with square pixels, progressive, not in HDR."""
    return pixel == 1 and not any(orientation(frame)) and not frame.interlaced_frame and not hdr_transfer(frame)
