"""What networks say of each video of a labeled list: as rows of a file, and which videos are worth a look."""

import os
from collections.abc import Mapping, Sequence

import numpy as np

from cmpl_zoo._files import as_csv, replace_text
from cmpl_zoo.datasets.lists import Videos
from cmpl_zoo.evaluation import Evaluation

COLUMNS = ("predicted", "probability", "right", "label_probability")  # of each network


def write_predictions(
    file: str | os.PathLike[str], videos: Videos, classes: Sequence[str], evaluations: Mapping[str, Evaluation]
) -> None:
    """Write predictions.csv: a row for each video of a list, in its order.

    The columns are path, label, predicted, probability, right (yes or no), label_probability (of the true class) and
    error, which is empty but where the video cannot be read; then the others are. Of a further network the columns
    begin with its role, as auxiliary_predicted.

    Args:
        file: to write, atomically.
        videos: of the list.
        classes: class names by class id.
        evaluations: by role of the network, or `vote`; the first one's columns have no role before them.

    Raises:
        OSError: it cannot be written.
    """
    first = next(iter(evaluations))
    prefixes = {role: "" if role == first else f"{role}_" for role in evaluations}
    rows: list[dict[str, object]] = []
    for index, (path, label) in enumerate(zip(videos.paths, videos.ids, strict=True)):
        # Some bytes of file names are no text, and are spelled out.
        row: dict[str, object] = {"path": path.encode("utf-8", "backslashreplace").decode(), "label": classes[label]}
        for role, evaluation in evaluations.items():
            row["error"] = evaluation.unreadable.get(index, "")
            if row["error"]:
                continue
            probabilities = evaluation.probabilities[index]
            predicted = int(probabilities.argmax())
            values = (
                classes[predicted],
                f"{probabilities[predicted]:.4f}",
                "yes" if predicted == label else "no",
                f"{probabilities[label]:.4f}",
            )
            row |= {prefixes[role] + column: value for column, value in zip(COLUMNS, values, strict=True)}
        rows.append(row)
    columns = [prefix + column for prefix in prefixes.values() for column in COLUMNS]
    replace_text(file, as_csv(rows, ["path", "label", *columns, "error"]))


def surest_mistakes(videos: Videos, evaluation: Evaluation, most: int) -> list[int]:
    """The indices of the videos that are taken for another class with the highest probability, highest first."""
    predicted, probability = _predicted(evaluation)
    wrong = np.flatnonzero((predicted != np.asarray(videos.ids)) & ~np.isnan(probability))
    return wrong[np.argsort(-probability[wrong], kind="stable")][:most].tolist()


def least_sure(evaluation: Evaluation, most: int) -> list[int]:
    """The indices of the videos whose most probable class has the lowest probability, lowest first."""
    _, probability = _predicted(evaluation)
    readable = np.flatnonzero(~np.isnan(probability))
    return readable[np.argsort(probability[readable], kind="stable")][:most].tolist()


def most_confused(confusion: Sequence[Sequence[int]], most: int) -> list[tuple[int, int, int]]:
    """The pairs of classes that are confused most: true class, predicted class, and in how many videos."""
    table = np.array(confusion)
    np.fill_diagonal(table, 0)
    order = np.argsort(-table, axis=None, kind="stable")[:most]
    pairs = [(int(row), int(column)) for row, column in zip(*np.unravel_index(order, table.shape), strict=True)]
    return [(row, column, int(table[row, column])) for row, column in pairs if table[row, column]]


def _predicted(evaluation: Evaluation) -> tuple[np.ndarray, np.ndarray]:
    """The most probable class of each video and its probability; NaN where a video cannot be read."""
    predicted = evaluation.probabilities.argmax(axis=1)
    return predicted, np.take_along_axis(evaluation.probabilities, predicted[:, None], axis=1)[:, 0]
