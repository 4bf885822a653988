"""R3D video networks and Cross-Model Pseudo-Labeling: a timm-style zoo.

Importing it registers the models with timm. `cmpl_zoo.data` reads video, `cmpl_zoo.semi` is the method,
`cmpl_zoo.hub` saves models and `cmpl_zoo.predict` classifies a video; import them by name.
"""

from cmpl_zoo._version import __version__
from cmpl_zoo.models import create_model, list_models

__all__ = ["__version__", "create_model", "list_models"]
