"""Small pictures of videos for a page: frames, strips of frames, and pictures as text."""

import base64
import io
import os
from collections.abc import Sequence

import numpy as np
from PIL import Image
from torch import Tensor

from cmpl_zoo.video.sampling import uniform_spread
from cmpl_zoo.video.video import Video

WIDEST = 2  # times the height: a wider picture, as of a panorama, is made lower; our choice
GAP = 2  # pixels between the frames of a strip


def frames_of(path: str | os.PathLike[str], count: int, height: int) -> list[Image.Image]:
    """Frames that are spread evenly over a video: the middle one of each of `count` equal parts.

    Args:
        path: of a video or a segment of one, as `Video` takes it.
        count: how many frames, at least 1. A video of fewer frames gives some of them twice.
        height: of a picture in pixels; pictures keep the shape of the video, and are lower where they would be wider
            than twice that.

    Raises:
        VideoError: the video cannot be read.
        StorageError: the shard that it is in cannot be read.
    """
    with Video(path) as video:
        [indices] = uniform_spread(video.num_frames, count, 1)
        return [Image.fromarray(frame.numpy()).resize(_fitted(frame, height)) for frame in video.read(indices)]


def clip_frames(clip: Tensor, count: int, height: int) -> list[Image.Image]:
    """Frames that are spread evenly over a clip, uint8 (3, frames, height, width), enlarged or reduced to a height."""
    frames = clip.permute(1, 2, 3, 0)
    [indices] = uniform_spread(len(frames), min(count, len(frames)), 1)
    return [
        Image.fromarray(np.ascontiguousarray(frame.numpy())).resize(_fitted(frame, height)) for frame in frames[indices]
    ]


def strip(images: Sequence[Image.Image]) -> Image.Image:
    """Pictures side by side, in one."""
    width = sum(image.width for image in images) + GAP * (len(images) - 1)
    joined = Image.new("RGB", (width, max(image.height for image in images)), (128, 128, 128))
    left = 0
    for image in images:
        joined.paste(image, (left, 0))
        left += image.width + GAP
    return joined


def data_uri(image: Image.Image, quality: int) -> str:
    """A picture as a `data:` address, which holds all of it: the page needs no other file.

    Args:
        image: the picture.
        quality: of the JPEG, from 1 to 95.
    """
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def _fitted(frame: Tensor, height: int) -> tuple[int, int]:
    """Width and height of the picture of a frame (height, width, 3)."""
    scale = min(height / frame.shape[0], WIDEST * height / frame.shape[1])
    return max(1, round(scale * frame.shape[1])), max(1, round(scale * frame.shape[0]))
