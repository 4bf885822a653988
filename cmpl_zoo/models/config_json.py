"""What a config.json may say: it is checked before a model is built from it."""

import math
from collections.abc import Collection, Mapping
from dataclasses import fields
from typing import Any, NotRequired, TypedDict, cast

from timm.models import PretrainedCfg

from cmpl_zoo.models.labels import check_label_names


class ClipSettings(TypedDict):
    """The clips that a model is made for; see `VideoModel.clip`."""

    frames: int
    stride: NotRequired[int]
    fps: NotRequired[float]
    spread: NotRequired[bool]
    clips: int
    crops: int


# Eight frames are the paper's; the stride and the test views are our choice, the field's habit.
DEFAULT_CLIP: ClipSettings = {"frames": 8, "stride": 8, "clips": 10, "crops": 3}
# Larger numbers are an accident or an attack, not a model.
MOST = {"num_classes": 100_000, "in_chans": 1_000, "height": 10_000, "width": 10_000, "clip": 10_000, "fps": 1_000}


def checked(place: str, cfg: dict[str, Any], model_args: dict[str, Any], known_args: Collection[str]) -> None:
    """Refuse what no model of this zoo would have written.

    Args:
        place: the repository or folder, for the message.
        cfg: the `pretrained_cfg` of its config.json, with what timm adds.
        model_args: its `model_args`.
        known_args: what those may hold.

    Raises:
        RuntimeError: what is wrong with which field.
    """
    try:
        _check(cfg, model_args, known_args)
    except ValueError as error:
        raise RuntimeError(f"{place}: config.json: {error}") from error
    except (TypeError, AttributeError, KeyError, OverflowError) as error:  # another form than ours
        what = f"{type(error).__name__}: {error}"
        raise RuntimeError(f"{place}: config.json is not of timm's form ({what}); save the model again") from error


def _check(cfg: dict[str, Any], model_args: dict[str, Any], known_args: Collection[str]) -> None:
    for where, given, known in (
        ("pretrained_cfg", cfg, {field.name for field in fields(PretrainedCfg)}),
        ("model_args", model_args, known_args),
    ):
        if unknown := sorted(given.keys() - known):
            raise ValueError(f"{where} has unknown fields ({', '.join(unknown)}); remove them")

    size = _numbers("input_size", cfg.get("input_size", (3, 224, 224)), {3})
    for name, value in zip(("in_chans", "height", "width"), size, strict=True):
        _whole(name, value, 1)
    counts = {1, 3, int(size[0])}  # of a mean or standard deviation: timm writes one a channel
    classes = cfg.get("num_classes", 1000)
    _whole("num_classes", classes, 0)
    if (other := model_args.get("num_classes", classes)) != classes:
        raise ValueError(f"num_classes is {classes}, and {other!r} in model_args; they must be the same")
    _whole("in_chans", model_args.get("in_chans", 3), 1)
    if (pool := model_args.get("global_pool", "avg")) not in ("avg", "max", "token", ""):
        raise ValueError(f"global_pool is {pool!r}; it must be 'avg', 'max', 'token', or '' for none")
    if not 0 <= (rate := _numbers("drop_rate", [model_args.get("drop_rate", 0)], {1})[0]) < 1:
        raise ValueError(f"drop_rate is {rate!r}; it must be a share from 0 to below 1")
    for switch in ("subtract_mean_frame", "normalize_clip"):
        if not isinstance(value := model_args.get(switch, False), bool):
            raise ValueError(f"{switch} is {value!r}; it must be true or false")
    clip = clip_settings(model_args.get("clip", {}))
    views = clip["frames"] * clip["clips"] * clip["crops"]
    if max(views, clip.get("stride", 1)) > MOST["clip"]:
        raise ValueError(f"clip is {clip!r}, {views:,} frames of test views; {MOST['clip']:,} are the most")
    _numbers("mean", cfg.get("mean", (0,)), counts)
    if min(_numbers("std", cfg.get("std", (1,)), counts)) <= 0:
        raise ValueError(f"std is {cfg['std']!r}; it must be above 0")
    if not 0 < (crop := _numbers("crop_pct", [cfg.get("crop_pct", 1)], {1})[0]) <= 1:
        raise ValueError(f"crop_pct is {crop!r}; it must be a share above 0, up to 1")
    if cfg.get("label_names") is not None:
        check_label_names(cfg["label_names"], classes)


def clip_settings(clip: Mapping[str, Any] | None, weights: Mapping[str, Any] | None = None) -> ClipSettings:
    """Clip settings: those given, then those of the weights, then `DEFAULT_CLIP`. None as `fps` leaves it unset.

    Raises:
        ValueError: there is no such setting, it is out of range, or two contradict each other.
    """
    clip = clip or {}
    if not isinstance(clip, Mapping):
        raise ValueError(f"clip is {clip!r}; it must hold clip settings by name")
    if unknown := sorted(clip.keys() - ClipSettings.__annotations__.keys()):
        known = ", ".join(ClipSettings.__annotations__)
        raise ValueError(f"clip has no setting {', '.join(unknown)}; it takes {known}")
    for key, value in clip.items():
        if key == "spread":
            if type(value) is not bool:
                raise ValueError(f"clip setting spread is {value!r}; give true or leave it out")
        elif key == "fps":
            if value is not None and (type(value) not in (int, float) or not 0 < value <= MOST["fps"]):
                raise ValueError(f"clip setting fps is {value!r}; give a number above 0, up to {MOST['fps']:,}")
        elif type(value) is not int or value < 1:
            raise ValueError(f"clip setting {key} is {value!r}; give a whole number from 1")
    if clip.get("crops", 1) not in (1, 3):
        raise ValueError(f"clip setting crops is {clip['crops']}; give 1 (the center) or 3 (the center and both ends)")
    by_stride = [key for key in ("stride", "fps") if clip.get(key)]
    if clip.get("spread") and by_stride:
        raise ValueError(f"clip has both spread and {by_stride[0]}; frames are spread or a stride apart, give one")
    merged: dict[str, Any] = {**DEFAULT_CLIP, **(weights or {}), **clip}
    spread = merged.get("spread") and not by_stride  # a stride replaces the spread of the weights
    unset = {"stride", "fps"} if spread else {"spread"}
    kept = [key for key in ClipSettings.__annotations__ if key not in unset and merged.get(key) is not None]
    return cast(ClipSettings, {key: merged[key] for key in kept})


def clip_text(clip: ClipSettings) -> str:
    """Which frames of a video make a clip, in words."""
    if clip.get("spread"):
        return f"{clip['frames']} frames spread over the video"
    by_time = f" at {clip['fps']:g} frames a second" if "fps" in clip else ""
    return f"{clip['frames']} frames, stride {clip['stride']}{by_time}"


def typical_fps(cfg: Mapping[str, Any]) -> float | None:
    """The median frame rate of the videos that weights were trained on, where their configuration has it.

    Args:
        cfg: a `pretrained_cfg`; `hub.save` writes the typical video of a run into its `notes`.
    """
    notes = cfg.get("notes")
    video = notes.get("typical_video") if isinstance(notes, dict) else None
    fps = video.get("fps") if isinstance(video, dict) else None
    return float(fps) if isinstance(fps, (int, float)) and fps > 0 else None


def _whole(name: str, value: Any, least: int) -> None:
    if type(value) is not int or not least <= value <= MOST[name]:
        raise ValueError(f"{name} is {value!r}; it must be a whole number from {least} to {MOST[name]:,}")


def _numbers(name: str, value: Any, counts: set[int]) -> list[float]:
    right = isinstance(value, (list, tuple)) and len(value) in counts
    if not right or not all(type(x) in (int, float) and math.isfinite(x) for x in value):
        raise ValueError(f"{name} is {value!r}; it must be {' or '.join(map(str, sorted(counts)))} numbers")
    return list(value)
