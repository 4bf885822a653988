"""Videos in, ranked classes out."""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
from torch import Tensor, nn

from cmpl_zoo.datasets.evaluation_batches import EvaluationBatches
from cmpl_zoo.datasets.lists import Videos
from cmpl_zoo.datasets.loader import cores_beside, iterate
from cmpl_zoo.datasets.packed_strings import PackedStrings
from cmpl_zoo.datasets.watchdog import WorkerError
from cmpl_zoo.precision import Precision
from cmpl_zoo.prediction.ensemble import Ensemble, RankedClasses, warn_of_rate
from cmpl_zoo.video.clips import Coverage
from cmpl_zoo.video.errors import VideoError


@dataclass(frozen=True)
class Prediction:
    """What `predict` finds of one of several videos.

    Attributes:
        path: of the video, as given.
        classes: (class name, probability in [0, 1]) pairs, most probable first; empty if it cannot be read.
        error: why it cannot be read, with its path; "" if it can.
        coverage: how much of the video the models have seen; None if it cannot be read.
        per_model: what each model says alone, as `classes`; empty if it cannot be read.
    """

    path: str
    classes: RankedClasses
    error: str = ""
    coverage: Coverage | None = None
    per_model: Sequence[RankedClasses] = ()


@overload
def predict(  # type: ignore[overload-overlap]
    model: nn.Module | Sequence[nn.Module],
    videos: str | os.PathLike[str],
    topk: int | None = 5,
    *,
    workers: int = 2,
    batch_size: int = 32,
    precision: Precision = "float32",
) -> RankedClasses: ...


@overload
def predict(
    model: nn.Module | Sequence[nn.Module],
    videos: Iterable[str | os.PathLike[str]],
    topk: int | None = 5,
    *,
    workers: int = 2,
    batch_size: int = 32,
    precision: Precision = "float32",
) -> Iterator[Prediction]: ...


def predict(
    model: nn.Module | Sequence[nn.Module],
    videos: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    topk: int | None = 5,
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
        topk: number of classes; all where there are fewer, or for None.
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
            `resolve_clip_config` looks for, or other classes than the first; there is no model; or `topk` is below 1.
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


def _predictions(ensemble: Ensemble, paths: Sequence[str], topk: int | None, workers: int) -> Iterator[Prediction]:
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
    ensemble: Ensemble, paths: Sequence[str], topk: int | None, workers: int, told: set[str]
) -> Iterator[Prediction]:
    """A prediction of each video; `told` are the warnings that were given.

    Raises:
        WorkerError, StorageError, RuntimeError: as `predict`.
    """
    videos = Videos(PackedStrings(paths), np.arange(len(paths)))  # the id of a video is its index
    batches = EvaluationBatches(videos, ensemble.settings, batch_size=ensemble.batch_size, with_coverage=True)
    workers = min(workers, len(batches))
    for batch in iterate(batches, ensemble.device, workers):
        for message in batch.warnings:
            if message not in told:
                told.add(message)
                warnings.warn(message, stacklevel=4)
        found: dict[int, tuple[Tensor, Coverage]] = {}
        if len(batch.ids):
            with cores_beside(workers):
                per_video = ensemble.probabilities_per_model(batch.views).unbind(dim=1)
            found = dict(zip(batch.ids.tolist(), zip(per_video, batch.coverage, strict=True), strict=True))
        unreadable = dict(batch.unreadable)
        for index in sorted(found.keys() | unreadable.keys()):
            path = paths[index]
            if index in unreadable:
                yield Prediction(path, [], unreadable[index])
                continue
            votes, covered = found[index]
            for model in ensemble.models:
                warn_of_rate(model, path, covered.fps)
            classes, *per_model = (ensemble.ranked(path, vote, topk) for vote in (votes.mean(dim=0), *votes))
            yield Prediction(path, classes, coverage=covered, per_model=per_model)
