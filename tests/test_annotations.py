"""Labels from annotation tools, in the forms that they export, and predictions for them.

`annotations/` holds exports in the forms of Label Studio 1.15 and BORIS 4 and 8.
"""

import csv
import json
import re
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch
from made_videos import encode

from cmpl_zoo.datasets.lists import read_list
from cmpl_zoo.video.video import Video, read_frames
from cmpl_zoo_cli.main import main

EXPORTS = Path(__file__).parent / "annotations"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Five videos of 25 frames a second, one in a folder."""
    folder = tmp_path_factory.mktemp("root")
    (folder / "cam 2").mkdir()
    for name in ("monday 1.mp4", "cam 2/tuesday.mp4", "wednesday.mp4", "thursday.mp4", "friday.mp4"):
        encode(folder / name, frames=100)
    return folder


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def made(file: Path) -> list[tuple[str, ...]]:
    """The rows of a list, and its header is that of segments."""
    rows = rows_of(file)
    assert list(rows[0]) == ["path", "label", "start", "end"]
    return [tuple(row.values()) for row in rows]


def left_out(file: Path) -> dict[str, list[str]]:
    """Reasons by the path in the export."""
    reasons: dict[str, list[str]] = {}
    for row in rows_of(file.with_name(f"{file.stem}.left_out.csv")):
        reasons.setdefault(row["path"], []).append(row["reason"])
    return reasons


def run(*words: object) -> int:
    return main(["import", *map(str, words)])


def refused(capsys: pytest.CaptureFixture[str], message: str, *words: object) -> None:
    """The command ends with status 2 and one sentence that matches."""
    assert main([*map(str, words)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("cmpl-zoo: ") and len(said.splitlines()) == 1
    assert re.search(message, said), said


# Label Studio

PARTS = [
    ("monday 1.mp4", "walk", "0", "1"),  # frames 1 to 25 of 25 a second
    ("monday 1.mp4", "run", "2", "3"),
    ("cam 2/tuesday.mp4", "walk", "1", "3"),  # frames 13 to 36 of 12 a second, as the task says
]


def test_label_studio_json(root, tmp_path, capsys):
    out = tmp_path / "list.csv"
    assert run("labelstudio", EXPORTS / "label_studio.json", root, "--fps", 25, "-o", out) == 0
    assert made(out) == [*PARTS, ("thursday.mp4", "sit", "", "")]
    reasons = left_out(out)
    assert re.search("skipped", reasons["wednesday.mp4"][0])
    assert re.search(r"several choices \(sit, walk\)", reasons["friday.mp4"][0])
    assert reasons["gone.mp4"] == ["not found"] and len(reasons) == 3
    said = capsys.readouterr()
    assert re.search(r"list\.csv  4 segments in 3 videos, of 3 classes", said.out)
    assert re.search("1 tasks have several annotations; the latest", said.err)
    assert re.search("1 tasks were skipped", said.err)
    assert re.search(r"1 videos have another frame rate .*tuesday\.mp4, has 25, not 12\).*--fps", said.err)
    assert "left out 3," in said.err


def test_label_studio_json_min(root, tmp_path, capsys):
    out = tmp_path / "list.csv"
    assert run("labelstudio", EXPORTS / "label_studio_min.json", root, "--fps", 25, "-o", out) == 0
    assert made(out) == [*PARTS, ("thursday.mp4", "sit", "", "")]
    assert re.search(r"several choices \(sit, walk\)", left_out(out)["friday.mp4"][0])
    assert "1 tasks have several annotations" in capsys.readouterr().err


def test_label_studio_counts_at_24_frames_a_second_unless_told(root, tmp_path, capsys):
    out = tmp_path / "list.csv"
    assert run("labelstudio", EXPORTS / "label_studio.json", root, "-o", out) == 0
    assert made(out)[1] == ("monday 1.mp4", "run", repr(round(50 / 24, 6)), repr(75 / 24))
    assert re.search(r"2 videos have another frame rate .*monday 1\.mp4, has 25, not 24\)", capsys.readouterr().err)


def test_label_studio_json_min_cannot_tell_a_label_from_a_fact(root, tmp_path, capsys):
    items = [{"video": "/data/upload/1/00112233-friday.mp4", "id": 1, "camera": "north", "choice": "sit"}]
    file = tmp_path / "min.json"
    file.write_text(json.dumps(items))
    refused(capsys, r"min\.json: task 1: .*camera, choice.*export as JSON", "import", "labelstudio", file, root, "-o",
            tmp_path / "list.csv")  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"not JSON .*JSON or JSON-MIN"),
        ("video,label\n", r"not JSON"),
        ("{}", r"list of one task or more"),
        ("[]", r"list of one task or more"),
        ('[{"data": {"text": "a"}, "annotations": []}]', r"has no video"),
        ('[{"data": {"video": "a.mp4"}, "annotations": [{"id": 1}]}]', r"task 1 is of an unknown form .*result"),
        ('[{"data": {"video": "a.mp4"}, "annotations": [{"result": [{"value": {"timelinelabels": ["x"]}}]}]}]',
         r"task 1 is of an unknown form .*ranges"),
        ('[{"data": {"video": "friday.mp4", "fps": "fast"}, "annotations": []}]', r"frame rate 'fast'"),
        ('[{"data": {"video": "elsewhere.mp4"}, "annotations": []}]', r"none of .*elsewhere\.mp4"),
    ],
)  # fmt: skip
def test_label_studio_refuses(text, message, root, tmp_path, capsys):
    file = tmp_path / "tasks.json"
    file.write_text(text)
    refused(capsys, message, "import", "labelstudio", file, root, "-o", tmp_path / "list.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["tasks.json"]


def test_options_of_label_studio(root, tmp_path, capsys):
    file = shutil.copy(EXPORTS / "label_studio.json", tmp_path)
    refused(capsys, "this is the list that is read", "import", "labelstudio", file, root, "-o", file)
    with pytest.raises(SystemExit):
        run("labelstudio", file, root, "-o", tmp_path / "list.csv", "--fps", 0)
    assert "--fps: must be above 0" in capsys.readouterr().err


# BORIS


def test_boris_tabular_events(root, tmp_path, capsys):
    """Of one file, and of two that are played one after the other, with an offset of 100 s."""
    out = tmp_path / "list.csv"
    assert run("boris", EXPORTS / "boris_tabular.tsv", root, "-o", out) == 0
    assert made(out) == [
        ("monday 1.mp4", "walk", "0.5", "2"),
        ("monday 1.mp4", "run", "2.5", "3.5"),
        ("monday 1.mp4", "walk", "1.25", "3.75"),
        ("monday 1.mp4", "run", "4", "5"),  # fast, while a slow one lasts
        ("monday 1.mp4", "run", "4.25", "6"),
        ("cam 2/tuesday.mp4", "walk", "1", "2"),
        ("wednesday.mp4", "run", "1.5", "3"),
    ]
    reasons = left_out(out)
    assert re.search(r"START without a STOP at 11 s", reasons["C:/cam/monday_1.mp4"][0])
    assert re.search("next media file", reasons["C:/cam/tuesday.mp4"][0])
    said = capsys.readouterr().err
    assert re.search(r"left out 2 POINT events", said) and "left out 2," in said


def test_boris_aggregated_events(root, tmp_path, capsys):
    out = tmp_path / "list.csv"
    assert run("boris", EXPORTS / "boris_aggregated.csv", root, "-o", out) == 0
    assert made(out) == [
        ("monday 1.mp4", "walk", "0.5", "2"),
        ("monday 1.mp4", "walk", "1.25", "3.75"),
        ("monday 1.mp4", "run", "2.5", "3.5"),
    ]
    assert re.search(r"START without a STOP at 11 s", left_out(out)["C:/cam/monday_1.mp4"][0])
    assert "left out 1 POINT events" in capsys.readouterr().err


def test_boris_4_and_several_files(root, tmp_path, capsys):
    """Facts come before the header there, the offset among them. What both files say counts once."""
    out = tmp_path / "list.csv"
    assert run("boris", EXPORTS / "boris_4_tabular.tsv", root, "-o", out) == 0
    assert made(out) == [("monday 1.mp4", "walk", "0.5", "2")]
    both = (EXPORTS / "boris_4_tabular.tsv", EXPORTS / "boris_4_tabular.tsv")
    assert run("boris", *both, root, "-o", out) == 0
    assert made(out) == [("monday 1.mp4", "walk", "0.5", "2")]
    assert "left out 2 POINT events" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no line with the columns Behavior, Time"),
        ("path,label\na,b\n", r"no line with the columns Behavior, Time"),
        ("Time,Media file path,Behavior,Status\n", r"no state, from a START to a STOP"),
        ("Time,Media file path,Behavior,Status\n1,friday.mp4,sit,POINT\n", r"no state"),
        ("Time,Media file path,Behavior,Status\n1,friday.mp4,sit,BEGIN\n", r"line 2: 'BEGIN' should be START"),
        ("Time,Media file path,Behavior,Status\nx,friday.mp4,sit,START\n", r"line 2: 'x' should be a time"),
        ("Time,Media file path,Behavior,Status\n1,gone.mp4,sit,START\n2,gone.mp4,sit,STOP\n", r"none of .*gone\.mp4"),
    ],
)
def test_boris_refuses(text, message, root, tmp_path, capsys):
    file = tmp_path / "events.csv"
    file.write_text(text)
    code = main(["import", "boris", str(file), str(root), "-o", str(tmp_path / "list.csv")])
    said = capsys.readouterr().err.splitlines()
    assert code == 2 and re.search(message, said[-1]), said
    assert [path.name for path in tmp_path.iterdir()] == ["events.csv"]


# Tables of segments


def test_segments(root, tmp_path, capsys):
    table = tmp_path / "bouts.csv"
    table.write_text(
        "video,label,start,end,probability\nelsewhere/monday_1.mp4,walk,0,1.5,0.9\n"
        "elsewhere/monday_1.mp4,run,1.5,3.25,0.8\nfriday,sit,,,0.7\nthursday.mp4,sit,2,,0.6\ngone.mp4,sit,0,1,0.5\n"
        "a/tuesday.mp4,sit,0,1,0.5\nb/tuesday.mp4,sit,1,2,0.5\n"
        "wednesday.mp4,walk,1,2,0.5\nwednesday.mp4,run,1,2,0.5\nthursday.mp4,uncertain,0,1,0.3\n"
        "elsewhere/monday_1.mp4,uncertain,0,1.5,0.3\n"
    )
    out = tmp_path / "list.csv"
    assert run("segments", table, root, "-o", out) == 0
    assert made(out) == [
        ("monday 1.mp4", "walk", "0", "1.5"),
        ("monday 1.mp4", "run", "1.5", "3.25"),
        ("friday.mp4", "sit", "", ""),
        ("thursday.mp4", "sit", "2", ""),
    ]
    reasons = left_out(out)
    assert "listed more than once" in reasons["a/tuesday.mp4"][0] and "b/tuesday.mp4" in reasons
    assert reasons["gone.mp4"] == ["not found"] and reasons["thursday.mp4"] == ["uncertain is no class"]
    assert reasons["wednesday.mp4"] == ["labeled run as well", "labeled walk as well"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label,start,end\n", r"no line with the columns video, label, start, end"),
        ("video,label,start,end\n", r"holds no segment"),
        ("video,label,start,end\nfriday.mp4,,0,1\n", r"line 2: the label is empty"),
        ("video,label,start,end\n,sit,0,1\n", r"line 2: the video is empty"),
        ("video,label,start,end\nfriday.mp4,sit,0:10,20\n", r"line 2: '0:10' should be a time in seconds"),
        ("video,label,start,end\nfriday.mp4,sit,2,1\n", r"line 2: .*before it ends"),
        ("video,label,start,end\nfriday.mp4,sit,-1,1\n", r"line 2: .*at 0 s or later"),
        ("video,label,start,end\nfriday.mp4,sit,0,1,2,3\n", r"line 2: 6 cells under a header of 4"),
        ("video,label,start,end\ngone.mp4,sit,0,1\n", r"none of .*gone\.mp4"),
        (
            "video,label,start,end\nfriday.mp4,sit,0,1\nfriday.mp4,run,0,1\n",
            r"none of the 2 labels can be used \(the first, of friday\.mp4: labeled run as well\)",
        ),
        ('video,label,start,end,notes\nfriday.mp4,sit,0,1,"5 inch\nfriday.mp4,run,1,2,\n', r"line 3: not a CSV file"),
        (f'video,label,start,end,notes\nfriday.mp4,sit,0,1,"{"a" * 200_000}', r"line 2: not a CSV file .*limit"),
    ],
)
def test_segments_refuses(text, message, root, tmp_path, capsys):
    table = tmp_path / "table.csv"
    table.write_text(text)
    refused(capsys, message, "import", "segments", table, root, "-o", tmp_path / "list.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


# Predictions for Label Studio


def tasks_of(file: Path) -> list[dict]:
    return json.loads(file.read_text())


def test_a_name_with_a_percent_code_goes_and_comes_back(root, tmp_path, capsys):
    encode(root / "my%20video.mp4", 10)
    (tmp_path / "labels.csv").write_text("video;label;start;end;probability\nmy%20video.mp4;sit;;;0,9\n")
    out = tmp_path / "tasks.json"
    assert main(["labelstudio", str(tmp_path / "labels.csv"), "-o", str(out), "--root", str(root)]) == 0
    [task] = tasks_of(out)
    [prediction] = task.pop("predictions")
    assert prediction["score"] == 0.9
    out.write_text(json.dumps([task | {"id": 1, "annotations": [{"result": prediction["result"]}]}]))
    assert run("labelstudio", out, root, "-o", tmp_path / "list.csv") == 0
    assert [row[0] for row in made(tmp_path / "list.csv")] == ["my%20video.mp4"]


def test_bouts_go_to_label_studio_and_come_back(root, tmp_path, capsys):
    bouts = tmp_path / "bouts.csv"
    bouts.write_text(
        "video,label,start,end,probability\nmonday 1.mp4,walk,0,1,0.9\nmonday 1.mp4,<run>,1,3.2,0.7\n"
        f"{root}/cam 2/tuesday.mp4,walk,0.4,2,0.8\n"
    )
    out = tmp_path / "tasks.json"
    assert main(["labelstudio", str(bouts), "-o", str(out), "--root", str(root)]) == 0
    first, second = tasks = tasks_of(out)
    assert first["data"] == {"video": "/data/local-files/?d=monday%201.mp4", "fps": 25.0}
    assert second["data"]["video"] == "/data/local-files/?d=cam%202/tuesday.mp4"
    (prediction,) = first["predictions"]
    assert prediction["score"] == pytest.approx(0.8)
    assert [one["value"] for one in prediction["result"]] == [
        {"ranges": [{"start": 1, "end": 25}], "timelinelabels": ["walk"]},
        {"ranges": [{"start": 26, "end": 80}], "timelinelabels": ["<run>"]},
    ]
    config = ElementTree.fromstring(capsys.readouterr().out.partition("\n")[2])
    video, control = config.find("Video"), config.find("TimelineLabels")
    assert video.attrib == {"name": "video", "value": "$video", "frameRate": "$fps"}
    assert [label.get("value") for label in control] == ["<run>", "walk"]
    for result in prediction["result"]:
        assert (result["from_name"], result["to_name"]) == (control.get("name"), video.get("name"))

    for task in tasks:  # somebody accepts them all
        result = task.pop("predictions")[0]["result"]
        task["annotations"] = [{"result": result, "was_cancelled": False, "updated_at": "2025-03-04T11:50:00Z"}]
    for number, task in enumerate(tasks):
        task["id"] = number
    accepted = tmp_path / "accepted.json"
    accepted.write_text(json.dumps(tasks))
    assert run("labelstudio", accepted, root, "-o", tmp_path / "list.csv") == 0
    assert made(tmp_path / "list.csv") == [
        ("monday 1.mp4", "walk", "0", "1"),
        ("monday 1.mp4", "<run>", "1", "3.2"),
        ("cam 2/tuesday.mp4", "walk", "0.4", "2"),
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.csv", "path,label,sit,walk\nfriday.mp4,walk,0.25,0.75\nthursday.mp4,uncertain,0.5,0.5\n"),
        ("list.csv", "path,label,walk,probability\nfriday.mp4,walk,yes,0.75\nthursday.mp4,,no,\n"),
        (
            "p.json",
            '{"path": "friday.mp4", "label": "walk", "probabilities": {"walk": 0.75, "sit": 0.25}}\n'
            '{"path": "thursday.mp4", "label": "uncertain", "probabilities": {"walk": 0.5, "sit": 0.5}}\n',
        ),
    ],
)
def test_predictions_of_whole_videos_are_choices(name, text, root, tmp_path, capsys):
    (tmp_path / name).write_text(text)
    out = tmp_path / "tasks.json"
    assert main(["labelstudio", str(tmp_path / name), "-o", str(out), "--address", "https://example.org/"]) == 0
    first, second = tasks_of(out)
    assert first["data"] == {"video": "https://example.org/friday.mp4"}
    (result,) = first["predictions"][0]["result"]
    assert result["value"] == {"choices": ["walk"]} and result.get("score", 0.75) == 0.75
    assert second["predictions"][0]["result"] == []
    config = ElementTree.fromstring(capsys.readouterr().out.partition("\n")[2])
    assert [choice.get("value") for choice in config.find("Choices")] == ["walk"]


def test_windows_are_parts(root, tmp_path):
    """Of 25 frames a second; the last frame is included."""
    row = {"video": "friday.mp4", "start": 0.4, "end": 0.8, "label": "walk", "probability": 0.75}
    (tmp_path / "w.json").write_text(json.dumps(row | {"probabilities": {"walk": 0.75, "sit": 0.25}}) + "\n")
    words = ["labelstudio", str(tmp_path / "w.json"), "-o", str(tmp_path / "tasks.json"), "--root", str(root)]
    assert main(words) == 0
    (result,) = tasks_of(tmp_path / "tasks.json")[0]["predictions"][0]["result"]
    assert result["value"] == {"ranges": [{"start": 11, "end": 20}], "timelinelabels": ["walk"]}
    assert result["score"] == 0.75


@pytest.mark.parametrize(
    ("text", "labels", "timed"),
    [
        ("path\nfriday.mp4\nthursday.mp4\n", [[], []], False),
        ("path;label;day\nfriday.mp4;walk;5\nthursday.mp4;;4\n", [["walk"], []], False),
        ("path,label,start,end\nfriday.mp4,sit,1,2\nthursday.mp4,,0,1\n", [["sit"], []], True),
    ],
)
def test_videos_of_a_list_are_tasks_with_the_labels_that_there_are(text, labels, timed, root, tmp_path, capsys):
    (tmp_path / "list.csv").write_text(text)
    out = tmp_path / "tasks.json"
    assert main(["labelstudio", str(tmp_path / "list.csv"), "-o", str(out), "--root", str(root)]) == 0
    results = [task["predictions"][0]["result"] for task in tasks_of(out)]
    kind = "timelinelabels" if timed else "choices"
    assert [[label for one in each for label in one["value"][kind]] for each in results] == labels
    if timed:
        assert results[0][0]["value"]["ranges"] == [{"start": 26, "end": 50}]
    told = capsys.readouterr()
    config = ElementTree.fromstring(told.out.partition("\n")[2])
    assert [one.get("value") for one in config[1]] == [label for each in labels for label in each]
    assert ("no class is known yet" in told.err) == (not any(labels))


def test_predictions_of_segments_are_parts(root, tmp_path):
    """A path with a media fragment is a segment; a video without one is a part from its first frame to its last."""
    file = tmp_path / "p.csv"
    file.write_text(
        "path,label,sit,walk\nfriday.mp4#t=1,walk,0.25,0.75\nfriday.mp4#t=0.2,sit,0.75,0.25\n"
        '"thursday.mp4#t=1,2",sit,0.75,0.25\nwednesday.mp4,sit,1,0\n'
    )
    out = tmp_path / "tasks.json"
    assert main(["labelstudio", str(file), "-o", str(out), "--root", str(root)]) == 0
    ranges = [[one["value"]["ranges"][0] for one in task["predictions"][0]["result"]] for task in tasks_of(out)]
    assert ranges == [
        [{"start": 26, "end": 100}, {"start": 6, "end": 100}],
        [{"start": 26, "end": 50}],
        [{"start": 1, "end": 100}],
    ]


def test_an_imported_list_is_read_as_segments(root, tmp_path):
    """Frames 51 to 75 of the tool are those at 2 to 3 s."""
    out = tmp_path / "list.csv"
    assert run("labelstudio", EXPORTS / "label_studio.json", root, "--fps", 25, "-o", out) == 0
    listed = read_list(out, root)
    assert listed.labels == ["walk", "run", "walk", "sit"]
    assert [path.removeprefix(f"{root}/") for path in listed.paths] == [
        "monday 1.mp4#t=0,1", "monday 1.mp4#t=2,3", "cam 2/tuesday.mp4#t=1,3", "thursday.mp4",
    ]  # fmt: skip
    with Video(listed.paths[1]) as part:
        assert part.num_frames == 25
        assert torch.equal(part.read([0, 24]), read_frames(root / "monday 1.mp4", [50, 74]))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no line with the columns video, label, start, end; give a list of videos"),
        ("video,label,start,end\n", r"names no video"),
        ("video,label,start,end\nfriday.mp4,sit,2,1\n", r"line 2: .*before it ends"),
        ("video,label,start,end\ngone.mp4,sit,0,1\n", r"gone\.mp4"),
        (
            "video,label,start,end,probability\nfriday.mp4,sit,0,1,high\n",
            r"line 2: the probability 'high' is no number",
        ),
        ('{"path": "a.mp4"}\n', r"line 1: is of an unknown form .*label|line 1: is of an unknown form .*probabilities"),
    ],
)
def test_predictions_that_are_refused(text, message, root, tmp_path, capsys):
    file = tmp_path / "p.csv"
    file.write_text(text)
    refused(capsys, message, "labelstudio", file, "-o", tmp_path / "tasks.json", "--root", root)
    refused(capsys, "the file that is read", "labelstudio", file, "-o", file)
    assert [path.name for path in tmp_path.iterdir()] == ["p.csv"]
