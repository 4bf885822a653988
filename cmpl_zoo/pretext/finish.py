"""What pretraining leaves: a model directory without a classifier, with a card, and a summary."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from cmpl_zoo.hub.saving import save
from cmpl_zoo.models import VideoModel
from cmpl_zoo.pretext.steps import PretextSteps
from cmpl_zoo.pretext.task import Task
from cmpl_zoo.records import Summary
from cmpl_zoo.training.loop import Loop
from cmpl_zoo.training.summary import report_told, run_facts, write_summary
from cmpl_zoo_cli.pretrain_config import PretrainConfig

SHOWN, MOST_ANSWERS = 8, 10  # clips in the report; where answers are larger numbers than that they are not shown


def save_result(network: VideoModel, config: PretrainConfig, run: Loop, steps: PretextSteps) -> None:
    """Write the model directory `model`, summary.json and report.html into the folder of a run."""
    assert run.log is not None
    lines = run.log.lines()
    summary = {
        **run_facts(run.made_with, run.step, run.seconds, config.batch * steps.task.clips),
        "videos": len(steps.videos),
        "config": asdict(config),
    }
    told = cast(Summary, summary | {"validation": {}})
    save(network, run.folder / "model", [], told, origin=_origin(config, steps.task, summary, lines))
    write_summary(run.folder, summary, lines)
    with report_told(run.folder / "report.html"):
        _write_report(run.folder, summary, lines, steps)


def _origin(config: PretrainConfig, task: Task, summary: dict[str, Any], lines: list[dict[str, Any]]) -> str:
    """How the network was made, for its card."""
    dataset = f" of {config.dataset}" if config.dataset else ""
    start = f", from `{Path(config.init).name}`" if config.init else ", from random weights"
    right = next((line["right"] for line in reversed(lines) if line.get("right") is not None), None)
    answered = "" if right is None else f" At the end {right:.0%} were answered right (by chance {task.chance})."
    return (
        f"`{config.model}`{start}, learned by `cmpl-zoo pretrain --task {config.task}` from {summary['videos']} videos"
        f"{dataset} without any label, for {config.steps} steps of {config.batch} videos, {config.frames} frames of "
        f"{config.size}^2 at stride {config.stride}, seed {config.seed}.\n\n{task.question()}{answered}"
        f"\n\ncmpl_zoo {summary['version']}, commit {summary['commit']}, {summary['hardware']}."
    )


def _write_report(folder: Path, summary: dict[str, Any], lines: list[dict[str, Any]], steps: PretextSteps) -> None:
    from cmpl_zoo.report.pretraining_report import write_pretraining_report  # matplotlib takes a while

    batch, clips = steps[0], list[tuple[Tensor, str]]()
    if not isinstance(batch, Exception):
        told = batch["targets"].max() < MOST_ANSWERS
        answers = [str(target) if told else "" for target in batch["targets"].tolist()]
        clips = list(zip(batch["clips"], answers, strict=True))[:SHOWN]
    write_pretraining_report(folder, summary, lines, steps.task.question(), clips)
