"""The method: pseudo-labels of two networks for each other, and the CMPL loss.

Pure functions on tensors, no I/O. Notation of the paper (Cross-Model Pseudo-Labeling, CVPR 2022): F is the
primary network, A the auxiliary one, w(u) and s(u) the weak and the strong view of unlabeled clips u, p the
softmax of the logits of a weak view, tau the threshold. Masks multiply and never index, so every shape is static.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

SCHEMES = ("cross", "self-first", "opposite-first", "maximum", "average", "self")


class PseudoLabels(NamedTuple):
    """What one network is taught on the unlabeled clips.

    Attributes:
        target: class ids, (batch,) int64, if hard; else class probabilities, (batch, classes).
        mask: (batch,) bool; True where the confidence, the highest probability, is at least the threshold.
    """

    target: Tensor
    mask: Tensor


class CMPLLoss(NamedTuple):
    """The loss and its parts; tuples hold one entry per network, the primary first.

    Attributes:
        total: the scalar to call backward() on.
        supervised: cross-entropy on the labeled clips.
        unsupervised: masked cross-entropy on the strong views, before lambda.
        pseudo: the pseudo-labels that taught each network.
    """

    total: Tensor
    supervised: tuple[Tensor, ...]
    unsupervised: tuple[Tensor, ...]
    pseudo: tuple[PseudoLabels, ...]


def label_distributions(primary: Tensor, auxiliary: Tensor, scheme: str, threshold: float) -> tuple[Tensor, Tensor]:
    """Which network labels which: the label distributions l_F and l_A, before the threshold mask.

    Args:
        primary: p^F, probabilities of shape (batch, classes), rows summing to 1.
        auxiliary: p^A, the same shape.
        scheme: one of `SCHEMES`, as the paper's comparison of labeling schemes (Table 1) defines them.
        threshold: tau in [0, 1]; `self-first` and `opposite-first` turn to the other network below it.

    Returns:
        (l_F, l_A), each (batch, classes): what F and what A is taught.

    Raises:
        ValueError: the scheme is unknown.
    """
    p_f, p_a = primary, auxiliary

    def first_if_sure(first: Tensor, second: Tensor) -> Tensor:
        return torch.where(threshold_labels(first, threshold).mask[:, None], first, second)

    match scheme:
        case "cross":
            return p_a, p_f
        case "self-first":
            return first_if_sure(p_f, p_a), first_if_sure(p_a, p_f)
        case "opposite-first":
            return first_if_sure(p_a, p_f), first_if_sure(p_f, p_a)
        case "maximum":
            more_confident = torch.where((p_f.amax(dim=1) >= p_a.amax(dim=1))[:, None], p_f, p_a)
            return more_confident, more_confident
        case "average":
            mean = (p_f + p_a) / 2
            return mean, mean
        case "self":
            return p_f, p_a
    raise ValueError(f"unknown scheme {scheme!r}: choose one of {', '.join(SCHEMES)}")


def threshold_labels(distribution: Tensor, threshold: float, hard: bool = True) -> PseudoLabels:
    """A label distribution (batch, classes) as training target: it counts where max(p) >= threshold.

    Args:
        distribution: probabilities of shape (batch, classes).
        threshold: tau in [0, 1]; a confidence of exactly tau counts (paper).
        hard: the most probable class as target (our default, as figures in later papers about CMPL show it), or the
            distribution itself (as the paper's formulas are written).
    """
    confidence, label = distribution.max(dim=1)
    return PseudoLabels(label if hard else distribution, confidence >= threshold)


def pseudo_labels(
    primary: Tensor, auxiliary: Tensor | None, scheme: str, threshold: float, hard: bool = True
) -> tuple[PseudoLabels, ...]:
    """Pseudo-labels for each network from the probabilities of both.

    Args:
        primary: p^F = softmax F(w(u)), shape (batch, classes).
        auxiliary: p^A = softmax A(w(u)), the same shape; None for one network, which labels itself: with the scheme
            `self` that is FixMatch.
        scheme: one of `SCHEMES`; see `label_distributions`.
        threshold: tau in [0, 1].
        hard: class ids as targets instead of distributions; see `threshold_labels`.

    Returns:
        The labels for the primary and, where there is one, for the auxiliary. Nothing carries a gradient.

    Raises:
        ValueError: the scheme is unknown, or needs an auxiliary network that is not there.
    """
    if auxiliary is None:
        if scheme != "self":
            raise ValueError(f"scheme {scheme!r} needs an auxiliary network: give one, or use 'self'")
        return (threshold_labels(primary.detach(), threshold, hard),)
    for_primary, for_auxiliary = label_distributions(primary.detach(), auxiliary.detach(), scheme, threshold)
    return threshold_labels(for_primary, threshold, hard), threshold_labels(for_auxiliary, threshold, hard)


def unsupervised_loss(strong: Tensor, pseudo: PseudoLabels) -> Tensor:
    """Cross-entropy of the strong views' logits (batch, classes) to their pseudo-labels.

    The mean is over all clips of the batch, masked ones counting as zero.
    """
    return (cross_entropy(strong, pseudo.target, reduction="none") * pseudo.mask).mean()


def cmpl_loss(
    labeled: Sequence[Tensor],
    labels: Tensor,
    strong: Sequence[Tensor] = (),
    pseudo: Sequence[PseudoLabels] = (),
    lambda_u: float | Tensor = 1.0,
) -> CMPLLoss:
    """The whole loss of one step.

    loss = CE(F(w(v)), y) + CE(A(w(v)), y) + lambda * (masked CE(F(s(u)), l_F) + masked CE(A(s(u)), l_A))

    Of one network only the terms of F are left; without pseudo-labels it is the cross-entropy on the labels alone.

    Args:
        labeled: logits of each network on the labeled clips, (labeled batch, classes), the primary first.
        labels: class ids y of the labeled clips, (labeled batch,) int64.
        strong: logits of each network on the strong views, (unlabeled batch, classes).
        pseudo: what each network is taught on them; see `pseudo_labels`.
        lambda_u: weight of the unsupervised terms. The paper's value is not known; the default is our choice.
    """
    supervised = tuple(cross_entropy(logits.float(), labels) for logits in labeled)
    unsupervised = tuple(unsupervised_loss(logits.float(), label) for logits, label in zip(strong, pseudo, strict=True))
    total = torch.stack(supervised).sum()
    if unsupervised:
        total = total + lambda_u * torch.stack(unsupervised).sum()
    return CMPLLoss(total, supervised, unsupervised, tuple(pseudo))
