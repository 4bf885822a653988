"""Cross-Model Pseudo-Labeling: train two networks that label unlabeled videos for each other.

python train/cmpl.py --config train/recipes/NAME.yaml --labeled a.csv --unlabeled b.csv --val c.csv --root DIR \\
    --output runs/NAME [--any_option value]

Needs a few labeled and many unlabeled videos. Yields model directories, which cmpl_zoo.create_model loads:
OUTPUT/primary and OUTPUT/auxiliary of the last step, OUTPUT/best of the best validation; metrics.jsonl and
TensorBoard curves; summary.json. The method is in cmpl_zoo/semi.py; here it is put to work.
"""

import json
import math
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from config import Config, parse_config
from evaluate import evaluate
from meters import CollapseWarning, Log, Meters
from networks import Networks, pick_device, random_state, set_random_state
from state import Interrupt, RunError, load_state, open_run, save_state
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from tqdm import tqdm

from cmpl_zoo import __version__, hub
from cmpl_zoo.data import (
    ManifestError,
    TrainingSteps,
    VideoError,
    Videos,
    check_disjoint,
    class_ids,
    class_names,
    iterate,
    read_list,
)
from cmpl_zoo.semi import CMPLLoss, Logits, cmpl_loss

AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


def objective(outputs: list[Logits], labels: Tensor, lambda_u: float, config: Config) -> CMPLLoss:
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
        threshold=config.threshold,
        lambda_u=lambda_u,
        hard=config.hard,
    )


def train(config: Config) -> Path:
    """One run, from lists of videos to model directories; returns its folder."""
    # Lists, classes, steps.
    classes, labeled, unlabeled, val = read_lists(config)
    config = replace(config, steps=count_steps(config, labeled, unlabeled), epochs=None)
    folder = open_run(config)

    # Networks, optimizer, schedule, average of the weights.
    torch.manual_seed(config.seed)
    try:
        device = pick_device(config.device)
        networks = Networks(config, classes).to(device, memory_format=torch.channels_last_3d)
    except (ValueError, RuntimeError, OSError) as error:  # an unknown model, weights that do not fit, no such device
        raise RunError(str(error)) from error
    optimizer = create_optimizer_v2(networks, "sgd", lr=config.lr, weight_decay=config.weight_decay, momentum=0.9)
    warmup = min(config.warmup_steps, config.steps)
    schedule = CosineLRScheduler(optimizer, config.steps, warmup_t=warmup, t_in_epochs=False)
    scaler = torch.amp.GradScaler(device.type, enabled=config.precision == "fp16")
    ema = ModelEmaV3(networks, decay=config.ema, use_warmup=True) if config.ema else None
    final = ema.module if ema else networks  # what is validated and saved

    # Where the run stands.
    step, best, seconds = 0, -1.0, 0.0
    state_file = folder / "state.pt"
    if state_file.exists():
        state = load_state(state_file)
        networks.load_state_dict(state["networks"])
        optimizer.load_state_dict(state["optimizer"])
        scaler.load_state_dict(state["scaler"])
        if ema:
            ema.module.load_state_dict(state["ema"])
        set_random_state(state["random"])
        step, best, seconds = state["step"], state["best"], state["seconds"]
    began = time.perf_counter() - seconds  # as if without a break

    def save() -> None:
        save_state(
            {
                "step": step,
                "best": best,
                "seconds": time.perf_counter() - began,
                "networks": networks.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scaler": scaler.state_dict(),
                "ema": ema.module.state_dict() if ema else None,
                "random": random_state(),
            },
            state_file,
        )

    # The loop: views, pseudo-labels, loss, step.
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
        seed=config.seed,
    )
    names = list(networks)
    meters, log, collapse = Meters(names, len(classes), device), Log(folder, step), CollapseWarning(classes)
    interrupt = Interrupt()
    networks.train()
    progress = tqdm(total=config.steps, initial=step, desc=folder.name, unit="step", smoothing=0.05)
    asked = time.perf_counter()
    for batch in iterate(data, device, config.workers, range(step, config.steps)):
        meters.waited += time.perf_counter() - asked
        schedule.step_update(step)
        lambda_u = config.lambda_u * min(1.0, (step + 1) / (config.unlabeled_warmup or 1))

        with torch.autocast(device.type, AUTOCAST.get(config.precision), enabled=config.precision != "float32"):
            outputs = networks(batch)
        loss = objective(outputs, batch["labels"], lambda_u, config)
        optimizer.zero_grad()
        scaler.scale(loss.total).backward()
        scaler.step(optimizer)
        scaler.update()
        step += 1
        if ema:
            ema.update(networks, step)

        meters.update(loss, len(batch["labels"]) + len(batch.get("weak", ())), batch.get("hidden_labels"))
        progress.update()
        logging = step % config.log_every == 0 or step == config.steps
        validating = val and config.val_every and step % config.val_every == 0 and step < config.steps
        saving = step % config.save_every_steps == 0 or step == config.steps or interrupt.asked
        if (logging or saving) and not math.isfinite(value := loss.total.item()):
            raise RunError(
                f"the loss is {value} at step {step}; start again with a lower --lr or with --precision float32, and "
                "another --output"
            )
        if logging:
            line = meters.read() | {"lr": optimizer.param_groups[0]["lr"], "lambda_u": lambda_u}
            log.write(step, line)
            collapse.check(step, line)
            progress.set_postfix(shown(line, names))
        paused = time.perf_counter()
        if validating:
            scores = validate(final, val, device, config)
            log.write(step, {f"{name}/val_top1": s["video_top1"] for name, s in scores.items()})
            if scores["primary"]["video_top1"] > best:
                best = scores["primary"]["video_top1"]
                save_models(final, folder / "best", classes, summary(config, step, labeled, unlabeled, scores))
        if saving:  # after the validation of this step, so that a resumed run knows the best
            save()
        if interrupt.asked:
            progress.close()
            raise KeyboardInterrupt(f"stopped at step {step}; the same command with --resume true goes on from there")
        asked = time.perf_counter()
        meters.began += asked - paused  # validating and saving are no training
    progress.close()
    seconds = time.perf_counter() - began

    # Evaluate and save: the last step's networks are the result.
    scores = validate(final, val, device, config) if val else {}
    result = summary(config, step, labeled, unlabeled, scores) | {"seconds": seconds}
    if scores:
        log.write(step, {f"{name}/val_top1": s["video_top1"] for name, s in scores.items()})
        if scores["primary"]["video_top1"] > best:
            save_models(final, folder / "best", classes, result)
    log.close()
    save_models(final, folder, classes, result)
    (folder / "summary.json").write_text(json.dumps(result, indent=2) + "\n")
    for name, of_network in scores.items():
        print(
            f"{name}: top-1 {of_network['video_top1']:.2f} %, {of_network['videos']} videos, "
            f"{of_network['clips']} clips x {of_network['crops']} crops"
        )
    return folder


def read_lists(config: Config) -> tuple[list[str], Videos, Videos | None, Videos | None]:
    """Class names, labeled, unlabeled and validation videos.

    Raises:
        ManifestError: a list is unusable, or a labeled video is also in the validation list.
    """
    labeled = read_list(config.labeled, config.root)
    classes = class_names(config.classes) if config.classes else sorted(set(labeled.labels or ()))
    if len(classes) < 2:
        raise ManifestError(f"{config.labeled}: all videos are of one class, {classes[0]!r}; label at least two")
    unlabeled = val = None
    if config.scheme != "none" and config.unlabeled is not None:
        manifest = read_list(config.unlabeled, config.unlabeled_root or config.root, labeled=False)
        ids = {name: i for i, name in enumerate(classes)}
        unlabeled = Videos(manifest.paths, [ids.get(x, -1) for x in manifest.labels or [""] * len(manifest)])
    if config.val is not None:
        manifest = read_list(config.val, config.root)
        check_disjoint(labeled, manifest)
        val = Videos(manifest.paths, class_ids(manifest, classes))
    return classes, Videos(labeled.paths, class_ids(labeled, classes)), unlabeled, val


def count_steps(config: Config, labeled: Videos, unlabeled: Videos | None) -> int:
    """The steps asked for, or those of so many passes over the unlabeled list (the labeled one, without)."""
    if config.steps is not None:
        return config.steps
    videos, batch = (unlabeled, config.unlabeled_batch) if unlabeled else (labeled, config.labeled_batch)
    return math.ceil(config.epochs * len(videos) / batch)


def validate(networks: nn.ModuleDict, val: Videos, device: torch.device, config: Config) -> dict[str, Any]:
    return {name: evaluate(network, val, device, config.workers) for name, network in networks.items()}


def save_models(networks: nn.ModuleDict, folder: Path, classes: list[str], result: dict[str, Any]) -> None:
    """Each network as a model directory of its name."""
    for name, network in networks.items():
        hub.save(network, folder / name, classes, result | {"role": name})


def summary(
    config: Config, step: int, labeled: Videos, unlabeled: Videos | None, scores: dict[str, Any]
) -> dict[str, Any]:
    """What summary.json and the model cards report."""
    return {
        "version": __version__,
        "commit": commit(),
        "hardware": hardware(config),
        "step": step,
        "labeled_videos": len(labeled),
        "unlabeled_videos": len(unlabeled) if unlabeled else 0,
        "validation": {name: of_network | {"list": config.val} for name, of_network in scores.items()},
        "config": asdict(config),
    }


def commit() -> str | None:
    """The commit of this checkout, marked where files were changed; None outside of one."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except FileNotFoundError:  # no git
        return None
    return done.stdout.strip() or None


def hardware(config: Config) -> str:
    device = pick_device(config.device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"
    return f"{name}, torch {torch.__version__.partition('+')[0]}, {config.precision}"


def shown(line: dict[str, Any], names: list[str]) -> dict[str, str]:
    """What the progress bar has room for."""
    masks = {f"above_{name}": f"{line[key]:.0%}" for name in names if (key := f"{name}/mask") in line}
    return {"loss": f"{line['loss']:.3f}", **masks, "clips/s": f"{line['clips_per_s']:.0f}"}


def main() -> int:
    config = parse_config()
    try:
        print(train(config))
    except (ManifestError, VideoError, RunError) as error:
        print(f"cmpl.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"cmpl.py: {stop or 'stopped at once; --resume true goes on from the last saved state'}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
