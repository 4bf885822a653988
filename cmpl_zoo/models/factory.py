"""Models by name, by directory, or from the Hugging Face Hub."""

import difflib
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, overload

import timm
from huggingface_hub import constants
from huggingface_hub.utils import validate_repo_id
from timm.models import load_model_config_from_hf
from timm.models._hub import load_model_config_from_path
from torch import nn

from cmpl_zoo.models import r3d, torchvision_video
from cmpl_zoo.models.building import check_arguments
from cmpl_zoo.models.checkpoints import load_checkpoint
from cmpl_zoo.models.config_json import checked
from cmpl_zoo.models.hub_errors import explained
from cmpl_zoo.models.pretrained import WEIGHTS
from cmpl_zoo.models.video_model import MODEL_ARGS, VideoModel

_MODULES = [family.__name__.rsplit(".", 1)[-1] for family in (r3d, torchvision_video)]
# The paper's primary network with 60 labels a class, under the name that the project promised torch.hub.
_ALIASES = {"r3d50_cmpl_k400": "r3d50.cmpl_k400_10pct"}


def list_models(filter: str = "", pretrained: bool = False, exclude_filters: str | Sequence[str] = "") -> list[str]:
    """Names of the zoo's models, sorted.

    Args:
        filter: shell-style wildcard such as `"*quarter*"`; everything by default.
        pretrained: only names that have weights, with their tags.
        exclude_filters: wildcards of names to leave out.
    """
    return timm.list_models(filter, module=_MODULES, pretrained=pretrained, exclude_filters=exclude_filters)


def list_tags() -> list[str]:
    """Names of weights, `ARCHITECTURE.TAG`, sorted; also of those that are not published yet."""
    return sorted(name for name in _tagged() if not name.endswith(".untrained"))


def _tagged() -> list[str]:
    """Every `ARCHITECTURE.TAG` that timm knows of, `untrained` too, where there are no weights."""
    default_cfgs = r3d.default_cfgs | torchvision_video.default_cfgs
    return [f"{name}.{tag}" for name, cfg in default_cfgs.items() for tag in cfg.tags]


def hubconf_names() -> dict[str, str]:
    """Every architecture and every name of weights by the name of its entry point in hubconf.py."""
    return {name.replace(".", "_"): name for name in list_models() + list_tags()} | _ALIASES


def registered(name: str) -> str | None:
    """The name by which timm knows a name of this zoo, also one of hubconf.py; None for any other."""
    name = hubconf_names().get(name, name)
    return name if name in list_models() or name in _tagged() else None


@overload
def create_model(
    model_name: str | os.PathLike[str], pretrained: bool | None = None, *, features_only: Literal[True], **kwargs: Any
) -> nn.Module: ...


@overload
def create_model(
    model_name: str | os.PathLike[str],
    pretrained: bool | None = None,
    *,
    num_classes: int | None = None,
    in_chans: int | None = None,
    drop_rate: float | None = None,
    global_pool: str | None = None,
    checkpoint_path: str | os.PathLike[str] | None = None,
    features_only: Literal[False] | None = None,
    **kwargs: Any,
) -> VideoModel: ...


def create_model(
    model_name: str | os.PathLike[str],
    pretrained: bool | None = None,
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

    An untrained network has 400 classes and is made for clips of 8 frames, stride 8, of 224 x 224 pixels, tested on
    10 x 3 views, whatever weights its name has; one of torchvision's (`tv_*`) for the clips of torchvision's weights.
    With weights these settings are those of the weights; a name with a tag gives the settings of that tag without its
    weights, too.

    Args:
        model_name: a name of `list_models()`, with a tag of its weights or without, also with an underscore before
            the tag, as in hubconf.py; the path of a model directory (config.json and model.safetensors) or of one of
            these two files, which loads its weights; or `hf-hub:ORG/NAME`, `hf-hub:ORG/NAME@REVISION` and
            `local-dir:PATH`, as timm has them; or the address of a repository of the Hub. A registered name wins over
            a directory of that name.
        pretrained: load the weights of that name; without a tag, the best ones to start from. By default, as in timm,
            no weights are loaded, but those of a model directory that is given by its path.
        num_classes: size of the classifier; 0 for none. By default that of the weights, or 400 where none are loaded.
            A classifier of another size than that of the weights starts from random values.
        in_chans: input channels; a pretrained stem is adapted.
        drop_rate: dropout before the classifier, 0 by default (the full-size recipes have the 0.5 that the paper
            probably trains with).
        global_pool: `avg`, `max`, or `""` for none.
        checkpoint_path: a file with weights to load at the end: a state dict of this network, alone or as Lightning,
            timm, DistributedDataParallel or an average of weights saves it.
        features_only: return the feature maps of the stages `out_indices` instead of logits.
        out_indices: which feature maps: 0 is the stem, 1 to 4 are res2 to res5.
        **kwargs: further arguments of `timm.create_model` and of the model, such as `clip`, `cache_dir`, `exportable`,
            `device` and `dtype`.

    Returns:
        A model for input of shape (batch, channels, frames, height, width).

    Raises:
        ValueError: there is no such model.
        TypeError: an argument that there is not, or `pretrained` is none of True, False and None.
        FileNotFoundError: the directory lacks config.json or model.safetensors, or there is no `checkpoint_path`.
        RuntimeError: the weights are not available, are damaged, or do not fit the model, or a config.json is not
            one of this zoo's; the message says which, and what to do.
    """
    if not (pretrained is None or isinstance(pretrained, bool)):
        raise TypeError(
            f"pretrained is {pretrained!r}; it must be True or False, and a number of classes is given as num_classes="
        )
    check_arguments(kwargs)
    name = os.fspath(model_name)
    options = {
        "num_classes": num_classes,
        "in_chans": in_chans,
        "drop_rate": drop_rate,
        "global_pool": global_pool,
        "features_only": features_only,
        "out_indices": out_indices,
        **kwargs,
    }
    options = {key: value for key, value in options.items() if value is not None}
    file = os.path.expanduser(checkpoint_path or "")
    if file and not Path(file).is_file():
        raise FileNotFoundError(f"{file}: there is no such file of weights; check checkpoint_path")
    model = _from_name(name, pretrained, options)
    if file:
        load_checkpoint(model, file)
    return model


def _from_name(name: str, pretrained: bool | None, options: dict[str, Any]) -> nn.Module:
    """The model of a name, of a directory, or of a repository of the Hub."""
    name = _hub_name(name)
    source, _, place = name.partition(":")
    if source == "hf-hub":
        return _from_config(source, place, bool(pretrained), options)
    if source == "local-dir":
        return _from_config(source, os.path.expanduser(place), bool(pretrained), options)
    if known := registered(name):
        return timm.create_model(known, pretrained=bool(pretrained), **options)
    path = Path(os.path.expanduser(name))
    if path.name in (WEIGHTS, "config.json") and path.is_file():
        path = path.parent
    if name and path.is_dir():
        return _from_config("local-dir", str(path), pretrained is not False, options)
    if path.is_file():
        hint = f"it is a file: if it holds weights, create_model(ARCHITECTURE, checkpoint_path={name!r}) loads them"
    elif "://" in name:
        hint = "of the Hugging Face Hub give hf-hub:ORG/NAME, and of other addresses download the model directory"
    elif re.fullmatch(r"\w[\w.-]*/\w[\w.-]*(@[^/]+)?", name):
        hint = f"check the path, or for a repository of the Hugging Face Hub give hf-hub:{name}"
    elif "/" in name:
        hint = "check the path"
    elif close := difflib.get_close_matches(name, list_models() + list_models(pretrained=True), n=3, cutoff=0.4):
        hint = f"did you mean {' or '.join(close)}?"
    else:
        hint = "`cmpl-zoo list` and cmpl_zoo.list_models() list them"
    raise ValueError(f"{name!r} is neither a model of this zoo nor a model directory; {hint}")


def _hub_name(name: str) -> str:
    """`hf-hub:ORG/NAME@REVISION` for the other ways to write it: timm's former `hf_hub:`, and an address of the Hub."""
    name = re.sub("^hf_hub:", "hf-hub:", name)
    hosts = "|".join(map(re.escape, ("https://huggingface.co", "https://hf.co", "hf:/", constants.ENDPOINT)))
    address = re.fullmatch(rf"(?:{hosts})/([^/@]+/[^/@]+?)(?:/(?:tree|blob|resolve)/([^/]+).*|(@[^/]+))?/?", name)
    if not address:
        return name
    repository, branch, revision = address.groups()
    return f"hf-hub:{repository}" + (f"@{branch}" if branch else revision or "")


def _from_config(source: str, place: str, pretrained: bool, options: dict[str, Any]) -> nn.Module:
    """The model that a config.json describes."""
    if source == "local-dir":
        for file in ("config.json", WEIGHTS):
            if not Path(place, file).is_file():
                runs = [folder for folder in (Path(place), Path(place).parent) if (folder / "primary" / file).is_file()]
                hint = f"the network of this run is in {runs[0] / 'primary'}" if runs else "give a model directory"
                raise FileNotFoundError(f"{place}: no model in this folder, {file} is missing; {hint}")
    try:
        with explained(place):
            if source == "hf-hub":
                validate_repo_id(place.partition("@")[0])
                cfg, architecture, model_args = load_model_config_from_hf(place, options.get("cache_dir"))
            else:
                cfg, architecture, model_args = load_model_config_from_path(place)
    except json.JSONDecodeError as error:
        raise RuntimeError(f"{place}: config.json is no JSON ({error}); save or download it again") from error
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError, RecursionError) as error:
        what = f"{type(error).__name__}: {error}"
        raise RuntimeError(f"{place}: config.json is not of timm's form ({what}); save the model again") from error
    if architecture not in list_models():
        raise RuntimeError(
            f"{place}: config.json: architecture is {architecture!r}, no model of this zoo; load it with timm"
        )
    checked(place, cfg, model_args, MODEL_ARGS)
    return timm.create_model(
        architecture, pretrained, pretrained_cfg=cfg, pretrained_model_args=model_args, **model_args | options
    )
