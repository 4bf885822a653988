"""What the full-size recipes cost, worked out from what the other benchmarks measured.

python benchmarks/cost.py    # writes benchmarks/results/cost.json, from train/recipes and benchmarks/results; a minute

Numbers of videos are those of the official training lists. Arithmetic is counted by torch on the networks themselves, a
backward pass as two forward ones. Disk and decoding are those of copies of ten seconds at 256p with a keyframe every
16 frames and no B-frames (decode.json), one open for both strides and views at 224 in the workers. GPU hours are the
measured step (step-cuda.json) times the steps, where that has been measured; on eight GPUs they are taken to be an
eighth.
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
PREPARED = "256p, GOP 16, no B-frames"  # as cmpl-zoo prepare makes them
K400, UCF101 = 246_534, 9_537  # rows of Kinetics-400's train.csv; of UCF-101's trainlist01.txt
# Labeled and unlabeled videos.
LISTS = {
    "ucf101_1pct": (101, UCF101 - 101),
    "ucf101_10pct": (1_010, UCF101 - 1_010),
    "k400_1pct": (2_400, K400 - 2_400),
    "k400_10pct": (24_000, K400 - 24_000),
    "ucf101_k400": (UCF101, K400),
}


def forward_flops(name: str, recipe: dict[str, Any]) -> int:
    """Floating-point operations of one clip, forward."""
    with torch.device("meta"):
        model = cmpl_zoo.create_model(name, num_classes=400).eval()
        clip = torch.zeros(1, 3, recipe["frames"], recipe["size"], recipe["size"])
    with FlopCounterMode(display=False) as counter:
        model(clip)
    return counter.get_total_flops()


def cost(name: str, decode: dict[str, Any], step: dict[str, Any] | None) -> list[str]:
    recipe = yaml.safe_load((REPO / "cmpl_zoo" / "training" / "recipes" / f"{name}.yaml").read_text())
    labeled, unlabeled = LISTS[name]
    steps = math.ceil(recipe["epochs"] * unlabeled / recipe["unlabeled_batch"])
    trained = recipe["labeled_batch"] + recipe["unlabeled_batch"]
    flops = sum(forward_flops(recipe[network], recipe) for network in ("primary", "auxiliary"))
    flops *= steps * (3 * trained + recipe["unlabeled_batch"])

    ms = {row["what"]: row["cpu_ms"] for row in decode["views"]}
    task = ("cmpl_zoo", PREPARED, "both strides, one open")
    clip_ms = next(row["cpu_ms"] for row in decode["readers"] if (row["reader"], row["form"], row["task"]) == task)
    strides = len({recipe["primary_stride"], recipe["auxiliary_stride"]})
    weak, strong = ms["weak view, 224"], ms["strong view, randaugment and cutout, 224"]
    a_step = trained * (clip_ms + strides * weak) + recipe["unlabeled_batch"] * strides * strong
    videos = sum(decode["videos"].values())
    data_set = K400 + UCF101 * (name == "ucf101_k400") if "k400" in name else UCF101
    hours = step and statistics.median(step["seconds"]["step"]) * steps / 3600
    return [
        f"`{name}`",
        f"{labeled:,}",
        f"{unlabeled:,}",
        f"{steps:,}",
        f"{data_set * decode['bytes'][PREPARED] / videos / 1e9:,.0f}",
        f"{steps * a_step / 3.6e6:,.0f}",
        f"{flops / 1e18:,.1f}",
        *((f"{hours:,.0f}", f"{hours / 8:,.0f}") if hours else ("not measured", "not measured")),
    ]


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
    print(save({"experiment": "cost", "caption": caption, "columns": columns, "rows": rows}))


if __name__ == "__main__":
    main()
