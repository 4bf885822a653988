"""Weights of other projects as model directories of this zoo."""

import os
import re
from pathlib import Path

import torch
from torch import Tensor

from cmpl_zoo.datasets.classes import class_names
from cmpl_zoo.hub.saving import save
from cmpl_zoo.models import create_model
from cmpl_zoo.models.r3d import in_the_middle

# PyTorchVideo's names and ours.
_NAMES = [
    (r"^blocks\.0\.conv\.", "conv1."),
    (r"^blocks\.0\.norm\.", "bn1."),
    (r"^blocks\.([1-4])\.res_blocks\.(\d+)\.branch2\.conv_a\.", r"layer\1.\2.conv1."),
    (r"^blocks\.([1-4])\.res_blocks\.(\d+)\.branch2\.conv_b\.", r"layer\1.\2.conv2."),
    (r"^blocks\.([1-4])\.res_blocks\.(\d+)\.branch2\.conv_c\.", r"layer\1.\2.conv3."),
    (r"^blocks\.([1-4])\.res_blocks\.(\d+)\.branch2\.norm_a\.", r"layer\1.\2.bn1."),
    (r"^blocks\.([1-4])\.res_blocks\.(\d+)\.branch2\.norm_b\.", r"layer\1.\2.bn2."),
    (r"^blocks\.([1-4])\.res_blocks\.(\d+)\.branch2\.norm_c\.", r"layer\1.\2.bn3."),
    (r"^blocks\.([1-4])\.res_blocks\.(\d+)\.branch1_conv\.", r"layer\1.\2.downsample.0."),
    (r"^blocks\.([1-4])\.res_blocks\.(\d+)\.branch1_norm\.", r"layer\1.\2.downsample.1."),
    (r"^blocks\.5\.proj\.", "fc."),
]


def slow_r50(file: str | os.PathLike[str], directory: str | os.PathLike[str]) -> Path:
    """Put PyTorchVideo's published `slow_r50` (Kinetics-400, supervised) into an `r3d50`.

    The same function on clips of 8 x 224 x 224: `slow_r50` is an `r3d50` whose stem, res2 and res3 see one frame at a
    time, so its kernels go to the middle of ours, with zeros around them. At other sizes the two pool differently
    before the classifier. Clips are 8 frames, 8 frames of the video apart, normalized with mean 0.45 and standard
    deviation 0.225 (PyTorchVideo's settings for this file); 10 clips x 3 crops of 224 pixels from a short side of 256
    are our choice of a test.

    Args:
        file: `SLOW_8x8_R50.pyth`, which PyTorchVideo's model zoo offers; read without running code in it. Weights of
            the same network for other clips look the same.
        directory: of the model to write.

    Returns:
        The directory.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a checkpoint of that network.
    """
    state_dict = _read(Path(file))
    model = create_model(
        "r3d50",
        num_classes=400,
        clip={"frames": 8, "stride": 8, "clips": 10, "crops": 3},
        pretrained_cfg_overlay={"mean": (0.45,) * 3, "std": (0.225,) * 3, "input_size": (3, 224, 224)},
    )
    wanted = model.state_dict()
    renamed = {_rename(key): weight for key, weight in state_dict.items()}
    for key in wanted.keys() & renamed.keys():
        if renamed[key].ndim == wanted[key].ndim == 5 and renamed[key].shape[2] < wanted[key].shape[2]:
            renamed[key] = in_the_middle(renamed[key], wanted[key].shape[2])
    try:
        model.load_state_dict(renamed)
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[1].strip()
        raise ValueError(f"{file}: no slow_r50 of PyTorchVideo: {reason[:200]}; give SLOW_8x8_R50.pyth") from error
    return save(model, directory, class_names("kinetics400"), origin=_ORIGIN)


_ORIGIN = (
    "Converted from PyTorchVideo's `slow_r50` (SLOW_8x8_R50.pyth), which was trained supervised on Kinetics-400; no "
    "CMPL. PyTorchVideo reports 74.58 % top-1 on Kinetics-400 for it (its model zoo, 3 crops x 10 clips at 256 "
    "pixels); we have not measured it."
)


def _read(file: Path) -> dict[str, Tensor]:
    try:
        checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # whatever a file that is no checkpoint makes of the unpickler
        raise ValueError(
            f"{file}: no checkpoint that can be read without running code from it; give the file that PyTorchVideo "
            "publishes"
        ) from error
    weights = checkpoint.get("model_state", checkpoint) if isinstance(checkpoint, dict) else None
    if not isinstance(weights, dict) or not weights:
        raise ValueError(f"{file}: holds no weights; give SLOW_8x8_R50.pyth")
    if not all(isinstance(key, str) and isinstance(weight, Tensor) for key, weight in weights.items()):
        raise ValueError(f"{file}: holds other things than weights by name; give SLOW_8x8_R50.pyth")
    return weights


def _rename(key: str) -> str:
    for theirs, ours in _NAMES:
        key, found = re.subn(theirs, ours, key)
        if found:
            return key
    return key
