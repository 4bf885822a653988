"""Top-1 and top-5 accuracy of a model, or of several together, on a labeled list of videos."""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix
from tqdm import tqdm

from cmpl_zoo.datasets.classes import class_ids
from cmpl_zoo.datasets.evaluation_batches import EvaluationBatches, iterate_views
from cmpl_zoo.datasets.lists import Videos, read_list
from cmpl_zoo.datasets.loader import cores_beside
from cmpl_zoo.distributed import Ranks
from cmpl_zoo.models import VideoModel
from cmpl_zoo.models.labels import check_same_classes, label_names
from cmpl_zoo.models.video_model import evaluation_mode
from cmpl_zoo.precision import Precision, autocast
from cmpl_zoo.prediction.ensemble import distinct_views, not_finite_error, probabilities, unwrapped
from cmpl_zoo.records import Scores
from cmpl_zoo.video.clips import resolve_clip_config
from cmpl_zoo.video.video import VideoError

MAPPED = 2000  # videos of a list whose features are kept, for a map of them


@dataclass(frozen=True)
class Evaluation:
    """What an ensemble makes of the videos of a list.

    Attributes:
        scores: over all videos.
        probabilities: of the classes for each video, the mean over its views and the models, float32 (videos, classes);
            NaN where a video cannot be read.
        unreadable: why, by index in the list; also of videos whose probabilities are not finite.
        not_finite: the indices of the latter.
        features: what the classifier of the first model sees, the mean over the views, float32 (some videos, channels),
            of up to `MAPPED` readable videos that are spread evenly over the list.
        mapped: the indices of these videos, in rising order.
    """

    scores: Scores
    probabilities: np.ndarray
    unreadable: dict[int, str]
    not_finite: list[int]
    features: np.ndarray
    mapped: np.ndarray


def evaluate(
    models: nn.Module | Sequence[nn.Module],
    videos: str | os.PathLike[str] | Videos,
    root: str | os.PathLike[str] = ".",
    *,
    workers: int = 2,
    batch_size: int = 32,
    precision: Precision = "float32",
    strict: bool = False,
) -> Scores:
    """Accuracy of a model, or of several that vote by the mean of their softmax, on a labeled list of videos.

    Views are those of `model.clip`. Every layer of the models keeps the mode it was in.

    Args:
        models: one model or several, on one device, as `predict` takes them; all of the same classes and with as many
            views of a video.
        videos: CSV list with the header path,label, or paths and class ids.
        root: folder that the paths of the list are relative to.
        workers: processes that read videos.
        batch_size: views that go through a model at a time.
        precision: of the arithmetic; below float32 by autocast.
        strict: refuse a list with a video that cannot be read, instead of counting it as wrong.

    Raises:
        ListError: the list cannot be used, or has a label that the models do not know.
        ValueError: the models cannot vote together, there is none, or a classifier is not of its `num_classes`; a class
            id is not one of theirs.
        RuntimeError: probabilities are not finite, as of damaged weights.
        VideoError: a video cannot be read, and `strict`; or none can.
        StorageError: the shards that the videos are in cannot be read.
        WorkerError: a worker process died or hangs.
    """
    ensemble = unwrapped(models)
    if not ensemble:
        raise ValueError("evaluate needs a model, and the list of models is empty; give at least one")
    for model in ensemble:
        resolve_clip_config(model)  # which refuses what is no model of this zoo
    check_alike([f"model {number}" for number in range(1, len(ensemble) + 1)], ensemble)
    if not isinstance(videos, Videos):
        video_list = read_list(videos, root)
        videos = Videos(video_list.paths, class_ids(video_list, label_names(ensemble[0])))
    [found] = evaluate_ensembles(
        [ensemble], videos, workers=workers, batch_size=batch_size, precision=precision, strict=strict
    )
    check_finite(found, videos)
    return found.scores


@torch.inference_mode()
def evaluate_ensembles(
    ensembles: Sequence[Sequence[VideoModel]],
    videos: Videos,
    *,
    workers: int = 2,
    batch_size: int = 32,
    precision: Precision = "float32",
    strict: bool = False,
    ranks: Ranks | None = None,
) -> list[Evaluation]:
    """What several ensembles, each one model or several that vote, make of a list; see `evaluate`.

    A video is read once for all models of the same views, and goes through each model once.

    Args:
        ensembles: of models on one device, all of the same classes and with as many views of a video.
        videos: paths and class ids.
        workers: as in `evaluate`.
        batch_size: as in `evaluate`.
        precision: as in `evaluate`.
        strict: as in `evaluate`.
        ranks: that share the videos, each some of them; all get the same result.

    Raises:
        ValueError, VideoError, StorageError, WorkerError: as `evaluate` does.
    """
    ranks = ranks or Ranks()
    models = list(dict.fromkeys(model for ensemble in ensembles for model in ensemble))
    device = next(models[0].parameters()).device
    settings, places = distinct_views(models)  # views that models have in common are read once
    ids = ids_of(videos, models[0])
    mapped = set(np.linspace(0, len(videos) - 1, MAPPED).astype(int).tolist())
    votes = [Votes(ensemble, ids) for ensemble in ensembles]
    unreadable: dict[int, str] = {}

    own = np.arange(ranks.rank, len(videos), ranks.size)  # indices, which are the ids in a batch
    batches = EvaluationBatches(Videos(videos.paths[ranks.rank :: ranks.size], own), settings, batch=batch_size)
    progress = tqdm(
        iterate_views(batches, device, workers),
        total=len(batches),
        desc="evaluate",
        disable=None if ranks.first else True,  # None: where nobody looks
        leave=False,
    )
    with evaluation_mode(*models), classifier_inputs(ensemble[0] for ensemble in ensembles) as inputs:
        for views, indices, failed, *_ in progress:
            if strict and failed:
                raise VideoError(failed[0][1])
            for _, message in failed:
                tqdm.write(f"counted as wrong: {message}", file=sys.stderr)
            unreadable |= dict(failed)
            if not len(indices):
                continue
            indices = indices.cpu()
            with cores_beside(workers), autocast(device, precision):
                per_model = {
                    model: probabilities(model, views[place], batch_size)
                    for model, place in zip(models, places, strict=True)
                }
            for of_ensemble in votes:
                features = mean_over_views(inputs[of_ensemble.models[0]], indices, mapped)
                of_ensemble.add(indices, per_model, features)
            for kept in inputs.values():
                kept.clear()

    unreadable = {index: reason for of_rank in ranks.gather(unreadable) for index, reason in of_rank.items()}
    if len(unreadable) == len(videos):
        raise VideoError(f"none of the {len(videos)} videos can be read; the first: {unreadable[0]}")
    return [of_ensemble.evaluation(videos, unreadable, ranks) for of_ensemble in votes]


def ids_of(videos: Videos, model: VideoModel) -> Tensor:
    """The class ids of videos, int64 (videos,).

    Raises:
        ValueError: one is not a class of the model.
    """
    ids = torch.as_tensor(np.asarray(videos.ids, dtype=np.int64))
    if outside := ((ids < 0) | (ids >= model.num_classes)).nonzero().flatten().tolist():
        first = outside[0]
        raise ValueError(
            f"{videos.paths[first]}: its class id is {videos.ids[first]}, and those of the model are 0 to "
            f"{model.num_classes - 1}; leave videos without a label out"
        )
    return ids


class Votes:
    """What an ensemble has made of the videos so far, of one rank its share.

    Args:
        models: of the ensemble.
        ids: class ids of all videos, (videos,).
    """

    def __init__(self, models: Sequence[VideoModel], ids: Tensor) -> None:
        self.models, self.ids = models, ids
        self.accuracy = Accuracy(models[0].num_classes)
        self.probabilities = np.full((len(ids), models[0].num_classes), np.nan, np.float32)
        self.features: dict[int, np.ndarray] = {}
        self.not_finite: list[int] = []

    def add(self, indices: Tensor, per_model: dict[VideoModel, Tensor], features: dict[int, np.ndarray]) -> None:
        """Count some videos.

        Args:
            indices: of the videos, (some,).
            per_model: their probabilities, (some, views, classes), by model.
            features: of those of them that are kept, (channels,), by index.
        """
        votes = torch.stack([per_model[model] for model in self.models]).mean(dim=0).cpu()
        finite = votes.isfinite().flatten(1).all(dim=1)
        self.not_finite += indices[~finite].tolist()
        self.accuracy.update(votes[finite], self.ids[indices[finite]])
        self.probabilities[indices.numpy()] = votes.mean(dim=1).numpy()
        self.features |= features

    def evaluation(self, videos: Videos, unreadable: dict[int, str], ranks: Ranks) -> Evaluation:
        """What all ranks have counted; which videos none of them could read is known."""
        rows = np.empty_like(self.probabilities)
        for rank, of_rank in enumerate(ranks.gather(self.probabilities[ranks.rank :: ranks.size])):
            rows[rank :: ranks.size] = of_rank
        not_finite = sorted(index for of_rank in ranks.gather(self.not_finite) for index in of_rank)
        rows[not_finite] = np.nan
        if not_finite and ranks.first:
            error = not_finite_error(videos.paths[not_finite[0]])
            print(f"{len(not_finite)} videos count as wrong; {error}", file=sys.stderr)
        features = {index: row for of_rank in ranks.gather(self.features) for index, row in of_rank.items()}
        mapped = sorted(features)
        clip = self.models[0].clip
        return Evaluation(
            self.accuracy.compute(videos.ids, label_names(self.models[0]), clip["clips"], clip["crops"]),
            rows,
            unreadable | dict.fromkeys(not_finite, "its probabilities are not finite"),
            not_finite,
            np.stack([features[index] for index in mapped]) if mapped else np.empty((0, 0), np.float32),
            np.array(mapped, dtype=int),
        )


def check_finite(evaluation: Evaluation, videos: Videos) -> None:
    """Raise RuntimeError where probabilities are not finite, as of damaged weights: no accuracy tells that."""
    if evaluation.not_finite:
        raise not_finite_error(videos.paths[evaluation.not_finite[0]])


@contextmanager
def classifier_inputs(models: Iterable[VideoModel]) -> Iterator[dict[VideoModel, list[Tensor]]]:
    """What the classifiers of models see while the models compute: for each a list of (views, channels).

    It stays empty for a model that torch.compile has compiled, whose code was made without this.
    """
    inputs: dict[VideoModel, list[Tensor]] = {model: [] for model in models}
    hooks = [
        model.global_pool.register_forward_hook(lambda _module, _args, pooled, kept=kept: kept.append(pooled))
        for model, kept in inputs.items()
        if model._compiled_call_impl is None
    ]
    try:
        yield inputs
    finally:
        for hook in hooks:
            hook.remove()


def mean_over_views(inputs: list[Tensor], indices: Tensor, wanted: set[int]) -> dict[int, np.ndarray]:
    """The mean of the features of a video over its views, by index, of the wanted ones of some videos."""
    if not inputs:
        return {}
    rows = [place for place, index in enumerate(indices.tolist()) if index in wanted]
    per_video = torch.cat(inputs).float().unflatten(0, (len(indices), -1))[rows].mean(dim=1).cpu().numpy()
    return dict(zip(indices[rows].tolist(), per_video, strict=True))


class Accuracy:
    """What one ensemble has got right so far.

    Args:
        classes: their number.
    """

    def __init__(self, classes: int) -> None:
        tops = (1, 5) if classes > 5 else (1,)
        shares: dict[str, Metric | MetricCollection] = {
            f"top{k}": MulticlassAccuracy(classes, top_k=k, average="micro") for k in tops
        }
        # Metrics that agree on the first videos are not yet the same one.
        self.clip_shares = MetricCollection(shares, prefix="clip_", compute_groups=False)
        self.video_shares = self.clip_shares.clone(prefix="video_")
        self.confusion = MulticlassConfusionMatrix(classes)

    def update(self, probabilities: Tensor, ids: Tensor) -> None:
        """Count the probabilities of some videos, (videos, views, classes), and their class ids, (videos,)."""
        if not len(ids):
            return
        self.clip_shares.update(probabilities.flatten(0, 1), ids.repeat_interleave(probabilities.shape[1]))
        per_video = probabilities.mean(dim=1)
        self.video_shares.update(per_video, ids)
        self.confusion.update(per_video, ids)

    def compute(self, ids: Sequence[int] | np.ndarray, names: Sequence[str], clips: int, crops: int) -> Scores:
        """The scores of all videos, whose class ids these are: a video that no rank could read is wrong."""
        with warnings.catch_warnings():  # where no video has counted, as with damaged weights
            warnings.filterwarnings("ignore", "The ``compute`` method of metric .* was called before")
            table = self.confusion.compute()  # torchmetrics adds up what the ranks have counted
            shares = self.clip_shares.compute() | self.video_shares.compute()
        readable = int(table.sum())
        class_sizes = np.bincount(ids)
        scores: dict[str, Any] = {
            "clips": clips,
            "crops": crops,
            "videos": len(ids),
            "unreadable": len(ids) - readable,
            "largest_class": 100 * int(class_sizes.max()) / len(ids),
            **{name: 100 * float(share) * readable / len(ids) for name, share in shares.items()},
            "per_class": {
                names[i]: 100 * int(table[i, i]) / int(class_sizes[i]) for i in np.flatnonzero(class_sizes).tolist()
            },
            "confusion": table.tolist(),
        }
        return cast(Scores, scores)


def check_alike(names: Sequence[str], models: Sequence[VideoModel]) -> None:
    """Raise ValueError where models cannot vote together."""
    check_same_classes(names, models)
    for name, model in zip(names, models, strict=True):
        for views in ("clips", "crops"):
            if model.clip[views] != models[0].clip[views]:
                raise ValueError(
                    f"{name}: is tested on {model.clip[views]} {views} and {names[0]} on {models[0].clip[views]}; "
                    f"give --test-{views}, or in Python set model.clip[{views!r}], to test both alike"
                )
