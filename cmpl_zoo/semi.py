"""The method: pseudo-labels of two networks for each other, and the CMPL loss.

Pure functions on tensors, no I/O. Notation of the paper (Cross-Model Pseudo-Labeling, CVPR 2022): F is the
primary network, A the auxiliary one, w(u) and s(u) the weak and the strong view of unlabeled clips u, p the
softmax of the logits of a weak view, tau the threshold. Masks multiply and never index, so every shape is static.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

SCHEMES = ("cross", "self-first", "opposite-first", "maximum", "average", "self")


class PseudoLabels(NamedTuple):
    """What one network is taught on the unlabeled clips.

    Attributes:
        target: class ids, (batch,) int64, if hard; else class probabilities, (batch, classes).
        mask: (batch,) bool; True where the confidence, the highest probability, is at least the threshold.
    """

    target: Tensor
    mask: Tensor


class Logits(NamedTuple):
    """One network's outputs in one step, before the softmax.

    Attributes:
        labeled: of the labeled clips, (labeled batch, classes).
        weak: of the weak views of the unlabeled clips, without gradient, (unlabeled batch, classes).
        strong: of the strong views of the same clips, (unlabeled batch, classes).
    """

    labeled: Tensor
    weak: Tensor
    strong: Tensor


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


def label_distributions(
    primary: Tensor, auxiliary: Tensor, scheme: str, threshold: float | Tensor
) -> tuple[Tensor, Tensor]:
    """Which network labels which: the label distributions l_F and l_A, before the threshold mask.

    Args:
        primary: p^F, probabilities of shape (batch, classes), rows summing to 1.
        auxiliary: p^A, the same shape.
        scheme: one of `SCHEMES`, as the paper's comparison of labeling schemes (Table 1) defines them.
        threshold: tau in [0, 1], or one for each class; `self-first` and `opposite-first` turn to the other network
            below it.

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


def threshold_labels(distribution: Tensor, threshold: float | Tensor, hard: bool = True) -> PseudoLabels:
    """A label distribution (batch, classes) as training target: it counts where max(p) >= threshold.

    Args:
        distribution: probabilities of shape (batch, classes).
        threshold: tau in [0, 1], or one for each class; a confidence of exactly tau counts (paper).
        hard: the most probable class as target (our default, as a descendant's figure shows it), or the
            distribution itself (as the paper's formulas are written).
    """
    confidence, label = distribution.max(dim=1)
    least = threshold[label] if isinstance(threshold, Tensor) else threshold
    return PseudoLabels(label if hard else distribution, confidence >= least)


def pseudo_labels(
    primary: Tensor, auxiliary: Tensor, scheme: str, threshold: float | Tensor, hard: bool = True
) -> tuple[PseudoLabels, PseudoLabels]:
    """Pseudo-labels for the primary and for the auxiliary network from the probabilities of both.

    Args:
        primary: p^F = softmax F(w(u)), shape (batch, classes).
        auxiliary: p^A = softmax A(w(u)), shape (batch, classes).
        scheme: one of `SCHEMES`; see `label_distributions`.
        threshold: tau in [0, 1], or one for each class; see `class_thresholds`.
        hard: class ids as targets instead of distributions; see `threshold_labels`.

    Returns:
        The labels for the primary, the labels for the auxiliary. Nothing carries a gradient.

    Raises:
        ValueError: the scheme is unknown.
    """
    for_primary, for_auxiliary = label_distributions(primary.detach(), auxiliary.detach(), scheme, threshold)
    return threshold_labels(for_primary, threshold, hard), threshold_labels(for_auxiliary, threshold, hard)


def align(weak: Tensor, wanted: Tensor, found: Tensor) -> Tensor:
    """Distribution alignment: probabilities times wanted / found, renormalized (ReMixMatch, ICLR 2020; not CMPL's).

    Args:
        weak: logits of shape (batch, classes).
        wanted: share of each class among the labels, (classes,).
        found: mean probability of each class so far, (classes,).

    Returns:
        Logits whose softmax that is.
    """
    return weak + (wanted / found).log()


def class_thresholds(threshold: float, found: Tensor) -> Tensor:
    """The threshold for the class met most, a lower one for rarer classes (not part of CMPL).

    FreeMatch (ICLR 2023) weighs classes so; that tau is fixed is our choice.

    Args:
        threshold: tau in [0, 1].
        found: mean probability of each class so far, (classes,).

    Returns:
        tau * found / max(found), (classes,).
    """
    return threshold * found / found.amax()


def unsupervised_loss(strong: Tensor, pseudo: PseudoLabels, own_share: float = 1.0) -> Tensor:
    """Cross-entropy of the strong views' logits (batch, classes) to their pseudo-labels.

    The mean is over all clips of the batch, masked ones counting as zero. Where clips are mixed, a clip's own label
    counts for `own_share`, and that of the next clip of the batch, a box of which it shows, for the rest.
    """
    loss = F.cross_entropy(strong, pseudo.target, reduction="none") * pseudo.mask
    if own_share < 1:
        of_next = F.cross_entropy(strong, pseudo.target.roll(-1, 0), reduction="none") * pseudo.mask.roll(-1)
        loss = own_share * loss + (1 - own_share) * of_next
    return loss.mean()


def cmpl_loss(
    primary: Logits,
    auxiliary: Logits | None,
    labels: Tensor,
    *,
    scheme: str = "cross",
    threshold: float | Tensor = 0.8,
    lambda_u: float | Tensor = 1.0,
    hard: bool = True,
    own_share: float = 1.0,
) -> CMPLLoss:
    """The whole loss of one step.

    loss = CE(F(w(v)), y) + CE(A(w(v)), y) + lambda * (masked CE(F(s(u)), l_F) + masked CE(A(s(u)), l_A))

    With `auxiliary=None` only the terms of F are left, and with `scheme="self"` that is FixMatch.

    Args:
        primary: the outputs of F.
        auxiliary: the outputs of A, or None for one network.
        labels: class ids of the labeled clips, (labeled batch,) int64.
        scheme: one of `SCHEMES`; one network alone allows `self` only.
        threshold: tau in [0, 1], or one for each class. The paper's value is not known; the default is our choice.
        lambda_u: weight of the unsupervised terms. The paper's value is not known; the default is our choice.
        hard: class ids as targets instead of distributions.
        own_share: part of its own that a strong view shows, where clips are mixed; see `cmpl_zoo.data.mix_clips`.

    Raises:
        ValueError: the scheme is unknown, or needs an auxiliary network that is not there.
    """
    if auxiliary is None and scheme != "self":
        raise ValueError(f"scheme {scheme!r} needs an auxiliary network: give one, or use 'self'")
    p_f = primary.weak.float().softmax(dim=1)
    # One network labels itself whatever the partner says: standing in for it keeps a single path.
    p_a = p_f if auxiliary is None else auxiliary.weak.float().softmax(dim=1)
    networks = (primary,) if auxiliary is None else (primary, auxiliary)
    pseudo = pseudo_labels(p_f, p_a, scheme, threshold, hard)[: len(networks)]

    supervised = tuple(F.cross_entropy(n.labeled.float(), labels) for n in networks)
    unsupervised = tuple(
        unsupervised_loss(n.strong.float(), label, own_share) for n, label in zip(networks, pseudo, strict=True)
    )
    total = torch.stack(supervised).sum() + lambda_u * torch.stack(unsupervised).sum()
    return CMPLLoss(total, supervised, unsupervised, pseudo)
