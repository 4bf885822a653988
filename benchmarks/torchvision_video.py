"""torchvision's video networks here beside torchvision's own: the same layers should take the same time.

    python benchmarks/torchvision_video.py [--device cuda] [--rounds N]

A forward pass of one clip in evaluation mode and a training step's forward and backward pass, interleaved rounds; both
networks start from random weights. Clips are as small as the networks take them, as what could differ is the code
around the layers.
"""

import gc
import time
from collections.abc import Callable

import torch
from harness import device_and_rounds, kind, rows_over, save, where
from torch import Tensor, nn
from torchvision.models import video

import cmpl_zoo

CLIPS = {"tv_r3d_18": (16, 112), "tv_mc3_18": (16, 112), "tv_r2plus1d_18": (16, 112), "tv_s3d": (14, 224),
         "tv_mvit_v1_b": (16, 224), "tv_mvit_v2_s": (16, 224), "tv_swin3d_t": (8, 112), "tv_swin3d_s": (8, 112),
         "tv_swin3d_b": (8, 112)}  # fmt: skip


def forward(network: nn.Module, clip: Tensor) -> None:
    with torch.inference_mode():
        network.eval()(clip)


def training(network: nn.Module, clip: Tensor) -> None:
    network.train()(clip).sum().backward()
    network.zero_grad()


def main() -> None:
    device, rounds = device_and_rounds(__doc__, 15)
    rows = []
    for name, (frames, size) in CLIPS.items():
        clip = torch.randn(2, 3, frames, size, size, device=device)
        networks = {
            "torchvision": getattr(video, name.removeprefix("tv_"))().to(device),
            "here": cmpl_zoo.create_model(name).to(device),
        }
        cells = [f"`{name}`", f"2 x {frames}x{size}^2"]
        for action in (forward, training):
            rows_of = rows_over(timed(networks, action, clip, rounds), "torchvision")
            cells += [rows_of[0][1], rows_of[1][1], rows_of[1][2]]
        rows.append(cells)
        print(*cells, sep="\t", flush=True)
        del networks
        gc.collect()
    caption = f"Two clips, float32; {where(device)}; medians of {rounds} interleaved rounds, ratios round by round."
    columns = ["", "clips"]
    for what in ("forward", "training"):
        columns += [f"{what}, torchvision, ms", f"{what}, here, ms", "ratio"]
    print(save({"experiment": f"torchvision-{kind(device)}", "caption": caption, "columns": columns, "rows": rows}))


def timed(
    networks: dict[str, nn.Module], action: Callable[[nn.Module, Tensor], None], clip: Tensor, rounds: int
) -> dict[str, list[float]]:
    """Seconds of every round, by network; the two change places from round to round, and the first two do not count."""
    times: dict[str, list[float]] = {name: [] for name in networks}
    for number in range(rounds + 2):
        for name in sorted(networks, reverse=number % 2 == 0):
            began = time.perf_counter()
            action(networks[name], clip)
            if clip.is_cuda:
                torch.cuda.synchronize()
            if number > 1:
                times[name].append(time.perf_counter() - began)
    return {name: times[name] for name in networks}


if __name__ == "__main__":
    main()
