"""A linear probe: a logistic regression on the features of labeled videos, as the classifier of their network."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from torch import nn

from cmpl_zoo._files import without_folders
from cmpl_zoo.datasets.classes import sorted_classes
from cmpl_zoo.datasets.lists import RealPaths
from cmpl_zoo.features import Features, weights_digest
from cmpl_zoo.hub.saving import save
from cmpl_zoo.models import create_model

# Our choice. The regularization is chosen between a classifier that barely differs from a constant and one that fits
# each video; it is the middle one where there are too few videos to choose.
_STRENGTHS = tuple(10.0**exponent for exponent in range(-5, 2))
_MOST_FOLDS = 5
_IMPOSSIBLE = -1000.0  # the logit of a class that a fold has no video of


@dataclass(frozen=True)
class LinearProbe:
    """A linear classifier of features, and how well it does on videos that it was not fitted to.

    Attributes:
        classes: class names by class id, sorted.
        weight: (classes, channels) float64.
        bias: (classes,) float64.
        strength: scikit-learn's C, the inverse of the regularization of standardized features.
        accuracies: in percent, per fold of the cross-validation: of a classifier fitted to the other folds, whose
            strength was chosen on those alone.
        largest_class: what naming the most frequent class alone would give, in percent.
        videos: number of labeled videos that it was fitted to.
        group: the column of the list by which videos were kept in one fold; None for none.
    """

    classes: list[str]
    weight: np.ndarray
    bias: np.ndarray
    strength: float
    accuracies: list[float]
    largest_class: float
    videos: int
    group: str | None

    def __str__(self) -> str:
        by = f" by {self.group}" if self.group else ""
        mean, deviation = np.mean(self.accuracies), np.std(self.accuracies, ddof=1)
        return (
            f"top-1 {mean:.1f} ± {deviation:.1f} % over {len(self.accuracies)} folds{by}; always the largest class "
            f"{self.largest_class:.1f} %; {self.videos} videos, {len(self.classes)} classes"
        )


def fit_probe(features: Features, group: str | None = None) -> LinearProbe:
    """Fit a logistic regression to the labeled videos of a file of features.

    Features are standardized; the strength of the regularization is the one with the greatest likelihood in
    cross-validation. Accuracy comes from a cross-validation around that choice.

    Args:
        features: videos without a label are ignored.
        group: a column of the list, such as a scene or a day; videos with the same value are in one fold together. By
            default, and where a video has none, those of one recording are, as segments of a file.

    Raises:
        ValueError: there are fewer than two classes, a class has fewer than two videos, or with `group` is in one
            group only, or there is no such column.
    """
    labeled = [index for index, label in enumerate(features.labels) if label]
    labels = [features.labels[index] for index in labeled]
    classes = sorted_classes(labels)
    id_of = {name: number for number, name in enumerate(classes)}
    ids = np.array([id_of[label] for label in labels], int)
    if len(classes) < 2:
        what = f"all its labeled videos are {classes[0]!r}" if len(classes) else "none of its videos has a label"
        raise ValueError(f"{features.file}: {what}, and a probe needs two classes; label videos in the list")
    if group is not None and group not in features.columns:
        columns = ", ".join(features.columns) or "none"
        raise ValueError(
            f"{features.file}: has no column {group!r} to group by (its columns: {columns}); add it to the list, and "
            "make the features again"
        )
    if group:
        groups = np.array([features.columns[group][index] or features.recording(index) for index in labeled])
    else:  # without segments, each video is a group of its own
        numbers: dict[str, int] = {}
        groups = np.array([numbers.setdefault(features.recording(index), len(numbers)) for index in labeled])
    for number, count in sorted(_groups_per_class(ids, groups).items()):
        if count < 2:
            name = classes[number]
            in_one, advice = f"all videos of class {name!r} have the same {group}", "group by another column"
            if not group:
                in_one, advice = f"class {name!r} has one video", "label more of it"
                if (ids == number).sum() > 1:
                    in_one = f"all videos of class {name!r} are of one recording"
            raise ValueError(f"{features.file}: {in_one}, and cross-validation needs two of each class; {advice}")
    x = features.features[labeled].astype(np.float64)
    accuracies = []
    for fitted, held_out in _folds(ids, groups):
        strength = _choose_strength(x[fitted], ids[fitted], groups[fitted], len(classes))
        weight, bias = _fit(x[fitted], ids[fitted], len(classes), strength)
        right = (x[held_out] @ weight.T + bias).argmax(axis=1) == ids[held_out]
        accuracies.append(100 * float(right.mean()))
    strength = _choose_strength(x, ids, groups, len(classes))
    weight, bias = _fit(x, ids, len(classes), strength)
    largest = 100 * float(np.bincount(ids).max()) / len(ids)
    return LinearProbe(classes, weight, bias, strength, accuracies, largest, len(ids), group)


def probe_accuracy(probe: LinearProbe, features: Features) -> tuple[float, float]:
    """Top-1 of a probe on the labeled videos of another file, and that of their largest class, in percent.

    Args:
        probe: from `fit_probe`.
        features: of the same weights, views and precision; videos without a label are ignored.

    Raises:
        ValueError: no video has a label, or one has a label that the probe does not know.
    """
    ids = []
    for path, label in zip(features.paths, features.labels, strict=True):
        if label and label not in probe.classes:
            raise ValueError(
                f"{features.file}: {path} has the label {label!r}, which the probe has not learned; its classes are "
                f"{', '.join(probe.classes)}"
            )
        ids.append(probe.classes.index(label) if label else -1)
    truth = np.array(ids)
    if not (labeled := truth >= 0).any():
        raise ValueError(f"{features.file}: none of its videos has a label to test on; label videos in the list")
    right = (features.features @ probe.weight.T + probe.bias).argmax(axis=1) == truth
    return 100 * float(right[labeled].mean()), 100 * float(np.bincount(truth[labeled]).max()) / int(labeled.sum())


def check_held_out(fitted: Features, test: Features) -> None:
    """Check that features to test a probe on are of the same network, and of other videos.

    Raises:
        ValueError: they are of other weights, views or precision, or a recording is in both files.
    """
    for key, what in {"weights": "weights", "views": "views", "precision": "precision"}.items():
        if fitted.source[key] != test.source[key]:  # type: ignore[literal-required]
            raise ValueError(
                f"{test.file}: its features are of other {what} ({test.source['model']}) than those of {fitted.file} "
                f"({fitted.source['model']}); make both with one model"
            )
    real = RealPaths()

    def recording(features: Features, index: int) -> str:
        file = os.path.join(features.source["root"], features.recording(index))
        return features.named_recording(index) or real(file)

    known = {recording(fitted, index) for index in range(len(fitted))}
    for index, path in enumerate(test.paths):
        if recording(test, index) in known:
            also = "is also" if path in fitted.paths else "is of a recording that is also"
            raise ValueError(
                f"{test.file}: {path} {also} in {fitted.file}; leave it out of one of them, else accuracy is "
                "measured on training videos"
            )


def save_probe(probe: LinearProbe, features: Features, directory: str | os.PathLike[str], tested: str = "") -> Path:
    """Write the network of some features, with a probe of them as its classifier, as a model directory.

    Its logits, averaged over a video's test views, are those of the regression.

    Args:
        probe: fitted to `features`.
        features: of a model that can be loaded by its name, or from the directory it was in.
        directory: to write; must not exist, or be empty.
        tested: a sentence about accuracy on held-out videos, for the card.

    Raises:
        ValueError: the directory holds something; or the model has other weights than those of the features.
        RuntimeError, FileNotFoundError: the model cannot be loaded, as `create_model` says.
        OSError: the directory cannot be written.
    """
    check_empty(directory)
    name = features.source["model"]
    model = create_model(name, pretrained=True)
    if weights_digest(model) != features.source["weights"]:
        raise ValueError(f"{name}: has other weights now than when {features.file} was made; make the features again")
    model.reset_classifier(len(probe.classes))
    classifier = cast(nn.Linear, model.get_classifier())
    with torch.no_grad():
        classifier.weight.copy_(torch.from_numpy(probe.weight))
        classifier.bias.copy_(torch.from_numpy(probe.bias))
    start = without_folders(name)
    origin = (
        f"A linear probe: scikit-learn {sklearn.__version__}'s logistic regression (C = {probe.strength:g}, chosen by "
        f"cross-validation) on the standardized features of `{start}`, whose license applies, too, and whose other "
        f"weights are unchanged; labels of {Path(features.source['list']).name}. "
        f"Cross-validated: {probe}.{tested and ' '}{tested}"
    )
    return save(model, directory, probe.classes, origin=origin)


def check_empty(directory: str | os.PathLike[str]) -> None:
    """Raise ValueError where a model directory to write holds something, or is a file."""
    if os.path.lexists(directory) and (not os.path.isdir(directory) or os.listdir(directory)):
        raise ValueError(f"{directory}: exists already; give a new folder")


def _groups_per_class(ids: np.ndarray, groups: np.ndarray) -> Counter[int]:
    """In how many groups each class that occurs has a video."""
    return Counter(number for number, _ in set(zip(ids.tolist(), groups.tolist(), strict=True)))


def _folds(ids: np.ndarray, groups: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Indices to fit to and indices held out, per fold; none where a class has one group only.

    A group is in one fold, and classes are spread over the folds as evenly as that allows.
    """
    count = min(_MOST_FOLDS, *_groups_per_class(ids, groups).values())
    if count < 2:
        return []
    if len(set(groups.tolist())) == len(groups):
        folds = StratifiedKFold(count, shuffle=True, random_state=0).split(ids, ids)
    else:
        folds = StratifiedGroupKFold(count, shuffle=True, random_state=0).split(ids, ids, groups)
    return [(fitted, held_out) for fitted, held_out in folds if len(held_out)]


def _choose_strength(x: np.ndarray, ids: np.ndarray, groups: np.ndarray, classes: int) -> float:
    """The strength by which held-out videos are most likely; the middle one where there is nothing to hold out."""
    likelihood = np.zeros(len(_STRENGTHS))
    folds = list(_folds(ids, groups))
    for number, strength in enumerate(_STRENGTHS if folds else ()):
        for fitted, held_out in folds:
            weight, bias = _fit(x[fitted], ids[fitted], classes, strength)
            logits = torch.from_numpy(x[held_out] @ weight.T + bias)
            likelihood[number] -= float(nn.functional.cross_entropy(logits, torch.from_numpy(ids[held_out])))
    return _STRENGTHS[int(likelihood.argmax())] if folds else _STRENGTHS[len(_STRENGTHS) // 2]


def _fit(x: np.ndarray, ids: np.ndarray, classes: int, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Weight (classes, channels) and bias of a logistic regression, for features that are not standardized.

    A class that does not occur, as in a fold that lacks it, is next to impossible, by its bias.
    """
    weight, bias = np.zeros((classes, x.shape[1])), np.full(classes, _IMPOSSIBLE)
    present = np.unique(ids)
    if len(present) == 1:
        bias[present] = 0
        return weight, bias
    mean, deviation = x.mean(axis=0), x.std(axis=0)
    # Weights of a channel that hardly varies would be so large that logits in float32 are not those of the regression.
    scale = np.maximum(deviation, 1e-3 * np.abs(mean))
    scale[scale == 0] = 1
    regression = LogisticRegression(C=strength, max_iter=1000).fit((x - mean) / scale, ids)
    coefficients, intercepts = regression.coef_, regression.intercept_
    if len(present) == 2:  # scikit-learn has one row, the second class's advantage
        coefficients = np.concatenate([-coefficients, coefficients]) / 2
        intercepts = np.concatenate([-intercepts, intercepts]) / 2
    weight[present] = coefficients / scale
    bias[present] = intercepts - weight[present] @ mean
    return weight, bias
