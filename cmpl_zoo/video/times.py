"""When each frame of a file is shown, and how many there are, decoding as little as possible.

Times are counted in ticks, the units of a stream's time base.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

import av
from av.video.stream import VideoStream

from cmpl_zoo.video.seeking import Packet

MAX_FPS = 1000  # a file that tells of more frames per second has wrong timestamps (our choice)


def ticks_of_frames(
    packets: Sequence[Packet], some_hidden: bool, decode: Callable[[], Iterator[av.VideoFrame]]
) -> list[int | None]:
    """Timestamps of the frames that decode, in presentation order, None where the file has none.

    Packets may give no frame: some are never shown, and a file may start inside a group of pictures. For the latter,
    only the frames up to the first keyframe are decoded; all are if timestamps are missing, or the clock jumps back, as
    where two recordings are joined: the second may start inside a group of pictures.

    Args:
        packets: all packets, in the order of the file.
        some_hidden: the codec has packets that are never shown, and do not say so.
        decode: gives all frames that decode.
    """
    decoding = [packet.dts for packet in packets if packet.dts is not None]
    shown = sorted(packet.pts for packet in packets if packet.shown and packet.pts is not None)
    jumps = any(b < a for a, b in pairwise(decoding))
    told = not (some_hidden or jumps or any(packet.pts is None for packet in packets))
    if told and not starts_inside_gop(packets):
        return list(shown)
    ticks: list[int | None] = []
    for frame in decode():
        ticks.append(frame.pts)
        if told and frame.key_frame and (key := frame.pts) is not None:
            return [*ticks, *shown[bisect_right(shown, key) :]]
    return ticks


def starts_inside_gop(packets: Sequence[Packet]) -> bool:
    """Whether the first packet is no keyframe, or frames come before it that are predicted from missing ones."""
    first = packets[0].pts if packets else None
    earlier = first is not None and any(packet.pts is not None and packet.pts < first for packet in packets)
    return bool(packets) and (earlier or not packets[0].key)


def usable_ticks(ticks: Sequence[float | None], time_base: Fraction) -> list[float]:
    """The timestamps if they tell time, else an empty list: all are known, none decreases, most differ, and the rate
    is at most `MAX_FPS`."""
    known = [tick for tick in ticks if tick is not None]
    if not known or len(known) < len(ticks) or any(b < a for a, b in pairwise(known)):
        return []
    if len(known) > 1 and len(set(known)) <= len(known) / 2:
        return []
    return known if len(known) - 1 <= MAX_FPS * (known[-1] - known[0]) * float(time_base) else []


def stated_rate(stream: VideoStream) -> float | None:
    """Frames per second as the codec states it, or else the container."""
    # The codec comes first: the container's is an average of timestamps, and these may be wrong.
    context = stream.codec_context
    for rate in (stream.guessed_rate, context.framerate, stream.average_rate):
        if rate and rate <= MAX_FPS:
            return float(rate)
    return None


def regular_ticks(stream: VideoStream) -> list[float]:
    """Timestamps of the frames that are shown, if the index in the header lists all at one rate; else empty.

    An index holds decoding timestamps. Steps may differ by a twentieth, as rounding makes them, and none may be half a
    step off from where one rate has it, as where recordings of 24 and 25 frames a second are joined (our choice): such
    frames are evenly spaced in the order of presentation, too.
    """
    entries = stream.index_entries
    ticks = [entry.timestamp for entry in entries]
    steps = [b - a for a, b in pairwise(ticks)]
    if len(entries) != stream.frames or not steps or not 0 < max(steps) <= 1.05 * min(steps):
        return []
    step = (ticks[-1] - ticks[0]) / len(steps)
    if max(abs(tick - ticks[0] - index * step) for index, tick in enumerate(ticks)) > step / 2:
        return []
    return [index * step for index in range(sum(not entry.is_discard for entry in entries))]
