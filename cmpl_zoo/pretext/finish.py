"""What pretraining leaves: a model directory without a classifier, with a card, and a summary."""

import json
from dataclasses import asdict
from typing import Any

from cmpl_zoo._files import replace_text
from cmpl_zoo.hub.saving import save
from cmpl_zoo.models import VideoModel
from cmpl_zoo.pretext import TASKS
from cmpl_zoo.pretext.steps import PretextSteps
from cmpl_zoo.training.loop import Loop
from cmpl_zoo.training.summary import curves
from cmpl_zoo_cli.pretrain_config import PretrainConfig
from cmpl_zoo_cli.version import __version__


def save_result(network: VideoModel, config: PretrainConfig, run: Loop, steps: PretextSteps) -> None:
    """Write the model directory `model` and summary.json into the folder of a run."""
    assert run.log is not None
    lines = run.log.lines()
    summary: dict[str, Any] = {
        "version": __version__,
        "commit": ", then ".join(run.made_with["commit"]),
        "hardware": ", then ".join(run.made_with["hardware"]),
        "step": run.step,
        "seconds": run.seconds,
        "clips_per_s": run.step * config.batch * steps.task.clips / run.seconds,
        "videos": len(steps.videos),
        "config": asdict(config),
    }
    save(network, run.folder / "model", [], origin=_origin(config, summary, lines))
    replace_text(run.folder / "summary.json", json.dumps({**summary, "curves": curves(lines)}, indent=2) + "\n")


def _origin(config: PretrainConfig, summary: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    """How the network was made, for its card."""
    paper = (TASKS[config.task].__doc__ or "").partition("\n")[0]
    dataset = f" of {config.dataset}" if config.dataset else ""
    start = f", from `{config.init}`" if config.init else ", from random weights"
    chance = 100 / TASKS[config.task].classes
    right = next((line["right"] for line in reversed(lines) if line.get("right") is not None), None)
    answered = "" if right is None else f" At the end {right:.0%} of its questions were answered right"
    return (
        f"`{config.model}`{start}, learned by `cmpl-zoo pretrain --task {config.task}` from {summary['videos']} videos"
        f"{dataset} without any label, for {config.steps} steps of {config.batch} videos, {config.frames} frames of "
        f"{config.size}^2 at stride {config.stride}, seed {config.seed}. {paper}{answered}"
        + (f" (by chance {chance:.0f} %)." if answered else "")
        + f"\n\ncmpl_zoo {summary['version']}, commit {summary['commit']}, {summary['hardware']}."
    )
