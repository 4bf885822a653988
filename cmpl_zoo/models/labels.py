"""The names of the classes that a model knows."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

if TYPE_CHECKING:
    from cmpl_zoo.models.video_model import VideoModel

UNCERTAIN = "uncertain"  # in place of a class, where none is probable enough
CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # Unicode's category Cc


def label_names(model: "VideoModel") -> list[str]:
    """Class names by class id; the ids themselves where the model carries no names.

    Raises:
        ValueError: the classifier is not of `model.num_classes` classes.
    """
    check_classifier(model)
    names = list(model.pretrained_cfg.get("label_names") or ())
    # A classifier that started afresh knows nothing of the names that came with the weights.
    return names if len(names) == model.num_classes else [str(i) for i in range(model.num_classes)]


def check_classifier(model: "VideoModel") -> None:
    """Raise ValueError where the classifier gives another number of logits than `model.num_classes` says.

    As after `model.fc = nn.Linear(...)`, which tells the model nothing of its classes. A classifier whose layers have
    no `out_features` shows it by its logits alone (`check_logits`).
    """
    widths: list[Any] = [layer.out_features for layer in model.fc.modules() if hasattr(layer, "out_features")]
    if widths:
        check_logits(model, widths[-1])
    elif isinstance(model.fc, nn.Identity):
        check_logits(model, 0)


def check_logits(model: "VideoModel", logits: int) -> None:
    """Raise ValueError where a model gives another number of logits than `model.num_classes` says."""
    if logits != model.num_classes:
        raise ValueError(
            f"the model gives {logits} logits, and its num_classes is {model.num_classes}; make a new classifier by "
            f"model.reset_classifier({logits}), or, if this one is trained, set model.num_classes = {logits} and give "
            "save the names of its classes"
        )


def check_same_classes(names: Sequence[str], models: Sequence["VideoModel"]) -> None:
    """Raise ValueError where models have other classes than the first, and so cannot vote with it.

    Args:
        names: what the message calls the models.
        models: at least one.
    """
    for name, model in zip(names, models, strict=True):
        if label_names(model) != label_names(models[0]):
            raise ValueError(
                f"{name}: knows other classes than {names[0]}, and so cannot vote with it; give networks of one run"
            )


def check_label_names(names: Sequence[str], classes: int) -> None:
    """Raise ValueError unless there is one name for each class, all different, none of which says that there is no
    class or steers a terminal."""
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError("label_names must be a list of names")
    if len(names) != classes:
        raise ValueError(f"{len(names)} label names for a model of {classes} classes; give one each")
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"two classes are called {repeated[0]!r}, and predictions could not tell which; rename one")
    if UNCERTAIN in names:
        raise ValueError(f"a class is called {UNCERTAIN!r}, as predictions of no class are; give it another name")
    if odd := [name for name in names if CONTROL_CHARACTER.search(name)]:
        raise ValueError(f"label name {odd[0]!r} has control characters; remove them")
