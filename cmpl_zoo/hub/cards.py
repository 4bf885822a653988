"""Model cards: what a model is, how it was trained and what was measured, with metadata that the Hub reads."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from cmpl_zoo._files import replace_text, without_folders
from cmpl_zoo.models import VideoModel
from cmpl_zoo.models.config_json import clip_text
from cmpl_zoo.records import Scores, Summary, video_tops, views_text
from cmpl_zoo_cli.spelling import starting_words

# Paths on the machine of whoever trained: of no use to a reader, and nobody's business.
PRIVATE_OPTIONS = {"labeled", "unlabeled", "val", "root", "unlabeled_root", "val_root", "classes", "output"}
# In a card, where the model is loaded from, until it is published.
PLACE = "PATH_OF_THIS_FOLDER"
_VIEWS = ", softmax averaged |"  # ends a row of the table of accuracies


def model_card(
    model: VideoModel, label_names: Sequence[str], summary: Summary | None = None, origin: str | None = None
) -> str:
    """The text of a model card, with the metadata that the Hugging Face Hub reads.

    Args:
        model: the card shows its architecture and clip settings.
        label_names: class names by class id.
        summary: what `cmpl_zoo.training` reports, with the network's `role` where it is not the primary one; without
            it and `origin` the card says that the training is unrecorded.
        origin: the training in words, instead of those that are made of the summary.
    """
    cfg, clip = model.pretrained_cfg, model.clip
    size = " x ".join(map(str, cfg["input_size"][1:]))
    parameters = sum(p.numel() for p in model.parameters())
    title = f"{cfg['architecture']}, " + (f"{len(label_names)} classes" if label_names else "without a classifier")
    training = [origin or "How this model was trained is not recorded."]
    if summary and not origin:
        training = _training(summary)
    lines = [
        "---",
        _metadata(title, summary).to_yaml(),
        "---",
        f"# {title}",
        "",
        f"{parameters:,} parameters. Input: {clip_text(clip)}, {size} pixels. "
        f"Test views: {clip['clips']} x {clip['crops']} (clips x crops).",
        "",
        "```python",
        "import cmpl_zoo",
        "",
        *_use(model, label_names),
        "```",
        "",
        "## Training",
        "",
        *training,
        "",
        *(_evaluation(summary) if summary and summary["validation"] else []),
        "## Limits",
        "",
        *_limits(label_names),
        "",
        _license(summary),
        *(["", "## Classes", "", ", ".join(map(_code, label_names))] if label_names else []),
    ]
    return "\n".join(lines) + "\n"


def _use(model: VideoModel, label_names: Sequence[str]) -> list[str]:
    """Lines of code that use the model."""
    if label_names:
        return [
            f'model = cmpl_zoo.create_model("{PLACE}", pretrained=True).eval()',
            'print(cmpl_zoo.predict(model, "video.mp4"))',
        ]
    seen = {"subtract_mean_frame": model.subtract_mean_frame, "normalize_clip": model.normalize_clip}
    words = starting_words(model.pretrained_cfg["architecture"], PLACE, **seen)
    return [
        f'model = cmpl_zoo.create_model("{PLACE}", pretrained=True, num_classes=10)  # a classifier to be trained',
        f"# cmpl-zoo train VIDEOS -o DIR {' '.join(words)}",
    ]


def _limits(label_names: Sequence[str]) -> list[str]:
    """What the model does not know."""
    if label_names:
        return [
            "It knows the classes below and no others, and names one of them for any video. What it does on videos "
            "unlike those of its training is not measured."
        ]
    return ["It knows no classes: it is a start for training, and how good a one is not measured here."]


def add_scores(directory: str | os.PathLike[str], scores: Scores, list_name: str) -> None:
    """Add measured accuracies to the card of a model directory; they replace a former measurement by the same protocol.

    Args:
        directory: holds README.md, a card of `model_card`.
        scores: as `cmpl_zoo.evaluate` returns them.
        list_name: the list of the videos they were measured on.

    Raises:
        FileNotFoundError: there is no such card.
    """
    file = Path(directory, "README.md")
    card = ModelCard(file.read_text(encoding="utf-8"), ignore_metadata_errors=True)
    data: Any = card.data  # huggingface_hub's type has no fields
    results = _results(scores, list_name, (data.datasets or [None])[0])
    former = [old for old in data.eval_results or [] if not any(old.is_equal_except_value(new) for new in results)]
    data.metrics, data.eval_results = ["accuracy"], former + results

    row, lines = _row("this one", scores, list_name), card.text.split("\n")
    rows = [number for number, line in enumerate(lines) if line.endswith(_VIEWS)]
    same = [
        number
        for number in rows
        if "this one" in lines[number] and lines[number].endswith(_protocol(scores, list_name))
    ]
    if same:
        lines[same[0]] = row
    elif rows:
        lines.insert(rows[-1] + 1, row)
    else:
        place = lines.index("## Limits") if "## Limits" in lines else len(lines)
        lines[place:place] = ["## Evaluation", "", *_head(scores), row, ""]
    card.text = "\n".join(lines)
    replace_text(file, str(card))


def _metadata(title: str, summary: Summary | None) -> ModelCardData:
    """The card's head; results only where a run measured them."""
    config = summary["config"] if summary else {}
    scores = summary["validation"].get(summary.get("role", "primary")) if summary else None
    dataset = config.get("dataset")
    results = _results(scores, scores["list"], dataset) if scores else None
    return ModelCardData(
        library_name="cmpl_zoo",
        pipeline_tag="video-classification",
        license=config.get("license"),
        datasets=[dataset] if dataset else None,
        metrics=["accuracy"] if results else None,
        tags=["video-classification", "timm", "cmpl_zoo"],
        model_name=title,
        eval_results=results,
    )


def _results(scores: Scores, list_name: str, dataset: str | None) -> list[EvalResult]:
    """Accuracies with their protocol, as the Hub shows them."""
    name = Path(list_name).name
    return [
        EvalResult(
            task_type="video-classification",
            dataset_type=dataset or name,
            dataset_name=f"{dataset or name}, {scores['videos']} videos",
            metric_type="accuracy",
            metric_name=f"top-{k} in %, {views_text(scores)}",
            metric_value=round(accuracy, 2),
        )
        for k, accuracy in video_tops(scores).items()
    ]


def _license(summary: Summary | None) -> str:
    config = summary["config"] if summary else {}
    start = config.get("auxiliary_init" if summary and summary.get("role") == "auxiliary" else "init")
    text = "No license is stated; that of the training videos decides what these weights may be used for."
    if license := config.get("license"):
        text = f"License of these weights: {license}. The terms of the training videos apply as well."
    if start:
        text += f" Training started from {_code(without_folders(start))}, whose license applies, too."
    return text


def _training(summary: Summary) -> list[str]:
    """The lines on how a run trained the network."""
    config, role = summary["config"], summary.get("role", "primary")
    pair = f"`{config['primary']}`" + (f" and `{config['auxiliary']}`" if config["auxiliary"] else " alone")
    lines = [
        f"The {role} network of {pair}, trained by `cmpl-zoo train`, scheme `{config['scheme']}`, to step "
        f"{summary['step']} of {config['steps']}, on {summary['labeled_videos']} labeled and "
        f"{summary['unlabeled_videos']} unlabeled videos{_dataset(config)}{_typical(summary)}, seed {config['seed']}.",
        "",
        f"cmpl_zoo {summary['version']}, commit {summary['commit']}, {summary['hardware']}.",
    ]
    options = {key: value for key, value in config.items() if value is not None and key not in PRIVATE_OPTIONS}
    lines += [
        "",
        "| option | value |",
        "|---|---|",
        *(f"| {key} | {_cell(_code(without_folders(str(value))))} |" for key, value in options.items()),
    ]
    return lines


def _typical(summary: Summary) -> str:
    """What its labeled videos are like, where the run has recorded it."""
    video = summary.get("typical_videos", {}).get("labeled")
    if not video:
        return ""
    rate = f" at {video['fps']:g} a second" if "fps" in video else ""
    return f" (typically {video['frames']} frames{rate})"


def _evaluation(summary: Summary) -> list[str]:
    """The section with the accuracies that the run measured."""
    role, validation = summary.get("role", "primary"), summary["validation"]
    rows = [
        _row(f"{name}{' (this one)' if name == role else ''}", scores, scores["list"])
        for name, scores in validation.items()
    ]
    return ["## Evaluation", "", *_head(next(iter(validation.values()))), *rows, ""]


def _head(scores: Scores) -> list[str]:
    columns = ["network", *(f"top-{k}, %" for k in video_tops(scores)), "videos", "views"]
    return [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]


def _row(network: str, scores: Scores, list_name: str) -> str:
    accuracies = " | ".join(f"{accuracy:.2f}" for accuracy in video_tops(scores).values())
    return f"| {network} | {accuracies} {_protocol(scores, list_name)}"


def _protocol(scores: Scores, list_name: str) -> str:
    """The cells of a row that say what was measured, and how."""
    videos = _cell(f"{scores['videos']} of {Path(list_name).name}")
    return f"| {videos} | {views_text(scores)}{_VIEWS}"


def _code(text: str) -> str:
    """Text as code, which Markdown shows as it is: between more backticks than it has in a row."""
    if "`" not in text:
        return f"`{text}`"
    fence = "`" * (1 + max(map(len, re.findall("`+", text))))
    return f"{fence} {text} {fence}"


def _cell(text: str) -> str:
    """Text in a cell of a table."""
    return text.replace("|", "\\|")


def _dataset(config: dict[str, Any]) -> str:
    return f" of {config['dataset']}" if config.get("dataset") else ""
