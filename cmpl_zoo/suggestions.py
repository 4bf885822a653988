"""What to label next: the videos that two models disagree on most, spread over classes and recordings."""

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from cmpl_zoo.precision import Precision
from cmpl_zoo.prediction import Prediction, predict
from cmpl_zoo.video.segments import recording_of


@dataclass(frozen=True)
class Suggestion:
    """A video to label, and what the models say of it.

    Attributes:
        path: of the video, as given.
        recording: what it is taken from.
        predicted: the class that is most probable to the models together, as `predict` says.
        probability: of that class, in [0, 1].
        disagreement: of the models, see `disagreement`, or of one model its `uncertainty`; in [0, 1].
        per_model: the most probable class of each model and its probability, in their order.
    """

    path: str
    recording: str
    predicted: str
    probability: float
    disagreement: float
    per_model: Sequence[tuple[str, float]]


def suggest(
    model: nn.Module | Sequence[nn.Module],
    videos: Iterable[str | os.PathLike[str]],
    n: int,
    *,
    workers: int = 2,
    batch_size: int = 32,
    precision: Precision = "float32",
) -> list[Suggestion]:
    """The videos to label next, of those that have no label.

    Videos are ranked by the disagreement of the models, or by the uncertainty of one, and spread over the classes that
    are predicted and over the recordings; see `choose`. A recording is a file, of which there may be several segments.
    A video that cannot be read is left out, with a warning.

    Args:
        model: one, or several of the same classes, as `predict` takes them; usually the two of a run.
        videos: paths of the videos to choose from.
        n: how many to choose; all, if there are fewer.
        workers: as for `predict`.
        batch_size: as for `predict`.
        precision: as for `predict`.

    Raises:
        TypeError: `videos` is one path.
        RuntimeError, ValueError, StorageError, WorkerError: as `predict`.
    """
    if isinstance(videos, (str, os.PathLike)):
        raise TypeError(f"suggest chooses among videos, and {videos} is one path; give a list of paths")
    found = list[Suggestion]()
    for one in predict(model, videos, topk=None, workers=workers, batch_size=batch_size, precision=precision):
        if one.error:
            warnings.warn(one.error, stacklevel=2)
        else:
            found.append(suggestion(one, recording_of(one.path)))
    return choose(found, n)


def suggestion(prediction: Prediction, recording: str) -> Suggestion:
    """What the models say of a video, given all classes of each."""
    names = sorted(name for name, _ in prediction.classes)
    per_model = torch.tensor([[dict(ranked)[name] for name in names] for ranked in prediction.per_model])
    found = uncertainty(per_model[0]) if len(per_model) == 1 else disagreement(per_model)
    predicted, probability = prediction.classes[0]
    return Suggestion(
        prediction.path,
        recording,
        predicted,
        probability,
        float(found),
        [ranked[0] for ranked in prediction.per_model],
    )


def choose(videos: Sequence[Suggestion], n: int) -> list[Suggestion]:
    """The `n` videos to label first; see `spread`."""
    indices = spread(
        [video.disagreement for video in videos],
        [video.predicted for video in videos],
        [video.recording for video in videos],
        n,
    )
    return [videos[index] for index in indices]


def spread(scores: Sequence[float], classes: Sequence[str], recordings: Sequence[str], n: int) -> list[int]:
    """Indices of `n` videos (all, if there are fewer) of high scores, in the order of choice; our choice.

    Each time, the next video is of the class that was chosen least often so far; of these, of the recording that was
    chosen least often; of these, it is the one of the highest score, and of equal ones the first.

    Args:
        scores: of each video; higher is chosen first.
        classes: the predicted class of each.
        recordings: what each is taken from.
        n: how many to choose.
    """
    class_ids, recording_ids = (np.unique(names, return_inverse=True)[1] for names in (classes, recordings))
    per_class, per_recording = np.zeros(len(scores), int), np.zeros(len(scores), int)  # how often chosen, by id
    score = np.asarray(scores, float)
    left = np.arange(len(scores))
    chosen: list[int] = []
    while len(chosen) < n and len(left):
        best = left
        for ids, counts in ((class_ids, per_class), (recording_ids, per_recording)):
            best = best[counts[ids[best]] == counts[ids[best]].min()]
        index = int(best[score[best].argmax()])
        chosen.append(index)
        per_class[class_ids[index]] += 1
        per_recording[recording_ids[index]] += 1
        left = left[left != index]
    return chosen


def disagreement(per_model: Tensor) -> Tensor:
    """How far probabilities (models, ..., classes) are from each other: their Jensen-Shannon divergence in bits (...).

    It is 0 where they agree, and at most log2 of the number of models: 1 for two that are sure of different classes.
    Source: Lin, "Divergence measures based on the Shannon entropy", 1991.
    """
    return entropy(per_model.mean(dim=0)) - entropy(per_model).mean(dim=0)


def uncertainty(probabilities: Tensor) -> Tensor:
    """The entropy of probabilities (..., classes) over that of equal ones (...): 0 if one class is sure, at most 1."""
    return entropy(probabilities) / np.log2(max(2, probabilities.shape[-1]))


def entropy(probabilities: Tensor) -> Tensor:
    """Of probabilities (..., classes), in bits (...)."""
    return torch.special.entr(probabilities).sum(dim=-1) / np.log(2)
