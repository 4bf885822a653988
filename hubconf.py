"""torch.hub entry points: every architecture, and every name of weights with an underscore for its dot.

torch.hub.load("ORG/cmpl", "r3d50_eighth_cmpl_demo")
torch.hub.load("ORG/cmpl", "r3d50", pretrained=False, num_classes=101)

Each one is `cmpl_zoo.create_model` of that name, `pretrained` where the name is one of weights; without them an
architecture has 400 classes. Weights of the paper's networks are not published yet: those names need
`pretrained=False`. `r3d50_cmpl_k400` is `r3d50.cmpl_k400_10pct`.
"""

from typing import Any as _Any

from torch import nn as _nn

from cmpl_zoo.models import create_model as _create_model
from cmpl_zoo.models.factory import hubconf_names as _hubconf_names

dependencies = ["torch", "torchvision", "timm", "huggingface_hub", "safetensors"]


def _entry_point(entry: str, name: str) -> _Any:
    def entry_point(*, pretrained: bool = "." in name, **kwargs: _Any) -> _nn.Module:
        return _create_model(name, pretrained, **kwargs)

    entry_point.__name__ = entry_point.__qualname__ = entry
    entry_point.__doc__ = f"""{name}, a network for clips of shape (batch, 3, frames, height, width).

    Args:
        pretrained: load the weights of the name. Where none are published, only False works: random ones.
        **kwargs: as cmpl_zoo.create_model takes them: num_classes, in_chans, drop_rate, features_only, cache_dir, ...
    """
    return entry_point


globals().update({entry: _entry_point(entry, name) for entry, name in _hubconf_names().items()})
