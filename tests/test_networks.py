"""The networks of a run as one module, in training and in validation."""

import numpy as np
import pytest
import torch
from training import CLASSES, REPO

from cmpl_zoo.datasets.classes import class_ids
from cmpl_zoo.datasets.lists import Videos, read_list

ONE = {"scheme": "self", "primary": "r3d50_eighth", "auxiliary": None}


@pytest.fixture
def small_networks(monkeypatch):
    """Makes the networks of a run with such options and such class ids of its labeled videos."""
    monkeypatch.syspath_prepend(str(REPO / "train"))
    from cmpl_zoo.training.config import Config
    from networks import Networks

    def make(label_ids, **options):
        torch.manual_seed(0)
        config = Config(labeled="a.csv", unlabeled="b.csv", output="o", steps=1, size=32, frames=2, **options)
        return Networks(config, CLASSES, np.array(label_ids)).train()

    return make


def test_distribution_alignment_levels_the_pseudo_labels(small_networks, monkeypatch):
    """Weak views of noise, taken for the first class by a network; wanted is twice as much of the last one."""
    networks = small_networks([0, 1, 2, 2], **ONE, distribution_alignment=True)
    networks["primary"].fc.bias.data = torch.tensor([2.0, 0.0, 0.0])
    clips = torch.randint(0, 256, (4, 1, 3, 2, 32, 32), dtype=torch.uint8)
    batch = {"labeled": clips, "weak": clips, "strong": clips}
    first = networks(batch)[0].weak.softmax(dim=1).mean(dim=0)
    assert first[0] > 0.6
    monkeypatch.setattr("networks.MEMORY", 0.8)
    for _ in range(30):
        last = networks(batch)[0].weak.softmax(dim=1).mean(dim=0)
    torch.testing.assert_close(last, torch.tensor([0.25, 0.25, 0.5]), atol=0.02, rtol=0)
    assert set(networks.state_dict()) >= {"found"}, "a state holds it"


def test_thresholds_by_class_follow_what_the_networks_say(small_networks, monkeypatch):
    networks = small_networks([0, 1, 2], **ONE, threshold=0.5, class_thresholds=True)
    torch.testing.assert_close(networks.threshold, torch.full((3,), 0.5))
    networks["primary"].fc.bias.data = torch.tensor([2.0, 0.0, 0.0])
    clips = torch.randint(0, 256, (4, 1, 3, 2, 32, 32), dtype=torch.uint8)
    monkeypatch.setattr("networks.MEMORY", 0.0)
    said = networks({"labeled": clips, "weak": clips, "strong": clips})[0].weak.softmax(dim=1).mean(dim=0)
    torch.testing.assert_close(networks.threshold, 0.5 * said / said[0])
    assert networks.threshold[1] < 0.25


def test_validating_leaves_frozen_batch_norm_frozen(small_networks, shared_data, lists):

    networks = small_networks([0, 1, 2], **ONE, batch_norm="frozen")
    before = {name: module.training for name, module in networks.named_modules()}
    assert before["primary"] and not before["primary.bn1"]
    val = read_list(lists / "val.csv", shared_data / "mocap13")
    evaluate([[networks["primary"]]], Videos(val.paths, class_ids(val, CLASSES)), torch.device("cpu"), workers=0)
    assert {name: module.training for name, module in networks.named_modules()} == before


def test_a_bf16_step_reaches_every_weight(small_networks):
    """Autocast keeps casted weights: those of the weak pass, which has no gradients, must not stand in for others."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    pair = {"primary": "r3d50_quarter", "auxiliary": "r3d50_eighth"}
    networks = small_networks([0, 1, 2, 2], **pair, drop_rate=0.0, threshold=0.0).to(device)
    from cmpl import objective

    clips = torch.randint(0, 256, (4, 1, 3, 2, 32, 32), dtype=torch.uint8, device=device)
    labels = torch.tensor([0, 1, 2, 2], device=device)
    with torch.autocast(device.type, torch.bfloat16):
        outputs = networks({"labeled": clips, "weak": clips, "strong": clips})
        loss = objective(outputs, labels, networks.config, networks.config.lambda_u, networks.threshold)
    loss.total.backward()
    without = [name for name, weight in networks.named_parameters() if weight.grad is None]
    assert not without
