"""The optical flow of the videos of a list, as small videos. It needs OpenCV, which the extra `train` brings."""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from typing import Any, TypedDict

import av
import cv2
import numpy as np

from cmpl_zoo._files import atomic_write
from cmpl_zoo.datasets.lists import VideoList
from cmpl_zoo.tools.copies import Copies, make_copies
from cmpl_zoo.tools.journal import cause_of
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.flow import as_color
from cmpl_zoo.video.video import Video

KEPT_BY_FLOW = ("made", "there")  # verdicts
# In RGB: colors at half resolution would move motion boundaries, which are differences of neighboring pixels. A third
# or less of the size without loss (benchmarks/README.md). A keyframe every 16 frames, as clips are read from anywhere.
X264_OPTIONS = {"crf": "12", "g": "16", "bf": "0", "threads": "1"}


class FlowRow(TypedDict, total=False):
    """A row of the report, without `path`.

    Attributes:
        verdict: `made`, `there` (made before), `unreadable` (no frame decodes) or `failed` (the frames have no flow).
        cause: the reason for the last two, or why a video ended early.
        frames: number of frames of the flow.
        seconds: time that it took.
    """

    verdict: str
    cause: str
    frames: int
    seconds: float


FLOW_COLUMNS = ("path", *FlowRow.__annotations__)


def make_flow(
    video_list: VideoList,
    root: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    max_short_side: int,
    workers: int,
) -> tuple[bool, str]:
    """Make the flow of every video of a list: an MP4 file (see `video/flow.py`) where `prepare` would put its copy.

    `report.csv` has one row per video, and the list of those that have flow all columns of the old list. A run that was
    killed continues after the last row of its report, and a flow that is there is not made again.

    Args:
        video_list: the list, read with `root`.
        root: folder that its paths are relative to.
        output: folder for the flow, the report and the list.
        max_short_side: largest short side of the flow, in pixels; smaller videos are not enlarged.
        workers: number of worker processes, of one thread each.

    Returns:
        Whether all videos have flow, and a summary in one line.

    Raises:
        ListError: two videos would have the same flow, a video is outside the root, or the root is a shard set.
        ValueError: a flow would overwrite a video, or `output` holds the flow of another list or of another size.
        OSError: the flow cannot be written.
    """
    kind = Copies("flow", {"max_short_side": max_short_side}, FLOW_COLUMNS, KEPT_BY_FLOW)
    make = partial(flow_video, max_short_side=max_short_side)
    return make_copies(video_list, root, output, kind, make, workers)


def flow_video(path: str, target: str, max_short_side: int, alive: Callable[[], None] = lambda: None) -> FlowRow:
    """Make the flow of one video, unless it is there; it is written atomically.

    Args:
        path: of the video.
        target: path of the flow; its folders are created.
        max_short_side: see `make_flow`.
        alive: called once per frame.

    Returns:
        The row of the report.

    Raises:
        OSError: the flow cannot be written.
    """
    if os.path.exists(target):
        return {"verdict": "there"}
    start = time.monotonic()
    row: FlowRow
    try:
        with Video(path) as video, atomic_write(target) as temporary:
            frames = write_video(str(temporary), map(as_color, flow_of(video, max_short_side, alive)), alive)
            row = {"verdict": "made", "cause": video.decode_error, "frames": frames}
    except VideoError as error:
        row = {"verdict": "unreadable", "cause": cause_of(error, path)}
    except cv2.error as error:
        row = {"verdict": "failed", "cause": f"has no flow, as OpenCV says: {str(error.err).splitlines()[0]}"}
    return {**row, "seconds": round(time.monotonic() - start, 3)}


def flow_of(video: Video, max_short_side: int, passed: Callable[[], None] = lambda: None) -> Iterator[np.ndarray]:
    """The movement of each pixel of each frame to the next frame, by DIS (Kroeger et al., ECCV 2016).

    Args:
        video: open.
        max_short_side: see `make_flow`.
        passed: see `Video.decode`.

    Yields:
        In pixels to the right and down, float32 (height, width, 2), for each frame; for the last one that before again.

    Raises:
        VideoError: no frame can be decoded.
        cv2.error: the frames are smaller than 12 pixels.
    """
    cv2.setNumThreads(1)
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    before = first = flow = None
    for frame in video.decode(passed):
        first = first or frame
        rgb = video.as_shown(frame, first).numpy()
        scale = min(1.0, max_short_side / min(rgb.shape[:2]))
        size = [max(1, round(scale * side)) for side in rgb.shape[1::-1]]
        gray = cv2.cvtColor(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY)
        if before is not None:
            yield (flow := dis.calc(before, gray, None))
        before = gray
    assert before is not None
    yield np.zeros((*before.shape, 2), np.float32) if flow is None else flow


def write_video(file: str, frames: Iterator[np.ndarray], alive: Callable[[], None]) -> int:
    """Write frames, uint8 (height, width, 3), as an MP4 file; their number."""
    number = 0
    first = next(frames)  # raises before the file is created
    with av.open(f"file:{file}", "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264rgb", rate=25, options=X264_OPTIONS)
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], "rgb24"
        for image in chain([first], frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            number += 1
            alive()
        container.mux(stream.encode())
    return number
