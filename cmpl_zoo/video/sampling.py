"""Which frames make a clip, by their indices in the presentation order of a video. There are three ways:

- `stride` frames apart, as the paper has it. It gives 8 frames, but no stride and no test views; stride 8 and 10 clips
  x 3 crops are our choice, and usual in the field.
- `stride` times 1/fps seconds apart, by the timestamps of the frames: the same motion at every frame rate.
- spread over the whole video: one frame from each of as many equal parts as the clip has frames (TSN, ECCV 2016,
  section 3.1), for trimmed videos of unequal length, such as words, signs and gestures.

With a stride, a video shorter than a clip loops: if it has as many frames as the stride, the clip is one frame
repeated.
"""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import torch

# Two timestamps may be this much nearer or farther than their frames, in seconds: some containers count in milliseconds
# (MKV, FLV) or in 1/600 s (QuickTime).
TIMESTAMP_SLACK = 0.002
FAR = 1.5  # two frame rates are far apart from this ratio on: 25 and 30 are near, 15 and 30 are far; our choice


def random_clips(
    times: int | Sequence[float], frames: int | Sequence[int], strides: Sequence[float]
) -> list[list[int]]:
    """One random clip per stride for training, all with the same center in time.

    The start of the longest clip is uniform over all frames at which it fits. Random numbers come from torch's global
    generator. All of this is our choice.

    Args:
        times: when each frame of the video is shown, in seconds, rising from 0; or their number, at least 1, to count
            frames instead.
        frames: frames of every clip, or of each.
        strides: from one frame of a clip to the next, in seconds, or where `times` is a number in frames; one clip per
            stride.

    Returns:
        Per stride a list of the indices of its frames.
    """
    times = range(times) if isinstance(times, int) else times
    lengths = [frames] * len(strides) if isinstance(frames, int) else frames
    spans = [min((length - 1) * stride, times[-1]) for length, stride in zip(lengths, strides, strict=True)]
    starts = bisect_right(times, times[-1] - max(spans) + TIMESTAMP_SLACK)
    start = times[int(torch.randint(starts, ()))]
    return [
        _clip(times, start + (max(spans) - span) / 2, length, stride)
        for span, length, stride in zip(spans, lengths, strides, strict=True)
    ]


def uniform_clips(times: int | Sequence[float], frames: int, stride: float, clips: int) -> list[list[int]]:
    """Clips for testing, whose starts are spread evenly from the first frame to the last at which a clip fits.

    A single clip is taken from the middle.

    Args:
        times: as in `random_clips`.
        frames: frames of a clip.
        stride: from one frame of a clip to the next, as in `random_clips`.
        clips: number of clips, at least 1.

    Returns:
        `clips` lists of `frames` indices of frames.
    """
    times = range(times) if isinstance(times, int) else times
    last = bisect_right(times, times[-1] - min((frames - 1) * stride, times[-1]) + TIMESTAMP_SLACK) - 1
    starts = [last // 2] if clips == 1 else [round(i * last / (clips - 1)) for i in range(clips)]
    return [_clip(times, times[start], frames, stride) for start in starts]


def random_spread(num_frames: int, frames: int) -> list[int]:
    """A clip for training that is spread over the video: a random frame of each of `frames` equal parts.

    Args:
        num_frames: frames of the video, at least 1; where they are fewer than those of a clip, some repeat.
        frames: frames of a clip.

    Returns:
        `frames` indices in [0, num_frames), not falling.
    """
    places = (torch.arange(frames, dtype=torch.float64) + torch.rand(frames, dtype=torch.float64)) / frames
    return (places * num_frames).long().clamp(max=num_frames - 1).tolist()


def uniform_spread(num_frames: int, frames: int, clips: int) -> list[list[int]]:
    """Clips for testing that are spread over the video: the frames in the middle of `frames` equal parts.

    Several clips (our choice) take frames that are spread evenly over each part.

    Args:
        num_frames: as in `random_spread`.
        frames: frames of a clip.
        clips: number of clips, at least 1.

    Returns:
        `clips` lists of `frames` indices in [0, num_frames).
    """
    places = range(1, 2 * clips, 2)  # in a part, of 2 * clips
    return [
        [(2 * clips * part + place) * num_frames // (2 * clips * frames) for part in range(frames)] for place in places
    ]


def clips_for_testing(
    num_frames: int,
    seconds: Sequence[float] | None,
    frames: int,
    stride: float = 8,
    clips: int = 1,
    fps: float | None = None,
    spread: bool = False,
) -> list[list[int]]:
    """Clips for testing as the settings of a model say, which are the last five.

    Args:
        num_frames: as in `uniform_spread`.
        seconds: when each frame is shown; looked at only with `fps`, and None where there are no times.
        frames: frames of a clip.
        stride: as in `uniform_clips`, in frames or, with `fps` and `seconds`, in 1/fps seconds.
        clips: as in `uniform_clips`.
        fps: how many frames a second `stride` counts.
        spread: spread a clip over the video, whatever its stride.

    Returns:
        `clips` lists of `frames` indices of frames.
    """
    if spread:
        return uniform_spread(num_frames, frames, clips)
    if fps and seconds is not None:
        return uniform_clips(seconds, frames, stride / fps, clips)
    return uniform_clips(num_frames, frames, stride, clips)


def evenly(count: int, most: int) -> list[int]:
    """Indices below `count`, all or so many of them, from the first to the last."""
    return np.unique(np.linspace(0, count - 1, most).astype(int)).tolist()


def far_apart(one: float, other: float) -> bool:
    """Whether two frame rates differ so much that a network which counts frames sees another motion."""
    return max(one, other) >= FAR * min(one, other)


def _clip(times: Sequence[float], start: float, frames: int, stride: float) -> list[int]:
    """The frames shown at `start` and every `stride` after it: of each time the last frame that is not later.

    The video loops at its end, at which its last frame has been shown as long as the others on average.
    """
    end = times[-1] * len(times) / (len(times) - 1) if len(times) > 1 else 1
    return [bisect_right(times, (start + i * stride) % end + TIMESTAMP_SLACK) - 1 for i in range(frames)]
