"""The names of the classes that a model knows."""

import re
from collections.abc import Sequence
from typing import Any

from torch import nn

CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")  # Unicode's category Cc


def label_names(model: nn.Module) -> list[str]:
    """Class names by class id; the ids themselves where the model carries no names."""
    cfg: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    classes: int = model.num_classes  # type: ignore[assignment]
    names = list(cfg.get("label_names") or ())
    # A classifier that started afresh knows nothing of the names that came with the weights.
    return names if len(names) == classes else [str(i) for i in range(classes)]


def check_same_classes(names: Sequence[str], models: Sequence[nn.Module]) -> None:
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
    """Raise ValueError unless there is one name a class, and none could steer a terminal."""
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise ValueError("label_names must be a list of names")
    if len(names) != classes:
        raise ValueError(f"{len(names)} label names for a model of {classes} classes; give one each")
    if odd := [name for name in names if CONTROL_CHARACTER.search(name)]:
        raise ValueError(f"label name {odd[0]!r} has control characters; remove them")
