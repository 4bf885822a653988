"""Segments of videos: paths that end in a W3C media fragment, such as `clip.mp4#t=10,20`.

A fragment gives seconds from the first frame: `#t=A,B` from A on and before B, `#t=A` to the end, `#t=,B` from the
start. `npt:` may come before the times, and a time may be `mm:ss` or `h:mm:ss`, all with decimals (Media Fragments URI
1.0, 4.2.1). The other dimensions of that standard (xywh, track, id) and its other clocks are refused.
"""

import math
import os
import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from cmpl_zoo.storage.shards import is_address
from cmpl_zoo.video.errors import VideoError

# A time in decimals and the timestamp that it means may differ by this as floating-point numbers, in seconds.
FLOAT_SLACK = 1e-6
_FRAGMENT = re.compile(r"(?P<file>.+)#(?P<fragment>(t|xywh|track|id)=[^#]*)", re.DOTALL)
_TIME = r"(?:\d+|(?:\d+:)?[0-5]?\d:[0-5]\d)(?:\.\d*)?"
_TIMES = re.compile(rf"t=(?:npt:)?(?P<start>{_TIME})?(?:,(?P<end>{_TIME}))?", re.ASCII)


@dataclass(frozen=True)
class Segment:
    """A part of a video: the frames whose timestamps are at least `start` and below `end`.

    Attributes:
        start: seconds from the first frame of the file.
        end: likewise, above `start`; None for the end of the file.

    Raises:
        ValueError: a time is negative or no finite number, or the start is not before the end.
    """

    start: float
    end: float | None = None

    def __post_init__(self) -> None:
        for name, time in (("start", self.start), ("end", self.end)):
            if time is not None and not 0 <= time < math.inf:
                raise ValueError(f"the {name} of a segment must be a number of seconds from 0 on, not {time:g}")
        if self.end is not None and self.end <= self.start:
            raise ValueError(f"a segment must start before it ends, not be from {self.start:g} to {self.end:g} s")

    def overlaps(self, other: "Segment") -> bool:
        """Whether both have some time in common."""
        return (other.end is None or self.start < other.end) and (self.end is None or other.start < self.end)


def split_fragment(path: str) -> tuple[str, Segment | None]:
    """The file that a path names, and the segment of it; None for all of the file.

    A file (or folder) that exists under the whole name is that file, as is the address of a video in a shard.

    Raises:
        VideoError: the fragment is malformed, or its start is not before its end.
    """
    match = _FRAGMENT.fullmatch(path) if "#" in path else None
    if match is None or is_address(path) or os.path.exists(path):
        return path, None
    file, fragment = match["file"], match["fragment"]
    times = _TIMES.fullmatch(fragment)
    if times is None or times["start"] is times["end"] is None:
        others = [dimension.partition("=")[0] for dimension in fragment.split("&")]
        unknown = next((name for name in others if name != "t"), "")
        cause = f"{unknown!r} cannot be read" if unknown else f"#{fragment} is no segment in time"
        raise VideoError(
            f"{path}: {cause}; there is no file of this name, and a segment is written {file}#t=10,20 in seconds, or "
            "#t=1:02:03,1:02:10"
        )
    try:
        return file, Segment(_seconds(times["start"] or "0"), _seconds(times["end"]) if times["end"] else None)
    except ValueError as error:
        raise VideoError(f"{path}: {error}; correct its times") from error


def with_fragment(path: str, start: float | None, end: float | None) -> str:
    """The path of a segment of a file; the file itself if the segment is all of it. The same segment has one path.

    Args:
        path: of the file, without a fragment.
        start: see `Segment`; None is 0.
        end: see `Segment`.

    Raises:
        ValueError: as `Segment`.
    """
    segment = Segment(start or 0.0, end)
    if segment.end is None:
        return f"{path}#t={_decimal(segment.start)}" if segment.start else path
    return f"{path}#t={_decimal(segment.start)},{_decimal(segment.end)}"


def recording_of(path: str) -> str:
    """The path of the file that a video or a segment is read from; raises a `VideoError` as `split_fragment`."""
    return split_fragment(path)[0]


def frames_in_segment(path: str, segment: Segment, timestamps: Sequence[float] | None) -> range:
    """Indices in a file of the frames in a segment, at least one.

    Args:
        path: of the segment, for messages.
        segment: of the file.
        timestamps: of all frames of the file, in seconds from the first one, increasing; None if it has none.

    Raises:
        VideoError: the file has no timestamps, or no frame is in the segment.
    """
    if timestamps is None:
        raise VideoError(f"{path}: the file does not tell when its frames are shown; read it without a segment")
    start = bisect_left(timestamps, segment.start - FLOAT_SLACK)
    stop = len(timestamps) if segment.end is None else bisect_left(timestamps, segment.end - FLOAT_SLACK)
    if start == len(timestamps):
        raise VideoError(
            f"{path}: the segment starts after the last frame of the file, which is at {timestamps[-1]:.3f} s; correct "
            "its times"
        )
    if start >= stop:
        before, after = timestamps[max(0, start - 1)], timestamps[start]
        raise VideoError(
            f"{path}: the segment is between two frames, at {before:.3f} and {after:.3f} s; make it longer"
        )
    return range(start, stop)


def _seconds(text: str) -> float:
    """A time of a fragment in seconds: h:mm:ss, mm:ss or ss, with decimals."""
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def _decimal(seconds: float) -> str:
    """The shortest decimal number that is read as this one, without an exponent."""
    text = format(Decimal(repr(float(seconds))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
