"""Prediction of live video: a stream from an address, or a camera, clip by clip as it comes."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import cast

import av
import torch
from av.container import InputContainer
from av.error import ExitError, FFmpegError, InvalidDataError
from av.video.stream import VideoStream
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as tv

from cmpl_zoo.precision import Precision
from cmpl_zoo.prediction.ensemble import Ensemble, RankedClasses
from cmpl_zoo.video.clips import ViewConfig, crop_views, short_side_at_test
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.sampling import ROUNDING
from cmpl_zoo.video.shown import pixel_shape, shown_size
from cmpl_zoo.video.times import stated_rate

TIMEOUT = 30.0  # seconds without data after which a stream is given up; our choice
SPREAD_SECONDS = 2.0  # length of a window where clips are spread over a video, and a stream has no length; our choice
USUAL_FPS = 25.0  # of a stream that states no frame rate; our choice
MAX_WAITING = 2  # windows that wait for the models


@dataclass(frozen=True)
class StreamWindow:
    """What `predict_stream` finds of a window of a stream.

    Attributes:
        start: seconds from the first frame of the stream.
        end: likewise; the next window starts there.
        classes: (class name, probability in [0, 1]) pairs, most probable first.
    """

    start: float
    end: float
    classes: RankedClasses


def predict_stream(
    model: nn.Module | Sequence[nn.Module],
    address: str,
    topk: int = 5,
    *,
    batch_size: int = 32,
    precision: Precision = "float32",
) -> Iterator[StreamWindow]:
    """The most probable classes of each window of a stream, until it ends.

    Windows are as long as the longest clip of the models, and follow each other. Each model sees one clip at the centre
    of a window, read by time: a stride in frames counts at the frame rate that the stream states. A live stream does
    not wait: where the models are slower, windows are left out, with one warning.

    Args:
        model: as `predict` takes it.
        address: URL of any protocol that FFmpeg knows, or a camera such as /dev/video0.
        topk: number of classes, or all where there are fewer.
        batch_size: as in `predict`.
        precision: as in `predict`.

    Raises:
        VideoError: it cannot be opened, holds no video, or breaks off.
        RuntimeError, ValueError: as `predict`.
    """
    ensemble = Ensemble(model, batch_size=batch_size, precision=precision)
    return _predictions(ensemble, address, topk)


def without_password(address: str) -> str:
    """An address as it may be shown and written."""
    return re.sub(r"(?<=://)[^/@]*@", "", address)


@dataclass(frozen=True)
class _Window:
    """The views of a window: per settings, uint8 (1, crops, 3, frames, height, width)."""

    start: float
    end: float
    views: list[Tensor]


def _predictions(ensemble: Ensemble, address: str, topk: int) -> Iterator[StreamWindow]:
    name = without_password(address)
    windows: Queue[_Window | VideoError | None] = Queue(MAX_WAITING)
    late, stop = Event(), Event()
    # Reading is a thread of its own, as it must not wait for the models, nor Ctrl-C for a frame.
    Thread(target=_read, args=(address, name, ensemble.settings, windows, late, stop), daemon=True).start()
    told = False
    try:
        while (window := windows.get()) is not None:
            if isinstance(window, VideoError):
                raise window
            if late.is_set() and not told:
                told = True
                warnings.warn(f"{name}: the models are slower than the stream; windows are left out", stacklevel=2)
            [probabilities] = ensemble.probabilities(window.views)
            yield StreamWindow(window.start, window.end, ensemble.ranked(name, probabilities, topk))
    finally:
        stop.set()


def _read(
    address: str, name: str, settings: Sequence[ViewConfig], windows: "Queue[_Window | VideoError | None]",
    late: Event, stop: Event,
) -> None:  # fmt: skip
    """Put the windows of a stream into a queue, and at the end None or the error that ended it."""
    last: VideoError | None = None
    try:
        with _open(address, name) as container:
            live = container.duration is None  # else it is a file, which waits
            for window in _windows(container, settings):
                while not stop.is_set():
                    try:
                        windows.put(window, timeout=0 if live else 0.1)
                        break
                    except Full:
                        if live:
                            late.set()
                            _take_oldest(windows)
                if stop.is_set():
                    return
    except VideoError as error:
        last = error
    except FFmpegError as error:
        last = VideoError(f"{name}: the stream broke off: {_reason(error)}; start again when it is back")
    windows.put(last)


def _take_oldest(windows: "Queue[_Window | VideoError | None]") -> None:
    with suppress(Empty):  # the models may have taken it just now
        windows.get_nowait()


def _open(address: str, name: str) -> InputContainer:
    camera = address.startswith("/dev/")
    options = {"rtsp_transport": "tcp"} if address.startswith("rtsp") else {}
    try:
        container = av.open(address, "r", format="v4l2" if camera else None, options=options, timeout=TIMEOUT)
    except (FFmpegError, OSError, ValueError) as error:
        what = "camera" if camera else "address"
        raise VideoError(f"{name}: cannot be opened: {_reason(error)}; check the {what}, and that it sends") from error
    if not container.streams.video:
        container.close()
        raise VideoError(f"{name}: holds no video; check the address")
    return container


def _reason(error: Exception) -> object:
    if isinstance(error, ExitError):  # so FFmpeg calls a timeout
        return f"nothing came for {TIMEOUT:.0f} s"
    return getattr(error, "strerror", None) or error


def _windows(container: InputContainer, settings: Sequence[ViewConfig]) -> Iterator[_Window]:
    """The windows of an open stream, one after the other."""
    stream = cast(VideoStream, container.streams.best("video"))
    rate = stated_rate(stream) or USUAL_FPS
    times = [clip_times(views, rate) for views in settings]
    length = max(end for _, end in times)
    wanted = sorted(
        (time + (length - end) / 2, place) for place, (offsets, end) in enumerate(times) for time in offsets
    )
    first: float | None = None  # time of the first frame
    start = before = 0.0  # of the window, and of the frame before
    frame: _Frame | None = None
    clips: list[list[Tensor]] = [[] for _ in settings]
    done = 0  # frames of the window that are in its clips
    for decoded in _decode(container, stream):
        now = before + 1 / rate if decoded.time is None else decoded.time
        first = now if first is None else first
        if frame is None or not before <= now <= before + length:  # it began, or its clock jumped
            start, done, clips = now, 0, [[] for _ in settings]
        while frame and start + wanted[done][0] + ROUNDING < now:  # the frame before is the last by then
            place = wanted[done][1]
            clips[place].append(frame.resized(settings[place]))
            done += 1
            if done == len(wanted):
                views = [_crop(clip, per_clip) for clip, per_clip in zip(clips, settings, strict=True)]
                yield _Window(start - first, start + length - first, views)
                start, done, clips = start + length, 0, [[] for _ in settings]
        before, frame = now, _Frame(decoded, frame.size if frame else _size(decoded, stream))


def _decode(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """The frames of a stream; packets that cannot be decoded, as after a loss, are skipped."""
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except InvalidDataError:
            continue


def clip_times(views: ViewConfig, rate: float) -> tuple[list[float], float]:
    """When the frames of a clip are shown, in seconds from its start, and its length.

    A clip that is spread over a video is taken to be `SPREAD_SECONDS` long.

    Args:
        views: the settings of the clip.
        rate: frames a second of the video, at which a stride in frames counts.
    """
    frames = views["frames"]
    if views.get("spread"):
        return [(i + 0.5) * SPREAD_SECONDS / frames for i in range(frames)], SPREAD_SECONDS
    step = views.get("stride", 8) / (views.get("fps") or rate)
    return [i * step for i in range(frames)], frames * step


def _size(frame: av.VideoFrame, stream: VideoStream) -> tuple[int, int]:
    return shown_size(frame.width, frame.height, pixel_shape(stream))


class _Frame:
    """A decoded frame, made RGB once it is needed.

    Args:
        frame: as decoded.
        size: width and height as shown, those of the first frame.
    """

    def __init__(self, frame: av.VideoFrame, size: tuple[int, int]) -> None:
        self.size = size
        self._frame = frame
        self._rgb: Tensor | None = None

    def resized(self, views: ViewConfig) -> Tensor:
        """uint8 (3, height, width), with the short side of the settings."""
        if self._rgb is None:
            rgb = self._frame.to_ndarray(format="rgb24", width=self.size[0], height=self.size[1])
            self._rgb = torch.from_numpy(rgb).permute(2, 0, 1)
        return tv.resize(self._rgb, [short_side_at_test(views["size"], views["crop_pct"])], antialias=True)


def _crop(clip: list[Tensor], views: ViewConfig) -> Tensor:
    """uint8 (1, crops, 3, frames, height, width) of the resized frames of a clip."""
    short_side = short_side_at_test(views["size"], views["crop_pct"])
    cropped = crop_views(torch.stack(clip), views["size"], short_side, views["crops"])
    return cropped.transpose(1, 2).contiguous()[None]
