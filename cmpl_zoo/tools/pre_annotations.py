"""Videos as tasks for Label Studio, and predictions as labels that a person corrects there ("pre-annotations")."""

import json
import os
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.parse import quote

from cmpl_zoo.datasets.lists import ListError
from cmpl_zoo.models.labels import UNCERTAIN
from cmpl_zoo.tools.label_studio import DEFAULT_FPS
from cmpl_zoo.tools.segment_lists import StrPath, read_table, seconds_of, seconds_text
from cmpl_zoo.tools.text_files import read_text
from cmpl_zoo.video.segments import split_fragment
from cmpl_zoo.video.video import video_info

LOCAL_FILES = "/data/local-files/?d="  # where Label Studio serves files of its own machine
FORM = (
    "a list of videos, the file of cmpl-zoo suggest, the --csv or --json of cmpl-zoo predict, or a table "
    "video,label,start,end"
)


def pre_annotations(file: StrPath, root: StrPath = ".", address: str = LOCAL_FILES) -> tuple[list[dict[str, Any]], str]:
    """Tasks with their predictions, a task for each video, and the label config that they need.

    Args:
        file: a list of videos, with or without labels; what `cmpl-zoo predict` writes of videos (`--csv`, `--json`) or
            of the bouts in a recording; or what `cmpl-zoo suggest` writes, where a label that is filled in comes before
            the predicted class.
        root: folder that the paths in it start from. Recordings are opened: the tool counts frames, at the rate of
            each file, which the tasks hold as `fps`.
        address: what comes before a path below `root` in the address that the tool reads a video from.

    Returns:
        The tasks, to be written as JSON, and the config, in XML.

    Raises:
        ListError: the file is not of this form.
        VideoError: a recording cannot be read.
    """
    by_video: dict[str, list[dict[str, str]]] = {}
    for row in _rows(Path(file)):
        by_video.setdefault(row["video"], []).append(row)
    if not by_video:
        raise ListError(f"{file}: names no video; give {FORM}")
    timed = any(row["start"] or row["end"] for rows in by_video.values() for row in rows)
    tasks = []
    for video, rows in by_video.items():
        below = os.path.relpath(Path(root, video), root)
        data: dict[str, Any] = {"video": address + quote(video if below.startswith("..") else below)}
        results = []
        frames = 0
        if timed:
            info = video_info(Path(root, video))
            data["fps"], frames = info.fps or DEFAULT_FPS, info.frames
        for number, row in enumerate(rows, 1):
            if row["label"] not in ("", UNCERTAIN):
                results.append({"id": str(number), "to_name": "video"} | _label(row, data.get("fps"), frames))
        prediction: dict[str, Any] = {"model_version": "cmpl_zoo", "result": results}
        if scores := [result["score"] for result in results if "score" in result]:
            prediction["score"] = round(fmean(scores), 6)
        tasks.append({"data": data, "predictions": [prediction]})
    labels = {row["label"] for rows in by_video.values() for row in rows} - {"", UNCERTAIN}
    return tasks, _config(sorted(labels), timed)


def _label(row: dict[str, str], fps: float | None, frames: int) -> dict[str, Any]:
    """A label in the tool's form: of a whole video, or with `fps` of frames; they count from 1, the last is included.

    Args:
        row: of `_rows`.
        fps: of the video.
        frames: of the video.
    """
    score = {"score": float(row["probability"])} if row["probability"] else {}
    if fps is None:
        return {"from_name": "choice", "type": "choices", "value": {"choices": [row["label"]]}} | score
    first = round(float(row["start"] or 0) * fps) + 1
    last = round(float(row["end"]) * fps) if row["end"] else frames
    value = {"ranges": [{"start": first, "end": max(first, last)}], "timelinelabels": [row["label"]]}
    return {"from_name": "timeline", "type": "timelinelabels", "value": value} | score


def _rows(file: Path) -> Iterator[dict[str, str]]:
    """video, label, start, end and probability of each prediction; the last three may be empty."""
    text = read_text(file)
    if text.lstrip().startswith("{"):
        for number, line in enumerate(text.splitlines(), 1):
            try:
                row = json.loads(line)
                probability = str(row["probabilities"].get(row["label"], ""))
                times = {name: seconds_text(row[name]) for name in ("start", "end") if name in row}  # of --windows
                yield _video_row(row["path" if "path" in row else "video"], row["label"], probability) | times
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ListError(f"{file}, line {number}: is of an unknown form ({error!r}); give {FORM}") from error
        return
    header = [cell.strip(' "') for cell in re.split("[,;\t]", text.partition("\n")[0].strip())]
    needed = ("path",) if "path" in header else ("video", "label", "start", "end")
    for number, row in read_table(file, text, needed, FORM):
        where = f"{file}, line {number}"
        label, probability = row.get("label", ""), row.get("probability", "")
        if "predicted" in row:  # of cmpl-zoo suggest; somebody may have typed the label
            label, probability = (label, "") if label else (row["predicted"], probability)
        elif "path" in row:
            probability = row.get(label, "")  # of cmpl-zoo predict, or of another column that is called like the class
            probability = probability if is_number(probability) else ""
        probability = probability.replace(",", ".")
        if probability and not is_number(probability):
            raise ListError(f"{where}: the probability {probability!r} is no number; correct it or leave it empty")
        start, end = (seconds_of(row[name], where) if row.get(name) else None for name in ("start", "end"))
        if (start or 0) < 0 or (end is not None and end <= (start or 0)):
            raise ListError(f"{where}: a bout must start at 0 s or later and before it ends; correct its times")
        times = {name: row[name] for name in ("start", "end") if row.get(name)}
        yield _video_row(row.get("path", row.get("video", "")), label, probability) | times


def is_number(text: str) -> bool:
    """Whether it is one as `float` takes it."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _video_row(path: str, label: str, probability: str) -> dict[str, str]:
    """The prediction of a video, or of a segment: a path that ends in a media fragment."""
    video, segment = split_fragment(path)
    start, end = (segment.start or None, segment.end) if segment else (None, None)
    times = {"start": seconds_text(start), "end": seconds_text(end)}
    return {"video": video, "label": label, "probability": probability, **times}


def _config(labels: list[str], timed: bool) -> str:
    """The label config of a project for these tasks."""
    rate = ' frameRate="$fps"' if timed else ""
    control, item, name = ("TimelineLabels", "Label", "timeline") if timed else ("Choices", "Choice", "choice")
    lines = [f'    <{item} value="{escape(label)}"/>' for label in labels]
    return "\n".join(
        [
            "<View>",
            f'  <Video name="video" value="$video"{rate}/>',
            f'  <{control} name="{name}" toName="video">',
            *lines,
            f"  </{control}>",
            "</View>",
        ]
    )
