"""Checking the videos of a list: decodes each from start to end, and writes a report and the list of usable ones."""

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from itertools import pairwise
from statistics import median
from typing import TypedDict

from cmpl_zoo.datasets.lists import VideoList
from cmpl_zoo.tools.journal import Journal, cause_of
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.shown import BT709, hdr_transfer, nearest_matrix, orientation, shown_size
from cmpl_zoo.video.video import Video

KEPT_BY_CHECK = ("ok", "odd")  # verdicts
NO_TIMES = "so the rate is the codec's"  # part of the cause where timestamps do not tell time


class CheckRow(TypedDict, total=False):
    """A row of the report, without `path`; a value is None or missing if the file does not tell.

    Attributes:
        verdict: `ok`, `odd`, `unreadable`, `truncated` or `too short`.
        cause: the reason for it, in words; "" if `ok`.
        stated_frames: number of frames as the file states it; of a segment, by the timestamps.
        frames: number of frames that decode.
        fps: frames per second, by the timestamps.
        width: in pixels, as shown: with square pixels, after display rotation.
        height: in pixels, as shown.
        codec: FFmpeg's name of the codec.
        longest_gop: largest number of frames from a keyframe to the one before the next keyframe.
    """

    verdict: str
    cause: str
    stated_frames: int | None
    frames: int
    fps: float | None
    width: int
    height: int
    codec: str
    longest_gop: int


CHECK_COLUMNS = ("path", *CheckRow.__annotations__)


def check(
    video_list: VideoList,
    root: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    workers: int,
    min_frames: int = 8,
) -> tuple[bool, str]:
    """Decode every video of a list; write `report.csv` and a new list of the videos to keep.

    Videos with the verdicts `ok` and `odd` (see `examine`) are kept; `unreadable`, `truncated` and `too short` ones are
    left out. A run that was killed continues after the last row of its report.

    Args:
        video_list: the list, read with `root`.
        root: folder that its paths are relative to.
        output: folder for `report.csv` and the new list, which has the file name of the old one.
        workers: number of worker processes, of one thread each.
        min_frames: a video with fewer frames is `too short`.

    Returns:
        Whether all videos are kept, and a summary in one line.

    Raises:
        ValueError: an argument is out of range, or `output` holds the report of another list or of other options.
        OSError: the report cannot be written.
    """
    for name, value in (("--workers", workers), ("--min-frames", min_frames)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    with Journal(output, video_list, root, "check", {"min_frames": min_frames}, CHECK_COLUMNS) as journal:
        journal.complete(partial(examine, min_frames=min_frames), video_list.paths, workers)
        summary = journal.conclude(KEPT_BY_CHECK)
        return all(verdict in KEPT_BY_CHECK for verdict in journal.verdicts), summary


def examine(path: str, alive: Callable[[], None] = lambda: None, *, min_frames: int = 8) -> CheckRow:
    """Decode one video from start to end.

    A video is `odd` if its frame rate varies, timestamps are missing or do not increase, it has display rotation or
    mirroring, its pixels are not square, it is interlaced or in HDR, its colors are of a matrix that FFmpeg's scaler
    does not know, it starts between two keyframes, its header has no duration or no number of frames or states fewer
    frames than decode, its size changes, or the decoder had to repair frames.

    Args:
        path: video file, GIF, or folder of frames; of a segment, only its frames are decoded and judged.
        alive: called once per frame.
        min_frames: a video with fewer frames is `too short`.

    Returns:
        The row of the report.

    Raises:
        StorageError: the shard that holds the video cannot be read.
    """
    try:
        with Video(path) as video:
            return _examine(video, alive, min_frames)
    except VideoError as error:
        return {"verdict": "unreadable", "cause": cause_of(error, path)}


def _examine(video: Video, alive: Callable[[], None], min_frames: int) -> CheckRow:
    is_file = video.container is not None
    stated, indexed = None, None
    lost = 0 if video.segment else video.lost_at_start
    if video.segment:
        stated = video.num_frames
    elif is_file and video.container.format.name == "avi":  # type: ignore[union-attr]
        # The number in the header includes dropped frames. The index does not, but is at the end: a cut file lacks it.
        stated, indexed = video.stream.frames or None, len(video.stream.index_entries)
    elif not is_file or video.stream.frames:
        stated = video.num_frames + lost
    times: list[int | None] = []
    keys: list[int] = []
    sizes: dict[tuple[int, int], int] = {}
    repaired = interlaced = 0
    orientation_flags, transfer, colors = (False, False, False), "", ""
    for index, frame in enumerate(video.decode(alive)):
        if index == 0:
            orientation_flags, transfer = orientation(frame), hdr_transfer(frame)
            if (nearest := nearest_matrix(frame)) != int(frame.colorspace):
                read_as = "BT.709" if nearest == BT709 else "BT.2020"
                colors = f"colors of matrix {int(frame.colorspace)} of ITU-T H.273, read as {read_as}"
        times.append(frame.pts)
        sizes.setdefault((frame.width, frame.height), index)
        repaired += frame.is_corrupt
        interlaced += frame.interlaced_frame
        if frame.key_frame:
            keys.append(index)
        alive()

    frames = len(times)
    first_size = next(iter(sizes))
    row: CheckRow = {"stated_frames": stated, "frames": frames}
    pixel = video.pixel_shape
    size = shown_size(*first_size, pixel)
    row["width"], row["height"] = reversed(size) if orientation_flags[0] else size
    oddities = []
    if is_file:
        row["codec"] = video.stream.codec_context.codec.canonical_name
        row["longest_gop"] = max(b - a for a, b in pairwise([*keys, frames])) if keys else frames
        rate, rate_oddity = _rate(times, video.stream.time_base or Fraction(1))
        if not video.timed:
            rate, rate_oddity = None, f"{rate_oddity or 'timestamps that tell no time'}, {NO_TIMES}"
        rate = rate or video.fps
        row["fps"] = rate and round(rate, 3)
        oddities = [
            rate_oddity,
            "rotated or mirrored" if any(orientation_flags) else "",
            f"pixels of {pixel.numerator}:{pixel.denominator}, not square" if pixel != 1 else "",
            f"{interlaced} interlaced frames" if interlaced else "",
            f"HDR ({transfer})" if transfer else "",
            colors,
            f"starts between two keyframes: {lost} frames without what they are predicted from" if lost else "",
            "no duration in the header" if video.container.duration is None else "",  # type: ignore[union-attr]
            "no number of frames in the header" if stated is None else "",
            f"the header states {stated} frames" if stated and stated != frames else "",
            *(f"{w}x{h} from frame {index} on" for (w, h), index in list(sizes.items())[1:]),
            f"{repaired} damaged frames, repaired by the decoder" if repaired else "",
        ]
    oddity = "; ".join(filter(None, oddities))
    if video.decode_error:
        row |= {"verdict": "truncated", "cause": f"{video.decode_error}, after {frames} frames"}
    elif stated and frames + lost < stated and frames != indexed:
        row |= {"verdict": "truncated", "cause": f"ends after {frames} of {stated} frames"}
    elif frames < min_frames:
        row |= {"verdict": "too short", "cause": f"{frames} frames, fewer than {min_frames}"}
    else:
        row |= {"verdict": "odd" if oddity else "ok", "cause": oddity}
    return row


def _rate(times: Sequence[int | None], time_base: Fraction) -> tuple[float | None, str]:
    """Frames per second by the timestamps, None if they do not tell, and what is odd about them, "" for nothing.

    The rate varies if a step between two frames differs from the median step by more than a tenth, and by more than a
    millisecond, to which some containers round (our choice).
    """
    known = [time for time in times if time is not None]
    steps = [b - a for a, b in pairwise(known)]
    if len(known) < len(times):
        return None, f"{len(times) - len(known)} frames without a timestamp"
    if not steps:
        return None, ""
    if min(steps) <= 0:
        return None, "timestamps that do not increase"
    typical = median(steps)
    tolerance = max(typical / 10, 0.001 / float(time_base))
    rate = float(len(steps) / (sum(steps) * time_base))
    if max(abs(step - typical) for step in steps) > tolerance:
        low, high = (float(1000 * step * time_base) for step in (min(steps), max(steps)))
        return rate, f"variable frame rate (steps of {low:.0f} to {high:.0f} ms)"
    return rate, ""
