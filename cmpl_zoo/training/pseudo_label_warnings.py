"""What a run warns of while it trains: pseudo-labels that teach nothing, or nonsense."""

import sys
from typing import Any

from tqdm import tqdm

from cmpl_zoo.records import collapse_share


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
                "networks may be agreeing on nonsense: try --balance or a higher --threshold, and compare with "
                "--scheme none --auxiliary null",
            )

    def _say(self, fault: str, message: str) -> None:
        if fault not in self.said:
            tqdm.write(message, file=sys.stderr)
            self.said.add(fault)
