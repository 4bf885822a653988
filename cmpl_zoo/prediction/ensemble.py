"""One model, or several that vote, on views of videos that are read already."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import cast
from weakref import WeakSet

import torch
from timm.utils import ModelEma, unwrap_model
from torch import Tensor, nn

from cmpl_zoo.models.config_json import typical_fps
from cmpl_zoo.models.labels import UNCERTAIN, check_logits, check_same_classes, label_names
from cmpl_zoo.models.video_model import VideoModel
from cmpl_zoo.precision import Precision, autocast
from cmpl_zoo.video.clips import ViewConfig, normalize, resolve_clip_config, view_config
from cmpl_zoo.video.sampling import far_apart

RankedClasses = list[tuple[str, float]]
"""Class name and probability in [0, 1], most probable first."""
_warned: WeakSet[nn.Module] = WeakSet()  # models of whose frame rate something was said


def unwrapped(models: nn.Module | Sequence[nn.Module]) -> list[VideoModel]:
    """A model or several, as `predict` takes them, out of what they are wrapped in.

    Raises:
        ValueError: there is none, or one is the name of a model.
    """
    each = [models] if isinstance(models, (nn.Module, ModelEma, str)) else models
    if not each:
        raise ValueError("the list of models is empty; give at least one")
    if names := [name for name in each if isinstance(name, str)]:
        raise ValueError(
            f"{names[0]!r} is a name and no model; cmpl_zoo.create_model({names[0]!r}, pretrained=True).eval() makes it"
        )
    return [cast(VideoModel, unwrap_model(model)) for model in each]


class Ensemble:
    """One model, or several of the same classes that vote: the mean of their softmax.

    Args:
        models: as `predict` takes them.
        batch_size: as there.
        precision: as there.

    Attributes:
        models: those within what they were wrapped in.
        names: of the classes.
        settings: of the views that the models ask for, each once.

    Raises:
        RuntimeError, ValueError: as `predict`.
    """

    def __init__(
        self,
        models: nn.Module | Sequence[nn.Module],
        *,
        batch_size: int = 32,
        precision: Precision = "float32",
    ) -> None:
        self.models = unwrapped(models)
        self.settings, self._places = distinct_views(self.models)
        for model in self.models:
            if not model.num_classes:
                raise ValueError(
                    "the model has no classifier (num_classes is 0), and predict ranks classes; give it one"
                )
            if model.training:
                raise RuntimeError(
                    "the model is in training mode, in which the video would change it; call model.eval() first"
                )
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, and is a number of views; give at least 1")
        check_same_classes([f"model {number}" for number in range(1, len(self.models) + 1)], self.models)
        self.names = label_names(self.models[0])
        self.batch_size, self.precision = batch_size, precision

    @property
    def device(self) -> torch.device:
        """That of the first model."""
        return next(self.models[0].parameters()).device

    @torch.inference_mode()
    def probabilities_per_model(self, views: Sequence[Tensor]) -> Tensor:
        """Of the classes, float32 (models, videos, classes) on the CPU, given the views of some videos.

        Args:
            views: per settings, uint8 (videos, views, 3, frames, height, width).
        """
        votes = []
        for model, place in zip(self.models, self._places, strict=True):
            with autocast(next(model.parameters()).device, self.precision):
                votes.append(probabilities(model, views[place], self.batch_size).mean(dim=1).cpu())
        return torch.stack(votes)

    def probabilities(self, views: Sequence[Tensor]) -> Tensor:
        """The mean of `probabilities_per_model` over the models, (videos, classes)."""
        return self.probabilities_per_model(views).mean(dim=0)

    def ranked(self, path: str, probabilities: Tensor, topk: int | None = None) -> RankedClasses:
        """The most probable classes of a video, all of them by default, given its probabilities (classes,).

        Raises:
            RuntimeError: they are not finite.
            ValueError: `topk` is below 1.
        """
        if topk is not None and topk < 1:
            raise ValueError(f"topk is {topk}, and is a number of classes; give at least 1")
        if not probabilities.isfinite().all():
            raise not_finite_error(path)
        best = probabilities.topk(min(topk or len(self.names), len(self.names)))
        return [(self.names[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]


def not_finite_error(path: str) -> RuntimeError:
    """What is raised where probabilities of a video are not finite."""
    return RuntimeError(
        f"{path}: the probabilities are not finite; the weights are damaged or overflow in this number format: train "
        "or download them again, or take float32"
    )


def distinct_views(models: Iterable[nn.Module]) -> tuple[list[ViewConfig], list[int]]:
    """The settings of the views that models ask for, each once, and for each model the index of its own.

    Raises:
        ValueError: as `resolve_clip_config`.
    """
    settings = [view_config(resolve_clip_config(model)) for model in models]
    distinct = [views for number, views in enumerate(settings) if views not in settings[:number]]
    return distinct, [distinct.index(views) for views in settings]


def probabilities(model: VideoModel, views: Tensor, batch_size: int) -> Tensor:
    """Of all classes, (videos, views, classes), for uint8 views (videos, views, 3, frames, height, width).

    Raises:
        ValueError: the model gives another number of logits than its `num_classes`.
    """
    logits = of_views(model, model, views, batch_size)
    check_logits(model, logits.shape[2])
    return logits.softmax(dim=2)


def of_views(compute: Callable[[Tensor], Tensor], model: VideoModel, views: Tensor, batch_size: int) -> Tensor:
    """What a part of a model computes of each view, (videos, views, ...) in float32.

    Args:
        compute: the part, for normalized clips (clips, 3, frames, height, width) on the model's device, in its dtype.
        model: that the clips are normalized for.
        views: uint8 (videos, views, 3, frames, height, width).
        batch_size: views that go through at a time.
    """
    weight, config = next(model.parameters()), resolve_clip_config(model)
    computed = [
        compute(normalize(some.to(weight.device), config["mean"], config["std"]).to(weight.dtype)).float()
        for some in views.flatten(0, 1).split(batch_size)
    ]
    return torch.cat(computed).unflatten(0, views.shape[:2])


def label_of(classes: RankedClasses, min_probability: float) -> str:
    """The most probable class, or `UNCERTAIN` where it is below the least probability."""
    name, probability = classes[0]
    return name if probability >= min_probability else UNCERTAIN


def rate_notice(model: VideoModel, path: str, rate: float | None) -> str:
    """What to say where a model counts frames and a video's rate is far from that of its training videos, else ""."""
    learned = typical_fps(model.pretrained_cfg)
    if learned is None or rate is None or "fps" in model.clip or "spread" in model.clip:
        return ""
    if not far_apart(rate, learned):
        return ""
    return (
        f"{path} has {rate:g} frames a second, and the model counts frames and learned from videos of {learned:g}: it "
        f"sees another motion than it knows; clip={{'fps': {learned:g}}} in create_model, or --fps {learned:g} in "
        "training, reads by time"
    )


def warn_of_rate(model: VideoModel, path: str, rate: float | None) -> None:
    """Warn of what `rate_notice` says, once for a model."""
    if model not in _warned and (notice := rate_notice(model, path, rate)):
        _warned.add(model)
        warnings.warn(notice, stacklevel=4)
