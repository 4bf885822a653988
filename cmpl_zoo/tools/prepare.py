"""Preparing the videos of a list for training: small copies, as players show them, without sound."""

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import TypedDict

import av
from av.error import FFmpegError

from cmpl_zoo._files import atomic_write
from cmpl_zoo.datasets.lists import VideoList
from cmpl_zoo.tools.copies import Copies, make_copies
from cmpl_zoo.tools.frame_converter import FrameConverter, deinterlaced
from cmpl_zoo.tools.journal import cause_of
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.segments import split_fragment
from cmpl_zoo.video.shown import is_as_shown
from cmpl_zoo.video.video import Video

KEPT_BY_PREPARE = ("encoded", "copied")  # verdicts
# Seven B-frames between others, to which no frame refers, so that a clip is read without those that it does not need;
# and x264's tuning for fast decoding (no arithmetic coding, no deblocking): benchmarks/README.md has what they cost and
# save. a53cc=0 drops captions of the source.
X264_OPTIONS = {
    "bf": "7",
    "b_strategy": "0",
    "b-pyramid": "none",
    "tune": "fastdecode",
    "sc_threshold": "0",
    "a53cc": "0",
    "threads": "1",
}
# x264 gives more bits to frames that are shown longer. In training all frames count the same, so they are encoded at a
# constant rate, whatever the timestamps of the file.
ENCODER_RATE = 25  # frames per second
MPEG_CLOCK = Fraction(1, 90_000)  # seconds; finer timestamps are rounded to it


@dataclass(frozen=True)
class PrepareSettings:
    """The properties of the copies.

    Attributes:
        max_short_side: largest short side in pixels; smaller videos are not enlarged.
        gop: frames from a keyframe to the next.
        crf: x264's constant rate factor, 0 (lossless) to 51 (worst).
        copy: copy files unchanged that already have these properties; segments are encoded in any case.

    Raises:
        ValueError: a value is out of range.
    """

    max_short_side: int
    gop: int
    crf: int = 23
    copy: bool = False

    def __post_init__(self) -> None:
        if self.max_short_side < 2:
            raise ValueError(f"--max-short-side must be at least 2 pixels, not {self.max_short_side}")
        if self.gop < 1:
            raise ValueError(f"--gop must be at least 1, not {self.gop}")
        if not 0 <= self.crf <= 51:
            raise ValueError(f"--crf must be from 0 (lossless) to 51 (worst), not {self.crf}")


class PrepareRow(TypedDict, total=False):
    """A row of the report, without `path`; a value is None or missing if it is not known.

    Attributes:
        verdict: `encoded`, `copied`, `unreadable` (no frame decodes) or `failed` (the frames cannot be encoded).
        cause: the reason for the last two, or why an encoded video ended early; else "" or missing.
        frames: number of frames of the copy.
        bytes_before: size of the video file, or of the files of a folder, in bytes; not known of a segment.
        bytes_after: size of the copy, in bytes.
        seconds: time that the copy took.
    """

    verdict: str
    cause: str
    frames: int
    bytes_before: int | None
    bytes_after: int
    seconds: float


PREPARE_COLUMNS = ("path", *PrepareRow.__annotations__)


def prepare(
    video_list: VideoList,
    root: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: PrepareSettings,
    *,
    workers: int,
) -> tuple[bool, str]:
    """Make a copy of every video of a list: an MP4 file with the same relative path in another folder.

    The copy of a segment has its seconds in its name, such as `clip_10.000-20.000.mp4`. A video that breaks off is
    kept, with the frames that decode. `report.csv` has one row per video; the list of the copies has all columns of the
    old list, but in place of `start` and `end` of segments a column `recording`, with the path of the file. A run that
    was killed continues after the last row of its report.

    Args:
        video_list: the list, read with `root`.
        root: folder that its paths are relative to.
        output: folder for the copies, the report and the list of the copies, which has the file name of the old list.
        settings: the properties of the copies.
        workers: number of worker processes, of one thread each.

    Returns:
        Whether all videos have a copy, and a summary in one line.

    Raises:
        ListError: two videos would have the same copy, a video is outside the root, or the root is a shard set.
        ValueError: an argument is out of range, a copy would overwrite a file, or `output` holds the copies of another
            list or with other settings.
        RuntimeError: this build of PyAV has no libx264.
        OSError: the copies cannot be written.
    """
    if workers < 1:
        raise ValueError(f"--workers must be at least 1, not {workers}")
    if "libx264" not in av.codecs_available:
        raise RuntimeError("this build of PyAV has no libx264 encoder; `pip install av` installs one that has it")
    kind = Copies("prepare", asdict(settings), PREPARE_COLUMNS, KEPT_BY_PREPARE)
    make = partial(prepare_video, settings=settings)
    return make_copies(video_list, root, output, kind, make, workers, partial(_copy_rows, video_list, root))


def _copy_rows(video_list: VideoList, root: str | os.PathLike[str], targets: list[str]) -> list[dict[str, str]]:
    """The rows of the list of the copies."""
    rows = [row | {"path": target} for row, target in zip(video_list.rows, targets, strict=True)]
    files = [split_fragment(path) for path in video_list.paths]
    if any(segment for _, segment in files):
        for row, (file, _) in zip(rows, files, strict=True):
            row.pop("start", None)
            row.pop("end", None)
            row["recording"] = row.get("recording") or os.path.relpath(file, root)
    return rows


def prepare_video(
    path: str, target: str, settings: PrepareSettings, alive: Callable[[], None] = lambda: None
) -> PrepareRow:
    """Make the copy of one video; it is written atomically.

    Args:
        path: video file, GIF, or folder of frames, or a segment of a file.
        target: path of the copy; its folders are created.
        settings: the properties of the copy.
        alive: called once per frame.

    Returns:
        The row of the report.

    Raises:
        OSError: the copy cannot be written, for example because the disk is full.
    """
    start = time.monotonic()
    row: PrepareRow = {"bytes_before": _size_in_bytes(path)}
    try:
        with Video(path) as video:
            if settings.copy and not video.segment and (frames := _count_if_prepared(video, settings, alive)):
                with atomic_write(target) as temporary:
                    shutil.copyfile(path, temporary)
                row |= {"verdict": "copied", "frames": frames}
            else:
                frames, cause = _encode(video, target, settings, alive)
                row |= {"verdict": "encoded", "frames": frames, "cause": cause}
            row["bytes_after"] = os.path.getsize(target)
    except VideoError as error:
        row |= {"verdict": "unreadable", "cause": cause_of(error, path)}
    except FFmpegError as error:
        if isinstance(error, OSError) and error.errno:
            raise _write_error(target, error) from error
        row |= {"verdict": "failed", "cause": f"cannot be encoded: {error}".splitlines()[0]}
    except OSError as error:
        raise _write_error(target, error) from error
    return {**row, "seconds": round(time.monotonic() - start, 3)}


def _count_if_prepared(video: Video, settings: PrepareSettings, alive: Callable[[], None]) -> int:
    """The number of frames, if the file is undamaged and already has the properties of a copy; else 0."""
    container = video.container
    if container is None or "mp4" not in container.format.name or len(container.streams) > 1:
        return 0
    stream, codec = video.stream, video.stream.codec_context
    keys = [index for index, entry in enumerate(stream.index_entries) if entry.is_keyframe]
    gaps = [b - a for a, b in pairwise([*keys, len(stream.index_entries)])]
    if (
        (codec.name, codec.pix_fmt) != ("h264", "yuv420p")
        or min(codec.width, codec.height) > settings.max_short_side
        or max(gaps, default=settings.gop + 1) > settings.gop
    ):
        return 0
    frames = 0
    for frame in video.decode():
        if frame.is_corrupt or not is_as_shown(frame, video.pixel_shape):
            return 0
        frames += 1
        alive()
    return frames if not video.decode_error and frames == video.num_frames else 0


def _encode(video: Video, target: str, settings: PrepareSettings, alive: Callable[[], None]) -> tuple[int, str]:
    """Encode all frames; returns their number, and the error that ended the video early, "" for none."""
    frames = deinterlaced(video.decode(alive))
    first = next(frames)  # raises before the file is created
    converter = FrameConverter(first, settings.max_short_side, video.pixel_shape)
    clock = _Clock(video)
    options = X264_OPTIONS | {"crf": str(settings.crf), "g": str(settings.gop), "keyint_min": str(settings.gop)}
    with (
        atomic_write(target) as temporary,
        av.open(f"file:{temporary}", "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        stream = container.add_stream("libx264", rate=ENCODER_RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = converter.width, converter.height, "yuv420p"
        stream.time_base = clock.base
        times: list[int] = []

        def mux(packets: list[av.Packet]) -> None:
            for packet in packets:
                assert packet.pts is not None and packet.dts is not None
                # B-frames are decoded after a later frame, so decoding begins a step before the first frame is shown.
                packet.dts = times[packet.dts] if packet.dts >= 0 else packet.dts * clock.step
                packet.pts = times[packet.pts]
                packet.duration, packet.time_base = clock.step, clock.base
                container.mux(packet)

        frame: av.VideoFrame | None = first
        while frame is not None:
            times.append(clock.time(frame.pts))
            converted = converter(frame)
            if len(times) == 1:
                stream.codec_context.color_range = converted.color_range
                stream.codec_context.colorspace = converted.colorspace
                stream.codec_context.color_primaries = converted.color_primaries
                stream.codec_context.color_trc = converted.color_trc
            converted.pts, converted.time_base = len(times) - 1, Fraction(1, ENCODER_RATE)
            converted.pict_type = 0  # else the keyframes of the source become keyframes of the copy
            mux(stream.encode(converted))
            alive()
            frame = next(frames, None)
        mux(stream.encode())
    cause = f"{video.decode_error}, after {len(times)} frames" if video.decode_error else ""
    return len(times), cause


class _Clock:
    """The timestamps of the copy, from 0, strictly increasing.

    They are those of the source if these increase. A frame without a timestamp, or with one that does not increase,
    comes one step of the average rate after the frame before it. A folder of images has 25 frames per second (our
    choice).

    Attributes:
        base: unit of the timestamps, in seconds.
        step: one step of the average rate, in this unit.
    """

    def __init__(self, video: Video) -> None:
        self.base, self.source_base = Fraction(1, 25), Fraction(1, 25)
        rate: Fraction | None = None
        if video.container is not None:
            self.source_base = video.stream.time_base or MPEG_CLOCK
            self.base = max(self.source_base, MPEG_CLOCK)
            # The guessed rate uses the codec too: an average of wrong timestamps is wrong.
            rate = video.stream.guessed_rate or video.stream.average_rate
        self.step = max(1, round(1 / ((rate or 25) * self.base)))
        self.first: int | None = None
        self.last = -self.step

    def time(self, pts: int | None) -> int:
        """Timestamp in the copy of the next frame, whose timestamp in the source is `pts`."""
        if self.first is None:
            self.first = pts or 0
        time = None if pts is None else round((pts - self.first) * self.source_base / self.base)
        self.last = time if time is not None and time > self.last else self.last + self.step
        return self.last


def _write_error(target: str, error: OSError) -> OSError:
    return OSError(
        f"{target}: cannot be written: {error.strerror or error}; correct that, and the same command continues"
    )


def _size_in_bytes(path: str) -> int | None:
    """Size of a file, or of the files of a folder."""
    with suppress(OSError):
        return sum(entry.stat().st_size for entry in os.scandir(path)) if os.path.isdir(path) else os.path.getsize(path)
    return None
