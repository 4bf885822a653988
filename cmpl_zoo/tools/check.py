"""What is wrong with the videos of a list: every one decoded from end to end, and the list without the bad ones."""

import os
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from itertools import pairwise
from statistics import median
from typing import Any

from cmpl_zoo.datasets.lists import VideoList
from cmpl_zoo.tools.journal import Journal
from cmpl_zoo.video.video import Video, VideoError, orientation

KEPT = ("ok", "odd")
COLUMNS = ("path", "verdict", "cause", "stated_frames", "frames", "fps", "width", "height", "codec", "longest_gop")


def check(
    video_list: VideoList,
    root: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    workers: int,
    min_frames: int = 8,
) -> tuple[bool, str]:
    """Decode every video of a list; write `report.csv` and the list without those that are left out.

    The verdicts: `ok`; `odd`, kept (see `examine`); and left out of the list `unreadable`, `truncated` and
    `too short`. A run that was killed goes on after the last row of its report.

    Args:
        video_list: the list, read with `root`.
        root: folder that its paths are relative to.
        output: folder for `report.csv` and the list that is left, under the name of the list.
        workers: processes that decode, one thread each.
        min_frames: a video with fewer is `too short`.

    Returns:
        Whether all videos were kept, and one line that sums up.

    Raises:
        ValueError: an argument is out of range, or `output` holds the report of another list or other options.
        OSError: the report cannot be written.
    """
    for name, value in (("--workers", workers), ("--min-frames", min_frames)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
    with Journal(output, video_list, root, "check", {"min_frames": min_frames}, COLUMNS) as report:
        report.complete(partial(examine, min_frames=min_frames), video_list.paths, workers)
        summary = report.conclude(KEPT)
        return all(verdict in KEPT for verdict in report.verdicts), summary


def examine(path: str, alive: Callable[[], None] = lambda: None, *, min_frames: int = 8) -> dict[str, Any]:
    """Decode one video from end to end.

    Args:
        path: video file, GIF, or folder of frames.
        alive: called once a frame.
        min_frames: fewer are `too short`.

    Returns:
        The columns of the report but `path`: `verdict` and `cause`, both text; `stated_frames` as the file states
        them; `frames` that decode; `fps` by their timestamps; `width` and `height` in pixels, as shown; `codec`;
        `longest_gop`, the largest number of frames from a keyframe to before the next. None or absent where the
        file does not tell. `odd` are a rate that varies, timestamps that are missing or do not rise, display rotation
        or mirroring, no duration or number of frames in the header, more frames than it states, another size
        mid-way, and pictures that the decoder had to mend.
    """
    try:
        with Video(path) as video:
            return _judge(video, alive, min_frames)
    except VideoError as error:
        return {"verdict": "unreadable", "cause": str(error).removeprefix(f"{path}: ")}


def _judge(video: Video, alive: Callable[[], None], min_frames: int) -> dict[str, Any]:
    is_file = video.container is not None
    stated, indexed = None, None
    if is_file and video.container.format.name == "avi":  # type: ignore[union-attr]
        # The header counts the places of frames that were dropped, too. The index, at the end, a cut file has lost.
        stated, indexed = video.stream.frames or None, len(video.stream.index_entries)
    elif not is_file or video.stream.frames:
        stated = video.num_frames
    times: list[int | None] = []
    keys: list[int] = []
    sizes: dict[tuple[int, int], int] = {}
    mended = 0
    turned = (False, False, False)
    for place, frame in enumerate(video.decode()):
        if place == 0:
            turned = orientation(frame)
        times.append(frame.pts)
        sizes.setdefault((frame.width, frame.height), place)
        mended += frame.is_corrupt
        if frame.key_frame:
            keys.append(place)
        alive()

    frames = len(times)
    first_size = next(iter(sizes))
    row: dict[str, Any] = {"stated_frames": stated, "frames": frames}
    row["width"], row["height"] = reversed(first_size) if turned[0] else first_size
    oddities = []
    if is_file:
        row["codec"] = video.stream.codec_context.codec.canonical_name
        row["longest_gop"] = max(b - a for a, b in pairwise([*keys, frames])) if keys else frames
        rate, remark = _rate(times, video.stream.time_base or Fraction(1), video.stream.guessed_rate)
        row["fps"] = rate and round(rate, 3)
        oddities = [
            remark,
            "rotated or mirrored" if any(turned) else "",
            "no duration in the header" if video.container.duration is None else "",  # type: ignore[union-attr]
            "no number of frames in the header" if stated is None else "",
            f"the header states {stated} frames" if stated and stated != frames else "",
            *(f"{w}x{h} from frame {place} on" for (w, h), place in list(sizes.items())[1:]),
            f"{mended} damaged pictures, mended by the decoder" if mended else "",
        ]
    oddity = "; ".join(filter(None, oddities))
    if video.decode_error:
        row |= {"verdict": "truncated", "cause": f"{video.decode_error}, after {frames} frames"}
    elif stated and frames < stated and frames != indexed:
        row |= {"verdict": "truncated", "cause": f"ends after {frames} of {stated} frames"}
    elif frames < min_frames:
        row |= {"verdict": "too short", "cause": f"{frames} frames, fewer than {min_frames}"}
    else:
        row |= {"verdict": "odd" if oddity else "ok", "cause": oddity}
    return row


def _rate(times: Sequence[int | None], time_base: Fraction, guess: Fraction | None) -> tuple[float | None, str]:
    """Frames a second, and what is odd about the timestamps, "" where nothing is.

    A rate varies where a step is off the median by more than a tenth and more than a millisecond, to which some
    containers round (our choice).
    """
    known = [time for time in times if time is not None]
    steps = [b - a for a, b in pairwise(known)]
    fallback = float(guess) if guess else None
    if len(known) < len(times):
        return fallback, f"{len(times) - len(known)} frames without a timestamp"
    if not steps:
        return fallback, ""
    if min(steps) <= 0:
        return fallback, "timestamps that do not rise"
    typical = median(steps)
    tolerance = max(typical / 10, 0.001 / float(time_base))
    rate = float(len(steps) / (sum(steps) * time_base))
    if max(abs(step - typical) for step in steps) > tolerance:
        low, high = (float(1000 * step * time_base) for step in (min(steps), max(steps)))
        return rate, f"variable frame rate (steps of {low:.0f} to {high:.0f} ms)"
    return rate, ""
