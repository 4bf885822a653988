"""What training the classifier alone costs over the network's forward passes, which it cannot do without.

    python benchmarks/finetune.py [--device cuda] [--rounds N]

A step of labels alone with every other stage frozen (`--freeze all`), and for comparison with none, against the forward
pass of the same clips without gradients; interleaved rounds. Reading clips is not part of it.
"""

import time
from collections.abc import Callable

import torch
from harness import device_and_rounds, kind, rows_over, save, where
from timm.optim import create_optimizer_v2

from cmpl_zoo.models.freezing import freeze_stages
from cmpl_zoo.training import CMPL, Config
from cmpl_zoo.training.batch_norm import running_statistics_kept
from cmpl_zoo.training.networks import build_networks

CLASSES = [str(number) for number in range(10)]
SETTINGS = {"cpu": ("r3d50_quarter", 64, 8), "cuda": ("r3d50", 224, 16)}  # network, size, clips of a step


def step_of(cmpl: CMPL, batch: dict) -> Callable[[], None]:
    optimizer = create_optimizer_v2(cmpl, "sgd", lr=1e-6, momentum=0.9)

    def step() -> None:
        loss = cmpl(batch, 1.0)
        with running_statistics_kept(cmpl):
            loss.total.backward()
        torch.nn.utils.clip_grad_norm_(cmpl.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    device, rounds = device_and_rounds(__doc__, 15)
    name, size, clips = SETTINGS[device.type]
    config = Config(
        labeled="", output="", steps=1, scheme="none", primary=name, auxiliary=None, size=size, short_side=(size, size)
    )
    batch = {
        "labeled": [torch.randint(256, (clips, 3, config.frames, size, size), dtype=torch.uint8, device=device)],
        "labels": torch.randint(len(CLASSES), (clips,), device=device),
    }
    actions: dict[str, Callable[[], object]] = {}
    for what, stage in {"--freeze all": "all", "nothing frozen": None}.items():
        [network] = build_networks(config, CLASSES)
        if stage:
            freeze_stages(network, stage)
        cmpl = CMPL([network], config).to(device).to(memory_format=torch.channels_last_3d).train()
        actions[what] = step_of(cmpl, batch)

    forward_only = CMPL(build_networks(config, CLASSES), config).to(device)
    forward_only = forward_only.to(memory_format=torch.channels_last_3d).eval()

    @torch.no_grad()
    def forward() -> None:
        forward_only.primary(forward_only.inputs[0](batch["labeled"]))

    actions = {"forward passes alone": forward, **actions}
    times: dict[str, list[float]] = {what: [] for what in actions}
    for number in range(rounds + 2):
        for what, action in actions.items():
            began = time.perf_counter()
            action()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if number > 1:
                times[what].append(time.perf_counter() - began)
    rows = rows_over(times, "forward passes alone")
    result = {
        "experiment": f"finetune-{kind(device)}",
        "caption": f"A step of {name} on {clips} labeled clips of {config.frames}x{size}^2, float32; {where(device)}; "
        f"{rounds} interleaved rounds.",
        "columns": ["", "ms", "over the forward passes"],
        "rows": rows,
        "seconds": times,
    }
    for row in rows:
        print(*row, sep="\t")
    print(save(result))


if __name__ == "__main__":
    main()
