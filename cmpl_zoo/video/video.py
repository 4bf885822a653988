"""Reading the frames of a video, or of a segment of it, by index, in presentation order.

The frames of a file are those that decoding from its start gives, up to the first packet that cannot be decoded;
packets before the first decodable frame are skipped. All ways of reading give the same frames, with one exception:
random access skips packets that no wanted frame depends on, and so does not see damage in them. A frame after such
damage can then be read, under the index that its timestamp gives.
"""

import io
import operator
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import groupby, islice
from typing import Literal, overload

import av
import torch
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream
from torch import Tensor

from cmpl_zoo.storage.shards import read_member
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.file_index import keep_index, kept_index
from cmpl_zoo.video.images import AnimatedImage, FrameArray, ImageFolder
from cmpl_zoo.video.opening import NO_FRAME, open_video
from cmpl_zoo.video.seeking import (
    Packet,
    SeekError,
    SeekIndex,
    decode_from_keyframe,
    decode_packets,
    decode_range,
    demuxed,
    make_seek_index,
    packets_in_header,
    read_packets,
    saves_decoding,
)
from cmpl_zoo.video.segments import frames_in_segment, split_fragment
from cmpl_zoo.video.shown import as_rgb, pixel_shape, shape_of
from cmpl_zoo.video.times import regular_ticks, starts_inside_gop, stated_rate, ticks_of_frames, usable_ticks

FrameTransform = Callable[[Tensor], Tensor]
# The same for all segments of a file.
INDEX = ("_packets", "_seek_index", "_ticks", "_times_in_file", "_frames_of_file")


@dataclass(frozen=True)
class VideoInfo:
    """The result of `video_info`.

    Attributes:
        frames: number of frames, at least 1: as the file states it, else counted.
        fps: average frames per second, None if the file does not tell.
        height: in pixels, as shown: with square pixels, after display rotation.
        width: in pixels, as shown.
    """

    frames: int
    fps: float | None
    height: int
    width: int


class Video:
    """An open video file, GIF, WebP, folder of JPEG or PNG frames (in natural order of their names), or `.npy` file.

    A `.npy` file holds decoded frames, uint8 (frames, height, width, 3); only the frames asked for are loaded. Of
    several video streams, the one is read that FFmpeg calls best, as players do.

    A path may end in a segment, as `clip.mp4#t=10,20` (see `segments.py`): the video then has the frames of the file
    whose timestamps are in it, and no others.

    A context manager: the file is opened once for `num_frames`, `info` and any number of reads.

    Args:
        path: the file or folder, or the address of a video in a shard (see `storage/shards.py`), or a segment of it.

    Attributes:
        path: as given.
        file: the path without its segment.
        segment: the segment that is read; None for all of the file.
        container: the open PyAV container; None for a folder, a `.npy` file or a WebP image.
        stream: the video stream that is read; not set where `container` is None.
        decode_error: the error that ended the last `decode` early, "" if there was none.

    Raises:
        VideoError: it is missing, empty, not a video, has a malformed segment or one although it has no time; or none
            of its frames can be decoded or is in the segment (the last two are raised by what needs the frames).
        StorageError: the shard cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.file, self.segment = split_fragment(self.path)
        self.container: InputContainer | None = None
        self.stream: VideoStream
        self._images: ImageFolder | FrameArray | AnimatedImage | None = None
        self._content: bytes | None = None  # of a video in a shard
        self.decode_error = ""
        self._reformatter = VideoReformatter()
        if os.path.isdir(self.file):
            self._images = ImageFolder(self.file)
        elif self.file.endswith(".npy"):
            self._images = FrameArray(self.file)
        else:
            self._content = read_member(self.file)
            self._open()
        if self.segment is not None and self._images is not None:
            self.close()
            raise VideoError(f"{self.path}: pictures have no times to take a segment by; give {self.file} without one")
        if self.segment is not None:
            self.__dict__.update(kept_index(self.file))

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self.container is not None:
            self.container.close()
            if self.segment is not None:
                keep_index(self.file, {name: self.__dict__[name] for name in INDEX if name in self.__dict__})
        if isinstance(self._images, AnimatedImage):
            self._images.close()

    @cached_property
    def num_frames(self) -> int:
        """Number of frames, at least 1: as the file states it, else counted, decoding as little as possible; of a
        segment by the timestamps."""
        return self._frames_of_file if self.segment is None else len(self._segment_frames)

    @cached_property
    def lost_at_start(self) -> int:
        """How many frames at the start of the file do not decode, as those that they are predicted from are missing."""
        if self.container is None or self._stated_frames is not None or self._some_hidden:
            return 0
        packets = self._listed_packets
        return sum(packet.shown for packet in packets) - self._frames_of_file if starts_inside_gop(packets) else 0

    @cached_property
    def info(self) -> VideoInfo:
        """Number of frames, frames per second and size; see `video_info`."""
        first = self.read([0])
        height, width = first.shape[1:3]
        return VideoInfo(self.num_frames, self.fps, height, width)

    @cached_property
    def timed(self) -> bool:
        """Whether the file tells when each frame is shown: its timestamps are there, increase, and are plausible."""
        return bool(self._ticks)

    @cached_property
    def fps(self) -> float | None:
        """Average frames per second, by the timestamps, else (see `timed`) as the codec states it; None for folders
        and `.npy` files, which have no rate, or if the file tells neither."""
        if self.segment is None:
            return self._rate(self._ticks)
        ticks = self._ticks[self._segment_frames.start : self._segment_frames.stop]
        return self._rate(ticks if len(ticks) > 1 else self._ticks)

    @cached_property
    def timestamps(self) -> list[float] | None:
        """When each of the `num_frames` frames is shown, in seconds from the first of them (0.0), increasing.

        At even distances of 1 / `fps` if the file is not `timed`, and after the end of a file that breaks off. None
        where `fps` is None. Costs little if the file's header lists its packets at one rate; else all packets are read,
        but not decoded.
        """
        times = self._times_in_file
        if self.segment is None or times is None:
            return times
        frames = self._segment_frames
        return [time - times[frames.start] for time in times[frames.start : frames.stop]]

    @cached_property
    def start(self) -> float:
        """Seconds from the first frame of the file to the first of this video: 0 unless it is a segment."""
        times = self._times_in_file
        return 0.0 if self.segment is None or times is None else times[self._segment_frames.start]

    @cached_property
    def pixel_shape(self) -> Fraction:
        """Width of a pixel divided by its height, as stored; frames are read with square ones (see `shown_size`).

        Some files tell it only once a frame is decoded.
        """
        return pixel_shape(self.stream) if self.container else Fraction(1)

    def read(self, indices: Sequence[int] | Tensor, transform: FrameTransform | None = None) -> Tensor:
        """The frames at these indices; see `read_frames`.

        Args:
            indices: as in `read_frames`.
            transform: applied to each frame, uint8 (height, width, 3), as soon as it is decoded, to save memory. Its
                results must have the same shape.

        Returns:
            uint8 RGB (len(indices), height, width, 3), or the results of `transform`, stacked.

        Raises:
            VideoError, ValueError: as `read_frames`.
        """
        return self.read_with_indices(indices, transform)[0]

    def read_with_indices(
        self, indices: Sequence[int] | Tensor, transform: FrameTransform | None = None
    ) -> tuple[Tensor, list[int]]:
        """As `read`, and the indices of the frames that were read; see `return_indices` of `read_frames`."""
        wanted = [operator.index(i) for i in (indices.tolist() if isinstance(indices, Tensor) else indices)]
        if not wanted or min(wanted) < 0:
            raise ValueError(f"indices must be one or more whole numbers from 0, not {wanted}")
        if self.segment is None:
            return self._read_file(wanted, transform or _unchanged)
        segment = self._segment_frames
        in_file = [segment.start + min(index, len(segment) - 1) for index in wanted]
        frames, found = self._read_file(in_file, transform or _unchanged)
        if min(found) < segment.start:
            raise self._no_frame()
        return frames, [index - segment.start for index in found]

    def _read_file(self, wanted: list[int], transform: FrameTransform) -> tuple[Tensor, list[int]]:
        """As `read_with_indices`, by the indices of frames in the file."""
        distinct = sorted(set(wanted))
        if self._images is not None:
            last = len(self._images) - 1
            frames = {i: transform(self._images.read(i)) for i in sorted({min(index, last) for index in distinct})}
        else:
            try:
                read_file = self._read_by_seek_index if self._should_seek(distinct) else self._read_from_start
                frames, last = read_file(distinct, transform)
            except SeekError:
                frames, last = self._read_from_start(distinct, transform)
        found = [min(index, last) for index in wanted]
        return torch.stack([frames[index] for index in found]), found

    def decode(self, passed: Callable[[], None] = lambda: None) -> Iterator[av.VideoFrame]:
        """All frames in presentation order, as FFmpeg decodes them, not yet RGB: the frames that `read` gives.

        Those of a folder, a `.npy` file or a WebP image come as RGB, without timestamps. If an error ends the frames
        early, `decode_error` holds it afterwards.

        Args:
            passed: called for each frame that is decoded on the way to the first one of a segment.

        Raises:
            VideoError: no frame can be decoded.
        """
        self.decode_error = ""
        if self.segment is not None:
            frames = self._decode_segment(passed)
        else:
            frames = self._decode_file() if self.container else self._decode_one_by_one()
        first = next(frames, None)
        if first is None:
            raise self._no_frame()
        yield first
        yield from frames

    def _decode_file(self) -> Iterator[av.VideoFrame]:
        errors: list[FFmpegError] = []
        yield from decode_packets(self._demux(), errors)
        if errors:
            self.decode_error = (errors[0].strerror or str(errors[0])).splitlines()[0]

    def _decode_segment(self, passed: Callable[[], None]) -> Iterator[av.VideoFrame]:
        frames = self._segment_frames
        index = frames.start
        if self._should_seek([index]) and (seek_index := self._seek_index):
            self._at_start = False
            with suppress(SeekError):
                for frame in decode_range(self.container, self.stream, seek_index, frames):  # type: ignore[arg-type]
                    yield frame
                    index += 1
        if index < frames.stop:
            for number, frame in enumerate(islice(self._decode_file(), frames.stop)):
                if number < index:
                    passed()
                else:
                    yield frame

    def _should_seek(self, wanted: list[int]) -> bool:
        """Whether frames of these indices, increasing, are better read by the seek index than from the start."""
        packets_known = "_packets" in self.__dict__
        return packets_known or saves_decoding(self.stream, wanted)

    def _decode_one_by_one(self) -> Iterator[av.VideoFrame]:
        for index in range(self.num_frames):
            try:
                rgb = self.read([index])[0].numpy()
            except VideoError as error:
                self.decode_error = str(error)
                return
            yield av.VideoFrame.from_ndarray(rgb, "rgb24")

    # Files

    def _open(self) -> None:
        """Open the file, or reopen it to read from its start."""
        self.close()
        self.container, self.stream = open_video(self.file, self._content)
        if self.container.format.name == "webp_pipe":
            self.container.close()
            file = self.file if self._content is None else io.BytesIO(self._content)
            self.container, self._images = None, AnimatedImage(self.file, file)
        self._at_start = True

    def _demux(self) -> Iterator[av.Packet]:
        """All packets from the start; the last one is empty and flushes the decoder."""
        if not self._at_start:
            self._open()
        self._at_start = False
        return demuxed(self.container, self.stream)  # type: ignore[arg-type]

    @cached_property
    def _packets(self) -> list[Packet]:
        return read_packets(self._demux())

    @property
    def _listed_packets(self) -> list[Packet]:
        """The packets as the header lists them, if it has their timestamps of presentation, else as they come."""
        in_header = [] if self._reorder_depth else packets_in_header(self.container, self.stream)  # type: ignore[arg-type]
        return in_header or self._packets

    @property
    def _reorder_depth(self) -> int:
        return self.stream.codec_context.reorder_depth

    @cached_property
    def _seek_index(self) -> SeekIndex | None:
        return make_seek_index(self._listed_packets, self._reorder_depth)

    @property
    def _time_base(self) -> Fraction:
        return self.stream.time_base or Fraction(1)

    @property
    def _stated_frames(self) -> int | None:
        """Number of frames as the header states it; None if it does not, or states more than can be decoded."""
        index = self.stream.index_entries
        if self.stream.frames == 0 or (index and not index[0].is_keyframe):
            return None
        if "mp4" in self.container.format.name:  # type: ignore[union-attr]
            # An edit list (from cutting without re-encoding) leaves samples in the file that are never shown.
            return sum(not entry.is_discard for entry in index)
        # The number in an AVI header includes dropped frames; its index does not.
        dropped = self.container.format.name == "avi" and len(index) != self.stream.frames  # type: ignore[union-attr]
        return None if dropped else self.stream.frames

    @cached_property
    def _frames_of_file(self) -> int:
        if self._images is not None:
            return len(self._images)
        stated = self._stated_frames
        return max(1, len(self._decoded_ticks) if stated is None else stated)

    @property
    def _some_hidden(self) -> bool:
        """Whether the codec has packets that are never shown, and do not say so."""
        return self.stream.codec_context.name in ("vp8", "libvpx")

    @cached_property
    def _decoded_ticks(self) -> list[int | None]:
        return ticks_of_frames(self._listed_packets, self._some_hidden, self._decode_from_start)

    @cached_property
    def _ticks(self) -> Sequence[float]:
        """Timestamps of the frames in units of `_time_base`; empty if they do not tell time, or there are none."""
        if self.container is None:
            return []
        return usable_ticks(regular_ticks(self.stream) or self._decoded_ticks, self._time_base)

    def _rate(self, ticks: Sequence[float]) -> float | None:
        """Frames per second of frames with these timestamps; see `fps`."""
        if self.container is None:
            return None
        stated = stated_rate(self.stream)
        if len(ticks) < 2:
            return stated
        measured = (len(ticks) - 1) / float((ticks[-1] - ticks[0]) * self._time_base)
        # Many containers round timestamps to milliseconds; the stated rate is exact.
        return stated if stated and abs(measured - stated) < stated / 200 else measured

    @cached_property
    def _times_in_file(self) -> list[float] | None:
        """The `timestamps` of all frames of the file."""
        if (rate := self._rate(self._ticks)) is None:
            return None
        base, first = float(self._time_base), self._ticks[0] if self._ticks else 0
        times = [(tick - first) * base for tick in self._ticks[: self._frames_of_file]] or [0.0]
        missing = self._frames_of_file - len(times)
        return times + [times[-1] + number / rate for number in range(1, missing + 1)]

    @cached_property
    def _segment_frames(self) -> range:
        """Indices in the file of the frames of the segment."""
        assert self.segment is not None
        return frames_in_segment(self.path, self.segment, self._times_in_file)

    def _decode_from_start(self) -> Iterator[av.VideoFrame]:
        """All frames."""
        return decode_packets(self._demux(), [])

    def _no_frame(self) -> VideoError:
        if self.container is not None and not self._packets:
            return VideoError(f"{self.path}: {NO_FRAME}")
        cause = f" ({self.decode_error})" if self.decode_error else "; the file is damaged"
        return VideoError(f"{self.path}: none of its frames can be decoded{cause}")

    def _read_from_start(self, wanted: list[int], transform: FrameTransform) -> tuple[dict[int, Tensor], int]:
        """Read frames by decoding all frames from the start to the last wanted one.

        Args:
            wanted: indices of the wanted frames, increasing.
            transform: see `read`.

        Returns:
            Index -> result of `transform`, and the index of the last frame read: the last of `wanted`, or the last
            frame of the file if that comes earlier; it then replaces the frames after it.
        """
        results: dict[int, Tensor] = {}
        frames, position = self._decode_from_start(), 0
        frame = first = next(frames, None)
        if frame is None or first is None:
            raise self._no_frame()
        for index in wanted:
            while position < index and (following := next(frames, None)) is not None:
                frame, position = following, position + 1
            results[position] = transform(self.as_shown(frame, first))
            if position < index:  # the file has ended
                break
        return results, position

    def _read_by_seek_index(self, wanted: list[int], transform: FrameTransform) -> tuple[dict[int, Tensor], int]:
        """As `_read_from_start`, but decoding only from the keyframe before each wanted frame.

        Raises:
            SeekError: the file has no reliable seek index, or ends before the last wanted frame.
        """
        seek_index = self._seek_index
        if seek_index is None or wanted[-1] >= len(seek_index.pts):
            raise SeekError
        results: dict[int, Tensor] = {}
        first = None
        for key, indices in groupby(sorted({0, *wanted}), seek_index.key_before):
            by_pts = {seek_index.pts[index]: index for index in indices}
            self._at_start = False
            for frame in decode_from_keyframe(self.container, self.stream, seek_index, key, by_pts):  # type: ignore[arg-type]
                first = first or frame
                if frame.pts in by_pts:
                    results[by_pts[frame.pts]] = transform(self.as_shown(frame, first))
        return results, wanted[-1]

    def as_shown(self, frame: av.VideoFrame, first: av.VideoFrame) -> Tensor:
        """A frame of `decode` as RGB, uint8 (height, width, 3), in the shown size and orientation of the first one.

        Raises:
            VideoError: FFmpeg cannot convert it.
        """
        try:
            return torch.from_numpy(as_rgb(frame, shape_of(first, self.pixel_shape), self._reformatter))
        except FFmpegError as error:
            kind = frame.format.name
            raise VideoError(f"{self.path}: FFmpeg cannot convert its pixels, {kind} ({error.strerror})") from error


def video_info(path: str | os.PathLike[str]) -> VideoInfo:
    """Number of frames, frames per second and size of a video, GIF, folder of frames, or `.npy` file.

    Decodes only the first frame if the file states its number of frames.

    Raises:
        VideoError: no frame of the file can be decoded.
        StorageError: the shard that holds the video cannot be read.
    """
    with Video(path) as video:
        return video.info


@overload
def read_frames(path: str | os.PathLike[str], indices: Sequence[int] | Tensor) -> Tensor: ...


@overload
def read_frames(
    path: str | os.PathLike[str], indices: Sequence[int] | Tensor, return_indices: Literal[True]
) -> tuple[Tensor, list[int]]: ...


def read_frames(
    path: str | os.PathLike[str], indices: Sequence[int] | Tensor, return_indices: bool = False
) -> Tensor | tuple[Tensor, list[int]]:
    """Frames of a video, GIF, folder of JPEG or PNG frames, or `.npy` file, by index in presentation order.

    The pixels equal those of a full decode, shown as players do: square, and with display rotation applied. Decoding
    stops at the last wanted frame, and starts at a keyframe where that saves time.

    Args:
        path: the file or folder, the address of a video in a shard, or a segment of it.
        indices: frame indices from 0, in any order, repeated or not. An index after the last decodable frame gives
            that frame.
        return_indices: also return the indices of the frames that were read.

    Returns:
        uint8 RGB (len(indices), height, width, 3), and with `return_indices` also a list of as many indices.

    Raises:
        VideoError: no frame of the file can be decoded; the message names the file and the cause.
        StorageError: the shard that holds the video cannot be read.
        ValueError: `indices` is empty or holds a negative number.
    """
    with Video(path) as video:
        frames, found = video.read_with_indices(indices)
    return (frames, found) if return_indices else frames


def _unchanged(frame: Tensor) -> Tensor:
    return frame
