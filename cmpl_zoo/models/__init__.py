"""The networks. Importing this package registers them with timm."""

from cmpl_zoo.models.factory import create_model, list_models
from cmpl_zoo.models.freezing import freeze, freeze_stages, unfreeze
from cmpl_zoo.models.r3d import R3D
from cmpl_zoo.models.video_model import VideoModel

__all__ = ["R3D", "VideoModel", "create_model", "freeze", "freeze_stages", "list_models", "unfreeze"]
