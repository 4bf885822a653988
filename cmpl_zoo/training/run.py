"""A run of CMPL: a loop that counts pseudo-labels, validates, and keeps the best networks."""

import math
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cmpl_zoo.datasets.training_steps import ClipBatch, TrainingSteps
from cmpl_zoo.distributed import Ranks
from cmpl_zoo.evaluation import Evaluation, evaluate_ensembles
from cmpl_zoo.models import VideoModel
from cmpl_zoo.records import Scores, Summary
from cmpl_zoo.training.lists import TrainingLists
from cmpl_zoo.training.loop import Loop
from cmpl_zoo.training.meters import CMPLMeters
from cmpl_zoo.training.progress import loss_in_words
from cmpl_zoo.training.provenance import digests
from cmpl_zoo.training.pseudo_label_warnings import PseudoLabelWarnings
from cmpl_zoo.training.summary import save_models, summarize, tell_scores, write_report, write_summary
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo_cli.train_config import Config


class Run(Loop):
    """A loop that learns by CMPL.

    Args:
        config: its options.
        ranks: the processes that share it.
        lists: its videos and classes.
        steps: its batches by step.
        device: of this process.
        networks: what is validated and saved as the result, F and A by their roles.
        state: what a saved state holds, by name; see `Loop`.

    Raises:
        RunError: a list or the order of the classes has changed since the run began, or no state can be read.
        RankError: the ranks would continue from different steps.
    """

    config: Config

    def __init__(
        self,
        config: Config,
        ranks: Ranks,
        lists: TrainingLists,
        steps: TrainingSteps,
        device: torch.device,
        networks: dict[str, VideoModel],
        state: dict[str, Any],
    ) -> None:
        self.lists, self.networks = lists, networks
        super().__init__(
            config,
            Path(config.output),
            ranks,
            steps=steps,
            device=device,
            state=state,
            learned=list(networks.values()),
            digests=digests(config.labeled, config.unlabeled, config.classes),
            videos=len(lists.labeled) + len(lists.unlabeled or ()),
            meters=partial(CMPLMeters, list(networks), len(lists.classes), device, ranks),
        )
        validated = ranks.gather(self.log.validated() if self.log else {})[0]
        self.accuracies = list(validated.values())  # of F, in percent, of every validation by the log
        self.validated_at_start = self.step in validated
        self.evaluations: dict[str, Evaluation] = {}  # of the last validation
        risen = config.unlabeled_warmup / 2 if config.lambda_u else math.inf
        self.warnings = PseudoLabelWarnings(lists.classes, len(steps) * config.unlabeled_batch, risen)

    def batches(self) -> Iterator[ClipBatch]:
        """The remaining batches, as `Loop` gives them, after a validation that is still due."""
        if self._validation_due() and not self.validated_at_start:  # the state was saved, and then it failed
            began = time.perf_counter()
            self._validate()
            self._pause(began)
        yield from super().batches()
        if self.ranks.first and self._ends_early():
            print(
                f"step {self.step}: the last {since_best(self.accuracies)} validations have not improved on "
                f"{max(self.accuracies):.1f} % (--patience {self.config.patience}); best/ holds the networks of that "
                "one",
                file=sys.stderr,
            )

    def finish(self) -> Path:
        """Save the last step's networks, which are the result, the summary and the report; returns the folder."""
        if self.lists.val and not self.evaluations:  # a run that was stopped after its last validation
            self._evaluate()
        if self.log:
            save_models(self.networks, self.folder, self.lists.classes, self._summary())
            write_summary(self.folder, self._summary(), self.log.lines())
            self.log.close()
            tell_scores(self._scores)
            write_report(self.folder, self.config, self._summary(), self.log.lines(), self.lists, self.evaluations)
            print(self.folder)
        return self.folder

    def _in_words(self, line: dict[str, Any]) -> str:
        """The numbers of a log line that a person looks for; of the pseudo-labels those for the primary network."""
        self.warnings.check(self.step, line, self.meters.read_steps * self.config.unlabeled_batch)
        return in_words(line, self.accuracies[-1] if self.accuracies else None)

    def _validation_due(self) -> bool:
        """Whether a validation belongs to this step."""
        every = self.config.val_every
        due = self.step == self.config.steps or (every > 0 and self.step % every == 0)
        return self.lists.val is not None and self.step > 0 and due

    def _ends_early(self) -> bool:
        """Whether the patience is spent; every rank knows all accuracies."""
        return 0 < self.config.patience <= since_best(self.accuracies)

    def _validate(self) -> None:
        """Validate, keep the networks where they are the best so far, and log it.

        The log comes last: a run that is killed before its line validates again.
        """
        self._evaluate()
        accuracy = self._scores["primary"]["video_top1"]
        if self.ranks.first and accuracy > max(self.accuracies, default=-1.0):
            save_models(self.networks, self.folder / "best", self.lists.classes, self._summary())
        self.accuracies.append(accuracy)
        if self.log:
            self.log.write(
                self.step, {f"{name}/val_top1": scores["video_top1"] for name, scores in self._scores.items()}
            )

    def _evaluate(self) -> None:
        """Measure each network and, where there are two, their vote."""
        val, ensembles = self.lists.val, {role: [network] for role, network in self.networks.items()}
        assert val is not None
        if len(ensembles) > 1:
            ensembles["vote"] = list(self.networks.values())
        try:
            found = evaluate_ensembles(list(ensembles.values()), val, workers=self.config.workers, ranks=self.ranks)
        except VideoError as error:
            raise VideoError(
                f"{self.config.val}: {error}; the state is saved: repair or change --val and --val-root (by default as "
                "--root), and the same command with --resume validates and continues"
            ) from error
        self.evaluations = dict(zip(ensembles, found, strict=True))

    @property
    def _scores(self) -> dict[str, Scores]:
        """Of the last validation, by role of the network, and of the vote."""
        return {role: evaluation.scores for role, evaluation in self.evaluations.items()}

    def _summary(self) -> Summary:
        return summarize(self.config, self.lists, self._scores, self.made_with, self.step, self.seconds)


def in_words(line: dict[str, Any], top1: float | None) -> str:
    """The numbers of a log line, as `CMPLMeters` gives them, and the accuracy in the last validation, if any."""
    words = [loss_in_words(line)]
    if "primary/mask" in line:
        words.append(f"{line['primary/mask']:.0%} of pseudo-labels pass")
        if (right := line.get("primary/pseudo_accuracy")) is not None:
            words[-1] += f", {right:.0%} of them right"
    if top1 is not None:
        words.append(f"top-1 {top1:.1f} %")
    return ", ".join(words)


def since_best(accuracies: Sequence[float]) -> int:
    """How many validations there were after the first of the best ones."""
    return len(accuracies) - 1 - accuracies.index(max(accuracies)) if accuracies else 0
