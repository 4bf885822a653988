"""A step of the full-size recipes on a GPU that is not there: tensors that have a device and a shape and no values.

It finds tensors on the wrong device, reading values back, for which a GPU would have to wait, and shapes that depend on
values. It says nothing about kernels, and there is no backward pass on a fake GPU: that runs on the device `meta`.
"""

import math
import re
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from timm.optim import create_optimizer_v2
from timm.utils import ModelEmaV3
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

import cmpl_zoo.training.cmpl as training
from cmpl_zoo.datasets.classes import class_names
from cmpl_zoo.distributed import Ranks
from cmpl_zoo.precision import autocast
from cmpl_zoo.training.clip_input import ClipInput
from cmpl_zoo.training.cmpl import CMPL
from cmpl_zoo.training.meters import CMPLMeters
from cmpl_zoo.training.networks import build_networks, training_clips
from cmpl_zoo.training.optimization import parts
from cmpl_zoo.training.run import Run
from cmpl_zoo_cli.train_config import Config
from cmpl_zoo_cli.train_parser import parse_config

GPU, META = torch.device("cuda", 0), torch.device("meta")


def config_of(recipe: str, *more: str) -> Config:
    return parse_config(["--config", recipe, "--labeled", "a.csv", "--unlabeled", "b.csv", "--output", "o", *more])


def build(config: Config) -> CMPL:
    classes = class_names("ucf101" if config.dataset == "ucf101" else "kinetics400")
    return CMPL(build_networks(config, classes), config)


def batch_of(config: Config, device: torch.device) -> dict[str, torch.Tensor]:
    def clips(count: int) -> list[torch.Tensor]:
        shapes = [(count, 3, clip.frames, clip.size, clip.size) for clip in training_clips(config)[1]]
        return [torch.empty(shape, dtype=torch.uint8, device=device) for shape in shapes]

    labels = {
        name: torch.empty(count, dtype=torch.int64, device=device)
        for name, count in (("labels", config.labeled_batch), ("hidden_labels", config.unlabeled_batch))
    }
    views = {"labeled": config.labeled_batch, "weak": config.unlabeled_batch, "strong": config.unlabeled_batch}
    return {name: clips(count) for name, count in views.items()} | labels


def put_on_fake_gpu(module: nn.Module) -> None:
    """As `to`, which fails for a GPU that is not there; in the memory format that `train` gives it."""

    def fake(tensor: torch.Tensor) -> torch.Tensor:
        order = torch.channels_last_3d if tensor.ndim == 5 else torch.contiguous_format
        return torch.empty(tensor.shape, dtype=tensor.dtype, device=GPU, memory_format=order)

    for part in module.modules():
        for name, parameter in part.named_parameters(recurse=False):
            setattr(part, name, nn.Parameter(fake(parameter)))
        for name, buffer in part.named_buffers(recurse=False):
            setattr(part, name, fake(buffer))


@contextmanager
def bf16_on_fake_gpu(config: Config):
    with pytest.MonkeyPatch.context() as patch:  # what it asks the GPU for as it is made
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        bf16 = autocast(GPU, config.precision)
    with bf16:
        yield


def step_on_fake_gpu(config: Config) -> None:
    """What `train` does in a step, but for the backward pass."""
    cmpl = build(config)
    ema = ModelEmaV3(cmpl, decay=config.ema, use_warmup=True)  # fake tensors cannot be copied
    with FakeTensorMode(), torch.no_grad():  # a graph for a GPU that is not there ends the process as it is deleted
        for module in (cmpl, ema.module):
            put_on_fake_gpu(module)
        optimizer = create_optimizer_v2(cmpl, "sgd", lr=config.lr, weight_decay=config.weight_decay, momentum=0.9)
        meters = CMPLMeters(list(cmpl.networks), cmpl.primary.num_classes, GPU, Ranks())
        nonfinite = torch.full((), -1, device=GPU)
        run = SimpleNamespace(meters=meters, config=config, step=0, _first_nonfinite=nonfinite)
        run._expect_finite = partial(Run._expect_finite, run)
        cmpl.train()
        for part in parts(batch_of(config, GPU), config.accumulation):
            with bf16_on_fake_gpu(config):
                loss = cmpl(part, 1.0)
            assert (loss.total.device, loss.total.dtype, loss.total.shape) == (GPU, torch.float32, ())
            Run.measure(run, loss, part)
        for parameter in cmpl.parameters():
            parameter.grad = torch.empty_like(parameter)
        gradient_norm = nn.utils.clip_grad_norm_(cmpl.parameters(), config.clip_grad or math.inf)
        optimizer.step()
        ema.update(cmpl, 1)
        meters.end_step(gradient_norm)
        assert {value.device for value in meters.sums.values()} == {GPU}
        assert {tensor.device for tensor in ema.module.state_dict().values()} == {GPU}


RECIPES = ["ucf101_1pct", "k400_10pct"]  # the others differ in the number of steps, or in one of two batches
MORE = ["--accumulation", "2", "--ema", "0.999", "--clip-grad", "1"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_step_of_a_full_size_recipe_stays_on_the_gpu(recipe):
    step_on_fake_gpu(config_of(recipe, *MORE))


UNTRAINED = ["--init", "null", "--auxiliary-init", "null", "--freeze", "null"]


@pytest.mark.parametrize(("recipe", "more"), [*((recipe, []) for recipe in RECIPES), ("finetune", UNTRAINED)])
def test_backward_reaches_every_weight_in_its_shape(recipe, more):
    config = config_of(recipe, *more)
    with META:
        cmpl, batch = build(config), batch_of(config, META)
        loss = cmpl(batch, 1.0)
    loss.total.backward()
    for name, parameter in cmpl.named_parameters():
        assert parameter.grad is not None and parameter.grad.shape == parameter.shape, name


def mean_on_the_cpu(patch: pytest.MonkeyPatch) -> None:
    original = ClipInput.__init__

    def init(self, network, place):
        original(self, network, place)
        mean = self.mean
        del self.mean
        self.mean = mean  # no buffer, so that it does not move with the module

    patch.setattr(ClipInput, "__init__", init)


def loss_read_back(patch: pytest.MonkeyPatch) -> None:
    original = CMPLMeters.update
    patch.setattr(CMPLMeters, "update", lambda self, loss, *rest: [loss.total.item(), original(self, loss, *rest)])


def clips_picked_by_mask(patch: pytest.MonkeyPatch) -> None:
    original = training.cmpl_loss

    def loss(labeled, labels, strong, pseudo, lambda_u):
        return original(labeled, labels, [strong[0][pseudo[0].mask], *strong[1:]], pseudo, lambda_u)

    patch.setattr(training, "cmpl_loss", loss)


def labels_counted_on_the_cpu(patch: pytest.MonkeyPatch) -> None:
    original = CMPLMeters.update

    def update(self, loss, clips, share):
        self.sums["histogram"] = torch.zeros(self.classes).index_add_(0, clips["labels"], clips["labels"].float())
        original(self, loss, clips, share)

    patch.setattr(CMPLMeters, "update", update)


@pytest.mark.parametrize(
    "plant, message",
    [
        (mean_on_the_cpu, r"FakeTensor.*aten\.sub"),  # a tensor with values, of this machine
        (loss_read_back, r"_local_scalar_dense"),
        (clips_picked_by_mask, r"nonzero|index"),
        (labels_counted_on_the_cpu, r"[Dd]evice.*cuda:0.*cpu|[Dd]evice.*cpu.*cuda:0"),
    ],
)
def test_planted_faults_are_found(monkeypatch, plant, message):
    plant(monkeypatch)
    small = ["--primary", "r3d50_eighth", "--auxiliary", "null", "--scheme", "self"]
    with pytest.raises(Exception) as found:
        step_on_fake_gpu(config_of("ucf101_1pct", *MORE, *small))
    assert re.search(message, str(found.value)), f"{found.type}: {found.value}"
