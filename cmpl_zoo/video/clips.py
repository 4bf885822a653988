"""From a video file to the tensor that a model takes: its test views."""

import os
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import functional as tv

from cmpl_zoo.video.sampling import uniform_clips
from cmpl_zoo.video.video import Video

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def resolve_clip_config(model: nn.Module) -> dict[str, Any]:
    """The clip settings that a model expects, as keyword arguments of `load_clip`.

    Returns:
        `frames`, `stride`, `clips` and `crops` from `model.clip`; `size` (height, width), `crop_pct`, `mean` and
        `std` from `model.pretrained_cfg`. They come with a trained model.

    Raises:
        ValueError: the model carries no clip settings, as an image model does not, or wants other clips than of RGB.
    """
    if not isinstance(clip := getattr(model, "clip", None), dict):
        raise ValueError(
            f"{type(model).__name__} has no clip settings (model.clip): make the model with cmpl_zoo.create_model, "
            "without features_only, or pass frames, stride and size to load_clip yourself"
        )
    if model.in_chans != 3:
        raise ValueError(
            f"load_clip makes clips of 3 channels, and the model takes {model.in_chans}; make them yourself"
        )
    cfg: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    return {
        **clip,
        "size": tuple(cfg["input_size"][1:]),
        "crop_pct": cfg["crop_pct"],
        "mean": tuple(cfg["mean"]),
        "std": tuple(cfg["std"]),
    }


def load_views(
    path: str | os.PathLike[str],
    frames: int,
    stride: int,
    size: Sequence[int],
    crop_pct: float = 0.875,
    clips: int = 1,
    crops: int = 1,
) -> Tensor:
    """The test views of a video, not yet normalized; arguments and errors as in `load_clip`.

    Returns:
        uint8 (clips * crops, 3, frames, height, width), the crops of a clip together.
    """
    if min(frames, stride, clips, *size) < 1 or not 0 < crop_pct <= 1:
        raise ValueError(
            f"frames, stride, clips and both of size must be at least 1 and crop_pct above 0, up to 1, not {frames}, "
            f"{stride}, {clips}, {size} and {crop_pct}"
        )
    short_side = round(max(size) / crop_pct)

    def small(frame: Tensor) -> Tensor:
        """What `crop_views` begins with, one by one as frames come: 80 frames of a phone's 4K are 2 GB."""
        return tv.resize(frame.permute(2, 0, 1), [short_side], antialias=True)

    with Video(path) as video:
        indices = uniform_clips(video.num_frames, frames, stride, clips)
        pictures = video.read([i for clip in indices for i in clip], small)
    views = crop_views(pictures, size, short_side, crops)  # (crops, clips * frames, C, H, W)
    views = views.unflatten(1, (clips, frames)).transpose(0, 1).flatten(0, 1)
    return views.transpose(1, 2).contiguous()


def load_clip(
    path: str | os.PathLike[str],
    frames: int = 8,
    stride: int = 8,
    size: Sequence[int] = (224, 224),
    crop_pct: float = 0.875,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    clips: int = 1,
    crops: int = 1,
) -> Tensor:
    """A video as the batch of clips that a model takes: `model(load_clip(path, **resolve_clip_config(model)))`.

    Clips are spread evenly over the video and loop where it is shorter; the short side is resized to
    max(size) / crop_pct; crops lie at the centre, or at the centre and both ends of the longer side. A video's
    class probabilities are the mean of the softmax over its views (10 x 3 is usual). Of a damaged video
    that ends before its header says, the last frame that decodes stands for those that are lost (`cmpl-zoo check`
    finds such files).

    Args:
        path: video file, GIF, or folder of JPEG or PNG frames.
        frames: frames of a clip.
        stride: distance between two frames, in frames of the video.
        size: height and width of a crop, in pixels.
        crop_pct: size over the short side that frames are resized to, in (0, 1].
        mean: of each channel, of values in 0..1.
        std: of each channel, of values in 0..1.
        clips: number of clips.
        crops: 1 or 3.

    Returns:
        float32 (clips * crops, 3, frames, height, width), normalized.

    Raises:
        VideoError: nothing of the file can be decoded.
        ValueError: `crops` is neither 1 nor 3, or another number is out of its range.
    """
    views = load_views(path, frames, stride, size, crop_pct, clips, crops)
    return normalize(views.to(torch.float32), mean, std)


def crop_views(frames: Tensor, size: Sequence[int], short_side: int, crops: int = 1) -> Tensor:
    """Test crops: resize the short side, then crop at the centre, or at both ends and the centre.

    Args:
        frames: (T, C, H, W) uint8.
        size: height and width of a crop, in pixels.
        short_side: short side after resizing, in pixels, at least max(size).
        crops: 1 (centre) or 3 (both ends and the middle of the longer side).

    Returns:
        (crops, T, C, height, width) uint8.

    Raises:
        ValueError: `crops` is neither 1 nor 3.
    """
    if crops not in (1, 3):
        raise ValueError(f"crops must be 1 (centre) or 3 (both ends and the centre), not {crops}")
    frames = tv.resize(frames, [short_side], antialias=True)
    (height, width), (h, w) = frames.shape[-2:], size
    along_width = width >= height
    room = (width - w) if along_width else (height - h)
    offsets = [round(room / 2)] if crops == 1 else [0, round(room / 2), room]
    top, left = round((height - h) / 2), round((width - w) / 2)
    return torch.stack([tv.crop(frames, *((top, x) if along_width else (x, left)), h, w) for x in offsets])


def normalize(clips: Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> Tensor:
    """uint8 clips (..., C, T, H, W) in 0..255 as float32, scaled to 0..1, minus the mean, over the std."""
    # Made on the CPU and sent without waiting: torch.tensor(..., device="cuda") would stop the GPU at every call.
    shift = 255 * torch.tensor(mean).to(clips.device, non_blocking=True)[:, None, None, None]
    scale = 255 * torch.tensor(std).to(clips.device, non_blocking=True)[:, None, None, None]
    return (clips - shift) / scale
