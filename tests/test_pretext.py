"""Pretext tasks: what holds for every one of them."""

import math

import numpy as np
import pytest
import torch
from pretext_clips import batch_of, inputs, trained

from cmpl_zoo.pretext import TASKS, MoCo, Motion


@pytest.mark.parametrize("name", TASKS)
def test_inputs_follow_from_the_generator(name, moving_figures, any_task):
    task = any_task(name)
    clips, targets = inputs(task, moving_figures[0], seed=1)
    assert clips.shape == (task.clips, 3, task.clip.frames, 32, 32)
    assert clips.dtype == torch.uint8
    assert targets.shape[0] == task.clips
    assert targets.dtype == torch.int64
    for seed in range(20):  # of another video in between
        inputs(task, moving_figures[1], seed)
    again, same = inputs(task, moving_figures[0], seed=1)
    assert again.equal(clips)
    assert same.equal(targets)
    assert not inputs(task, moving_figures[0], seed=2)[0].equal(clips)


@pytest.mark.parametrize("name", TASKS)
def test_every_weight_learns_and_no_average_does(name, moving_figures, any_task):
    task = any_task(name)
    batch = batch_of(task, moving_figures)
    model, head, _ = trained(task, [batch])  # at the start, blocks end in a zero, behind which nothing learns
    loss = task.loss(model, head, *batch)
    loss.total.backward()
    assert loss.total.shape == loss.right.shape == ()
    assert 0 <= loss.right <= 1
    assert not loss.right.requires_grad
    for part, weight in [*model.named_parameters(), *head.named_parameters()]:
        if "average." in part:
            assert weight.grad is None and not weight.requires_grad
        else:
            assert weight.grad.abs().sum() > 0, part


@pytest.mark.parametrize("name", TASKS)
def test_loss_falls_on_a_few_videos(name, moving_figures, any_task):
    task = any_task(name)
    batch = batch_of(task, moving_figures if isinstance(task, MoCo) else moving_figures[: 12 // task.clips])
    _, _, losses = trained(task, [batch] * 25)
    chance = losses[0] if isinstance(task, Motion) else math.log(task.classes)  # squared errors of its numbers
    assert losses[0] > 0.9 * chance
    assert np.mean(losses[-3:]) < (0.8 if isinstance(task, MoCo) else 0.4) * chance  # its keys are slow
