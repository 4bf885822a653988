"""The part of a training report on pseudo-labels: how many were learned from, how right they were, of which classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from cmpl_zoo.records import collapse_share
from cmpl_zoo.report.charts import curves
from cmpl_zoo.report.pages import shortened

ROLES = ("primary", "auxiliary")
ROWS = 100  # classes in the table, at most
Lines = Sequence[Mapping[str, Any]]


def pseudo_labels(
    lines: Lines, classes: Sequence[str], labeled_ids: Sequence[int] | np.ndarray, threshold: float
) -> dict[str, Any] | None:
    """What the template takes; None where a run has no pseudo-labels.

    Args:
        lines: of the log; see `Meters.read`.
        classes: class names by class id.
        labeled_ids: class ids of the labeled videos.
        threshold: of a pseudo-label's probability.
    """
    sentences, warnings = list[str](), list[str]()
    shares_of_classes: dict[str, np.ndarray] = {}
    charted: dict[str, tuple[list[float], list[float]]] = {}
    for role in ROLES:
        logged = [line for line in lines if line.get(f"{role}/mask") is not None]
        if not logged:
            continue
        for name, key in ((f"{role}: learned from", "mask"), (f"{role}: right", "pseudo_accuracy")):
            known = [line for line in logged if line.get(f"{role}/{key}") is not None]
            if known:
                charted[name] = ([line["step"] for line in known], [100 * line[f"{role}/{key}"] for line in known])
        late = logged[-max(1, len(logged) // 4) :]
        if not any(line[f"{role}/mask"] for line in late):
            warnings.append(
                f"In the last quarter of the steps, no pseudo-label for the {role} network reached the threshold: the "
                "unlabeled videos taught it nothing. A lower --threshold or more labeled videos help."
            )
            continue
        sentences.append(_sentence(role, late))
        shares = _mean(late, role, "pseudo_classes")
        shares_of_classes[role] = shares
        if shares.max() > collapse_share(len(classes)):
            warnings.append(
                f"{100 * shares.max():.0f} % of the late pseudo-labels for the {role} network are "
                f"{classes[int(shares.argmax())]!r}: the networks may be agreeing on nonsense. See "
                "whether the labels alone do better (--scheme none --auxiliary null, in another folder), and try "
                "--balance or a higher --threshold."
            )
    if not charted:
        return None
    labeled = np.bincount(np.asarray(labeled_ids), minlength=len(classes)) / len(labeled_ids)
    order = np.argsort(-sum(shares_of_classes.values(), np.zeros(len(classes))), kind="stable")[:ROWS]
    rows = [
        (shortened(classes[i]), [100 * float(of_role[i]) for of_role in shares_of_classes.values()], 100 * labeled[i])
        for i in order.tolist()
    ]
    return {
        "threshold": threshold,
        "svg": Markup(curves(charted, "%", "pseudo", percent=True)),
        "sentences": sentences,
        "warnings": warnings,
        "roles": list(shares_of_classes),
        "rows": rows if shares_of_classes else [],
    }


def _sentence(role: str, late: Lines) -> str:
    share = sum(line[f"{role}/mask"] for line in late) / len(late)
    known = [line for line in late if line[f"{role}/pseudo_accuracy"] is not None and line[f"{role}/mask"]]
    right = (
        f"{100 * float(_mean(known, role, 'pseudo_accuracy')):.0f} % of these pseudo-labels were right, as far as the "
        "list tells"
        if known
        else "how many of these pseudo-labels were right is not known"
    )
    return (
        f"In the last quarter of the steps, the {role} network learned from {100 * share:.0f} % of the unlabeled "
        f"clips; {right}."
    )


def _mean(lines: Lines, role: str, key: str) -> np.ndarray:
    """The mean over the pseudo-labels of some log lines, each of which has as many as its mask says."""
    masks = np.array([line[f"{role}/mask"] for line in lines])
    return np.average([line[f"{role}/{key}"] for line in lines], axis=0, weights=masks)
