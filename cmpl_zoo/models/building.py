"""From a registered name to a network with its weights: what all families share."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from timm.models import (
    adapt_input_conv,
    build_model_with_cfg,
    load_model_config_from_hf,
    resolve_pretrained_cfg,
)
from timm.models._input import update_model_args
from torch import Tensor

from cmpl_zoo.models.config_json import checked, clip_settings
from cmpl_zoo.models.hub_errors import explained
from cmpl_zoo.models.pretrained import UNPUBLISHED, training, with_source
from cmpl_zoo.models.video_model import MODEL_ARGS, VideoModel

Network = TypeVar("Network", bound=VideoModel)


def build(
    model_cls: type[Network],
    variant: str,
    pretrained: bool,
    untrained: Mapping[str, Any],
    clips: Mapping[str, Mapping[str, Any]],
    filter_fn: Callable[[dict[str, Tensor], Any], dict[str, Tensor]],
    pretrained_cfg: Any = None,
    pretrained_cfg_overlay: dict[str, Any] | None = None,
    pretrained_model_args: dict[str, Any] | None = None,
    feature_cfg: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Network:
    """A network, or with `features_only` timm's wrapper of one.

    Args:
        model_cls: the class of the network.
        variant: its name in timm's registry.
        pretrained: load the weights of the configuration.
        untrained: the configuration of a network without weights, whatever weights its name has.
        clips: clip settings that differ from `DEFAULT_CLIP`, by `variant.tag`, or by `variant` for a network without
            weights.
        filter_fn: fits a checkpoint to a network; timm calls it.
        pretrained_cfg: as timm's `create_model` hands it on, also from a config.json.
        pretrained_cfg_overlay: what overrides entries of it.
        pretrained_model_args: arguments that the weights were saved with, from a config.json.
        feature_cfg: how timm wraps the network for `features_only`.
        **kwargs: arguments of the network and of timm's builder, `cache_dir` among them.

    Raises:
        RuntimeError: the weights cannot be had, are damaged or do not fit, or a config.json is not of this zoo.
        ValueError: an argument is out of range.
    """
    advice = ""
    check_arguments(kwargs)
    placement = {name: kwargs.pop(name) for name in ("device", "dtype") if name in kwargs}
    if isinstance(pretrained_cfg, dict) and (source := pretrained_cfg.get("source")):
        # From a config.json, which timm's own create_model hands on as it is.
        place = pretrained_cfg["hf_hub_id" if source == "hf-hub" else "file"]
        checked(place, pretrained_cfg, pretrained_model_args or {}, MODEL_ARGS)
        pretrained_cfg = {key: value for key, value in pretrained_cfg.items() if key not in ("architecture", "tag")}
    if not (pretrained or pretrained_cfg):  # the family's defaults, whatever weights the name has
        pretrained_cfg = dict(untrained)
    cfg = resolve_pretrained_cfg(variant, pretrained_cfg, pretrained_cfg_overlay)
    if cfg.tag in UNPUBLISHED and cfg.hf_hub_id and pretrained:
        # Whoever trained these weights recorded their classes and clips beside them.
        advice = f"; {training(variant, cfg.tag)}"
        with explained(cfg.hf_hub_id, advice):
            found, _, pretrained_model_args = load_model_config_from_hf(cfg.hf_hub_id, kwargs.get("cache_dir"))
        checked(cfg.hf_hub_id, found, pretrained_model_args, MODEL_ARGS)
        cfg = resolve_pretrained_cfg(variant, found | {"tag": cfg.tag}, pretrained_cfg_overlay)
        kwargs = pretrained_model_args | kwargs
    if pretrained:
        cfg = with_source(variant, cfg, kwargs.get("cache_dir"))
    else:  # class names are of the weights; whoever trains others may pass names of their own
        cfg = replace(cfg, label_names=(pretrained_cfg_overlay or {}).get("label_names"))
    name = f"{variant}.{cfg.tag}" if cfg.tag else variant
    weights_clip = (pretrained_model_args or {}).get("clip") or clips.get(name, {})
    kwargs["clip"] = clip_settings(kwargs.get("clip"), weights_clip)
    with explained(cfg.hf_hub_id or cfg.file or variant, advice):
        model = build_model_with_cfg(
            model_cls,
            variant,
            pretrained,
            pretrained_cfg=cfg.to_dict(),
            feature_cfg=feature_cfg,
            pretrained_filter_fn=filter_fn,
            pretrained_model_args=pretrained_model_args,
            **kwargs,
        )
    known = {key: value for key, value in model.pretrained_cfg.items() if key != "state_dict"}
    if pretrained and getattr(model, "num_classes", 0) != cfg.num_classes:  # names are of the weights' classifier
        known["label_names"] = (pretrained_cfg_overlay or {}).get("label_names")
    if isinstance(model, VideoModel):
        known |= of_channels(known, model.in_chans)
    model.pretrained_cfg = model.default_cfg = known  # timm has the configuration under two names
    if isinstance(model, VideoModel):  # what timm writes into a config.json beside what it has seen itself
        own = ("clip", "subtract_mean_frame", "normalize_clip")
        update_model_args(model, **{name: getattr(model, name) for name in own})
    return model.to(**placement)


# What people write for what is called otherwise here.
_OTHER_NAMES = dict.fromkeys(
    ("img_size", "input_size", "image_size", "crop_size"),
    "those that predict crops are pretrained_cfg_overlay={'input_size': (3, 224, 224)}; r3d networks take any size",
)
_OTHER_NAMES |= dict.fromkeys(
    ("num_frames", "frames", "clip_len", "stride", "sampling_rate", "fps"),
    "those that predict reads are clip={'frames': 8, 'stride': 8}; r3d networks take any number",
)
_OTHER_NAMES |= {
    "token": "log in with `hf auth login`, or set HF_TOKEN",
    "revision": "write it behind the name, hf-hub:ORG/NAME@REVISION",
}


def check_arguments(arguments: Mapping[str, Any]) -> None:
    """Raise TypeError for an argument that is called otherwise here, with what to write."""
    for name in arguments.keys() & _OTHER_NAMES.keys():
        raise TypeError(f"create_model takes no {name}: {_OTHER_NAMES[name]}")


def adapt_channels(kernel: Tensor, channels: int) -> Tensor:
    """A kernel (out, in, T, H, W) for other input channels: summed for one, else repeated and scaled, as timm does."""
    # timm adapts 2-D kernels only: frames and rows become one axis while it does.
    flat = adapt_input_conv(channels, kernel.flatten(2, 3), base_chans=kernel.shape[1])
    return flat.unflatten(2, kernel.shape[2:4])


def of_channels(cfg: Mapping[str, Any], channels: int) -> dict[str, Any]:
    """What changes in a configuration when weights that do not take three channels serve a network of another number.

    Mean and deviation become the average of those of the weights, unless they are given for that number. Those of RGB
    are left as they are, as timm leaves them.
    """
    own, *size = cfg["input_size"]
    if own in (3, channels):
        return {}
    fitted = {
        name: values if len(values := cfg[name]) == channels else [sum(values) / len(values)] * channels
        for name in ("mean", "std")
    }
    return fitted | {"input_size": (channels, *size)}


def fit_checkpoint(state_dict: dict[str, Tensor], model: VideoModel) -> dict[str, Tensor]:
    """Fit a checkpoint of the same architecture to `model`: its first convolution is adapted, all else must match.

    The check is needed because timm loads without strictness as soon as the number of classes differs or only
    features are asked for. The classifier is left to timm, which drops one of another size.

    Args:
        state_dict: it is not changed.
        model: the whole model, before timm wraps it for features.

    Returns:
        The state dict to load.

    Raises:
        RuntimeError: a key other than the classifier's is missing, unknown, or of another shape; or the classifier
            is not of the number of classes that the checkpoint's configuration says.
    """
    state_dict, wanted = dict(state_dict), model.state_dict()
    key = f"{model.first_conv}.weight"
    kernel, channels = state_dict.get(key), wanted[key].shape[1]
    if kernel is not None and kernel.ndim == 5 and kernel.shape[1] == model.pretrained_cfg["input_size"][0] != channels:
        state_dict[key] = adapt_channels(kernel, channels)

    # timm drops a classifier of another number of classes than the checkpoint's configuration says.
    kept = model.num_classes == model.pretrained_cfg["num_classes"]
    body = {key for key in wanted if kept or not key.startswith("fc.")}
    given = {key for key in state_dict if kept or not key.startswith("fc.")}
    missing, unknown, shared = body - given, given - body, body & given
    problems = {
        "missing": [key for key in wanted if key in missing],
        "of another shape": [key for key in wanted if key in shared and state_dict[key].shape != wanted[key].shape],
        "unknown": [key for key in state_dict if key in unknown],
    }
    found = [f"{len(keys)} {what} ({', '.join(keys[:3])})" for what, keys in problems.items() if keys]
    if found:
        cfg = model.pretrained_cfg
        downloaded = cfg.get("url") and cfg.get("file")
        advice = "delete it and download it again" if downloaded else "create the model that they were saved from"
        raise RuntimeError(
            f"{cfg.get('file') or cfg.get('hf_hub_id') or 'checkpoint'}: the weights do not fit {cfg['architecture']}, "
            f"keys: {'; '.join(found)}; {advice}"
        )
    return state_dict
