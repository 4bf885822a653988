"""A run from step to step: its batches, what it logs, when it saves and validates, and how it stops."""

import math
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cmpl_zoo.datasets.loader import iterate
from cmpl_zoo.datasets.order import derived_seed
from cmpl_zoo.datasets.training_steps import ClipBatch, TrainingSteps, UnreadableVideo
from cmpl_zoo.distributed import RankError, Ranks
from cmpl_zoo.evaluation import Evaluation, evaluate_ensembles
from cmpl_zoo.models import VideoModel
from cmpl_zoo.records import Scores, Summary
from cmpl_zoo.semi import CMPLLoss
from cmpl_zoo.training.checkpoint import States
from cmpl_zoo.training.errors import RunError, StopRequested
from cmpl_zoo.training.lists import TrainingLists
from cmpl_zoo.training.meters import Log, Meters, PseudoLabelWarnings
from cmpl_zoo.training.progress import Progress
from cmpl_zoo.training.provenance import commit, digests, hardware
from cmpl_zoo.training.signals import Interrupt
from cmpl_zoo.training.summary import (
    clips_a_step,
    save_models,
    summarize,
    tell_scores,
    write_report,
    write_summary,
)
from cmpl_zoo.training.unreadable_videos import UnreadableVideos
from cmpl_zoo.video.video import VideoError
from cmpl_zoo_cli.train_config import Config


class Run:
    """The step a run is at, and all that is kept from step to step.

    Whatever is drawn follows from the seed, the step and the rank, so that a state holds no random state.

    Args:
        config: its options.
        ranks: the processes that share it.
        lists: its videos and classes.
        steps: its batches by step.
        device: of this process.
        networks: what is validated and saved as the result, F and A by their roles.
        state: what a saved state holds, by name: modules, the optimizer, the scaler. They are loaded from the last
            state that there is.

    Attributes:
        step: steps made.
        seconds: of all its steps so far, without validating, saving and breaks.
        made_with: `commit` and `hardware`: everything that the run has been made with so far, in order.

    Raises:
        RunError: a list or the order of the classes has changed since the run began, or no state can be read.
        RankError: the ranks would continue from different steps.
    """

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
        self.config, self.ranks, self.lists, self.steps, self.device = config, ranks, lists, steps, device
        self.networks, self.state = networks, state
        self.folder = Path(config.output)
        self.states = States(self.folder, config.keep_states)
        self.list_digests = digests(config)
        self.step, self.seconds = 0, 0.0
        metered: dict[str, Any] = {}
        made_with: dict[str, list[str]] = {}
        if saved := self.states.load():
            for file, digest in saved["lists"].items():
                if self.list_digests.get(file) != digest:
                    raise RunError(
                        f"{file} has changed since the run began; put it back as it was, or begin another run in "
                        "another --output"
                    )
            # States of former versions do not tell the classes; those sorted labels as text.
            former = lists.classes if config.classes else sorted(lists.classes)
            if saved.get("classes", former) != lists.classes:
                raise RunError(
                    f"{self.folder} holds a run whose classes are in another order, as former versions sorted numbers "
                    "(10 before 2); continue it with the version that began it, or begin another run in another "
                    "--output"
                )
            for name, part in state.items():
                part.load_state_dict(saved[name])
            self.step, self.seconds = saved["step"], saved["seconds"]
            metered, made_with = saved["meters"], saved["made_with"]
        now = {"commit": commit(), "hardware": hardware(config.precision, device, ranks)}
        self.made_with = {key: list(dict.fromkeys([*made_with.get(key, []), value])) for key, value in now.items()}
        if ranks.first:
            print(f"{self.folder}: {now['hardware']}", file=sys.stderr)
        if len(set(every_step := ranks.gather(self.step))) > 1:
            raise RankError(
                f"the ranks would continue from different steps, {every_step}; give all of them one --output folder"
            )
        self.meters = Meters(list(networks), len(lists.classes), device, ranks, **metered)
        self.log = Log(self.folder, self.step) if ranks.first else None
        validated = ranks.gather(self.log.validated() if self.log else {})[0]
        self.accuracies = list(validated.values())  # of F, in percent, of every validation by the log
        self.validated_at_start = self.step in validated
        self.evaluations: dict[str, Evaluation] = {}  # of the last validation
        assert config.steps is not None
        risen = config.unlabeled_warmup / 2 if config.lambda_u else math.inf
        self.warnings = PseudoLabelWarnings(lists.classes, config.steps * config.unlabeled_batch, risen)
        videos = len(lists.labeled) + len(lists.unlabeled or ())
        self.unreadable = UnreadableVideos(self.folder, videos, config.max_unreadable)
        self._replaced: list[UnreadableVideo] = []  # since the last check
        self.interrupt = Interrupt()
        self.began = time.perf_counter() - self.seconds
        self.saved_at = time.perf_counter()
        self._first_nonfinite = torch.full((), -1, device=device)  # the first step whose loss is not finite
        self._state_due = self._stopping = False

    def batches(self) -> Iterator[ClipBatch]:
        """The remaining batches; the run shows how far it is.

        Raises:
            WorkerError: a worker process died or hangs.
            VideoError: no video can be read where ten were tried.
            RankError: another rank does not reach the step.
        """
        config = self.config
        if self._validation_due() and not self.validated_at_start:  # the state was saved, and then it failed
            began = time.perf_counter()
            self._validate()
            self._pause(began)
        assert config.steps is not None
        self.progress = Progress(config.steps, self.step, shown=self.ranks.first)
        asked = time.perf_counter()
        remaining = range(self.step, self.step if self._patience_spent() else len(self.steps))
        for batch in iterate(self.steps, self.device, config.workers, remaining):
            self.meters.waited += time.perf_counter() - asked
            late = 0 < config.save_every_minutes * 60 < time.perf_counter() - self.saved_at
            wishes = self.ranks.agree(self.step + 1, self.ranks.first and late, bool(self.interrupt.asked))
            self._state_due, self._stopping = wishes
            self._replaced += batch.pop("unreadable")
            # Dropout, and whatever else draws: not as the ranks before this one, nor as the steps before.
            torch.manual_seed(derived_seed(config.seed, "step", self.step, self.ranks.rank))
            yield batch
            if self._patience_spent():
                break
            asked = time.perf_counter()
        self.progress.close()
        if self.ranks.first and self._patience_spent():
            print(
                f"step {self.step}: the last {since_best(self.accuracies)} validations have not improved on "
                f"{max(self.accuracies):.1f} % (--patience {config.patience}); best/ holds the networks of that one",
                file=sys.stderr,
            )

    def measure(self, loss: CMPLLoss, part: ClipBatch) -> None:
        """Meter a part of the step."""
        self.meters.update(loss, part, 1 / self.config.accumulation)
        failed = (self._first_nonfinite < 0) & ~torch.isfinite(loss.total.detach())
        self._first_nonfinite = torch.where(failed, self.step + 1, self._first_nonfinite)

    def end_step(self, gradient_norm: Tensor, lr: float, lambda_u: float) -> None:
        """Count a step, then log it, save the state and validate, each where it is time to.

        Args:
            gradient_norm: before clipping.
            lr: learning rate of the step.
            lambda_u: lambda of the step.

        Raises:
            StopRequested: a signal came.
            RunError: a loss was not finite, or too many videos cannot be read.
            VideoError: none of the validation videos can be read; the state is saved.
            RankError: the ranks have different weights; this state is not saved.
        """
        self.step += 1
        self.seconds = time.perf_counter() - self.began
        self.progress.end_step()
        self.meters.end_step(gradient_norm)
        last = self.step == self.config.steps
        log_due = last or self.step % self.config.log_every == 0
        due = last or self._validation_due() or self.step % self.config.save_every_steps == 0
        self._state_due |= self._stopping or due
        if log_due or self._state_due:
            self._check_faults()
        if log_due:
            self._write_log({"lr": lr, "lambda_u": lambda_u})
        began = time.perf_counter()
        if self._state_due:
            self._save_state()
        if self._stopping:
            self.progress.close()
            signal = max(self.ranks.gather(self.interrupt.asked))
            raise StopRequested(
                f"stopped at step {self.step}; the same command with --resume {self.states.resumption}", signal
            )
        if self._validation_due():
            self._validate()
        self._pause(began)  # neither is training

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

    def _validation_due(self) -> bool:
        """Whether a validation belongs to this step."""
        every = self.config.val_every
        due = self.step == self.config.steps or (every > 0 and self.step % every == 0)
        return self.lists.val is not None and self.step > 0 and due

    def _patience_spent(self) -> bool:
        """Whether the run ends before its last step; every rank knows all accuracies."""
        return 0 < self.config.patience <= since_best(self.accuracies)

    def _write_log(self, more: dict[str, Any]) -> None:
        clips = self.meters.steps * self.config.unlabeled_batch
        line = self.meters.read() | more
        if self.log:
            self.log.write(self.step, line)
            self.warnings.check(self.step, line, clips)
            seconds_a_step = clips_a_step(self.config, self.lists) / line["clips_per_s"]
            last_top1 = self.accuracies[-1] if self.accuracies else None
            self.progress.tell(self.step, seconds_a_step, line, last_top1)

    def _save_state(self) -> None:
        for network in self.networks.values():
            self.ranks.share_buffers(network)  # as the next step would
            self.ranks.check_equal(network)
        metered = self.meters.state()
        if self.ranks.first:
            self.states.save(
                self.step,
                {name: part.state_dict() for name, part in self.state.items()}
                | {"step": self.step, "seconds": self.seconds, "meters": metered}
                | {"made_with": self.made_with, "lists": self.list_digests, "classes": self.lists.classes},
            )
        self.saved_at = time.perf_counter()

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
        val, each_alone = self.lists.val, [[network] for network in self.networks.values()]
        assert val is not None
        try:
            found = evaluate_ensembles(each_alone, val, workers=self.config.workers, ranks=self.ranks)
        except VideoError as error:
            raise VideoError(
                f"{self.config.val}: {error}; the state is saved: repair or change --val and --val-root (by default as "
                "--root), and the same command with --resume validates and continues"
            ) from error
        self.evaluations = dict(zip(self.networks, found, strict=True))

    @property
    def _scores(self) -> dict[str, Scores]:
        """Of the last validation, by role of the network."""
        return {role: evaluation.scores for role, evaluation in self.evaluations.items()}

    def _summary(self) -> Summary:
        return summarize(self.config, self.lists, self._scores, self.made_with, self.step, self.seconds)

    def _pause(self, began: float) -> None:
        """Do not count the time since `began`, by `time.perf_counter`, as training."""
        pause = time.perf_counter() - began
        self.began += pause
        self.meters.began += pause

    def _check_faults(self) -> None:
        """Stop all ranks where one of them has a fault that the run cannot continue with."""
        fault = None
        if (step := int(self._first_nonfinite)) >= 0 and not self.config.skip_nonfinite:
            paths = "\n  ".join(self.steps.paths(step - 1))
            fault = RunError(
                f"the loss of step {step} is not finite; start again with a lower --lr or --precision float32, and "
                f"another --output; the last good state is kept; the clips of that step were of\n  {paths}"
            )
        self.ranks.fail(fault)
        replaced = [video for per_rank in self.ranks.gather(self._replaced) for video in per_rank]
        self._replaced.clear()
        try:
            self.unreadable.note(replaced if self.ranks.first else [])
        except RunError as error:
            fault = error
        self.ranks.fail(fault)


def since_best(accuracies: Sequence[float]) -> int:
    """How many validations there were after the first of the best ones."""
    return len(accuracies) - 1 - accuracies.index(max(accuracies)) if accuracies else 0
