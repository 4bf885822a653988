"""The clips of the windows of a long recording: read in one pass, with each frame decoded once.

Only the frames that clips are made of are resized, as soon as they are decoded, and kept until the last window that
needs them. Memory depends on the windows, not on the length of the recording, but for the times of its frames: about
200 bytes a frame.
"""

import warnings
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import count

import av
import torch
from torch import Tensor

from cmpl_zoo.video.clips import ViewConfig, crop_views, short_side_at_test
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.sampling import clips_for_testing
from cmpl_zoo.video.segments import FLOAT_SLACK
from cmpl_zoo.video.video import Video

MAX_WAITING = 8  # decoded frames that wait to be resized: they are large


@dataclass(frozen=True)
class WindowClips:
    """A window of a recording and its clips.

    Attributes:
        start: seconds from the first frame of the file, included.
        end: likewise, not included.
        clips: per settings, uint8 (3, frames, height, width).
    """

    start: float
    end: float
    clips: list[Tensor]


def window_spans(start: float, end: float, window: float, hop: float) -> Iterator[tuple[float, float]]:
    """The start and the end of each window, in seconds, up to the first that reaches the end of the recording.

    That one ends with the recording. It is left out where it is shorter than half a window, unless it is the only one.

    Args:
        start: of the recording, in seconds.
        end: likewise, after the start.
        window: length of a window in seconds, above 0.
        hop: from the start of a window to that of the next in seconds, above 0.
    """
    for number in count():
        first = start + number * hop  # not a sum, whose errors would add up
        if first >= end or (number and end - first < window / 2):
            return
        yield first, min(first + window, end)
        if first + window >= end:
            return


def read_windows(video: Video, window: float, hop: float, settings: Sequence[ViewConfig]) -> Iterator[WindowClips]:
    """The clips of each window: the one at its center that `load_views` would read from that segment of the file.

    Windows in which no frame begins are left out. Of a file that breaks off, those after the break are left out, with a
    warning, and copies of the last frame fill a clip that reaches beyond it.

    Args:
        video: the recording, open.
        window: see `window_spans`.
        hop: see `window_spans`.
        settings: one or more settings of views; one clip and its center are read, whatever they say of these numbers.

    Raises:
        VideoError: no frame can be decoded, or there is no frame rate, as of a folder of pictures.
    """
    windows = _wanted_frames(video, window, hop, settings)
    coming = next(windows, None)
    begun: deque[_Wanted] = deque()  # windows that wait for frames
    uses: Counter[int] = Counter()  # in how many of these windows a frame is
    resized: dict[int, Future[list[Tensor]]] = {}
    waiting: deque[Future[list[Tensor]]] = deque()
    index, frame, first = -1, None, None
    with ThreadPoolExecutor(1) as pool:  # decoding takes longer, and need not wait for it

        def keep(index: int, frame: av.VideoFrame) -> None:
            resized[index] = pool.submit(_resize, video, frame, first or frame, settings)
            waiting.append(resized[index])
            if len(waiting) > MAX_WAITING:
                waiting.popleft().result()

        def clips_of(wanted: _Wanted) -> WindowClips:
            """Its clips, of which what is after the last frame is that frame."""
            frames = [[resized[min(i, index)].result()[place] for i in clip] for place, clip in enumerate(wanted.clips)]
            return WindowClips(wanted.start, wanted.end, [torch.stack(clip, dim=1) for clip in frames])

        for index, frame in enumerate(video.decode()):
            first = first or frame
            while coming and coming.first <= index:
                begun.append(coming)
                uses.update(coming.frames)
                coming = next(windows, None)
            if index in uses:
                keep(index, frame)
            while begun and begun[0].last <= index:
                yield clips_of(wanted := begun.popleft())
                uses.subtract(wanted.frames)
                for unused in [i for i in wanted.frames if not uses[i]]:
                    del uses[unused], resized[unused]
            if not begun and not coming:
                return
        warnings.warn(
            f"{video.path}: only {index + 1} of its {video.num_frames} frames can be decoded; its windows end there",
            stacklevel=3,
        )
        if begun and frame and index not in resized:
            keep(index, frame)
        yield from map(clips_of, begun)


@dataclass(frozen=True)
class _Wanted:
    """The frames of a window, by index.

    Attributes:
        start, end: of the window, in seconds.
        first: the first frame that begins in it.
        clips: per settings, the frames of the clip.
    """

    start: float
    end: float
    first: int
    clips: list[list[int]]

    @cached_property
    def frames(self) -> set[int]:
        """Those of all clips."""
        return {index for clip in self.clips for index in clip}

    @cached_property
    def last(self) -> int:
        """The last of these."""
        return max(self.frames)


def _wanted_frames(video: Video, window: float, hop: float, settings: Sequence[ViewConfig]) -> Iterator[_Wanted]:
    """The frames of each window in which one begins, by their indices in the video, which may be a segment."""
    times = video.timestamps
    if times is None:
        raise VideoError(f"{video.path}: has no frame rate, and windows are counted in seconds; give a video file")
    if not video.timed:
        warnings.warn(
            f"{video.path}: a video without timestamps is read at the frame rate that it states", stacklevel=4
        )
    last_frame = times[-1] / (len(times) - 1) if len(times) > 1 else 1 / (video.fps or 1)  # how long it is shown
    end = video.start + times[-1] + last_frame
    start, stop = (video.segment.start, video.segment.end) if video.segment else (0.0, None)
    for begin, finish in window_spans(start, min(end, stop or end), window, hop):
        first, after = (bisect_left(times, second - video.start - FLOAT_SLACK) for second in (begin, finish))
        if first < after:
            frames = range(first, after)
            yield _Wanted(begin, finish, first, [_clip(times, frames, view) for view in settings])


def _clip(times: Sequence[float], frames: range, view: ViewConfig) -> list[int]:
    """Indices of the frames of the clip at the center of a window, given the indices of all its frames."""
    seconds = [times[i] - times[frames.start] for i in frames]
    stride, fps, spread = view.get("stride", 8), view.get("fps"), view.get("spread", False)
    [clip] = clips_for_testing(len(frames), seconds, view["frames"], stride, 1, fps, spread)
    return [frames[i] for i in clip]


def _resize(video: Video, frame: av.VideoFrame, first: av.VideoFrame, settings: Sequence[ViewConfig]) -> list[Tensor]:
    """A frame in the sizes of the settings, each (3, height, width)."""
    rgb = video.as_shown(frame, first).permute(2, 0, 1)
    return [
        crop_views(rgb[None], view["size"], short_side_at_test(view["size"], view["crop_pct"]))[0, 0]
        for view in settings
    ]
