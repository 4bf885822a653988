"""The pictures of a video as players show them, in the size and format of a prepared copy."""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction

import av
from av.error import FFmpegError
from av.filter import Graph
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter

from cmpl_zoo.video.shown import hdr_transfer, nearest_matrix, shape_of

Filter = tuple[str, str | None]  # FFmpeg's name of a filter, and its options
DEINTERLACE: Filter = ("bwdif", "mode=send_frame:deint=interlaced")
# The filter `tonemap` alone makes the colors worse, and FFmpeg's zscale is missing in PyAV.
TO_BT709: Filter = (
    "scale",
    "out_transfer=bt709:out_primaries=bt709:out_color_matrix=bt709:flags=accurate_rnd+unstable",
)


def deinterlaced(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """As many frames, with the same timestamps, and without the comb of interlaced ones."""
    graph: Graph | None = None
    properties: tuple[object, ...] = ()
    times: deque[int | None] = deque()

    def filtered(frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
        assert graph is not None
        graph.push(frame)
        with suppress(BlockingIOError, EOFError):  # it wants the next frame first, or has given the last one
            while True:
                result = graph.vpull()
                result.pts = times.popleft()
                yield result

    for frame in frames:
        if graph and properties != _properties(frame):
            yield from filtered(None)
            graph = None
        if graph is None and frame.interlaced_frame:
            graph, properties = _graph(frame, DEINTERLACE), _properties(frame)
        if graph is None:
            yield frame
        else:
            times.append(frame.pts)
            yield from filtered(frame)
    if graph:
        yield from filtered(None)


class FrameConverter:
    """Converts frames to yuv420p, as they are shown (with square pixels, rotated and mirrored, in BT.709 if they are
    HDR), all in the size that the first one gives.

    Args:
        first: the first frame.
        short_side: largest short side, in pixels.
        pixel_shape: see `Video.pixel_shape`.

    Attributes:
        width: of the converted frames, in pixels.
        height: of the converted frames, in pixels.
    """

    def __init__(self, first: av.VideoFrame, short_side: int, pixel_shape: Fraction) -> None:
        self.reformatter = VideoReformatter()
        shape = shape_of(first, pixel_shape)
        self.size_before_rotation = copy_size(shape.width, shape.height, short_side)
        width, height = self.size_before_rotation
        self.width, self.height = (height, width) if shape.transposed else (width, height)
        filters = (
            ("transpose", "cclock_flip", shape.transposed),  # FFmpeg's name of a plain transposition
            ("vflip", None, shape.upside_down),
            ("hflip", None, shape.mirrored),
        )
        self.turn = _FilterChain(*((name, options) for name, options, wanted in filters if wanted))
        self.to_bt709 = _FilterChain()
        if hdr_transfer(first):
            with suppress(FFmpegError, ValueError):  # then the frames stay as they are, and keep their tags
                to_bt709 = _FilterChain(TO_BT709)
                to_bt709(first)
                self.to_bt709 = to_bt709

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        frame.colorspace = nearest_matrix(frame)
        return self.turn(
            self.reformatter.reformat(
                self.to_bt709(frame),
                *self.size_before_rotation,
                "yuv420p",
                dst_colorspace=Colorspace.ITU601 if frame.format.is_rgb else None,
                dst_color_range=ColorRange.MPEG,
                interpolation=Interpolation.BICUBIC,
                threads=1,
            )
        )


def copy_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Width and height of a copy: even, as yuv420p needs, with a short side of at most `short_side`, and not enlarged.

    The only exception is a side of one pixel, which becomes two.
    """
    scale = min(1.0, short_side // 2 * 2 / min(width, height))
    width, height = (max(2, min(2 * round(side * scale / 2), side // 2 * 2)) for side in (width, height))
    return width, height


class _FilterChain:
    """FFmpeg's filters one after the other, each giving one frame for one; without any, frames stay as they are."""

    def __init__(self, *filters: Filter) -> None:
        self.filters = filters
        self.graph: Graph | None = None
        self.properties: tuple[object, ...] = ()

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        if not self.filters:
            return frame
        if self.graph is None or self.properties != _properties(frame):
            self.graph, self.properties = _graph(frame, *self.filters), _properties(frame)
        self.graph.push(frame)
        return self.graph.vpull()


def _graph(frame: av.VideoFrame, *filters: Filter) -> Graph:
    """A graph of filters for frames like this one."""
    graph = Graph()
    nodes = [graph.add_buffer(width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, 25))]
    nodes += [graph.add(name, options) for name, options in filters]
    nodes += [graph.add("buffersink")]
    graph.link_nodes(*nodes).configure()
    return graph


def _properties(frame: av.VideoFrame) -> tuple[object, ...]:
    """What a graph of filters must know of its frames."""
    return frame.width, frame.height, frame.format.name
