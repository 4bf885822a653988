"""Lists made of class folders, official lists, and lists of other projects."""

import csv
import os
import re
from pathlib import Path

import pytest
from made_videos import encode
from PIL import Image

from cmpl_zoo.datasets.classes import class_names, read_classes
from cmpl_zoo.datasets.lists import ListError, read_list
from cmpl_zoo.tools.find_videos import find_videos
from cmpl_zoo.video.video import read_frames
from cmpl_zoo_cli.main import main


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def touch(root: Path, *paths: str) -> Path:
    """Files of these names; importers look at names alone."""
    for path in paths:
        write(root / path, "")
    return root


def frames(folder: Path) -> None:
    """A folder of four pictures."""
    folder.mkdir(parents=True)
    for number in range(4):
        Image.new("RGB", (32, 24), (50 * number, 0, 0)).save(folder / f"{number:05d}.jpg")


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def column(file: Path, *names: str) -> list:
    return [tuple(row[name] for name in names) if len(names) > 1 else row[names[0]] for row in rows_of(file)]


def run(*args: object) -> int:
    return main(["import", *map(str, args)])


def refused(capsys: pytest.CaptureFixture[str], message: str, *args: object) -> None:
    """The command ends with status 2 and one sentence that matches."""
    assert run(*args) == 2
    error = capsys.readouterr().err
    assert error.startswith("cmpl-zoo: ")
    assert len(error.splitlines()) == 1
    assert re.search(message, error), error


# Folders


def test_folders_gives_what_the_lists_of_real_data_sets_hold(shared_data, tmp_path):
    assert run("folders", shared_data / "mocap13", "-o", tmp_path / "all.csv") == 0
    official = [row for part in ("train", "test") for row in rows_of(shared_data / "mocap13" / f"{part}.csv")]
    assert rows_of(tmp_path / "all.csv") == sorted(official, key=lambda row: row["path"])
    assert [p.name for p in tmp_path.iterdir()] == ["all.csv"]

    assert run("folders", shared_data / "fights", "-o", tmp_path / "all.csv") == 0
    listed = column(shared_data / "fights" / "videos.csv", "path", "label")
    names = {"fight": "fight", "no_fight": "noFight"}  # of the list, and of the folders
    assert column(tmp_path / "all.csv", "path", "label") == sorted((path, names[label]) for path, label in listed)
    assert len(listed) == 300


def test_folders_gives_what_the_list_of_made_videos_holds(videos, tmp_path):
    assert run("folders", videos, "-o", tmp_path / "all.csv") == 0
    assert rows_of(tmp_path / "all.csv") == rows_of(videos / "videos.csv")
    assert len(rows_of(tmp_path / "all.csv")) == 36


def test_folders_of_frames(tmp_path):
    root = tmp_path / "root"
    for label in ("jumping", "running"):
        for number in (1, 2):
            frames(root / label / f"000{number}")
    assert run("folders", root, "-o", tmp_path / "list.csv") == 0
    labels = dict(column(tmp_path / "list.csv", "path", "label"))
    assert labels == {f"{label}/000{i}": label for label in ("jumping", "running") for i in (1, 2)}
    assert all(len(read_frames(path, [0])) == 1 for path in read_list(tmp_path / "list.csv", root).paths)


def test_videos_in_the_folder_unlabeled_have_no_label(tmp_path, capsys):
    root = touch(tmp_path / "root", "run/b.mp4", "walk/c.mp4", "unlabeled/d.mp4")
    assert run("folders", root, "-o", tmp_path / "list.csv") == 0
    assert column(tmp_path / "list.csv", "path", "label") == [
        ("run/b.mp4", "run"), ("unlabeled/d.mp4", ""), ("walk/c.mp4", "walk"),
    ]  # fmt: skip
    assert "3 videos of 2 classes" in capsys.readouterr().out


def test_folders_any_depth_and_what_is_left_out(tmp_path, capsys):
    root = touch(tmp_path / "root", "run/b.mp4", "run/far/below/a.MKV", "walk/x y, z.avi", "walk/cover.jpg")
    touch(root, "stray.mp4", ".trash/a.mp4", "walk/._x.avi", "run/notes.txt", "docs/readme.md")
    frames(root / "walk" / "frames")
    assert run("folders", root, "-o", tmp_path / "new" / "list.csv") == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path}/new/list.csv  4 videos of 2 classes\n"
    assert "left out 1," in said.err and "stray.mp4" in said.err and "list.left_out.csv" in said.err
    assert all(part in said.err for part in ("passed over 3 files", "1 .jpg", "1 .txt", "1 .md"))
    assert column(tmp_path / "new" / "list.csv", "path", "label", "folder") == [
        ("run/b.mp4", "run", "run/b.mp4"),
        ("run/far/below/a.MKV", "run", "far/below"),
        ("walk/frames", "walk", "walk/frames"),
        ("walk/x y, z.avi", "walk", "walk/x y, z.avi"),
    ]
    assert rows_of(tmp_path / "new" / "list.left_out.csv") == [
        {"path": "stray.mp4", "label": "", "reason": "not in a class folder"}
    ]

    (root / "stray.mp4").unlink()  # a second import replaces both
    assert run("folders", root, "-o", tmp_path / "new" / "list.csv") == 0
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["list.csv"]


def test_links_are_followed_but_not_round_and_round(tmp_path):
    real = touch(tmp_path / "real", "walk/a.mp4")
    root = touch(tmp_path / "root", "run/b.mp4")
    (root / "walk").symlink_to(real / "walk")
    (root / "run" / "up").symlink_to(root)
    (root / "run" / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (root / "run" / "itself.mp4").symlink_to(root / "run" / "itself.mp4")
    assert find_videos(root).videos == ["run/b.mp4", "walk/a.mp4"]


@pytest.mark.parametrize(
    ("name", "written"),
    [("a\nb.mp4", r"a\nb.mp4"), (" a.mp4", " a.mp4"), (os.fsdecode(b"a\xff.mp4"), r"a\udcff.mp4")],
)
def test_a_name_that_no_list_can_hold_costs_that_video(tmp_path, capsys, name, written):
    root = tmp_path / "root"
    root.mkdir()
    (root / name).touch()
    refused(capsys, "rename it", "videos", root, "-o", tmp_path / "list.csv")
    touch(root, "walk/b.mp4")
    for kind in ("folders", "videos"):
        assert run(kind, root, "-o", tmp_path / f"{kind}.csv") == 0
        assert "left out 1," in capsys.readouterr().err
        assert column(tmp_path / f"{kind}.csv", "path") == ["walk/b.mp4"]
        (row,) = rows_of(tmp_path / f"{kind}.left_out.csv")
        assert row["path"] == written and "rename it" in row["reason"]


def test_files_that_are_no_videos_are_counted(tmp_path, capsys):
    root = touch(tmp_path / "root", "walk/a.mp4", "walk/a.srt", "run/b.avi", "run/c.SRT", "run/README", "x/y.rmvb")
    frames(root / "jump" / "0001")
    assert run("folders", root, "-o", tmp_path / "list.csv") == 0
    assert re.search(r"passed over 4 files.*: 2 \.srt, 1 (.*), 1 ", said := capsys.readouterr().err)
    assert "1 .rmvb" in said and "1 without a suffix" in said and ".jpg" not in said


def test_suffixes_of_videos(tmp_path):
    names = [f"walk/a{i}{suffix}" for i, suffix in enumerate(
        [".dv", ".mxf", ".3g2", ".m2v", ".divx", ".asf", ".f4v", ".webp", ".apng", ".MP4"]
    )]  # fmt: skip
    assert find_videos(touch(tmp_path / "root", *names)).videos == sorted(names)


def test_folders_refuses(tmp_path, capsys):
    out = tmp_path / "list.csv"
    refused(capsys, r"nowhere: there is no such folder", "folders", tmp_path / "nowhere", "-o", out)
    root = touch(tmp_path / "root", "walk/a.txt")
    refused(capsys, r"root: holds no video .*\.mp4", "folders", root, "-o", out)
    refused(capsys, r"walk: .*in a class folder", "folders", touch(root / "walk", "a.mp4"), "-o", out)
    refused(capsys, r"no such folder", "folders", root / "walk" / "a.txt", "-o", out)
    assert not out.exists()
    refused(capsys, r"root: cannot write this file: Is a directory", "folders", root, "-o", root)
    refused(capsys, r"cannot write this file", "folders", root, "-o", root / "walk" / "a.txt" / "list.csv")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["root"]


def test_a_list_that_somebody_fills_in_is_kept(tmp_path, capsys):
    root, file = touch(tmp_path / "root", "a.mp4", "b.mp4"), tmp_path / "list.csv"
    for _ in range(2):  # without labels, it may be made again
        assert run("videos", root, "-o", file) == 0
    write(file, "path,label\na.mp4,walk\nb.mp4,\n")
    capsys.readouterr()
    refused(capsys, r"list\.csv: has labels already, which would be lost; give -o another name", "videos", root,
            "-o", file)  # fmt: skip
    assert column(file, "label") == ["walk", ""]
    for odd in (b"path,label\na.mp4,walk,fast\nb.mp4,\n", "path,label\na.mp4,caf\u00e9\n".encode("latin-1")):
        file.write_bytes(odd)  # mistyped, or as a spreadsheet saves it
        refused(capsys, r"list\.csv.*or give -o another name, and it is kept", "videos", root, "-o", file)
        assert file.read_bytes() == odd


def test_videos_without_labels(tmp_path, capsys):
    root = touch(tmp_path / "root", "b.mp4", "far/below/a.MKV")
    assert run("videos", root, "-o", tmp_path / "more.csv") == 0
    assert capsys.readouterr().out == f"{tmp_path}/more.csv  2 videos\n"
    assert rows_of(tmp_path / "more.csv") == [
        {"path": "b.mp4", "label": ""}, {"path": "far/below/a.MKV", "label": ""},
    ]  # fmt: skip
    refused(capsys, r"folder above, or make a list without labels with `cmpl-zoo import videos`", "folders",
            touch(tmp_path / "flat", "a.mp4"), "-o", tmp_path / "flat.csv")  # fmt: skip


# Kinetics

KINETICS = """\
label,youtube_id,time_start,time_end,split
testifying,---QUuC4vJs,84,94,validate
washing feet,_-GkrdYZ9Tc,0,10,validate
"massaging person's head",abcdefghijk,104,114,validate
massaging person's head,abcdefghijk,1104,1114,validate
washing feet,not_on_disk,3,13,validate
"""


@pytest.mark.parametrize(
    "places",
    [
        ["---QUuC4vJs_000084_000094.mp4", "_-GkrdYZ9Tc_000000_000010.mp4", "abcdefghijk_000104_000114.mkv",
         "abcdefghijk_001104_001114.webm"],
        ["testifying/---QUuC4vJs_000084_000094.mp4", "washing feet/_-GkrdYZ9Tc_000000_000010.mp4",
         "massaging person's head/abcdefghijk_000104_000114.mp4",
         "massaging person's head/abcdefghijk_001104_001114.mp4"],
        ["val/testifying/---QUuC4vJs_000084_000094.mp4", "val/washing_feet/_-GkrdYZ9Tc_000000_000010.mp4",
         "val/massaging_person's_head/abcdefghijk_000104_000114.mp4",
         "val/massaging_person's_head/abcdefghijk_001104_001114.mp4"],
        ["---QUuC4vJs.mp4", "_-GkrdYZ9Tc.mp4", "abcdefghijk_000104_000114.mp4", "abcdefghijk_001104_001114.mp4"],
    ],
    ids=["flat", "class folders", "split folder, underscores", "whole videos"],
)  # fmt: skip
def test_kinetics_where_the_usual_downloads_put_it(tmp_path, capsys, places):
    annotations = write(tmp_path / "val.csv", KINETICS)
    root = touch(tmp_path / "root", *places)
    touch(root, "---QUuC4vJs_000001_000011.mp4", "zzzzzzzzzzz_000084_000094.mp4")  # of other lists
    assert run("kinetics", annotations, root, "-o", tmp_path / "list.csv") == 0
    assert column(tmp_path / "list.csv", "path") == places
    first, *_, last = rows_of(tmp_path / "list.csv")
    assert first == {"path": places[0], "label": "testifying", "youtube_id": "---QUuC4vJs", "time_start": "84",
                     "time_end": "94", "split": "validate"}  # fmt: skip
    assert last["label"] == "massaging person's head"
    assert "left out 1," in capsys.readouterr().err
    (missing,) = rows_of(tmp_path / "list.left_out.csv")
    assert (missing["youtube_id"], missing["path"]) == ("not_on_disk", "not_on_disk_000003_000013")
    assert missing["reason"] == "not found"


def test_kinetics_test_lists_have_no_label(tmp_path):
    annotations = write(tmp_path / "test.csv", "youtube_id,time_start,time_end,split\n--6bJUbfpnQ,17,27,test\n")
    root = touch(tmp_path / "root", "test/--6bJUbfpnQ_000017_000027.mp4")
    assert run("kinetics", annotations, root, "-o", tmp_path / "list.csv") == 0
    video_list = read_list(tmp_path / "list.csv", root, labeled=False)
    assert video_list.labels is None
    assert os.path.exists(video_list.paths[0])


def test_kinetics_left_out_where_a_guess_would_be_needed(tmp_path):
    annotations = write(
        tmp_path / "train.csv",
        "label,youtube_id,time_start,time_end,split,is_cc\n"
        "yoga,aaaaaaaaaaa,1,11,train,0\n"  # one file, two clips
        "yoga,aaaaaaaaaaa,30,40,train,0\n"
        "yoga,bbbbbbbbbbb,1,11,train,0\n"  # two classes, one file
        "zumba,bbbbbbbbbbb,1,11,train,0\n"
        "yoga,ccccccccccc,1,11,train,0\n"  # two classes, a file in either folder
        "zumba,ccccccccccc,1,11,train,0\n"
        "yoga,ddddddddddd,1,11,train,0\n"  # only in the folder of another class
        "yoga,eeeeeeeeeee,1,11,train,0\n"  # twice on disk
        "yoga,fffffffffff,1,11,train,0\n"  # the same line twice
        "yoga,fffffffffff,1,11,train,0\n",
    )
    root = touch(tmp_path / "root", "aaaaaaaaaaa.mp4", "bbbbbbbbbbb_000001_000011.mp4",
                  "yoga/ccccccccccc_000001_000011.mp4", "zumba/ccccccccccc_000001_000011.mp4",
                  "zumba/ddddddddddd_000001_000011.mp4", "train/eeeeeeeeeee_000001_000011.mp4",
                  "replacement/eeeeeeeeeee_000001_000011.mp4", "fffffffffff_000001_000011.mp4")  # fmt: skip
    assert run("kinetics", annotations, root, "-o", tmp_path / "list.csv") == 0
    assert column(tmp_path / "list.csv", "path", "label") == [
        ("yoga/ccccccccccc_000001_000011.mp4", "yoga"),
        ("zumba/ccccccccccc_000001_000011.mp4", "zumba"),
        ("fffffffffff_000001_000011.mp4", "yoga"),
    ]
    assert column(tmp_path / "list.left_out.csv", "youtube_id", "reason") == [
        ("aaaaaaaaaaa", "aaaaaaaaaaa.mp4 is listed more than once, as different videos or classes"),
        ("aaaaaaaaaaa", "aaaaaaaaaaa.mp4 is listed more than once, as different videos or classes"),
        ("bbbbbbbbbbb", "bbbbbbbbbbb_000001_000011.mp4 is listed more than once, as different videos or classes"),
        ("bbbbbbbbbbb", "bbbbbbbbbbb_000001_000011.mp4 is listed more than once, as different videos or classes"),
        ("ddddddddddd", "not found"),
        ("eeeeeeeeeee", "may be replacement/eeeeeeeeeee_000001_000011.mp4 or train/eeeeeeeeeee_000001_000011.mp4"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no column 'youtube_id'"),
        ("path,label\na.mp4,x\n", r"no column 'youtube_id' in its header \(path,label\).*youtube_id,time_start"),
        ("label,youtube_id,time_start,split\n", r"no column 'time_end'"),
        ("label,youtube_id,time_start,time_end,split\n", r"holds no video"),
        ("label,youtube_id,time_start,time_end\nyoga,a,1.5,11\n", r"line 2: should be label,.* whole seconds"),
        ("label,youtube_id,time_start,time_end\nyoga,a,1,11\nyoga,b\n", r"line 3: should be label"),
        ("label,youtube_id,time_start,time_end\nyoga,a,1,11,x\n", r"line 2: should be label"),
        ('label,youtube_id,time_start,time_end\nyoga,"a,1,11\n', r"not a CSV file"),
        ("label,youtube_id,time_start,time_end\nyoga,a,1,11\n", r"root: holds none of the 1 videos.*a_000001_000011"),
    ],
)
def test_kinetics_refuses(tmp_path, capsys, text, message):
    annotations = write(tmp_path / "train.csv", text)
    root = touch(tmp_path / "root", "b_000001_000011.mp4")
    refused(capsys, message, "kinetics", annotations, root, "-o", tmp_path / "list.csv")
    assert not (tmp_path / "list.csv").exists()


def test_unreadable_lists_and_the_list_itself_as_output(tmp_path, capsys):
    root = touch(tmp_path / "root", "a.mp4")
    out = tmp_path / "out.csv"
    (tmp_path / "bytes.csv").write_bytes(b"label,youtube_id\xff\n")
    refused(capsys, "bytes.csv: not a text file in UTF-8", "kinetics", tmp_path / "bytes.csv", root, "-o", out)
    (tmp_path / "book.xlsx").write_bytes(b"PK\x03\x04\xff")
    refused(capsys, "book.xlsx: is a spreadsheet; save it as CSV", "kinetics", tmp_path / "book.xlsx", root, "-o", out)
    refused(capsys, "none.csv: cannot read this list: No such", "kinetics", tmp_path / "none.csv", root, "-o", out)
    file = write(tmp_path / "pairs.txt", "a.mp4 x\n")
    refused(capsys, "this is the list that is read", "pairs", file, root, "-o", root / ".." / "pairs.txt")
    assert file.read_text() == "a.mp4 x\n"
    left_out = write(tmp_path / "list.left_out.csv", "path label\na.mp4 x\n")
    refused(capsys, "this is the list that is read", "pairs", left_out, root, "-o", tmp_path / "list.csv")
    refused(
        capsys,
        r"list\.left_out\.csv: is there already, and no import",
        "pairs",
        file,
        root,
        "-o",
        tmp_path / "list.csv",
    )
    assert left_out.read_text() == "path label\na.mp4 x\n" and not (tmp_path / "list.csv").exists()


# UCF-101


@pytest.fixture
def ucf_splits(tmp_path):
    folder = tmp_path / "ucfTrainTestlist"
    write(folder / "classInd.txt", "1 ApplyEyeMakeup\r\n2 HammerThrow\r\n3 HandstandPushups\r\n")
    write(
        folder / "trainlist01.txt",
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\n"
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c02.avi 1\r\n"
        "HammerThrow/v_HammerThrow_g08_c01.avi 2\r\n"
        "HandstandPushups/v_HandStandPushups_g08_c01.avi 3\r\n",
    )
    write(
        folder / "testlist01.txt",
        "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\r\nHandstandPushups/v_HandStandPushups_g01_c01.avi\r\n",
    )
    return folder


@pytest.mark.parametrize(
    ("folder", "name", "suffix"),
    [
        ("HandstandPushups/", "HandStandPushups", ".avi"),
        ("HandStandPushups/", "HandStandPushups", ".avi"),
        ("HandstandPushups/", "HandstandPushups", ".mp4"),
        ("", "HandStandPushups", ".webm"),
    ],
)
def test_ucf101_with_either_spelling_of_handstand_pushups(tmp_path, ucf_splits, capsys, folder, name, suffix):
    handstands = [f"{folder}v_{name}_g08_c01{suffix}", f"{folder}v_{name}_g01_c01{suffix}"]
    root = touch(tmp_path / "root", *handstands, "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi",
                  "HammerThrow/v_HammerThrow_g08_c01.mp4", "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi")  # fmt: skip
    assert run("ucf101", root, "--splits", ucf_splits, "--fold", 1, "-o", tmp_path / "lists") == 0
    assert rows_of(tmp_path / "lists" / "train.csv") == [
        {"path": "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi", "label": "ApplyEyeMakeup",
         "group": "ApplyEyeMakeup_g08"},
        {"path": "HammerThrow/v_HammerThrow_g08_c01.mp4", "label": "HammerThrow", "group": "HammerThrow_g08"},
        {"path": handstands[0], "label": "HandstandPushups", "group": "HandstandPushups_g08"},
    ]  # fmt: skip
    assert column(tmp_path / "lists" / "test.csv", "path", "label") == [
        ("ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi", "ApplyEyeMakeup"),
        (handstands[1], "HandstandPushups"),
    ]
    assert read_classes(tmp_path / "lists" / "classes.txt") == ["ApplyEyeMakeup", "HammerThrow", "HandstandPushups"]
    assert column(tmp_path / "lists" / "train.left_out.csv", "path", "reason") == [
        ("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c02.avi", "not found")
    ]
    assert not (tmp_path / "lists" / "test.left_out.csv").exists()
    assert "classes.txt  3 classes" in capsys.readouterr().out


def test_ucf101_with_videos_and_frames_can_be_read_and_split_by_scene(tmp_path):
    splits, root = tmp_path / "splits", tmp_path / "root"
    write(splits / "classInd.txt", "1 ApplyEyeMakeup\n2 BaseballPitch\n")
    names = [f"{c}/v_{c}_g{g:02}_c{i:02}" for c in ("ApplyEyeMakeup", "BaseballPitch") for g in (1, 2) for i in (1, 2)]
    write(splits / "trainlist02.txt", "".join(f"{name}.avi {1 + (i > 3)}\n" for i, name in enumerate(names)))
    write(splits / "testlist02.txt", "ApplyEyeMakeup/v_ApplyEyeMakeup_g25_c01.avi\n")
    for name in names:
        target = root / f"{name}.avi"
        target.parent.mkdir(parents=True, exist_ok=True)
        encode(target, frames=8)
    frames(root / "ApplyEyeMakeup" / "v_ApplyEyeMakeup_g25_c01")
    lists = tmp_path / "lists"
    assert run("ucf101", root, "--splits", splits, "--fold", 2, "-o", lists) == 0
    for part, number in (("train", 8), ("test", 1)):
        paths = read_list(lists / f"{part}.csv", root).paths
        assert len(paths) == number
        assert all(len(read_frames(path, [0, 3])) == 2 for path in paths)

    parts = tmp_path / "parts"
    options = ["--labels-per-class", "1", "--val-share", "0.5", "--group", "group", "-o", str(parts)]
    assert main(["split", str(lists / "train.csv"), *options]) == 0
    val, rest = (set(column(parts / f"{name}.csv", "group")) for name in ("val", "labeled"))
    assert len(val) == 2
    assert not val & rest
    assert {group.split("_")[0] for group in val} == {"ApplyEyeMakeup", "BaseballPitch"}


def test_ucf101_refuses(tmp_path, ucf_splits, capsys):
    root = touch(tmp_path / "root", "HammerThrow/v_HammerThrow_g08_c01.avi")
    command = ("ucf101", root, "--splits", ucf_splits, "-o", tmp_path / "lists", "--fold")
    with pytest.raises(SystemExit, match="2"):
        run(*command, 4)
    assert "invalid choice: 4" in capsys.readouterr().err
    refused(capsys, r"trainlist02\.txt: cannot read this list: No such file", *command, 2)
    write(ucf_splits / "trainlist01.txt", "HammerThrow/v_HammerThrow_g08_c01.avi 2\nBowling/v_Bowling_g08_c01.avi 3\n")
    refused(capsys, r"trainlist01\.txt, line 2: 'Bowling.*' should be .* a class of classInd\.txt", *command, 1)
    write(ucf_splits / "trainlist01.txt", "\n")
    refused(capsys, r"trainlist01\.txt: the list is empty", *command, 1)
    write(ucf_splits / "classInd.txt", "0 ApplyEyeMakeup\n1 HammerThrow\n")
    refused(capsys, r"classInd\.txt, line 1: '0 ApplyEyeMakeup' should be 1 and a class name", *command, 1)
    (ucf_splits / "classInd.txt").unlink()
    refused(capsys, r"classInd\.txt: cannot read this list: No such file", *command, 1)
    assert not (tmp_path / "lists").exists()


# HMDB-51


def test_hmdb51_with_its_odd_names(tmp_path, capsys):
    splits = tmp_path / "testTrainMulti_7030_splits"
    odd = "#122_Cleaning_Up_The_Beach_pick_f_nm_np1_fr_med_1.avi"
    rad = "(Rad)Schlag_die_Bank!_cartwheel_f_cm_np1_le_med_0.avi"
    both = "Rock_&_Roll;_[HQ]_cartwheel_u_cm_np2_ba_bad_0.avi"
    write(splits / "pick_test_split1.txt", f"{odd} 2 \n{both} 1 \n")
    write(splits / "cartwheel_test_split1.txt", f"{rad} 1 \n{both} 2 \nunused_cartwheel_f_cm_np1_le_med_0.avi 0 \n")
    write(splits / "cartwheel_test_split2.txt", f"{rad} 2 \n")
    root = touch(tmp_path / "root", f"pick/{odd}", f"cartwheel/{rad}", f"pick/{both}", f"cartwheel/{both}",
                  "cartwheel/unused_cartwheel_f_cm_np1_le_med_0.avi")  # fmt: skip
    assert run("hmdb51", root, "--splits", splits, "--fold", 1, "-o", tmp_path / "lists") == 0
    assert "classes.txt  2 classes" in capsys.readouterr().out
    listed = {name: column(tmp_path / "lists" / f"{name}.csv", "path", "label") for name in ("train", "test", "unused")}
    assert listed == {
        "train": [(f"cartwheel/{rad}", "cartwheel"), (f"pick/{both}", "pick")],
        "test": [(f"cartwheel/{both}", "cartwheel"), (f"pick/{odd}", "pick")],
        "unused": [("cartwheel/unused_cartwheel_f_cm_np1_le_med_0.avi", "cartwheel")],
    }
    assert read_classes(tmp_path / "lists" / "classes.txt") == ["cartwheel", "pick"]


def test_hmdb51_refuses(tmp_path, capsys):
    root = touch(tmp_path / "root", "pick/a_pick.avi")
    command = ("hmdb51", root, "--splits", tmp_path / "splits", "-o", tmp_path / "lists", "--fold")
    refused(capsys, r"splits: holds no file CLASS_test_split3\.txt", *command, 3)
    write(tmp_path / "splits" / "pick_test_split1.txt", "a_pick.avi 1 \nb_pick.avi 3 \n")
    refused(capsys, r"pick_test_split1\.txt, line 2: 'b_pick\.avi 3' should be NAME\.avi and 0, 1 or 2", *command, 1)
    write(tmp_path / "splits" / "pick_test_split2.txt", "b_pick.avi 1 \n")
    refused(capsys, r"root: holds none of the 1 videos.*pick/b_pick\.avi: not found", *command, 2)
    assert not (tmp_path / "lists").exists()


# Lists of other projects


def test_pairs_with_prefixes_of_another_machine(tmp_path):
    file = write(
        tmp_path / "train.txt",
        "/home/someone/k400/train_256/pumping_fist/HfrG-Bt1bko_000012_000022.mp4 256\n"
        "D:\\data\\water_sliding\\1SIQD7ocPM4_000006_000016.mp4 384\n"
        "making bed/OcFp7be8kMY_000358_000368.webm 186\n",
    )
    root = touch(
        tmp_path / "root",
        "train/HfrG-Bt1bko_000012_000022.mp4",
        "train/water sliding/1SIQD7ocPM4_000006_000016.mp4",
        "making_bed/OcFp7be8kMY_000358_000368.mp4",
    )
    assert run("pairs", file, root, "--classes", "kinetics400", "-o", tmp_path / "list.csv") == 0
    assert column(tmp_path / "list.csv", "path", "label") == [
        ("train/HfrG-Bt1bko_000012_000022.mp4", "pumping fist"),
        ("train/water sliding/1SIQD7ocPM4_000006_000016.mp4", "water sliding"),
        ("making_bed/OcFp7be8kMY_000358_000368.mp4", "making bed"),
    ]


def test_pairs_of_frame_folders_tell_their_number_of_frames(tmp_path):
    file = write(
        tmp_path / "ucf101_train_10_percent_unlabeled_split_1_rawframes.txt",
        "RopeClimbing/v_RopeClimbing_g15_c01 226 74\nHandstandPushups/v_HandStandPushups_g12_c07 251 36\n",
    )
    frames = "RopeClimbing/v_RopeClimbing_g15_c01"
    root = touch(tmp_path / "root", f"{frames}/img_00001.jpg", "HandStandPushups/v_HandStandPushups_g12_c07.avi")
    assert run("pairs", file, root, "--classes", "ucf101", "-o", tmp_path / "list.csv") == 0
    assert column(tmp_path / "list.csv", "path", "label") == [
        (frames, "RopeClimbing"),
        ("HandStandPushups/v_HandStandPushups_g12_c07.avi", "HandstandPushups"),
    ]


def test_pairs_with_names_that_every_class_has(tmp_path):
    file = write(tmp_path / "list.txt", "/x/run/my clip 1.mp4 run\n/x/walk/my clip 1.mp4 walk\n/x/swim/1.mp4 swim\n"
                                        "/x/run/deep/2.mp4 run\n/x/run/3.mp4 run\n")  # fmt: skip
    root = touch(tmp_path / "root", "a/run/my clip 1.mp4", "a/walk/my clip 1.mp4", "a/walk/1.mp4", "a/run/deep/2.mp4",
                  "a/run/2.mp4", "a/run/3.mp4", "b/run/3.mp4")  # fmt: skip
    assert run("pairs", file, root, "-o", tmp_path / "list.csv") == 0
    assert column(tmp_path / "list.csv", "path") == ["a/run/my clip 1.mp4", "a/walk/my clip 1.mp4", "a/run/deep/2.mp4"]
    assert column(tmp_path / "list.left_out.csv", "path", "reason") == [
        ("/x/swim/1.mp4", "not found"),
        ("/x/run/3.mp4", "may be a/run/3.mp4 or b/run/3.mp4"),
    ]


def test_pairs_with_a_file_of_classes(videos, tmp_path):
    rows = rows_of(videos / "videos.csv")
    names = sorted({row["label"] for row in rows}, reverse=True)
    classes = write(tmp_path / "classes.txt", "".join(f"{name}\n" for name in names))
    file = write(tmp_path / "all.txt", "".join(f"/elsewhere/{r['path']} {names.index(r['label'])}\n" for r in rows))
    assert run("pairs", file, videos, "--classes", classes, "-o", tmp_path / "list.csv") == 0
    assert rows_of(tmp_path / "list.csv") == rows


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", [], r"the list is empty"),
        ("a.mp4 3\n", [], r"line 1: label 3 is a number; .*--classes kinetics400"),
        ("a.mp4 x\nb.mp4 7\n", [], r"line 2: label 7 is a number"),
        ("a.mp4\n", [], r"line 1: 'a\.mp4' should be a path and a label"),
        ("a.mp4 100\nb.mp4 101\n", ["--classes", "ucf101"], r"line 2: label 101 is too large for the 101 names"),
        ("a.mp4 -1\n", ["--classes", "ucf101"], r"line 1: label '-1' is not among the 101 names"),
        ("a.mp4 0\n", ["--classes", "ucf102"], r"ucf102: no such file of class names; .* kinetics400 or ucf101"),
        ("Archery/a.mp4 3\n", ["--classes", "ucf101"], r"line 1: label 3 is 'BabyCrawling', but Archery/a\.mp4 is in"),
        ("c.mp4 x\n", [], r"root: holds none of the 1 videos of the list \(the first, c\.mp4: not found\)"),
    ],
)
def test_pairs_refuses(tmp_path, capsys, text, options, message):
    root = touch(tmp_path / "root", "a.mp4", "b.mp4")
    file = write(tmp_path / "list.txt", text)
    refused(capsys, message, "pairs", file, root, *options, "-o", tmp_path / "list.csv")
    assert not (tmp_path / "list.csv").exists()


# Names of classes


def test_class_names():
    kinetics, ucf = class_names("kinetics400"), class_names("ucf101")
    assert len(set(kinetics)) == len(kinetics) == 400
    assert kinetics == sorted(kinetics)
    assert len(set(ucf)) == len(ucf) == 101
    # classInd.txt counts from 1 and has Hammering before HammerThrow.
    assert {i: ucf[i - 1] for i in (1, 35, 36, 37, 79, 101)} == {
        1: "ApplyEyeMakeup",
        35: "Hammering",
        36: "HammerThrow",
        37: "HandstandPushups",
        79: "Shotput",
        101: "YoYo",
    }


def test_class_names_of_a_file_and_a_file_called_like_a_data_set(tmp_path, monkeypatch):
    assert class_names(write(tmp_path / "classes.txt", "b\na\n")) == ["b", "a"]
    write(tmp_path / "ucf101", "mine\nyours\n")
    monkeypatch.chdir(tmp_path)
    assert len(class_names("ucf101")) == 101
    assert class_names("./ucf101") == ["mine", "yours"]
    with pytest.raises(ListError, match=r"nowhere: no such file of class names"):
        class_names("nowhere")
