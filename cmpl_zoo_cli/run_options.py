"""The options that all kinds of training have, and what makes them valid."""

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal

from cmpl_zoo_cli.spelling import flag

BELOW_1, ABOVE_0, ENDLESS = math.nextafter(1, 0), math.nextafter(0, 1), math.inf
Range = tuple[str, float, float, str]  # option, least, greatest, and what a message says of it
RANGES: list[Range] = [
    ("seed", 0, 2**63 - 1, "must be from 0 to below 2^63, and is"),
    ("max_unreadable", 0, 1, "is a share from 0 to 1, not"),
    ("lr", ABOVE_0, ENDLESS, "must be above 0, and is"),
    ("timeout_minutes", ABOVE_0, ENDLESS, "must be above 0, and is"),
    *(
        (option, 1, ENDLESS, "must be at least 1, and is")
        for option in ("log_every", "save_every_steps", "keep_states", "accumulation")
    ),
    *(
        (option, 0, ENDLESS, "must not be negative, and is")
        for option in ("warmup_steps", "workers", "weight_decay", "clip_grad", "save_every_minutes")
    ),
]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How weights are learned, whatever the loss, and how a run is kept going.

    Attributes:
        free_on_resume: the options that change neither the weights nor what they are called: a run may be continued
            with others.
        inputs: those that name a file or folder that a run starts from.
    """

    free_on_resume: ClassVar[frozenset[str]]
    inputs: ClassVar[tuple[str, ...]]

    steps: int | None = None
    """Training steps; give these or --epochs."""
    epochs: float | None = None
    """Instead of --steps: passes over the unlabeled list, or over the labeled one with --scheme none."""
    lr: float = 0.02
    """Peak learning rate, for the batch over all processes; cosine decay to 0."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with Nesterov momentum 0.9, or AdamW, which needs a lower --lr."""
    warmup_steps: int = 0
    """Steps over which the learning rate rises linearly from 0."""
    weight_decay: float = 1e-4
    """Weight decay, except of biases and batch norm."""
    clip_grad: float = 0.0
    """Largest norm of the gradient; 0: no limit."""
    accumulation: int = 1
    """Process the clips of a step in this many parts, one after the other, to save memory."""
    batch_norm: Literal["local", "sync", "frozen"] = "local"
    """Batch-norm statistics: of each process's own batch (local), of all processes (sync, GPUs only), or the running
    ones, never updated (frozen)."""
    grad_checkpointing: bool = False
    """Recompute activations in the backward pass, to save memory."""
    compile: bool = False
    """Compile the networks (torch.compile)."""

    precision: Literal["float32", "bf16", "fp16"] = "float32"
    """Number format of forward and backward passes."""
    max_unreadable: float = 0.01
    """Share of the listed videos that may be unreadable; above it training stops."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train; auto takes cuda if there is one, else cpu."""
    seed: int = 0
    """Seed of initial weights, order, augmentation and dropout."""
    workers: int = 2
    """Processes that read videos, for each process that trains."""
    log_every: int = 10
    """Steps between lines of metrics.jsonl."""
    save_every_steps: int = 500
    """Steps between saved states."""
    save_every_minutes: float = 0.0
    """Also save a state when this much time has passed since the last one; 0: never."""
    keep_states: int = 2
    """How many of the last states are kept."""
    timeout_minutes: float = 10.0
    """How long a process waits for the others in one step."""
    skip_nonfinite: bool = False
    """With --precision fp16: skip a step whose loss is not finite, instead of stopping."""
    resume: bool = False
    """Continue the run in the output folder, or begin it if there is none."""
    overwrite: bool = False
    """Delete an earlier run in the output folder, once the new one can begin."""

    def __post_init__(self) -> None:
        for field in fields(self):  # in Python a path may be a Path
            if isinstance(value := getattr(self, field.name), os.PathLike):
                object.__setattr__(self, field.name, os.fspath(value))
        need((self.steps is None) != (self.epochs is None), "give either --steps or --epochs")
        need((self.steps or self.epochs or 0) > 0, "--steps or --epochs must be above 0")
        check_ranges(self, RANGES)
        need(not (self.resume and self.overwrite), "--resume continues a run and --overwrite deletes it; give one")
        need(
            self.precision == "fp16" or not self.skip_nonfinite,
            "--skip-nonfinite is for --precision fp16, whose range is small; elsewhere such a loss is a fault",
        )


def need(condition: bool, message: str) -> None:
    """Raise a ValueError with the message unless the condition holds."""
    if not condition:
        raise ValueError(message)


def check_ranges(options: object, ranges: Iterable[Range]) -> None:
    """Raise a ValueError for the first option that is out of its range."""
    for option, least, greatest, demand in ranges:
        value = getattr(options, option)
        need(value is None or least <= value <= greatest, f"{flag(option)} {demand} {value}")


def check_parts(options: Any, batches: Iterable[str]) -> None:
    """Raise a ValueError for a batch that `accumulation` does not divide into equal parts."""
    for option in batches:
        size = getattr(options, option)
        need(
            size % options.accumulation == 0,
            f"{flag(option)} {size} does not divide into --accumulation {options.accumulation} equal parts; give a "
            f"multiple of {options.accumulation}",
        )


def check_short_side(size: int, short_side: tuple[int, int]) -> None:
    """Raise a ValueError where frames are resized to less than the crop that is taken of them."""
    least, greatest = short_side
    need(
        size <= least <= greatest,
        f"--short-side {least},{greatest} must rise and start at the crop's --size ({size}) or above, such as "
        f"{round(1.1 * size)},{round(1.3 * size)}",
    )
