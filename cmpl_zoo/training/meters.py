"""What a run measures while it trains: numbers summed on the device, and read once a log step."""

import math
import sys
import time
from typing import Any

import torch
from torch import Tensor

from cmpl_zoo.datasets.training_steps import ClipBatch
from cmpl_zoo.distributed import Ranks
from cmpl_zoo.semi import CMPLLoss


class Meters:
    """Numbers of a run, from one log step to the next.

    Sums stay on the device until `read`, so that a GPU never waits for the log; `read` adds up those of all ranks.

    Args:
        device: of the networks.
        ranks: that share the run.
        steps: since the last log line, where a run continues within an interval.
        sums: of those steps.

    Attributes:
        waited: seconds since the last log line in which the run waited for a batch.
        read_steps: of the last reading.
        seconds_a_step: in it.
    """

    def __init__(
        self, device: torch.device, ranks: Ranks, steps: int = 0, sums: dict[str, Tensor] | None = None
    ) -> None:
        self.device, self.ranks = device, ranks
        self.sums: dict[str, Tensor] = {}
        self.read_steps, self.seconds_a_step = 0, 0.0
        self._clear()
        self.steps = steps
        if sums and ranks.first:  # they are of all ranks
            self.sums = {key: value.to(device) for key, value in sums.items()}

    def _clear(self) -> None:
        self.steps = self.timed_steps = self.clips = 0
        self.waited = 0.0
        self.began = time.perf_counter()
        self.sums = {}

    def _add(self, key: str, value: Tensor) -> None:
        value = value.detach()
        self.sums[key] = self.sums[key] + value if key in self.sums else value

    def update(self, loss: Any, clips: Any, share: float) -> None:
        """Add the loss of some clips of a step.

        Args:
            loss: of these clips.
            clips: that it is of.
            share: of this rank's clips of the step.
        """
        raise NotImplementedError

    def end_step(self, gradient_norm: Tensor) -> None:
        """Add what is known at the end of a step."""
        self._add("gradient_norm", gradient_norm / self.ranks.size)
        self.steps += 1
        self.timed_steps += 1

    def state(self) -> dict[str, Any]:
        """The steps and sums since the last log line, over all ranks: the last two arguments of new meters."""
        return {"steps": self.steps, "sums": {key: self.ranks.sum(value) for key, value in self.sums.items()}}

    def read(self) -> dict[str, Any]:
        """The numbers since the last reading; then start again.

        `clips_per_s` is of all ranks, `waited_for_data` this rank's share of the time, `memory_mb` its memory, on the
        GPU where there is one; it is left out where it is not known.
        """
        seconds = time.perf_counter() - self.began
        line = self._means(self.state()["sums"])
        line["clips_per_s"] = self.ranks.size * self.clips / seconds
        line["waited_for_data"] = self.waited / seconds
        if memory := _memory(self.device):
            line["memory_mb"] = memory
        self.read_steps, self.seconds_a_step = self.steps, seconds / max(1, self.timed_steps)
        self._clear()
        return line

    def _means(self, sums: dict[str, Tensor]) -> dict[str, Any]:
        """The means of sums over the steps; None where one is not finite, as under fp16: JSON has no such number."""
        means = {key: value.item() / self.steps for key, value in sums.items()}
        return {key: mean if math.isfinite(mean) else None for key, mean in means.items()}


class CMPLMeters(Meters):
    """Losses, the pseudo-labels that count and how right they are.

    Args:
        networks: their names.
        classes: number of classes.
        device, ranks, steps, sums: as `Meters` takes them.
    """

    def __init__(
        self,
        networks: list[str],
        classes: int,
        device: torch.device,
        ranks: Ranks,
        steps: int = 0,
        sums: dict[str, Tensor] | None = None,
    ) -> None:
        super().__init__(device, ranks, steps, sums)
        self.networks, self.classes = networks, classes

    def update(self, loss: CMPLLoss, clips: ClipBatch, share: float) -> None:
        """Add the loss of some clips of a step.

        Args:
            loss: of these clips.
            clips: as `cmpl_zoo.datasets.TrainingSteps` makes them. `hidden_labels`, -1 where they are not known, tell
                how right the pseudo-labels are.
            share: of this rank's clips of the step.
        """
        self.clips += len(clips["labels"]) + len(clips.get("hidden_labels", ()))
        hidden_labels = clips.get("hidden_labels")
        share /= self.ranks.size
        self._add("loss", share * loss.total)
        for name, supervised in zip(self.networks, loss.supervised, strict=True):
            self._add(f"{name}/supervised", share * supervised)
        for name, unsupervised, pseudo, other in zip(
            self.networks, loss.unsupervised, loss.pseudo, reversed(loss.pseudo), strict=False
        ):
            label = pseudo.target if pseudo.target.ndim == 1 else pseudo.target.argmax(dim=1)
            self._add(f"{name}/unsupervised", share * unsupervised)
            # torch.bincount would read its result's size back from the GPU.
            counts = torch.zeros(self.classes, device=self.device).index_add_(0, label, pseudo.mask.float())
            self._add(f"{name}/histogram", counts)
            masks = {"": pseudo.mask} | ({"alone_": pseudo.mask & ~other.mask} if len(loss.pseudo) == 2 else {})
            for kind, mask in masks.items():
                self._add(f"{name}/{kind}mask", share * mask.float().mean())
                if hidden_labels is not None:
                    counted = mask & (hidden_labels >= 0)
                    self._add(f"{name}/{kind}known", counted.sum())
                    self._add(f"{name}/{kind}right", (counted & (label == hidden_labels)).sum())

    def _means(self, sums: dict[str, Tensor]) -> dict[str, Any]:
        """The means of losses and, of each network, what its pseudo-labels are like.

        `mask` is the share of unlabeled clips whose pseudo-label counts, `pseudo_accuracy` the share of right ones
        among those labels (None where no true label is known), `pseudo_classes` their distribution over classes;
        `alone_mask` and `alone_pseudo_accuracy` are the same for the clips whose label counts for this network alone.
        """
        line: dict[str, Any] = {}
        for key, value in sums.items():
            name, _, what = key.rpartition("/")
            if what == "histogram":
                line[f"{name}/pseudo_classes"] = (value / value.sum().clamp(min=1)).tolist()
            elif what.endswith("right"):
                kind = what.removesuffix("right")
                known = sums[f"{name}/{kind}known"].item()
                line[f"{name}/{kind}pseudo_accuracy"] = value.item() / known if known else None
            elif not what.endswith("known"):
                line |= super()._means({key: value})
        return line


def _memory(device: torch.device) -> float:
    """The most memory that this process has used so far, in MB; 0 where the system does not tell, as on Windows."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    try:
        import resource
    except ImportError:
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
