"""What may be wrong with lists of one's own videos, in sentences: names of classes, and recordings on both sides."""

import os
import re
from collections.abc import Mapping

from cmpl_zoo.datasets.classes import alike
from cmpl_zoo.tools.find_videos import ListRow

NOT_GROUPS = ("path", "label", "start", "end", "predicted", "probability", "disagreement")  # columns of lists


def predicted_labels(rows: list[ListRow]) -> list[str]:
    """A sentence where labels are what a network has predicted: there is a column of probabilities for each class."""
    if not {row["label"] for row in rows} <= rows[0].keys():
        return []
    return [
        "the labels have a column of probabilities for each class, as cmpl-zoo predict --csv writes them: if nobody "
        "has looked at them, a network learns the mistakes of another one"
    ]


def found_elsewhere(paths: list[tuple[str, str]]) -> list[str]:
    """A sentence where labels are of videos in other folders than their file says; see `FoundVideos`."""
    if not paths:
        return []
    listed, found = paths[0]
    return [
        f"{len(paths)} labels are of videos in other folders than their file says, as it names none there ({found} for "
        f"{listed}): if that is another video, delete these labels"
    ]


def classes_alike(sizes: Mapping[str, int]) -> list[str]:
    """A sentence for each class whose name is that of a larger one but for what `alike` passes over.

    Args:
        sizes: how many videos each class has.
    """
    return [
        f"class {name!r} ({sizes[name]} videos) is {largest!r} ({sizes[largest]}) but for case, spaces, hyphens, "
        "underscores or the code of accents: if they are one, correct these labels"
        for largest, *others in alike(sorted(sizes, key=lambda name: (-sizes[name], name)))
        for name in others
    ]


def untold_recordings(rows: list[ListRow], group: str) -> list[str]:
    """A sentence where labeled videos have no value, or their path, in the column of their groups, and are groups of
    their own."""
    untold = [row["path"] for row in rows if row[group] in ("", row["path"])] if group != "folder" else []
    if not untold:
        return []
    return [
        f"{len(untold)} of {len(rows)} labeled videos have nothing in the column {group} (such as {untold[0]}), and "
        "count as recordings of their own; if some are of one recording, accuracy looks better than it is: fill it in"
    ]


def untold_recordings_of_others(rows: list[ListRow], group: str) -> list[str]:
    """A sentence where videos without a label have no value in the column of the groups."""
    untold = [row["path"] for row in rows if not row[group]]
    if not untold:
        return []
    return [
        f"{len(untold)} of {len(rows)} videos without a label have nothing in the column {group} (such as "
        f"{untold[0]}), and may be of recordings that are held out to validate on: list them with an empty label, "
        "and fill it in"
    ]


def same_subfolders(rows: list[ListRow]) -> list[str]:
    """A sentence where each class folder holds folders of the same names, which may be the classes.

    Args:
        rows: of labeled videos in class folders.
    """
    names: dict[str, set[str]] = {}
    for row in rows:
        below = row["path"].split("/")[1:]
        names.setdefault(row["label"], set()).add(below[0] if len(below) > 1 else "")
    first, *others = names.values()
    if len(first) < 2 or "" in first or not others or any(other != first for other in others):
        return []
    return [
        f"each of the class folders {', '.join(sorted(names))} holds the folders {', '.join(sorted(first))}: if these "
        "are the classes, give the labels in a file by --labels; if they are recordings or people, --group folder "
        "keeps the videos of each together"
    ]


def of_videos_held_out(count: int, first: str, val: str) -> str:
    """The sentence that videos are left out which another list has, to validate on."""
    return f"{count} videos are left out (such as {first}): they, or their recordings, are in {val}"


def of_held_out_recordings(rows: list[ListRow], group: str, held_out: set[str]) -> list[str]:
    """A sentence where videos without a label are not learned from, as their recordings are held out."""
    left_out = [row["path"] for row in rows if row[group] in held_out]
    if not left_out:
        return []
    return [
        f"{len(left_out)} of {len(rows)} videos without a label are left out (such as {left_out[0]}): their recordings "
        "are held out to validate on"
    ]


def doubtful_recordings(labeled: list[ListRow], val: list[ListRow]) -> list[str]:
    """A sentence where a video that is held out may be of the recording of one that is learned from.

    Args:
        labeled: rows of the videos to learn from: `path` and, if class folders have subfolders, `folder`.
        val: rows of those that are held out.
    """
    how, pairs = pairs_alike(val, labeled)
    if not pairs:
        return []
    columns = group_columns(labeled + val)
    by = " or ".join(f"--group {name}" for name in columns) or "--group COLUMN of --labels"
    if "folder" not in columns:
        by += ", or give each a folder of its own, and --group folder"
    return [
        f"{len(pairs)} of {len(val)} videos to validate on {how.format('a video to learn from')} (such as "
        f"{pairs[0][0]} and {pairs[0][1]}); if such are clips of one recording, accuracy looks better than it is: name "
        f"the recordings by {by}"
    ]


def doubtful_folds(rows: list[ListRow]) -> list[str]:
    """A sentence where videos that are held out in turn may be of the recording of another one.

    Args:
        rows: of all of them: `path` and the other columns of their list.
    """
    how, pairs = pairs_alike(rows, rows)
    if not pairs:
        return []
    columns = group_columns(rows)
    advice = "name the recordings in a column of the list, make the features again, and give --group COLUMN"
    if columns:
        advice = "give " + " or ".join(f"--group {name}" for name in columns)
    return [
        f"{len(pairs)} of {len(rows)} videos {how.format('another')} (such as {pairs[0][0]} and {pairs[0][1]}); if "
        f"such are clips of one recording, accuracy looks better than it is: {advice}"
    ]


def pairs_alike(rows: list[ListRow], others: list[ListRow]) -> tuple[str, list[tuple[str, str]]]:
    """Which rows may be of the recording of another video, with that one, and how they are alike.

    The rule: both are in one subfolder of a class, or have one name, without folder, suffix, and a number at its end.
    """

    def folder(row: ListRow) -> str:
        return "" if row.get("folder", row["path"]) == row["path"] else row["folder"]

    def name(row: ListRow) -> str:
        return name_without_number(row["path"])

    for key, how in (
        (folder, "are in a folder of the same name as {}"),
        (name, "have the name of {}, but for a number at its end"),
    ):
        by_key: dict[str, list[str]] = {}
        for other in others:
            by_key.setdefault(key(other), []).append(other["path"])
        found = [
            (row["path"], next((path for path in by_key.get(key(row), ()) if path != row["path"]), ""))
            for row in rows
            if key(row)
        ]
        if pairs := [(path, other) for path, other in found if other]:
            return how, pairs
    return "", []


def group_columns(rows: list[ListRow]) -> list[str]:
    """The columns by which videos could be grouped: neither all the same, nor all different, nor a class's."""
    classes = {row.get("label") for row in rows}
    values = {name: {row[name] for row in rows} - {""} for name in rows[0].keys() - {*NOT_GROUPS, *classes}}
    return [name for name in rows[0] if 1 < len(values.get(name, ())) < len(rows)]


def name_without_number(path: str) -> str:
    """The name of a video without folder, suffix, and a number at its end with what separates it: `run_03.mp4` and
    `run_04.avi` are both `run`."""
    return re.sub(r"[\W_]*\d+$", "", os.path.splitext(os.path.basename(path))[0])
