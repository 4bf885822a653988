"""Reading frames of videos by their place in presentation order.

What counts as the frames of a file: those that a plain decode from its start yields, up to the first packet that
cannot be decoded (packets before the first frame that decodes are passed over). Every way of reading here gives the
same frames, but for one: damage in a stretch that a seek skips is not seen, so that a frame behind it can be read,
under the index that its timestamp gives it.
"""

import io
import operator
import os
import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, overload

import av
import av.logging
import numpy as np
import torch
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.reformatter import VideoReformatter
from PIL import Image
from torch import Tensor

from cmpl_zoo.data.shards import read_member

PICTURES = {".jpg", ".jpeg", ".png"}
TEXT_FORMATS = {"tty", "concat", "hls", "dash"}  # text that FFmpeg draws as video, or that lists other files
WORTH_A_SEEK = 16  # frames to skip; opening the file again, for its timestamps, costs about as much as decoding those

# FFmpeg's remarks on single packets name no file and would bury the error that does.
av.logging.set_level(av.logging.PANIC)


class VideoError(Exception):
    """Nothing of a file can be decoded; the message is the path and the cause."""


@dataclass(frozen=True)
class VideoInfo:
    """What `probe` tells.

    Attributes:
        frames: number of frames, at least 1: as the file states it, else counted.
        fps: average frames a second, None where the file does not tell.
        height: in pixels, after display rotation.
        width: in pixels, after display rotation.
    """

    frames: int
    fps: float | None
    height: int
    width: int


class _SeekFailed(Exception):
    """A seek did not lead where the timestamps say; decoding from the start always does."""


class _Timeline:
    """Where packets stand in presentation order, and where a decoder can start."""

    def __init__(self, packets: list[tuple[int, bool]]) -> None:
        times = sorted(packets)
        self.place: dict[int | None, int] = {pts: index for index, (pts, _) in enumerate(times)}
        self.keys = [index for index, (_, key) in enumerate(times) if key]
        self.pts = [times[index][0] for index in self.keys]

    def key_before(self, index: int) -> int:
        """Which of `keys` is the last at or before a presentation index."""
        return max(0, bisect_right(self.keys, index) - 1)


class Video:
    """An open video file, GIF, or folder of JPEG or PNG frames (in natural order of their names).

    A context manager: one open file serves `num_frames`, `info` and any number of reads.

    Args:
        path: the file or folder, or the address of a video within a shard (see `shards.py`).

    Raises:
        VideoError: it is missing, empty, no video, or nothing of it decodes (the last from `info` and `read`).
        StorageError: the shard cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._container: InputContainer | None = None
        self._pictures: list[Path] = []
        self._content: bytes | None = None  # of a video within a shard
        self._reformatter = VideoReformatter()
        if os.path.isdir(self.path):
            files = (file for file in Path(self.path).iterdir() if file.suffix.lower() in PICTURES)
            self._pictures = sorted(files, key=_natural_order)
            if not self._pictures:
                raise VideoError(f"{self.path}: a folder without JPEG or PNG frames; give a video or such a folder")
        else:
            self._content = read_member(self.path)
            self._open()

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()

    @cached_property
    def num_frames(self) -> int:
        """Frames, at least 1: as the file states it, else counted without decoding where its codec allows."""
        if self._pictures:
            return len(self._pictures)
        if self._stream.frames > 0:
            if "mp4" in self._container.format.name:  # type: ignore[union-attr]
                # An edit list (a cut without encoding again) leaves samples in the file that are never shown.
                return max(1, sum(not entry.is_discard for entry in self._stream.index_entries))
            return self._stream.frames
        if self._stream.codec_context.name in ("vp8", "libvpx"):  # some packets are never shown
            count = sum(1 for _ in self._frames())
        else:
            count = len(self._packets)
        return max(1, count)

    @cached_property
    def info(self) -> VideoInfo:
        """Number of frames, frames a second and size; see `probe`."""
        first = self.read([0])
        height, width = first.shape[1:3]
        rate = None if self._pictures else self._stream.average_rate or self._stream.guessed_rate
        return VideoInfo(self.num_frames, float(rate) if rate else None, height, width)

    def read(self, indices: Sequence[int] | Tensor) -> Tensor:
        """The frames of these indices; see `read_frames`."""
        return self.read_delivered(indices)[0]

    def read_delivered(self, indices: Sequence[int] | Tensor) -> tuple[Tensor, list[int]]:
        """The frames of these indices, and the indices that were delivered; see `read_frames`."""
        wanted = [operator.index(i) for i in (indices.tolist() if isinstance(indices, Tensor) else indices)]
        if not wanted or min(wanted) < 0:
            raise ValueError(f"indices must be one or more whole numbers from 0, not {wanted}")
        distinct = sorted(set(wanted))
        if self._pictures:
            frames, last = self._read_pictures(distinct)
        else:
            try:
                frames, last = self._decode(distinct, self._timeline(distinct))
            except _SeekFailed:
                frames, last = self._decode(distinct, None)
        delivered = [min(index, last) for index in wanted]
        return torch.from_numpy(np.stack([frames[index] for index in delivered])), delivered

    # Folders of pictures

    def _read_pictures(self, wanted: list[int]) -> tuple[dict[int, np.ndarray], int]:
        last = len(self._pictures) - 1
        return {index: self._picture(index) for index in {min(index, last) for index in wanted}}, last

    def _picture(self, index: int) -> np.ndarray:
        """A picture as (H, W, 3), in the size of the first."""
        file = self._pictures[index]
        try:
            with Image.open(file) as picture, Image.open(self._pictures[0]) as first:
                rgb = picture.convert("RGB")
                return np.array(rgb if rgb.size == first.size else rgb.resize(first.size))
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise VideoError(f"{file}: not a picture that can be decoded ({error})") from error

    # Files

    def _open(self) -> None:
        """Open the file, or open it again to read from its start."""
        self.close()
        try:
            if self._content is None:
                if not os.path.exists(self.path):
                    raise VideoError(f"{self.path}: there is no such file")
                if not os.path.isfile(self.path) or os.path.getsize(self.path) == 0:
                    raise VideoError(f"{self.path}: the file is empty")
            # As a file, whatever its name looks like, and never anything that a playlist in it points to.
            options = {"protocol_whitelist": "file"}
            source: Any = f"file:{self.path}" if self._content is None else io.BytesIO(self._content)
            self._container = av.open(source, "r", metadata_errors="replace", options=options)
        except (FFmpegError, OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or error
            raise VideoError(f"{self.path}: not a video that FFmpeg can open ({cause})") from error
        streams = [s for s in self._container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams or streams[0].codec_context is None or self._container.format.name in TEXT_FORMATS:
            self.close()
            raise VideoError(f"{self.path}: no video stream that can be decoded")
        self._stream = streams[0]
        self._stream.thread_type = "NONE"  # loader workers already run side by side
        self._stream.codec_context.thread_count = 1
        self._untouched = True

    def _demux(self) -> Iterator[av.Packet]:
        """Packets from the start; the last one is empty and flushes the decoder."""
        if not self._untouched:
            self._open()
        self._untouched = False
        return self._container.demux(self._stream)  # type: ignore[union-attr]

    @cached_property
    def _packets(self) -> list[tuple[int | None, bool]]:
        """Timestamp of every packet that makes a frame, and whether it is a keyframe."""
        packets: list[tuple[int | None, bool]] = []
        with suppress(FFmpegError):  # the file ends early
            for packet in self._demux():
                if packet.size and not packet.is_discard:
                    packets.append((packet.pts, packet.is_keyframe))
        return packets

    def _frames(self) -> Iterator[av.VideoFrame]:
        """All frames from the start."""
        return self._decoded(self._demux())

    def _decoded(self, packets: Iterator[av.Packet]) -> Iterator[av.VideoFrame]:
        """Frames in presentation order, up to the first error after a frame."""
        begun = False
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                for frame in packet.decode():
                    begun = True
                    yield frame
            except FFmpegError:
                if begun or packet is None:
                    return

    def _timeline(self, wanted: list[int]) -> _Timeline | None:
        """Timestamps to seek by, where a keyframe lies ahead that saves decoding, and where they can be trusted."""
        gaps = [gap for gap in zip([0, *wanted], wanted, strict=False) if gap[1] - gap[0] > WORTH_A_SEEK]
        entries = self._stream.index_entries
        if gaps and len(entries) == self._stream.frames:
            keys = [index for index, entry in enumerate(entries) if entry.is_keyframe]
            gaps = [(a, b) for a, b in gaps if any(a + WORTH_A_SEEK < key <= b for key in keys)]
        if not gaps:
            return None
        packets = [(pts, key) for pts, key in self._packets if pts is not None]
        if not packets or len({pts for pts, _ in packets}) < len(self._packets):
            return None
        return _Timeline(packets)

    def _decode(self, wanted: list[int], timeline: _Timeline | None) -> tuple[dict[int, np.ndarray], int]:
        """The pictures of ascending indices, and the index of the last frame, where the file ends before."""
        pictures: dict[int, np.ndarray] = {}
        source, position, sought = self._frames(), 0, False
        frame = first = next(source, None)
        if frame is None or first is None:
            raise VideoError(f"{self.path}: none of its frames can be decoded; the file is damaged")
        if timeline and timeline.place.get(first.pts) != 0:  # the file's first packets make no frame
            raise _SeekFailed
        for index in wanted:
            if timeline and timeline.keys[key := timeline.key_before(index)] > position + WORTH_A_SEEK:
                source, position, sought = self._frames_from(timeline, key), timeline.keys[key] - 1, True
            while position < index and (following := next(source, None)) is not None:
                frame, position = following, position + 1
                if timeline and timeline.place.get(frame.pts) != position:
                    raise _SeekFailed
            if position < index:  # the end
                break
            pictures[index] = self._picture_of(frame, first)
        if position < wanted[-1]:
            if sought:  # frames before the seek may be the last that decode
                raise _SeekFailed
            pictures[position] = self._picture_of(frame, first)
        return pictures, position

    def _frames_from(self, timeline: _Timeline, key: int) -> Iterator[av.VideoFrame]:
        """Frames from a keyframe on; those that the decoder puts before it belong to the stretch skipped."""
        container = self._container
        assert container is not None
        start = timeline.pts[key]
        try:
            container.seek(start, stream=self._stream, backward=True)
        except FFmpegError as error:
            raise _SeekFailed from error
        return (f for f in self._decoded(container.demux(self._stream)) if f.pts is None or f.pts >= start)

    def _picture_of(self, frame: av.VideoFrame, first: av.VideoFrame) -> np.ndarray:
        """A frame as RGB (H, W, 3), in the size of the first frame and turned and mirrored as that one asks."""
        rgb = self._reformatter.reformat(frame, first.width, first.height, "rgb24", threads=1).to_ndarray()
        display: Any = first.side_data.get("DISPLAYMATRIX")  # a buffer; the stub says object
        if display is None:
            return rgb
        # A pixel (x, y) is shown at (a x + c y, b x + d y).
        a, b, _, c, d = (int(value) for value in np.frombuffer(display, np.int32)[:5])
        if abs(b) > abs(a):
            rgb, a, d = rgb.transpose(1, 0, 2), c, b
        return np.ascontiguousarray(rgb[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def probe(path: str | os.PathLike[str]) -> VideoInfo:
    """Number of frames, frames a second and size of a video, GIF, or folder of frames.

    Decodes one frame, for its size and rotation, and no more where the file states its number of frames.

    Raises:
        VideoError: nothing of it can be decoded.
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
    """Frames of a video, GIF, or folder of JPEG or PNG frames, by their place in presentation order.

    The same pixels as decoding everything and picking, display rotation applied, but decoding no more than it must:
    up to the last frame wanted, and from the nearest keyframe where that skips some.

    Args:
        path: the file or folder.
        indices: places from 0, in any order, repeated or not. One past the end of what decodes gives the last
            frame that does.
        return_indices: also return the indices that were delivered.

    Returns:
        uint8 RGB (len(indices), height, width, 3), and the delivered indices if asked for.

    Raises:
        VideoError: nothing of the file can be decoded; the message names it and the cause.
        ValueError: no index, or a negative one.
    """
    with Video(path) as video:
        frames, delivered = video.read_delivered(indices)
    return (frames, delivered) if return_indices else frames


def _natural_order(file: Path) -> list[tuple[int, int | str]]:
    """img_2 before img_10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", file.name)]
