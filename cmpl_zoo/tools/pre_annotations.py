"""Predictions as tasks for Label Studio, which shows them as labels that a person corrects ("pre-annotations")."""

import csv
import io
import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from statistics import fmean
from typing import Any
from urllib.parse import quote

from cmpl_zoo.datasets.lists import ListError
from cmpl_zoo.tools.segment_lists import StrPath, read_table, seconds_of
from cmpl_zoo.tools.text_files import read_text
from cmpl_zoo.video.video import probe

LOCAL_FILES = "/data/local-files/?d="  # where Label Studio serves files of its own machine
FORM = "the --csv or --json of cmpl-zoo predict, or a table video,label,start,end"
UNCERTAIN = "uncertain"  # what cmpl-zoo predict says where no class is probable enough
DEFAULT_FPS = 24.0  # Label Studio's


def pre_annotations(file: StrPath, root: StrPath = ".", address: str = LOCAL_FILES) -> tuple[list[dict[str, Any]], str]:
    """Tasks with their predictions, a task for each video, and the label config that they need.

    Args:
        file: what `cmpl-zoo predict` writes of videos (`--csv`, `--json`) or of the bouts in a recording.
        root: folder that the paths in it start from. Recordings are opened: the tool counts frames, at the rate of
            each file, which the tasks hold as `fps`.
        address: what comes before a path in the address that the tool reads a video from.

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
        raise ListError(f"{file}: holds no prediction; give {FORM}")
    timed = any(row["end"] for rows in by_video.values() for row in rows)
    tasks = []
    for video, rows in by_video.items():
        data: dict[str, Any] = {"video": address + quote(video)}
        if timed:
            data["fps"] = probe(Path(root, video)).fps or DEFAULT_FPS
        results = [_result(row, data.get("fps"), number) for number, row in enumerate(rows, 1)]
        results = [result for result in results if result]
        prediction: dict[str, Any] = {"model_version": "cmpl_zoo", "result": results}
        if scores := [result["score"] for result in results if "score" in result]:
            prediction["score"] = round(fmean(scores), 6)
        tasks.append({"data": data, "predictions": [prediction]})
    labels = {row["label"] for rows in by_video.values() for row in rows} - {UNCERTAIN}
    return tasks, _config(sorted(labels), timed)


def _result(row: dict[str, str], fps: float | None, number: int) -> dict[str, Any]:
    """A prediction in the tool's form, empty where it is uncertain; frames count from 1, and the last is included."""
    if row["label"] == UNCERTAIN:
        return {}
    result: dict[str, Any] = {"id": str(number), "to_name": "video"}
    if row["probability"]:
        result["score"] = float(row["probability"])
    if fps is None:
        return result | {"from_name": "choice", "type": "choices", "value": {"choices": [row["label"]]}}
    first = round(float(row["start"] or 0) * fps) + 1
    ranges = [{"start": first, "end": max(first, round(float(row["end"]) * fps))}]
    value = {"ranges": ranges, "timelinelabels": [row["label"]]}
    return result | {"from_name": "timeline", "type": "timelinelabels", "value": value}


def _rows(file: Path) -> Iterator[dict[str, str]]:
    """video, label, start, end and probability of each prediction; the last three may be empty."""
    text = read_text(file)
    if text.lstrip().startswith("{"):
        for number, line in enumerate(text.splitlines(), 1):
            try:
                row = json.loads(line)
                probability = str(row["probabilities"].get(row["label"], ""))
                yield _row(row["path"], row["label"], probability=probability)
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ListError(f"{file}, line {number}: is of an unknown form ({error!r}); give {FORM}") from error
        return
    header = next(csv.reader(io.StringIO(text)), [])
    if header[:2] == ["path", "label"]:
        for _, row in read_table(file, text, ("path", "label"), FORM):
            yield _row(row["path"], row["label"], probability=row.get(row["label"], ""))
        return
    for number, row in read_table(file, text, ("video", "label", "start", "end"), FORM):
        where = f"{file}, line {number}"
        start, end = seconds_of(row["start"] or "0", where), seconds_of(row["end"], where)
        if not 0 <= start < end:
            raise ListError(f"{where}: a bout must start at 0 s or later and before it ends; correct its times")
        yield _row(row["video"], row["label"], row["start"], row["end"], row.get("probability", ""))


def _row(video: str, label: str, start: str = "", end: str = "", probability: str = "") -> dict[str, str]:
    return {"video": video, "label": label, "start": start, "end": end, "probability": probability}


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
