"""One clip at a time on a CPU, as of a camera: the ways to run a network here, and other engines with its ONNX file.

python benchmarks/one_clip.py    # writes benchmarks/results/one-clip-cpu.json, ten minutes; nothing may run beside it

All take turns in every round, on one thread and then on all cores. onnxruntime and OpenVINO take part where they can be
imported. Two threads wait for each other, so that their times say nothing while another program has one of two cores.
"""

import argparse
import copy
import io
import os
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from harness import save, where
from torch import Tensor, nn

import cmpl_zoo
from cmpl_zoo.models.packing import pack

CLIPS = [("r3d50_quarter", 112, 1), ("r3d50_quarter", 112, 8), ("r3d50", 224, 1)]  # network, size, clips of a batch
FASTEST = "OpenVINO"  # that all are set against, where it can be imported
Engine = Callable[[Tensor], Tensor]


def trained(name: str) -> nn.Module:
    """A network whose batch norms do something."""
    torch.manual_seed(0)
    model = cmpl_zoo.create_model(name).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            nn.init.uniform_(module.weight, 0.3, 1.0)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model


def in_torch(model: nn.Module) -> dict[str, Engine]:
    """The ways of this package."""
    folded = copy.deepcopy(model)
    folded.reparameterize()
    found: dict[str, Engine] = {"folded": folded, "folded, bf16": autocast(folded, torch.bfloat16)}
    for what, dtype in (("packed", torch.float32), ("packed, bf16", torch.bfloat16)):
        packed = copy.deepcopy(folded)
        if pack(packed, dtype):
            found[what] = autocast(packed, dtype)
    return found


def autocast(model: nn.Module, dtype: torch.dtype) -> Engine:
    if dtype == torch.float32:
        return model

    def run(clips: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype):
            return model(clips)

    return run


def onnx_file(model: nn.Module, clips: Tensor) -> bytes:
    """Of the network with folded batch norm, and of any batch."""
    model = copy.deepcopy(model)
    model.reparameterize()
    content = io.BytesIO()
    with warnings.catch_warnings(action="ignore"):
        batch = ({0: torch.export.Dim("batch")},)
        example = (torch.zeros(2, *clips.shape[1:]),)
        program = torch.onnx.export(model, example, input_names=["clips"], dynamic_shapes=batch, verbose=False)
    program.save(content)
    return content.getvalue()


def in_onnxruntime(content: bytes, clips: Tensor, threads: int) -> dict[str, Engine]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return {"onnxruntime": lambda clips: torch.from_numpy(session.run(None, {"clips": clips.numpy()})[0])}


def in_openvino(content: bytes, clips: Tensor, threads: int) -> dict[str, Engine]:
    import openvino

    found: dict[str, Engine] = {}
    for what, precision in ((FASTEST, "f32"), (f"{FASTEST}, bf16", "bf16")):
        core = openvino.Core()
        network = core.read_model(content)
        network.reshape(list(clips.shape))
        how = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
        compiled = core.compile_model(network, "CPU", how)
        request = compiled.create_infer_request()
        found[what] = lambda clips, request=request: torch.from_numpy(request.infer([clips.numpy()])[0].copy())
    return found


def measure(name: str, size: int, batch: int, threads: int, rounds: int) -> list[dict[str, Any]]:
    """A row for each way."""
    torch.set_num_threads(threads)
    model, clips = trained(name), torch.randn(batch, 3, 8, size, size)
    engines, content = in_torch(model), onnx_file(model, clips)
    for make in (in_onnxruntime, in_openvino):
        try:
            engines |= make(content, clips, threads)
        except ImportError as error:
            print(f"without {error.name}: it is not installed")
    times: dict[str, list[tuple[float, float]]] = {engine: [] for engine in engines}
    with torch.inference_mode():
        expected = model(clips)
        differences = {}
        for engine, run in engines.items():
            run(clips)
            differences[engine] = float((run(clips).float() - expected).abs().max() / expected.abs().max())
        for _ in range(rounds):
            for engine, run in engines.items():
                wall, cpu = time.perf_counter(), time.process_time()
                run(clips)
                times[engine].append((time.perf_counter() - wall, time.process_time() - cpu))
    rows = []
    for engine, pairs in times.items():
        wall, cpu = (1e3 * statistics.median(pair[i] for pair in pairs) / batch for i in (0, 1))
        # On one thread CPU time, which other programs change least.
        i = 1 if threads == 1 else 0
        others = times.get(FASTEST)
        over = statistics.median(a[i] / b[i] for a, b in zip(pairs, others, strict=True)) if others else None
        rows.append(
            {"threads": threads, "network": name, "clips": f"{batch} of 8x{size}^2", "way": engine, "wall_ms": wall,
             "cpu_ms": cpu, "over_openvino": over, "difference": differences[engine]}
        )  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="one_clip.py", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=31, help="of the small network; a third for the large one")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    args = parser.parse_args()
    rows = []
    for threads in args.threads:
        for name, size, batch in CLIPS:
            rounds = args.rounds if size * batch == 112 else max(1, args.rounds // 3)
            rows += measure(name, size, batch, threads, rounds)
    result = {
        "experiment": "one-clip-cpu",
        "caption": f"{where()}; medians of {args.rounds} interleaved rounds, a third as many below the first network.",
        "columns": ["threads", "network", "batch", "run as", "a clip, ms", "CPU, ms", f"over {FASTEST}", "difference"],
        "rows": [
            [
                r["threads"], r["network"], r["clips"], r["way"], f"{r['wall_ms']:.1f}", f"{r['cpu_ms']:.1f}",
                f"{r['over_openvino']:.2f}" if r["over_openvino"] else "", f"{r['difference']:.0e}",
            ]
            for r in rows
        ],
        "measured": rows,
    }  # fmt: skip
    print(save(result))


if __name__ == "__main__":
    main()
