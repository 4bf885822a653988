"""How weights follow a loss: optimizer, learning rate, precision, and a step in parts."""

import math
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from cmpl_zoo.precision import autocast
from cmpl_zoo.training.batch_norm import running_statistics_kept
from cmpl_zoo.training.loop import Loop
from cmpl_zoo_cli.run_options import RunOptions


class Optimization:
    """The optimizer of a run, its cosine schedule and, with fp16, its scaler.

    Args:
        module: what learns.
        model: the same as the processes train it together; see `distribute`.
        weights: what the optimizer takes: the module, or groups of its weights.
        config: of the run, with `steps`.
        device: of the module.
    """

    def __init__(
        self,
        module: nn.Module,
        model: nn.Module,
        weights: nn.Module | list[dict[str, Any]],
        config: RunOptions,
        device: torch.device,
    ) -> None:
        assert config.steps is not None
        self.module, self.model, self.config, self.device = module, model, config, device
        self.optimizer = create_optimizer_v2(
            weights, config.optimizer, lr=config.lr, weight_decay=config.weight_decay, momentum=0.9
        )
        self.schedule = CosineLRScheduler(
            self.optimizer, config.steps, warmup_t=min(config.warmup_steps, config.steps), t_in_epochs=False
        )
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")

    @property
    def state(self) -> dict[str, Any]:
        """What a saved state holds of it, by name."""
        return {"optimizer": self.optimizer, "scaler": self.scaler}

    @property
    def lr(self) -> float:
        """The learning rate of this step; with `layer_decay` that of the last layers."""
        return max(group["lr"] for group in self.optimizer.param_groups)

    def step(self, run: Loop, batch: Mapping[str, Any], *more: object) -> Tensor:
        """Learn from a batch, whose loss the run meters; returns the norm of the gradient before clipping.

        Args:
            run: at this step.
            batch: tensors, or lists of them, by name, equally many clips in each.
            *more: that the model takes beside it.
        """
        config, module = self.config, self.module
        self.schedule.step_update(run.step)
        for number, part in enumerate(parts(batch, config.accumulation), start=1):
            former_buffers = [buffer.clone() for buffer in module.buffers()] if config.skip_nonfinite else []
            with self._gradients(together=number == config.accumulation):
                with autocast(self.device, config.precision):
                    loss = self.model(part, *more)
                with running_statistics_kept(module):  # activations that are recomputed do not count twice
                    self.scaler.scale(loss.total / config.accumulation).backward()
            for buffer, former in zip(module.buffers(), former_buffers, strict=False):
                buffer.copy_(torch.where(loss.total.isfinite(), buffer, former))
            run.measure(loss, part)
        self.scaler.unscale_(self.optimizer)
        gradient_norm = nn.utils.clip_grad_norm_(module.parameters(), config.clip_grad or math.inf)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad()
        return gradient_norm

    def _gradients(self, together: bool) -> AbstractContextManager[None]:
        """Around a part of a step: ranks add up their gradients once a step, in its last part."""
        apart = not together and isinstance(self.model, DistributedDataParallel)
        return self.model.no_sync() if apart else nullcontext()  # type: ignore[operator]


def parts(batch: Mapping[str, Any], count: int) -> Iterator[dict[str, Any]]:
    """The clips of a step in equal parts."""

    def part(value: Any, number: int) -> Any:
        return [part(one, number) for one in value] if isinstance(value, list) else value.chunk(count)[number]

    for number in range(count):
        yield {key: part(value, number) for key, value in batch.items()}
