"""Prediction of live video: a stream from an address, or a camera, clip by clip as it comes."""

import re
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Full, Queue
from threading import Event, Thread
from time import monotonic
from typing import cast

import av
import torch
from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as tv

from cmpl_zoo.precision import Precision
from cmpl_zoo.prediction.ensemble import Ensemble, RankedClasses
from cmpl_zoo.video.clips import ViewConfig, crop_views, short_side_at_test
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.sampling import TIMESTAMP_SLACK
from cmpl_zoo.video.seeking import demuxed
from cmpl_zoo.video.shown import Shape, as_rgb, pixel_shape, shape_of
from cmpl_zoo.video.times import stated_rate

TIMEOUT = 30.0  # seconds without a frame after which a stream is given up; our choice
SPREAD_SECONDS = 2.0  # length of a window where clips are spread over a video, and a stream has no length; our choice
USUAL_FPS = 25.0  # of a stream that states no frame rate; our choice
MAX_WAITING = 2  # windows that wait for the models
LAST_FRAME = 1.0  # seconds in which the frame that is being read is done, where frames come; our choice


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
    topk: int | None = 5,
    *,
    batch_size: int = 32,
    precision: Precision = "float32",
) -> Generator[StreamWindow]:
    """The most probable classes of each window of a stream, until it ends.

    Windows are as long as the longest clip of the models, and follow each other. Each model sees one clip at the center
    of a window, read by time: a stride in frames counts at the frame rate that the stream states. A live stream does
    not wait: where the models are slower, windows are left out, with one warning.

    Args:
        model: as `predict` takes it.
        address: URL of any protocol that FFmpeg knows, or a camera such as /dev/video0.
        topk: number of classes; all where there are fewer, or for None.
        batch_size: as in `predict`.
        precision: as in `predict`.

    Raises:
        VideoError: it cannot be opened, holds no video, breaks off, or ends before its first window does.
        RuntimeError, ValueError: as `predict`.
    """
    ensemble = Ensemble(model, batch_size=batch_size, precision=precision)
    return _predictions(ensemble, address, topk)


def without_password(address: str) -> str:
    """An address as it may be shown and written: without its user, and without what it names as a secret."""
    # Cameras take passwords with / and @ in them. host:8080/a@b is none.
    address = re.sub(r"(?<=://)([^/?#]*|[^/@:]+:(?!\d+/)[^@]*)@", "", address)
    return re.sub(
        r"(?i)(?<![a-z])((?:api|access|auth)?(?:pass|password|passwd|pwd|token|secret|key))=[^&]*", r"\1=***", address
    )


@dataclass(frozen=True)
class _Window:
    """The views of a window: per settings, uint8 (1, crops, 3, frames, height, width)."""

    start: float
    end: float
    views: list[Tensor]


def _predictions(ensemble: Ensemble, address: str, topk: int | None) -> Generator[StreamWindow]:
    name = without_password(address)
    reader = _Reader(address, name, ensemble.settings)
    reader.start()
    told = False
    try:
        while (window := reader.next_window()) is not None:
            if reader.late.is_set() and not told:
                told = True
                warnings.warn(f"{name}: the models are slower than the stream; windows are left out", stacklevel=2)
            [probabilities] = ensemble.probabilities(window.views)
            yield StreamWindow(window.start, window.end, ensemble.ranked(name, probabilities, topk))
    finally:
        reader.stop()


class _Reader(Thread):
    """Reads the windows of a stream, beside the models: it must not wait for them, nor Ctrl-C for a frame.

    Where nothing comes, this thread waits in FFmpeg until the process ends. Python has ended by then and must not be
    called any more: so no timeout of PyAV's, which asks Python for the time ten times a second.

    Args:
        address: as `predict_stream` takes it.
        name: the address as it may be shown.
        settings: of the clips.

    Attributes:
        late: set once a window was left out.
    """

    def __init__(self, address: str, name: str, settings: Sequence[ViewConfig]) -> None:
        super().__init__(daemon=True)
        self.late = Event()
        self._address, self._shown, self._settings = address, name, settings
        self._windows: Queue[_Window | Exception | None] = Queue(MAX_WAITING)
        self._stopped = Event()
        self._heard = monotonic()  # when the last frame came

    def next_window(self) -> _Window | None:
        """Wait for a window; None at the end of the stream.

        Raises:
            VideoError: the stream cannot be opened or broke off, or nothing came for `TIMEOUT` seconds.
        """
        while True:
            try:
                window = self._windows.get(timeout=1)
            except Empty:
                if monotonic() - self._heard < TIMEOUT:
                    continue
                window = VideoError(f"{self._shown}: nothing came for {TIMEOUT:.0f} s; check that it sends")
            if isinstance(window, Exception):
                raise window
            return window

    def stop(self) -> None:
        """Stop reading. Python may end next, and torch would crash then: wait for what is done with the last frame."""
        self._stopped.set()
        self.join(LAST_FRAME)

    def run(self) -> None:
        last: Exception | None = None
        live = True
        try:
            with _open(self._address, self._shown) as container:
                stream = cast(VideoStream, container.streams.best("video"))
                live = container.duration is None  # else it is a file, which waits
                frames = self._frames(container, stream)
                for window in _windows(frames, stream, self._settings, self._shown):
                    self._put(window, live)
        except FFmpegError as error:
            advice = "start again when it is back" if live else "download it and predict the file"
            last = VideoError(f"{self._shown}: the stream broke off: {_reason(error)}; {advice}")
        except Exception as error:  # raised where it can be caught
            last = error
        self._put(last, live=False)

    def _frames(self, container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
        for frame in _decode(container, stream):
            if self._stopped.is_set():
                return
            self._heard = monotonic()
            yield frame

    def _put(self, window: _Window | Exception | None, live: bool) -> None:
        """Hand on a window; where there is no room, a live stream drops the oldest, and a file waits."""
        while not self._stopped.is_set():
            try:
                return self._windows.put(window, timeout=0 if live else 0.1)
            except Full:
                if live:
                    self.late.set()
                    with suppress(Empty):  # the models may have taken it just now
                        self._windows.get_nowait()


def _open(address: str, name: str) -> InputContainer:
    camera = address.startswith("/dev/")
    # FFmpeg's own limits come after `TIMEOUT`, and end the thread of a stream that was given up.
    limit = str(int(2 * TIMEOUT * 1e6))
    options = {"rtsp_transport": "tcp", "timeout": limit} if address.startswith("rtsp") else {"rw_timeout": limit}
    try:
        container = av.open(address, "r", format="v4l2" if camera else None, options=options)
    except (FFmpegError, OSError, ValueError) as error:
        what = "camera" if camera else "address"
        raise VideoError(f"{name}: cannot be opened: {_reason(error)}; check the {what}, and that it sends") from error
    if not container.streams.video:
        container.close()
        raise VideoError(f"{name}: holds no video; check the address")
    return container


def _reason(error: Exception) -> object:
    return getattr(error, "strerror", None) or error


def _windows(
    frames: Iterable[av.VideoFrame], stream: VideoStream, settings: Sequence[ViewConfig], name: str
) -> Iterator[_Window]:
    """The windows of the frames of a stream, one after the other.

    Raises:
        VideoError: it ends before the first one does.
    """
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
    some = False  # whether there was a window
    reformatter = VideoReformatter()
    for decoded in frames:
        now = before + 1 / rate if decoded.time is None else decoded.time
        first = now if first is None else first
        if frame is None or not before <= now <= before + length:  # it began, or its clock jumped
            start, done, clips = now, 0, [[] for _ in settings]
        while frame and start + wanted[done][0] + TIMESTAMP_SLACK < now:  # the frame before is the last by then
            place = wanted[done][1]
            clips[place].append(frame.resized(settings[place]))
            done += 1
            if done == len(wanted):
                views = [_crop(clip, per_clip) for clip, per_clip in zip(clips, settings, strict=True)]
                yield _Window(start - first, start + length - first, views)
                some = True
                start, done, clips = start + length, 0, [[] for _ in settings]
        shape = frame.shape if frame else shape_of(decoded, pixel_shape(stream))
        before, frame = now, _Frame(decoded, shape, reformatter)
    if not some:
        shown = 0.0 if first is None else before - first
        raise VideoError(
            f"{name}: ended after {shown:.1f} s, before a clip of {length:.1f} s; download it and predict the file"
        )


def _decode(container: InputContainer, stream: VideoStream) -> Iterator[av.VideoFrame]:
    """The frames of a stream; packets that cannot be decoded, as after a loss, are skipped."""
    for packet in demuxed(container, stream):
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


class _Frame:
    """A decoded frame, made RGB once it is needed.

    Args:
        frame: as decoded.
        shape: in which it is shown.
        reformatter: of the stream, which keeps what converts its frames.
    """

    def __init__(self, frame: av.VideoFrame, shape: Shape, reformatter: VideoReformatter) -> None:
        self.shape, self._reformatter = shape, reformatter
        self._frame = frame
        self._rgb: Tensor | None = None

    def resized(self, views: ViewConfig) -> Tensor:
        """uint8 (3, height, width), with the short side of the settings."""
        if self._rgb is None:
            self._rgb = torch.from_numpy(as_rgb(self._frame, self.shape, self._reformatter)).permute(2, 0, 1)
        return tv.resize(self._rgb, [short_side_at_test(views["size"], views["crop_pct"])], antialias=True)


def _crop(clip: list[Tensor], views: ViewConfig) -> Tensor:
    """uint8 (1, crops, 3, frames, height, width) of the resized frames of a clip."""
    short_side = short_side_at_test(views["size"], views["crop_pct"])
    cropped = crop_views(torch.stack(clip), views["size"], short_side, views["crops"])
    return cropped.transpose(1, 2).contiguous()[None]
