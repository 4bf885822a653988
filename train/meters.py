"""What a run reports: numbers summed on the device, read once a log step."""

import json
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from cmpl_zoo.semi import CMPLLoss


class Meters:
    """Losses, the pseudo-labels that count and how right they are, from one log step to the next.

    Sums stay on the device until `read`, so that a GPU never waits for the log.
    """

    def __init__(self, networks: list[str], classes: int, device: torch.device) -> None:
        self.networks, self.classes, self.device = networks, classes, device
        self._clear()

    def _clear(self) -> None:
        self.steps = self.clips = 0
        self.waited = 0.0
        self.began = time.perf_counter()
        self.sums: dict[str, Tensor] = {}

    def _add(self, key: str, value: Tensor) -> None:
        self.sums[key] = self.sums.get(key, torch.zeros((), device=self.device)) + value.detach()

    def update(self, loss: CMPLLoss, clips: int, hidden_labels: Tensor | None) -> None:
        """Take in one step.

        Args:
            loss: of the step.
            clips: number of labeled and unlabeled clips.
            hidden_labels: true class ids of the unlabeled clips where they are known, else -1.
        """
        self.steps += 1
        self.clips += clips
        self._add("loss", loss.total)
        for name, supervised in zip(self.networks, loss.supervised, strict=True):
            self._add(f"{name}/supervised", supervised)
        for name, unsupervised, pseudo in zip(self.networks, loss.unsupervised, loss.pseudo, strict=False):
            label = pseudo.target if pseudo.target.ndim == 1 else pseudo.target.argmax(dim=1)
            self._add(f"{name}/unsupervised", unsupervised)
            self._add(f"{name}/mask", pseudo.mask.float().mean())
            # torch.bincount would read its result's size back from the GPU.
            counts = torch.zeros(self.classes, device=self.device).index_add_(0, label, pseudo.mask.float())
            self._add(f"{name}/histogram", counts)
            if hidden_labels is not None:
                counted = pseudo.mask & (hidden_labels >= 0)
                self._add(f"{name}/known", counted.sum())
                self._add(f"{name}/right", (counted & (label == hidden_labels)).sum())

    def read(self) -> dict[str, Any]:
        """Means since the last reading, and start again.

        Of each network: `mask` is the share of unlabeled clips that it is taught, `pseudo_accuracy` the share of
        right ones among those (None where no label is known), `pseudo_classes` their distribution over classes.
        """
        seconds = time.perf_counter() - self.began
        line: dict[str, Any] = {}
        for key, value in self.sums.items():
            name, _, what = key.rpartition("/")
            if what == "histogram":
                line[f"{name}/pseudo_classes"] = (value / value.sum().clamp(min=1)).tolist()
            elif what == "right":
                known = self.sums[f"{name}/known"].item()
                line[f"{name}/pseudo_accuracy"] = value.item() / known if known else None
            elif what != "known":
                line[key] = value.item() / self.steps
        line["clips_per_s"] = self.clips / seconds
        line["waited_for_data"] = self.waited / seconds
        self._clear()
        return line


class Log:
    """metrics.jsonl, one line a log step, and the same as TensorBoard curves.

    Args:
        folder: of the run.
        start: step the run starts from; lines after it, of a run that got further than its state, are dropped.
    """

    def __init__(self, folder: Path, start: int) -> None:
        self.file = folder / "metrics.jsonl"
        kept = []
        if self.file.exists():
            kept = [line for line in self.file.read_text().splitlines() if json.loads(line)["step"] <= start]
        self.file.write_text("".join(line + "\n" for line in kept))
        self.curves = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)

    def write(self, step: int, line: dict[str, Any]) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps({"step": step, **line}) + "\n")
        for key, value in line.items():
            if isinstance(value, float):
                self.curves.add_scalar(key, value, step)

    def close(self) -> None:
        self.curves.close()


class CollapseWarning:
    """Says once when one class takes most of the pseudo-labels: the networks may agree on nonsense."""

    def __init__(self, classes: list[str]) -> None:
        self.classes = classes
        self.said = False

    def check(self, step: int, line: dict[str, Any]) -> None:
        """Look at a log line; "most" is half of the labels, and more where classes are few.

        A handful of labels says nothing: at least one clip in twenty must have one.
        """
        for key, shares in line.items():
            network, _, what = key.partition("/")
            if what != "pseudo_classes" or line[f"{network}/mask"] < 0.05 or self.said:
                continue
            largest = max(shares)
            if largest > 0.5 + 0.5 / len(shares):
                name = self.classes[shares.index(largest)]
                tqdm.write(
                    f"warning: step {step}: {largest:.0%} of the pseudo-labels for the {network} "
                    f"network are {name!r}; the networks may be agreeing on nonsense: a longer --unlabeled_warmup "
                    "or a higher --threshold guards against it"
                )
                self.said = True
