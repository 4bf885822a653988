"""Top-1 and top-5 accuracy of a model, or of several together, on a labeled list of videos."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from cmpl_zoo.datasets.classes import videos_to_measure_on
from cmpl_zoo.datasets.evaluation_batches import EvaluationBatches, iterate_views
from cmpl_zoo.datasets.lists import Videos, read_list
from cmpl_zoo.datasets.loader import cores_beside
from cmpl_zoo.distributed import Ranks
from cmpl_zoo.models import VideoModel
from cmpl_zoo.models.config_json import ClipSettings
from cmpl_zoo.models.labels import check_same_classes, label_names
from cmpl_zoo.models.video_model import evaluation_mode
from cmpl_zoo.precision import Precision, autocast
from cmpl_zoo.prediction.ensemble import distinct_views, not_finite_error, probabilities, unwrapped
from cmpl_zoo.records import Scores
from cmpl_zoo.tools.find_labels import videos_of_folders
from cmpl_zoo.video.clips import resolve_clip_config
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.sampling import evenly

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
    model: nn.Module | Sequence[nn.Module],
    data: str | os.PathLike[str] | Videos,
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
        model: one model or several, on one device, as `predict` takes them; all of the same classes and with as many
            views of a video.
        data: CSV list with the header path,label, a folder that holds a folder of videos for each class, or paths and
            class ids.
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
    ensemble = unwrapped(model)
    for one in ensemble:
        resolve_clip_config(one)  # which refuses what is no model of this zoo
    check_alike([f"model {number}" for number in range(1, len(ensemble) + 1)], ensemble)
    videos = data if isinstance(data, Videos) else labeled_videos(data, root, label_names(ensemble[0]))
    [found] = evaluate_ensembles(
        [ensemble], videos, workers=workers, batch_size=batch_size, precision=precision, strict=strict
    )
    check_finite(found, videos)
    return found.scores


def labeled_videos(data: str | os.PathLike[str], root: str | os.PathLike[str], classes: Sequence[str]) -> Videos:
    """The videos to be measured on, of a list or of a folder of class folders; see `evaluate`.

    Args:
        data: the list or the folder.
        root: folder that the paths of a list are relative to.
        classes: class names by class id.

    Raises:
        ListError: there is no labeled video, or one has a label that is not among the classes.
    """
    if os.path.isdir(data):
        return videos_of_folders(os.fspath(data), classes)
    return videos_to_measure_on(read_list(data, root), classes)


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
    mapped = set(evenly(len(videos), MAPPED))
    votes = [Votes(ensemble, ids) for ensemble in ensembles]
    unreadable: dict[int, str] = {}

    own = np.arange(ranks.rank, len(videos), ranks.size)  # indices, which are the ids in a batch
    batches = EvaluationBatches(Videos(videos.paths[ranks.rank :: ranks.size], own), settings, batch_size=batch_size)
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
        classes = models[0].num_classes
        self.probabilities = np.full((len(ids), classes), np.nan, np.float32)  # the mean over the views
        self.right_views = {k: np.zeros(len(ids)) for k in ((1, 5) if classes > 5 else (1,))}  # shares, by top k
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
        self.probabilities[indices.numpy()] = votes.mean(dim=1).numpy()
        places = place_of(self.ids[indices][:, None], votes)
        for k, shares in self.right_views.items():
            shares[indices.numpy()] = torch.where(finite, (places < k).double().mean(dim=1), 0).numpy()
        self.features |= features

    def evaluation(self, videos: Videos, unreadable: dict[int, str], ranks: Ranks) -> Evaluation:
        """What all ranks have counted; which videos none of them could read is known."""
        rows = of_all_ranks(self.probabilities, ranks)
        right_views = {k: of_all_ranks(shares, ranks) for k, shares in self.right_views.items()}
        not_finite = sorted(index for of_rank in ranks.gather(self.not_finite) for index in of_rank)
        rows[not_finite] = np.nan
        if not_finite and ranks.first:
            error = not_finite_error(videos.paths[not_finite[0]])
            print(f"{len(not_finite)} videos count as wrong; {error}", file=sys.stderr)
        features = {index: row for of_rank in ranks.gather(self.features) for index, row in of_rank.items()}
        mapped = sorted(features)
        return Evaluation(
            scores_of(rows, right_views, self.ids, label_names(self.models[0]), self.models[0].clip),
            rows,
            unreadable | dict.fromkeys(not_finite, "its probabilities are not finite"),
            not_finite,
            np.stack([features[index] for index in mapped]) if mapped else np.empty((0, 0), np.float32),
            np.array(mapped, dtype=int),
        )


def of_all_ranks(rows: np.ndarray, ranks: Ranks) -> np.ndarray:
    """The rows of all videos, of which each rank has filled in those of its own."""
    whole = np.empty_like(rows)
    for rank, own in enumerate(ranks.gather(rows[ranks.rank :: ranks.size])):
        whole[rank :: ranks.size] = own
    return whole


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


def place_of(ids: Tensor, probabilities: Tensor) -> Tensor:
    """The place of a class among all by probability, int64 (...), from 0; of equally probable ones the first is ahead.

    Args:
        ids: class ids, (...).
        probabilities: (..., classes).
    """
    most_probable = probabilities.argsort(dim=-1, descending=True, stable=True)
    return (most_probable == ids[..., None]).int().argmax(dim=-1)


def scores_of(
    rows: np.ndarray, right_views: dict[int, np.ndarray], ids: Tensor, names: Sequence[str], clip: ClipSettings
) -> Scores:
    """The scores of videos; one without probabilities is wrong.

    Args:
        rows: the probabilities, (videos, classes); NaN where there are none.
        right_views: by k, the share of a video's views whose k most probable classes hold its own, (videos,).
        ids: class ids, (videos,).
        names: of the classes.
        clip: the models' clip settings.
    """
    read = torch.from_numpy(~np.isnan(rows[:, 0]))
    probabilities, truth = torch.from_numpy(rows)[read], ids[read]
    confusion = np.zeros((len(names), len(names)), int)
    np.add.at(confusion, (truth.numpy(), probabilities.argmax(dim=-1).numpy()), 1)
    sizes, places = ids.bincount().tolist(), place_of(truth, probabilities)
    scores: dict[str, Any] = {
        "clips": clip["clips"],
        "crops": clip["crops"],
        "videos": len(ids),
        "unreadable": len(ids) - len(truth),
        "largest_class": 100 * max(sizes) / len(ids),
        **{f"clip_top{k}": 100 * float(shares.mean()) for k, shares in right_views.items()},
        **{f"video_top{k}": 100 * int((places < k).sum()) / len(ids) for k in right_views},
        "per_class": {names[i]: 100 * int(confusion[i, i]) / size for i, size in enumerate(sizes) if size},
        "confusion": confusion.tolist(),
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
