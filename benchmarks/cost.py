"""What the full-size recipes cost, worked out from what the other benchmarks measured.

python benchmarks/cost.py    # writes cost.json and cost-step.json, from the recipes and other results; a minute

Numbers of videos are those of the official training lists. Arithmetic is counted by torch on the networks themselves, a
backward pass as two forward ones. Disk and decoding are those of copies of ten seconds at 256p as `cmpl-zoo prepare`
makes them (decode.json), one open for both strides and views at 224 in the workers. GPU hours are the measured step
(step-cuda.json) times the steps, where that has been measured; on eight GPUs they are taken to be an eighth. In the
parts of a step, GPUs are taken to reach a share of their peak that nobody has measured for these networks.
"""

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any

import torch
import yaml
from harness import RESULTS, save
from torch.utils.flop_counter import FlopCounterMode

import cmpl_zoo

REPO = Path(__file__).resolve().parents[1]
PREPARED = "256p, as prepared"
K400, UCF101 = 246_534, 9_537  # rows of Kinetics-400's train.csv; of UCF-101's trainlist01.txt
# Labeled and unlabeled videos.
LISTS = {
    "ucf101_1pct": (101, UCF101 - 101),
    "ucf101_10pct": (1_010, UCF101 - 1_010),
    "k400_1pct": (2_400, K400 - 2_400),
    "k400_10pct": (24_000, K400 - 24_000),
    "ucf101_k400": (UCF101, K400),
}
# Dense bf16 products, FLOP/s, by the makers' data sheets; and the share of it that we assume.
GPUS = {"A100": 312e12, "H100": 989e12}
SHARE_OF_PEAK = 0.3


def forward_flops(name: str, recipe: dict[str, Any]) -> int:
    """Floating-point operations of one clip, forward."""
    with torch.device("meta"):
        model = cmpl_zoo.create_model(name, num_classes=400).eval()
        clip = torch.zeros(1, 3, recipe["frames"], recipe["size"], recipe["size"])
    with FlopCounterMode(display=False) as counter:
        model(clip)
    return counter.get_total_flops()


def read_recipe(name: str) -> dict[str, Any]:
    return yaml.safe_load((REPO / "cmpl_zoo" / "training" / "recipes" / f"{name}.yaml").read_text())


def strides(recipe: dict[str, Any]) -> int:
    """How many clips are read of a video."""
    return len({recipe["primary_stride"], recipe["auxiliary_stride"]})


def step_flops(recipe: dict[str, Any]) -> int:
    """Floating-point operations of a step: both networks learn from all clips, after labeling the weak views."""
    trained = recipe["labeled_batch"] + recipe["unlabeled_batch"]
    forward = sum(forward_flops(recipe[network], recipe) for network in ("primary", "auxiliary"))
    return forward * (3 * trained + recipe["unlabeled_batch"])


def step_reading(recipe: dict[str, Any], decode: dict[str, Any]) -> dict[str, float]:
    """CPU seconds that the workers need for a step, by part."""
    ms = {row["what"]: row["cpu_ms"] for row in decode["views"]}
    task = ("cmpl_zoo", PREPARED, "both strides, one open")
    clip_ms = next(row["cpu_ms"] for row in decode["readers"] if (row["reader"], row["form"], row["task"]) == task)
    weak = strides(recipe) * (recipe["labeled_batch"] + recipe["unlabeled_batch"])
    strong = strides(recipe) * recipe["unlabeled_batch"]
    return {
        "decoding": (recipe["labeled_batch"] + recipe["unlabeled_batch"]) * clip_ms / 1e3,
        "weak views": weak * ms["weak view, 224"] / 1e3,
        "strong views": strong * ms["strong view, randaugment and cutout, 224"] / 1e3,
    }


def cost(name: str, decode: dict[str, Any], step: dict[str, Any] | None) -> list[str]:
    recipe = read_recipe(name)
    labeled, unlabeled = LISTS[name]
    steps = math.ceil(recipe["epochs"] * unlabeled / recipe["unlabeled_batch"])
    videos = sum(decode["videos"].values())
    data_set = K400 + UCF101 * (name == "ucf101_k400") if "k400" in name else UCF101
    hours = step and statistics.median(step["seconds"]["step"]) * steps / 3600
    return [
        f"`{name}`",
        f"{labeled:,}",
        f"{unlabeled:,}",
        f"{steps:,}",
        f"{data_set * decode['bytes'][PREPARED] / videos / 1e9:,.0f}",
        f"{steps * sum(step_reading(recipe, decode).values()) / 3600:,.0f}",
        f"{steps * step_flops(recipe) / 1e18:,.1f}",
        *((f"{hours:,.0f}", f"{hours / 8:,.0f}") if hours else ("not measured", "not measured")),
    ]


def parts_of_a_step(name: str, decode: dict[str, Any]) -> dict[str, Any]:
    """How long the networks and the workers need for a step, and how many cores keep up with a GPU."""
    recipe = read_recipe(name)
    reading, flops = step_reading(recipe, decode), step_flops(recipe)
    seconds = sum(reading.values())
    views = strides(recipe) * (recipe["labeled_batch"] + 2 * recipe["unlabeled_batch"])
    megabytes = views * 3 * recipe["frames"] * recipe["size"] ** 2 / 1e6
    rows = []
    for gpu, peak in GPUS.items():
        for count in (1, 8):
            networks = flops / (peak * SHARE_OF_PEAK * count)
            by_cores = [f"{seconds / cores:.2f}" for cores in (16, 64)]
            rows.append([f"{count} x {gpu}", f"{networks:.3f}", *by_cores, f"{seconds / networks:.0f}"])
    parts = ", ".join(f"{part} {time:.2f}" for part, time in reading.items())
    caption = (
        f"`{name}`: {recipe['labeled_batch']} labeled and {recipe['unlabeled_batch']} unlabeled videos, "
        f"{flops / 1e12:.0f} TFLOP; CPU seconds of reading, {decode['machine']}: {parts}. The views are "
        f"{megabytes:.0f} MB of bytes. GPUs at {SHARE_OF_PEAK:.0%} of their peak in bf16: an assumption, nothing was "
        "measured on one."
    )
    columns = ["", "networks, s", "reading by 16 cores, s", "by 64 cores, s", "cores that keep up"]
    return {"experiment": "cost-step", "caption": caption, "columns": columns, "rows": rows}


def main() -> None:
    argparse.ArgumentParser(prog="cost.py", description=__doc__.splitlines()[0]).parse_args()
    decode = json.loads((RESULTS / "decode.json").read_text())
    measured = RESULTS / "step-cuda.json"
    step = json.loads(measured.read_text()) if measured.exists() else None
    columns = ["", "labeled", "unlabeled", "steps", "disk, GB", "CPU core hours to read", "EFLOP", "GPU hours",
               "hours on eight"]  # fmt: skip
    caption = (
        f"200 passes over the unlabeled videos. Reading: {decode['machine']}; "
        f"GPU: {step['caption'] if step else 'none yet.'}"
    )
    rows = [cost(name, decode, step) for name in LISTS]
    print(save(parts_of_a_step("k400_1pct", decode)))
    print(save({"experiment": "cost", "caption": caption, "columns": columns, "rows": rows}))


if __name__ == "__main__":
    main()
