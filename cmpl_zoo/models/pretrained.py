"""Where pretrained weights come from, and what is refused."""

import os
from dataclasses import replace
from pathlib import Path

from timm.models import PretrainedCfg

from cmpl_zoo.models.download import download
from cmpl_zoo.models.slow_only import SLOW_R50_URL, read_slow_only

WEIGHTS = "model.safetensors"

# What the paper trained, with the number of classes; nobody has published them yet. The first is the best one.
UNPUBLISHED = {
    "cmpl_k400_10pct": 400,
    "cmpl_k400_1pct": 400,
    "cmpl_ucf101_k400": 101,
    "cmpl_ucf101_10pct": 101,
    "cmpl_ucf101_1pct": 101,
}


def hub_id(name: str) -> str | None:
    """The place on the Hugging Face Hub of weights that are not published yet: none, so that no stranger can put
    weights under their name, unless CMPL_ZOO_ORG names the organization that holds them."""
    organization = os.environ.get("CMPL_ZOO_ORG")
    return f"{organization}/{name}" if organization else None


def with_source(name: str, cfg: PretrainedCfg, cache_dir: str | os.PathLike[str] | None = None) -> PretrainedCfg:
    """The configuration to load weights with, and the file of weights from a public address downloaded.

    From directories and the Hub safetensors only, since unpickling a file can run a stranger's code. The files behind
    the addresses of this zoo are pickles, of which torch takes nothing but tensors.

    Args:
        name: of the architecture.
        cfg: as timm resolved it.
        cache_dir: where a download is kept; see `download`.

    Raises:
        RuntimeError: there are no weights of that name, the directory has none, or they cannot be downloaded.
    """
    if cfg.source == "local-dir":
        if not Path(str(cfg.file), WEIGHTS).is_file():
            raise RuntimeError(f"{cfg.file}: no {WEIGHTS} in this folder; only safetensors weights are loaded")
    elif not (cfg.has_weights or cfg.state_dict):
        raise RuntimeError(missing(name, cfg.tag))
    elif cfg.url and not (cfg.state_dict or cfg.file or cfg.hf_hub_id):
        cfg = _downloaded(cfg, cache_dir)
    # What a config.json says of these is not followed: a pickle, a loader of its own, or layers that timm then leaves
    # out when it loads.
    return replace(
        cfg,
        hf_hub_filename=WEIGHTS if cfg.hf_hub_id else None,
        custom_load=False,
        classifier="fc",
        label_offset=None,
        first_conv=None,
        fixed_input_size=False,
    )


def _downloaded(cfg: PretrainedCfg, cache_dir: str | os.PathLike[str] | None) -> PretrainedCfg:
    """The configuration with the file behind its address, or with the weights in it by our names."""
    file = download(str(cfg.url), cache_dir=cache_dir)
    if cfg.url != SLOW_R50_URL:
        return replace(cfg, file=str(file))
    try:
        return replace(cfg, file=str(file), state_dict=read_slow_only(file)[0])
    except ValueError as error:
        raise RuntimeError(f"{error}; delete it, and the next call downloads it") from error


def missing(name: str, tag: str | None) -> str:
    """Why an architecture has no weights of a tag, and what to do."""
    if tag not in UNPUBLISHED:
        return (
            f"{name} has no pretrained weights; take a name that `cmpl-zoo list` shows with some, as "
            "cmpl_zoo.list_models(pretrained=True) does, or, to train it, pretrained=False"
        )
    return f"the weights {name}.{tag} are not published yet; {training(name, tag)}"


def training(name: str, tag: str) -> str:
    """How to get weights that nobody has published."""
    return (
        f"train them with `cmpl-zoo train --config {tag.removeprefix('cmpl_')}` and your lists "
        f"(model_cards/{name}.{tag}.md), or pass pretrained=False"
    )
