"""Whether a step of training comes out on a device, and in fewer bits, as on the CPU in float32.

python benchmarks/step_check.py --device cuda    # writes benchmarks/results/step-check-cuda.json, a minute

Each row is one step from the same weights and clips: its loss, and the gradients of all weights as one long vector,
against those of the CPU. float32 is exact, without TF32. Pseudo-labels are soft and all pass, so that no rounding turns
one into another.
"""

import argparse

import torch
from harness import save, where
from step import CLASSES, random_batch
from torch import Tensor

from cmpl_zoo.precision import autocast
from cmpl_zoo.training import CMPL, Config
from cmpl_zoo.training.networks import build_networks

SETTINGS = dict(primary="r3d50", auxiliary="r3d50_quarter", size=64, labeled_batch=4, unlabeled_batch=8)
ROWS = {
    "float32": dict(precision="float32"),
    "bf16": dict(precision="bf16"),
    "fp16": dict(precision="fp16"),
    "float32, activations computed again": dict(precision="float32", grad_checkpointing=True),
}


def one_step(device: torch.device, **options: object) -> tuple[float, Tensor]:
    """The loss of a step, and its gradients as one vector in float64 on the CPU."""
    config = Config(
        labeled="", unlabeled="", output="", steps=1, short_side=(64, 64), threshold=0.01, hard=False, drop_rate=0.0,
        **SETTINGS, **options,
    )  # fmt: skip
    torch.manual_seed(0)
    batch = random_batch(config, torch.device("cpu"))
    cmpl = CMPL(build_networks(config, CLASSES), config).to(device).to(memory_format=torch.channels_last_3d).train()
    on_device = {key: [clip.to(device) for clip in value] if isinstance(value, list) else value.to(device)
                 for key, value in batch.items()}  # fmt: skip
    scaler = torch.amp.GradScaler(device.type, init_scale=1024.0, enabled=config.precision == "fp16")
    with autocast(device, config.precision):
        loss = cmpl(on_device, 1.0)
    scaler.scale(loss.total).backward()
    scale = scaler.get_scale()
    gradients = [parameter.grad.double().flatten().cpu() / scale for parameter in cmpl.parameters()]
    return loss.total.item(), torch.cat(gradients)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    device = torch.device(parser.parse_args().device)
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    loss, gradients = one_step(torch.device("cpu"), precision="float32")
    rows = []
    for name, options in ROWS.items():
        found, its_gradients = one_step(device, **options)
        distance = float((its_gradients - gradients).norm() / gradients.norm())
        angle = float(torch.nn.functional.cosine_similarity(its_gradients, gradients, dim=0))
        rows.append([name, f"{found:.6f}", f"{abs(found - loss) / loss:.1e}", f"{distance:.1e}", f"{angle:.6f}"])
        print(*rows[-1], sep="\t", flush=True)
    caption = (
        f"{SETTINGS['primary']} and {SETTINGS['auxiliary']}, {SETTINGS['labeled_batch']} labeled and "
        f"{SETTINGS['unlabeled_batch']} unlabeled clips of 8x{SETTINGS['size']}^2; {where(device)}; the CPU's loss in "
        f"float32 is {loss:.6f}."
    )
    columns = ["", "loss", "relative difference", "gradients: relative distance", "cosine"]
    result = {"experiment": f"step-check-{device.type}", "caption": caption, "columns": columns, "rows": rows}
    print(save(result))


if __name__ == "__main__":
    main()
