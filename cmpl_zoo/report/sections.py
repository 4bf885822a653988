"""The parts of a report that runs and evaluations have in common, as their templates take them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup

from cmpl_zoo.datasets.lists import Videos
from cmpl_zoo.evaluation import Evaluation
from cmpl_zoo.records import Scores, video_tops, videos_right, views_text
from cmpl_zoo.report.charts import COLORS, LETTERS, feature_map
from cmpl_zoo.report.contact_sheet import ByteBudget, Picture, Tile, picture_of
from cmpl_zoo.report.intervals import top1_interval, wilson
from cmpl_zoo.report.pages import shortened
from cmpl_zoo.report.predictions import least_sure, most_confused, surest_mistakes

READABLE = 20  # classes of a confusion matrix, or with a letter in the map
ROWS = 100  # classes of a table; of more, the worst and the best half of that
SHEET = 12  # videos of a contact sheet
SURE = 0.95  # a class that is more probable is not among the least sure ones
BYTES_OF_SHEETS = 1_500_000  # bytes of both sheets


@dataclass(frozen=True)
class Result:
    """An accuracy and what to compare it with; numbers in percent.

    Attributes:
        name: of what was measured, such as `primary`.
        top1: of videos.
        low: end of its 95 % interval.
        high: likewise.
        right: videos.
        scores: all of them.
        top5: of videos, where there are more than five classes.
        views: the protocol, in words.
        verdict: the comparison with always naming the largest class, in words.
    """

    name: str
    top1: float
    low: float
    high: float
    right: int
    scores: Scores
    top5: float | None
    views: str
    verdict: str


def accuracy(evaluations: Mapping[str, Evaluation], videos: Videos, classes: Sequence[str]) -> dict[str, Any]:
    """What the templates take of evaluations of the same videos, by name; all but `results` is of the first one."""
    first = next(iter(evaluations.values()))
    return {
        "results": [result(name, evaluation.scores) for name, evaluation in evaluations.items()],
        "unreadable": len(first.unreadable),
        "recordings": videos.recordings,
        "confusion": confusion(first.scores, classes),
        "classes": class_rows(videos, first.scores, classes),
        "sheets": sheets(videos, classes, first),
        "map": video_map(videos, classes, first),
    }


def result(name: str, scores: Scores) -> Result:
    """The accuracy of a network or an ensemble, for a reader."""
    low, high = top1_interval(scores)
    largest = f"always naming the largest class ({scores['largest_class']:.1f} %)"
    if low > scores["largest_class"]:
        verdict = f"better than {largest}"
    elif scores["video_top1"] > scores["largest_class"]:
        verdict = f"not clearly better than {largest}, which the interval includes: more test videos would tell"
    else:
        verdict = f"no better than {largest}"
    return Result(
        name,
        scores["video_top1"],
        low,
        high,
        videos_right(scores),
        scores,
        video_tops(scores).get(5),
        views_text(scores),
        verdict,
    )


def confusion(scores: Scores, classes: Sequence[str]) -> dict[str, Any]:
    """The confusion matrix of up to `READABLE` classes, else the pairs that are confused most."""
    if len(classes) > READABLE:
        pairs = most_confused(scores["confusion"], READABLE)
        return {"pairs": [(shortened(classes[a]), shortened(classes[b]), count) for a, b, count in pairs]}
    rows = [
        (shortened(name), [(count, round(100 * count / max(1, sum(counts)))) for count in counts])
        for name, counts in zip(classes, scores["confusion"], strict=True)
    ]
    return {"classes": [shortened(name) for name in classes], "rows": rows}


def class_rows(videos: Videos, scores: Scores, classes: Sequence[str]) -> dict[str, Any]:
    """The classes that occur, from the least to the most accurate, with what each is taken for most often."""
    sizes = Counter(np.asarray(videos.ids).tolist())
    rows: list[dict[str, Any]] = []
    for class_id, size in sizes.items():
        counts = scores["confusion"][class_id]
        right = counts[class_id]
        others = [count if other != class_id else 0 for other, count in enumerate(counts)]
        taken_for = f"{shortened(classes[others.index(max(others))])} ({max(others)})" if any(others) else ""
        low, high = wilson(right, size)
        rows.append(
            {
                "name": shortened(classes[class_id]),
                "videos": size,
                "right": right,
                "accuracy": 100 * right / size,
                "interval": f"{low:.0f} to {high:.0f}",
                "taken_for": taken_for,
            }
        )
    rows.sort(key=lambda row: (row["accuracy"], -row["videos"], row["name"]))
    left_out = max(0, len(rows) - ROWS)
    return {"rows": rows if not left_out else rows[: ROWS // 2] + rows[-ROWS // 2 :], "left_out": left_out}


def sheets(videos: Videos, classes: Sequence[str], evaluation: Evaluation) -> dict[str, list[Picture]]:
    """Contact sheets of the surest mistakes and, of the other videos, of those that the network is least sure of."""
    mistakes = surest_mistakes(videos, evaluation, SHEET)
    others = [
        index
        for index in least_sure(evaluation, 2 * SHEET)
        if index not in mistakes and evaluation.probabilities[index].max() < SURE
    ]
    chosen = {"mistakes": mistakes, "unsure": others[:SHEET]}
    budget = ByteBudget(BYTES_OF_SHEETS, sum(map(len, chosen.values())))
    found: dict[str, list[Picture]] = {}
    for sheet, indices in chosen.items():
        found[sheet] = []
        for index in indices:
            probabilities = evaluation.probabilities[index]
            predicted, label = int(probabilities.argmax()), int(videos.ids[index])
            title = f"{classes[label]} → {classes[predicted]}, {100 * probabilities[predicted]:.0f} %"
            if predicted == label:
                title += " (right)"
            found[sheet].append(picture_of(Tile(videos.paths[index], title, [videos.paths[index]]), budget))
    return found


def video_map(videos: Videos, classes: Sequence[str], evaluation: Evaluation) -> dict[str, Any] | None:
    """The first two principal components of the features, None where there are too few videos for them."""
    features = evaluation.features.astype(np.float64)
    if len(features) < 3 or not np.isfinite(features).all():
        return None
    points, explained = principal_components(features)
    ids = np.asarray(videos.ids)[evaluation.mapped]
    common = [class_id for class_id, _ in Counter(ids.tolist()).most_common(READABLE)]
    shown = sorted(common)
    legend = [
        (LETTERS[number], COLORS[number % len(COLORS)], shortened(classes[class_id]))
        for number, class_id in enumerate(shown)
    ]
    return {
        "svg": Markup(feature_map(points, ids, shown, "map")),
        "legend": legend,
        "videos": len(features),
        "explained": 100 * explained,
        "other_classes": len(set(ids.tolist())) - len(shown),
    }


def principal_components(features: np.ndarray) -> tuple[np.ndarray, float]:
    """The first two principal components of (rows, columns) with their share of the variance, from 0 to 1.

    The sign of a component is such that its largest value is positive.
    """
    centered = features - features.mean(axis=0)
    wide = centered.shape[1] > centered.shape[0]
    squares = centered @ centered.T if wide else centered.T @ centered
    values, vectors = np.linalg.eigh(squares)
    values, vectors = values[::-1][:2].clip(min=0), vectors[:, ::-1][:, :2]
    points = vectors * np.sqrt(values) if wide else centered @ vectors
    points = points * np.where(points.max(axis=0) < -points.min(axis=0), -1, 1)
    variance = float(np.trace(squares))
    return points, float(values.sum()) / variance if variance else 0.0


def duration(seconds: float) -> str:
    """A time for a reader."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
