"""Videos in, ranked classes out."""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast, overload
from weakref import WeakSet

import numpy as np
import torch
from timm.utils import ModelEma, unwrap_model
from torch import Tensor, nn

from cmpl_zoo.datasets.evaluation_batches import EvaluationBatches
from cmpl_zoo.datasets.lists import Videos
from cmpl_zoo.datasets.loader import cores_beside, iterate
from cmpl_zoo.datasets.packed_strings import PackedStrings
from cmpl_zoo.datasets.watchdog import WorkerError
from cmpl_zoo.models.config_json import typical_fps
from cmpl_zoo.models.labels import check_logits, check_same_classes, label_names
from cmpl_zoo.models.video_model import VideoModel
from cmpl_zoo.precision import Precision, autocast
from cmpl_zoo.video.clips import Coverage, ViewConfig, normalize, resolve_clip_config, view_config
from cmpl_zoo.video.sampling import far_apart
from cmpl_zoo.video.video import VideoError

RankedClasses = list[tuple[str, float]]  # class name and probability in [0, 1], most probable first
_warned: WeakSet[nn.Module] = WeakSet()  # models of whose frame rate something was said


@dataclass(frozen=True)
class Prediction:
    """What `predict` finds of one of several videos.

    Attributes:
        path: of the video, as given.
        classes: (class name, probability in [0, 1]) pairs, most probable first; empty if it cannot be read.
        error: why it cannot be read, with its path; "" if it can.
        coverage: how much of the video the models have seen; None if it cannot be read.
    """

    path: str
    classes: RankedClasses
    error: str = ""
    coverage: Coverage | None = None


@overload
def predict(  # type: ignore[overload-overlap]
    model: nn.Module | Sequence[nn.Module],
    videos: str | os.PathLike[str],
    topk: int = 5,
    *,
    workers: int = 2,
    batch_size: int = 32,
    precision: Precision = "float32",
) -> RankedClasses: ...


@overload
def predict(
    model: nn.Module | Sequence[nn.Module],
    videos: Iterable[str | os.PathLike[str]],
    topk: int = 5,
    *,
    workers: int = 2,
    batch_size: int = 32,
    precision: Precision = "float32",
) -> Iterator[Prediction]: ...


def predict(
    model: nn.Module | Sequence[nn.Module],
    videos: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    topk: int = 5,
    *,
    workers: int = 2,
    batch_size: int = 32,
    precision: Precision = "float32",
) -> RankedClasses | Iterator[Prediction]:
    """The most probable classes of a video, or of several, for a model or for several that vote.

    Each model sees the views that it asks for (`model.clip`), on its device; probabilities are the mean of the softmax
    over its views, and over the models. Warns once where a model counts frames and a video's frame rate is far from
    that of the videos it learned from, and of a video that ends early.

    Args:
        model: a classifier of this zoo in evaluation mode (`model.eval()`), in any floating-point type, also within
            `DataParallel`, `torch.compile` or an average of its weights; or several, of the same classes.
        videos: path of a video file, GIF, or folder of JPEG or PNG frames; or several paths.
        topk: number of classes, or all where there are fewer.
        workers: processes that read several videos beside the computation; 0 reads in this process.
        batch_size: views that go through a model at a time.
        precision: of the arithmetic; below float32 by autocast.

    Returns:
        Of one path, (class name, probability in [0, 1]) pairs, most probable first. Of several, an iterator over a
        `Prediction` of each, in their order; one that cannot be read has an `error`, and the others are predicted.

    Raises:
        VideoError: nothing of the one file can be decoded.
        RuntimeError: a model is in training mode, or its output is not finite.
        ValueError: a model has no classifier or one that is not of its `num_classes`, none of the settings that
            `resolve_clip_config` looks for, or other classes than the first; or there is no model.
        StorageError: the shards that the videos are in cannot be read.
        WorkerError: a worker process died or hangs, and was reading none of the videos.
    """
    ensemble = Ensemble(model, batch_size=batch_size, precision=precision)
    if not isinstance(videos, (str, os.PathLike)):
        paths = [os.fspath(path) for path in videos]
        return _predictions(ensemble, paths, topk, workers if len(paths) > 1 else 0)
    [found] = _predictions(ensemble, [os.fspath(videos)], topk, workers=0)
    if found.error:
        raise VideoError(found.error)
    return found.classes


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
        models = [models] if isinstance(models, (nn.Module, ModelEma)) else models
        self.models = [cast(VideoModel, unwrap_model(model)) for model in models]
        if not self.models:
            raise ValueError("predict needs a model, and the list of models is empty; give at least one")
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
        check_same_classes([f"model {number}" for number in range(1, len(self.models) + 1)], self.models)
        self.names = label_names(self.models[0])
        self.batch_size, self.precision = batch_size, precision

    @property
    def device(self) -> torch.device:
        """That of the first model."""
        return next(self.models[0].parameters()).device

    @torch.inference_mode()
    def probabilities(self, views: Sequence[Tensor]) -> Tensor:
        """Of the classes, float32 (videos, classes) on the CPU, given the views of some videos.

        Args:
            views: per settings, uint8 (videos, views, 3, frames, height, width).
        """
        votes = []
        for model, place in zip(self.models, self._places, strict=True):
            with autocast(next(model.parameters()).device, self.precision):
                votes.append(probabilities(model, views[place], self.batch_size).mean(dim=1).cpu())
        return torch.stack(votes).mean(dim=0)

    def ranked(self, path: str, probabilities: Tensor, topk: int) -> RankedClasses:
        """The most probable classes of a video, given its probabilities (classes,).

        Raises:
            RuntimeError: they are not finite.
        """
        if not probabilities.isfinite().all():
            raise RuntimeError(
                f"{path}: the probabilities are not finite; the weights are damaged or overflow in this number format: "
                "train or download them again, or take float32"
            )
        best = probabilities.topk(min(topk, len(self.names)))
        return [(self.names[i], p) for i, p in zip(best.indices.tolist(), best.values.tolist(), strict=True)]


def distinct_views(models: Iterable[nn.Module]) -> tuple[list[ViewConfig], list[int]]:
    """The settings of the views that models ask for, each once, and for each model the index of its own.

    Raises:
        ValueError: as `resolve_clip_config`.
    """
    settings = [view_config(resolve_clip_config(model)) for model in models]
    distinct = [views for number, views in enumerate(settings) if views not in settings[:number]]
    return distinct, [distinct.index(views) for views in settings]


def probabilities(model: nn.Module, views: Tensor, batch_size: int) -> Tensor:
    """Of all classes, (videos, views, classes), for uint8 views (videos, views, 3, frames, height, width).

    Raises:
        ValueError: the model gives another number of logits than its `num_classes`.
    """
    weight, config = next(model.parameters()), resolve_clip_config(model)
    logits = []
    for batch in views.flatten(0, 1).split(batch_size):
        clips = normalize(batch.to(weight.device), config["mean"], config["std"])
        logits.append(model(clips.to(weight.dtype)).float())
        check_logits(model, logits[-1].shape[1])
    return torch.cat(logits).softmax(dim=1).unflatten(0, views.shape[:2])


def _predictions(ensemble: Ensemble, paths: Sequence[str], topk: int, workers: int) -> Iterator[Prediction]:
    """A prediction of each video, in their order; see `predict`. A file that ends or stops a worker has an error."""
    told: set[str] = set()
    start, end = 0, len(paths)
    while start < len(paths):
        try:
            for prediction in _read_and_predict(ensemble, paths[start:end], topk, workers, told):
                yield prediction
                start += 1
        except WorkerError as error:
            rest = paths[start:end]
            if error.path not in rest:
                raise
            end, cause = start + rest.index(error.path), str(error)  # those before it are read again
        if start == end < len(paths):
            yield Prediction(paths[end], [], cause)
            start, end = end + 1, len(paths)


def _read_and_predict(
    ensemble: Ensemble, paths: Sequence[str], topk: int, workers: int, told: set[str]
) -> Iterator[Prediction]:
    """A prediction of each video; `told` are the warnings that were given.

    Raises:
        WorkerError, StorageError, RuntimeError: as `predict`.
    """
    videos = Videos(PackedStrings(paths), np.arange(len(paths)))  # the id of a video is its index
    batches = EvaluationBatches(videos, ensemble.settings, batch=ensemble.batch_size, with_coverage=True)
    workers = min(workers, len(batches))
    start = 0
    for batch in iterate(batches, ensemble.device, workers):
        for message in batch.warnings:
            if message not in told:
                told.add(message)
                warnings.warn(message, stacklevel=4)
        found: dict[int, tuple[Tensor, Coverage]] = {}
        if len(batch.ids):
            with cores_beside(workers):
                per_video = ensemble.probabilities(batch.views)
            found = dict(zip(batch.ids.tolist(), zip(per_video, batch.coverage, strict=True), strict=True))
        unreadable = iter(batch.unreadable)
        end = start + len(batch.ids) + len(batch.unreadable)
        for index in range(start, end):
            path = paths[index]
            if index not in found:
                yield Prediction(path, [], next(unreadable).message)
                continue
            per_class, covered = found[index]
            for model in ensemble.models:
                warn_of_rate(model, path, covered.fps)
            yield Prediction(path, ensemble.ranked(path, per_class, topk), coverage=covered)
        start = end


def warn_of_rate(model: VideoModel, path: str, rate: float | None) -> None:
    """Warn, once for a model, where it counts frames and the video's rate is far from that of its training videos."""
    learned = typical_fps(model.pretrained_cfg)
    if learned is None or rate is None or "fps" in model.clip or "spread" in model.clip or model in _warned:
        return
    if far_apart(rate, learned):
        _warned.add(model)
        warnings.warn(
            f"{path} has {rate:g} frames a second, and the model counts frames and learned from videos of "
            f"{learned:g}: it sees another motion than it knows; clip={{'fps': {learned:g}}} in create_model, or "
            f"--fps {learned:g} in training, reads by time",
            stacklevel=4,
        )
