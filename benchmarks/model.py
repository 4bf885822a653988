"""Clips a second of the networks, in inference and training, beside what people would use instead.

python benchmarks/model.py                  # writes benchmarks/results/model-cpu.json, minutes
                                            # (with AMX model-cpu-amx.json, for bf16, too)
python benchmarks/model.py --device cuda    # and model-cuda.json, for bf16 autocast, under eight minutes

Every network takes its turn in every round, so that what else the machine does hits all alike; times are medians over
rounds, ratios the medians of the ratios within a round. `plain` is the same network of `nn.Conv3d` in torch's default
memory layout, as it is usually written. MFU is the share of the arithmetic that a large matrix product reaches in the
same run and type: 2 x multiply-accumulates a clip in inference, three times that in training. Networks of the
package pytorchvideo take part where it can be imported.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torchvision
from harness import device_and_rounds, has_amx, kind, save, where
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import cmpl_zoo

S3D = "torchvision s3d, 16 frames"  # it takes no fewer, and no smaller ones


class PlainBottleneck(nn.Module):
    def __init__(self, inplanes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inplanes, planes, (3, 1, 1), padding=(1, 0, 0), bias=False)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = nn.Conv3d(planes, planes, (1, 3, 3), stride=(1, stride, stride), padding=(0, 1, 1), bias=False)
        self.bn2 = nn.BatchNorm3d(planes)
        self.conv3 = nn.Conv3d(planes, 4 * planes, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(4 * planes)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None
        if stride != 1 or inplanes != 4 * planes:
            shortcut = nn.Conv3d(inplanes, 4 * planes, 1, stride=(1, stride, stride), bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm3d(4 * planes))

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return self.relu(out + (x if self.downsample is None else self.downsample(x)))


class PlainR3D50(nn.Module):
    def __init__(self, width: int, classes: int = 400) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, width, (5, 7, 7), stride=(1, 2, 2), padding=(2, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool3d((1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))
        inplanes = width
        for stage, depth in enumerate((3, 4, 6, 3)):
            blocks = []
            for block in range(depth):
                blocks.append(PlainBottleneck(inplanes, width << stage, 2 if stage and not block else 1))
                inplanes = 4 * width << stage
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(inplanes, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(x.mean((2, 3, 4)))


def networks(ours: str, size: int) -> dict[str, nn.Module]:
    """The plain build of a network, the network by its name with the same weights, and others for comparison."""
    torch.manual_seed(0)
    network = cmpl_zoo.create_model(ours, num_classes=400)
    plain = PlainR3D50(network.bn1.num_features)
    plain.load_state_dict(network.state_dict())
    found: dict[str, nn.Module] = {"plain": plain, ours: network}
    if size == 224:
        try:
            from pytorchvideo.models import create_resnet

            found["pytorchvideo slow_r50"] = create_resnet(
                model_depth=50, model_num_class=400, stem_conv_kernel_size=(1, 7, 7), head_pool_kernel_size=(8, 7, 7),
                head_output_with_global_average=True,
                stage_conv_a_kernel_size=((1, 1, 1), (1, 1, 1), (3, 1, 1), (3, 1, 1)),
            )  # fmt: skip
        except ImportError as error:
            print(f"without pytorchvideo: {error}")
    found["torchvision r3d_18"] = torchvision.models.video.r3d_18()
    if size == 224:
        found[S3D] = torchvision.models.video.s3d()
    return found


def gmac(network: nn.Module, clip: Tensor) -> float:
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network.eval()(clip)
    return counter.get_total_flops() / 2e9


def difference(network: nn.Module, plain: nn.Module, clips: Tensor) -> float:
    """The greatest difference of two networks' outputs, over the greatest output."""
    with torch.inference_mode():
        one, other = network.eval()(clips), plain.eval()(clips)
    return float((one - other).abs().max() / other.abs().max())


class Bench:
    """What is measured on one device in one type.

    Args:
        device: where.
        dtype: of the arithmetic; anything but float32 by autocast.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype) -> None:
        self.device, self.dtype = device, dtype

    def seconds(self, action: Callable[[], object]) -> float:
        self.wait()
        began = time.perf_counter()
        action()
        self.wait()
        return time.perf_counter() - began

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def matrix_product(self) -> tuple[Callable[[], object], float]:
        """A large matrix product, and its floating point operations."""
        size = 8192 if self.device.type == "cuda" else 2048
        a, b = (torch.randn(size, size, device=self.device, dtype=self.dtype) for _ in range(2))
        return lambda: a @ b, 2 * size**3

    def inference(self, network: nn.Module, clips: Tensor) -> Callable[[], object]:
        def run() -> None:
            network.eval()
            with torch.inference_mode(), self.autocast():
                network(clips)

        return run

    def training(self, network: nn.Module, clips: Tensor) -> Callable[[], object]:
        optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9)
        labels = torch.randint(400, (len(clips),), device=self.device)

        def run() -> None:
            network.train()
            with self.autocast():
                loss = nn.functional.cross_entropy(network(clips), labels)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()

        return run

    def best_batch(
        self, make: Callable[[Tensor], Callable[[], object]], name: str, size: int, batches: list[int]
    ) -> int:
        """The batch with the most clips a second, of those that fit into memory."""
        rates: dict[int, float] = {}
        for batch in batches:
            try:
                action = make(self.clips(batch, size, name))
                rates[batch] = batch / min(self.seconds(action) for _ in range(3))
            except RuntimeError:  # no memory for it, as CUDA or as cuDNN says it
                if not rates:
                    raise
                break
            finally:
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
        return max(rates, key=lambda batch: rates[batch])

    def clips(self, batch: int, size: int, name: str = "") -> Tensor:
        return torch.randn(batch, 3, 16 if name == S3D else 8, size, size, device=self.device)

    def measure(self, found: dict[str, nn.Module], size: int, batches: list[int], rounds: int) -> list[dict[str, Any]]:
        """A row for each network and mode, all modes of all networks in turn."""
        folded = "folded"
        ours = list(found)[1]
        cost = {name: gmac(network, self.clips(1, size, name)) for name, network in found.items()}
        modes = [(mode, name) for mode in ("inference", "training") for name in found]
        modes.insert(2, ("inference", folded))
        whole = dict(found)
        whole[folded] = cmpl_zoo.create_model(ours, num_classes=400).to(self.device).eval()
        whole[folded].load_state_dict(found[ours].state_dict())
        whole[folded].reparameterize()
        cost[folded] = cost[ours]

        actions, batch_of, memory, times = {}, {}, {}, {}
        for mode, name in modes:
            make = lambda clips, mode=mode, name=name: getattr(self, mode)(whole[name], clips)  # noqa: E731
            batch_of[mode, name] = self.best_batch(make, name, size, batches)
            before = torch.cuda.memory_allocated() if self.device.type == "cuda" else 0
            actions[mode, name] = make(self.clips(batch_of[mode, name], size, name))
            times[mode, name] = []
            if self.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats()
                actions[mode, name]()
                weights = sum(weight.nbytes for weight in whole[name].parameters())
                memory[mode, name] = (torch.cuda.max_memory_allocated() - before + weights) / 1e9
        product, operations = self.matrix_product()
        self.seconds(product)
        attainable = []
        for _ in range(rounds):
            attainable.append(operations / statistics.median(self.seconds(product) for _ in range(3)))
            for key, action in actions.items():
                times[key].append(self.seconds(action) / batch_of[key])
        rate = statistics.median(attainable)
        return [
            {
                "size": size,
                "mode": mode,
                "network": f"{ours}, {folded}" if name == folded else f"{name} build" if name == "plain" else name,
                "batch": batch_of[mode, name],
                "gmac": round(cost[name], 2),
                "clips_per_s": 1 / statistics.median(times[mode, name]),
                "over_plain": statistics.median(
                    plain / own for plain, own in zip(times[mode, "plain"], times[mode, name], strict=True)
                ),
                "mfu": 2e9 * cost[name] * (3 if mode == "training" else 1)
                / statistics.median(times[mode, name]) / rate,
                "memory_gb": memory.get((mode, name)),
            }
            for mode, name in modes
        ]  # fmt: skip


def main() -> None:
    device, rounds = device_and_rounds(__doc__, 9)
    on_gpu = device.type == "cuda"
    plan = [("r3d50_quarter", 112, torch.float32), ("r3d50", 224, torch.float32)]
    if on_gpu:
        plan = [("r3d50", 224, torch.bfloat16), ("r3d50_quarter", 112, torch.bfloat16), ("r3d50", 224, torch.float32)]
    elif has_amx():
        plan += [("r3d50_quarter", 112, torch.bfloat16)]  # a bf16 step of r3d_18 at 224^2 takes minutes there
    # Convolutions and the product that they are measured by in the same arithmetic: TF32 for float32 on a GPU.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    rows: list[dict[str, Any]] = []
    differences: dict[str, float] = {}
    for ours, size, dtype in plan:
        bench = Bench(device, dtype)
        found = {name: network.to(device) for name, network in networks(ours, size).items()}
        with bench.autocast():
            differences[f"{ours}, {dtype}"] = difference(found[ours], found["plain"], bench.clips(2, size))
        batches = [16, 64] if on_gpu else [1] if size == 224 else [8]
        for row in bench.measure(found, size, batches, rounds):
            rows.append({"type": str(dtype).removeprefix("torch."), **row})
            print(rows[-1], flush=True)
        print(save(result(device, rounds, rows, differences)))  # as far as it has come


def result(
    device: torch.device, rounds: int, rows: list[dict[str, Any]], differences: dict[str, float]
) -> dict[str, Any]:
    """What has been measured, with its table."""
    on_gpu = device.type == "cuda"
    threads = "" if on_gpu else f", {torch.get_num_threads()} threads"
    return {
        "experiment": f"model-{kind(device)}",
        "caption": f"{where(device)}{threads}; clips of 8 frames; medians of "
        f"{rounds} interleaved rounds; greatest difference from the plain build: "
        + ", ".join(f"{value:.0e} ({name.removesuffix(')')})" for name, value in differences.items()) + ".",
        "columns": ["size", "type", "", "network", "batch", "GMAC", "clips/s", "over plain", "GMAC/s", "MFU",
                    *(["GB"] if on_gpu else [])],
        "rows": [
            [
                r["size"], r["type"], r["mode"], r["network"], r["batch"], r["gmac"], f"{r['clips_per_s']:.1f}",
                f"{r['over_plain']:.2f}", f"{r['clips_per_s'] * r['gmac']:.0f}", f"{r['mfu']:.0%}",
                *([f"{r['memory_gb']:.1f}"] if on_gpu else []),
            ]
            for r in rows
        ],
        "measured": rows,
        "differences": differences,
    }  # fmt: skip


if __name__ == "__main__":
    main()
