"""What a config.json may say: it is checked before a model is built from it."""

import math
from collections.abc import Collection
from dataclasses import fields
from typing import Any

from timm.models import PretrainedCfg

from cmpl_zoo.models.r3d import clip_settings

# Larger numbers are an accident or an attack, not a model.
MOST = {"num_classes": 100_000, "in_chans": 1_000, "height": 10_000, "width": 10_000, "clip": 10_000}


def check_config(
    architecture: str, cfg: dict[str, Any], model_args: dict[str, Any], known: Collection[str], args: Collection[str]
) -> None:
    """Refuse what no model of this zoo would have written.

    Args:
        architecture: what the config.json says under that name.
        cfg: the same of `pretrained_cfg`.
        model_args: the same.
        known: the zoo's architectures.
        args: what `model_args` may hold.

    Raises:
        ValueError: what is wrong with which field.
    """
    if architecture not in known:
        raise ValueError(f"architecture is {architecture!r}, no model of this zoo; load it with timm")
    for where, given, allowed in (
        ("pretrained_cfg", cfg, {field.name for field in fields(PretrainedCfg)}),
        ("model_args", model_args, args),
    ):
        if unknown := sorted(given.keys() - allowed):
            raise ValueError(f"{where} has unknown fields ({', '.join(unknown)}); remove them")

    input_size = _numbers("input_size", cfg.get("input_size", (3, 224, 224)), 3)
    for name, value in zip(("in_chans", "height", "width"), input_size, strict=True):
        _whole(name, value, 1)
    for given in (cfg, model_args):
        _whole("num_classes", given.get("num_classes", 0), 0)
    _whole("in_chans", model_args.get("in_chans", 3), 1)
    clip = model_args.get("clip", {})
    if not isinstance(clip, dict):
        raise ValueError(f"clip is {clip!r}; it must hold clip settings by name")
    for value in clip_settings(clip).values():
        _whole("clip", value, 1)
    _numbers("mean", cfg.get("mean", (0, 0, 0)), 3)
    if min(_numbers("std", cfg.get("std", (1, 1, 1)), 3)) <= 0:
        raise ValueError(f"std is {cfg['std']!r}; it must be above 0")
    if not 0 < (crop := _numbers("crop_pct", [cfg.get("crop_pct", 1)], 1)[0]) <= 1:
        raise ValueError(f"crop_pct is {crop!r}; it must be a share above 0, up to 1")
    names = cfg.get("label_names") or []
    if not isinstance(names, list) or not all(isinstance(name, str) and name.isprintable() for name in names):
        raise ValueError("label_names must be a list of printable names, one a class")


def _whole(name: str, value: Any, least: int) -> None:
    if type(value) is not int or not least <= value <= MOST[name]:
        raise ValueError(f"{name} is {value!r}; it must be a whole number from {least} to {MOST[name]:,}")


def _numbers(name: str, value: Any, count: int) -> list[float]:
    right = isinstance(value, (list, tuple)) and len(value) == count
    if not right or not all(type(x) in (int, float) and math.isfinite(x) for x in value):
        raise ValueError(f"{name} is {value!r}; it must be {count} numbers")
    return list(value)
