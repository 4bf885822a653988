"""Ways to run the convolutions of R3D, by kind: each against nn.Conv3d on channels-last clips, which the networks use.

python benchmarks/convolutions.py                  # writes benchmarks/results/convolutions-cpu.json, a minute
python benchmarks/convolutions.py --device cuda    # and convolutions-cuda.json, in bf16

Every kernel but the stem's is 1-D in time or 2-D in space, so it may run as a 2-D convolution over a reshaped tensor or
as matrix products; the stem as a 2-D convolution over five stacked frames. Times are sums over all convolutions of a
network, of medians over rounds in which all ways take turns.
"""

import statistics
import time
from collections import Counter
from collections.abc import Callable

import torch
import torch.nn.functional as F
from harness import device_and_rounds, kind, save, where
from torch import Tensor, nn

import cmpl_zoo

LAST = torch.channels_last_3d
Way = Callable[[Tensor, nn.Conv3d], Tensor]


def conv3d(x: Tensor, conv: nn.Conv3d) -> Tensor:
    return F.conv3d(x, conv.weight, None, conv.stride, conv.padding)


def frames_as_batch(x: Tensor, conv: nn.Conv3d) -> Tensor:
    y = F.conv2d(x.transpose(1, 2).flatten(0, 1), conv.weight.squeeze(2), None, conv.stride[1:], conv.padding[1:])
    return y.unflatten(0, (len(x), -1)).transpose(1, 2)


def as_in_the_network(x: Tensor, conv: nn.Conv3d) -> Tensor:
    return conv(x)


def matrix_product(x: Tensor, conv: nn.Conv3d) -> Tensor:
    stride = conv.stride[1]
    x = x[:, :, :, ::stride, ::stride].permute(0, 2, 3, 4, 1)
    return F.linear(x, conv.weight.flatten(1)).permute(0, 4, 1, 2, 3)


def three_matrix_products(x: Tensor, conv: nn.Conv3d) -> Tensor:
    x, (before, here, after) = x.permute(0, 2, 3, 4, 1), conv.weight[..., 0, 0].unbind(2)
    y = F.linear(x, here)
    y[:, 1:] += F.linear(x[:, :-1], before)
    y[:, :-1] += F.linear(x[:, 1:], after)
    return y.permute(0, 4, 1, 2, 3)


def five_frames_stacked(x: Tensor, conv: nn.Conv3d) -> Tensor:
    batch, channels, frames, height, width = x.shape
    padded = F.pad(x, (0, 0, 0, 0, 2, 2))
    stacked = torch.stack([padded[:, :, i : i + frames] for i in range(5)], 2).permute(0, 3, 1, 2, 4, 5)
    stacked = stacked.reshape(batch * frames, 5 * channels, height, width)
    stacked = stacked.contiguous(memory_format=torch.channels_last)
    y = F.conv2d(stacked, conv.weight.flatten(1, 2), None, conv.stride[1:], conv.padding[1:])
    return y.unflatten(0, (batch, frames)).transpose(1, 2)


WAYS: dict[str, dict[str, Way]] = {
    "5x7x7": {"five frames stacked, 2-D": five_frames_stacked},
    "3x1x1": {"2-D over (time, space)": as_in_the_network, "three matrix products": three_matrix_products},
    "1x3x3": {"2-D over frames": frames_as_batch},
    "1x1x1": {"2-D over frames": frames_as_batch, "matrix product": matrix_product},
}


def convolutions(network: nn.Module, clips: Tensor) -> Counter[tuple[nn.Conv3d, torch.Size]]:
    """Each kind of convolution once, with the shape of its input, and how often there is one like it."""
    found: dict[str, tuple[nn.Conv3d, torch.Size]] = {}
    counts: Counter[tuple[nn.Conv3d, torch.Size]] = Counter()

    def note(conv: nn.Module, inputs: tuple[Tensor], _: Tensor) -> None:
        assert isinstance(conv, nn.Conv3d)
        key = found.setdefault(f"{conv} of {inputs[0].shape}", (conv, inputs[0].shape))
        counts[key] += 1

    hooks = [m.register_forward_hook(note) for m in network.modules() if isinstance(m, nn.Conv3d)]
    with torch.inference_mode():
        network(clips)
    for hook in hooks:
        hook.remove()
    return counts


def measure(network: nn.Module, clips: Tensor, rounds: int) -> list[list[str]]:
    """Rows of kernel, way, milliseconds forward and backward, and the greatest difference from nn.Conv3d."""

    def clock() -> float:
        if clips.is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    totals: dict[tuple[str, str], list[float]] = {}
    differences: dict[tuple[str, str], float] = {}
    for (conv, shape), count in convolutions(network, clips).items():
        kernel = "x".join(map(str, conv.kernel_size))
        ways: dict[str, Way] = {"nn.Conv3d": conv3d, **WAYS[kernel]}
        x = torch.randn(shape, device=clips.device, dtype=clips.dtype).contiguous(memory_format=LAST)
        x.requires_grad_(shape[1] != 3)
        gradient = torch.randn_like(expected := conv3d(x, conv).detach())
        times: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for number in range(rounds + 2):
            for way, run in ways.items():
                x.grad = conv.weight.grad = None  # adding to one would be timed, too
                began = clock()
                y = run(x, conv)
                forward = clock()
                y.backward(gradient)
                ended = clock()
                if number > 1:
                    times[way].append((forward - began, ended - forward))
                else:
                    far = float((y.detach() - expected).abs().max() / expected.abs().max())
                    differences[kernel, way] = max(differences.get((kernel, way), 0.0), far)
        for way, pairs in times.items():
            total = totals.setdefault((kernel, way), [0.0, 0.0])
            for i in range(2):
                total[i] += count * statistics.median(pair[i] for pair in pairs)
    return [
        [kernel, way, *(f"{1e3 * seconds:.1f}" for seconds in total), f"{differences[kernel, way]:.0e}"]
        for (kernel, way), total in totals.items()
    ]


def main() -> None:
    device, rounds = device_and_rounds(__doc__, 7)
    on_gpu = device.type == "cuda"
    name, batch, size, dtype = (
        ("r3d50", 32, 224, torch.bfloat16) if on_gpu else ("r3d50_quarter", 8, 112, torch.float32)
    )
    network = cmpl_zoo.create_model(name).to(device, dtype, memory_format=LAST).eval()
    clips = torch.randn(batch, 3, 8, size, size, device=device, dtype=dtype)
    rows = []
    for threads in [0] if on_gpu else sorted({1, torch.get_num_threads()}):
        if threads:
            torch.set_num_threads(threads)
        rows += [[threads or "", *row] for row in measure(network, clips, rounds)]
    result = {
        "experiment": f"convolutions-{kind(device)}",
        "caption": f"All convolutions of {name}, {batch} clips of 8x{size}^2, {str(dtype).removeprefix('torch.')}; "
        f"{where(device)}; medians of {rounds} rounds.",
        "columns": ["threads", "kernel", "run as", "forward, ms", "backward, ms", "greatest difference"],
        "rows": rows,
    }
    for row in rows:
        print(*row, sep="\t")
    print(save(result))


if __name__ == "__main__":
    main()
