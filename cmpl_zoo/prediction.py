"""Video in, ranked classes out."""

import os

import torch
from torch import nn

from cmpl_zoo.models.labels import label_names
from cmpl_zoo.video.clips import load_clip, resolve_clip_config


@torch.inference_mode()
def predict(model: nn.Module, path: str | os.PathLike[str], topk: int = 5) -> list[tuple[str, float]]:
    """The most probable classes of a video.

    Views as the model asks for them (`model.clip`), on the model's device; probabilities are the mean of the
    softmax over views.

    Args:
        model: a classifier of this zoo in evaluation mode (`model.eval()`), in any floating-point type.
        path: video file, GIF, or folder of JPEG or PNG frames.
        topk: number of classes, or all where there are fewer.

    Returns:
        (class name, probability in [0, 1]) pairs, most probable first.

    Raises:
        VideoError: nothing of the file can be decoded.
        RuntimeError: the model is in training mode.
        ValueError: the model has no classifier, or none of the settings that `resolve_clip_config` looks for.
    """
    views = resolve_clip_config(model)
    if not model.num_classes:
        raise ValueError("the model has no classifier (num_classes is 0), and predict ranks classes; give it one")
    if model.training:
        raise RuntimeError("the model is in training mode, in which the video would change it; call model.eval() first")
    clips = load_clip(path, **views)
    weight = next(model.parameters())
    probabilities = model(clips.to(weight.device, weight.dtype)).float().softmax(dim=1).mean(dim=0)
    names = label_names(model)
    best = probabilities.topk(min(topk, len(names)))
    return [(names[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]
