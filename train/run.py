"""A run as it goes on: where it stands, what it logs, when it saves, and how it stops."""

import hashlib
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
import torchvision
from config import Config
from meters import CollapseWarning, Log, Meters
from ranks import RankError, Ranks
from state import Interrupt, RunError, States, UnreadableVideos
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from cmpl_zoo import __version__
from cmpl_zoo.data import TrainingSteps, derived_seed, iterate
from cmpl_zoo.semi import CMPLLoss


class Stopped(Exception):
    """The run was asked to stop, and its state is saved.

    Attributes:
        signal: number of the signal that asked.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal


class Run:
    """The step a run is at, and all that is kept from step to step.

    Whatever is drawn follows from the seed, the step and the rank, so that a state holds no random state.

    Args:
        config: of the run.
        ranks: the processes that share it.
        kept: what a state holds, by name: modules, the optimizer, the scaler.
        data: its steps.
        classes: class names.
        networks: names of the networks.
        device: of this process.

    Attributes:
        step: steps made.
        best: highest validation accuracy so far, in percent, by the log; -1 before the first.
        unvalidated: whether the step it goes on from was saved before a validation that did not end.
        seconds: of all its steps so far, without validating, saving and breaks.
        made_with: `commit` and `hardware`, each all that the run has been on, in their order.
    """

    def __init__(
        self,
        config: Config,
        ranks: Ranks,
        kept: dict[str, Any],
        data: TrainingSteps,
        classes: list[str],
        networks: list[str],
        device: torch.device,
    ) -> None:
        self.config, self.ranks, self.kept, self.data, self.device = config, ranks, kept, data, device
        self.folder = Path(config.output)
        self.states = States(self.folder, config.keep_states)
        self.step, self.seconds, metered, before = 0, 0.0, {}, {}
        self.lists = digests(config)
        if state := self.states.load():
            for file, digest in state["lists"].items():
                if self.lists.get(file) != digest:
                    raise RunError(
                        f"{file} has changed since the run began; put it back as it was, or begin another run in "
                        "another --output"
                    )
            for name, thing in kept.items():
                thing.load_state_dict(state[name])
            self.step, self.seconds = state["step"], state["seconds"]
            metered, before = state["meters"], state["made_with"]
        now = {"commit": commit(), "hardware": hardware(config, device, ranks)}
        self.made_with = {key: list(dict.fromkeys([*before.get(key, []), value])) for key, value in now.items()}
        steps = ranks.gather(self.step)
        if len(set(steps)) > 1:
            raise RankError(
                f"the ranks would go on from different steps, {steps}; give all of them one --output folder"
            )
        self.meters = Meters(networks, len(classes), device, ranks, **metered)
        self.log = Log(self.folder, self.step) if ranks.first else None
        validated = ranks.gather(self.log.validated() if self.log else {})[0]
        self.best = max(validated.values(), default=-1.0)
        self.unvalidated = self._validates() and self.step not in validated
        self.collapse = CollapseWarning(classes)
        videos = len(data.labeled) + len(data.unlabeled or ())
        self.unreadable = UnreadableVideos(self.folder, videos, config.max_unreadable)
        self.passed_over: list[tuple[str, str]] = []
        self.interrupt = Interrupt()
        self.began = time.perf_counter() - self.seconds
        self.saved = time.perf_counter()
        self._bad = torch.full((), -1, device=device)  # the first step whose loss is not finite
        self._saving = self._stopping = False
        self._buffers = list(kept["networks"].buffers()) if config.skip_nonfinite else []
        self._good_buffers = [buffer.clone() for buffer in self._buffers]

    def batches(self) -> Iterator[dict[str, Tensor]]:
        """What is left to be learned from, with a progress bar; ends a step when asked for the next batch.

        Raises:
            Stopped: a signal came.
            RunError: a loss was not finite, or too many videos cannot be read.
            RankError: another rank stays behind.
        """
        config = self.config
        self.progress = tqdm(
            total=config.steps, initial=self.step, desc=self.folder.name, unit="step", smoothing=0.05,
            disable=not self.ranks.first,
        )  # fmt: skip
        asked = time.perf_counter()
        for batch in iterate(self.data, self.device, config.workers, range(self.step, config.steps)):
            self.meters.waited += time.perf_counter() - asked
            late = 0 < config.save_every_minutes * 60 < time.perf_counter() - self.saved
            asked_for = self.ranks.agree(self.step + 1, self.ranks.first and late, bool(self.interrupt.asked))
            self._saving, self._stopping = asked_for
            self.passed_over += batch.pop("unreadable")
            # Dropout, and whatever else draws: not as the ranks before this one, nor as the steps before.
            torch.manual_seed(derived_seed(config.seed, "step", self.step, self.ranks.rank))
            yield batch
            asked = time.perf_counter()
        self.progress.close()

    def take_in(self, loss: CMPLLoss, part: dict[str, Tensor]) -> None:
        """Meter a part of the step."""
        self.meters.update(loss, part, 1 / self.config.accumulation)
        finite = torch.isfinite(loss.total.detach())
        self._bad = torch.where((self._bad < 0) & ~finite, self.step + 1, self._bad)
        # The scaler passes over the weights' step, but batch norm has taken in the batch.
        for buffer, good in zip(self._buffers, self._good_buffers, strict=True):
            good.copy_(torch.where(finite, buffer, good))
            buffer.copy_(good)

    def end_step(self, gradient_norm: Tensor, facts: dict[str, Any]) -> bool:
        """Count a step and log it; True where it is time to validate, once the state is saved.

        Args:
            gradient_norm: before clipping.
            facts: more for the log line, such as the learning rate.
        """
        config = self.config
        self.step += 1
        self.seconds = time.perf_counter() - self.began
        self.progress.update()
        self.meters.end_step(gradient_norm)
        last = self.step == config.steps
        validating = self._validates()
        self._saving |= self._stopping or last or validating or self.step % config.save_every_steps == 0
        if (logging := last or self.step % config.log_every == 0) or self._saving:
            self._check_faults()
        if logging:
            clips = self.meters.steps * config.unlabeled_batch
            line = self.meters.read() | facts
            if self.log:
                self.log.write(self.step, line)
                self.collapse.check(self.step, line, clips)
                self.progress.set_postfix(shown(line, self.meters.networks))
        return validating

    def _validates(self) -> bool:
        """Whether a validation belongs to this step."""
        config = self.config
        due = self.step == config.steps or (config.val_every > 0 and self.step % config.val_every == 0)
        return config.val is not None and self.step > 0 and due

    def validated(self, scores: dict[str, Any]) -> None:
        """Log the accuracies of networks; the log tells a resumed run the best, and what is validated."""
        self.best = max(self.best, scores["primary"]["video_top1"])
        if self.log:
            self.log.write(self.step, {f"{name}/val_top1": score["video_top1"] for name, score in scores.items()})

    def save(self) -> None:
        """Save a state where it is time to, before the validation of this step, which may fail.

        Raises:
            Stopped: the run was asked to.
        """
        if self._saving:
            metered = self.meters.state()
            if self.ranks.first:
                self.states.save(
                    self.step,
                    {name: thing.state_dict() for name, thing in self.kept.items()}
                    | {"step": self.step, "seconds": self.seconds, "meters": metered}
                    | {"made_with": self.made_with, "lists": self.lists},
                )
            self.saved = time.perf_counter()
        if self._stopping:
            self.progress.close()
            number = max(self.ranks.gather(self.interrupt.asked))
            raise Stopped(
                f"stopped at step {self.step}; the same command with --resume true goes on from there", number
            )

    def pause(self, began: float) -> None:
        """Leave out of the time of training what has passed since, by `time.perf_counter`."""
        pause = time.perf_counter() - began
        self.began += pause
        self.meters.began += pause

    def _check_faults(self) -> None:
        """Stop all ranks where one of them has met what a run cannot go on with."""
        fault = None
        if (step := int(self._bad)) >= 0 and not self.config.skip_nonfinite:
            paths = "\n  ".join(self.data.paths(step - 1))
            fault = RunError(
                f"the loss of step {step} is not finite; start again with a lower --lr or --precision float32, and "
                f"another --output; the last good state is kept; the clips of that step were of\n  {paths}"
            )
        self.ranks.fail(fault)
        passed_over = [one for of_rank in self.ranks.gather(self.passed_over) for one in of_rank]
        self.passed_over.clear()
        try:
            self.unreadable.note(passed_over if self.ranks.first else [])
        except RunError as error:
            fault = error
        self.ranks.fail(fault)


def shown(line: dict[str, Any], names: list[str]) -> dict[str, str]:
    """What the progress bar has room for."""
    masks = {f"above_{name}": f"{line[key]:.0%}" for name in names if (key := f"{name}/mask") in line}
    loss = "not finite" if line["loss"] is None else f"{line['loss']:.3f}"
    return {"loss": loss, **masks, "clips/s": f"{line['clips_per_s']:.0f}"}


def spread(networks: nn.Module, config: Config, ranks: Ranks, device: torch.device) -> nn.Module:
    """The networks as the ranks train them together: one synchronization of gradients a step.

    Raises:
        ValueError: the options do not fit the number of ranks or the device.
    """
    sizes = {"labeled_batch": config.labeled_batch}
    if config.scheme != "none":
        sizes["unlabeled_batch"] = config.unlabeled_batch
    for name, size in sizes.items():
        if size % (ranks.size * config.accumulation):
            raise ValueError(
                f"--{name} {size} cannot be shared by {ranks.size} processes in --accumulation {config.accumulation} "
                "parts; give a multiple"
            )
    if config.mix_clips and config.unlabeled_batch < 2 * ranks.size * config.accumulation:
        raise ValueError("--mix_clips needs two unlabeled clips in every part of a step; raise --unlabeled_batch")
    if config.batch_norm == "sync" and device.type != "cuda":
        raise ValueError("--batch_norm sync needs GPUs; take local or frozen")
    if ranks.size == 1:
        return networks
    if config.batch_norm == "sync":
        networks = nn.SyncBatchNorm.convert_sync_batchnorm(networks)
    # The gradient of a 1x1x1 kernel has other strides than the kernel, for the same memory.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    return DistributedDataParallel(
        networks,
        device_ids=[device] if device.type == "cuda" else None,
        gradient_as_bucket_view=True,
    )


def parts(
    batch: dict[str, Tensor], count: int, model: nn.Module
) -> Iterator[tuple[dict[str, Tensor], AbstractContextManager[Any]]]:
    """The clips of a step in equal parts, each with what to compute it in: ranks share the gradients of all at once."""
    chunks = {key: value.chunk(count) for key, value in batch.items()}
    for i in range(count):
        wait = isinstance(model, DistributedDataParallel) and i < count - 1
        yield {key: chunk[i] for key, chunk in chunks.items()}, model.no_sync() if wait else nullcontext()


def versions() -> str:
    """The versions that a result depends on."""
    return (
        f"cmpl_zoo {__version__}, commit {commit()}, torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"Python {sys.version.partition(' ')[0]}"
    )


def digests(config: Config) -> dict[str, str]:
    """The contents of the lists that a run learns from, and of its class names where they are a file."""
    files = (config.labeled, config.unlabeled, config.classes)
    return {
        file: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files if file and Path(file).is_file()
    }


def commit() -> str:
    """The commit of this checkout, marked where files were changed; "unknown" outside of one."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except FileNotFoundError:  # no git
        return "unknown"
    return done.stdout.strip() or "unknown"


def hardware(config: Config, device: torch.device, ranks: Ranks) -> str:
    """What a run ran on, for its reader."""
    threads = torch.get_num_threads()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        processor = torch.cpu.get_capabilities().get("cpu_name", platform.machine())
        name = f"{threads} CPU thread{'s'[: threads > 1]} ({processor})"
    several = f"{ranks.size} x " if ranks.size > 1 else ""
    return f"{several}{name}, torch {torch.__version__.partition('+')[0]}, {config.precision}"
