"""Which statistics batch norm uses, and when it learns them."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from cmpl_zoo.models.freezing import is_frozen
from cmpl_zoo.models.video_model import evaluation_mode


@contextmanager
def evaluating(network: nn.Module, batch_statistics: bool) -> Iterator[None]:
    """Evaluation mode, with batch norm by the statistics of its batch where asked for; the running ones stay."""
    norms = batch_norms(network) if batch_statistics else []
    with evaluation_mode(network):
        for norm in norms:
            norm.training, norm.track_running_stats = True, False
        try:
            yield
        finally:
            for norm in norms:
                norm.track_running_stats = True


@contextmanager
def running_statistics_kept(module: nn.Module) -> Iterator[None]:
    """Batch norm in training uses the statistics of its batch, and the running ones stay as they are.

    A momentum of 0 does it: where activations are recomputed, batch norm must save what it saved before.
    """
    momenta = {norm: norm.momentum for norm in batch_norms(module)}
    for norm in momenta:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum


def batch_norms(module: nn.Module) -> list[_BatchNorm]:
    """Those that learn statistics."""
    return [norm for norm in module.modules() if isinstance(norm, _BatchNorm) and not is_frozen(norm)]
