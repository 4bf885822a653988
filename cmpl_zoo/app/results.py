"""What networks see of a video: the frames that they looked at, its classes, and for a longer one its timeline."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from time import monotonic

import torch
from PIL import Image
from torch import Tensor

from cmpl_zoo.app.networks import Network
from cmpl_zoo.prediction import Bout, RankedClasses, Window, bouts, timeline
from cmpl_zoo.prediction.ensemble import distinct_views, rate_notice
from cmpl_zoo.prediction.streams import USUAL_FPS, clip_times
from cmpl_zoo.video.clips import ViewConfig, clips_of_views, coverage, read_views
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.video import Video, VideoInfo

# Limits of a video; our choice.
MAX_SECONDS = 600
MAX_MEGABYTES = 200
MAX_PIXELS = 4096 * 2304  # of a frame
MIN_SIDE = 16  # pixels

# What is shown; our choice.
CLIPS_SHOWN = 3
FRAMES_SHOWN = 16  # of a clip
FRAME_SIDE = 128  # pixels, the longest
MOST_WINDOWS = 120  # of a timeline, whose windows are as long as a clip, or longer where there would be more
FEWEST_WINDOWS = 4  # a shorter video has no timeline
WINDOWS_AT_A_TIME = 4  # through a network, while other requests wait
SECONDS_BETWEEN = 1.0  # from one unfinished timeline to the next

_turn = Lock()  # requests compute one after the other, step by step: each step takes all cores


@dataclass(frozen=True)
class SeenClip:
    """A clip as a network saw it.

    Attributes:
        number: of the clip, from 1.
        pictures: the frames that are shown of it, in order.
        times: when they are in the video, in seconds; None where it has no frame rate.
    """

    number: int
    pictures: list[Image.Image]
    times: list[float] | None


@dataclass(frozen=True)
class Seen:
    """The clips of one setting of views.

    Attributes:
        networks: the names of those that saw them.
        settings: of the views.
        clips: those that are shown.
    """

    networks: list[str]
    settings: ViewConfig
    clips: list[SeenClip]


@dataclass(frozen=True)
class Timeline:
    """What a network sees when.

    Attributes:
        network: its name.
        bouts: in order.
        until: the second of the video that they go to.
        finished: whether there are no more.
    """

    network: str
    bouts: list[Bout]
    until: float
    finished: bool


@dataclass(frozen=True)
class Result:
    """What is known of a video so far.

    Attributes:
        name: of its file.
        info: of the file.
        seconds: its length; None where it has no frame rate.
        shown_seconds: how much of that the clips show; likewise.
        notices: what to know about the result, each a sentence.
        seen: what the networks saw.
        networks: their names.
        classes: of each network, most probable first.
        window: seconds of a window of the timelines; None where the video is too short for one, or has no time.
        timelines: of each network, or of those so far.
    """

    name: str
    info: VideoInfo
    seconds: float | None
    shown_seconds: float | None
    notices: list[str]
    seen: list[Seen]
    networks: list[str]
    classes: list[RankedClasses]
    window: float | None
    timelines: list[Timeline] = field(default_factory=list)


def look_at(networks: Sequence[Network], path: str) -> Iterator[Result]:
    """What networks see of a video: first its classes, then for a longer one its timeline as it grows.

    Args:
        networks: one or more.
        path: of a video file.

    Raises:
        VideoError: it cannot be read, or is beyond a limit of this module; the message names the file without its
            folder.
        RuntimeError: the probabilities are not finite.
    """
    try:
        with Video(path) as video:
            check_limits(video)
            result = _without_timelines(networks, video)
        yield result
        if result.window:
            yield from _with_timelines(networks, path, result, result.window)
    except VideoError as error:
        raise VideoError(str(error).replace(path, Path(path).name)) from error


def check_limits(video: Video) -> None:
    """Raise VideoError where a video is too large, too long or too small."""
    if (megabytes := os.path.getsize(video.file) / 1e6) > MAX_MEGABYTES:
        raise VideoError(f"{video.path}: has {megabytes:.0f} MB, and {MAX_MEGABYTES} are the most; give a smaller file")
    # By the file's header, where it has one: a frame that is too large is not decoded.
    shape = video.stream.codec_context if video.container else video.info
    size = f"{shape.width} x {shape.height} pixels"
    if shape.width * shape.height > MAX_PIXELS:
        raise VideoError(f"{video.path}: has {size}, and 4096 x 2304 are the most; give a smaller one")
    if min(video.info.height, video.info.width) < MIN_SIDE:
        raise VideoError(f"{video.path}: has {size}, and {MIN_SIDE} x {MIN_SIDE} are the least; give a larger one")
    if (seconds := _seconds(video) or 0) > MAX_SECONDS:
        raise VideoError(
            f"{video.path}: is {seconds / 60:.1f} minutes long, and {MAX_SECONDS // 60} are the most; cut out a part, "
            "or use `cmpl-zoo predict --windows`"
        )


def _seconds(video: Video) -> float | None:
    """The length of a video, whose last frame is shown as long as the others on average."""
    times = video.timestamps
    return None if times is None else times[-1] + 1 / (video.fps or USUAL_FPS)


def _without_timelines(networks: Sequence[Network], video: Video) -> Result:
    name = Path(video.path).name
    models = [model for network in networks for model in network.ensemble.models]
    settings, places = distinct_views(models)
    notices = [notice for model in models if (notice := rate_notice(model, name, video.fps))]
    batches: list[Tensor] = []
    seen: list[Seen] = []
    for place, views in enumerate(settings):
        batch, read = read_views(video, **views)
        last = max(map(max, read))
        if last < max(map(max, clips_of_views(video, views))):
            notices.append(f"Only {last + 1} of its {video.num_frames} frames can be decoded")
        batches.append(batch)
        who = [network.name for network, own in zip(networks, places, strict=True) if own == place]
        seen.append(Seen(who, views, _shown_clips(video, batch, read)))
    classes = []
    for network, place in zip(networks, places, strict=True):
        with _turn:
            [probabilities] = network.ensemble.probabilities([batches[place][None]])
        classes.append(network.ensemble.ranked(name, probabilities, len(network.ensemble.names)))
    names, notices = [network.name for network in networks], list(dict.fromkeys(notices))
    seconds, shown = _seconds(video), coverage(video, settings)
    return Result(
        name,
        video.info,
        seconds,
        shown.shown / shown.fps if shown.fps else None,
        notices,
        seen,
        names,
        classes,
        _window(settings, seconds, video.fps),
    )


def _shown_clips(video: Video, batch: Tensor, read: list[list[int]]) -> list[SeenClip]:
    """Some of the clips of a batch of views (clips * crops, 3, frames, height, width), cropped at the center.

    Args:
        video: that they are of.
        batch: uint8.
        read: the indices in the video of the frames of each clip.
    """
    views, times = batch.unflatten(0, (len(read), -1)), video.timestamps
    center = views.shape[1] // 2
    clips = []
    for clip in _spread(len(read), CLIPS_SHOWN):
        frames = _spread(views.shape[3], FRAMES_SHOWN)
        pictures = [_picture(views[clip, center, :, frame]) for frame in frames]
        clips.append(SeenClip(clip + 1, pictures, times and [times[read[clip][frame]] for frame in frames]))
    return clips


def _spread(count: int, most: int) -> list[int]:
    """Indices below `count`, all or so many of them, from the first to the last."""
    return torch.linspace(0, count - 1, min(count, most)).round().int().tolist()


def _picture(frame: Tensor) -> Image.Image:
    """A frame, uint8 (3, height, width), that is not larger than is shown."""
    picture = Image.fromarray(frame.permute(1, 2, 0).numpy())
    picture.thumbnail((FRAME_SIDE, FRAME_SIDE))
    return picture


def _window(settings: Sequence[ViewConfig], seconds: float | None, fps: float | None) -> float | None:
    """The `window` of a result."""
    if seconds is None:
        return None
    clip = max(clip_times(views, fps or USUAL_FPS)[1] for views in settings)
    window = max(clip, seconds / MOST_WINDOWS)
    return window if seconds >= FEWEST_WINDOWS * window else None


def _with_timelines(networks: Sequence[Network], path: str, result: Result, window: float) -> Iterator[Result]:
    """The result with the timelines, about once a second and when they are done."""
    finished: list[Timeline] = []
    for network in networks:
        windows: list[Window] = []
        last = monotonic()
        for one in _in_turns(timeline(network.ensemble.models, path, window, batch_size=WINDOWS_AT_A_TIME)):
            windows.append(one)
            if monotonic() - last > SECONDS_BETWEEN:
                yield replace(
                    result, timelines=[*finished, Timeline(network.name, list(bouts(windows)), one.end, False)]
                )
                last = monotonic()
        finished.append(Timeline(network.name, list(bouts(windows)), windows[-1].end if windows else 0, finished=True))
    yield replace(result, timelines=finished)


def _in_turns(windows: Iterator[Window]) -> Iterator[Window]:
    """The same windows; each is computed while no other request computes."""
    while True:
        with _turn:
            window = next(windows, None)
        if window is None:
            return
        yield window
