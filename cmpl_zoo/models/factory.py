"""Models by name, by directory, or from the Hugging Face Hub."""

import difflib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import timm
from safetensors import SafetensorError
from torch import nn

from cmpl_zoo.models import r3d

_MODULE = r3d.__name__.rsplit(".", 1)[-1]


def list_models(pattern: str = "", pretrained: bool = False) -> list[str]:
    """Names of the zoo's models, sorted.

    Args:
        pattern: shell-style wildcard such as `"*quarter*"`; everything by default.
        pretrained: only names that have weights, with their tags.
    """
    return timm.list_models(pattern, module=_MODULE, pretrained=pretrained)


def create_model(
    model_name: str | os.PathLike[str],
    pretrained: bool = False,
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    drop_rate: float | None = None,
    global_pool: str | None = None,
    checkpoint_path: str | os.PathLike[str] | None = None,
    features_only: bool | None = None,
    out_indices: Sequence[int] | None = None,
    **kwargs: Any,
) -> nn.Module:
    """Make a model, as `timm.create_model` does.

    Args:
        model_name: a name of `list_models()`; the path of a model directory (config.json and model.safetensors),
            which loads its weights; or `hf-hub:ORG/NAME` and `local-dir:PATH`, as timm has them. A registered name
            wins over a directory of that name.
        pretrained: load the weights that belong to the name.
        num_classes: size of the classifier; 0 for none. With weights of another size it starts afresh.
        in_chans: input channels; a pretrained stem is adapted.
        drop_rate: dropout before the classifier, 0 by default (the paper trains with 0.5).
        global_pool: `avg`, `max`, or `""` for none.
        checkpoint_path: a file of weights to load afterwards.
        features_only: return the feature maps of the stages `out_indices` instead of logits.
        out_indices: which feature maps: 0 is the stem, 1 to 4 are res2 to res5.
        **kwargs: what else `timm.create_model` and the model take, such as `clip`.

    Returns:
        A model for input of shape (batch, channels, frames, height, width).

    Raises:
        ValueError: there is no such model.
        FileNotFoundError: the directory lacks config.json or model.safetensors.
        RuntimeError: the weights do not fit the model, or there are none.
    """
    name = os.fspath(model_name)
    options = {
        "num_classes": num_classes,
        "in_chans": in_chans,
        "drop_rate": drop_rate,
        "global_pool": global_pool,
        "checkpoint_path": checkpoint_path and os.fspath(checkpoint_path),
        "features_only": features_only,
        "out_indices": out_indices,
        **kwargs,
    }
    options = {key: value for key, value in options.items() if value is not None}
    if name.startswith(("hf-hub:", "local-dir:")):
        return timm.create_model(name, pretrained=pretrained, **options)
    if name.partition(".")[0] in list_models():
        return timm.create_model(name, pretrained=pretrained, **options)
    if Path(name).is_dir():
        return _from_directory(name, options)
    close = difflib.get_close_matches(name, list_models(), n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(close)}?" if close else "cmpl_zoo.list_models() lists them"
    raise ValueError(f"{name!r} is neither a model of this zoo nor a model directory; {hint}")


def _from_directory(directory: str, options: dict[str, Any]) -> nn.Module:
    """The model of a directory with its weights; clip settings that are not given stay as they were saved."""
    for file in ("config.json", "model.safetensors"):
        if not Path(directory, file).is_file():
            raise FileNotFoundError(f"{directory}: no model in this folder, {file} is missing; give a model directory")
    try:
        if "clip" in options:
            config = json.loads(Path(directory, "config.json").read_text())
            options["clip"] = config["model_args"]["clip"] | options["clip"]
        return timm.create_model(f"local-dir:{directory}", pretrained=True, **options)
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise RuntimeError(
            f"{directory}: no model of this zoo, or a damaged one ({type(error).__name__}: {error}); save or download "
            "it again"
        ) from error
