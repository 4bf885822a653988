"""What there is to know of a name before it is chosen: size, cost, input, classes, source, accuracy."""

from dataclasses import dataclass

import torch
from timm.models import get_pretrained_cfg
from torch.utils.flop_counter import FlopCounterMode

from cmpl_zoo.models.config_json import clip_text
from cmpl_zoo.models.factory import create_model, list_models
from cmpl_zoo.models.torchvision_video import ENTRIES
from cmpl_zoo.models.video_model import VideoModel

# As published or measured elsewhere, with who says so: top-1 in %, and the size of the file in MB.
_ACCURACY = {
    "r3d50.slow_k400": "74.58 % of Kinetics-400, 10 x 3 views of 256 pixels (PyTorchVideo's model zoo)",
    "r3d50_eighth.cmpl_demo": "97.1 % of 104 rendered videos of other actors, 2 x 1 views (measured here, best of "
    "three seeds)",
}
_MEGABYTES = {"r3d50.slow_k400": 130, "r3d50.in1k": 102, "r3d50_eighth.cmpl_demo": 1}


@dataclass(frozen=True)
class Facts:
    """Of a network, or of one with the weights of its tag.

    Attributes:
        name: architecture, with the tag of its weights if it has any.
        parameters: their number.
        clip: the frames of a clip, in words.
        frames: of a clip.
        size: height and width of a clip, in pixels.
        views: test views, clips x crops.
        classes: their number.
        license: of the weights, "" where none is stated.
        source: where the weights come from, "" for a network without.
        accuracy: top-1 with its protocol and who says so, "" where nobody does.
        megabytes: of the file of weights, None where there is none or nobody says.
    """

    name: str
    parameters: int
    clip: str
    frames: int
    size: tuple[int, int]
    views: str
    classes: int
    license: str
    source: str
    accuracy: str
    megabytes: int | None


def catalog() -> list[str]:
    """Every name that can be loaded with weights, and every network that has none, sorted."""
    with_weights = list_models(pretrained=True)
    architectures = {name.partition(".")[0] for name in with_weights}
    return sorted({*with_weights, *list_models()} - architectures)


def with_tag(name: str) -> str:
    """A name with the tag of the weights that it stands for; whatever stands for none, as it is."""
    default = get_pretrained_cfg(name, allow_unregistered=True)
    tagged = f"{name}.{default.tag if default else None}"
    return tagged if tagged in list_models(pretrained=True) else name


def facts(name: str) -> Facts:
    """Of a registered name, without its weights; nothing is downloaded.

    Raises:
        ValueError: there is no such name.
    """
    model = _build(name)
    tagged = "." in name
    cfg, clip = model.pretrained_cfg, model.clip
    accuracy, megabytes = _ACCURACY.get(name, ""), _MEGABYTES.get(name)
    if name in ENTRIES:
        meta = ENTRIES[name][0].meta
        top1 = meta["_metrics"]["Kinetics-400"]["acc@1"]
        accuracy = f"{top1:.2f} % of Kinetics-400, {clip['clips']} x 1 views (torchvision)"
        megabytes = round(meta["_file_size"] * 2**20 / 1e6)
    source = cfg.get("url") or cfg.get("hf_hub_id") or ("in the package" if cfg.get("file") else "")
    return Facts(
        name,
        sum(parameter.numel() for parameter in model.parameters()),
        clip_text(clip),
        clip["frames"],
        cfg["input_size"][1:],
        f"{clip['clips']} x {clip['crops']}",
        model.num_classes,
        (cfg.get("license") or "") if tagged else "",
        source if tagged else "",
        accuracy,
        megabytes,
    )


def gmac(name: str) -> float:
    """Billions of multiply-adds of a clip of the network's own size, by torch's FlopCounterMode, halved."""
    model = _build(name).eval()
    with torch.device("meta"), FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.zeros(1, 3, model.clip["frames"], *model.pretrained_cfg["input_size"][1:]))
    return counter.get_total_flops() / 2e9


def _build(name: str) -> VideoModel:
    with torch.device("meta"):
        return create_model(name)
