"""Copies of a list's videos that are made for training: small, upright, silent, with a keyframe never far away."""

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any

import av
from av.error import FFmpegError
from av.filter import Graph
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from cmpl_zoo._files import half_of, whole_or_nothing
from cmpl_zoo.datasets.lists import ListError, VideoList
from cmpl_zoo.storage.shards import is_shard_set
from cmpl_zoo.tools.journal import Journal
from cmpl_zoo.video.video import Video, VideoError, orientation

KEPT = ("encoded", "copied")
COLUMNS = ("path", "verdict", "cause", "frames", "bytes_before", "bytes_after", "seconds")

# No B-frames, and x264's tuning for decoders (no arithmetic coding, no deblocking): benchmarks/README.md has what they
# cost and save. a53cc: captions of the source stay behind.
ENCODER = {"bf": "0", "tune": "fastdecode", "sc_threshold": "0", "a53cc": "0", "threads": "1"}
# x264 gives a frame bits by the time it is shown. Training looks at frames, so that all are encoded as shown equally
# long, whatever the file's timestamps say.
ENCODER_RATE = 25
MPEG_CLOCK = Fraction(1, 90_000)  # seconds; finer timestamps than these are rounded to it


@dataclass(frozen=True)
class Settings:
    """What the copies are like.

    Attributes:
        max_short_side: largest short side, in pixels; smaller videos are not enlarged.
        gop: frames from a keyframe to the next.
        crf: x264's constant rate factor, 0 (lossless) to 51.
        copy: files that are so already are copied as they are.
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


def prepare(
    video_list: VideoList,
    root: str | os.PathLike[str],
    output: str | os.PathLike[str],
    settings: Settings,
    *,
    workers: int,
) -> tuple[bool, str]:
    """Make a copy of every video of a list: an MP4 file under the same relative path in another folder.

    A video whose first frames decode is kept with those. `report.csv` has a row a video; the list of the copies has
    all columns of the list. A run that was killed goes on after the last row of its report.

    Args:
        video_list: the list, read with `root`.
        root: folder that its paths are relative to.
        output: folder for the copies, the report and the list of the copies, under the name of the list.
        settings: what the copies are like.
        workers: processes, one thread each.

    Returns:
        Whether all videos have a copy, and one line that sums up.

    Raises:
        ListError: two videos would have the same copy, or one lies outside the root.
        ValueError: an argument is out of range, a copy would overwrite a video, or `output` holds the copies of
            another list or with other settings.
        RuntimeError: PyAV comes without libx264.
        OSError: the copies cannot be written.
    """
    if workers < 1:
        raise ValueError(f"--workers must be at least 1, not {workers}")
    if "libx264" not in av.codecs_available:
        raise RuntimeError("this build of PyAV has no libx264 to encode with; `pip install av` brings one that has")
    targets = _targets(video_list, root)
    _refuse_overwriting(video_list, output, targets)
    with Journal(output, video_list, root, "prepare", asdict(settings), COLUMNS) as report:
        tasks = [(path, os.path.join(output, target)) for path, target in zip(video_list.paths, targets, strict=True)]
        try:
            report.complete(partial(_prepare_task, settings=settings), tasks, workers)
        finally:
            for _, target in tasks:  # half a copy, where a worker died or an earlier run was killed
                half_of(target).unlink(missing_ok=True)
        summary = report.conclude(KEPT, targets)
        return all(verdict in KEPT for verdict in report.verdicts), summary


def _targets(video_list: VideoList, root: str | os.PathLike[str]) -> list[str]:
    """Where each copy goes, relative to the folder of the copies."""
    if is_shard_set(root):
        raise ListError(f"--root {os.fspath(root)} holds shards, and what prepare copies are files; shard the copies")
    targets: dict[str, int] = {}
    for index, path in enumerate(video_list.paths):
        relative = os.path.relpath(path, root)
        if relative.split(os.sep)[0] in (os.pardir, os.curdir):
            raise ListError(
                f"{video_list.position(index)}: {path} lies outside {root}, so its copy has no place; "
                "give a --root that holds all videos"
            )
        target = (relative if os.path.isdir(path) else os.path.splitext(relative)[0]) + ".mp4"
        if (other := targets.setdefault(target, index)) != index:
            raise ListError(
                f"{video_list.position(index)}: the copy would be {target}, as that of line "
                f"{video_list.lines[other]}; rename one of the two, or delete its line"
            )
    return list(targets)


def _refuse_overwriting(video_list: VideoList, output: str | os.PathLike[str], targets: list[str]) -> None:
    copies = (os.path.join(output, target) for target in targets)
    there = {identity: copy for copy in copies if (identity := _identity(copy))}
    for path in video_list.paths if there else ():
        if copy := there.get(_identity(path) or (0, 0)):
            raise ValueError(f"{copy} would overwrite {path}; give another folder for the copies")
    if there and not os.path.exists(os.path.join(output, "prepare.json")):  # else they are of an earlier start
        raise ValueError(f"{next(iter(there.values()))} is there already; give another folder for the copies")


def _identity(path: str) -> tuple[int, int] | None:
    """What a file is told by, whatever links lead there; None where there is none."""
    with suppress(OSError):
        status = os.stat(path)
        return status.st_dev, status.st_ino
    return None


def _prepare_task(task: tuple[str, str], alive: Callable[[], None], *, settings: Settings) -> dict[str, Any]:
    return prepare_video(*task, settings, alive)


def prepare_video(
    path: str, target: str, settings: Settings, alive: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """Make the copy of one video, whole or not at all.

    Args:
        path: video file, GIF, or folder of frames.
        target: the copy; folders above it are made.
        settings: what it is like.
        alive: called once a frame.

    Returns:
        The columns of the report but `path`: `verdict` is `encoded`, `copied`, `unreadable` (nothing decodes) or
        `failed` (its frames cannot be encoded); `cause` is also what ended a video early that is kept.

    Raises:
        OSError: the copy cannot be written, as on a full disk.
    """
    start = time.monotonic()
    row: dict[str, Any] = {"bytes_before": _bytes(path)}
    try:
        with Video(path) as video:
            if settings.copy and (frames := _fitting_frames(video, settings, alive)):
                with whole_or_nothing(target) as half:
                    shutil.copyfile(path, half)
                row |= {"verdict": "copied", "frames": frames}
            else:
                row |= {"verdict": "encoded", **_encode(video, target, settings, alive)}
            row["bytes_after"] = os.path.getsize(target)
    except VideoError as error:
        row |= {"verdict": "unreadable", "cause": str(error).removeprefix(f"{path}: ")}
    except FFmpegError as error:
        if isinstance(error, OSError) and error.errno:
            raise _unwritable(target, error) from error
        row |= {"verdict": "failed", "cause": f"cannot be encoded: {error}".splitlines()[0]}
    except OSError as error:
        raise _unwritable(target, error) from error
    return {**row, "seconds": round(time.monotonic() - start, 3)}


def _fitting_frames(video: Video, settings: Settings, alive: Callable[[], None]) -> int:
    """The number of frames of a file that is already as its copy should be, and whole; else 0."""
    container = video.container
    if container is None or "mp4" not in container.format.name or len(container.streams) > 1:
        return 0
    stream, codec = video.stream, video.stream.codec_context
    keys = [place for place, entry in enumerate(stream.index_entries) if entry.is_keyframe]
    gaps = [b - a for a, b in pairwise([*keys, len(stream.index_entries)])]
    if (
        (codec.name, codec.pix_fmt) != ("h264", "yuv420p")
        or min(codec.width, codec.height) > settings.max_short_side
        or max(gaps, default=settings.gop + 1) > settings.gop
    ):
        return 0
    frames = 0
    for frame in video.decode():
        if frame.is_corrupt or (frames == 0 and any(orientation(frame))):
            return 0
        frames += 1
        alive()
    return frames if not video.decode_error and frames == video.num_frames else 0


def _encode(video: Video, target: str, settings: Settings, alive: Callable[[], None]) -> dict[str, Any]:
    """Encode every frame; returns how many there are, and what ended them early."""
    frames = video.decode()
    first = next(frames)  # raises before a file is made
    upright = _Upright(first, settings.max_short_side)
    clock = _Clock(video)
    options = ENCODER | {"crf": str(settings.crf), "g": str(settings.gop), "keyint_min": str(settings.gop)}
    with (
        whole_or_nothing(target) as half,
        av.open(f"file:{half}", "w", format="mp4", options={"movflags": "+faststart"}) as container,
    ):
        stream = container.add_stream("libx264", rate=ENCODER_RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = upright.width, upright.height, "yuv420p"
        stream.time_base = clock.base
        times: list[int] = []

        def mux(packets: list[av.Packet]) -> None:
            for packet in packets:  # in the order of the frames, as there are no B-frames
                assert packet.pts is not None
                packet.pts = packet.dts = times[packet.pts]
                packet.duration, packet.time_base = clock.step, clock.base
                container.mux(packet)

        frame: av.VideoFrame | None = first
        while frame is not None:
            times.append(clock.time(frame.pts))
            picture = upright(frame)
            if len(times) == 1:
                stream.codec_context.color_range = picture.color_range
                stream.codec_context.colorspace = picture.colorspace
            picture.pts, picture.time_base = len(times) - 1, Fraction(1, ENCODER_RATE)
            picture.pict_type = 0  # else the source's keyframes become the copy's
            mux(stream.encode(picture))
            alive()
            frame = next(frames, None)
        mux(stream.encode())
    cause = f"{video.decode_error}, after {len(times)} frames" if video.decode_error else ""
    return {"frames": len(times), "cause": cause}


class _Upright:
    """Frames as they are shown, in yuv420p, all in the size that the first one gives."""

    def __init__(self, first: av.VideoFrame, short_side: int) -> None:
        self.reformatter = VideoReformatter()
        transposed, upside_down, mirrored = orientation(first)
        self.stored = _smaller(first.width, first.height, short_side)
        self.width, self.height = reversed(self.stored) if transposed else self.stored
        # transpose's cclock_flip is the plain transposition.
        turns = (("transpose", "cclock_flip", transposed), ("vflip", None, upside_down), ("hflip", None, mirrored))
        self.graph = Graph() if transposed or upside_down or mirrored else None
        if self.graph:
            width, height = self.stored
            yuv420p = av.VideoFormat("yuv420p")
            nodes = [self.graph.add_buffer(width=width, height=height, format=yuv420p, time_base=Fraction(1, 25))]
            nodes += [self.graph.add(name, args) for name, args, wanted in turns if wanted]
            nodes += [self.graph.add("buffersink")]
            self.graph.link_nodes(*nodes).configure()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        picture = self.reformatter.reformat(
            frame,
            *self.stored,
            "yuv420p",
            dst_colorspace=Colorspace.ITU601 if frame.format.is_rgb else None,
            dst_color_range=ColorRange.MPEG,
            interpolation=Interpolation.BICUBIC,
            threads=1,
        )
        if self.graph is None:
            return picture
        self.graph.push(picture)
        return self.graph.vpull()


def _smaller(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height with a short side of at most `short_side`: even, as yuv420p asks, and none enlarged.

    The one exception is a side of one pixel, which becomes two.
    """
    scale = min(1.0, short_side // 2 * 2 / min(width, height))
    width, height = (max(2, min(2 * round(side * scale / 2), side // 2 * 2)) for side in (width, height))
    return width, height


class _Clock:
    """The timestamps of the copy, from 0, strictly rising.

    Those of the source where they rise; a frame without one, or with one that does not rise, comes one step of the
    average rate after the one before it. A folder of pictures has 25 frames a second (our choice).
    """

    def __init__(self, video: Video) -> None:
        self.base, self.source_base = Fraction(1, 25), Fraction(1, 25)
        rate: Fraction | None = None
        if video.container is not None:
            self.source_base = video.stream.time_base or MPEG_CLOCK
            self.base = max(self.source_base, MPEG_CLOCK)
            # The guess goes by the codec: an average over broken timestamps is as broken as they are.
            rate = video.stream.guessed_rate or video.stream.average_rate
        self.step = max(1, round(1 / ((rate or 25) * self.base)))
        self.first: int | None = None
        self.last = -self.step

    def time(self, pts: int | None) -> int:
        if self.first is None:
            self.first = pts or 0
        time = None if pts is None else round((pts - self.first) * self.source_base / self.base)
        self.last = time if time is not None and time > self.last else self.last + self.step
        return self.last


def _unwritable(target: str, error: OSError) -> OSError:
    return OSError(f"{target}: cannot be written: {error.strerror or error}; mend that, and the same command goes on")


def _bytes(path: str) -> int | None:
    """Size of a file, or of the files of a folder."""
    with suppress(OSError):
        return sum(entry.stat().st_size for entry in os.scandir(path)) if os.path.isdir(path) else os.path.getsize(path)
    return None
