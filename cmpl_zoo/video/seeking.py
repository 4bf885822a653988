"""Random access: which packets must be decoded to get certain frames, by their timestamps.

A seek index holds the timestamps of all frames in presentation order, and of all keyframes, where decoding can start.
Reading by it gives the same frames as decoding from the start, or raises `SeekError`; the caller then decodes from
the start.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

# Reading the packets of ten seconds of video takes about as long as decoding six frames.
MIN_SAVED_FRAMES = 8


class SeekError(Exception):
    """The packets or frames are not as in the seek index, or cannot be trusted; decode from the start instead."""


class Packet(NamedTuple):
    """What a file says about a packet, without decoding it.

    Attributes:
        pts: presentation timestamp in the stream's time base, None if the file has none.
        dts: decoding timestamp, in the same unit, None if the file has none.
        key: it is a keyframe: decoding can start here.
        shown: its frame is shown; an edit list hides some.
    """

    pts: int | None
    dts: int | None
    key: bool
    shown: bool


class SeekIndex:
    """The timestamps of the frames of a video in presentation order, and of its keyframes.

    Args:
        packets: packets by timestamp, in the order of the file.
        reorder_depth: how many frames may be decoded before a frame that is shown earlier.

    Attributes:
        packets: as given.
        pts: timestamps of the frames, increasing.
        keys: timestamps of the keyframes, increasing.
        extra_packets: packets to read after the last wanted frame, to check that none of them is an earlier frame.
    """

    def __init__(self, packets: dict[int, Packet], reorder_depth: int) -> None:
        self.packets = packets
        # Timestamps that increase in the order of the file may be decoding timestamps, as in AVI. If frames are then
        # reordered after all, one of the next `reorder_depth` packets is an earlier frame, which reveals it.
        self.extra_packets = reorder_depth if list(packets) == sorted(packets) else 0
        self.pts = sorted(pts for pts, packet in packets.items() if packet.shown)
        self.keys = sorted(pts for pts, packet in packets.items() if packet.key)

    def key_before(self, index: int) -> int:
        """Timestamp of the last keyframe at or before the frame of this index."""
        return self.keys[bisect_right(self.keys, self.pts[index]) - 1]


def make_seek_index(packets: Collection[Packet], reorder_depth: int) -> SeekIndex | None:
    """The seek index of a video, or None if timestamps are missing or repeat, or its first frame has no keyframe.

    Args:
        packets: all packets, in the order of the file.
        reorder_depth: see `SeekIndex`.
    """
    by_pts = {packet.pts: packet for packet in packets if packet.pts is not None}
    if len(by_pts) < len(packets):
        return None
    seek_index = SeekIndex(by_pts, reorder_depth)
    return seek_index if seek_index.keys and seek_index.pts and seek_index.keys[0] <= seek_index.pts[0] else None


def read_packets(of_file: Iterable[av.Packet]) -> list[Packet]:
    """All packets of a file in its order, or those before the point where it breaks off."""
    packets = []
    with suppress(FFmpegError):  # the file breaks off
        for packet in of_file:
            if packet.size:
                packets.append(Packet(packet.pts, packet.dts, packet.is_keyframe, not packet.is_discard))
    return packets


def demuxed(container: InputContainer, stream: VideoStream) -> Iterator[av.Packet]:
    """All packets of a stream from the current position; the last one is empty and flushes the decoder."""
    flushed = False
    try:
        for packet in container.demux(stream):
            flushed = not packet.size
            yield packet
    except IndexError:  # PyAV's, at the end of a file in which another stream begins halfway
        if not flushed:
            yield _empty_packet(stream)


def _empty_packet(stream: VideoStream) -> av.Packet:
    """What makes a decoder give the frames that it keeps for reordering."""
    packet = av.Packet()
    packet.stream = stream
    return packet


def packets_in_header(container: InputContainer, stream: VideoStream) -> list[Packet]:
    """All packets as the header of an MP4 file lists them, with decoding timestamps; empty if it lists only some."""
    entries = stream.index_entries
    if len(entries) != stream.frames or "mp4" not in container.format.name:
        return []
    return [Packet(entry.timestamp, entry.timestamp, entry.is_keyframe, not entry.is_discard) for entry in entries]


def saves_decoding(stream: VideoStream, wanted: list[int]) -> bool:
    """Whether reading by a seek index probably saves more time than making it takes; the limits are our choice.

    Args:
        stream: the video stream of an open file.
        wanted: indices of the wanted frames, increasing.
    """
    count, entries = stream.frames, stream.index_entries
    least = max(MIN_SAVED_FRAMES, count // 50)
    gaps = list(zip([0, *wanted], wanted, strict=False))
    if not entries or count != len(entries):
        return any(b - a > least for a, b in gaps)
    if _h264_prefix(stream) and stream.codec_context.reorder_depth:
        return wanted[-1] + 1 - len(wanted) > least  # some of them are unreferenced
    keys = [index for index, entry in enumerate(entries) if entry.is_keyframe]
    return sum(max(0, keys[bisect_right(keys, b) - 1] - a - 1) for a, b in gaps if keys) > least


def decode_from_keyframe(
    container: InputContainer, stream: VideoStream, seek_index: SeekIndex, key: int, wanted: Collection[int]
) -> Iterator[av.VideoFrame]:
    """Frames from a keyframe to the last wanted one, in presentation order; skips some that are neither wanted nor
    needed to predict others.

    Args:
        container: the open file.
        stream: its video stream.
        seek_index: of the stream.
        key: timestamp of the keyframe.
        wanted: timestamps of the wanted frames.

    Raises:
        SeekError: the packets are not as in the seek index, decoding cannot start at the keyframe after all, or
            frames are damaged or interlaced.
    """
    missing = {key, *wanted}
    expected: list[int] = []
    decoded: list[int] = []
    # In transport streams FFmpeg looks for decoding timestamps, and those of showing come later.
    dts = seek_index.packets[key].dts if container.format.name == "mpegts" else None
    try:
        container.seek(key if dts is None else dts, stream=stream, backward=True)
    except FFmpegError as error:
        raise SeekError from error
    packets = _needed_packets(container, stream, missing, expected, seek_index)
    for frame in decode_packets(packets, []):
        # The decoder repairs damage from the frame before it, which may be another one here. A packet of interlaced
        # video may hold half a frame.
        if frame.pts is None or frame.is_corrupt or frame.interlaced_frame:
            raise SeekError
        # Some files name pictures as keyframes that are none, and a palette may come with any packet before.
        if frame.pts == key and (not frame.key_frame or frame.format.has_palette):
            raise SeekError
        if frame.pts >= key:  # earlier ones are predicted from frames that were not decoded
            decoded.append(frame.pts)
            yield frame
    if missing or decoded != sorted(pts for pts in expected if pts >= key):
        raise SeekError


def decode_range(
    container: InputContainer, stream: VideoStream, seek_index: SeekIndex, frames: range
) -> Iterator[av.VideoFrame]:
    """The frames of a range of indices in presentation order, decoded from the keyframe before the first of them.

    Args:
        container: the open file.
        stream: its video stream.
        seek_index: of the stream.
        frames: indices of frames, at least one.

    Raises:
        SeekError: as `decode_from_keyframe`; the frames until then are right.
    """
    if frames.stop > len(seek_index.pts):
        raise SeekError
    expected, position = seek_index.pts[frames.start : frames.stop], 0
    waiting: deque[av.VideoFrame] = deque()  # until the frames after it show that it is right; see `extra_packets`
    for frame in decode_from_keyframe(container, stream, seek_index, seek_index.key_before(frames.start), expected):
        assert frame.pts is not None
        if frame.pts < expected[0] or position == len(expected):
            continue
        if frame.pts != expected[position]:
            raise SeekError
        position += 1
        waiting.append(frame)
        if len(waiting) > seek_index.extra_packets:
            yield waiting.popleft()
    yield from waiting


def decode_packets(packets: Iterator[av.Packet], errors: list[FFmpegError]) -> Iterator[av.VideoFrame]:
    """Frames in presentation order, up to the first error after a frame; errors before the first frame are skipped.

    Args:
        packets: packets in the order of the file.
        errors: the last error is put here as its only item, if no frame follows it.
    """
    found, packet = False, None
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            for frame in packet.decode():
                found = True
                errors.clear()
                yield frame
        except FFmpegError as error:
            errors[:] = [error]
            if found or packet is None:
                return


def _needed_packets(
    container: InputContainer, stream: VideoStream, missing: set[int], expected: list[int], seek_index: SeekIndex
) -> Iterator[av.Packet]:
    """Packets from the current position until `missing` is empty; unreferenced ones are skipped if not wanted.

    Removes the timestamp of each packet from `missing`, and adds it to `expected` if its frame is shown.
    """
    extra = seek_index.extra_packets
    prefix = 0 if extra else _h264_prefix(stream)
    for packet in demuxed(container, stream):
        if packet.size:
            if packet.pts is None or packet.pts not in seek_index.packets:
                raise SeekError
            if prefix and packet.pts not in missing and _is_unreferenced(packet, prefix):
                continue
            missing.discard(packet.pts)
            if not packet.is_discard:
                expected.append(packet.pts)
        yield packet
        if not missing:
            if extra == 0:
                break
            extra -= 1
    yield _empty_packet(stream)


def _h264_prefix(stream: VideoStream) -> int:
    """Size in bytes of the length field of an H.264 unit in MP4 and MKV files (ISO/IEC 14496-15), 0 for all others."""
    context = stream.codec_context
    header = context.extradata or b""
    return (header[4] & 3) + 1 if context.name == "h264" and len(header) > 6 and header[0] == 1 else 0


def _is_unreferenced(packet: av.Packet, prefix: int) -> bool:
    """Whether no frame is predicted from an H.264 packet: nal_ref_idc of all its units is 0 (H.264, 7.4.1)."""
    data, offset, slices = memoryview(packet), 0, 0
    while offset + prefix < len(data):
        header = data[offset + prefix]
        if header & 0x60:
            return False
        slices += 1 <= header & 0x1F <= 5
        offset += prefix + int.from_bytes(data[offset : offset + prefix], "big")
    return slices > 0 and offset == len(data)
