"""Classes of videos by a file of `cmpl-zoo export`, with numpy, PyAV and onnxruntime alone.

    python onnx_predict.py model.onnx VIDEO ...

Prints the five most probable classes of each video, as `cmpl-zoo predict` does. It reads video files that are stored as
they are shown: upright, with square pixels. `cmpl-zoo prepare` makes such copies of others, which it refuses. Of a
damaged file it knows only the frames before the damage, and its probabilities differ.

Exit status: 0, 1 where a video could not be read.
"""

import json
import os
import sys
from bisect import bisect_right

import av
import numpy as np
import onnxruntime

ROUNDING = 0.002  # seconds by which some containers round the times of frames


def frame_indices(seconds, frames, clips, stride=1, fps=None, spread=False):
    """The frames of each clip; `seconds` holds when each frame of the video is shown, from 0."""
    count = len(seconds)
    if spread:
        return [
            [(2 * clips * part + place) * count // (2 * clips * frames) for part in range(frames)]
            for place in range(1, 2 * clips, 2)
        ]
    times, step = (seconds, stride / fps) if fps else (list(range(count)), stride)
    last = bisect_right(times, times[-1] - min((frames - 1) * step, times[-1]) + ROUNDING) - 1
    starts = [last // 2] if clips == 1 else [round(i * last / (clips - 1)) for i in range(clips)]
    end = times[-1] * count / (count - 1) if count > 1 else 1  # where the video begins again
    return [
        [bisect_right(times, (times[start] + i * step) % end + ROUNDING) - 1 for i in range(frames)] for start in starts
    ]


def resize_weights(length, new_length):
    """(new_length, length): how much of each pixel is in each new one, by linear interpolation, antialiased."""
    scale = length / new_length
    width = max(scale, 1)
    centers = (np.arange(new_length) + 0.5) * scale
    first = np.maximum((centers - width + 0.5).astype(int), 0)[:, None]
    last = np.minimum((centers + width + 0.5).astype(int), length)[:, None]
    pixels = np.arange(length)
    weights = np.maximum(1 - np.abs(pixels + 0.5 - centers[:, None]) / width, 0) * (first <= pixels) * (pixels < last)
    return weights / weights.sum(1, keepdims=True)


def resize(image, short_side):
    """uint8 (height, width, 3) with its short side of that many pixels."""
    height, width = image.shape[:2]
    scale = short_side / min(height, width)
    new_height, new_width = (short_side, int(width * scale)) if height <= width else (int(height * scale), short_side)
    image = np.rint(np.einsum("xw,hwc->hxc", resize_weights(width, new_width), image, optimize=True))
    return np.rint(np.einsum("yh,hxc->yxc", resize_weights(height, new_height), image, optimize=True)).astype(np.uint8)


def decoded(path, container, stream):
    """The frames of a video; where it is damaged, those before."""
    count = 0
    try:
        for frame in container.decode(stream):
            if frame.rotation or stream.sample_aspect_ratio not in (None, 0, 1):
                raise ValueError(f"{path}: is not stored as it is shown; cmpl-zoo prepare makes an upright copy")
            count += 1
            yield frame
    except av.FFmpegError:
        if not count:
            raise
        print(f"{path}: is damaged after {count} frames, and the rest is left out", file=sys.stderr)


def read_views(path, frames, clips, crops, size, crop_pct, mean, std, **sampling):
    """float32 (clips * crops, 3, frames, height, width), normalized."""
    with av.open(path) as container:
        if (stream := container.streams.best("video")) is None:
            raise ValueError(f"{path}: has no video")
        rate, times = stream.guessed_rate, [frame.time for frame in decoded(path, container, stream)]
    # Some files have no timestamps, or wrong ones, and state a rate.
    timed = None not in times and times == sorted(times) and times[-1] > times[0]
    seconds = [time - times[0] if timed else index / float(rate) for index, time in enumerate(times)]
    indices = frame_indices(seconds, frames, clips, **sampling)
    wanted, images = {index for clip in indices for index in clip}, {}
    with av.open(path) as container:
        for index, frame in enumerate(decoded(path, container, container.streams.best("video"))):
            if index in wanted:
                images[index] = resize(frame.to_ndarray(format="rgb24"), round(max(size) / crop_pct))
            if index >= max(wanted):
                break
    video = np.stack([[images[index] for index in clip] for clip in indices]).astype(np.float32)
    video = ((video / 255 - mean) / std).astype(np.float32).transpose(0, 4, 1, 2, 3)  # (clips, 3, frames, h, w)
    (height, width), (h, w) = video.shape[-2:], size
    top, left = round((height - h) / 2), round((width - w) / 2)
    along_width = width >= height
    margin = width - w if along_width else height - h
    offsets = [round(margin / 2)] if crops == 1 else [0, round(margin / 2), margin]
    places = [(top, offset) if along_width else (offset, left) for offset in offsets]
    views = np.stack([video[..., y : y + h, x : x + w] for y, x in places], axis=1)
    return views.reshape(-1, *views.shape[2:])


def main(file, paths):
    if not os.path.isfile(file):
        sys.exit(f"{file}: there is no such file; cmpl-zoo export MODEL -o {file} writes one")
    session = onnxruntime.InferenceSession(file)
    about = session.get_modelmeta().custom_metadata_map
    names, clip = json.loads(about["class_names"]), json.loads(about["clip"])
    unreadable = 0
    for path in paths:
        try:
            views = read_views(path, **clip)
        except (ValueError, OSError, av.FFmpegError) as error:
            print(error if path in str(error) else f"{path}: {error}", file=sys.stderr)
            unreadable += 1
            continue
        logits = session.run(["logits"], {"clips": views})[0]
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = (exponents / exponents.sum(axis=1, keepdims=True)).mean(axis=0)
        print(path)
        for index in np.argsort(-probabilities, kind="stable")[:5]:
            print(f"  {probabilities[index]:7.2%}  {names[index]}")
    return 1 if unreadable else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
