"""The number format of a computation."""

from typing import Literal

import torch

Precision = Literal["float32", "bf16", "fp16"]
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context manager in which torch computes in this format where that is safe, and in float32 elsewhere."""
    return torch.autocast(device.type, _AUTOCAST.get(precision), enabled=precision in _AUTOCAST)
