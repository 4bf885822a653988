"""A run from step to step, whatever it learns: its batches, its log, its states, and how it stops."""

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from cmpl_zoo.datasets.loader import iterate
from cmpl_zoo.datasets.order import derived_seed
from cmpl_zoo.datasets.training_steps import UnreadableVideo
from cmpl_zoo.distributed import RankError, Ranks
from cmpl_zoo.training.checkpoint import States
from cmpl_zoo.training.errors import RunError, StopRequested
from cmpl_zoo.training.log import Log
from cmpl_zoo.training.meters import Meters
from cmpl_zoo.training.progress import Progress, loss_in_words
from cmpl_zoo.training.provenance import commit, hardware
from cmpl_zoo.training.signals import Interrupt
from cmpl_zoo.training.unreadable_videos import UnreadableVideos
from cmpl_zoo_cli.run_options import RunOptions


class Steps(Protocol):
    """The batches of a rank by the number of the step: dictionaries, each with its `unreadable` videos."""

    def __len__(self) -> int: ...

    def __getitem__(self, step: int, /) -> Any: ...

    def paths(self, step: int) -> list[str]:
        """The videos of this rank in a step."""


class Loop:
    """The step a run is at, and all that is kept from step to step.

    Whatever is drawn follows from the seed, the step and the rank, so that a state holds no random state.

    Args:
        config: its options.
        folder: of the run.
        ranks: the processes that share it.
        steps: its batches by step.
        device: of this process.
        state: what a saved state holds, by name: modules, the optimizer, the scaler. They are loaded from the last
            state that there is.
        learned: whose weights and buffers must be the same on all ranks.
        digests: of the files that it learns from, which must not change.
        videos: how many are in its lists.
        meters: makes its meters, from `steps` and `sums` of a state.

    Attributes:
        step: steps made.
        seconds: of all its steps so far, without validating, saving and breaks.
        made_with: `commit` and `hardware`: everything that the run has been made with so far, in order.

    Raises:
        RunError: a file has changed since the run began, or no state can be read.
        RankError: the ranks would continue from different steps.
    """

    def __init__(
        self,
        config: RunOptions,
        folder: Path,
        ranks: Ranks,
        *,
        steps: Steps,
        device: torch.device,
        state: dict[str, Any],
        learned: list[nn.Module],
        digests: dict[str, str],
        videos: int,
        meters: Callable[..., Meters],
    ) -> None:
        self.config, self.folder, self.ranks, self.steps, self.device = config, folder, ranks, steps, device
        self.state, self.learned, self.digests = state, learned, digests
        self.states = States(folder, config.keep_states)
        self.step, self.seconds = 0, 0.0
        metered: dict[str, Any] = {}
        made_with: dict[str, list[str]] = {}
        if saved := self.states.load():
            self._check_saved(saved)
            for name, part in state.items():
                part.load_state_dict(saved[name])
            self.step, self.seconds = saved["step"], saved["seconds"]
            metered, made_with = saved["meters"], saved["made_with"]
        now = {"commit": commit(), "hardware": hardware(config.precision, device, ranks)}
        self.made_with = {key: list(dict.fromkeys([*made_with.get(key, []), value])) for key, value in now.items()}
        if ranks.first:
            print(f"{folder}: {now['hardware']}", file=sys.stderr)
        if len(set(every_step := ranks.gather(self.step))) > 1:
            raise RankError(
                f"the ranks would continue from different steps, {every_step}; give all of them one --output folder"
            )
        self.meters = meters(**metered)
        self.log = Log(folder, self.step) if ranks.first else None
        self.unreadable = UnreadableVideos(folder, videos, config.max_unreadable)
        self._replaced: list[UnreadableVideo] = []  # since the last check
        self.interrupt = Interrupt()
        self.began = time.perf_counter() - self.seconds
        self.saved_at = time.perf_counter()
        # The first step whose loss or gradient is not finite.
        self._first_nonfinite = torch.full((), -1, device=device)
        self._state_due = self._stopping = False

    def batches(self) -> Iterator[Any]:
        """The remaining batches; the run shows how far it is.

        Raises:
            WorkerError: a worker process died or hangs.
            VideoError: no video can be read where ten were tried.
            RankError: another rank does not reach the step.
        """
        config = self.config
        self.progress = Progress(len(self.steps), self.step, shown=self.ranks.first)
        asked = time.perf_counter()
        remaining = range(self.step, self.step if self._ends_early() else len(self.steps))
        for batch in iterate(self.steps, self.device, config.workers, remaining):  # type: ignore[arg-type]
            self.meters.waited += time.perf_counter() - asked
            late = 0 < config.save_every_minutes * 60 < time.perf_counter() - self.saved_at
            wishes = self.ranks.agree(self.step + 1, self.ranks.first and late, bool(self.interrupt.asked))
            self._state_due, self._stopping = wishes
            self._replaced += batch.pop("unreadable")
            # Dropout, and whatever else draws: not as the ranks before this one, nor as the steps before.
            torch.manual_seed(derived_seed(config.seed, "step", self.step, self.ranks.rank))
            yield batch
            if self._ends_early():
                break
            asked = time.perf_counter()
        self.progress.close()

    def measure(self, loss: Any, part: Any) -> None:
        """Meter a part of the step, whose loss is `loss.total`."""
        self.meters.update(loss, part, 1 / self.config.accumulation)
        self._expect_finite(loss.total.detach())

    def end_step(self, gradient_norm: Tensor, **logged: float) -> None:
        """Count a step, then log it, save the state and validate, each where it is time to.

        Args:
            gradient_norm: before clipping.
            **logged: of this step alone, such as its learning rate.

        Raises:
            StopRequested: a signal came.
            RunError: a loss or, but for fp16, a gradient was not finite, or too many videos cannot be read.
            VideoError: none of the validation videos can be read; the state is saved.
            RankError: the ranks have different weights; this state is not saved.
        """
        config = self.config
        if config.precision != "fp16":  # whose scaler leaves out such gradients
            self._expect_finite(gradient_norm)
        self.step += 1
        self.seconds = time.perf_counter() - self.began
        self.progress.end_step()
        self.meters.end_step(gradient_norm)
        last = self.step == len(self.steps)
        log_due = last or self.step % config.log_every == 0
        due = last or self._validation_due() or self.step % config.save_every_steps == 0
        self._state_due |= self._stopping or due
        if log_due or self._state_due:
            self._check_faults()
        if log_due:
            self._write_log(logged)
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

    def _expect_finite(self, number: Tensor) -> None:
        """Note the step that is being made, where a number of it is not finite; nobody waits for the device."""
        failed = (self._first_nonfinite < 0) & ~torch.isfinite(number)
        self._first_nonfinite = torch.where(failed, self.step + 1, self._first_nonfinite)

    def _check_saved(self, saved: dict[str, Any]) -> None:
        """Raise a RunError where a state is not of this run."""
        for file, digest in saved["lists"].items():
            if self.digests.get(file) != digest:
                raise RunError(
                    f"{file} has changed since the run began; put it back as it was, or begin another run in another "
                    "--output"
                )

    def _ends_early(self) -> bool:
        """Whether the run ends before its last step; all ranks say the same."""
        return False

    def _validation_due(self) -> bool:
        """Whether a validation belongs to this step."""
        return False

    def _validate(self) -> None:
        """Validate, where it is due."""

    def _in_words(self, line: dict[str, Any]) -> str:
        """The numbers of a log line that a person looks for; warns of what is wrong with them."""
        return loss_in_words(line)

    def _write_log(self, logged: dict[str, float]) -> None:
        line = self.meters.read() | logged
        if self.log:
            self.log.write(self.step, line)
            self.progress.tell(self.step, self.meters.seconds_a_step, self._in_words(line))

    def _save_state(self) -> None:
        for module in self.learned:
            self.ranks.share_buffers(module)  # as the next step would
            self.ranks.check_equal(module)
        metered = self.meters.state()
        if self.ranks.first:
            self.states.save(
                self.step,
                {name: part.state_dict() for name, part in self.state.items()}
                | {"step": self.step, "seconds": self.seconds, "meters": metered, "made_with": self.made_with}
                | {"lists": self.digests},
            )
        self.saved_at = time.perf_counter()

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
                f"the loss or the gradient of step {step} is not finite; start again with a lower --lr or --precision "
                f"float32, and another --output; the last good state is kept; the clips of that step were of\n  {paths}"
            )
        self.ranks.fail(fault)
        replaced = [video for per_rank in self.ranks.gather(self._replaced) for video in per_rank]
        self._replaced.clear()
        try:
            self.unreadable.note(replaced if self.ranks.first else [])
        except RunError as error:
            fault = error
        self.ranks.fail(fault)
