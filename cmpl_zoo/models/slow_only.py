"""The slow pathway of SlowFast (ICCV 2019, table 1) on a ResNet-50, as other projects publish it, put into an `r3d50`.

It is an `r3d50` whose stem, res2 and res3 see one frame at a time, so its kernels go to the middle of ours, with zeros
around them.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cmpl_zoo.models.config_json import ClipSettings
from cmpl_zoo.models.download import fault_of


class Project(NamedTuple):
    """Whose checkpoint it is, and the settings that its network was trained with.

    Attributes:
        name: of the project.
        first: the key of the stem's kernel, by which its checkpoints are known.
        names: patterns of its keys, and ours.
        clip: the clips of its network.
        mean: of each channel, for values in 0..1.
        std: likewise.
        knows_kinetics: 400 classes are those of Kinetics-400, in its order.
    """

    name: str
    first: str
    names: Mapping[str, str]
    clip: ClipSettings
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    knows_kinetics: bool


# Eight frames spread over 64 of 30 a second, which is 9 from one to the next, although its name is 8x8: so the training
# code of both projects reads them (their decoder's linspace, and PyTorchVideo's UniformTemporalSubsample).
_FACEBOOK_CLIP: ClipSettings = {"frames": 8, "stride": 9, "fps": 30, "clips": 10, "crops": 3}
_FACEBOOK_MEAN, _FACEBOOK_STD = (0.45,) * 3, (0.225,) * 3
# The address in PyTorchVideo's model zoo; its name has no digits of a hash.
SLOW_R50_URL = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/SLOW_8x8_R50.pyth"

PYTORCHVIDEO = Project(
    "PyTorchVideo",
    "blocks.0.conv.weight",
    {
        r"blocks\.0\.conv\.": "conv1.",
        r"blocks\.0\.norm\.": "bn1.",
        r"blocks\.([1-4])\.res_blocks\.(\d+)\.branch2\.conv_a\.": r"layer\1.\2.conv1.",
        r"blocks\.([1-4])\.res_blocks\.(\d+)\.branch2\.conv_b\.": r"layer\1.\2.conv2.",
        r"blocks\.([1-4])\.res_blocks\.(\d+)\.branch2\.conv_c\.": r"layer\1.\2.conv3.",
        r"blocks\.([1-4])\.res_blocks\.(\d+)\.branch2\.norm_a\.": r"layer\1.\2.bn1.",
        r"blocks\.([1-4])\.res_blocks\.(\d+)\.branch2\.norm_b\.": r"layer\1.\2.bn2.",
        r"blocks\.([1-4])\.res_blocks\.(\d+)\.branch2\.norm_c\.": r"layer\1.\2.bn3.",
        r"blocks\.([1-4])\.res_blocks\.(\d+)\.branch1_conv\.": r"layer\1.\2.downsample.0.",
        r"blocks\.([1-4])\.res_blocks\.(\d+)\.branch1_norm\.": r"layer\1.\2.downsample.1.",
        r"blocks\.5\.proj\.": "fc.",
    },
    _FACEBOOK_CLIP,
    _FACEBOOK_MEAN,
    _FACEBOOK_STD,
    knows_kinetics=True,
)
PROJECTS = (
    PYTORCHVIDEO,
    Project(
        "PySlowFast",
        "s1.pathway0_stem.conv.weight",
        {
            r"s1\.pathway0_stem\.conv\.": "conv1.",
            r"s1\.pathway0_stem\.bn\.": "bn1.",
            **{
                rf"s{stage + 1}\.pathway0_res(\d+)\.{theirs}\.": rf"layer{stage}.\1.{ours}."
                for stage in range(1, 5)
                for theirs, ours in {
                    r"branch2\.a": "conv1",
                    r"branch2\.a_bn": "bn1",
                    r"branch2\.b": "conv2",
                    r"branch2\.b_bn": "bn2",
                    r"branch2\.c": "conv3",
                    r"branch2\.c_bn": "bn3",
                    "branch1": "downsample.0",
                    "branch1_bn": "downsample.1",
                }.items()
            },
            r"head\.projection\.": "fc.",
        },
        _FACEBOOK_CLIP,
        _FACEBOOK_MEAN,
        _FACEBOOK_STD,
        knows_kinetics=False,
    ),
    Project(
        "mmaction2",
        "backbone.conv1.conv.weight",
        {
            r"backbone\.conv1\.conv\.": "conv1.",
            r"backbone\.conv1\.bn\.": "bn1.",
            r"backbone\.layer([1-4])\.(\d+)\.conv([1-3])\.conv\.": r"layer\1.\2.conv\3.",
            r"backbone\.layer([1-4])\.(\d+)\.conv([1-3])\.bn\.": r"layer\1.\2.bn\3.",
            r"backbone\.layer([1-4])\.(\d+)\.downsample\.conv\.": r"layer\1.\2.downsample.0.",
            r"backbone\.layer([1-4])\.(\d+)\.downsample\.bn\.": r"layer\1.\2.downsample.1.",
            r"cls_head\.fc_cls\.": "fc.",
        },
        {"frames": 8, "stride": 8, "clips": 10, "crops": 3},
        (123.675 / 255, 116.28 / 255, 103.53 / 255),
        (58.395 / 255, 57.12 / 255, 57.375 / 255),
        knows_kinetics=True,
    ),
)
_PUBLISHED = "SLOW_8x8_R50.pyth of PyTorchVideo, SlowOnly R50 of mmaction2, or SLOW R50 of PySlowFast (.pyth)"


def read_slow_only(file: str | os.PathLike[str]) -> tuple[dict[str, Tensor], Project]:
    """The weights of a published checkpoint by the names of an `r3d50`, and the project that published it.

    Nothing but tensors and plain values is read of the file, so that none of its code is run.

    Args:
        file: a checkpoint of PyTorchVideo, mmaction2 or PySlowFast.

    Returns:
        Every key of an `r3d50` with as many classes as the checkpoint has, in its shape.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, not such a checkpoint, or holds more than weights.
    """
    file = Path(file)
    state_dict = _weights(file)
    project = next((project for project in PROJECTS if project.first in state_dict), None)
    if project is None:
        raise ValueError(f"{file}: no SlowOnly R50 of a project that is known here; give {_PUBLISHED}")
    renamed = {_rename(key, project): weight for key, weight in state_dict.items()}
    return renamed, project


def _rename(key: str, project: Project) -> str:
    for theirs, ours in project.names.items():
        key, found = re.subn(f"^{theirs}", ours, key)
        if found:
            return key
    return key


def _weights(file: Path) -> dict[str, Tensor]:
    """The state dict in a checkpoint."""
    if fault := fault_of(file, file.name):
        raise ValueError(f"{file}: is not the published file ({fault}); the download is cut or another file, try again")
    with file.open("rb") as content:
        start = content.read(4096)
    if file.suffix == ".pkl" or b"blobs" in start:
        raise ValueError(
            f"{file}: a Caffe2 checkpoint of PySlowFast, which only a pickle that can run code would read; take "
            "r3d50.slow_k400, PyTorchVideo's weights of the same network"
        )
    try:
        checkpoint: Any = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file that is no checkpoint makes of the unpickler
        if foreign := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise ValueError(
                f"{file}: holds {foreign[1]} beside the weights, which could run code; save its state_dict alone, as "
                "mmaction2's publish_model.py does"
            ) from error
        raise ValueError(
            f"{file}: no checkpoint that torch can read; it is cut or another file, download it again"
        ) from error
    weights = checkpoint
    for key in ("model_state", "state_dict"):
        if isinstance(checkpoint, dict) and key in checkpoint:
            weights = checkpoint[key]
    if not isinstance(weights, dict) or not weights:
        raise ValueError(f"{file}: holds no weights; give {_PUBLISHED}")
    if not all(isinstance(key, str) and isinstance(weight, Tensor) for key, weight in weights.items()):
        raise ValueError(f"{file}: holds other things than weights by name; give {_PUBLISHED}")
    return weights
