"""How long the videos of a list are and at which frame rate they were taken, judged by some of them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from cmpl_zoo.records import TypicalVideo
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.sampling import evenly
from cmpl_zoo.video.video import Video

MOST_VIDEOS = 100  # to look at, from all over a list; our choice


@dataclass(frozen=True)
class Length:
    """Of a video.

    Attributes:
        frames: their number.
        fps: frames per second, None where there is none, as for a folder of pictures.
        timed: the rate is that of timestamps, not only stated.
    """

    frames: int
    fps: float | None
    timed: bool = True

    def spans(self, frames: int, stride: int, fps: float | None) -> bool:
        """Whether a clip of that many frames fits without a loop; `stride` and `fps` as in `load_clip`."""
        per_tick = self.fps / fps if self.fps and fps else 1
        return self.frames - 1e-6 > (frames - 1) * stride * per_tick


def lengths(paths: Sequence[str]) -> list[Length]:
    """Of the readable ones among up to `MOST_VIDEOS` videos, taken evenly from a list.

    Raises:
        StorageError: the shards that the videos are in cannot be read.
    """
    found = []
    for index in evenly(len(paths), MOST_VIDEOS):
        try:
            with Video(paths[index]) as video:
                found.append(Length(video.num_frames, video.fps, video.timed))
        except VideoError:
            pass  # whoever reads it says so
    return found


def typical(found: Sequence[Length]) -> TypicalVideo:
    """The medians of some videos, at least one."""
    result: TypicalVideo = {"frames": round(statistics.median(video.frames for video in found))}
    if rates := [video.fps for video in found if video.fps]:
        result["fps"] = round(statistics.median(rates), 3)
    return result
