"""The networks of a run: built from its options, and shared out to its processes."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from cmpl_zoo.datasets.training_steps import TrainingClip
from cmpl_zoo.distributed import Ranks
from cmpl_zoo.models import VideoModel, create_model
from cmpl_zoo.models.factory import registered
from cmpl_zoo.models.freezing import convert_sync_batchnorm, freeze_stages
from cmpl_zoo.training.errors import RunError
from cmpl_zoo_cli.run_options import RunOptions
from cmpl_zoo_cli.spelling import flag
from cmpl_zoo_cli.train_config import Config


def training_clips(config: Config) -> tuple[list[TrainingClip], list[TrainingClip]]:
    """The clips that F and, if there is one, A take, and which are taken of a sample: one where both take the same."""
    own = [TrainingClip(config.frames, config.primary_stride, config.size)]
    if config.auxiliary is not None:
        own.append(
            TrainingClip(
                config.auxiliary_frames or config.frames,
                config.auxiliary_stride,
                config.auxiliary_size or config.size,
            )
        )
    if config.spread:
        own = [clip._replace(stride=0) for clip in own]
    return own, list(dict.fromkeys(own))


def build_networks(config: Config, classes: list[str]) -> list[VideoModel]:
    """F and, unless the run has one network alone, A.

    Raises:
        RunError: a model is unknown, or weights to start from do not fit it.
    """
    wanted = [("primary", "init")]
    if config.auxiliary is not None:
        wanted.append(("auxiliary", "auxiliary_init"))
    own, _ = training_clips(config)
    try:
        for option, start in wanted:
            check_is_name(getattr(config, option), option, start)
        networks = [build_network(config, *one, clip, classes) for one, clip in zip(wanted, own, strict=True)]
    except (ValueError, RuntimeError, OSError) as error:
        raise RunError(str(error)) from error
    for network in networks:
        network.set_grad_checkpointing(config.grad_checkpointing)
        if config.compile:
            network.compile()
    if config.compile:
        # Passes differ in gradients, batch norm and mode, and networks of a class share their compiled code: beyond
        # 8 variants torch would continue uncompiled.
        torch._dynamo.config.recompile_limit = 32
    return networks


def build_network(
    config: Config, option: str, start: str, training_clip: TrainingClip, classes: list[str]
) -> VideoModel:
    """A network that is tested on clips as it is trained on, from random weights or given ones.

    Args:
        config: of the run.
        option: that names the network.
        start: the option that gives its weights.
        training_clip: as it is trained on.
        classes: class names by class id.

    Raises:
        ValueError: the weights are of another architecture, the network cannot take such clips, or has no such stage
            to freeze.
    """
    name, init = getattr(config, option), getattr(config, start)
    frames, stride, size = training_clip
    clip: dict[str, Any] = {"frames": frames, "clips": config.test_clips, "crops": config.test_crops}
    clip |= {"spread": True} if config.spread else {"stride": stride, "fps": config.fps}
    network = create_model(
        name,
        num_classes=len(classes),
        drop_rate=config.drop_rate,
        subtract_mean_frame=config.subtract_mean_frame,
        normalize_clip=config.normalize_clip,
        clip=clip,
        pretrained_cfg_overlay={
            "input_size": (3, size, size),
            "crop_pct": config.crop_pct,
            "label_names": classes,
        },
    )
    network.check_input(frames, (size, size))
    if init is not None:
        try:
            start_from(init, network, name, start)
        except RuntimeError as error:
            if Path(init).exists():
                raise
            raise RuntimeError(f"{error}; --config own_videos needs no download") from error
        if config.freeze is not None:
            freeze_stages(network, config.freeze)
    return network


def check_is_name(name: str, option: str, start: str) -> None:
    """Raise ValueError for a model with weights where the name of a network is wanted; the message says what to give.

    Args:
        name: as typed.
        option: the one that it was typed for.
        start: the one that weights are given by.
    """
    if registered(name) is None and (":" in name or Path(name).expanduser().exists()):
        architecture = create_model(name, pretrained=False).pretrained_cfg["architecture"]
        raise ValueError(
            f"{flag(option)} {name} is a model with weights, and a name is wanted; to start from them give "
            f"{flag(option)} {architecture} {flag(start)} {name}"
        )


def start_from(init: str, network: VideoModel, name: str, option: str) -> None:
    """Put the weights of another model into a network; its classifier starts afresh where that has other classes.

    Args:
        init: model or model directory.
        network: of the same architecture.
        name: of the network.
        option: that gives the weights, for messages.

    Raises:
        ValueError: it is another architecture, or clips are prepared otherwise for it.
        RuntimeError: it cannot be loaded.
    """
    start = create_model(init, pretrained=True, in_chans=network.in_chans)
    classes, wanted = ((one.num_classes, one.pretrained_cfg.get("label_names")) for one in (start, network))
    if classes != wanted:
        start.reset_classifier(network.num_classes)
    if (found := start.pretrained_cfg["architecture"]) != network.pretrained_cfg["architecture"]:
        raise ValueError(
            f"cannot start {name} from {init}: that is a {found}; give weights of a {name}, or {flag(option)} null"
        )
    for seen in ("subtract_mean_frame", "normalize_clip"):
        if (needed := getattr(start, seen)) != getattr(network, seen):
            raise ValueError(
                f"cannot start {name} from {init}: that needs {flag(seen)} {str(needed).lower()}; give it, or "
                f"{flag(option)} null"
            )
    network.load_state_dict(start.state_dict())
    if start.global_pool.pool_type:
        network.global_pool = start.global_pool
    network.pretrained_cfg |= {key: start.pretrained_cfg[key] for key in ("mean", "std")}


def distribute(
    module: nn.Module, config: RunOptions, batches: Mapping[str, int], ranks: Ranks, device: torch.device
) -> nn.Module:
    """The module as the processes train it together: one synchronization of gradients a step.

    Args:
        module: what learns.
        config: of the run.
        batches: clips, or videos, of a step by option.
        ranks: the processes.
        device: of this one.

    Raises:
        RunError: the options do not fit the number of processes or the device.
        RankError: a process was lost.
    """
    for name, size in batches.items():
        if size % (ranks.size * config.accumulation):
            raise RunError(
                f"{flag(name)} {size} cannot be shared by {ranks.size} processes in --accumulation "
                f"{config.accumulation} parts; give a multiple"
            )
    if config.batch_norm == "sync" and device.type != "cuda":
        raise RunError("--batch-norm sync needs GPUs; take local or frozen")
    if ranks.size == 1:
        return module
    if config.batch_norm == "sync":
        module = convert_sync_batchnorm(module)
    # The gradient of a 1x1x1 kernel has other strides than the kernel, for the same memory.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    with ranks.together():  # they compare their weights here
        return DistributedDataParallel(
            module, device_ids=[device] if device.type == "cuda" else None, gradient_as_bucket_view=True
        )
