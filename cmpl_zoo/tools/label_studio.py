"""Labels from Label Studio.

A label of a part of a video is there a range of frames (`timelinelabels`): they are counted from 1, the last one is
included, and they are as long as the rate of the project's label config says, whatever the rate of the file. That rate
is `frameRate` of its Video tag, 24 by default; an export does not hold it.
"""

import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cmpl_zoo.datasets.lists import ListError
from cmpl_zoo.tools.find_videos import VIDEO_SUFFIXES, FoundVideos
from cmpl_zoo.tools.segment_lists import LabeledSegment, StrPath, find_segments
from cmpl_zoo.tools.text_files import read_text
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.video import video_info

FORM = "Label Studio's export as JSON or JSON-MIN"
FPS_KEYS = ("fps", "framerate", "frame_rate")  # of the data of a task, in any case
DEFAULT_FPS = 24.0  # Label Studio's


@dataclass(frozen=True)
class Annotation:
    """One annotation of a task.

    Attributes:
        task: what tells its task from others.
        data: of the task: the address of its video, perhaps its frame rate.
        cancelled: the annotator skipped the task.
        when: of its last change, in ISO 8601, as the tool writes it.
        choices: labels of the whole video.
        ranges: first and last frame of a part, from 1 on, and its label.
    """

    task: str
    data: Mapping[str, Any]
    cancelled: bool
    when: str
    choices: Sequence[str]
    ranges: Sequence[tuple[float, float, str]]


def label_studio(file: StrPath, root: StrPath, fps: float = DEFAULT_FPS) -> FoundVideos:
    """A list of labeled segments and videos: `path,label,start,end`; `start` and `end` are empty for a whole video.

    Of several annotations of a task the latest counts; where a task has parts and choices, the parts do. Warns of tasks
    with several annotations, of skipped ones, and where the rate of a file is not that of its frames.

    Args:
        file: JSON or JSON-MIN.
        root: folder of the videos. They are found by name, without what the tool puts before it at an upload.
        fps: `frameRate` of the label config. A task's own value wins, as it has where the config says `$fps`.

    Raises:
        ListError: the file is not of this form, or none of the videos is found.
    """
    annotations = list(_annotations(Path(file)))
    latest: dict[str, Annotation] = {}
    counts = Counter(one.task for one in annotations if not one.cancelled)
    for one in annotations:
        known = latest.get(one.task)
        if known is None or (not one.cancelled, one.when) >= (not known.cancelled, known.when):
            latest[one.task] = one
    if several := sum(count > 1 for count in counts.values()):
        warnings.warn(f"{several} tasks have several annotations; the latest of each is taken", stacklevel=2)
    if skipped := sum(one.cancelled for one in latest.values()):
        warnings.warn(f"{skipped} tasks were skipped by their annotators, and are left out", stacklevel=2)
    rates: dict[str, float] = {}  # that the frames of each video are counted at
    segments = list[LabeledSegment]()
    for one in latest.values():
        video = _video_name(one.data, file)
        rate = next((_rate(one.data[key], file) for key in one.data if key.lower() in FPS_KEYS), fps)
        if one.ranges and not one.cancelled:
            rates[video] = rate
        segments += _segments(one, video, rate)
    listing, paths = find_segments(segments, root)
    _warn_of_rates({paths[video]: rate for video, rate in rates.items() if video in paths}, Path(root))
    return listing


def _segments(one: Annotation, video: str, rate: float) -> Iterator[LabeledSegment]:
    labels = sorted(set(one.choices))
    if one.cancelled:
        yield LabeledSegment(video, "", reason="skipped by the annotator")
    elif one.ranges:
        for first, last, label in one.ranges:
            yield LabeledSegment(video, label, max(0.0, first - 1) / rate, max(last, first) / rate)
    elif len(labels) == 1:
        yield LabeledSegment(video, labels[0])
    elif labels:
        yield LabeledSegment(video, "", reason=f"has several choices ({', '.join(labels)})")
    else:
        yield LabeledSegment(video, "", reason="has no annotation of the kinds choices and timelinelabels")


def _annotations(file: Path) -> Iterator[Annotation]:
    """All annotations of an export, in its order; a task without any gives an empty one."""
    try:
        tasks = json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise ListError(f"{file}: not JSON ({error}); give {FORM}") from error
    if not isinstance(tasks, list) or not tasks or not all(isinstance(task, dict) for task in tasks):
        raise ListError(f"{file}: should be a list of one task or more; give {FORM}")
    for number, task in enumerate(tasks, start=1):
        try:
            yield from _raw(task, number) if isinstance(task.get("data"), dict) else _min(task, number)
        except ListError as error:
            raise ListError(f"{file}: task {number}: {error}") from error
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ListError(f"{file}: task {number} is of an unknown form ({error!r}); give {FORM}") from error


def _raw(task: dict[str, Any], number: int) -> Iterator[Annotation]:
    """A task of the export as JSON."""
    key = str(task.get("id", number))
    annotations = task.get("annotations") or task.get("completions") or [{"result": []}]
    for one in annotations:
        choices, ranges = list[str](), list[tuple[float, float, str]]()
        for result in one["result"]:
            value = result.get("value", {})
            if "timelinelabels" in value:
                ranges += _ranges(value)
            elif result.get("type") == "choices":
                choices += value["choices"]
        when = str(one.get("updated_at") or one.get("created_at") or "")
        yield Annotation(key, task["data"], bool(one.get("was_cancelled")), when, choices, ranges)


def _min(item: dict[str, Any], number: int) -> Iterator[Annotation]:
    """An item of the export as JSON-MIN: the data of a task with the results of one annotation, by control."""
    choices, ranges = dict[str, list[str]](), list[tuple[float, float, str]]()  # choices by the name of their control
    for name, value in item.items():
        if isinstance(value, list) and value and all(isinstance(part, dict) for part in value):
            ranges += [found for part in value if "timelinelabels" in part for found in _ranges(part)]
        elif isinstance(value, dict) and "choices" in value:
            choices[name] = value["choices"]
        elif isinstance(value, str) and name not in _FACTS and not _is_video(value):
            choices[name] = [value]
    if len(choices) > 1 and not ranges:
        raise ListError(
            f"JSON-MIN does not tell which of {', '.join(choices)} is the label and which a fact of the task; export "
            "as JSON"
        )
    when = str(item.get("updated_at") or item.get("created_at") or "")
    labels = [label for chosen in choices.values() for label in chosen]
    yield Annotation(str(item.get("id", number)), item, False, when, labels, ranges)


# What JSON-MIN says of an annotation beside its labels, all of it text.
_FACTS = {"created_at", "updated_at", "annotator", "file_upload", "annotator_email"}


def _ranges(value: dict[str, Any]) -> Iterator[tuple[float, float, str]]:
    for label in value["timelinelabels"]:
        for part in value["ranges"]:
            yield float(part["start"]), float(part["end"]), label


def _is_video(address: object) -> bool:
    if not isinstance(address, str):
        return False
    suffix = Path(_path(address)).suffix.lower()
    return suffix in VIDEO_SUFFIXES


def _path(address: str) -> str:
    """The path in an address: of /data/local-files/?d=PATH, of a URL, or the address itself."""
    if address.startswith(("http://", "https://", "s3://", "gs://", "azure-blob://", "/data/local-files")):
        parts = urlsplit(address)
        return parse_qs(parts.query).get("d", [unquote(parts.path)])[0]
    return unquote(address)


def _video_name(data: Mapping[str, Any], file: StrPath) -> str:
    """The name that a task's video has outside the tool, with its folders where the tool knows them."""
    addresses = [value for value in data.values() if _is_video(value)]
    if not addresses:
        raise ListError(f"{file}: a task has no video ({json.dumps(dict(data))[:80]}); give an export of videos")
    path = _path(addresses[0])
    # An upload has eight hexadecimal digits before its name.
    return re.sub(r"^.*data/upload/(\d+/)?([0-9a-f]{8}-)?", "", path)


def _rate(value: object, file: StrPath) -> float:
    try:
        rate = float(str(value))
    except ValueError:
        rate = 0.0
    if not 0 < rate < 1000:
        raise ListError(f"{file}: a task has the frame rate {value!r}; correct it, and make the list again")
    return rate


def _warn_of_rates(rates: dict[str, float], root: Path) -> None:
    """Warn of files whose frames are not as long as those that their labels count.

    Args:
        rates: what the labels count at, by the path of the file below `root`.
    """
    others = []
    for path, rate in rates.items():
        with suppress(VideoError):  # which cmpl-zoo check finds
            actual = video_info(root / path).fps
            if actual and abs(actual - rate) > 0.01 * rate:
                others.append((path, actual, rate))
    if others:
        path, actual, rate = others[0]
        warnings.warn(
            f"{len(others)} videos have another frame rate than their labels were read at (the first, {path}, has "
            f"{actual:g}, not {rate:g}); if frameRate in the project's label config is not {rate:g}, give it as --fps",
            stacklevel=3,
        )
