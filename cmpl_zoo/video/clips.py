"""Test views: from a video file to the batch of clips that a model takes."""

import os
import warnings
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from itertools import pairwise
from typing import Any, NamedTuple, NotRequired, TypedDict, cast

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as tv

from cmpl_zoo.models.video_model import VideoModel
from cmpl_zoo.video.sampling import clips_for_testing
from cmpl_zoo.video.video import Video

# Frames of a clip that are this many seconds apart or more show no motion between them; our choice.
WIDEST_GAP = 2.0
_WHICH_FRAMES = {"frames", "stride", "clips", "fps", "spread"}  # settings that choose the frames of clips
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ViewConfig(TypedDict):
    """The settings of the test views of a video, as keyword arguments of `load_views`, which explains them."""

    frames: int
    stride: NotRequired[int]
    fps: NotRequired[float]
    spread: NotRequired[bool]
    clips: int
    crops: int
    size: tuple[int, int]
    crop_pct: float


class ClipConfig(ViewConfig):
    """The views of a model and its normalization, as keyword arguments of `load_clip`, which explains them."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


def resolve_clip_config(model: nn.Module) -> ClipConfig:
    """The clip settings that a model expects, as keyword arguments of `load_clip`.

    Returns:
        The settings of `model.clip` (see `VideoModel`); `size` (height, width), `crop_pct`, `mean` and `std` from
        `model.pretrained_cfg`. A trained model brings them with it.

    Raises:
        ValueError: the model has no clip settings, as an image model, its input is not RGB, or it cannot take clips of
            these settings.
    """
    if not isinstance(clip := getattr(model, "clip", None), dict):
        raise ValueError(
            f"{type(model).__name__} has no clip settings (model.clip): make the model with cmpl_zoo.create_model, "
            "without features_only, or pass frames, stride and size to load_clip yourself"
        )
    if model.in_chans != 3:
        raise ValueError(
            f"load_clip makes clips of 3 channels, and the model takes {model.in_chans}; make the clips yourself"
        )
    cfg: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    height, width = cfg["input_size"][1:]
    if isinstance(model, VideoModel):
        model.check_input(clip["frames"], (height, width))
    return {  # type: ignore[typeddict-item]
        **clip,
        "size": (height, width),
        "crop_pct": cfg["crop_pct"],
        "mean": tuple(cfg["mean"]),
        "std": tuple(cfg["std"]),
    }


def view_config(config: ClipConfig) -> ViewConfig:
    """The same settings without `mean` and `std`."""
    return cast(ViewConfig, {key: value for key, value in config.items() if key not in ("mean", "std")})


def frame_times(video: Video, fps: float | None) -> tuple[int | Sequence[float], float]:
    """The times of the frames of a video, as the clips of `sampling.py` are made from, and how long a stride of 1 is.

    Without `fps`, or where the video has no frame rate, frames are counted and a stride of 1 is one frame; else times
    are in seconds and a stride of 1 is 1/fps.
    """
    if fps is None or (seconds := video.timestamps) is None:
        return video.num_frames, 1
    return seconds, 1 / fps


class Coverage(NamedTuple):
    """How much of a video its test views show.

    Attributes:
        frames: of the video.
        shown: how many of them are within the clips: between two frames of a clip that are less than `WIDEST_GAP`
            apart, or such a frame itself.
        fps: frames a second; None where the video has no frame rate.
    """

    frames: int
    shown: int
    fps: float | None


def coverage(video: Video, settings: Iterable[ViewConfig]) -> Coverage:
    """How much of an open video its test views of one or more settings show."""
    shown: set[int] = set()
    widest = WIDEST_GAP * (video.fps or 25)  # of pictures, which have no rate
    for views in settings:
        for clip in clips_of_views(video, views):
            indices = sorted(set(clip))
            shown.update(indices)
            for index, following in pairwise(indices):
                if following - index < widest:
                    shown.update(range(index, following))
    return Coverage(video.num_frames, len(shown), video.fps)


def clips_of_views(video: Video, views: ViewConfig) -> list[list[int]]:
    """The indices of the frames of each test clip of these settings."""
    return clip_indices(video, **{key: views[key] for key in _WHICH_FRAMES & views.keys()})  # type: ignore[literal-required]


def clip_indices(
    video: Video, frames: int, stride: int = 8, clips: int = 1, fps: float | None = None, spread: bool = False
) -> list[list[int]]:
    """The indices of the frames of each test clip; arguments as in `load_clip`."""
    seconds = video.timestamps if fps and not spread else None
    return clips_for_testing(video.num_frames, seconds, frames, stride, clips, fps, spread)


def load_views(
    path: str | os.PathLike[str] | Video,
    frames: int,
    stride: int = 8,
    size: int | Sequence[int] = (224, 224),
    crop_pct: float = 0.875,
    clips: int = 1,
    crops: int = 1,
    fps: float | None = None,
    spread: bool = False,
) -> Tensor:
    """The test views of a video, not yet normalized; arguments, warnings and errors as in `load_clip`.

    The path may also be an open `Video`, which stays open.

    Returns:
        uint8 (clips * crops, 3, frames, height, width); the crops of one clip follow each other.
    """
    size = (size, size) if isinstance(size, int) else size
    with nullcontext(path) if isinstance(path, Video) else Video(path) as video:
        return read_views(video, frames, stride, size, crop_pct, clips, crops, fps, spread)[0]


def read_views(
    video: Video,
    frames: int,
    stride: int = 8,
    size: Sequence[int] = (224, 224),
    crop_pct: float = 0.875,
    clips: int = 1,
    crops: int = 1,
    fps: float | None = None,
    spread: bool = False,
) -> tuple[Tensor, list[list[int]]]:
    """The views of `load_views` of an open video, and for each clip the indices of the frames that were read."""
    if min(frames, stride, clips, *size) < 1 or not 0 < crop_pct <= 1:
        raise ValueError(
            f"frames, stride, clips and both numbers of size must be at least 1 and crop_pct above 0, up to 1, not "
            f"{frames}, {stride}, {clips}, {size} and {crop_pct}"
        )
    if fps is not None and fps <= 0:
        raise ValueError(f"fps must be above 0, and is {fps}")
    short_side = short_side_at_test(size, crop_pct)

    def resize(frame: Tensor) -> Tensor:
        """The first step of `crop_views`, frame by frame to save memory: 80 frames of a phone's 4K video are 2 GB."""
        return tv.resize(frame.permute(2, 0, 1), [short_side], antialias=True)

    indices = clip_indices(video, frames, stride, clips, fps, spread)
    if fps and not spread:
        if video.timestamps is None:
            warnings.warn("pictures have no frame rate; their frames are counted, not timed", stacklevel=4)
        elif not video.timed:
            warnings.warn("a video without timestamps is read at the frame rate that it states", stacklevel=4)
    resized, found = video.read_with_indices([i for clip in indices for i in clip], resize)
    if (last := max(found)) < max(map(max, indices)):
        warnings.warn(
            f"{video.path}: only {last + 1} of its {video.num_frames} frames can be decoded; copies of the last "
            "one fill the clips",
            stacklevel=4,
        )
    views = crop_views(resized, size, short_side, crops)  # (crops, clips * frames, C, H, W)
    views = views.unflatten(1, (clips, frames)).transpose(0, 1).flatten(0, 1)
    read = [found[start : start + frames] for start in range(0, len(found), frames)]
    return views.transpose(1, 2).contiguous(), read


def load_clip(
    path: str | os.PathLike[str],
    frames: int = 8,
    stride: int = 8,
    size: int | Sequence[int] = (224, 224),
    crop_pct: float = 0.875,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    clips: int = 1,
    crops: int = 1,
    fps: float | None = None,
    spread: bool = False,
) -> Tensor:
    """The test views of a video, as a batch for a model: `model(load_clip(path, **resolve_clip_config(model)))`.

    Clips are spread evenly over the video; one that is longer than the video loops. The short side is resized to
    max(size) / crop_pct. Crops are at the center, or at the center and both ends of the longer side. A video's class
    probabilities are the mean of the softmax over its views (10 x 3 is usual). If a damaged video ends before its
    header says, its last readable frame replaces the lost ones, with a warning (`cmpl-zoo check` finds such files).

    Args:
        path: video file, GIF, or folder of JPEG or PNG frames.
        frames: frames of a clip.
        stride: distance between two frames of a clip, in frames of the video, or with `fps` in 1/fps seconds.
        size: height and width of a crop, in pixels, or one number for both.
        crop_pct: max(size) divided by the short side after resizing, in (0, 1].
        mean: mean of each channel, for values in 0..1.
        std: standard deviation of each channel, for values in 0..1.
        clips: clips per video.
        crops: crops per clip, 1 or 3.
        fps: read by time: the frame at each time is the last that is shown by then. A folder of pictures and a `.npy`
            file have no frame rate: their frames are counted; a file without timestamps is read at the rate that it
            states; with a warning each.
        spread: instead of a stride, frames spread over the video: from the middle of `frames` equal parts, or for
            several clips from several places of each part.

    Returns:
        float32 (clips * crops, 3, frames, height, width), normalized.

    Raises:
        VideoError: no frame of the file can be decoded.
        StorageError: the shard that holds the video cannot be read.
        ValueError: `crops` is neither 1 nor 3, or another number is out of range.
    """
    views = load_views(path, frames, stride, size, crop_pct, clips, crops, fps, spread)
    return normalize(views.to(torch.float32), mean, std)


def short_side_at_test(size: Sequence[int], crop_pct: float) -> int:
    """The short side in pixels that test frames are resized to, before a crop of this size is cut from them."""
    return round(max(size) / crop_pct)


def crop_views(frames: Tensor, size: Sequence[int], short_side: int, crops: int = 1) -> Tensor:
    """Test crops: resize the short side, then crop at the center, or at the center and both ends.

    Args:
        frames: (T, C, H, W) uint8.
        size: height and width of a crop, in pixels.
        short_side: short side after resizing, in pixels, at least max(size).
        crops: 1 (center) or 3 (both ends and the middle of the longer side).

    Returns:
        (crops, T, C, height, width) uint8.

    Raises:
        ValueError: `crops` is neither 1 nor 3.
    """
    if crops not in (1, 3):
        raise ValueError(f"crops must be 1 (center) or 3 (both ends and the center), not {crops}")
    frames = tv.resize(frames, [short_side], antialias=True)
    (height, width), (h, w) = frames.shape[-2:], size
    along_width = width >= height
    margin = (width - w) if along_width else (height - h)
    offsets = [round(margin / 2)] if crops == 1 else [0, round(margin / 2), margin]
    top, left = round((height - h) / 2), round((width - w) / 2)
    return torch.stack([tv.crop(frames, *((top, x) if along_width else (x, left)), h, w) for x in offsets])


def normalize(clips: Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> Tensor:
    """Normalize clips: scale 0..255 to 0..1, subtract the mean and divide by the standard deviation, per channel.

    Args:
        clips: (..., C, T, H, W) in 0..255, uint8 or floating point.
        mean: mean of each channel, for values in 0..1.
        std: standard deviation of each channel, for values in 0..1.

    Returns:
        Floating point, of the same shape: float32 for uint8.
    """
    # Made on the CPU and copied without waiting: torch.tensor(..., device="cuda") makes the GPU wait at every call.
    shift = 255 * torch.tensor(mean).to(clips.device, non_blocking=True)[:, None, None, None]
    scale = 255 * torch.tensor(std).to(clips.device, non_blocking=True)[:, None, None, None]
    return (clips - shift) / scale
