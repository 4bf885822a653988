"""What a step of each pretext task costs over its network's forward and backward pass on the same clips.

    python benchmarks/pretext.py [--device cuda] [--rounds N]

The loss and its gradients, without the optimizer and without reading; interleaved rounds. MoCo, tempo and coclr compute
keys without gradients, so that their steps cost less than both passes of all its clips.
"""

import statistics
import time
from collections.abc import Callable

import torch
from harness import device_and_rounds, kind, save, where

from cmpl_zoo.models import create_model
from cmpl_zoo.pretext import TASKS, MoCo, Motion
from cmpl_zoo.pretext.order import Order
from cmpl_zoo.pretext.pretrain import Pretext
from cmpl_zoo.pretext.task import PretextClip
from cmpl_zoo_cli.pretrain_config import FLOW_TASKS, PretrainConfig

SETTINGS = {"cpu": ("r3d50_quarter", 64, 8), "cuda": ("r3d50", 224, 32)}  # network, size, clips of a step
FRAMES, WARM_UP = 8, 2


def main() -> None:
    device, rounds = device_and_rounds(__doc__, 15)
    name, size, clips = SETTINGS[device.type]
    rows, seconds = [], {}
    for task_name, task_type in TASKS.items():
        flow = "" if task_name in FLOW_TASKS else None  # which is a part of the clips
        config = PretrainConfig(
            unlabeled="", output="", flow=flow, steps=1, task=task_name, size=size, short_side=(size, size)
        )
        task = task_type(PretextClip(FRAMES, 1, size, (size, size)), videos=1000)
        pretext = Pretext(create_model(name, num_classes=0), task, config).to(device)
        pretext = pretext.to(memory_format=torch.channels_last_3d).train()
        whole = clips - clips % task.clips  # clips of whole videos
        targets = torch.arange(whole) % task.classes
        if isinstance(task, MoCo):
            targets = torch.arange(whole) // task.clips
        if isinstance(task, Order):
            targets = torch.arange(whole) % task.clips
        if isinstance(task, Motion):
            targets = targets[:, None].expand(-1, 14)
        batch = {
            "clips": torch.randint(256, (whole, 3, FRAMES, size, size), dtype=torch.uint8, device=device),
            "targets": targets.to(device),
        }
        seconds[task_name] = measured(both_passes(pretext, batch), step_of(pretext, batch), device, rounds)
        passes, step = (statistics.median(times) for times in zip(*seconds[task_name], strict=True))
        over = statistics.median(step / passes for passes, step in seconds[task_name])
        rows.append([task_name, f"{1e3 * passes:.1f}", f"{1e3 * step:.1f}", f"{over:.2f}"])
        print(*rows[-1], sep="\t", flush=True)
    result = {
        "experiment": f"pretext-{kind(device)}",
        "caption": f"A step of {name} on {clips} clips of {FRAMES}x{size}^2, of `order` on "
        f"{clips - clips % Order.clips}, float32; {where(device)}; {rounds} interleaved rounds.",
        "columns": ["", "forward and backward, ms", "step, ms", "ratio"],
        "rows": rows,
        "seconds": seconds,
    }
    print(save(result))


def step_of(pretext: Pretext, batch: dict) -> Callable[[], None]:
    """A task's loss and its gradients."""

    def step() -> None:
        pretext(batch).total.backward()
        pretext.zero_grad()

    return step


def both_passes(pretext: Pretext, batch: dict) -> Callable[[], None]:
    """The network's forward and backward pass alone."""

    def passes() -> None:
        pretext.network(pretext.input([batch["clips"]])).sum().backward()
        pretext.zero_grad()

    return passes


def measured(
    one: Callable[[], None], other: Callable[[], None], device: torch.device, rounds: int
) -> list[tuple[float, float]]:
    """Seconds of both in each round."""

    def seconds(action: Callable[[], None]) -> float:
        began = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    return [(seconds(one), seconds(other)) for _ in range(rounds + WARM_UP)][WARM_UP:]


if __name__ == "__main__":
    main()
