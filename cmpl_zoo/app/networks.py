"""The networks that the page offers: models, and the two networks of a run side by side."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cmpl_zoo.distributed import device_errors_explained
from cmpl_zoo.prediction import Ensemble
from cmpl_zoo.prediction.loading import load_models, networks_of


@dataclass(frozen=True)
class Network:
    """A network of the page.

    Attributes:
        name: `primary` or `auxiliary` of a run, else the name of the model.
        ensemble: the network alone.
    """

    name: str
    ensemble: Ensemble


def load_networks(models: Iterable[str]) -> dict[str, list[Network]]:
    """For each model its network, or for the folder of a run those of its two networks that are there.

    Args:
        models: each a name, model directory or `hf-hub:ORG/NAME`, as `create_model` takes them, or the folder of a run.

    Raises:
        ValueError, RuntimeError, OSError: as `create_model`, or a model cannot classify videos.
    """
    with device_errors_explained():
        return {
            model: [
                Network(model if network == model else Path(network).name, Ensemble(load_models([network])))
                for network in networks_of(model)
            ]
            for model in models
        }
