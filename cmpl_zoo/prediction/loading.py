"""Models by their names, ready to predict."""

from collections.abc import Sequence
from pathlib import Path

from cmpl_zoo.distributed import set_up_device
from cmpl_zoo.models import R3D, VideoModel, create_model
from cmpl_zoo.models.labels import check_same_classes
from cmpl_zoo.models.packing import pack
from cmpl_zoo.precision import DTYPES, Precision

NETWORKS = ("primary", "auxiliary")  # folders of a run, each with a network


def networks_of(name: str) -> list[str]:
    """The model directories of a run's networks, given its folder; any other name is that of one model."""
    folder = Path(name).expanduser()
    parts = [str(folder / part) for part in NETWORKS if (folder / part / "config.json").is_file()]
    return [name] if (folder / "config.json").is_file() or not parts else parts


def load_models(names: Sequence[str], device: str = "auto", precision: Precision = "float32") -> list[VideoModel]:
    """Models of the same classes, in evaluation mode and on a device; R3D networks in their fastest form.

    Args:
        names: each a name, model directory or `hf-hub:ORG/NAME`, as `create_model` takes them, or the folder of a run,
            see `networks_of`.
        device: as `set_up_device` takes it.
        precision: that `predict` will be given.

    Raises:
        ValueError, RuntimeError, OSError: as `create_model` and `set_up_device`, or the models have other classes.
    """
    place = set_up_device(device)
    names = [network for name in names for network in networks_of(name)]
    models = [create_model(name, pretrained=True).eval() for name in names]
    check_same_classes(names, models)
    for model in models:
        if isinstance(model, R3D):
            model.reparameterize()
            if place.type == "cpu":
                pack(model, DTYPES[precision])
        model.to(place)
    return models
