"""`cmpl-zoo train VIDEOS`: lists, recipe and plan from a folder of videos, training, and what can be typed next."""

import csv
import json
import os
import re
import shlex
import shutil
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from training import CLASSES, REPO, Script, assert_same_weights, files_of, labels_of, losses, read_rows, run, write_rows

from cmpl_zoo.tools.own_videos import MadeLists, make_lists
from cmpl_zoo.training.own_lists import write_own_lists
from cmpl_zoo.training.plan import in_words
from cmpl_zoo.training.run_folder import FORMER_LISTS
from cmpl_zoo_cli.main import main
from cmpl_zoo_cli.own_videos import words_before
from cmpl_zoo_cli.train_parser import parse

SMALL = [
    "--frames", "4", "--size", "32", "--short-side", "36,42", "--test-clips", "1", "--labeled-batch", "3",
    "--unlabeled-batch", "4", "--log-every", "1", "--device", "cpu",
]  # fmt: skip
SHORT = [*SMALL, "--steps", "2"]


def call(*words: str | Path) -> list[str]:
    return [sys.executable, str(REPO / "train" / "cmpl.py"), *map(str, words)]


# One command


def test_a_folder_becomes_a_network_and_the_commands_that_follow_work(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "runs" / "mine"
    done = run(call(own, "-o", output, *SHORT, "--val-share", "0.25", "--group", "folder"), expect=2)
    assert re.search(r"no column 'folder'.*make a subfolder for each recording", done.stderr) and not output.exists()
    done = run(call(own, "-o", output, *SHORT, "--val-share", "0.25"))
    plan, scores = done.stdout.splitlines()[:5], done.stdout.splitlines()[5:]
    assert re.fullmatch(r"labeled +9 videos of 3 classes: run 3, walk 3, wave_both_hands 3", plan[0])
    assert re.fullmatch(r"unlabeled +2 videos in no class folder; --scheme none --auxiliary null leaves .*", plan[1])
    assert re.fullmatch(r"validation +3 videos, held out at random", plan[2])
    assert re.fullmatch(
        r"networks +(r3d50_eighth from r3d50_eighth.cmpl_demo( and )?){2} \(recipe own_videos, for a CPU\)", plan[3]
    )
    assert re.match(
        r"training +2 steps of 3 labeled and 4 unlabeled clips, about \d+ \w+, at [\d.e-]+ s a step", plan[4]
    )
    assert re.match(r"primary: top-1 .* always the largest class: 33\.33 %", scores[0])
    lists = {name: read_rows(output / "lists" / f"{name}.csv") for name in ("labeled", "val", "unlabeled")}
    assert sorted(row["label"] for row in lists["val"]) == CLASSES
    assert {row["path"] for row in lists["unlabeled"]} == {"spare_b.mp4", "unlabeled/spare_a.mp4"}
    assert sorted(row["path"] for name in ("labeled", "val") for row in lists[name]) == [
        row["path"] for row in labels_of(own)
    ]
    config = yaml.safe_load((output / "config.yaml").read_text())
    assert (config["crop_pct"], config["scheme"], config["root"]) == (0.9, "cross", str(own))  # of own_videos.yaml
    commands = [shlex.split(line, comments=True)[1:] for line in scores if line.startswith("  cmpl-zoo ")]
    assert [words[0] for words in commands] == ["predict", "evaluate", "suggest"]
    for words in commands:
        assert main(words) == 0


def test_the_weights_are_those_of_the_lists_and_the_recipe_given(own: Path, tmp_path: Path) -> None:
    run(call(own, "-o", tmp_path / "one", *SHORT))
    lists = [
        word
        for name in ("labeled", "unlabeled", "val")
        for word in (f"--{name}", tmp_path / "one" / "lists" / f"{name}.csv")
    ]
    run(call("--config", "own_videos", *SHORT, *lists, "--root", own, "-o", tmp_path / "other"))
    assert_same_weights(tmp_path / "one", tmp_path / "other")


def test_without_unlabeled_videos_one_network_learns_from_the_labels(own: Path, tmp_path: Path) -> None:
    shutil.rmtree(own / "unlabeled")
    (own / "spare_b.mp4").unlink()
    done = run(call(own, "-o", tmp_path / "run", *SHORT))
    assert re.search(r"unlabeled +none: learns from the labels alone", done.stdout)
    assert not (tmp_path / "run" / "auxiliary").exists() and (tmp_path / "run" / "primary").exists()
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["scheme"] == "none"


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(own: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    done = run(call(own, "-o", folder, *SHORT, "--dry-run"))
    assert len(done.stdout.splitlines()) == 5 and not folder.exists()
    run(call(own, "-o", folder, *SHORT))
    before = files_of(folder)
    assert {f"lists/{name}" for name in ("labeled.csv", "val.csv", "unlabeled.csv", "made_from.json")} <= before.keys()
    for options in (["--overwrite"], ["--resume"]):
        run(call(own, "-o", folder, *SHORT, *options, "--dry-run"))
        assert files_of(folder) == before


def test_lists_without_a_run_are_made_again(own: Path, tmp_path: Path) -> None:
    (lists := tmp_path / "run" / "lists").mkdir(parents=True)
    (lists / "made_from.json").write_text("{}")  # as a process that was killed before its first step left it
    run(call(own, "-o", tmp_path / "run", *SHORT, "--resume"))
    assert len(read_rows(lists / "labeled.csv")) == 9


@pytest.mark.slow
def test_ctrl_c_and_resume_end_with_the_same_weights_and_the_first_lists(own: Path, tmp_path: Path) -> None:
    words = [*SMALL, "--steps", "12", "--save-every-steps", "100"]
    run(call(own, "-o", tmp_path / "whole", *words))
    output = tmp_path / "stopped"
    script = Script(call(own, "-o", output, *words))
    log = output / "metrics.jsonl"
    deadline = time.monotonic() + 200
    while not (log.exists() and len(log.read_text().splitlines()) >= 3):
        assert script.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    script.send_signal(signal.SIGINT)
    _, error = script.communicate()
    assert script.returncode == 130 and re.search(r"stopped at step \d+; the same command with --resume", error)
    assert 3 <= len(losses(output)) < 12
    error = run(call(own, "-o", output, *words), expect=2).stderr
    assert re.search(r"holds a run already.*--resume", error)
    error = run(call(own, "-o", output, *words, "--resume", "--val-share", "0.4"), expect=2).stderr
    assert re.search(r"lists of other videos \(val_share was 0\.2\)", error)
    lists = files_of(output / "lists")
    shutil.copytree(own / CLASSES[0], own / "new_class")  # which the lists do not have
    run(call(f"{own}/", "-o", output, *words, "--resume"))  # as a shell completes it
    assert files_of(output / "lists") == lists
    assert_same_weights(output, tmp_path / "whole")


def test_resume_begins_where_there_is_nothing_and_overwrite_makes_the_lists_again(own: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    run(call(own, "-o", output, *SHORT, "--resume"))
    first = files_of(output / "lists")
    run(call(own, "-o", output, *SHORT, "--overwrite", "--seed", "3"))
    again = files_of(output / "lists")
    assert again["val.csv"] != first["val.csv"] and again.keys() == first.keys()
    shutil.copytree(own, output / "videos")
    error = run(call(output / "videos", "-o", output, *SHORT, "--overwrite"), expect=2).stderr
    assert re.search(r"--overwrite would delete VIDEOS .*/run/videos with .*/run; give another", error)
    assert files_of(output / "lists") == again


def test_a_run_that_cannot_begin_leaves_the_lists_of_the_earlier_one(own: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    run(call(own, "-o", output, *SHORT))
    before = files_of(output)
    other = call(own, "-o", output, *SHORT, "--seed", "5", "--overwrite", "--init", "nowhere")
    assert "nowhere" in run(other, expect=2).stderr
    assert files_of(output) == before
    (output / "lists").rename(output / FORMER_LISTS)  # as of a process that was killed
    shutil.copytree(output / FORMER_LISTS, output / "lists")
    (output / "lists" / "val.csv").unlink()
    run(call(own, "-o", output, *SHORT, "--resume"))
    lists = {name: text for name, text in before.items() if name.startswith("lists/")}
    assert lists == {name: text for name, text in files_of(output).items() if "lists/" in name}


def test_the_lists_of_a_run_that_is_at_work_are_kept(own: Path, tmp_path: Path) -> None:
    import fcntl

    (output := tmp_path / "run").mkdir()
    with (output / ".lock").open("a") as lock:  # this process counts as the run
        error = run(call(own, "-o", output, *SHORT, "--init", "nowhere"), expect=2).stderr
        lists = files_of(output / "lists")
        fcntl.lockf(lock, fcntl.LOCK_EX)
        assert "nowhere" in error and lists
        error = run(call(own, "-o", output, *SHORT, "--seed", "5"), expect=2).stderr
    assert re.search(r"another process trains in .*/run; wait", error) and files_of(output / "lists") == lists


def test_a_folder_is_kept_from_its_lists_to_the_end_of_the_run(own: Path, tmp_path: Path) -> None:
    with ExitStack() as until_end:
        write_own_lists({"made_from.json": "{}"}, tmp_path / "new", until_end)
        error = run(call(own, "-o", tmp_path / "new", *SHORT), expect=2).stderr
        assert re.search(r"another process trains in .*/new; wait", error)
    run(call(own, "-o", tmp_path / "new", *SHORT, "--dry-run"))


def test_a_run_that_began_before_an_option_was_there_continues(own: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    run(call(own, "-o", output, *SHORT))
    record = json.loads((output / "lists" / "made_from.json").read_text())
    del record["made_from"]["val_root"]
    (output / "lists" / "made_from.json").write_text(json.dumps(record))
    run(call(own, "-o", output, *SHORT, "--resume"))


def test_a_run_continues_with_other_videos_to_validate_on(own: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    run(call(own, "-o", output, *SHORT))
    write_rows(tmp_path / "other.csv", read_rows(output / "lists" / "val.csv")[:2])
    run(call(own, "-o", output, *SHORT, "--resume", "--val", tmp_path / "other.csv", "--val-root", own))
    assert json.loads((output / "summary.json").read_text())["validation"]["primary"]["videos"] == 2


def test_more_unlabeled_videos_come_from_a_folder_or_a_list(own: Path, videos: Path, tmp_path: Path) -> None:
    for folder in (own, own / "unlabeled"):  # those with a label are skipped, and each of the others counts once
        made = make_lists(str(own), unlabeled=str(folder))
        assert made.unlabeled == 2 and made.files["unlabeled.csv"].count("spare_a.mp4") == 1
    some = tmp_path / "more.csv"
    write_rows(some, [{"path": row["path"]} for row in read_rows(videos / "videos.csv")[:3]])
    made = make_lists(str(own), unlabeled=str(some), unlabeled_root=str(videos))
    rows = list(csv.DictReader(made.files["unlabeled.csv"].splitlines()))
    assert [row["path"] for row in rows[2:]] == [str(videos / row["path"]) for row in read_rows(some)]


def test_lists_that_are_given_take_a_folder_of_unlabeled_videos(own: Path, lists: Path, videos: Path, tmp_path: Path):
    given = ["--labeled", lists / "labeled.csv", "--root", videos, "-o", tmp_path / "run", *SHORT]
    typed = [*given, "--unlabeled", own / "unlabeled"]
    done = run(call(*typed, "--dry-run"))
    assert re.search(r"unlabeled +1 videos", done.stdout) and re.search(r"validation +none", done.stdout)
    run(call(*typed))
    rows = read_rows(tmp_path / "run" / "lists" / "unlabeled.csv")
    assert rows == [{"path": str(own / "unlabeled" / "spare_a.mp4")}]


# The rule of the recipe


@pytest.mark.parametrize(
    ("words", "labeled", "expected"),
    [
        (["--device", "cpu"], 280, ["--config", "own_videos"]),
        (["--device", "cpu"], 281, ["--config", "own_videos", "--steps", "352", "--unlabeled-warmup", "352"]),
        (
            ["--device", "cpu", "--steps", "100"],
            280,
            ["--config", "own_videos", "--steps", "100", "--unlabeled-warmup", "100"],
        ),
        (["--device", "cuda"], 281, ["--config", "finetune"]),
        (["--device", "cuda"], 4801, ["--config", "finetune", "--steps", "3001"]),
        (["--device", "cpu", "--labeled-batch=64"], 1600, ["--config", "own_videos"]),
        (
            ["--device", "cpu", "--labeled-batch", "4"],
            1600,
            ["--config", "own_videos", "--steps", "4000", "--unlabeled-warmup", "4000"],
        ),
        (
            ["--device", "cpu", "--epochs", "3"],
            2000,
            ["--config", "own_videos", "--steps", "null", "--unlabeled-warmup", "750"],
        ),
        (["--config", "demo"], 2000, []),
        (["--device", "cpu", "--primary-stride=3"], 280, ["--config", "own_videos", "--spread", "false"]),
        (["--device", "cpu", "--fps", "8"], 280, ["--config", "own_videos", "--spread", "false"]),
        (["--device", "cuda", "--primary", "r3d50_half"], 280, ["--config", "finetune", "--init", "null"]),
        (["--device", "cpu", "--primary", "r3d50"], 280, ["--config", "own_videos", "--init", "r3d50"]),
        (["--device", "cpu", "--primary", "r3d50", "--init", "null"], 280, ["--config", "own_videos"]),
        (
            ["--device", "cpu", "--auxiliary", "r3d50_half"],
            280,
            ["--config", "own_videos", "--auxiliary-init", "null"],
        ),
    ],
)
def test_the_recipe_follows_the_device_and_the_number_of_videos(words: list[str], labeled: int, expected: list[str]):
    line = parse(["videos", "-o", "o", *words])
    assert words_before(line, MadeLists({}, labeled, 0, [], [])) == expected


def test_passes_are_of_the_unlabeled_videos_where_there_are_any() -> None:
    line = parse(["videos", "-o", "o", "--device", "cpu", "--epochs", "2"])
    assert words_before(line, MadeLists({}, 10, 800, [], []))[-2:] == ["--unlabeled-warmup", "134"]
    alone = parse([*line.words, "--scheme", "none", "--auxiliary", "null"])
    assert words_before(alone, MadeLists({}, 10, 800, [], []))[-2:] == ["--unlabeled-warmup", "3"]


def test_what_counts_validations_takes_the_videos_that_are_held_out(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["videos", "-o", "o", "--val-every", "10", "--patience", "2"]
    assert parse(words).config.patience == 2 and parse(words).val is None
    with pytest.raises(SystemExit):
        parse([*words, "--val-share", "0"])
    assert "--patience 2 counts validations; give --val LIST" in capsys.readouterr().err


def test_no_unlabeled_videos_cannot_be_typed_of_a_folder(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["videos", "-o", "o", "--unlabeled", "null"])
    assert "give --scheme none --auxiliary null" in capsys.readouterr().err


def test_durations_are_rounded_and_in_words() -> None:
    seconds = [0.2, 89, 90, 5399, 5400, 86400 * 1.9, 86400 * 2.4]
    words = ["1 second", "89 seconds", "2 minutes", "90 minutes", "2 hours", "46 hours", "2 days"]
    assert [in_words(value) for value in seconds] == words


# Bad input


def damage(own: Path, kind: str) -> list[str]:
    """Make the folder, or the words that go with it, unfit in one way."""
    labels = own.parent / "labels.csv"
    rows = labels_of(own)
    if kind == "empty folder":
        shutil.rmtree(own)
        own.mkdir()
    elif kind == "no folder":
        shutil.rmtree(own)
    elif kind == "no class folder":
        for name in CLASSES:
            shutil.rmtree(own / name)
    elif kind == "one class":
        for name in CLASSES[1:]:
            shutil.rmtree(own / name)
    elif kind == "one video":
        for file in sorted((own / "walk").iterdir())[1:]:
            file.unlink()
    elif kind == "no video of the file":
        rows = [row | {"path": f"elsewhere_{number}.mp4"} for number, row in enumerate(rows)]
    elif kind == "one class found":
        rows = [row | ({} if row["label"] == CLASSES[0] else {"path": "gone.mp4"}) for row in rows]
    elif kind == "bad segment":
        rows = [row | {"start": "", "end": ""} for row in rows]
        rows[3] |= {"start": "-3", "end": "1"}
    elif kind == "no label":
        rows = [row | {"label": ""} for row in rows]
    elif kind == "no column":
        rows = [{"path": row["path"], "class": row["label"]} for row in rows]
    elif kind == "one group":
        rows = [row | {"day": row["label"]} for row in rows]
    elif kind == "unreadable":
        for file in own.rglob("*.mp4"):
            file.write_text("no video")
    write_rows(labels, rows)
    given = {
        "one class found",
        "bad segment",
        "no video of the file",
        "no label",
        "no column",
        "one group",
        "no such column",
    }
    more = {"one group": ["--group", "day"], "no such column": ["--group", "week"]}.get(kind, [])
    more += {"both": ["--labeled", "a.csv"], "root": ["--root", "a"], "share": ["--val-share", "20"]}.get(kind, [])
    return [str(own), *(["--labels", str(labels)] if kind in given else []), *more]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty folder", r"own: holds no video"),
        ("no folder", r"own: there is no such folder"),
        ("no class folder", r"own: none of its videos is in a class folder \(the first, spare_b.mp4\).*--labels"),
        ("one class", r"own: all labeled videos are of one class, 'run'; label at least two"),
        ("one class found", r"of one class, 'run' \(2 are left out; the first, gone\.mp4: not found\); label"),
        ("bad segment", r"labels\.csv, line 5: .*from 0 on, not -3"),
        ("one video", r"own: class 'walk' has one video.*add videos"),
        ("no video of the file", r"own: holds none of the 12 videos .*elsewhere_0\.mp4: not found"),
        ("no label", r"labels\.csv: no row has a label"),
        ("no column", r"labels\.csv: no column label in its header \(path, class\)"),
        ("one group", r"labels\.csv: --val-share 0\.2, which takes whole days, would take all videos of class"),
        ("no such column", r"labels\.csv: no column 'week' to group by; there are folder"),
        ("both", r"VIDEOS and --labeled both give"),
        ("root", r"--root a: .*leave --root out"),
        ("share", r"--val-share is a share from 0 to below 1, not 20"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, message: str
) -> None:
    try:
        status = main(["train", *damage(own, kind), "-o", str(tmp_path / "runs" / "mine"), *SHORT])
    except SystemExit as ended:
        status = int(ended.code or 0)
    lines = [line for line in capsys.readouterr().err.splitlines() if not re.match(r"usage:| +cmpl-zoo train", line)]
    assert status == 2 and len(lines) == 1 and re.search(message, lines[0]), lines
    assert not (tmp_path / "runs").exists()


def test_videos_that_cannot_be_read_are_named_before_training(own: Path, tmp_path: Path) -> None:
    error = run(call(*damage(own, "unreadable"), "-o", tmp_path / "run", *SHORT), expect=2).stderr
    assert re.search(r"run/.*\.mp4.*none of the \d+ videos tried", error.splitlines()[-1])
    assert files_of(tmp_path / "run").keys() == {
        ".lock",
        *(f"lists/{name}" for name in ("labeled.csv", "val.csv", "unlabeled.csv", "made_from.json")),
    }


def test_a_full_disk_leaves_nothing(own: Path, tmp_path: Path) -> None:
    for size, where in ((50, r"/labeled\.csv"), (500, "runs/mine/lists")):  # a temporary list, and the run's
        script = Script(call(own, "-o", tmp_path / "runs" / "mine", *SHORT), file_size=size)
        _, error = script.communicate()
        assert script.returncode == 2 and re.search(rf"{where}: File too large.*repaired", error.splitlines()[-1])
        assert not (tmp_path / "runs").exists()


def test_without_network_the_recipe_that_downloads_says_so(own: Path, tmp_path: Path) -> None:
    words = call(own, "-o", tmp_path / "run", "--config", "finetune", "--device", "cpu")
    closed = {"TORCH_HOME": str(tmp_path / "cache"), "CMPL_ZOO_MIRROR": "http://127.0.0.1:9"}
    script = Script(words, environment=closed)
    _, error = script.communicate()
    assert script.returncode == 2
    assert re.search(r"SLOW_8x8_R50\.pyth: cannot be downloaded.*own_videos needs no download", error.splitlines()[-1])
    assert set(os.listdir(tmp_path / "run")) == {"lists", ".lock"}


def test_a_folder_of_lists_of_somebody_else_is_kept(own: Path, tmp_path: Path) -> None:
    theirs = tmp_path / "run" / "lists" / "labeled.csv"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs")
    error = run(call(own, "-o", tmp_path / "run", *SHORT), expect=2).stderr
    assert re.search(r"run/lists is there already.*another --output", error)
    assert theirs.read_text() == "theirs"


@pytest.mark.parametrize("words", [["train", "--val-share", "0"], ["pretrain", "--task", "rotation"]])
def test_a_folder_of_another_project_is_kept(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    """Which has a config.yaml, as runs have."""
    theirs = tmp_path / "project"
    (theirs / "lists").mkdir(parents=True)
    for name in ("config.yaml", "report.html", "lists/labels.csv"):
        (theirs / name).write_text("theirs")
    verb, *options = words
    videos = [own] if verb == "train" else ["--unlabeled", own, "--model", "r3d50_eighth"]
    given = [str(word) for word in (verb, *videos, *options, "-o", theirs)]
    assert main([*given, *(SHORT if verb == "train" else ["--steps", "2"])]) == 2
    assert re.search(r"project(/lists is there already| is not empty and holds no run)", capsys.readouterr().err)
    assert set(files_of(theirs).values()) == {b"theirs"}
