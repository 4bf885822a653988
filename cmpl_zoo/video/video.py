"""Reading frames of videos by their place in presentation order.

What counts as the frames of a file: those that a plain decode from its start yields, up to the first packet that
cannot be decoded (packets before the first frame that decodes are passed over). Every way of reading here gives the
same frames, but for one: damage in packets that are passed over, as no wanted frame is predicted from them, is not
seen, so that a frame behind it can be read, under the index that its timestamp gives it.
"""

import io
import operator
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
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
from av.video.stream import VideoStream
from PIL import Image
from torch import Tensor

from cmpl_zoo.storage.shards import read_member
from cmpl_zoo.video.timeline import (
    NotAsPlanned,
    Packet,
    Timeline,
    decoded,
    frames_from,
    packets_in_header,
    packets_of,
    saves_decoding,
    timeline_of,
)

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png"}
TEXT_FORMATS = {"tty", "concat", "hls", "dash"}  # text that FFmpeg draws as video, or that lists other files

Each = Callable[[Tensor], Tensor]

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


class Video:
    """An open video file, GIF, folder of JPEG or PNG frames (in natural order of their names), or `.npy` file.

    A `.npy` file holds decoded frames, uint8 (frames, height, width, 3), and is read without loading the rest.

    A context manager: one open file serves `num_frames`, `info` and any number of reads.

    Args:
        path: the file or folder, or the address of a video within a shard (see `storage/shards.py`).

    Attributes:
        path: as it was given.
        container: the open file as PyAV has it; None for a folder or a `.npy` file.
        stream: the video stream that is read; only of a file.
        decode_error: what ended the last decode from the start early, "" where nothing did.

    Raises:
        VideoError: it is missing, empty, no video, or nothing of it decodes (the last from `info` and `read`).
        StorageError: the shard cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self.container: InputContainer | None = None
        self.stream: VideoStream
        self._pictures: list[Path] = []
        self._array: np.ndarray | None = None
        self._content: bytes | None = None  # of a video within a shard
        self.decode_error = ""
        self._reformatter = VideoReformatter()
        if os.path.isdir(self.path):
            files = (file for file in Path(self.path).iterdir() if file.suffix.lower() in PICTURE_SUFFIXES)
            # Archives made on a Mac hold a hidden ._NAME beside each picture, which is none.
            self._pictures = sorted((file for file in files if file.name[0] != "."), key=_natural_order)
            if not self._pictures:
                raise VideoError(f"{self.path}: a folder without JPEG or PNG frames; give a video or such a folder")
        elif self.path.endswith(".npy"):
            self._array = self._map()
        else:
            self._content = read_member(self.path)
            self._open()

    def __enter__(self) -> "Video":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        if self.container is not None:
            self.container.close()

    @cached_property
    def num_frames(self) -> int:
        """Frames, at least 1: as the file states it, else counted without decoding where its codec allows."""
        if self._pictures:
            return len(self._pictures)
        if self._array is not None:
            return len(self._array)
        if self.stream.frames > 0:
            if "mp4" in self.container.format.name:  # type: ignore[union-attr]
                # An edit list (a cut without encoding again) leaves samples in the file that are never shown.
                return max(1, sum(not entry.is_discard for entry in self.stream.index_entries))
            # An AVI file states the places of frames that were dropped, too; its index has those that there are.
            if self.container.format.name != "avi" or len(self.stream.index_entries) == self.stream.frames:  # type: ignore[union-attr]
                return self.stream.frames
        if self.stream.codec_context.name in ("vp8", "libvpx"):  # some packets are never shown
            count = sum(1 for _ in self._frames())
        else:
            count = sum(packet.shown for packet in self._packets)
        return max(1, count)

    @cached_property
    def info(self) -> VideoInfo:
        """Number of frames, frames a second and size; see `probe`."""
        first = self.read([0])
        height, width = first.shape[1:3]
        rate = None if self.container is None else self.stream.average_rate or self.stream.guessed_rate
        return VideoInfo(self.num_frames, float(rate) if rate else None, height, width)

    def read(self, indices: Sequence[int] | Tensor, each: Each | None = None) -> Tensor:
        """The frames of these indices; see `read_frames`.

        Args:
            indices: as in `read_frames`.
            each: what to make of a frame, uint8 (height, width, 3), once it is decoded: where all of them together
                would take much memory and less of each is wanted. It must make tensors of one shape.
        """
        return self.read_delivered(indices, each)[0]

    def read_delivered(self, indices: Sequence[int] | Tensor, each: Each | None = None) -> tuple[Tensor, list[int]]:
        """The frames of these indices, and the indices that were delivered; see `read` and `read_frames`."""
        wanted = [operator.index(i) for i in (indices.tolist() if isinstance(indices, Tensor) else indices)]
        if not wanted or min(wanted) < 0:
            raise ValueError(f"indices must be one or more whole numbers from 0, not {wanted}")
        distinct = sorted(set(wanted))
        each = each or _as_it_is
        if self.container is None:  # frames, each on its own
            last = self.num_frames - 1
            read = self._read_picture if self._pictures else self._read_array
            frames = {index: each(read(index)) for index in {min(index, last) for index in distinct}}
        else:
            try:
                packets_known = "_packets" in self.__dict__
                seek = packets_known or saves_decoding(self.stream, distinct)
                decode = self._decode_some if seek else self._decode_all
                frames, last = decode(distinct, each)
            except NotAsPlanned:
                frames, last = self._decode_all(distinct, each)
        delivered = [min(index, last) for index in wanted]
        return torch.stack([frames[index] for index in delivered]), delivered

    def decode(self) -> Iterator[av.VideoFrame]:
        """Every frame from first to last as FFmpeg decodes it, not yet RGB: the same that `read` gives and that are
        counted where the file does not state their number.

        Pictures of a folder and frames of a `.npy` file come as RGB frames without timestamps. What ended the frames
        early is in `decode_error` once they have been taken.

        Raises:
            VideoError: there is no frame.
        """
        self.decode_error = ""
        frames = self._decode_file() if self.container else self._decode_one_by_one()
        first = next(frames, None)
        if first is None:
            cause = f" ({self.decode_error})" if self.decode_error else ""
            raise VideoError(f"{self.path}: none of its frames can be decoded{cause}")
        yield first
        yield from frames

    def _decode_file(self) -> Iterator[av.VideoFrame]:
        errors: list[FFmpegError] = []
        yield from decoded(self._demux(), errors)
        if errors:
            self.decode_error = (errors[0].strerror or str(errors[0])).splitlines()[0]

    def _decode_one_by_one(self) -> Iterator[av.VideoFrame]:
        for index in range(self.num_frames):
            try:
                picture = self.read([index])[0].numpy()
            except VideoError as error:
                self.decode_error = str(error)
                return
            yield av.VideoFrame.from_ndarray(picture, "rgb24")

    # Folders of pictures

    def _read_picture(self, index: int) -> Tensor:
        """A picture as (H, W, 3), in the size of the first."""
        file = self._pictures[index]
        try:
            with Image.open(file) as picture, Image.open(self._pictures[0]) as first:
                rgb = picture.convert("RGB")
                return torch.from_numpy(np.array(rgb if rgb.size == first.size else rgb.resize(first.size)))
        except Exception as error:  # a damaged one raises whatever its decoder comes upon
            raise VideoError(f"{file}: not a picture that can be decoded ({error})") from error

    # Files of decoded frames

    def _read_array(self, index: int) -> Tensor:
        return torch.from_numpy(np.array(self._array[index]))  # type: ignore[index]

    def _map(self) -> np.ndarray:
        try:
            array = np.load(self.path, mmap_mode="r", allow_pickle=False)
        except Exception as error:  # numpy reads the header as Python, and a damaged one raises what Python does
            raise VideoError(f"{self.path}: not a .npy file that can be read ({error})") from error
        if not isinstance(array, np.ndarray):
            raise VideoError(f"{self.path}: an archive of arrays; decoded frames are one array in a .npy file")
        if array.dtype != np.uint8 or array.ndim != 4 or array.shape[3] != 3 or not array.size:
            raise VideoError(
                f"{self.path}: holds {array.dtype} of shape {array.shape}; decoded frames are uint8 (frames, height, "
                "width, 3)"
            )
        return array

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
            self.container = av.open(source, "r", metadata_errors="replace", options=options)
        except (FFmpegError, OSError, ValueError) as error:
            cause = getattr(error, "strerror", None) or error
            raise VideoError(f"{self.path}: not a video that FFmpeg can open ({cause})") from error
        streams = [s for s in self.container.streams.video if not s.disposition & Disposition.attached_pic]
        if not streams or streams[0].codec_context is None or self.container.format.name in TEXT_FORMATS:
            self.close()
            raise VideoError(f"{self.path}: no video stream that can be decoded")
        self.stream = streams[0]
        self.stream.thread_type = "NONE"  # loader workers already run side by side
        self.stream.codec_context.thread_count = 1
        self._untouched = True

    def _demux(self) -> Iterator[av.Packet]:
        """Packets from the start; the last one is empty and flushes the decoder."""
        if not self._untouched:
            self._open()
        self._untouched = False
        return self.container.demux(self.stream)  # type: ignore[union-attr]

    @cached_property
    def _packets(self) -> list[Packet]:
        return packets_of(self._demux())

    @cached_property
    def _timeline(self) -> Timeline | None:
        reordering = self.stream.codec_context.reorder_depth
        known = (not reordering and packets_in_header(self.container, self.stream)) or self._packets  # type: ignore[arg-type]
        return timeline_of(known, reordering)

    def _frames(self) -> Iterator[av.VideoFrame]:
        """All frames from the start."""
        return decoded(self._demux(), [])

    def _decode_all(self, wanted: list[int], each: Each) -> tuple[dict[int, Tensor], int]:
        """What `each` makes of ascending indices, and the index of the last frame, where the file ends before."""
        pictures: dict[int, Tensor] = {}
        source, position = self._frames(), 0
        frame = first = next(source, None)
        if frame is None or first is None:
            raise VideoError(f"{self.path}: none of its frames can be decoded; the file is damaged")
        for index in wanted:
            while position < index and (following := next(source, None)) is not None:
                frame, position = following, position + 1
            pictures[position] = each(self._picture_of(frame, first))
            if position < index:  # the end
                break
        return pictures, position

    def _decode_some(self, wanted: list[int], each: Each) -> tuple[dict[int, Tensor], int]:
        """The same by the timeline: from the keyframe before a frame, and only what that frame is predicted from."""
        timeline = self._timeline
        if timeline is None or wanted[-1] >= len(timeline.pts):
            raise NotAsPlanned
        pictures: dict[int, Tensor] = {}
        first = None
        for key, indices in groupby(sorted({0, *wanted}), timeline.key_before):
            targets = {timeline.pts[index]: index for index in indices}
            self._untouched = False
            for frame in frames_from(self.container, self.stream, timeline, key, targets):  # type: ignore[arg-type]
                first = first or frame
                if frame.pts in targets:
                    pictures[targets[frame.pts]] = each(self._picture_of(frame, first))
        return pictures, wanted[-1]

    def _picture_of(self, frame: av.VideoFrame, first: av.VideoFrame) -> Tensor:
        """A frame as RGB (H, W, 3), in the size of the first frame and turned and mirrored as that one asks."""
        rgb = self._reformatter.reformat(frame, first.width, first.height, "rgb24", threads=1).to_ndarray()
        transposed, upside_down, mirrored = orientation(first)
        if transposed:
            rgb = rgb.transpose(1, 0, 2)
        return torch.from_numpy(np.ascontiguousarray(rgb[:: -1 if upside_down else 1, :: -1 if mirrored else 1]))


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
    """Frames of a video, GIF, folder of JPEG or PNG frames, or `.npy` file, by their place in presentation order.

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


def orientation(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """How a frame asks to be shown: transposed, and after that upside down, and left to right."""
    display: Any = frame.side_data.get("DISPLAYMATRIX")  # a buffer; the stub says object
    if display is None:
        return False, False, False
    # A pixel (x, y) is shown at (a x + c y, b x + d y).
    a, b, _, c, d = (int(value) for value in np.frombuffer(display, np.int32)[:5])
    if transposed := abs(b) > abs(a):
        a, d = c, b
    return transposed, d < 0, a < 0


def _as_it_is(frame: Tensor) -> Tensor:
    return frame


def _natural_order(file: Path) -> list[tuple[int, int | str]]:
    """img_2 before img_10."""
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in re.split(r"(\d+)", file.name)]
