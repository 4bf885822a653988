"""What one step of training costs, beside the sum of what it cannot do without, and beside the obvious way to write it.

python benchmarks/step.py                  # writes benchmarks/results/step-cpu.json, minutes
python benchmarks/step.py --device cuda    # and step-cuda.json, for bf16 autocast, a minute or two

`parts` are each network's forward pass over the weak views, its forward and backward passes over labeled clips and over
strong views, each timed alone, and the optimizer's step. `obvious` puts all views through both networks as one batch
with gradients. All take turns in every round; clips are there already, as noise; times are medians, ratios the medians
of the ratios within a round.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from harness import device_and_rounds, kind, rows_over, save, where
from timm.optim import create_optimizer_v2
from torch import Tensor
from torch.nn import functional as F

from cmpl_zoo.semi import CMPLLoss, cmpl_loss, pseudo_labels
from cmpl_zoo.training import CMPL, Config
from cmpl_zoo.training.networks import build_networks, training_clips

CLASSES = [str(number) for number in range(400)]
SETTINGS: dict[str, dict[str, Any]] = {
    "cpu": dict(primary="r3d50_quarter", auxiliary="r3d50_eighth", size=64, labeled_batch=4, unlabeled_batch=8),
    "cuda": dict(primary="r3d50", auxiliary="r3d50_quarter", size=224, labeled_batch=16, unlabeled_batch=80),
}


def random_batch(config: Config, device: torch.device) -> dict[str, Any]:
    def clips(count: int) -> list[Tensor]:
        shapes = [(count, 3, clip.frames, clip.size, clip.size) for clip in training_clips(config)[1]]
        return [torch.randint(256, shape, dtype=torch.uint8, device=device) for shape in shapes]

    unlabeled = config.unlabeled_batch
    return {
        "labeled": clips(config.labeled_batch),
        "labels": torch.randint(len(CLASSES), (config.labeled_batch,), device=device),
        "weak": clips(unlabeled),
        "strong": clips(unlabeled),
    }


def actions(config: Config, device: torch.device) -> dict[str, Callable[[], object]]:
    cmpl = CMPL(build_networks(config, CLASSES), config).to(device).to(memory_format=torch.channels_last_3d).train()
    optimizer = create_optimizer_v2(cmpl, "sgd", lr=1e-6, momentum=0.9)
    batch = random_batch(config, device)
    dtype = {"bf16": torch.bfloat16}.get(config.precision)
    networks = list(zip(cmpl.networks.values(), cmpl.inputs, strict=True))

    def autocast() -> torch.autocast:
        return torch.autocast(device.type, dtype, enabled=dtype is not None)

    def weak(network: torch.nn.Module, clips_of: torch.nn.Module) -> None:
        with autocast():
            cmpl.weak_pass(network, clips_of(batch["weak"]))

    def learn(network: torch.nn.Module, clips_of: torch.nn.Module, view: str) -> None:
        with autocast():
            logits = network(clips_of(batch[view]))
        F.cross_entropy(logits.float(), torch.zeros(len(logits), dtype=torch.int64, device=device)).backward()

    def update() -> None:
        optimizer.step()
        optimizer.zero_grad()

    def finish(loss: CMPLLoss) -> None:
        loss.total.backward()
        update()

    def step() -> None:
        with autocast():
            loss = cmpl(batch, 1.0)
        finish(loss)

    def obvious() -> None:
        """All views of a network as one batch with gradients."""
        sizes = [config.labeled_batch, config.unlabeled_batch, config.unlabeled_batch]
        with autocast():
            outputs = [
                network(torch.cat([clips_of(batch[view]) for view in ("labeled", "weak", "strong")])).split(sizes)
                for network, clips_of in networks
            ]
        labeled, weak_logits, strong = zip(*outputs, strict=True)
        p_f, p_a = (logits.float().softmax(dim=1) for logits in weak_logits)
        pseudo = pseudo_labels(p_f, p_a, config.scheme, config.threshold, config.hard)
        finish(cmpl_loss(labeled, batch["labels"], strong, pseudo, 1.0))

    parts: dict[str, Callable[[], object]] = {}
    for name, pair in zip(cmpl.networks, networks, strict=True):
        parts[f"{name}, weak"] = partial(weak, *pair)
        parts |= {f"{name}, {view}": partial(learn, *pair, view) for view in ("labeled", "strong")}
    return {"step": step, **parts, "optimizer": update, "obvious": obvious}


def main() -> None:
    device, rounds = device_and_rounds(__doc__, 15)
    on_gpu = device.type == "cuda"
    settings = SETTINGS[device.type]
    config = Config(
        labeled="", unlabeled="", output="", steps=1, short_side=[settings["size"]] * 2,
        precision="bf16" if on_gpu else "float32", **settings,
    )  # fmt: skip
    found = actions(config, device)
    times: dict[str, list[float]] = {name: [] for name in found}
    peaks: dict[str, float] = {}
    for number in range(rounds + 2):
        for name, action in list(found.items()):
            if on_gpu:
                torch.cuda.reset_peak_memory_stats()
            began = time.perf_counter()
            try:
                action()
            except torch.OutOfMemoryError:  # all views at once may not fit where the step does
                print(f"{name} does not fit into this GPU's memory")
                del found[name], times[name]
                torch.cuda.empty_cache()
                continue
            if on_gpu:
                torch.cuda.synchronize()
                peaks[name] = torch.cuda.max_memory_allocated() / 1e9
            if number > 1:
                times[name].append(time.perf_counter() - began)
    parts = [name for name in found if name not in ("step", "obvious")]
    times["sum of the parts"] = [sum(times[name][i] for name in parts) for i in range(rounds)]
    shown = [name for name in (*parts, "sum of the parts", "step", "obvious") if name in times]
    rows = rows_over({name: times[name] for name in shown}, "sum of the parts")
    result = {
        "experiment": f"step-{kind(device)}",
        "caption": f"{config.primary} and {config.auxiliary}, {config.labeled_batch} labeled and "
        f"{config.unlabeled_batch} unlabeled clips of 8x{config.size}^2, {config.precision}; {where(device)}; "
        f"{rounds} interleaved rounds." + (f" Most memory of a step: {peaks['step']:.1f} GB." if on_gpu else ""),
        "columns": ["", "ms", "over the sum of the parts"],
        "rows": rows,
        "seconds": times,
    }
    for row in rows:
        print(*row, sep="\t")
    print(save(result))


if __name__ == "__main__":
    main()
