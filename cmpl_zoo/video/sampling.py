"""Which frames make a clip: `frames` indices, `stride` apart, in the presentation order of a video.

The paper gives 8 frames; the stride and the test views are open there, so 8 and 10 clips x 3 crops are our
choice, as they are the field's habit. A video shorter than a clip loops, at the same stride: one of as many frames as
the stride is long shows one picture over and over.
"""

from collections.abc import Sequence

import torch


def clip_span(frames: int, stride: int) -> int:
    """Video frames from the first to the last frame of a clip, both counted."""
    return (frames - 1) * stride + 1


def clip_at(start: int, frames: int, stride: int, num_frames: int) -> list[int]:
    """The indices of a clip that begins at `start`, looping past the end of the video."""
    return [(start + i * stride) % num_frames for i in range(frames)]


def random_clips(num_frames: int, frames: int, strides: Sequence[int]) -> list[list[int]]:
    """One random clip per stride, all around the same moment of the video (training).

    The start of the longest clip is uniform over the starts that fit; the others share its centre. Draws from torch's
    global generator.

    Args:
        num_frames: frames of the video, at least 1.
        frames: frames of a clip.
        strides: distance between two frames of a clip, in video frames; one clip for each.

    Returns:
        For each stride, `frames` indices in [0, num_frames).
    """
    longest = min(clip_span(frames, max(strides)), num_frames)
    start = int(torch.randint(num_frames - longest + 1, ()))
    clips = []
    for stride in strides:
        span = min(clip_span(frames, stride), num_frames)
        centred = start + (longest - span) // 2
        clips.append(clip_at(centred, frames, stride, num_frames))
    return clips


def uniform_clips(num_frames: int, frames: int, stride: int, clips: int) -> list[list[int]]:
    """`clips` clips whose starts are spread evenly from the first to the last that fits (test).

    One clip is the middle one.

    Args:
        num_frames: frames of the video, at least 1.
        frames: frames of a clip.
        stride: distance between two frames of a clip, in video frames.
        clips: number of clips, at least 1.

    Returns:
        `clips` lists of `frames` indices in [0, num_frames).
    """
    last = num_frames - min(clip_span(frames, stride), num_frames)
    starts = [last // 2] if clips == 1 else [round(i * last / (clips - 1)) for i in range(clips)]
    return [clip_at(start, frames, stride, num_frames) for start in starts]
