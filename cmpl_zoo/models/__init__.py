"""The networks. Importing this package registers them with timm."""

from cmpl_zoo.models.factory import create_model, list_models
from cmpl_zoo.models.freezing import freeze, unfreeze
from cmpl_zoo.models.r3d import R3D

__all__ = ["R3D", "create_model", "freeze", "list_models", "unfreeze"]
