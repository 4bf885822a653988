"""What a run logs: numbers summed on the device, read once a log step, and what it warns of."""

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from cmpl_zoo._files import replace_text
from cmpl_zoo.datasets.training_steps import ClipBatch
from cmpl_zoo.distributed import Ranks
from cmpl_zoo.records import collapse_share
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


class Log:
    """metrics.jsonl, one line per log step, and the same numbers for TensorBoard.

    Args:
        folder: of the run.
        start: step that the run starts from; later lines, of a run that got further than its state, are dropped.
    """

    def __init__(self, folder: Path, start: int) -> None:
        self.file = folder / "metrics.jsonl"
        kept = []
        if self.file.exists():
            lines = self.file.read_text().splitlines(keepends=True)
            whole = [line for line in lines if line.endswith("\n")]  # a killed run may have cut off the last one
            kept = [line for line in whole if json.loads(line)["step"] <= start]
        replace_text(self.file, "".join(kept))
        self.tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def validated(self) -> dict[int, float]:
        """The primary network's validation accuracy, by step."""
        return {line["step"]: line[key] for line in self.lines() if (key := "primary/val_top1") in line}

    def write(self, step: int, line: dict[str, Any]) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps({"step": step, **line}) + "\n")
        for key, value in line.items():
            if isinstance(value, float):
                self.tensorboard.add_scalar(key, value, step)

    def close(self) -> None:
        self.tensorboard.close()


class PseudoLabelWarnings:
    """Warns once of each of two faults that the losses do not show.

    Most pseudo-labels are of one class, see `collapse_share`: the networks may agree on nonsense. It is judged by fifty
    labels at least, of as many log lines as that takes (our choice).

    No pseudo-label counts although lambda has risen to half of its value: the unlabeled videos teach nothing. It is
    said where a tenth of the run's clips, and fifty at least, have passed without one (our choice).

    Args:
        classes: their names.
        clips: unlabeled ones of the whole run.
        risen: the step from which lambda has half of its value.
    """

    def __init__(self, classes: list[str], clips: int, risen: float) -> None:
        self.classes, self.clips, self.risen = classes, clips, risen
        self.labels: dict[str, list[float]] = {}  # of each network by class, since it was judged last
        self.without: dict[str, int] = {}  # clips of each network since the last pseudo-label that counts
        self.said: set[str] = set()

    def check(self, step: int, line: dict[str, Any], clips: int) -> None:
        """Check a log line, which is of `clips` unlabeled clips."""
        for key, shares in line.items():
            network, _, what = key.partition("/")
            if what != "pseudo_classes":
                continue
            passed = line[f"{network}/mask"] * clips
            self._check_classes(step, network, [share * passed for share in shares])
            self.without[network] = 0 if passed or step < self.risen else self.without.get(network, 0) + clips
            if self.without[network] >= max(50, self.clips / 10):
                self._say(
                    "none",
                    f"warning: step {step}: none of the last {self.without[network]} unlabeled clips has a "
                    f"pseudo-label for the {network} network that passes --threshold, so that they teach it nothing; "
                    "a lower --threshold or more labeled videos help",
                )

    def _check_classes(self, step: int, network: str, labels: list[float]) -> None:
        before = self.labels.get(network, [0.0] * len(labels))
        counts = self.labels[network] = [sum(both) for both in zip(before, labels, strict=True)]
        if round(sum(counts)) < 50:
            return
        self.labels.pop(network)
        share = max(counts) / sum(counts)
        if share > collapse_share(len(counts)):
            name = self.classes[counts.index(max(counts))]
            self._say(
                "one class",
                f"warning: step {step}: {share:.0%} of the pseudo-labels for the {network} network are {name!r}; the "
                "networks may be agreeing on nonsense: a longer --unlabeled-warmup or a higher --threshold guards "
                "against it",
            )

    def _say(self, fault: str, message: str) -> None:
        if fault not in self.said:
            tqdm.write(message, file=sys.stderr)
            self.said.add(fault)
