"""Which frames make a clip: `frames` indices, `stride` apart, in the presentation order of a video.

The paper gives 8 frames but no stride and no test views; stride 8 and 10 clips x 3 crops are our choice, and usual in
the field. A video shorter than a clip loops at the same stride: if it has as many frames as the stride, the clip is
one frame repeated.
"""

from collections.abc import Sequence

import torch


def clip_span(frames: int, stride: int) -> int:
    """Number of video frames from the first to the last frame of a clip, both included."""
    return (frames - 1) * stride + 1


def clip_indices(start: int, frames: int, stride: int, num_frames: int) -> list[int]:
    """The `frames` indices of a clip that begins at `start`; it loops at the end of the video."""
    return [(start + i * stride) % num_frames for i in range(frames)]


def random_clips(num_frames: int, frames: int, strides: Sequence[int]) -> list[list[int]]:
    """One random clip per stride for training, all with the same centre in time.

    The start of the longest clip is uniform over all starts that fit. Random numbers come from torch's global
    generator. All of this is our choice.

    Args:
        num_frames: frames of the video, at least 1.
        frames: frames of a clip.
        strides: distances between two frames of a clip, in video frames; one clip per stride.

    Returns:
        Per stride a list of `frames` indices in [0, num_frames).
    """
    longest = min(clip_span(frames, max(strides)), num_frames)
    start = int(torch.randint(num_frames - longest + 1, ()))
    clips = []
    for stride in strides:
        span = min(clip_span(frames, stride), num_frames)
        centred_start = start + (longest - span) // 2
        clips.append(clip_indices(centred_start, frames, stride, num_frames))
    return clips


def uniform_clips(num_frames: int, frames: int, stride: int, clips: int) -> list[list[int]]:
    """Clips for testing, whose starts are spread evenly from the first frame to the last start that fits.

    A single clip is taken from the middle.

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
    return [clip_indices(start, frames, stride, num_frames) for start in starts]
