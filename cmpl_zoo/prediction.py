"""Video in, ranked classes out."""

import os
import warnings
from collections.abc import Sequence
from weakref import WeakSet

import torch
from timm.utils import ModelEma, unwrap_model
from torch import nn

from cmpl_zoo.models.config_json import ClipSettings, typical_fps
from cmpl_zoo.models.labels import check_logits, check_same_classes, label_names
from cmpl_zoo.video.clips import load_clip, resolve_clip_config
from cmpl_zoo.video.sampling import far_apart
from cmpl_zoo.video.video import Video

_warned: WeakSet[nn.Module] = WeakSet()  # models of whose frame rate something was said


@torch.inference_mode()
def predict(
    model: nn.Module | Sequence[nn.Module], path: str | os.PathLike[str], topk: int = 5
) -> list[tuple[str, float]]:
    """The most probable classes of a video, for a model or for several that vote.

    Each model sees the views that it asks for (`model.clip`), on its device; probabilities are the mean of the softmax
    over its views, and over the models. Warns once where a model counts frames and the video's frame rate is far from
    that of the videos it learned from, and of a video that ends early.

    Args:
        model: a classifier of this zoo in evaluation mode (`model.eval()`), in any floating-point type, also within
            `DataParallel`, `torch.compile` or an average of its weights; or several, of the same classes.
        path: video file, GIF, or folder of JPEG or PNG frames.
        topk: number of classes, or all where there are fewer.

    Returns:
        (class name, probability in [0, 1]) pairs, most probable first.

    Raises:
        VideoError: nothing of the file can be decoded.
        RuntimeError: a model is in training mode, or its output is not finite.
        ValueError: a model has no classifier or one that is not of its `num_classes`, none of the settings that
            `resolve_clip_config` looks for, or other classes than the first; or there is no model.
    """
    models = [unwrap_model(one) for one in ([model] if isinstance(model, (nn.Module, ModelEma)) else model)]
    if not models:
        raise ValueError("predict needs a model, and the list of models is empty; give at least one")
    settings = [resolve_clip_config(voter) for voter in models]
    for voter in models:
        if not voter.num_classes:
            raise ValueError("the model has no classifier (num_classes is 0), and predict ranks classes; give it one")
        if voter.training:
            raise RuntimeError(
                "the model is in training mode, in which the video would change it; call model.eval() first"
            )
    check_same_classes([f"model {number}" for number in range(1, len(models) + 1)], models)
    for voter in models:
        warn_of_rate(voter, path)
    votes, seen, clips = [], None, torch.empty(0)
    for voter, views in zip(models, settings, strict=True):
        if views != seen:  # models of one run often share their views
            seen, clips = views, load_clip(path, **views)
        weight = next(voter.parameters())
        logits = voter(clips.to(weight.device, weight.dtype))
        check_logits(voter, logits.shape[1])
        votes.append(logits.float().softmax(dim=1).mean(dim=0).cpu())
    probabilities = torch.stack(votes).mean(dim=0)
    if not probabilities.isfinite().all():
        raise RuntimeError(
            f"{path}: the probabilities are not finite; the weights are damaged or overflow in this number format: "
            "train or download them again, or take float32"
        )
    names = label_names(models[0])
    best = probabilities.topk(min(topk, len(names)))
    return [(names[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]


def warn_of_rate(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Warn, once for a model, where it counts frames and the video's rate is far from that of its training videos."""
    clip: ClipSettings = model.clip  # type: ignore[assignment]
    learned = typical_fps(model.pretrained_cfg)  # type: ignore[arg-type]
    if learned is None or "fps" in clip or "spread" in clip or model in _warned:
        return
    with Video(path) as video:
        rate = video.fps
    if rate and far_apart(rate, learned):
        _warned.add(model)
        warnings.warn(
            f"{path} has {rate:g} frames a second, and the model counts frames and learned from videos of "
            f"{learned:g}: it sees another motion than it knows; clip={{'fps': {learned:g}}} in create_model, or "
            f"--fps {learned:g} in training, reads by time",
            stacklevel=3,
        )
