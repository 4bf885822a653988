"""R3D video networks and Cross-Model Pseudo-Labeling: a timm-style zoo.

Importing it registers the networks with timm. All else is loaded on first use: the functions below, and the
sub-packages `video`, `datasets`, `hub`, `semi` (the method as formulas) and `training`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from cmpl_zoo.models import create_model, list_models
from cmpl_zoo_cli.version import __version__

if TYPE_CHECKING:
    from cmpl_zoo import datasets, demo, hub, models, semi, storage, tools, training, video
    from cmpl_zoo.evaluation import evaluate
    from cmpl_zoo.hub import push, save
    from cmpl_zoo.prediction import predict
    from cmpl_zoo.video import Video, VideoError, load_clip, probe, read_frames, resolve_clip_config

_FUNCTIONS = {
    "evaluate": "cmpl_zoo.evaluation",
    "push": "cmpl_zoo.hub",
    "save": "cmpl_zoo.hub",
    "predict": "cmpl_zoo.prediction",
    **dict.fromkeys(
        ("Video", "VideoError", "load_clip", "probe", "read_frames", "resolve_clip_config"), "cmpl_zoo.video"
    ),
}
_PACKAGES = ("datasets", "demo", "hub", "models", "semi", "storage", "tools", "training", "video")

__all__ = [
    "Video",
    "VideoError",
    "__version__",
    "create_model",
    "datasets",
    "demo",
    "evaluate",
    "hub",
    "list_models",
    "load_clip",
    "models",
    "predict",
    "probe",
    "push",
    "read_frames",
    "resolve_clip_config",
    "save",
    "semi",
    "storage",
    "tools",
    "training",
    "video",
]


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(importlib.import_module(_FUNCTIONS[name]), name)
    if name in _PACKAGES:
        return importlib.import_module(f"cmpl_zoo.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
