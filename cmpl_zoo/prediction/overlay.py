"""A copy of a recording with the labels of its bouts drawn into its pictures."""

import os
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.codec import Codec
from av.codec.codec import UnknownCodecError
from PIL import Image, ImageDraw, ImageFont

from cmpl_zoo._files import atomic_write
from cmpl_zoo.prediction.timelines import Bout
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.video import Video

ENCODER = "libx264"
OPTIONS = {"preset": "veryfast", "crf": "23"}
TICK = Fraction(1, 90_000)  # of a second, in which the times of the frames are written


def write_overlay(path: str | os.PathLike[str], bouts: Iterable[Bout], target: str | os.PathLike[str]) -> None:
    """Write a recording as H.264 in an MP4 file, with the label and probability of each bout in its lower left corner.

    Frames are as players show them, at their times; an odd last row or column is cut off, as H.264 needs even sizes.
    Sound is not kept. Letters that Pillow's own font lacks are drawn as boxes.

    Args:
        path: of the recording.
        bouts: of the recording, in order.
        target: the file, which is written atomically.

    Raises:
        VideoError: no frame of the recording can be decoded, or it has no frame rate, as a folder of pictures.
        OSError: the file cannot be written, or FFmpeg has no encoder for H.264.
    """
    check_encoder()
    with Video(path) as video:
        if video.timestamps is None:
            raise VideoError(f"{video.path}: has no frame rate, and labels are drawn at times; give a video file")
        height, width = video.info.height // 2 * 2, video.info.width // 2 * 2
        if not height or not width:
            raise VideoError(f"{video.path}: is a single pixel high or wide, which H.264 cannot hold")
        try:
            with (
                atomic_write(target) as temporary,
                av.open(f"file:{temporary}", "w", format="mp4", options={"movflags": "+faststart"}) as container,
            ):
                stream: Any = container.add_stream(ENCODER, rate=round(video.fps or 25) or 1, options=OPTIONS)
                stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
                stream.codec_context.time_base = TICK
                for frame in _labeled(video, bouts, height, width):
                    container.mux(stream.encode(frame))
                container.mux(stream.encode())
        except OSError as error:
            raise OSError(f"{target}: cannot be written: {error.strerror}; make room, or give another path") from error


def _labeled(video: Video, bouts: Iterable[Bout], height: int, width: int) -> Iterator[av.VideoFrame]:
    """The frames of a video, cut to this size, with their labels and times."""
    times = [video.start + time for time in video.timestamps or []]  # those of the bouts
    coming = iter(bouts)
    bout, label = next(coming, None), None
    first, ticks = None, -1
    for frame, time in zip(video.decode(), times, strict=False):  # a damaged file has fewer frames than times
        first = first or frame
        while bout and bout.end <= time:
            bout, label = next(coming, None), None
        picture = video.as_shown(frame, first).numpy()[:height, :width]
        if bout and bout.start <= time:
            if label is None:
                label = draw_label(f"{bout.label} {bout.probability:.0%}", height, width)
            picture[-label.shape[0] :, : label.shape[1]] = label
        drawn = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
        ticks = max(ticks + 1, round((time - video.start) / TICK))
        drawn.pts, drawn.time_base = ticks, TICK
        yield drawn


def draw_label(text: str, height: int, width: int) -> np.ndarray:
    """White text on black, to be laid over a picture of this size, which it fits into: uint8 RGB."""
    size = max(10, height // 15)
    length = ImageFont.load_default(size).getlength(text)
    font = ImageFont.load_default(min(size, max(1, 0.95 * size * width / length)))
    _, _, right, bottom = font.getbbox(text)
    image = Image.new("RGB", (min(width, round(right) + 4), min(height, round(bottom) + 4)))
    ImageDraw.Draw(image).text((2, 1), text, fill="white", font=font)
    return np.asarray(image)


def check_encoder() -> None:
    """Raise OSError where FFmpeg, as PyAV brings it, cannot encode H.264."""
    try:
        Codec(ENCODER, "w")
    except UnknownCodecError as error:
        raise OSError(f"PyAV's FFmpeg has no encoder {ENCODER}, which overlays need; install PyAV from PyPI") from error
