"""What to label next: which videos, in what order, in which files, and the way back into training."""

import csv
import json
import os
import re
import shutil
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from training import CLASSES, REPO, Script, read_rows, run, write_rows

import cmpl_zoo
from cmpl_zoo.datasets.lists import ListError
from cmpl_zoo.suggestions import Suggestion, choose, disagreement, spread, suggestion, uncertainty
from cmpl_zoo.tools.own_videos import make_lists
from cmpl_zoo_cli.main import main
from cmpl_zoo_cli.next_training import next_folder, next_training

COLUMNS = ["path", "label", "predicted", "probability", "disagreement"]


@pytest.fixture(scope="module")
def pool(videos: Path, tmp_path_factory) -> Path:
    """A folder of the made videos: 4 of each class in `clips/`, of which `list.csv` labels one a class."""
    folder = tmp_path_factory.mktemp("pool")
    (folder / "clips").mkdir()
    rows = []
    for label in CLASSES:
        for number in range(4):
            name = f"{label}_{number}.mp4"
            shutil.copy(videos / label / f"{number:02d}.mp4", folder / "clips" / name)
            rows.append({"path": f"clips/{name}", "label": "" if number else label, "day": str(number % 2)})
    write_rows(folder / "list.csv", rows)
    return folder


@pytest.fixture(scope="module")
def networks(trained: Path) -> list[str]:
    return [str(trained / "primary"), str(trained / "auxiliary")]


def suggest(*words: object) -> int:
    return main(["suggest", *map(str, words), "--workers", "0"])


def refused(capsys: pytest.CaptureFixture[str], message: str, *words: object) -> None:
    """The command ends with status 2 and one sentence that matches."""
    try:
        status = suggest(*words)
    except SystemExit as ended:
        status = int(ended.code or 0)
    lines = [line for line in capsys.readouterr().err.splitlines() if not re.match(r"usage:| {2,}", line)]
    assert status == 2 and len(lines) == 1 and re.search(message, lines[0]), lines


# The order


def test_the_highest_scores_come_first_spread_over_classes_and_recordings() -> None:
    scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4]
    classes = ["a", "a", "a", "b", "b", "c"]
    recordings = ["x", "x", "y", "x", "z", "z"]
    # 0 has the highest score; b and c are left out so far: of b, z was not taken yet; then c; and a again from y.
    assert spread(scores, classes, recordings, 4) == [0, 4, 5, 2]
    assert spread(scores, classes, recordings, 9) == [0, 4, 5, 2, 3, 1]
    assert spread(scores, ["a"] * 6, ["x"] * 6, 3) == [0, 1, 2]
    assert spread([0.5, 0.5, 0.5], ["a"] * 3, ["x"] * 3, 2) == [0, 1]  # equal scores: as they are listed


def test_disagreement_is_the_jensen_shannon_divergence_in_bits() -> None:
    per_model = torch.tensor([[[1.0, 0.0], [0.5, 0.5], [0.75, 0.25]], [[0.0, 1.0], [0.5, 0.5], [0.25, 0.75]]])
    quarters = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    assert disagreement(per_model).tolist() == pytest.approx([1, 0, 1 - quarters])


def test_uncertainty_is_entropy_over_that_of_a_guess() -> None:
    found = uncertainty(torch.tensor([[0.25] * 4, [1.0, 0, 0, 0], [0.5, 0.5, 0, 0]]))
    assert found.tolist() == pytest.approx([1, 0, 0.5])


def test_what_models_say_of_a_video_is_what_each_says_alone(pool: Path, networks: list[str]) -> None:
    models = [cmpl_zoo.create_model(name).eval() for name in networks]
    path = str(pool / "clips" / "run_1.mp4")
    [both] = cmpl_zoo.predict(models, [path], topk=3)
    alone = [cmpl_zoo.predict(model, path, topk=3) for model in models]
    for ranked, expected in zip(both.per_model, alone, strict=True):
        assert [name for name, _ in ranked] == [name for name, _ in expected]
        assert [p for _, p in ranked] == pytest.approx([p for _, p in expected], abs=1e-5)
    a, b = (np.array([dict(ranked)[name] for name in CLASSES]) for ranked in alone)
    mean = (a + b) / 2
    entropy = lambda p: -(p * np.log2(p)).sum()  # noqa: E731
    found = suggestion(both, "r")
    assert found.disagreement == pytest.approx(entropy(mean) - (entropy(a) + entropy(b)) / 2, abs=1e-5)
    assert (found.predicted, found.probability) == (CLASSES[mean.argmax()], pytest.approx(mean.max(), abs=1e-5))
    assert [name for name, _ in found.per_model] == [CLASSES[a.argmax()], CLASSES[b.argmax()]]


def test_the_function_gives_what_the_command_writes(pool: Path, networks: list[str], tmp_path: Path) -> None:
    paths = sorted(map(str, (pool / "clips").iterdir()))
    models = [cmpl_zoo.create_model(name).eval() for name in networks]
    (gone := tmp_path / "gone.mp4").write_text("no video")
    with pytest.warns(UserWarning, match=r"gone\.mp4"):
        found = cmpl_zoo.suggest(models, [*paths, gone], 5, workers=0)
    assert suggest(*networks, pool / "clips", "-n", 5, "-o", tmp_path / "todo.csv") == 0
    rows = read_rows(tmp_path / "todo.csv")
    assert [row["path"] for row in rows] == [os.path.basename(one.path) for one in found]
    assert [row["predicted"] for row in rows] == [one.predicted for one in found]
    with pytest.raises(TypeError, match="give a list of paths"):
        cmpl_zoo.suggest(models, paths[0], 5)


def test_labeled_videos_are_left_out_and_classes_and_recordings_are_even(
    pool: Path, networks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"path": row["path"], "label": row["label"], "group": row["day"]} for row in read_rows(pool / "list.csv")]
    write_rows(tmp_path / "list.csv", rows)
    for name in ("one.csv", "two.csv"):
        words = [*networks, pool / "clips", tmp_path / "list.csv", "--root", pool, "-n", 4, "-o", tmp_path / name]
        assert suggest(*words) == 0
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    found = read_rows(tmp_path / "one.csv")
    assert list(found[0]) == [*COLUMNS, "group"]
    labeled = {row["path"] for row in rows if row["label"]}
    assert len({row["path"] for row in found} - labeled) == 4 and {row["label"] for row in found} == {""}
    everything = [*networks, tmp_path / "list.csv", "--root", pool, "-n", 9, "-o", tmp_path / "all.csv"]
    assert suggest(*everything) == 0
    every = read_rows(tmp_path / "all.csv")
    sayings = [
        Suggestion(row["path"], row["group"], row["predicted"], 0, float(row["disagreement"]), []) for row in every
    ]
    classes = [one.predicted for one in choose(sayings, 9)]
    size = Counter(row["predicted"] for row in every)
    for taken in range(1, 10):  # no class is ahead of another by more than one video, but where that has no more
        counts = Counter(classes[:taken])
        assert all(counts[a] - counts[b] <= 1 or counts[b] == size[b] for a in size for b in size)
    assert [row["path"] for row in every[:4]] == [row["path"] for row in found]
    assert re.search(r"4 videos of 2 recordings to label", capsys.readouterr().out)


def test_the_first_labels_need_no_others(
    pool: Path, networks: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(pool / "clips", "new/clips")
    model = cmpl_zoo.create_model(networks[0])
    cmpl_zoo.save(model, "alone", model.pretrained_cfg["label_names"])  # beside no run
    one, other, *_ = sorted(map(str, Path("new/clips").iterdir()))
    for number, words in enumerate((["new"], [one, other], ["new/clips", one])):
        assert suggest("alone", *words, "-n", 2, "-o", f"todo{number}.csv") == 0
        [training] = re.findall("^  cmpl-zoo (train .*todo.*)$", capsys.readouterr().out, re.MULTILINE)[:1]
        folder = "new" if words == ["new"] else "new/clips"
        assert training == f"train {folder} --labels todo{number}.csv -o runs/second"


class Page(HTMLParser):
    """The text and the pictures of a page."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.text, self.pictures = "", 0
        self.feed(file.read_text(encoding="utf-8"))

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.pictures += tag == "img" and bool(dict(attrs)["alt"])


def test_the_page_shows_the_videos_and_what_each_network_says(pool: Path, networks: list[str], tmp_path: Path) -> None:
    assert suggest(*networks, pool / "clips", "-n", 3, "-o", tmp_path / "todo.csv") == 0
    page = Page(tmp_path / "todo.html")
    assert page.pictures == 3
    models = [cmpl_zoo.create_model(name).eval() for name in networks]
    for row in read_rows(tmp_path / "todo.csv"):
        assert row["path"] in page.text
        for name, model in zip(("primary", "auxiliary"), models, strict=True):
            [(label, probability), *_] = cmpl_zoo.predict(model, pool / "clips" / row["path"])
            assert re.search(rf"{name}: {label} ({probability:.0%}|{probability - 0.004:.0%})", page.text)


def test_one_network_suggests_what_it_is_least_sure_of(pool: Path, networks: list[str], tmp_path: Path) -> None:
    assert suggest(networks[0], pool / "clips", "-n", 12, "-o", tmp_path / "todo.csv") == 0
    rows = read_rows(tmp_path / "todo.csv")
    model = cmpl_zoo.create_model(networks[0]).eval()
    for row in rows[:3]:
        p = np.array([p for _, p in cmpl_zoo.predict(model, pool / "clips" / row["path"])])
        assert float(row["disagreement"]) == pytest.approx(-(p * np.log(p)).sum() / np.log(3), abs=1e-3)
    of_one_class = [float(row["disagreement"]) for row in rows if row["predicted"] == rows[0]["predicted"]]
    assert of_one_class == sorted(of_one_class, reverse=True)


# The way back into training


def save_as_spreadsheet(file: Path, labels: dict[str, str]) -> None:
    """Fill in labels by path, and save as programs do where a comma is decimal: semicolons, a mark at the start."""
    rows = read_rows(file)
    for row in rows:
        row["label"] = labels.get(row["path"], "")
        row["probability"] = row["probability"].replace(".", ",")
    with file.open("w", newline="", encoding="utf-8-sig") as lines:
        writer = csv.DictWriter(lines, rows[0], delimiter=";")
        writer.writeheader()
        writer.writerows(rows)


def test_a_run_suggests_and_the_filled_file_goes_into_the_next_run(
    pool: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "own"
    shutil.copytree(pool / "clips", own)
    rows = [{"path": Path(row["path"]).name, "label": row["path"][6:-6]} for row in read_rows(pool / "list.csv")]
    rows = [row | {"day": f"day of {row['path']}"} for row in rows]
    write_rows(tmp_path / "labels.csv", [row if row["path"][-5] in "01" else row | {"label": ""} for row in rows])
    small = [
        "--frames", "4", "--size", "32", "--short-side", "36,42", "--test-clips", "1", "--labeled-batch", "3",
        "--unlabeled-batch", "4", "--steps", "2", "--device", "cpu", "--val-share", "0.4",
    ]  # fmt: skip
    train = [sys.executable, str(REPO / "train" / "cmpl.py"), str(own)]
    first = tmp_path / "runs" / "mine"
    done = run([*train, "--labels", str(tmp_path / "labels.csv"), "--group", "day", "-o", str(first), *small])
    [command] = re.findall(r"  cmpl-zoo (suggest .* -o) mine_todo\.csv", done.stdout)
    todo = tmp_path / "todo.csv"
    assert main([*command.split(), str(todo)]) == 0
    found = read_rows(todo)
    assert {row["path"][-5] for row in found} == {"2", "3"} and len(found) == 6
    assert {row["path"]: row["day"] for row in found} == {
        row["path"]: row["day"] for row in rows if row["path"][-5] in "23"
    }
    told = capsys.readouterr().out
    [again] = [line.split()[2:] for line in told.splitlines() if re.match(r"  cmpl-zoo train .*todo\.csv ", line)]
    assert again == [
        str(own),
        "--labels",
        str(tmp_path / "labels.csv"),
        str(todo),
        "--group",
        "day",
        "--val-share",
        "0.4",
        "-o",
        f"{first}_2",
    ]

    new = {"run_2.mp4": " jump ", "run_3.mp4": "jump", "walk_2.mp4": "walk"}
    save_as_spreadsheet(todo, new)
    run([*train[:2], *again, *small])
    lists = {name: read_rows(Path(f"{first}_2") / "lists" / f"{name}.csv") for name in ("labeled", "val", "unlabeled")}
    labels = {row["path"]: row["label"] for name in ("labeled", "val") for row in lists[name]}
    assert all(row["day"] == f"day of {row['path']}" for name in lists for row in lists[name])
    first_labels = {row["path"]: row["label"] for row in read_rows(tmp_path / "labels.csv") if row["label"]}
    assert labels == first_labels | {path: label.strip() for path, label in new.items()}
    assert {row["path"] for row in lists["unlabeled"]} == {row["path"] for row in rows} - labels.keys()
    config = json.loads((Path(f"{first}_2") / "primary" / "config.json").read_text())
    assert config["label_names"] == ["jump", *CLASSES]


def test_videos_are_spread_over_the_groups_of_the_run(pool: Path, networks: list[str], tmp_path: Path) -> None:
    model = tmp_path / "mine" / "primary"
    shutil.copytree(networks[0], model)
    (tmp_path / "mine" / "lists").mkdir()
    made_from = {"videos": str(pool), "labels": [], "group": "day", "unlabeled": None, "unlabeled_root": None}
    (tmp_path / "mine" / "lists" / "made_from.json").write_text(json.dumps({"made_from": made_from}))
    assert suggest(model, pool / "list.csv", "--root", pool, "-n", 2, "-o", tmp_path / "todo.csv") == 0
    assert {row["day"] for row in read_rows(tmp_path / "todo.csv")} == {"0", "1"}


def test_the_next_training_measures_on_the_same_list(tmp_path: Path) -> None:
    """Else it would learn from the videos that it is to be measured on."""
    (run_lists := tmp_path / "mine" / "lists").mkdir(parents=True)
    made_from = {"videos": "clips", "labels": ["all.csv"], "group": "day", "val": "val.csv", "val_root": "kept"}
    (run_lists / "made_from.json").write_text(json.dumps({"made_from": made_from}))
    after_a_folder = next_training(str(tmp_path / "mine" / "primary"), "x", [])
    options = "--group day --val val.csv --val-root kept"
    assert after_a_folder.lines(Path("todo.csv"))[1] == (
        f"  cmpl-zoo train clips --labels all.csv todo.csv {options} -o {tmp_path / 'mine_2'}"
    )

    made_from |= {"val": None, "val_root": None, "val_share": 0.0, "group": None}
    (run_lists / "made_from.json").write_text(json.dumps({"made_from": made_from}))
    config = {"val": "other.csv", "val_root": "there"}  # given when the run was continued
    (tmp_path / "mine" / "summary.json").write_text(json.dumps({"config": config}))
    continued = next_training(str(tmp_path / "mine" / "primary"), "x", [])
    assert list(continued.options) == ["--val", "other.csv", "--val-root", "there", "--val-share", "0.0"]
    config = {"val": str(run_lists / "val.csv"), "val_root": None}
    (tmp_path / "mine" / "summary.json").write_text(json.dumps({"config": config}))
    assert list(next_training(str(tmp_path / "mine" / "primary"), "x", []).options) == ["--val-share", "0.0"]

    (tmp_path / "other").mkdir()
    (root := tmp_path / "clips").mkdir()
    (labeled := tmp_path / "labeled.csv").write_text("path,label\na.mp4,run\n")
    config = {"labeled": str(labeled), "root": str(root), "val": "val.csv", "val_root": None}
    (tmp_path / "other" / "summary.json").write_text(json.dumps({"config": config}))
    model = str(tmp_path / "other" / "primary")
    after_lists = next_training(model, str(root), [])
    assert after_lists.lines(Path("todo.csv"))[1] == (
        f"  cmpl-zoo train {root} --labels {labeled} todo.csv --val val.csv -o {tmp_path / 'other_2'}"
    )
    assert after_lists.lines(Path("todo.csv"))[-1].endswith("count as unlabeled then; keep those to test on elsewhere.")
    assert next_training(model, "elsewhere", ["more.csv"]).labels == ["more.csv"]
    (tmp_path / "other" / "summary.json").write_text(json.dumps({"config": {"unlabeled": "a.csv", "root": str(root)}}))
    assert next_training(model, str(root), ["more.csv"]).labels == ["more.csv"], "a pretrained network"


def two_files(pool: Path, folder: Path, *labels: str) -> list[str]:
    """The list of the pool with a label for every second video, and a file with labels of the same or others."""
    names = [row["path"] for row in read_rows(pool / "list.csv")]
    rows = [{"path": name, "label": name[6:-6]} for name in names]
    write_rows(folder / "labels.csv", rows[::2])
    more = [{"path": name, "label": label} for name, label in zip(names[1::2], labels, strict=False)]
    write_rows(folder / "todo.csv", more)
    return [str(folder / "labels.csv"), str(folder / "todo.csv")]


def test_the_same_label_twice_counts_once_and_another_is_refused(pool: Path, tmp_path: Path) -> None:
    files = two_files(pool, tmp_path, "run", "run")
    before = make_lists(str(pool), files)
    first = read_rows(tmp_path / "labels.csv")[0]
    repeated = [*read_rows(tmp_path / "todo.csv"), {"path": Path(first["path"]).name, "label": first["label"]}]
    write_rows(tmp_path / "todo.csv", repeated)
    assert make_lists(str(pool), files).files == before.files
    repeated[-1]["label"] = "walk"
    write_rows(tmp_path / "todo.csv", repeated)
    with pytest.raises(ListError, match=r"clips/run_0\.mp4 is 'run' in .*labels\.csv and 'walk' in .*todo\.csv"):
        make_lists(str(pool), files)


def test_rows_of_one_video_with_one_label_are_one(pool: Path, tmp_path: Path) -> None:
    """However they spell its path, and whatever else they say."""
    files = two_files(pool, tmp_path, "run", "run")
    rows = [row | {"by": "ann"} for row in read_rows(tmp_path / "labels.csv")]
    write_rows(tmp_path / "labels.csv", rows)
    before = make_lists(str(pool), files)
    again = [rows[0] | {"by": "bob"}, rows[1] | {"path": Path(rows[1]["path"]).name}]
    write_rows(tmp_path / "labels.csv", [*rows, *again, rows[2] | {"path": str(pool / rows[2]["path"])}])
    made = make_lists(str(pool), files)
    assert (made.files, made.left_out) == (before.files, [])


def test_two_rows_of_a_file_that_differ_are_left_out_with_the_reason(pool: Path, tmp_path: Path) -> None:
    files = two_files(pool, tmp_path, "run", "run")
    rows = read_rows(tmp_path / "todo.csv")
    write_rows(tmp_path / "todo.csv", [*rows, rows[0] | {"label": "walk"}])
    made = make_lists(str(pool), files)
    assert [(row["path"], row["label"]) for row in made.left_out] == [
        (rows[0]["path"], label) for label in ("run", "walk")
    ]
    assert all("listed more than once" in row["reason"] for row in made.left_out)


def test_a_class_that_differs_by_case_alone_is_told(pool: Path, tmp_path: Path) -> None:
    [doubt] = make_lists(str(pool), two_files(pool, tmp_path, "run", "run", "Walk"), val_share=0).doubts
    assert re.match(r"class 'Walk' \(1 videos\) is 'walk' \(2\) but for case", doubt)
    with pytest.raises(ListError, match=r"class 'Wave both hands' has one video.*is 'wave_both_hands' \(2\) but for"):
        make_lists(str(pool), two_files(pool, tmp_path, "run", "Wave both hands"))


def test_a_file_without_a_label_is_told(pool: Path, tmp_path: Path) -> None:
    with pytest.raises(ListError, match=r"todo\.csv: no row has a label; fill in .*or leave the file out"):
        make_lists(str(pool), two_files(pool, tmp_path, "", ""))


def test_columns_of_several_files_are_joined_and_a_video_without_a_group_is_one(pool: Path, tmp_path: Path) -> None:
    files = two_files(pool, tmp_path, "run", "run", "walk")
    rows = [row | {"day": "1"} for row in read_rows(tmp_path / "labels.csv")]
    write_rows(tmp_path / "labels.csv", rows)
    made = make_lists(str(pool), files, group="day", val_share=0)
    days = {row["path"]: row["day"] for row in csv.DictReader(made.files["labeled.csv"].splitlines())}
    assert all(days[row["path"]] == "1" for row in rows)
    assert all(days[row["path"]] == row["path"] for row in read_rows(tmp_path / "todo.csv"))


def test_a_label_of_a_video_outside_of_the_folder_counts(pool: Path, tmp_path: Path) -> None:
    files = two_files(pool, tmp_path, "run", "run")
    outside = shutil.copy(pool / "clips" / "run_1.mp4", tmp_path / "outside.mp4")
    write_rows(tmp_path / "todo.csv", [{"path": str(outside), "label": "run"}])
    made = make_lists(str(pool), files, val_share=0)
    listed = {row["path"]: row["label"] for row in csv.DictReader(made.files["labeled.csv"].splitlines())}
    assert listed[str(outside)] == "run" and len(listed) == 7 and made.left_out == []


# Label Studio


def annotate(tasks: Path, labels: list[str]) -> Path:
    """What the tool exports of tasks with a label each, once somebody has put these in the place of those predicted."""
    exported = json.loads(tasks.read_text())
    for number, (task, label) in enumerate(zip(exported, labels, strict=True)):
        [result] = task["predictions"][0]["result"]
        result["value"][result["type"]] = [label]
        annotation = {"result": [result], "was_cancelled": False, "updated_at": "2026-03-04T11:50:00.000000Z"}
        task |= {"id": number, "annotations": [annotation]}
    (file := tasks.with_name("export.json")).write_text(json.dumps(exported))
    return file


@pytest.mark.parametrize("segments", [False, True], ids=["videos", "segments"])
def test_label_studio_corrects_the_suggestions(
    pool: Path, networks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], segments: bool
) -> None:
    rows = [{"path": row["path"]} for row in read_rows(pool / "list.csv")]
    if segments:
        rows = [row | {"start": start, "end": end} for row in rows for start, end in (("0", "0.5"), ("0.5", "1.25"))]
    write_rows(tmp_path / "list.csv", rows)
    todo, tasks = tmp_path / "todo.csv", tmp_path / "todo_tasks.json"
    assert suggest(*networks, tmp_path / "list.csv", "--root", pool, "-n", 6, "-o", todo) == 0
    found = read_rows(todo)
    assert all(("#t=" in row["path"]) == segments for row in found)
    save_as_spreadsheet(todo, {found[0]["path"]: "jump"})  # one was typed already
    commands = [line.split()[1:] for line in capsys.readouterr().out.splitlines() if line.startswith("  cmpl-zoo")]
    assert main(commands[1]) == 0
    predictions = [task["predictions"][0] for task in json.loads(tasks.read_text())]
    scores = [result.get("score") for one in predictions for result in one["result"]]
    typed = sum(score is None for score in scores)
    assert typed == 1 and len(scores) == 6
    assert sorted(filter(None, scores)) == pytest.approx(sorted(float(row["probability"]) for row in found[1:]))
    expected = {row["path"]: ("walk", "jump")[number % 2] for number, row in enumerate(found)}
    export = annotate(tasks, list(expected.values()))
    assert main([*commands[2][:2], str(export), *commands[2][3:]]) == 0
    made = make_lists(str(pool), [next(word for word in commands[3] if word.endswith("todo_labels.csv"))], val_share=0)
    listed = csv.DictReader(made.files["labeled.csv"].splitlines())
    times = ("#t={start},{end}" if segments else "").format
    assert {row["path"] + times(**row): row["label"] for row in listed} == expected


# Segments, and what cannot be read


def test_segments_of_recordings_are_spread_over_the_recordings(
    pool: Path, networks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    times = [("0", "0.5"), ("0.5", "1"), ("1", "")]
    rows = [
        {
            "path": f"clips/run_{video}.mp4",
            "label": "run" if start == "1" and not video else "",
            "start": start,
            "end": end,
        }
        for video in range(3)
        for start, end in times
    ]
    write_rows(tmp_path / "list.csv", rows)
    words = [*networks, pool / "clips", tmp_path / "list.csv", "--root", pool, "-o", tmp_path / "todo.csv", "-n", 50]
    assert suggest(*words) == 0
    found = [row["path"] for row in read_rows(tmp_path / "todo.csv")]
    whole = {f"clips/{file.name}" for file in (pool / "clips").iterdir()} - {row["path"] for row in rows}
    parts = {f"{row['path']}#t={row['start']},{row['end']}".rstrip(",") for row in rows} - {"clips/run_0.mp4#t=1"}
    assert set(found) == whole | parts and len(found) == len(whole | parts)
    assert re.search(r"-n 50 is more than there are: all 17 videos", capsys.readouterr().err)


def test_unreadable_videos_are_told_and_left_out(
    pool: Path, networks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(tmp_path / "list.csv", [{"path": "clips/run_1.mp4"}, {"path": "clips/gone.mp4"}])
    assert suggest(*networks, tmp_path / "list.csv", "--root", pool, "-o", tmp_path / "todo.csv") == 1
    assert [row["path"] for row in read_rows(tmp_path / "todo.csv")] == ["clips/run_1.mp4"]
    assert re.search(r"clips/gone\.mp4", capsys.readouterr().err)


def test_labels_that_lead_to_no_file_are_told(
    pool: Path, networks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows(
        tmp_path / "few.csv", [{"path": "clips/run_1.mp4", "label": "run"}, {"path": "gone.mp4", "label": "run"}]
    )
    words = [*networks, pool / "clips", tmp_path / "few.csv"]
    suggest(*words, "-n", 1, "-o", tmp_path / "a.csv")
    assert re.search(
        r"few\.csv: 2 of 2 labeled videos are not there .*clips/run_1\.mp4.*; give --root", capsys.readouterr().err
    )
    suggest(*words, "--root", pool, "-n", 1, "-o", tmp_path / "b.csv")
    assert re.search(r"few\.csv: 1 of 2 labeled videos are not there .*gone\.mp4", capsys.readouterr().err)


def bad_words(kind: str, pool: Path, networks: list[str], folder: Path) -> list[object]:
    """A command line with one thing wrong."""
    todo: Path = folder / "todo.csv"
    given: list[object] = [*networks, pool / "list.csv", "--root", pool]
    if kind == "other classes":
        given = [networks[0], "r3d50_eighth.cmpl_demo", pool / "clips"]
    elif kind == "third model":
        given = [*networks, networks[0], pool / "clips"]
    elif kind == "no videos":
        given = networks
    elif kind == "empty folder":
        (folder / "empty").mkdir()
        given = [*networks, folder / "empty"]
    elif kind == "gone":
        write_rows(folder / "gone.csv", [{"path": "a.mp4"}, {"path": "b.mp4"}])
        given = [*networks, folder / "gone.csv"]
    elif kind == "all labeled":
        rows = [row | {"label": "run"} for row in read_rows(pool / "list.csv")]
        write_rows(folder / "labeled.csv", rows)
        given = [*networks, folder / "labeled.csv", "--root", pool]
    elif kind == "input":
        todo = shutil.copy(pool / "list.csv", folder / "list.csv")
        given = [*networks, todo, "--root", pool]
    elif kind == "there already":
        todo.write_text("path,label\nclips/run_1.mp4,run\n")
    elif kind == "page there":
        (folder / "todo.html").write_text("mine")
    elif kind == "no table":
        todo = folder / "todo.xlsx"
    elif kind == "no folder":
        (folder / "file").write_text("")
        todo = folder / "file" / "todo.csv"
    more = {"none": ["-n", 0], "text": ["-n", "many"]}.get(kind, [])
    return [*given, *more, "-o", todo]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("other classes", r"cmpl_demo: knows other classes than .*primary.*give networks of one run"),
        ("third model", r"primary: this is a third model, and two at most"),
        ("no videos", r"auxiliary: this is a model; give the videos"),
        ("empty folder", r"empty: holds no video"),
        ("gone", r"none of the 2 videos without a label can be read"),
        ("all labeled", r"labeled\.csv: all 12 videos have a label already"),
        ("input", r"list\.csv: this is the list that is read; give -o another name"),
        ("there already", r"todo\.csv: is there already, and is kept; give -o another name"),
        ("page there", r"todo\.html: is there already"),
        ("no table", r"-o .*todo\.xlsx: must end in \.csv"),
        ("no folder", r"-o .*file/todo\.csv cannot be written"),
        ("none", r"-n: must be at least 1, not 0"),
        ("text", r"-n: must be a whole number, not 'many'"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    pool: Path, networks: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, message: str
) -> None:
    words = bad_words(kind, pool, networks, tmp_path)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    if kind == "gone":  # which names the two videos as well
        assert suggest(*words) == 2
        assert re.search(message, capsys.readouterr().err.splitlines()[-1])
    else:
        refused(capsys, message, *words)
    assert {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()} == before


def test_a_full_disk_leaves_nothing(pool: Path, networks: list[str], tmp_path: Path) -> None:
    script = Script(
        [sys.executable, str(REPO / "cmpl_zoo_cli" / "__main__.py"), "suggest", *networks, str(pool / "clips"), "-o",
         str(tmp_path / "todo.csv"), "--workers", "0"],
        file_size=300,
    )  # fmt: skip
    _, error = script.communicate()
    assert script.returncode == 2 and re.search(r"todo\.(html|csv).*File too large", error.splitlines()[-1])
    assert list(tmp_path.iterdir()) == []


def test_runs_are_numbered() -> None:
    assert [next_folder(Path(name)) for name in ("mine", "mine_2", "day_1_walk", "run_9")] == [
        "mine_2", "mine_3", "day_1_walk_2", "run_10",
    ]  # fmt: skip
