"""Random splits of a list: videos that keep their label, unlabeled videos, and videos for validation."""

import math
import os
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from cmpl_zoo._files import as_csv, replace_text
from cmpl_zoo.datasets.lists import ListError, VideoList
from cmpl_zoo.video.segments import split_fragment

SAMPLINGS = ("uniform", "category-wise")


def split_list(
    video_list: VideoList,
    labels_per_class: int | None,
    seed: int = 0,
    *,
    sampling: str = "uniform",
    val: float = 0.0,
    group: str | None = None,
) -> dict[str, list[int]]:
    """Draw at random which videos keep their label, and which are held out for validation.

    Args:
        video_list: its videos without a label are unlabeled, or, if their group is held out, left out.
        labels_per_class: number of labeled videos per class (`uniform`) or per class on average (`category-wise`);
            None keeps all labels.
        seed: seed of the draw.
        sampling: `uniform` draws the same number from each class; `category-wise` draws labels_per_class x classes
            videos in proportion to the sizes of the classes (largest remainder), at least one per class (the paper's
            Table 4).
        val: share of the videos of each class, in [0, 1), that is held out before labels are drawn.
        group: name of a column, such as a source or an actor; videos with the same value are held out together or not
            at all. A group counts for its most frequent class. By default, and where a video has no value, the groups
            are the recordings: each video, or all segments of a file (see `VideoList.recording`).

    Returns:
        Indices into the list, increasing: `labeled`, `unlabeled` (the rest, if there is one or labels are drawn), and
        `val` if asked for.

    Raises:
        ListError: there are too few videos, no video has a label, none of a class remains for training, or there is no
            such column.
        ValueError: an argument is out of range.
    """
    if labels_per_class is not None and labels_per_class < 1:
        raise ValueError(f"labels_per_class must be at least 1, not {labels_per_class}")
    if labels_per_class is None and not val:
        raise ValueError(
            "--labels-per-class all without --val-share leaves the list unchanged; give one of them another value"
        )
    if not 0 <= val < 1:
        raise ValueError(f"val must be a share of the videos, at least 0 and below 1, not {val}")
    if sampling not in SAMPLINGS:
        raise ValueError(f"unknown sampling {sampling!r}: choose one of {', '.join(SAMPLINGS)}")
    if group is not None and group not in video_list.rows[0]:
        raise ListError(f"{video_list.file}: no column {group!r} to group by; its columns are "
                            f"{', '.join(video_list.rows[0])}")  # fmt: skip

    labels = video_list.labels
    if labels is None or not any(labels):
        raise ListError(f"{video_list.file}: no video has a label; fill in the column label")
    held_out = set(_draw_validation(video_list, labels, seed, val, group))
    validation = sorted(index for index in held_out if labels[index])
    if val and not validation:
        most = max(Counter(filter(None, labels)).values())
        raise ListError(
            f"{video_list.file}: --val-share {val} of the videos of each class is less than half of a video, as no "
            f"class has more than {most}; give at least {math.floor(50 / most + 1) / 100:.2f}, or 0 for no validation"
        )
    by_class: dict[str, list[int]] = {label: [] for label in sorted(set(labels))}
    for index, label in enumerate(labels):
        if index not in held_out:
            by_class[label].append(index)
    without_label = by_class.pop("", [])
    if empty := [label for label, members in by_class.items() if not members]:
        whole, other = (f", which takes whole {group or 'recording'}s,", ", or group by another column")
        if not group and len({video_list.recording(i) for i in range(len(video_list))}) == len(video_list):
            whole = other = ""
        raise ListError(
            f"{video_list.file}: --val-share {val}{whole} would take all videos of class {empty[0]!r}; lower it or add "
            f"videos{other}"
        )
    if labels_per_class is None:
        split = {"labeled": sorted(i for members in by_class.values() for i in members), "val": validation}
        return split | ({"unlabeled": without_label} if without_label else {})

    sizes = {label: len(members) for label, members in by_class.items()}
    quotas = dict.fromkeys(sizes, labels_per_class)
    if sampling == "category-wise":
        quotas = _proportional_quotas(video_list, sizes, labels_per_class * len(sizes))
    labeled: list[int] = []
    for label, members in by_class.items():
        if len(members) < quotas[label]:
            raise ListError(
                f"{video_list.file}: class {label!r} has {len(members)} videos, fewer than the {quotas[label]} labels "
                f"asked for; lower --labels-per-class or --val-share"
            )
        labeled += random.Random(f"labels/{seed}/{label}").sample(members, quotas[label])
    chosen = set(labeled)
    rest = [i for members in by_class.values() for i in members if i not in chosen] + without_label
    split = {"labeled": sorted(labeled), "unlabeled": sorted(rest)}
    return split | ({"val": validation} if val else {})


def _draw_validation(
    video_list: VideoList, labels: Sequence[str], seed: int, val: float, group: str | None
) -> list[int]:
    """Indices of the videos held out, with those without a label in their groups.

    Whole groups in random order, class by class, until each has its share.
    """
    groups: dict[str, list[int]] = {}
    for index, row in enumerate(video_list.rows):
        groups.setdefault((group and row[group]) or video_list.recording(index), []).append(index)
    by_class: dict[str, list[list[int]]] = {label: [] for label in sorted(set(labels) - {""})}
    for members in groups.values():
        if counts := Counter(labels[i] for i in members if labels[i]):
            by_class[counts.most_common(1)[0][0]].append(members)

    drawn: list[int] = []
    for label, candidates in by_class.items():
        wanted = round(val * sum(_labeled(members, labels) for members in candidates))
        random.Random(f"val/{seed}/{label}").shuffle(candidates)
        taken = 0
        for members in candidates:
            if taken >= wanted:
                break
            drawn += members
            taken += _labeled(members, labels)
    return drawn


def _labeled(members: Sequence[int], labels: Sequence[str]) -> int:
    """How many of some videos have a label."""
    return sum(bool(labels[index]) for index in members)


def _proportional_quotas(video_list: VideoList, sizes: dict[str, int], total: int) -> dict[str, int]:
    """Divide `total` labels in proportion to the sizes of the classes: largest remainder, at least one per class."""
    videos = sum(sizes.values())
    if total > videos:
        raise ListError(
            f"{video_list.file}: {total} labels are asked for, but there are only {videos} videos; "
            "lower --labels-per-class or --val-share"
        )
    shares = {label: total * size / videos for label, size in sizes.items()}
    quotas = {label: max(1, int(share)) for label, share in shares.items()}
    while sum(quotas.values()) < total:
        quotas[max(quotas, key=lambda label: shares[label] - quotas[label])] += 1
    while sum(quotas.values()) > total:  # small classes got more than their share, by the minimum of one
        reducible = [label for label in quotas if quotas[label] > 1]
        quotas[min(reducible, key=lambda label: shares[label] - quotas[label])] -= 1
    return quotas


def write_split(video_list: VideoList, split: dict[str, list[int]], directory: str | os.PathLike[str],
                *, keep_labels: bool = False, group: str | None = None) -> None:  # fmt: skip
    """Write `labeled.csv`, `unlabeled.csv` and `val.csv`, those that the split has, with all columns of the list.

    Args:
        video_list: the list that was split.
        split: the result of `split_list`.
        directory: created if missing; lists of these names in it are replaced.
        keep_labels: keep the label column of `unlabeled.csv`, to measure pseudo-labels; training does not use it.
        group: as for `split_list`; in a list of segments or recordings it becomes the column `recording`, so that
            training takes segments of one file whose groups differ as of different recordings.

    Raises:
        OSError: a list cannot be written.
    """
    for name, text in split_texts(video_list, split, keep_labels=keep_labels, group=group).items():
        replace_text(Path(directory, name), text)


def split_texts(
    video_list: VideoList, split: dict[str, list[int]], *, keep_labels: bool = False, group: str | None = None
) -> dict[str, str]:
    """What `write_split` writes, by the name of the file."""
    texts = {}
    rows, columns = video_list.rows, list(video_list.rows[0])
    if group and (video_list.recordings or any(split_fragment(path)[1] for path in video_list.paths)):
        rows = [row | {"recording": row[group] or row.get("recording", "")} for row in rows]
        columns = list(rows[0])
    for name, indices in split.items():
        hide = name == "unlabeled" and not keep_labels
        kept = [column for column in columns if not (hide and column == "label")]
        texts[f"{name}.csv"] = as_csv((rows[i] for i in indices), kept)
    return texts
