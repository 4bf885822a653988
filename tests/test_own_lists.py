"""The lists that `make_lists` makes of a folder of one's own videos: labels from folders and files, and recordings."""

import csv
import re
import shutil
from pathlib import Path

import pytest
from training import CLASSES, labels_of, write_rows

from cmpl_zoo.datasets.classes import alike
from cmpl_zoo.datasets.lists import ListError, check_disjoint, read_list
from cmpl_zoo.tools.list_doubts import name_without_number
from cmpl_zoo.tools.own_videos import make_lists, write_lists
from cmpl_zoo.training.lists import read_lists
from cmpl_zoo_cli.train_config import Config

# A file of labels


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("column", ["path", "filepath", "video", "filename"])
def test_a_file_of_labels_says_the_same_in_every_form(own: Path, tmp_path: Path, column: str, delimiter: str) -> None:
    rows = [{column: row["path"], "label": row["label"]} for row in labels_of(own)]
    file = tmp_path / "labels.csv"
    with file.open("w", newline="", encoding="utf-8-sig") as lines:
        writer = csv.DictWriter(lines, rows[0], delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    assert make_lists(str(own), [str(file)]).files == make_lists(str(own)).files


def test_videos_without_a_label_in_the_file_are_unlabeled_and_missing_ones_are_told(own: Path, tmp_path: Path) -> None:
    rows = labels_of(own)
    rows[0]["label"] = ""
    (own / rows[1]["path"]).unlink()
    rows[2]["path"] = Path(rows[2]["path"]).name  # found by its name alone
    write_rows(tmp_path / "labels.csv", rows)
    made = make_lists(str(own), [str(tmp_path / "labels.csv")])
    unlabeled = {row["path"] for row in csv.DictReader(made.files["unlabeled.csv"].splitlines())}
    assert unlabeled == {rows[0]["path"], "spare_b.mp4", "unlabeled/spare_a.mp4"}
    assert [(row["path"], row["reason"]) for row in made.left_out] == [(rows[1]["path"], "not found")]
    assert made.files["left_out.csv"] == f"path,label,reason\n{rows[1]['path']},{rows[1]['label']},not found\n"
    assert made.labeled + made.files["val.csv"].count(".mp4") == len(rows) - 2


def test_two_videos_of_one_name_are_not_guessed(own: Path, tmp_path: Path) -> None:
    rows = labels_of(own)
    name = Path(rows[0]["path"]).name
    shutil.copy(own / rows[0]["path"], own / "unlabeled" / name)
    rows[0]["path"] = name
    write_rows(tmp_path / "labels.csv", rows)
    made = make_lists(str(own), [str(tmp_path / "labels.csv")])
    assert [row["reason"] for row in made.left_out] == [f"may be {CLASSES[0]}/{name} or unlabeled/{name}"]


def test_labels_of_videos_in_other_folders_are_told(own: Path, tmp_path: Path) -> None:
    (own / "tuesday").mkdir()
    (own / "run" / "00.mp4").rename(own / "tuesday" / "0001.mp4")
    file = tmp_path / "labels.csv"
    rows = [{"path": "clips/x/01.mp4", "label": "run"}, {"path": "walk/02.mp4", "label": "walk"}]
    for folder in ("run", "walk", "wave_both_hands"):
        (own / folder / "01.mp4").rename(own / folder / f"{folder}_01.mp4")
    (own / "run" / "run_01.mp4").rename(own / "run" / "01.mp4")  # in a folder that is called like its label
    write_rows(file, rows)
    assert make_lists(str(own), [str(file)], val_share=0).doubts == []
    write_rows(file, [*rows, {"path": "monday/0001.mp4", "label": "run"}])
    told = "1 labels are of videos in other folders than their file says, as it names none there (tuesday/0001.mp4 for "
    assert make_lists(str(own), [str(file)], val_share=0).doubts[0].startswith(told + "monday/0001.mp4): if")


@pytest.mark.parametrize("form", ["columns", "fragments"])
def test_segments_of_a_file_have_labels_of_their_own_and_stay_together(own: Path, tmp_path: Path, form: str) -> None:
    rows = []
    for row in labels_of(own):
        for label, start, end in ((row["label"], "0.0", "0.5"), ("rest", "0.5", "1.2")):
            times = {"start": start, "end": end} if form == "columns" else {}
            path = row["path"] if form == "columns" else f"{row['path']}#t={start},{end}"
            rows.append({"path": path, "label": label, **times})
    rows.append(rows[0] | {"path": "gone.mp4"})
    write_rows(tmp_path / "labels.csv", rows)
    made = make_lists(str(own), [str(tmp_path / "labels.csv")])
    parts = [list(csv.DictReader(made.files[name].splitlines())) for name in ("labeled.csv", "val.csv")]
    files = [{row["path"] for row in part} for part in parts]
    assert {(row["start"], row["end"]) for part in parts for row in part} == {("0.0", "0.5"), ("0.5", "1.2")}
    assert sum(map(len, parts)) == 24 and files[0].isdisjoint(files[1]) and len(files[0] | files[1]) == 12
    assert sorted(row["label"] for row in parts[1]) == sorted(
        [*["rest"] * len(files[1]), *(p.split("/")[0] for p in files[1])]
    )
    assert [row["path"] for row in made.left_out] == ["gone.mp4"]
    assert "spare_b.mp4" in made.files["unlabeled.csv"] and made.unlabeled == 2
    write_rows(tmp_path / "labels.csv", [row | {"scene": str(number)} for number, row in enumerate(rows)])
    made = make_lists(str(own), [str(tmp_path / "labels.csv")], group="scene")
    for name in ("labeled.csv", "val.csv"):  # training then takes the segments of a file as of several recordings
        assert all(row["recording"] == row["scene"] for row in csv.DictReader(made.files[name].splitlines()))


# Recordings


def test_videos_of_a_group_stay_together(own: Path, tmp_path: Path) -> None:
    rows = [row | {"day": str(number % 4)} for number, row in enumerate(labels_of(own))]
    write_rows(tmp_path / "labels.csv", rows)
    made = make_lists(str(own), [str(tmp_path / "labels.csv")], group="day")
    days = [
        {row["day"] for row in csv.DictReader(made.files[name].splitlines())} for name in ("labeled.csv", "val.csv")
    ]
    assert len(days[1]) == 1 and days[0] | days[1] == {"0", "1", "2", "3"} and not days[0] & days[1]
    [doubt] = made.doubts
    assert doubt.startswith(
        "2 of 2 videos without a label have nothing in the column day (such as spare_b.mp4), and may"
    )
    assert not make_lists(str(own), [str(tmp_path / "labels.csv")], group="day", labels_alone=True).doubts
    spare = [{"path": path, "label": "", "day": days[0].copy().pop()} for path in ("spare_a.mp4", "spare_b.mp4")]
    write_rows(tmp_path / "labels.csv", [*rows, *spare])
    assert not make_lists(str(own), [str(tmp_path / "labels.csv")], group="day").doubts


def test_a_video_whose_labels_contradict_each_other_keeps_its_recording(own: Path, tmp_path: Path) -> None:
    """Else it would be learned from without a label, although its recording is held out."""
    rows = [row | {"day": str(number % 4)} for number, row in enumerate(labels_of(own))]
    write_rows(tmp_path / "labels.csv", [*rows, rows[0] | {"label": rows[-1]["label"]}])
    for seed in range(8):
        made = make_lists(str(own), [str(tmp_path / "labels.csv")], group="day", seed=seed)
        learned = {row["path"]: row["day"] for row in csv.DictReader(made.files["unlabeled.csv"].splitlines())}
        held_out = {row["day"] for row in csv.DictReader(made.files["val.csv"].splitlines())}
        assert learned.get(rows[0]["path"]) == (None if "0" in held_out else "0")
        assert [row["path"] for row in made.left_out] == [rows[0]["path"]] * 2


def test_the_recordings_of_unlabeled_videos_are_kept(own: Path, tmp_path: Path) -> None:
    known = {row["path"]: str(number % 4) for number, row in enumerate(labels_of(own))}
    labeled = [row | {"day": known[row["path"]]} for row in labels_of(own)]
    hidden = labeled[3::4]
    rows = [row | {"label": ""} if row in hidden else row for row in labeled]
    rows.append({"path": "gone", "label": "", "day": "9"})
    file, more = tmp_path / "labels.csv", tmp_path / "more.csv"
    write_rows(file, rows)
    made = make_lists(str(own), [str(file)], val_share=0, group="day")
    unlabeled = list(csv.DictReader(made.files["unlabeled.csv"].splitlines()))
    assert {row["path"]: row["day"] for row in unlabeled} == dict.fromkeys(
        ("spare_b.mp4", "unlabeled/spare_a.mp4"), ""
    ) | {row["path"]: row["day"] for row in hidden}

    write_rows(more, [{"path": str(own / "spare_b.mp4"), "day": "2"}])
    made = make_lists(str(own), [str(file)], val_share=0, unlabeled=str(more), group="day")
    unlabeled = list(csv.DictReader(made.files["unlabeled.csv"].splitlines()))
    assert [row["day"] for row in unlabeled if row["path"].endswith("spare_b.mp4")] == ["2"]
    assert make_lists(str(own), [str(file)]).files["unlabeled.csv"].startswith("path\n")

    made = make_lists(str(own), [str(file)], val_share=0, group="folder")
    unlabeled = list(csv.DictReader(made.files["unlabeled.csv"].splitlines()))
    assert all(row["folder"] == row["path"] for row in unlabeled)  # no folder but that of a class


@pytest.mark.parametrize("column", ["day", "recording"])
def test_unlabeled_videos_of_held_out_recordings_are_left_out(own: Path, tmp_path: Path, column: str) -> None:
    rows = [row | {column: str(number % 4)} for number, row in enumerate(labels_of(own))]
    seen = set()
    for day in "0123":
        spare = [{"path": "spare_b.mp4", "label": "", column: day}]
        write_rows(tmp_path / "labels.csv", [*rows, *spare])
        made = make_lists(str(own), [str(tmp_path / "labels.csv")], group=column)
        held_out = {row[column] for row in csv.DictReader(made.files["val.csv"].splitlines())}
        assert ("spare_b.mp4" in made.files["unlabeled.csv"]) == (day not in held_out)
        told = "1 of 2 videos without a label are left out (such as spare_b.mp4): their recordings are held out to val"
        assert any(doubt.startswith(told) for doubt in made.doubts) == (day in held_out)
        assert made.unlabeled == 2 - (day in held_out)
        seen.add(day in held_out)
        write_lists(made.files, tmp_path / "lists")
        train, val = (read_list(tmp_path / "lists" / f"{name}.csv", str(own), labeled=name == "val")
                      for name in ("unlabeled", "val"))  # fmt: skip
        check_disjoint(train, val)
    assert seen == {True, False}


def test_labeled_videos_whose_recording_is_not_told_are_warned_of(own: Path, tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    rows = [row | {"day": str(number % 4) if number > 2 else ""} for number, row in enumerate(labels_of(own))]
    write_rows(file, rows)
    doubt, _ = make_lists(str(own), [str(file)], group="day").doubts
    assert doubt.startswith(f"3 of 12 labeled videos have nothing in the column day (such as {rows[0]['path']}), and")


def test_labels_that_a_network_has_predicted_are_told(own: Path, tmp_path: Path) -> None:
    file = tmp_path / "predicted.csv"
    write_rows(file, [row | {name: f"0.{number}" for name in CLASSES} for number, row in enumerate(labels_of(own))])
    doubts = make_lists(str(own), [str(file)]).doubts
    assert doubts[0].startswith("the labels have a column of probabilities for each class, as cmpl-zoo predict --csv")
    assert not any("--group run" in doubt for doubt in doubts)


def test_the_columns_that_may_name_recordings_are_told(own: Path, tmp_path: Path) -> None:
    for name in CLASSES:
        for number, file in enumerate(sorted((own / name).iterdir())):
            file.rename(own / name / f"{name}_{number}.mp4")
    rows = labels_of(own)
    columns = {
        "id": map(str, range(12)),
        "day": map(str, [1, 2] * 6),
        "site": ["here"] * 12,
        "probability": ["0.5"] * 12,
    }
    rows = [row | dict(zip(columns, cells, strict=True)) for row, *cells in zip(rows, *columns.values(), strict=True)]
    write_rows(tmp_path / "labels.csv", rows)
    [doubt] = make_lists(str(own), [str(tmp_path / "labels.csv")]).doubts
    assert doubt.endswith("name the recordings by --group day, or give each a folder of its own, and --group folder")


@pytest.mark.parametrize(
    ("labels", "group", "expected"),
    [
        (False, "day", "give a file with the columns path,label,day by --labels$"),
        (False, "folder", "make a subfolder for each recording in the class folders$"),
        (True, "day", "there are folder$"),
    ],
)
def test_a_group_that_is_not_there_says_how_to_have_it(
    own: Path, tmp_path: Path, labels: bool, group: str, expected: str
) -> None:
    write_rows(tmp_path / "labels.csv", labels_of(own))
    with pytest.raises(ListError, match=expected):
        make_lists(str(own), [str(tmp_path / "labels.csv")] if labels else [], group=group)


def test_clips_that_may_be_of_one_recording_are_warned_of(own: Path) -> None:
    for name in CLASSES:
        for number, file in enumerate(sorted((own / name).iterdir())):
            file.rename(own / name / f"{name} {'ABCD'[number]}.mp4")
    assert make_lists(str(own)).doubts == []
    for name in CLASSES:
        for number, file in enumerate(sorted((own / name).iterdir())):
            file.rename(own / name / f"{name}_{number}.mp4")
    [doubt] = make_lists(str(own)).doubts
    assert re.search(
        r"^3 of 3 videos to validate on .*number at its end.*run/run_\d\.mp4 and run/run_\d.*--group", doubt
    )
    for name in CLASSES:
        for file in sorted((own / name).iterdir()):
            letter = "abcd"[int(file.stem[-1])]
            day = own / name / ("monday" if letter in "ab" else "friday")
            day.mkdir(exist_ok=True)
            file.rename(day / f"{letter}.mp4")
    (own / "run" / "alone.mp4").touch()
    [doubt] = make_lists(str(own)).doubts
    assert re.search(r"^3 of 3 .* in a folder of the same name as .*/(monday|friday)/.*--group folder", doubt)
    (own / "run" / "alone.mp4").unlink()
    [doubt] = make_lists(str(own)).doubts
    assert re.match(r"each of the class folders .* holds the folders friday, monday: if these are the classes,", doubt)


def test_videos_in_folders_of_one_name_stay_together(own: Path, tmp_path: Path) -> None:
    """Those of several classes, and those without a label."""
    for folder in (*CLASSES, "unlabeled"):
        for number, file in enumerate(sorted((own / folder).iterdir())):
            day = own / folder / ("monday" if number % 2 else "friday")
            day.mkdir(exist_ok=True)
            file.rename(day / file.name)
    made = make_lists(str(own), group="folder", val_share=0.5)
    val, labeled, unlabeled = (
        {row["folder"] for row in csv.DictReader(made.files[f"{name}.csv"].splitlines())}
        for name in ("val", "labeled", "unlabeled")
    )
    assert val | labeled == {"monday", "friday"} and len(val) == len(labeled) == 1
    assert val.isdisjoint(unlabeled) and "spare_b.mp4" in unlabeled
    files = [(name, file) for name in CLASSES for file in sorted((own / name).rglob("*.mp4"))]
    write_rows(own / "labels.csv", [{"path": str(file.relative_to(own)), "label": name} for name, file in files])
    assert make_lists(str(own), [str(own / "labels.csv")], group="folder", val_share=0.5).files == made.files
    write_lists(made.files, tmp_path / "lists")  # the run's own lists have the column, and name no unlabeled video
    own_lists = [str(tmp_path / "lists" / f"{name}.csv") for name in ("labeled", "val")]
    assert not any("have nothing" in doubt for doubt in make_lists(str(own), own_lists, group="folder").doubts)
    everything = make_lists(str(own), own_lists, group="folder", val_share=0).files["unlabeled.csv"].splitlines()
    assert len(everything) > 2 and all(row["folder"] for row in csv.DictReader(everything))


def test_a_label_counts_more_than_the_folder_of_the_video(own: Path, tmp_path: Path) -> None:
    rows = labels_of(own)
    wrong, right = rows[0]["path"], CLASSES[1]
    (own / wrong).rename(own / CLASSES[0] / "alone.mp4")
    corrected = {"path": "alone.mp4", "label": right}
    for path in ("alone.mp4", f"own/{CLASSES[0]}/alone.mp4", f"{CLASSES[0]}/alone.mp4"):
        write_rows(tmp_path / "labels.csv", [*rows[1:], corrected | {"path": path}])
        made = make_lists(str(own), [str(tmp_path / "labels.csv")], val_share=0)
        assert f"{CLASSES[0]}/alone.mp4,{right}" in made.files["labeled.csv"].splitlines() and not made.left_out
    write_rows(tmp_path / "labels.csv", [*rows[1:], corrected | {"path": f"{right}/alone.mp4"}])
    made = make_lists(str(own), [str(tmp_path / "labels.csv")], val_share=0)
    assert [row["reason"] for row in made.left_out] == ["not found"]


def test_videos_to_validate_on_are_left_out_with_their_recordings(own: Path, tmp_path: Path) -> None:
    rows = [row | {"day": str(number % 4)} for number, row in enumerate(labels_of(own))]
    write_rows(tmp_path / "labels.csv", [*rows, {"path": "spare_b.mp4", "label": "", "day": "0"}])
    write_rows(tmp_path / "val.csv", rows[:1])
    for group, left in ((None, 11), ("day", 9)):
        made = make_lists(str(own), [str(tmp_path / "labels.csv")], val=str(tmp_path / "val.csv"), group=group)
        assert made.labeled == left and "val.csv" not in made.files
        assert ("spare_b.mp4" in made.files["unlabeled.csv"]) == (group is None)
        assert rows[0]["path"] not in made.files["labeled.csv"] + made.files["unlabeled.csv"]
        told = f"{11 - left + 1 + (group == 'day')} videos are left out (such as {rows[0]['path']}): they, or their rec"
        assert made.doubts[0].startswith(told)
    write_rows(tmp_path / "val.csv", [{"path": rows[0]["path"], "label": CLASSES[0]}])
    with pytest.raises(ListError, match=r"val\.csv: no column 'day', by which videos are grouped; add it"):
        make_lists(str(own), [str(tmp_path / "labels.csv")], val=str(tmp_path / "val.csv"), group="day")
    write_rows(tmp_path / "val.csv", rows)
    with pytest.raises(ListError, match=r"all labeled videos are in .*val\.csv"):
        make_lists(str(own), [str(tmp_path / "labels.csv")], val=str(tmp_path / "val.csv"))


def test_names_without_the_number_at_their_end() -> None:
    names = ["a/run_03.mp4", "run_04.avi", "run.mp4", "run-1-2.mp4", "0012.mp4", "take 2 b.mp4"]
    assert [name_without_number(name) for name in names] == ["run", "run", "run", "run-1", "", "take 2 b"]


# Names and links


def test_uncertain_is_no_label(own: Path, tmp_path: Path) -> None:
    """What `cmpl-zoo predict --min-probability` calls a video that is of no class."""
    rows = [row | {name: "0.4" for name in CLASSES} for row in labels_of(own)]
    rows[0]["label"] = "uncertain"
    write_rows(tmp_path / "predicted.csv", rows)
    made = make_lists(str(own), [str(tmp_path / "predicted.csv")], val_share=0)
    assert (made.labeled, made.unlabeled) == (11, 3)
    assert made.doubts[0].startswith("the labels have a column of probabilities for each class")
    (own / "run").rename(own / "uncertain")
    made = make_lists(str(own), val_share=0)
    write_lists(made.files, tmp_path / "lists")
    with pytest.raises(ListError, match="a class is called 'uncertain', as predictions of no class are; give it"):
        read_lists(
            Config(labeled=str(tmp_path / "lists" / "labeled.csv"), root=str(own), output="x", steps=1, scheme="none")
        )


def test_a_file_that_links_lead_to_is_one_video(own: Path) -> None:
    for name in CLASSES:
        for file in list((own / name).iterdir()):
            stored = own / "unlabeled" / f"{name}_{file.name}"
            file.rename(stored)
            file.symlink_to(stored)
    (own / "run" / "latest").symlink_to(own / "run")
    made = make_lists(str(own), val_share=0)
    assert (made.labeled, made.unlabeled) == (12, 2)
    name = next((own / "run").glob("*.mp4")).name
    (own / "walk" / "z.mp4").symlink_to(own / "unlabeled" / f"run_{name}")
    with pytest.raises(ListError, match=rf"own: run/{name} and walk/z\.mp4 are one file in two classes"):
        make_lists(str(own), val_share=0)


def test_accents_are_the_same_however_they_are_coded(own: Path, tmp_path: Path) -> None:
    """Macs store them apart from their letters."""
    (own / "run").rename(own / "cafe\u0301")
    (own / "cafe\u0301" / "00.mp4").rename(own / "cafe\u0301" / "e\u0301.mp4")
    made = make_lists(str(own), val_share=0)
    assert "caf\u00e9\n" in made.files["labeled.csv"]
    (tmp_path / "labels.csv").write_text("path,label\ncaf\u00e9/\u00e9.mp4,caf\u00e9\nwalk/00.mp4,walk\n", "utf-8")
    assert make_lists(str(own), [str(tmp_path / "labels.csv")], val_share=0).labeled == 2
    assert alike(["caf\u00e9", "cafe\u0301", "walk"]) == [["caf\u00e9", "cafe\u0301"]]


def test_a_file_of_labels_names_the_line_at_fault(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    for text, message in (
        ("path;label;remark, free\na;b;c;d\n", r"line 2: 4 cells under a header of 3.*';'"),
        ("path;label\na;b;c\n", r"line 2: 3 cells under a header of 2.*';'"),
        ("path,label\n,walk\n", r"line 2: the path is empty"),
        ("path,label,label\n", r"several columns 'label'"),
        ("path,label\n", r"labels no video"),
        ("", r"no column path .*\(nothing\)"),
    ):
        file.write_text(text)
        with pytest.raises(ListError, match=message):
            make_lists(str(tmp_path), [str(file)])
    file.write_bytes("path,label\nä,b\n".encode("latin-1"))
    with pytest.raises(ListError, match=r"labels\.csv: not a text file in UTF-8"):
        make_lists(str(tmp_path), [str(file)])
