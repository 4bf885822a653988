"""The labeling schemes and the loss, against values worked out by hand from the formulas of the paper."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cmpl_zoo.semi import (
    SCHEMES,
    Logits,
    cmpl_loss,
    pseudo_labels,
    threshold_labels,
)

# Four clips, three classes, tau = 0.5. All values are exact in binary, so comparisons with tau are too.
#   clip 0: both sure, of different classes      F: 0 (0.75)    A: 1 (0.625)
#   clip 1: only F reaches tau, exactly          F: 2 (0.5)     A: 0 (0.4375)
#   clip 2: only A reaches tau                   F: 1 (0.4375)  A: 2 (0.875)
#   clip 3: neither reaches tau; a tie           F: 0 (0.4375)  A: 1 (0.4375)
P_F = torch.tensor([[0.75, 0.125, 0.125], [0.25, 0.25, 0.5], [0.25, 0.4375, 0.3125], [0.4375, 0.3125, 0.25]])
P_A = torch.tensor([[0.125, 0.625, 0.25], [0.4375, 0.25, 0.3125], [0.0625, 0.0625, 0.875], [0.25, 0.4375, 0.3125]])
TAU = 0.5

# scheme: ((label, counts) of the four clips for F, the same for A)
BY_HAND = {
    "cross": ([(1, True), (0, False), (2, True), (1, False)], [(0, True), (2, True), (1, False), (0, False)]),
    "self-first": ([(0, True), (2, True), (2, True), (1, False)], [(1, True), (2, True), (2, True), (0, False)]),
    "opposite-first": ([(1, True), (2, True), (2, True), (0, False)], [(0, True), (2, True), (2, True), (1, False)]),
    "maximum": ([(0, True), (2, True), (2, True), (0, False)],) * 2,
    # means: (.4375 .375 .1875) (.34375 .25 .40625) (.15625 .25 .59375) (.34375 .375 .28125)
    "average": ([(0, False), (2, False), (2, True), (1, False)],) * 2,
    "self": ([(0, True), (2, True), (1, False), (0, False)], [(1, True), (0, False), (2, True), (1, False)]),
}


def test_every_scheme_is_worked_out():
    assert set(BY_HAND) == set(SCHEMES)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_scheme_by_hand(scheme):
    for labels, expected in zip(pseudo_labels(P_F, P_A, scheme, TAU), BY_HAND[scheme], strict=True):
        assert list(zip(labels.target.tolist(), labels.mask.tolist(), strict=True)) == expected


@pytest.mark.parametrize("scheme", SCHEMES)
def test_soft_labels_are_the_distribution_behind_the_hard_ones(scheme):
    hard = pseudo_labels(P_F, P_A, scheme, TAU)
    soft = pseudo_labels(P_F, P_A, scheme, TAU, hard=False)
    for h, s in zip(hard, soft, strict=True):
        assert s.target.shape == P_F.shape
        torch.testing.assert_close(s.target.sum(dim=1), torch.ones(4))
        assert torch.equal(s.target.argmax(dim=1), h.target)
        assert torch.equal(s.mask, h.mask)


def test_maximum_gives_a_tie_to_the_primary():
    for labels in pseudo_labels(P_F, P_A, "maximum", 0.0, hard=False):
        assert torch.equal(labels.target[3], P_F[3])


def test_confidence_exactly_at_the_threshold_counts():
    p = torch.tensor([[0.5, 0.25, 0.25]])
    assert threshold_labels(p, 0.5).mask.item()
    assert not threshold_labels(p, math.nextafter(0.5, 1) + 1e-6).mask.item()


def test_unknown_scheme_is_named():
    with pytest.raises(ValueError, match=r"'crossed'.*cross, self-first"):
        pseudo_labels(P_F, P_A, "crossed", TAU)


def logits(labeled, weak_probabilities, strong) -> Logits:
    return Logits(torch.tensor(labeled), torch.tensor(weak_probabilities).log(), torch.tensor(strong))


def test_loss_by_hand():
    # Labeled logits 0: cross-entropy log 2. Strong logits (log 3, 0): -log p is log 4/3 for class 0, log 4 for 1.
    strong = [[math.log(3.0), 0.0]] * 2
    primary = logits([[0.0, 0.0]], [[0.875, 0.125], [0.5, 0.5]], strong)
    auxiliary = logits([[0.0, 0.0]], [[0.25, 0.75], [0.125, 0.875]], strong)
    loss = cmpl_loss(primary, auxiliary, torch.tensor([1]), scheme="cross", threshold=0.75, lambda_u=2.0)
    assert [s.item() for s in loss.supervised] == pytest.approx([math.log(2)] * 2)
    # F learns class 1 on both clips; A class 0 on the first, and the masked second counts as zero in the mean.
    assert loss.unsupervised[0].item() == pytest.approx(math.log(4))
    assert loss.unsupervised[1].item() == pytest.approx(math.log(4 / 3) / 2)
    expected = 2 * math.log(2) + 2.0 * (math.log(4) + math.log(4 / 3) / 2)
    assert loss.total.item() == pytest.approx(expected)


def test_soft_loss_by_hand():
    primary = logits([[0.0, 0.0]], [[0.75, 0.25]], [[math.log(3.0), 0.0]])
    loss = cmpl_loss(primary, None, torch.tensor([0]), scheme="self", threshold=0.5, hard=False)
    assert loss.unsupervised[0].item() == pytest.approx(0.75 * math.log(4 / 3) + 0.25 * math.log(4))


def test_fixmatch_is_self_with_one_network():
    torch.manual_seed(0)
    primary = Logits(torch.randn(2, 5), torch.randn(6, 5), torch.randn(6, 5))
    labels = torch.tensor([0, 3])
    alone = cmpl_loss(primary, None, labels, scheme="self", threshold=0.3)
    with_other = cmpl_loss(primary, Logits(*map(torch.randn_like, primary)), labels, scheme="self", threshold=0.3)
    assert len(alone.supervised) == len(alone.pseudo) == 1
    assert alone.unsupervised[0] == with_other.unsupervised[0]
    assert alone.total == alone.supervised[0] + alone.unsupervised[0]


def test_one_network_cannot_be_labeled_by_another():
    one = Logits(torch.zeros(1, 2), torch.zeros(1, 2), torch.zeros(1, 2))
    with pytest.raises(ValueError, match="needs an auxiliary"):
        cmpl_loss(one, None, torch.tensor([0]), scheme="cross")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("hard", [True, False])
def test_gradients_reach_strong_and_labeled_logits_only(scheme, hard):
    torch.manual_seed(0)
    networks = [Logits(*(torch.randn(4, 3, requires_grad=True) for _ in range(3))) for _ in range(2)]
    loss = cmpl_loss(*networks, torch.tensor([0, 1, 2, 0]), scheme=scheme, threshold=0.0, hard=hard)
    loss.total.backward()
    for network in networks:
        assert network.weak.grad is None
        assert network.labeled.grad.abs().sum() > 0
        assert network.strong.grad.abs().sum() > 0


def test_nothing_above_the_threshold_leaves_the_supervised_loss_and_zero_gradients():
    networks = [Logits(torch.randn(2, 3), torch.zeros(4, 3), torch.randn(4, 3, requires_grad=True)) for _ in "FA"]
    loss = cmpl_loss(*networks, torch.tensor([0, 1]), threshold=0.9)
    loss.total.backward()
    assert loss.total == sum(loss.supervised)
    assert all(torch.equal(n.strong.grad, torch.zeros(4, 3)) for n in networks)


@given(st.sampled_from(SCHEMES), st.floats(0, 1), st.integers(0, 2**31), st.booleans())
def test_masks_mean_confidence_at_least_threshold(scheme, threshold, seed, hard):
    generator = torch.Generator().manual_seed(seed)
    p_f, p_a = (torch.randn(5, 4, generator=generator).mul(3).softmax(1) for _ in "FA")
    distributions = pseudo_labels(p_f, p_a, scheme, threshold, hard=False)
    for labels, soft in zip(pseudo_labels(p_f, p_a, scheme, threshold, hard), distributions, strict=True):
        assert torch.equal(labels.mask, soft.target.amax(dim=1) >= threshold)
    swapped = pseudo_labels(p_a, p_f, scheme, threshold, hard)
    for labels, mirrored in zip(pseudo_labels(p_f, p_a, scheme, threshold, hard), reversed(swapped), strict=True):
        assert torch.equal(labels.mask, mirrored.mask)  # the schemes are symmetrical in the two networks
