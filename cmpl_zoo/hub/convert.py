"""Weights of other projects as model directories of this zoo."""

import os
from pathlib import Path

from cmpl_zoo.datasets.classes import class_names
from cmpl_zoo.hub.saving import save
from cmpl_zoo.models import R3D, create_model
from cmpl_zoo.models.r3d import checkpoint_filter_fn
from cmpl_zoo.models.slow_only import read_slow_only


def slow_r50(file: str | os.PathLike[str], directory: str | os.PathLike[str], classes: str | None = None) -> Path:
    """Put a published SlowOnly R50 into an `r3d50`: PyTorchVideo's `slow_r50`, mmaction2's, or PySlowFast's.

    The same function on clips of 224 x 224 pixels; at other sizes they pool differently before the classifier. Frames,
    stride, mean and standard deviation are the project's; 10 clips x 3 crops of 224 pixels from a short side of 256
    are our choice of a test.

    Args:
        file: the checkpoint, read without running code in it. Weights of the same network for other clips look the
            same.
        directory: of the model to write.
        classes: as in `class_names`; by default those of Kinetics-400, where the project has them in its order.

    Returns:
        The directory.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a checkpoint of that network, or its classes have no names or others than these.
    """
    weights, project = read_slow_only(file)
    count = len(weights.get("fc.weight", ()))
    if classes is None and not (project.knows_kinetics and count == 400):
        raise ValueError(f"{file}: the names of its {count} classes are not known here; give them by --classes FILE")
    names = class_names(classes or "kinetics400")
    if len(names) != count:
        raise ValueError(f"--classes {classes} has {len(names)} names, and {file} has {count} classes; give its own")
    model = create_model(
        "r3d50",
        num_classes=count,
        clip=project.clip,
        pretrained_cfg_overlay={"mean": project.mean, "std": project.std, "num_classes": count},
    )
    assert isinstance(model, R3D)
    try:
        model.load_state_dict(checkpoint_filter_fn(weights, model))
    except RuntimeError as error:
        raise ValueError(f"{file}: {str(error).partition(': ')[2]}") from error
    return save(model, directory, names, origin=_origin(Path(file).name, project.name))


def _origin(file: str, project: str) -> str:
    reported = f"What it reaches is on the pages of {project}"
    if file == "SLOW_8x8_R50.pyth":
        reported = "PyTorchVideo reports 74.58 % top-1 on Kinetics-400 (its model zoo, 10 clips x 3 crops)"
    return (
        f"Converted from {project}'s SlowOnly R50 (`{file}`), which was trained with all labels; no CMPL. {reported}; "
        "we have not measured it."
    )
