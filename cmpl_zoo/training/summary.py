"""What a run leaves beside its log: model directories, a summary that cards and tables are made of, and a report."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from cmpl_zoo._files import replace_text
from cmpl_zoo.distributed import Ranks
from cmpl_zoo.evaluation import Evaluation
from cmpl_zoo.hub.saving import save
from cmpl_zoo.models import VideoModel
from cmpl_zoo.records import RunFacts, Scores, Summary, views_text
from cmpl_zoo.report.intervals import top1_interval
from cmpl_zoo.training.lists import TrainingLists, training_steps
from cmpl_zoo_cli.train_config import Config
from cmpl_zoo_cli.version import __version__

LABELED_SHOWN, UNLABELED_SHOWN = 2, 4  # clips of the first step in the report


def clips_a_step(config: Config, lists: TrainingLists) -> int:
    """How many clips a step learns from, labeled and unlabeled ones, on all ranks."""
    return config.labeled_batch + (config.unlabeled_batch if lists.unlabeled else 0)


def run_facts(made_with: dict[str, list[str]], step: int, seconds: float, clips: int) -> RunFacts:
    """The facts of a run of any kind after a step, each of so many clips."""
    return {
        "version": __version__,
        "commit": ", then ".join(made_with["commit"]),
        "hardware": ", then ".join(made_with["hardware"]),
        "step": step,
        "seconds": seconds,
        "clips_per_s": step * clips / seconds,
    }


def summarize(
    config: Config,
    lists: TrainingLists,
    scores: dict[str, Scores],
    made_with: dict[str, list[str]],
    step: int,
    seconds: float,
) -> Summary:
    """The summary of a run after a step."""
    return {
        **run_facts(made_with, step, seconds, clips_a_step(config, lists)),
        "labeled_videos": len(lists.labeled),
        "unlabeled_videos": len(lists.unlabeled or ()),
        "typical_videos": lists.typical,
        "validation": {name: {**per_network, "list": str(config.val)} for name, per_network in scores.items()},
        "config": asdict(config),
    }


def save_models(networks: dict[str, VideoModel], folder: Path, classes: list[str], summary: Summary) -> None:
    """Each network as a model directory that is called like its role."""
    for role, network in networks.items():
        save(network, folder / role, classes, {**summary, "role": role})


def write_summary(folder: Path, summary: Mapping[str, Any], log_lines: list[dict[str, Any]]) -> None:
    """summary.json, with the numbers of the log as curves: a list for each, None where a line has no such number."""
    names = dict.fromkeys(key for line in log_lines for key, value in line.items() if isinstance(value, (int, float)))
    curves = {name: [line.get(name) for line in log_lines] for name in names}
    replace_text(folder / "summary.json", json.dumps({**summary, "curves": curves}, indent=2) + "\n")


@contextmanager
def report_told(file: Path) -> Iterator[None]:
    """Around writing the report of a run: whatever fails there is a warning, as the run has saved its result."""
    try:
        yield
    except Exception as error:
        print(
            f"warning: {file} cannot be written ({error}); the models are saved, and once that is repaired, the same "
            "command with --resume writes the report",
            file=sys.stderr,
        )
    else:
        print(f"report: {file}")


def write_report(
    folder: Path,
    config: Config,
    summary: Summary,
    log_lines: list[dict[str, Any]],
    lists: TrainingLists,
    evaluations: dict[str, Evaluation],
) -> None:
    """report.html and predictions.csv; see `report_told`."""
    with report_told(folder / "report.html"):
        from cmpl_zoo.report.run_report import write_run_report  # matplotlib takes a while

        few = replace(config, labeled_batch=LABELED_SHOWN, unlabeled_batch=UNLABELED_SHOWN, accumulation=1)
        views = training_steps(few, lists, Ranks())[0]
        write_run_report(
            folder,
            config,
            summary,
            log_lines,
            lists.classes,
            lists.by_option(),
            evaluations,
            None if isinstance(views, Exception) else views,
        )


def tell_scores(scores: dict[str, Scores]) -> None:
    """Print a line for each network that was validated, and for the vote."""
    for role, of_role in scores.items():
        low, high = top1_interval(of_role)
        print(
            f"{role}: top-1 {of_role['video_top1']:.2f} % (95 % interval: {low:.1f} to {high:.1f}), "
            f"{of_role['videos']} videos, {views_text(of_role)}; "
            f"always the largest class: {of_role['largest_class']:.2f} %"
        )
