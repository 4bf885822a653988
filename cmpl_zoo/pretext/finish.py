"""What pretraining leaves: a model directory without a classifier, with a card, and a summary."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from cmpl_zoo._files import replace_text
from cmpl_zoo.hub.saving import save
from cmpl_zoo.models import VideoModel
from cmpl_zoo.pretext.steps import PretextSteps
from cmpl_zoo.pretext.task import Task
from cmpl_zoo.records import Summary
from cmpl_zoo.training.loop import Loop
from cmpl_zoo.training.summary import curves
from cmpl_zoo_cli.pretrain_config import PretrainConfig
from cmpl_zoo_cli.version import __version__

SHOWN, MOST_ANSWERS = 8, 10  # clips in the report; of a task with more answers than that they are not shown


def save_result(network: VideoModel, config: PretrainConfig, run: Loop, steps: PretextSteps) -> None:
    """Write the model directory `model`, summary.json and report.html into the folder of a run."""
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
    told = cast(Summary, summary | {"validation": {}})
    save(network, run.folder / "model", [], told, origin=_origin(config, steps.task, summary, lines))
    replace_text(run.folder / "summary.json", json.dumps({**summary, "curves": curves(lines)}, indent=2) + "\n")
    _write_report(run, summary, lines, steps)


def _origin(config: PretrainConfig, task: Task, summary: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    """How the network was made, for its card."""
    dataset = f" of {config.dataset}" if config.dataset else ""
    start = f", from `{Path(config.init).name}`" if config.init else ", from random weights"
    right = next((line["right"] for line in reversed(lines) if line.get("right") is not None), None)
    answered = (
        "" if right is None else f" At the end {right:.0%} were answered right (by chance {1 / task.classes:.1%})."
    )
    return (
        f"`{config.model}`{start}, learned by `cmpl-zoo pretrain --task {config.task}` from {summary['videos']} videos"
        f"{dataset} without any label, for {config.steps} steps of {config.batch} videos, {config.frames} frames of "
        f"{config.size}^2 at stride {config.stride}, seed {config.seed}.\n\n{task.question()}{answered}"
        f"\n\ncmpl_zoo {summary['version']}, commit {summary['commit']}, {summary['hardware']}."
    )


def _write_report(run: Loop, summary: dict[str, Any], lines: list[dict[str, Any]], steps: PretextSteps) -> None:
    """report.html; whatever fails here is a warning, as the run has saved its result."""
    file = run.folder / "report.html"
    try:
        from cmpl_zoo.report.pretraining_report import write_pretraining_report  # matplotlib takes a while

        batch = steps[0]
        clips: list[tuple[Tensor, str]] = []
        if not isinstance(batch, Exception):
            told = steps.task.classes <= MOST_ANSWERS
            answers = [str(target) if told else "" for target in batch["targets"].tolist()]
            clips = list(zip(batch["clips"], answers, strict=True))[:SHOWN]
        write_pretraining_report(run.folder, summary, lines, steps.task.question(), clips)
    except Exception as error:
        print(
            f"warning: {file} cannot be written ({error}); the model is saved, and once that is repaired, the same "
            "command with --resume writes the report",
            file=sys.stderr,
        )
    else:
        print(f"report: {file}")
