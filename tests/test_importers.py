"""Lists in the forms that data sets and other projects publish, and folders as they lie on disks."""

import csv
import re
from pathlib import Path

import pytest

from cmpl_zoo.cli import main
from cmpl_zoo.data import ManifestError, class_names, probe, read_list


def rows_of(file: Path) -> list[tuple[str, ...]]:
    with file.open(newline="") as lines:
        return [tuple(row) for row in csv.reader(lines)]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def write(file: Path, text: str) -> str:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return str(file)


def run(*args: object) -> int:
    return main(["import", *map(str, args)])


def test_a_folder_per_class_is_the_list_of_real_videos(shared_data, tmp_path):
    root = shared_data / "mocap13"
    assert run("folders", root, "-o", tmp_path / "videos.csv") == 0
    listed = set(rows_of(root / "train.csv")[1:]) | set(rows_of(root / "test.csv")[1:])
    rows = rows_of(tmp_path / "videos.csv")
    assert rows[0] == ("path", "label")
    assert set(rows[1:]) == listed
    assert rows[1:] == sorted(rows[1:])
    assert probe(read_list(tmp_path / "videos.csv", root).paths[0]).frames >= 10


def test_folders_of_frames_and_hidden_files(shared_data, tmp_path):
    (tmp_path / "wave").mkdir()
    (tmp_path / "wave" / "frames").symlink_to(shared_data / "clips" / "frames" / "jumping")
    root = touch(
        tmp_path, "wave/deep/er/A.MP4", "wave/._b.mp4", ".cache/c.mp4", "walk/d.webm", "walk/notes.txt", "e.mp4"
    )
    assert run("folders", root, "-o", tmp_path / "lists" / "all.csv") == 0
    assert rows_of(tmp_path / "lists" / "all.csv")[1:] == [
        ("walk/d.webm", "walk"), ("wave/deep/er/A.MP4", "wave"), ("wave/frames/0001", "wave"),
        ("wave/frames/0002", "wave"),
    ]  # fmt: skip


KINETICS = """label,youtube_id,time_start,time_end,split,is_cc
abseiling,-3B32lodo2M,59,69,val,0
"air drumming",_dbcJuKJQNs,40,50,val,0
air drumming,_dbcJuKJQNs,140,150,val,0
"petting animal (not cat)",AbCdEfGhIjK,0,10,val,0
yoga,abcdefghijk,7.0,17.0,val,0
yoga,lonelyvideo,7,17,val,0
zumba,notondisk00,1,11,val,1
"""


@pytest.mark.parametrize(
    "layout", ["{file}", "{label}/{file}", "{folder}/{file}", "val/{label}/{file}", "kinetics/val_256/{folder}/{file}"]
)
def test_kinetics_in_every_usual_layout(tmp_path, capsys, layout):
    files = [
        ("abseiling", "-3B32lodo2M_000059_000069.mp4"),
        ("air drumming", "_dbcJuKJQNs_000040_000050.mp4"),
        ("air drumming", "_dbcJuKJQNs_000140_000150.mkv"),
        ("petting animal (not cat)", "AbCdEfGhIjK_000000_000010.mp4"),
        ("yoga", "abcdefghijk_000007_000017.webm"),
        ("yoga", "lonelyvideo.mp4"),
    ]
    paths = [layout.format(file=file, label=label, folder=label.replace(" ", "_")) for label, file in files]
    root = touch(tmp_path / "videos", *paths)
    annotations = write(tmp_path / "validate.csv", KINETICS)
    assert run("kinetics", annotations, root, "-o", tmp_path / "val.csv") == 0
    assert rows_of(tmp_path / "val.csv")[1:] == [(p, label) for p, (label, _) in zip(paths, files, strict=True)]
    missing = tmp_path / "val.missing.csv"
    assert rows_of(missing)[1:] == [("val/zumba/notondisk00_000001_000011.mp4", "no such file")]
    assert f"{missing}  1 videos" in capsys.readouterr().out


def test_kinetics_tells_splits_apart_and_names_what_is_not_clear(tmp_path):
    clip = "abcdefghijk_000007_000017.mp4"
    root = touch(tmp_path / "videos", f"train/yoga/{clip}", f"val/yoga/{clip}")
    header = "label,youtube_id,time_start,time_end,split\n"
    assert run("kinetics", write(tmp_path / "a.csv", f"{header}yoga,abcdefghijk,7,17,val\n"), root, "-o",
               tmp_path / "val.csv") == 0  # fmt: skip
    assert rows_of(tmp_path / "val.csv")[1:] == [(f"val/yoga/{clip}", "yoga")]
    root = touch(tmp_path / "other", f"a/{clip}", f"b/{clip}", "zzz_000001_000002.mp4")
    text = f"{header}yoga,abcdefghijk,7,17,val\nyoga,zzz,1,2,val\n"
    assert run("kinetics", write(tmp_path / "b.csv", text), root, "-o", tmp_path / "val.csv") == 0
    assert rows_of(tmp_path / "val.missing.csv")[1:] == [
        (f"val/yoga/{clip}", f"2 files of this name, such as a/{clip}")
    ]


def test_kinetics_test_lists_have_no_labels(tmp_path):
    root = touch(tmp_path / "videos", "abc_000001_000011.mp4")
    text = "youtube_id,time_start,time_end,split\nabc,1,11,test\n"
    assert run("kinetics", write(tmp_path / "test.csv", text), root, "-o", tmp_path / "list.csv") == 0
    assert rows_of(tmp_path / "list.csv") == [("path",), ("abc_000001_000011.mp4",)]


@pytest.fixture
def ucf(tmp_path) -> Path:
    """The official files, cut to three classes and one fold."""
    write(tmp_path / "splits" / "classInd.txt", "1 ApplyEyeMakeup\r\n2 BaseballPitch\r\n3 HandstandPushups\r\n")
    write(tmp_path / "splits" / "trainlist01.txt",
          "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1\r\n"
          "HandstandPushups/v_HandStandPushups_g08_c01.avi 3\r\n")  # fmt: skip
    write(tmp_path / "splits" / "testlist01.txt",
          "ApplyEyeMakeup/v_ApplyEyeMakeup_g01_c01.avi\r\nBaseballPitch/v_BaseballPitch_g01_c01.avi\r\n"
          "HandstandPushups/v_HandStandPushups_g01_c01.avi\r\n")  # fmt: skip
    return tmp_path / "splits"


@pytest.mark.parametrize("spelling", ["HandstandPushups/v_HandStandPushups", "HandStandPushups/v_HandStandPushups",
                                      "HandstandPushups/v_HandstandPushups", "v_HandStandPushups"])  # fmt: skip
def test_ucf101_in_both_spellings_with_real_files(shared_data, ucf, tmp_path, spelling):
    root = touch(tmp_path / "UCF-101", "ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi", f"{spelling}_g08_c01.avi",
                 f"{spelling}_g01_c01.mp4")  # fmt: skip
    for name in ("ApplyEyeMakeup", "BaseballPitch"):
        (root / name).mkdir(exist_ok=True)
        (root / name / f"v_{name}_g01_c01.avi").symlink_to(shared_data / "clips" / f"v_{name}_g01_c01.avi")
    assert run("ucf101", root, "--splits", ucf, "-o", tmp_path / "lists") == 0
    assert (tmp_path / "lists" / "classes.txt").read_text().split() == [
        "ApplyEyeMakeup",
        "BaseballPitch",
        "HandstandPushups",
    ]
    assert rows_of(tmp_path / "lists" / "train.csv") == [
        ("path", "label", "group"),
        ("ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi", "ApplyEyeMakeup", "ApplyEyeMakeup_g08"),
        (f"{spelling}_g08_c01.avi", "HandstandPushups", "HandstandPushups_g08"),
    ]
    test = read_list(tmp_path / "lists" / "test.csv", root)
    assert test.labels == ["ApplyEyeMakeup", "BaseballPitch", "HandstandPushups"]
    assert [probe(path).frames for path in test.paths[:2]] == [164, 107]
    assert not (tmp_path / "lists" / "missing.csv").exists()


def test_hmdb51_with_odd_file_names(tmp_path):
    names = [
        "#20_Rhythm_clap_u_nm_np1_fr_goo_0.avi",
        "Song!_&_Dance(1)_clap_u.avi",
        "AboutABoy_clap_u_nm_np1_fr_med_0.avi",
    ]
    splits = tmp_path / "splits"
    write(splits / "clap_test_split1.txt", "".join(f"{n} {u} \n" for n, u in zip(names, (1, 2, 0), strict=True)))
    write(splits / "brush_hair_test_split1.txt", "a b.avi 1 \nlost.avi 2 \n")
    write(splits / "clap_test_split2.txt", "")
    root = touch(tmp_path / "hmdb51", *(f"clap/{name}" for name in names), "brush_hair/a b.avi", "clap/a b.avi")
    assert run("hmdb51", root, "--splits", splits, "--fold", 1, "-o", tmp_path / "out") == 0
    lists = {name: rows_of(tmp_path / "out" / f"{name}.csv")[1:] for name in ("train", "test", "unused", "missing")}
    assert lists == {
        "train": [("brush_hair/a b.avi", "brush_hair"), (f"clap/{names[0]}", "clap")],
        "test": [(f"clap/{names[1]}", "clap")],
        "unused": [(f"clap/{names[2]}", "clap")],
        "missing": [("brush_hair/lost.avi", "no such file")],
    }
    assert (tmp_path / "out" / "classes.txt").read_text() == "brush_hair\nclap\n"


def test_pairs_of_someone_elses_disk(tmp_path):
    root = touch(tmp_path / "videos", "air drumming/a b.mp4", "abseiling/c.mp4", "yoga/c.mp4")
    text = "/home/someone/kinetics/train/air_drumming/a b.avi 3\n/home/someone/kinetics/train/abseiling/c.mp4 0\n"
    file = write(tmp_path / "train.txt", text)
    assert run("pairs", file, root, "--classes", "kinetics400", "-o", tmp_path / "list.csv") == 0
    assert rows_of(tmp_path / "list.csv")[1:] == [
        ("air drumming/a b.mp4", "applauding"),
        ("abseiling/c.mp4", "abseiling"),
    ]
    assert (
        run("pairs", write(tmp_path / "names.txt", "c.mp4 yoga\nyoga/c.mp4 yoga\n"), root, "-o", tmp_path / "n.csv")
        == 0
    )
    assert rows_of(tmp_path / "n.csv")[1:] == [("yoga/c.mp4", "yoga")]
    assert rows_of(tmp_path / "n.missing.csv")[1:] == [("c.mp4", "2 files of this name, such as abseiling/c.mp4")]


def test_class_names_ship_with_the_package(tmp_path):
    ucf, kinetics = class_names("ucf101"), class_names("kinetics400")
    assert (len(set(ucf)), len(set(kinetics))) == (101, 400)
    # Numbers of classInd.txt, minus one.
    assert [ucf[i - 1] for i in (1, 36, 37, 60, 101)] == [
        "ApplyEyeMakeup", "HammerThrow", "HandstandPushups", "PlayingDaf", "YoYo",
    ]  # fmt: skip
    assert class_names(write(tmp_path / "own.txt", "b\na\n")) == ["b", "a"]
    with pytest.raises(ManifestError, match="cannot read these class names"):
        class_names("kinetics")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["folders", "{tmp}/nowhere"], r"nowhere: there is no such folder"),
        (["folders", "{tmp}/splits"], r"splits: no videos and no folders of frames"),
        (["folders", "{tmp}/flat"], r"flat: its videos do not lie in folders"),
        (["kinetics", "{tmp}/splits/classInd.txt", "{tmp}/flat"], r"no column 'youtube_id' in its header \(1 Apply"),
        (["kinetics", "{tmp}/bad_time.csv", "{tmp}/flat"], r"line 3: the times 'x' and '11' are no seconds"),
        (["kinetics", "{tmp}/none.csv", "{tmp}/flat"], r"none of its 1 videos, such as /yoga/zzz_0.*, lies under"),
        (["ucf101", "{tmp}/flat", "--splits", "{tmp}/nowhere"], r"classInd\.txt: cannot read this list"),
        (["ucf101", "{tmp}/flat", "--splits", "{tmp}/splits", "--fold", "2"], r"trainlist02\.txt: cannot read"),
        (["hmdb51", "{tmp}/flat", "--splits", "{tmp}/splits"], r"no files of the form CLASS_test_split1\.txt"),
        (["pairs", "{tmp}/numbers.txt", "{tmp}/flat"], r"the label 101 is a number; give the names by --cl"),
        (["pairs", "{tmp}/numbers.txt", "{tmp}/flat", "--classes", "ucf101"], r"label 101 is beyond the 101 classes"),
        (["pairs", "{tmp}/word.txt", "{tmp}/flat"], r"word\.txt, line 1: 'a\.mp4' is not a path, a space and a label"),
        (["pairs", "{tmp}/twice.txt", "{tmp}/flat"], r"x/a\.avi and a\.mp4 are both a\.mp4"),
        (["pairs", "{tmp}/empty.txt", "{tmp}/flat"], r"empty\.txt: the list is empty"),
        (["pairs", "{tmp}/latin.txt", "{tmp}/flat"], r"latin\.txt: cannot read this list"),
    ],
)  # fmt: skip
def test_mistakes_are_named_and_nothing_is_written(ucf, tmp_path, capsys, args, message):
    touch(tmp_path, "flat/a.mp4")
    header = "label,youtube_id,time_start,time_end,split\n"
    write(tmp_path / "bad_time.csv", f"{header}yoga,a,1,11,val\nyoga,b,x,11,val\n")
    write(tmp_path / "none.csv", f"{header}yoga,zzz,1,11,\n")
    write(tmp_path / "numbers.txt", "a.mp4 101\n")
    write(tmp_path / "word.txt", "a.mp4\n")
    write(tmp_path / "twice.txt", "x/a.avi y\na.mp4 y\n")
    write(tmp_path / "empty.txt", "")
    (tmp_path / "latin.txt").write_bytes(b"\xff\xfe")
    assert run(*(arg.format(tmp=tmp_path) for arg in args), "-o", tmp_path / "out") == 2
    error = capsys.readouterr().err
    assert re.search(message, error), error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
