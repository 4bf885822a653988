"""The primary and the auxiliary network as one module: one forward, one optimizer, one state."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.distributed as dist
from config import Config
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import cmpl_zoo
from cmpl_zoo.data import normalize
from cmpl_zoo.semi import Logits, align, class_thresholds

MEMORY = 0.99  # of the mean probabilities, by forward passes (our choice; ReMixMatch averages the last 128 batches)


class Networks(nn.ModuleDict):
    """`primary` and, unless the run has one network alone, `auxiliary`.

    Args:
        config: of the run.
        classes: class names by class id.
        label_ids: class ids of the labeled videos.
    """

    wanted: Tensor
    found: Tensor

    def __init__(self, config: Config, classes: list[str], label_ids: NDArray[np.int32]) -> None:
        super().__init__()
        self.config = config
        self["primary"] = build_network(config, config.primary, config.primary_stride, config.init, classes)
        if config.auxiliary is not None:
            self["auxiliary"] = build_network(
                config, config.auxiliary, config.auxiliary_stride, config.auxiliary_init, classes
            )
        if config.grad_checkpointing:
            for network in self.values():
                network.set_grad_checkpointing()
        if config.compile:
            # Passes differ in gradients, batch norm and mode, and networks of a class share their compiled code: beyond
            # 8 variants torch would go on uncompiled.
            torch._dynamo.config.recompile_limit = 32
            for network in self.values():
                network.compile()
        self.teachers = tuple(self.values())  # a tuple hides them: networks of their own belong to no state of this one
        self.slots = [config.strides.index(network.clip["stride"]) for network in self.values()]
        self.weak_bn = "running" if config.batch_norm == "frozen" else config.weak_bn
        self.counts_classes = config.distribution_alignment or config.class_thresholds
        if self.counts_classes:
            shares = torch.bincount(torch.as_tensor(label_ids).long(), minlength=len(classes)) / len(label_ids)
            self.register_buffer("wanted", shares, persistent=False)
            self.register_buffer("found", shares.repeat(len(self), 1))

    @property
    def threshold(self) -> float | Tensor:
        """The confidence from which a pseudo-label counts, or one for each class."""
        tau = self.config.threshold
        return class_thresholds(tau, self.found.mean(dim=0)) if self.config.class_thresholds else tau

    def train(self, mode: bool = True) -> "Networks":
        super().train(mode)
        if self.config.batch_norm == "frozen":
            for norm in norms_of(self):
                norm.eval()
        return self

    def forward(self, batch: dict[str, Tensor]) -> list[Logits]:
        """The outputs of each network in one training step; the weak ones are those of its teacher, itself by default.

        Labeled clips and strong views are a batch each for batch norm, and the running statistics are of the labeled
        ones, unless the run's `strong_bn` makes one batch of both.

        Args:
            batch: as `cmpl_zoo.data.TrainingSteps` makes it, uint8 clips (batch, strides, 3, T, H, W).
        """
        outputs = []
        for number, (network, teacher, slot) in enumerate(zip(self.values(), self.teachers, self.slots, strict=True)):
            mean, std = network.pretrained_cfg["mean"], network.pretrained_cfg["std"]
            clips = {
                key: network_input(batch[key][:, slot], mean, std)
                for key in ("labeled", "weak", "strong")
                if key in batch
            }
            if "weak" in clips:
                with torch.no_grad(), weak_pass(teacher, self.weak_bn):
                    weak = teacher(clips["weak"])
                    if self.counts_classes:
                        found, seen = self.found[number], mean_of_ranks(weak.float().softmax(dim=1).mean(dim=0))
                        found.lerp_(torch.where(seen.isfinite(), seen, found), 1 - MEMORY)  # fp16 may overflow
                    if self.config.distribution_alignment:
                        weak = align(weak, self.wanted, self.found[number])
                if self.config.strong_bn == "labeled":
                    both = network(torch.cat([clips["labeled"], clips["strong"]]))
                    labeled, strong = both.split([len(clips["labeled"]), len(clips["strong"])])
                else:
                    labeled = network(clips["labeled"])
                    with own_statistics(network):
                        strong = network(clips["strong"])
            else:
                labeled = network(clips["labeled"])
                weak = strong = labeled[:0]
            outputs.append(Logits(labeled, weak, strong))
        return outputs


def build_network(config: Config, name: str, stride: int, init: str | None, classes: list[str]) -> nn.Module:
    """A network with the run's clip settings, from random weights or those of `init`.

    Raises:
        ValueError: `init` is another architecture.
    """
    clip = {"frames": config.frames, "stride": stride, "clips": config.test_clips, "crops": config.test_crops}
    network = cmpl_zoo.create_model(
        name,
        num_classes=len(classes),
        drop_rate=config.drop_rate,
        subtract_mean_frame=config.subtract_mean_frame,
        clip=clip,
        pretrained_cfg_overlay={
            "input_size": (3, config.size, config.size),
            "crop_pct": config.crop_pct,
            "label_names": classes,
        },
    )
    if init is not None:
        start = cmpl_zoo.create_model(init, pretrained=True)
        if start.pretrained_cfg.get("label_names") != classes:  # its classifier knows other classes
            start.reset_classifier(len(classes))
        if (found := start.pretrained_cfg["architecture"]) != network.pretrained_cfg["architecture"]:
            raise ValueError(f"cannot start {name} from {init}: that is a {found}; give weights of a {name}")
        if start.subtract_mean_frame != config.subtract_mean_frame:
            raise ValueError(
                f"cannot start {name} from {init}: that needs --subtract_mean_frame "
                f"{str(start.subtract_mean_frame).lower()}"
            )
        network.load_state_dict(start.state_dict())
        network.pretrained_cfg |= {key: start.pretrained_cfg[key] for key in ("mean", "std")}
    return network


def network_input(clips: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """uint8 clips (batch, 3, T, H, W) as a network takes them: normalized, channels last in memory."""
    return normalize(clips.contiguous(memory_format=torch.channels_last_3d), mean, std)


@contextmanager
def weak_pass(network: nn.Module, weak_bn: str) -> Iterator[None]:
    """Without dropout, and with batch norm that learns nothing from the weak views.

    `batch` normalizes by the statistics of the weak batch, `running` by the running ones; neither touches the
    running statistics. The paper does not say; both are our choice.
    """
    training = {module: module.training for module in network.modules()}
    network.eval()
    norms = norms_of(network) if weak_bn == "batch" else []
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for norm in norms:
            norm.track_running_stats = True
        for module, was in training.items():
            module.training = was


@contextmanager
def own_statistics(network: nn.Module) -> Iterator[None]:
    """Batch norm in training takes the statistics of the batch, and the running ones stay as they are.

    A momentum of 0 does it: where activations are recomputed, batch norm must save what it saved before.
    """
    momenta = {norm: norm.momentum for norm in norms_of(network)}
    for norm in momenta:
        norm.momentum = 0.0
    try:
        yield
    finally:
        for norm, momentum in momenta.items():
            norm.momentum = momentum


def mean_of_ranks(value: Tensor) -> Tensor:
    """The mean over all processes that train together."""
    if not dist.is_initialized():
        return value
    dist.all_reduce(value)
    return value / dist.get_world_size()


def norms_of(network: nn.Module) -> list[_BatchNorm]:
    return [module for module in network.modules() if isinstance(module, _BatchNorm)]


def pick_device(name: str, number: int = 0) -> torch.device:
    """`auto` is the first there is of cuda, mps and cpu; `number` tells which GPU of several.

    Raises:
        ValueError: the device is not there.
    """
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(device for device, available in there.items() if available)
    if not there[name]:
        raise ValueError(f"--device {name}: this machine has none that torch can use; take auto or cpu")
    if name == "cuda":
        if number >= torch.cuda.device_count():
            raise ValueError(f"process {number} of this machine has no GPU; start {torch.cuda.device_count()} at most")
        torch.cuda.set_device(number)
        # A convolution of 1x1x1 is a matrix product here, and those of cuDNN take TF32 by default.
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True  # shapes are the same step after step
        return torch.device(name, number)
    return torch.device(name)
