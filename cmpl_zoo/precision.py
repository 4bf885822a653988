"""The number format of a computation."""

from typing import Literal

import torch

Precision = Literal["float32", "bf16", "fp16"]
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """A context manager in which torch computes in this format where that is safe, and in float32 elsewhere.

    Raises:
        ValueError: there is no such precision.
    """
    if precision not in DTYPES:
        raise ValueError(f"precision is {precision!r}; give {', '.join(DTYPES)}")
    lower = precision != "float32"
    return torch.autocast(device.type, DTYPES[precision] if lower else None, enabled=lower)
