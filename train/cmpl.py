"""Cross-Model Pseudo-Labeling: train two networks that label unlabeled videos for each other.

python train/cmpl.py --config train/recipes/NAME.yaml --labeled a.csv --unlabeled b.csv --val c.csv --root DIR \\
    --output runs/NAME [--any_option value]

Needs a few labeled and many unlabeled videos. Yields model directories, which cmpl_zoo.create_model loads:
OUTPUT/primary and OUTPUT/auxiliary of the last step, OUTPUT/best of the best validation; metrics.jsonl and
TensorBoard curves; summary.json. The method is in cmpl_zoo/semi.py; here it is put to work.
"""

import json
import math
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from config import Config, parse_config
from evaluate import evaluate
from meters import curves
from networks import Networks, own_statistics, pick_device
from ranks import RankError, Ranks
from run import Run, Stopped, parts, spread, versions
from state import RunError, open_run
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn

from cmpl_zoo import __version__, hub
from cmpl_zoo.card import views_of
from cmpl_zoo.data import (
    ManifestError,
    StorageError,
    TrainingSteps,
    VideoError,
    Videos,
    WorkerError,
    check_disjoint,
    class_ids,
    class_names,
    mix_clips,
    probe,
    read_list,
)
from cmpl_zoo.data.files import replace_text
from cmpl_zoo.models.config_json import check_label_names
from cmpl_zoo.semi import CMPLLoss, Logits, cmpl_loss

ATTEMPTS = 10  # videos of a list, one of which must be readable at the start; our choice
AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def objective(
    outputs: list[Logits],
    labels: Tensor,
    config: Config,
    lambda_u: float,
    threshold: float | Tensor,
    own_share: float = 1.0,
) -> CMPLLoss:
    """The loss of a step: CMPL, or cross-entropy on the labels alone."""
    if config.scheme == "none":
        supervised = tuple(F.cross_entropy(network.labeled.float(), labels) for network in outputs)
        return CMPLLoss(torch.stack(supervised).sum(), supervised, (), ())
    primary, auxiliary = outputs if len(outputs) == 2 else (outputs[0], None)
    return cmpl_loss(
        primary,
        auxiliary,
        labels,
        scheme=config.scheme,
        threshold=threshold,
        lambda_u=lambda_u,
        hard=config.hard,
        own_share=own_share,
    )


def train(config: Config, ranks: Ranks) -> Path:
    """One run, from lists of videos to model directories; returns its folder."""
    # Lists, classes, steps.
    classes, labeled, unlabeled, val = read_lists(config)
    ranks.first_alone(lambda: check_readable(config, labeled, unlabeled, val))
    config = replace(config, steps=count_steps(config, labeled, unlabeled), epochs=None)
    if ranks.first and unlabeled and config.lambda_u and config.unlabeled_warmup > config.steps:
        print(
            f"warning: lambda rises over --unlabeled_warmup {config.unlabeled_warmup} steps, and the run has "
            f"{config.steps}: it ends at {config.lambda_u * config.steps / config.unlabeled_warmup:.2g} instead of "
            f"{config.lambda_u:g}; lower --unlabeled_warmup",
            file=sys.stderr,
        )
    ranks.first_alone(lambda: open_run(config, config.resume or ranks.restarted, versions()))

    # Networks, optimizer, schedule, average of the weights.
    torch.manual_seed(config.seed)
    try:
        device = pick_device(config.device, ranks.local)
        networks = Networks(config, classes, labeled.ids).to(device, memory_format=torch.channels_last_3d)
        model = spread(networks, config, ranks, device)
    except (ValueError, RuntimeError, OSError) as error:  # an unknown model, weights that do not fit, no such device
        raise RunError(str(error)) from error
    optimizer = create_optimizer_v2(networks, "sgd", lr=config.lr, weight_decay=config.weight_decay, momentum=0.9)
    warmup = min(config.warmup_steps, config.steps)
    schedule = CosineLRScheduler(optimizer, config.steps, warmup_t=warmup, t_in_epochs=False)
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
    ema = ModelEmaV3(networks, decay=config.ema, use_warmup=True) if config.ema else None
    final = ema.module if ema else networks  # what is validated and saved
    if config.ema_teachers:
        networks.teachers = tuple(final.values())

    data = TrainingSteps(
        labeled,
        unlabeled,
        labeled_batch=config.labeled_batch,
        unlabeled_batch=config.unlabeled_batch,
        steps=config.steps,
        frames=config.frames,
        strides=config.strides,
        size=config.size,
        short_side=config.short_side,
        strong=config.strong,
        cutout=config.cutout,
        temporal_warp=config.temporal_warp,
        seed=config.seed,
        rank=ranks.rank,
        world_size=ranks.size,
    )
    kept = {"networks": networks, "optimizer": optimizer, "scaler": scaler} | ({"ema": ema.module} if ema else {})
    run = Run(config, ranks, kept, data, classes, list(networks), device)
    scores: dict[str, Any] = {}

    def report() -> dict[str, Any]:
        return summary(config, run, labeled, unlabeled, scores)

    def validation() -> None:
        ranks.share_buffers(final)
        scores.update(validate(final, val, device, config, ranks))
        if ranks.first and scores["primary"]["video_top1"] > run.best:
            save_models(final, run.folder / "best", classes, report())
        run.validated(scores)  # last: a run that is killed before this line validates again

    # The loop: views, pseudo-labels, loss, step.
    networks.train()
    began = time.perf_counter()
    if run.unvalidated:
        validation()
    run.pause(began)
    for batch in run.batches():
        schedule.step_update(run.step)
        lambda_u = config.lambda_u * min(1.0, (run.step + 1) / (config.unlabeled_warmup or 1))
        for part, synchronized in parts(batch, config.accumulation, model):
            own_share = 1.0
            if config.mix_clips:
                part["strong"], own_share = mix_clips(part["strong"])
            with synchronized:
                with torch.autocast(device.type, AUTOCAST.get(config.precision), enabled=config.precision in AUTOCAST):
                    outputs = model(part)
                loss = objective(outputs, part["labels"], config, lambda_u, networks.threshold, own_share)
                # Activations that are recomputed do not count twice.
                with ranks.together(), own_statistics(networks):
                    scaler.scale(loss.total / config.accumulation).backward()
            run.take_in(loss, part)
        scaler.unscale_(optimizer)
        gradient_norm = nn.utils.clip_grad_norm_(networks.parameters(), config.clip_grad or math.inf)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        if ema:
            ema.update(networks, run.step + 1)

        validating = run.end_step(gradient_norm, {"lr": optimizer.param_groups[0]["lr"], "lambda_u": lambda_u})
        ended = time.perf_counter()
        run.save()
        if validating:
            validation()
        run.pause(ended)  # neither is training

    # Save: the last step's networks are the result.
    ranks.share_buffers(final)
    ranks.check_equal(final)
    if val and not scores:  # a run that was stopped after its last validation
        scores.update(validate(final, val, device, config, ranks))
    if ranks.first:
        save_models(final, run.folder, classes, report())
        details = {"curves": curves(run.log.lines())}
        replace_text(run.folder / "summary.json", json.dumps(report() | details, indent=2) + "\n")
        run.log.close()
        for name, of_network in scores.items():
            print(
                f"{name}: top-1 {of_network['video_top1']:.2f} %, {of_network['videos']} videos, "
                f"{views_of(of_network)}; always the largest class: {of_network['largest_class']:.2f} %"
            )
        print(run.folder)
    return run.folder


def read_lists(config: Config) -> tuple[list[str], Videos, Videos | None, Videos | None]:
    """Class names, labeled, unlabeled and validation videos.

    Raises:
        ManifestError: a list is unusable, or a video to train on is also in the validation list.
    """
    labeled = read_list(config.labeled, config.root)
    classes = class_names(config.classes) if config.classes else sorted(set(labeled.labels or ()))
    if len(classes) < 2:
        raise ManifestError(f"{config.labeled}: all videos are of one class, {classes[0]!r}; label at least two")
    try:
        check_label_names(classes, len(classes))
    except ValueError as error:
        raise ManifestError(f"{config.classes or config.labeled}: {error}") from error
    unlabeled = val = None
    lists = [labeled]
    if config.scheme != "none" and config.unlabeled is not None:
        manifest = read_list(config.unlabeled, config.unlabeled_root or config.root, labeled=False)
        ids = {name: i for i, name in enumerate(classes)}
        lists.append(manifest)
        hidden = manifest.labels or [""] * len(manifest)
        unlabeled = Videos(manifest.paths, np.fromiter((ids.get(x, -1) for x in hidden), np.int32, len(manifest)))
    if config.val is not None:
        manifest = read_list(config.val, config.val_root or config.root)
        for of_training in lists:
            check_disjoint(of_training, manifest)
        val = Videos(manifest.paths, class_ids(manifest, classes))
    return classes, Videos(labeled.paths, class_ids(labeled, classes)), unlabeled, val


def check_readable(config: Config, labeled: Videos, unlabeled: Videos | None, val: Videos | None) -> None:
    """Refuse a list of which no video can be read, before the run has cost anything: a few videos are tried of each.

    Raises:
        VideoError: a list or its folder is wrong.
        StorageError: the shards that the videos are in cannot be read.
    """
    for videos, file, options in (
        (labeled, config.labeled, "--labeled and --root"),
        (unlabeled, config.unlabeled, "--unlabeled and --unlabeled_root, which is by default as --root"),
        (val, config.val, "--val and --val_root, which is by default as --root"),
    ):
        if videos is None:
            continue
        # From all over the list: one that is sorted may begin with a class that is not there.
        tried = np.unique(np.linspace(0, len(videos) - 1, ATTEMPTS).astype(int)).tolist()
        errors: list[str] = []
        for index in tried:
            try:
                probe(videos.paths[index])
                break
            except VideoError as error:
                errors.append(str(error))
        else:
            raise VideoError(
                f"{file}: {errors[0]}; none of the {len(tried)} videos tried of this list can be read; check {options}"
            )


def count_steps(config: Config, labeled: Videos, unlabeled: Videos | None) -> int:
    """The steps asked for, or those of so many passes over the unlabeled list (the labeled one, without)."""
    if config.steps is not None:
        return config.steps
    videos, batch = (unlabeled, config.unlabeled_batch) if unlabeled else (labeled, config.labeled_batch)
    return math.ceil(config.epochs * len(videos) / batch)


def validate(
    networks: nn.ModuleDict, val: Videos, device: torch.device, config: Config, ranks: Ranks
) -> dict[str, Any]:
    try:
        scores = evaluate([[network] for network in networks.values()], val, device, config.workers, ranks=ranks)
        return dict(zip(networks, scores, strict=True))
    except VideoError as error:
        raise VideoError(
            f"{config.val}: {error}; the state is saved: mend or change --val and --val_root (by default as --root), "
            "and the same command with --resume true validates and goes on"
        ) from error


def save_models(networks: nn.ModuleDict, folder: Path, classes: list[str], result: dict[str, Any]) -> None:
    """Each network as a model directory of its name."""
    for name, network in networks.items():
        hub.save(network, folder / name, classes, result | {"role": name})


def summary(
    config: Config,
    run: Run,
    labeled: Videos,
    unlabeled: Videos | None,
    scores: dict[str, Any],
) -> dict[str, Any]:
    """What summary.json and the model cards report."""
    return {
        "version": __version__,
        **{key: ", then ".join(values) for key, values in run.made_with.items()},
        "step": run.step,
        "seconds": run.seconds,
        "clips_per_s": run.step * (config.labeled_batch + (config.unlabeled_batch if unlabeled else 0)) / run.seconds,
        "labeled_videos": len(labeled),
        "unlabeled_videos": len(unlabeled) if unlabeled else 0,
        "validation": {name: of_network | {"list": config.val} for name, of_network in scores.items()},
        "config": asdict(config),
    }


def main() -> int:
    config = parse_config()
    ranks = None
    try:
        ranks = Ranks(60 * config.timeout_minutes)
        train(config, ranks)
        ranks.leave()
    except Stopped as stop:
        if ranks:
            ranks.leave()
            if ranks.first:
                print(f"cmpl.py: {stop}", file=sys.stderr)
        return 128 + stop.signal
    except (ManifestError, VideoError, StorageError, WorkerError, RunError, RankError) as error:
        who = f" rank {ranks.rank}:" if ranks and ranks.size > 1 else ""
        print(f"cmpl.py:{who} {error}", file=sys.stderr)
        return 2
    except torch.OutOfMemoryError as error:
        cause = str(error).partition(". ")[0]
        print(
            f"cmpl.py: {cause}; --accumulation 2, --grad_checkpointing true or --precision bf16 make do with less, in "
            "a run with another --output",
            file=sys.stderr,
        )
        return 2
    except OSError as error:  # such as a full disk
        print(
            f"cmpl.py: {error.filename or config.output}: {error.strerror or error}; once that is mended, --resume "
            "true goes on from the last saved state",
            file=sys.stderr,
        )
        return 2
    except KeyboardInterrupt:
        print("cmpl.py: stopped at once; --resume true goes on from the last saved state", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
