"""Model directories in timm's format: config.json, model.safetensors and a card."""

import copy
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from timm.models import save_for_hf
from timm.utils import unwrap_model
from torch import nn

from cmpl_zoo.hub.cards import model_card
from cmpl_zoo.models import VideoModel, create_model
from cmpl_zoo.models.labels import check_classifier, check_label_names
from cmpl_zoo.models.pretrained import WEIGHTS
from cmpl_zoo.records import Summary

FILES = (WEIGHTS, "README.md", "config.json")
# Entries of a configuration that describe the published weights of its name, which these are not.
_PUBLISHED_ONLY = {"tag", "label_names", "label_descriptions", "license", "description", "origin_url", "notes"}
_PUBLISHED_ONLY |= {"paper_name", "paper_ids"}


def save(
    model: nn.Module,
    directory: str | os.PathLike[str],
    label_names: Sequence[str],
    summary: Summary | None = None,
    origin: str | None = None,
) -> Path:
    """Write a model directory that `create_model(directory)` and timm's `local-dir:` load.

    Class names and clip settings travel in config.json. Files are written beside and moved into place one by
    one, so that no reader meets a half-written one.

    Args:
        model: a model of this zoo, also within `torch.compile`, `DistributedDataParallel` or an average of its weights.
        directory: created where missing; a model in it is replaced.
        label_names: class names by class id.
        summary: how the model was trained, as `cmpl_zoo.training` reports it; the model card shows it.
        origin: the same in words, for weights that CMPL did not make.

    Returns:
        The directory.

    Raises:
        ValueError: the names or the classifier's logits are not as many as the classes, or a name has control
            characters; the model is not a whole one of this zoo, as one is not whose batch norm is folded or whose
            classifier is more than a Linear layer: what is written is loaded before it counts; the directory has a
            card or a config.json that is not a model's.
        OSError: the directory cannot be written, as on a full disk.
    """
    model = unwrap_model(model)
    if not isinstance(model, VideoModel):
        raise ValueError(f"{type(model).__name__} is not a model that create_model makes; save such a one")
    check_classifier(model)
    check_label_names(label_names, model.num_classes)
    if not isinstance(model.fc, (nn.Linear, nn.Identity)):
        raise ValueError(
            f"the classifier is a {type(model.fc).__name__}, and a model directory holds a Linear layer alone; save "
            "this model by torch.save(model.state_dict(), FILE), or give it a Linear layer by reset_classifier"
        )
    text = model_card(model, label_names, summary, origin)
    directory = Path(directory)
    check_replaceable(directory)
    directory.mkdir(parents=True, exist_ok=True)
    # safetensors wants plain memory order, and training prefers channels last.
    plain: Any = copy.deepcopy(model).cpu().to(memory_format=torch.contiguous_format)
    plain.pretrained_cfg = {key: v for key, v in plain.pretrained_cfg.items() if key not in _PUBLISHED_ONLY}
    if summary and (typical := summary.get("typical_videos", {}).get("labeled")):
        plain.pretrained_cfg["notes"] = {"typical_video": typical}  # a field of timm's, which former versions load
    with tempfile.TemporaryDirectory(dir=directory, prefix=".saving-") as written:
        try:
            save_for_hf(
                plain,
                written,
                model_config={"label_names": list(label_names)},
                model_args={"clip": model.clip},
                safe_serialization=True,
            )
        except SafetensorError as error:  # what comes of a full disk, among others
            raise OSError(errno.EIO, str(error), str(directory)) from error
        # timm repeats the number of classes among the arguments, and Transformers' AutoModel cannot take it twice.
        config = json.loads((config_file := Path(written, "config.json")).read_text(encoding="utf-8"))
        del config["model_args"]["num_classes"]
        config_file.write_text(json.dumps(config, indent=2), encoding="utf-8")
        try:
            create_model(written)
        except RuntimeError as error:
            reason = str(error).removeprefix(f"{written}: ")
            raise ValueError(
                f"this model would not load from what is saved ({reason}); save it as create_model makes it, before "
                "reparameterize() and the like"
            ) from error
        card = Path(written, "README.md")
        card.write_text(text, encoding="utf-8")
        shutil.copymode(card, Path(written, WEIGHTS))  # safetensors writes for the owner alone
        for name in FILES:
            os.replace(Path(written, name), directory / name)
    return directory


def check_replaceable(directory: Path) -> None:
    """Raise ValueError where a directory has files of the names that `save` writes, and they are not a model's."""
    config = directory / "config.json"
    try:
        holds_a_model = "architecture" in json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        holds_a_model = False
    if not holds_a_model and (there := [name for name in FILES if (directory / name).exists()]):
        raise ValueError(
            f"{directory / there[0]} is there already and not that of a model, which would replace it; give another "
            "folder, or delete it"
        )
