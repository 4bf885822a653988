"""What an evaluation and a run report, as cards, tables and JSON files have it."""

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict


class Scores(TypedDict):
    """What `evaluate` reports of a model or an ensemble; accuracies in percent.

    Attributes:
        videos: in the list.
        unreadable: how many of them could not be read, which count as wrong.
        clips: clips of a video.
        crops: crops of a clip.
        largest_class: what naming the most frequent class alone would give.
        clip_top1: of single views.
        video_top1: of videos, the softmax averaged over their views.
        clip_top5: where there are more than five classes.
        video_top5: where there are more than five classes.
        per_class: `video_top1` of each class that occurs, by its name.
        confusion: how many readable videos of each class (row) were taken for each (column).
    """

    videos: int
    unreadable: int
    clips: int
    crops: int
    largest_class: float
    clip_top1: float
    video_top1: float
    clip_top5: NotRequired[float]
    video_top5: NotRequired[float]
    per_class: dict[str, float]
    confusion: list[list[int]]


class ListScores(Scores):
    """Scores with the list of the videos that they are of.

    Attributes:
        list: path of the CSV file.
    """

    list: str


class TypicalVideo(TypedDict):
    """The medians of up to a hundred videos of a list.

    Attributes:
        frames: their number.
        fps: frames per second; missing where no video has a frame rate.
    """

    frames: int
    fps: NotRequired[float]


class RunFacts(TypedDict):
    """What summary.json tells of a run of any kind.

    Attributes:
        version: of cmpl_zoo.
        commit: of the checkout, and of former ones where a run was continued with another.
        hardware: the same for the machine.
        step: steps made.
        seconds: of training.
        clips_per_s: of all kinds together.
    """

    version: str
    commit: str
    hardware: str
    step: int
    seconds: float
    clips_per_s: float


class Summary(RunFacts):
    """What summary.json and the model cards report.

    Attributes:
        labeled_videos: in the list.
        unlabeled_videos: in the list, 0 without.
        typical_videos: of each list that the run has, by its option; former versions did not record it.
        validation: scores by role of the network, and of the `vote` where there are two.
        config: every option.
        role: in the card of one network, which of the two it is; the primary one by default.
    """

    labeled_videos: int
    unlabeled_videos: int
    typical_videos: NotRequired[dict[str, TypicalVideo]]
    validation: dict[str, ListScores]
    config: dict[str, Any]
    role: NotRequired[str]


def videos_right(scores: Scores) -> int:
    """How many videos were taken for what they are."""
    return sum(row[class_id] for class_id, row in enumerate(scores["confusion"]))


def video_tops(scores: Scores) -> dict[int, float]:
    """The measured top-k accuracies of videos by k: of up to five classes only top-1."""
    return {1: scores["video_top1"]} | ({5: scores["video_top5"]} if "video_top5" in scores else {})


def clip_tops(scores: Scores) -> dict[int, float]:
    """The same of single views."""
    return {1: scores["clip_top1"]} | ({5: scores["clip_top5"]} if "clip_top5" in scores else {})


def views_text(scores: Mapping[str, object]) -> str:
    """The test views of `Scores` as the field writes them: "10 x 3 views (clips x crops)"."""
    return f"{scores['clips']} x {scores['crops']} views (clips x crops)"


def collapse_share(classes: int) -> float:
    """The share of pseudo-labels of one class above which the networks may be agreeing on nonsense.

    It is half of the labels, and more where classes are few (our choice).
    """
    return 0.5 + 0.5 / classes
