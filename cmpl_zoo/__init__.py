"""Video networks that learn from few labels: a timm-style zoo, and CMPL.

Importing it registers the networks with timm. The other functions and the sub-packages are loaded on first use, since
they need packages, such as the video decoder, that the networks do not.
"""

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

# Before torch: if Ctrl-C is pressed while torch itself imports numpy, it is ignored, and torch works without numpy.
import numpy  # noqa: F401

from cmpl_zoo.models import create_model as create_model
from cmpl_zoo.models import list_models as list_models
from cmpl_zoo_cli.version import __version__ as __version__

if TYPE_CHECKING:  # the same names for type checkers
    from cmpl_zoo import datasets as datasets
    from cmpl_zoo import demo as demo
    from cmpl_zoo import hub as hub
    from cmpl_zoo import models as models
    from cmpl_zoo import semi as semi
    from cmpl_zoo import storage as storage
    from cmpl_zoo import tools as tools
    from cmpl_zoo import training as training
    from cmpl_zoo import video as video
    from cmpl_zoo.evaluation import evaluate as evaluate
    from cmpl_zoo.hub import push as push
    from cmpl_zoo.hub import save as save
    from cmpl_zoo.prediction import bouts as bouts
    from cmpl_zoo.prediction import predict as predict
    from cmpl_zoo.prediction import timeline as timeline
    from cmpl_zoo.suggestions import suggest as suggest
    from cmpl_zoo.video import Video as Video
    from cmpl_zoo.video import VideoError as VideoError
    from cmpl_zoo.video import load_clip as load_clip
    from cmpl_zoo.video import read_frames as read_frames
    from cmpl_zoo.video import resolve_clip_config as resolve_clip_config
    from cmpl_zoo.video import video_info as video_info

# No module may bear the name of one of these: its import would hide the function.
_FUNCTIONS = {
    "evaluation": ["evaluate"],
    "hub": ["push", "save"],
    "prediction": ["bouts", "predict", "timeline"],
    "suggestions": ["suggest"],
    "video": ["Video", "VideoError", "load_clip", "read_frames", "resolve_clip_config", "video_info"],
}


def __getattr__(name: str) -> Any:
    for module, names in _FUNCTIONS.items():
        if name in names:
            return getattr(importlib.import_module(f"{__name__}.{module}"), name)
    if name in _submodules():
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    on_first_use = {name for names in _FUNCTIONS.values() for name in names}
    return sorted({"__version__", "create_model", "list_models", *on_first_use, *_submodules()})


def _submodules() -> set[str]:
    return {module.name for module in pkgutil.iter_modules(__path__)}
