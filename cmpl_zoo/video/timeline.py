"""Random access: which packets a decoder needs for the frames that are wanted, by their timestamps.

A timeline tells where each frame stands in presentation order and where a decoder can start. Reading by it gives the
frames that a decode from the start gives, or raises `NotAsPlanned`, after which the caller decodes from the start.
"""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

WORTH_A_TIMELINE = 8  # frames not to decode; going through the packets of ten seconds costs about as much as six


class NotAsPlanned(Exception):
    """Packets or frames are not what the timeline says; decoding everything from the start always works."""


class Packet(NamedTuple):
    """What is known of a packet without decoding it.

    Attributes:
        pts: presentation timestamp in the stream's time base, None where the file does not tell.
        key: a decoder can start here.
        shown: it makes a frame; an edit list hides some.
    """

    pts: int | None
    key: bool
    shown: bool


class Timeline:
    """Where frames stand in presentation order, and where a decoder can start.

    Args:
        packets: by timestamp, in the order of the file.
        reordering: how many frames may be decoded before one that is shown before them.

    Attributes:
        pts: timestamps of the frames, rising.
        keys: timestamps of the keyframes, rising.
        proof: packets to read past the last frame wanted, to see that none of them makes an earlier frame.
    """

    def __init__(self, packets: dict[int, Packet], reordering: int) -> None:
        self.packets = packets
        # Timestamps in the order of the file can be those of decoding, as AVI has them. If a frame is shown before
        # one that is decoded before it, one of so many packets more makes such a frame, and the order is seen to fail.
        self.proof = reordering if list(packets) == sorted(packets) else 0
        self.pts = sorted(pts for pts, packet in packets.items() if packet.shown)
        self.keys = sorted(pts for pts, packet in packets.items() if packet.key)

    def key_before(self, index: int) -> int:
        """Timestamp of the last keyframe at or before a presentation index."""
        return self.keys[bisect_right(self.keys, self.pts[index]) - 1]


def timeline_of(packets: Collection[Packet], reordering: int) -> Timeline | None:
    """None where the timestamps cannot be trusted, or no keyframe is at or before the first frame."""
    by_pts = {packet.pts: packet for packet in packets if packet.pts is not None}
    if len(by_pts) < len(packets):
        return None
    timeline = Timeline(by_pts, reordering)
    return timeline if timeline.keys and timeline.pts and timeline.keys[0] <= timeline.pts[0] else None


def packets_of(demuxed: Iterable[av.Packet]) -> list[Packet]:
    """What a whole file holds, or as much of it as there is."""
    packets = []
    with suppress(FFmpegError):  # the file ends early
        for packet in demuxed:
            if packet.size:
                packets.append(Packet(packet.pts, packet.is_keyframe, not packet.is_discard))
    return packets


def packets_in_header(container: InputContainer, stream: VideoStream) -> list[Packet]:
    """The same as the header of an MP4 tells it, with the times of decoding; empty where it tells less."""
    entries = stream.index_entries
    if len(entries) != stream.frames or "mp4" not in container.format.name:
        return []
    return [Packet(entry.timestamp, entry.is_keyframe, not entry.is_discard) for entry in entries]


def saves_decoding(stream: VideoStream, wanted: list[int]) -> bool:
    """Whether a timeline may save more decoding than it costs, as far as the header tells.

    Args:
        stream: of the open file.
        wanted: presentation indices, rising.
    """
    count, entries = stream.frames, stream.index_entries
    worth = max(WORTH_A_TIMELINE, count // 50)
    gaps = list(zip([0, *wanted], wanted, strict=False))
    if count != len(entries):
        return any(b - a > worth for a, b in gaps)
    if _h264_prefix(stream) and stream.codec_context.reorder_depth:
        return wanted[-1] + 1 - len(wanted) > worth  # unreferenced frames are among them
    keys = [index for index, entry in enumerate(entries) if entry.is_keyframe]
    return sum(max(0, keys[bisect_right(keys, b) - 1] - a - 1) for a, b in gaps if keys) > worth


def frames_from(
    container: InputContainer, stream: VideoStream, timeline: Timeline, key: int, targets: Collection[int]
) -> Iterator[av.VideoFrame]:
    """The frames that are needed from a keyframe to the last target; every one of them, and in order.

    Args:
        container: the open file.
        stream: of it.
        timeline: of the stream.
        key: timestamp of the keyframe.
        targets: timestamps of the frames that are wanted.

    Raises:
        NotAsPlanned: the file holds other packets than the timeline says, or damaged or interlaced pictures.
    """
    missing = {key, *targets}
    sent: list[int] = []
    shown: list[int] = []
    try:
        container.seek(key, stream=stream, backward=True)
    except FFmpegError as error:
        raise NotAsPlanned from error
    packets = _needed_packets(container, stream, missing, sent, timeline)
    for frame in decoded(packets, []):
        # Damage is filled from the frame decoded before; of interlaced video, a packet may hold half a frame.
        if frame.pts is None or frame.is_corrupt or frame.interlaced_frame:
            raise NotAsPlanned
        if frame.pts >= key:  # those before refer to frames that were not decoded
            shown.append(frame.pts)
            yield frame
    if missing or shown != sorted(pts for pts in sent if pts >= key):
        raise NotAsPlanned


def decoded(packets: Iterator[av.Packet], errors: list[FFmpegError]) -> Iterator[av.VideoFrame]:
    """Frames in presentation order, up to the first error after a frame, which is then the only one in `errors`."""
    begun, packet = False, None
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            for frame in packet.decode():
                begun = True
                errors.clear()
                yield frame
        except FFmpegError as error:
            errors[:] = [error]
            if begun or packet is None:
                return


def _needed_packets(
    container: InputContainer, stream: VideoStream, missing: set[int], sent: list[int], timeline: Timeline
) -> Iterator[av.Packet]:
    """Packets from here until none of `missing` is, without unreferenced ones; `sent` collects those that make a
    frame."""
    more = timeline.proof
    prefix = 0 if timeline.proof else _h264_prefix(stream)
    for packet in container.demux(stream):
        if packet.size:
            if packet.pts is None or packet.pts not in timeline.packets:
                raise NotAsPlanned
            if prefix and packet.pts not in missing and _is_unreferenced(packet, prefix):
                continue
            missing.discard(packet.pts)
            if not packet.is_discard:
                sent.append(packet.pts)
        yield packet
        if not missing:
            if more == 0:
                break
            more -= 1
    end = av.Packet()
    end.stream = stream
    yield end  # the decoder hands out what it holds back for reordering


def _h264_prefix(stream: VideoStream) -> int:
    """Bytes that tell the length of a unit in H.264 as MP4 and MKV hold it (ISO/IEC 14496-15), 0 for all else."""
    context = stream.codec_context
    header = context.extradata or b""
    return (header[4] & 3) + 1 if context.name == "h264" and len(header) > 6 and header[0] == 1 else 0


def _is_unreferenced(packet: av.Packet, prefix: int) -> bool:
    """Whether no frame is predicted from an H.264 packet: nal_ref_idc of all its units is 0 (H.264, 7.4.1)."""
    data, at, slices = memoryview(packet), 0, 0
    while at + prefix < len(data):
        header = data[at + prefix]
        if header & 0x60:
            return False
        slices += 1 <= header & 0x1F <= 5
        at += prefix + int.from_bytes(data[at : at + prefix], "big")
    return slices > 0 and at == len(data)
