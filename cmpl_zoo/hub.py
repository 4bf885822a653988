"""Model directories in timm's format, config.json and model.safetensors, and their way to the Hugging Face Hub."""

import copy
import errno
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

from cmpl_zoo._version import __version__
from cmpl_zoo.card import PLACE, model_card
from cmpl_zoo.models import create_model
from cmpl_zoo.models.config_json import check_label_names
from cmpl_zoo.models.hub_errors import explained
from cmpl_zoo.models.pretrained import WEIGHTS
from cmpl_zoo.models.r3d import R3D
from cmpl_zoo.predict import label_names

FILES = (WEIGHTS, "README.md", "config.json")
# What a configuration says of the weights that belong to its name, which these are not.
_OF_OTHER_WEIGHTS = {"tag", "label_names", "label_descriptions", "license", "description", "origin_url", "notes"}
_OF_OTHER_WEIGHTS |= {"paper_name", "paper_ids"}


def save(
    model: nn.Module,
    directory: str | os.PathLike[str],
    label_names: Sequence[str],
    summary: dict[str, Any] | None = None,
    origin: str | None = None,
) -> Path:
    """Write a model directory that `create_model(directory)` and timm's `local-dir:` load.

    Class names and clip settings travel in config.json. Files are written beside and moved into place one by
    one, so that no reader meets a half-written one.

    Args:
        model: a model of this zoo, also within `torch.compile` or `DistributedDataParallel`.
        directory: created where missing; a model in it is replaced.
        label_names: class names by class id.
        summary: how the model was trained, as train/cmpl.py reports it; told in the model card.
        origin: the same in words, for weights that train/cmpl.py did not make.

    Returns:
        The directory.

    Raises:
        ValueError: the number of names is not the number of classes, or one has control characters; the model is not a
            whole one of this zoo, as one is not whose batch norm is folded: what is written is loaded before it counts.
        OSError: the directory cannot be written, as on a full disk.
    """
    model = unwrap_model(model)
    if not isinstance(model, R3D):
        raise ValueError(f"{type(model).__name__} is not a model that create_model makes; save such a one")
    check_label_names(label_names, model.num_classes)
    text = model_card(model, label_names, summary, origin)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    # safetensors wants plain memory order, and training prefers channels last.
    plain: Any = copy.deepcopy(model).cpu().to(memory_format=torch.contiguous_format)
    plain.pretrained_cfg = {key: v for key, v in plain.pretrained_cfg.items() if key not in _OF_OTHER_WEIGHTS}
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


def push(directory: str | os.PathLike[str], repository: str, *, private: bool = False, dry_run: bool = False) -> str:
    """Publish a model directory on the Hugging Face Hub, in one commit, where every way in loads it.

    The directory is loaded first, so that nothing is published that does not load. A repository that is not there is
    made. Its README.md becomes the model card; one without gets a card that says its training is unrecorded.

    Args:
        directory: as `save` and train/cmpl.py write it.
        repository: `ORG/NAME`.
        private: only those with the right to it see the repository.
        dry_run: check everything here, and ask the Hub nothing.

    Returns:
        The address of the commit; of the repository where it is a dry run.

    Raises:
        FileNotFoundError, RuntimeError: the directory holds no model of this zoo, or the Hub refuses, and why; nothing
            is published then.
    """
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import validate_repo_id

    model = create_model(f"local-dir:{os.fspath(directory)}", pretrained=True)
    with explained(repository):
        validate_repo_id(repository)
    if "/" not in repository:
        raise RuntimeError(f"{repository}: this is no name of a repository; give it as ORG/NAME")
    card = Path(directory, "README.md")
    text = card.read_text(encoding="utf-8") if card.is_file() else model_card(model, label_names(model))
    operations = [CommitOperationAdd(name, Path(directory, name)) for name in FILES if name != "README.md"]
    operations.append(CommitOperationAdd("README.md", text.replace(PLACE, f"hf-hub:{repository}").encode()))
    api = HfApi(library_name="cmpl_zoo", library_version=__version__)
    if dry_run:
        return f"{api.endpoint}/{repository}"
    message = f"{model.pretrained_cfg['architecture']} by cmpl_zoo {__version__}"  # type: ignore[index]
    with explained(repository, "; nothing was published"):
        made = not api.repo_exists(repository)
        api.create_repo(repository, private=private, exist_ok=True)
        try:
            if private and not made and not api.model_info(repository).private:
                raise RuntimeError(f"{repository}: this repository is public already; take another name")
            return str(api.create_commit(repository, operations, commit_message=message).commit_url)
        except Exception as error:
            if made:  # by this very call, and empty
                api.delete_repo(repository, missing_ok=True)
            if isinstance(error, ValueError) and not isinstance(error, HfHubHTTPError):  # metadata that the Hub refuses
                reason = " ".join(str(error).split())
                raise RuntimeError(f"{repository}: {reason} (README.md); nothing was published") from error
            raise
