"""Checkpoints of the form that other projects publish."""

import math

import torch


def published(project: str, classes: int = 400) -> dict[str, torch.Tensor]:
    """Random weights with the names and shapes of a project's SlowOnly R50 (its own network's, looked up there)."""
    stem, head = {
        "PyTorchVideo": (("blocks.0.conv", "blocks.0.norm"), "blocks.5.proj"),
        "PySlowFast": (("s1.pathway0_stem.conv", "s1.pathway0_stem.bn"), "head.projection"),
        "mmaction2": (("backbone.conv1.conv", "backbone.conv1.bn"), "cls_head.fc_cls"),
    }[project]
    weights: dict[str, torch.Tensor] = {}

    def convolution(conv: str, norm: str, outputs: int, inputs: int, *kernel: int) -> None:
        weights[f"{conv}.weight"] = torch.randn(outputs, inputs, *kernel) / (inputs * math.prod(kernel)) ** 0.5
        for statistic in ("weight", "bias", "running_mean", "running_var"):
            weights[f"{norm}.{statistic}"] = torch.rand(outputs)
        weights[f"{norm}.num_batches_tracked"] = torch.tensor(7)

    def names(stage: int, block: int, number: int) -> tuple[str, str]:
        """Of a convolution in a block, 1 to 3, or of its shortcut, 0, and of the batch norm after it."""
        if project == "PyTorchVideo":
            place = f"blocks.{stage}.res_blocks.{block}."
            if not number:
                return place + "branch1_conv", place + "branch1_norm"
            letter = "abc"[number - 1]
            return f"{place}branch2.conv_{letter}", f"{place}branch2.norm_{letter}"
        if project == "PySlowFast":
            place = f"s{stage + 1}.pathway0_res{block}."
            name = place + (f"branch2.{'abc'[number - 1]}" if number else "branch1")
            return name, f"{name}_bn"
        place = f"backbone.layer{stage}.{block}." + (f"conv{number}" if number else "downsample")
        return f"{place}.conv", f"{place}.bn"

    convolution(*stem, 64, 3, 1, 7, 7)
    inputs = 64
    for stage, depth in enumerate((3, 4, 6, 3), start=1):
        width, frames = 32 * 2**stage, 1 if stage < 3 else 3
        for number in range(depth):
            convolution(*names(stage, number, 1), width, inputs, frames, 1, 1)
            convolution(*names(stage, number, 2), width, width, 1, 3, 3)
            convolution(*names(stage, number, 3), 4 * width, width, 1, 1, 1)
            if number == 0:
                convolution(*names(stage, number, 0), 4 * width, inputs, 1, 1, 1)
            inputs = 4 * width
    weights[f"{head}.weight"], weights[f"{head}.bias"] = torch.randn(classes, 2048), torch.randn(classes)
    return weights
