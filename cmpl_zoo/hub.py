"""Model directories in timm's format: config.json, model.safetensors and README.md as a model card."""

import copy
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from timm.models import save_for_hf
from torch import nn

# Paths on the machine of whoever trained: of no use to a reader, and nobody's business.
PRIVATE_OPTIONS = {"labeled", "unlabeled", "val", "root", "unlabeled_root", "classes", "output"}


def save(
    model: nn.Module,
    directory: str | os.PathLike[str],
    label_names: Sequence[str],
    summary: dict[str, Any] | None = None,
) -> Path:
    """Write a model directory that `create_model(directory)` and timm's `local-dir:` load.

    Class names and clip settings travel in config.json. Files are written beside and moved into place one by
    one, so that no reader meets a half-written one.

    Args:
        model: a model of this zoo.
        directory: created where missing; a model in it is replaced.
        label_names: class names by class id.
        summary: how the model was trained, as train/cmpl.py reports it; told in the model card.

    Returns:
        The directory.

    Raises:
        ValueError: the number of names is not the number of classes.
    """
    if len(label_names) != model.num_classes:
        raise ValueError(f"{len(label_names)} label names for a model of {model.num_classes} classes; give one each")
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    # safetensors wants plain memory order, and training prefers channels last.
    plain = copy.deepcopy(model).cpu().to(memory_format=torch.contiguous_format)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".saving-") as written:
        save_for_hf(
            plain,
            written,
            model_config={"label_names": list(label_names)},
            model_args={"clip": model.clip},
            safe_serialization=True,
        )
        Path(written, "README.md").write_text(model_card(model, label_names, summary), encoding="utf-8")
        for name in ("model.safetensors", "README.md", "config.json"):
            os.replace(Path(written, name), directory / name)
    return directory


def model_card(model: nn.Module, label_names: Sequence[str], summary: dict[str, Any] | None = None) -> str:
    """The text of a model card, with the metadata that the Hugging Face Hub reads.

    Args:
        model: the model; its architecture and clip settings are told.
        label_names: class names by class id.
        summary: what train/cmpl.py reports; without it the card says that the training is unrecorded.
    """
    cfg: dict[str, Any] = model.pretrained_cfg  # type: ignore[assignment]
    clip: dict[str, int] = model.clip  # type: ignore[assignment]
    size = "x".join(map(str, cfg["input_size"][1:]))
    parameters = sum(p.numel() for p in model.parameters())
    lines = [
        "---",
        "library_name: timm",
        "pipeline_tag: video-classification",
        "tags: [video-classification, timm, cmpl_zoo]",
        "---",
        f"# {cfg['architecture']}, {len(label_names)} classes",
        "",
        f"{parameters:,} parameters. Input: {clip['frames']} frames, {clip['stride']} frames of the video apart, "
        f"{size} pixels. Test views: {clip['clips']} clips x {clip['crops']} crops.",
        "",
        "```python",
        "import cmpl_zoo",
        "from cmpl_zoo.predict import predict",
        "",
        "model = cmpl_zoo.create_model('PATH_OF_THIS_FOLDER').eval()",
        "print(predict(model, 'video.mp4'))",
        "```",
        "",
        "## Training",
        "",
        *(_training(summary) if summary else ["How this model was trained is not recorded."]),
        "",
        "## Classes",
        "",
        ", ".join(label_names),
    ]
    return "\n".join(lines) + "\n"


def _training(summary: dict[str, Any]) -> list[str]:
    """The lines of the card that a run's summary fills."""
    config = summary["config"]
    lines = [
        f"Trained by `train/cmpl.py` as the {summary['role']} network, scheme `{config['scheme']}`, to step "
        f"{summary['step']} of {config['steps']}, on {summary['labeled_videos']} labeled and "
        f"{summary['unlabeled_videos']} unlabeled videos, seed {config['seed']}, by cmpl_zoo {summary['version']}.",
    ]
    if validation := summary.get("validation"):
        lines += [
            "",
            f"Top-1 {validation['video_top1']:.2f} %, top-5 {validation['video_top5']:.2f} % on the "
            f"{validation['videos']} videos of {Path(validation['list']).name} "
            f"({validation['clips']} clips x {validation['crops']} crops, softmax averaged).",
        ]
    options = {key: value for key, value in config.items() if value is not None and key not in PRIVATE_OPTIONS}
    lines += [
        "",
        "| option | value |",
        "|---|---|",
        *(f"| {key} | `{value}` |" for key, value in options.items()),
    ]
    return lines
