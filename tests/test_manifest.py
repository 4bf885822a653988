"""Lists, classes and label splits."""

import csv
import os
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cmpl_zoo.datasets.classes import class_ids, read_classes
from cmpl_zoo.datasets.lists import ListError, check_disjoint, read_list
from cmpl_zoo.datasets.splits import split_list
from cmpl_zoo_cli.main import main


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def make_list(folder: Path, sizes: dict[str, int]) -> Path:
    rows = [f"{label}/{i}.mp4,{label},take{i // 3}{label}" for label, size in sizes.items() for i in range(size)]
    return write(folder / "videos.csv", "path,label,take\n" + "\n".join(rows) + "\n")


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"list\.csv: no column 'path'.*line 1 must be path,label"),
        ("path,label\n", r"holds no video"),
        ("file,label\na.mp4,x\n", r"no column 'path' in its header \(file,label\)"),
        ("path\na.mp4\n", r"no column 'label'"),
        ("path,label\na.mp4,x\n,y\n", r"line 3: the path is empty"),
        ("path,label\na.mp4,x\nb.mp4,\n", r"line 3: b\.mp4 has no label"),
        ("path,label\na.mp4\n", r"line 2: a\.mp4 has no label"),
        ("path,label\nwalk, slowly.mp4,walk\n", r"line 2: 3 cells under a header of 2; put quotes around"),
        ("path,label\na.mp4,x\nb.mp4,x\n./a.mp4,y\n", r"line 4: a\.mp4 is on line 2 already"),
        ('path,label\na.mp4,x\n"b.mp4,x\nc.mp4,x\n', r"not a CSV text file in UTF-8 \(unexpected end of data\)"),
        ("path,label,label\na.mp4,x,y\n", r"2 columns 'label' in its header; rename all but one"),
        ("path,label\na.mp4,x\n\n\n\na.mp4,y\n", r"line 6: a\.mp4 is on line 2 already"),
    ],
)
def test_bad_lists_are_named_with_line_and_remedy(tmp_path, text, message):
    with pytest.raises(ListError, match=message):
        read_list(write(tmp_path / "list.csv", text))


def test_missing_and_binary_lists(tmp_path):
    with pytest.raises(ListError, match=r"nowhere\.csv: cannot read this list: No such file"):
        read_list(tmp_path / "nowhere.csv")
    (tmp_path / "list.csv").write_bytes(b"\xff\xfe\x00path\x81")
    with pytest.raises(ListError, match=r"list\.csv: not a text file in UTF-8"):
        read_list(tmp_path / "list.csv")
    (tmp_path / "list.xlsx").write_bytes(b"PK\x03\x04\x14\x00\x06\x00\xff\xff")
    with pytest.raises(ListError, match=r"list\.xlsx: is a spreadsheet; save it as CSV in UTF-8"):
        read_list(tmp_path / "list.xlsx")
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    with pytest.raises(ListError, match=r"pipe: is no regular file"):
        read_list(tmp_path / "pipe")
    os.close(writer)


def test_paths_get_their_root_and_extra_columns_are_ignored(tmp_path):
    video_list = read_list(write(tmp_path / "list.csv", "\ufeffpath,label,fps\na b/é.mp4,x y,25\n"), root="/data")
    assert list(video_list.paths) == ["/data/a b/é.mp4"]
    assert video_list.labels == ["x y"]


def test_a_list_may_come_from_a_spreadsheet_program(tmp_path):
    """With a mark at its start, semicolons or tabs, the line ends of Windows, and rows without anything."""
    for mark in ";\t":
        text = mark.join(
            ["\ufeffpath", " label", "day\r\na,b.mp4", "walk", "1,5\r\n", "", "\r\nc.mp4", '"run; slow"', "2\r\n"]
        )
        video_list = read_list(write(tmp_path / "list.csv", text), root="/data")
        assert list(video_list.paths) == ["/data/a,b.mp4", "/data/c.mp4"]
        assert video_list.labels == ["walk", "run; slow"] and list(video_list.lines) == [2, 4]
        assert [row["day"] for row in video_list.rows] == ["1,5", "2"]
    with pytest.raises(ListError, match=r"line 2: 3 cells under a header of 2.*has a ';' in it"):
        read_list(write(tmp_path / "list.csv", "path;label\na;b;c\n"))


def test_spaces_around_a_label_make_no_other_class(tmp_path):
    video_list = read_list(write(tmp_path / "list.csv", "path, label\na.mp4, walk\nb.mp4,walk \n"))
    assert video_list.labels == ["walk", "walk"]


def test_split_command_never_writes_beside_its_list(tmp_path, capsys):
    file = make_list(tmp_path, {"a": 30, "b": 12})
    before = file.read_text()
    assert main(["split", str(file), "--labels-per-class", "3", "-o", str(tmp_path)]) == 2
    assert f"{tmp_path}" in capsys.readouterr().err
    assert file.read_text() == before
    assert [p.name for p in tmp_path.iterdir()] == [file.name]


def test_unlabeled_list_needs_no_label_column(tmp_path):
    assert read_list(write(tmp_path / "list.csv", "path\na.mp4\n"), labeled=False).labels is None


def test_unknown_label_names_list_line_and_remedy(tmp_path):
    video_list = read_list(write(tmp_path / "list.csv", "path,label\na.mp4,x\nb.mp4,z\n"))
    with pytest.raises(ListError, match=r"list\.csv, line 3: label 'z' is not among the 2 classes.*--classes"):
        class_ids(video_list, ["x", "y"])
    assert class_ids(video_list, ["z", "y", "x"]).tolist() == [2, 0]


def test_video_both_labeled_and_in_validation(tmp_path):
    train = read_list(write(tmp_path / "a.csv", "path,label\na.mp4,x\nb.mp4,x\n"), root=tmp_path)
    val = read_list(write(tmp_path / "v.csv", "path,label\nc.mp4,x\nsub/../b.mp4,x\n"), root=tmp_path)
    with pytest.raises(ListError, match=r"v\.csv, line 3: .*b\.mp4 is also in a training list.*a\.csv, line 3"):
        check_disjoint(train, val)
    (tmp_path / "other way").symlink_to(tmp_path)
    with pytest.raises(ListError, match=r"v\.csv, line 3: .*b\.mp4 is also in a training list.*a\.csv, line 3"):
        check_disjoint(train, read_list(tmp_path / "v.csv", root=tmp_path / "other way"))
    (tmp_path / "links").mkdir()
    (tmp_path / "b.mp4").touch()
    (tmp_path / "links" / "z.mp4").symlink_to("../b.mp4")
    linked = read_list(write(tmp_path / "l.csv", "path,label\nz.mp4,x\n"), root=tmp_path / "links")
    for first, second in ((train, linked), (linked, train)):
        with pytest.raises(ListError, match=r"is also in a training list"):
            check_disjoint(first, second)


def test_classes_keep_their_order(tmp_path):
    assert read_classes(write(tmp_path / "c.txt", "HammerThrow\nHammering\n\n")) == ["HammerThrow", "Hammering"]
    with pytest.raises(ListError, match=r"line 3: class 'b' is on line 1"):
        read_classes(write(tmp_path / "c.txt", "b\na\nb\n"))
    with pytest.raises(ListError, match=r"line 1: the class name is empty"):
        read_classes(write(tmp_path / "c.txt", "\na\n"))
    with pytest.raises(ListError, match="no class names"):
        read_classes(write(tmp_path / "c.txt", ""))


def test_uniform_split(tmp_path):
    video_list = read_list(make_list(tmp_path, {"a": 30, "b": 12}))
    split = split_list(video_list, 5, seed=1)
    assert Counter(video_list.labels[i] for i in split["labeled"]) == {"a": 5, "b": 5}
    assert sorted(split["labeled"] + split["unlabeled"]) == list(range(42))
    assert split_list(video_list, 5, seed=1) == split
    assert split_list(video_list, 5, seed=2)["labeled"] != split["labeled"]


def test_category_wise_split_by_hand(tmp_path):
    # 3 labels x 4 classes = 12 of 100 videos: shares 7.2, 3.6, 1.08, 0.12 -> 7, 3 (+1), 1, and at least 1.
    video_list = read_list(make_list(tmp_path, {"a": 60, "b": 30, "c": 9, "d": 1}))
    labeled = split_list(video_list, 3, sampling="category-wise")["labeled"]
    assert Counter(video_list.labels[i] for i in labeled) == {"a": 7, "b": 3, "c": 1, "d": 1}


@settings(max_examples=50)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=8), st.integers(1, 6), st.integers(0, 99))
def test_category_wise_draws_the_total_and_one_of_each(tmp_path_factory, sizes, labels_per_class, seed):
    by_class = {f"c{i}": size for i, size in enumerate(sizes)}
    video_list = read_list(make_list(tmp_path_factory.mktemp("split"), by_class))
    total = labels_per_class * len(sizes)
    if total > sum(sizes):
        with pytest.raises(ListError, match="lower --labels-per-class"):
            split_list(video_list, labels_per_class, seed, sampling="category-wise")
        return
    drawn = Counter(
        video_list.labels[i]
        for i in split_list(video_list, labels_per_class, seed, sampling="category-wise")["labeled"]
    )
    assert drawn.total() == total
    assert set(drawn) == set(by_class)


def test_no_group_on_both_sides(tmp_path):
    video_list = read_list(make_list(tmp_path, {"a": 40, "b": 20}))
    split = split_list(video_list, 2, val=0.25, group="take")
    takes = {name: {video_list.rows[i]["take"] for i in indices} for name, indices in split.items()}
    assert not takes["val"] & (takes["labeled"] | takes["unlabeled"])
    shares = Counter(video_list.labels[i] for i in split["val"])
    assert 10 <= shares["a"] <= 12
    assert 5 <= shares["b"] <= 7


def test_videos_without_a_group_are_each_their_own(tmp_path, capsys):
    rows = [f"{label}{number}.mp4,{label},{number if number < 10 else ''}" for label in "ab" for number in range(20)]
    file = write(tmp_path / "list.csv", "\n".join(["path,label,day", *rows]))
    words = ["--labels-per-class", "all", "--val-share", "0.2", "--group", "day", "-o", str(tmp_path / "out")]
    assert main(["split", str(file), *words]) == 0
    warning = r"warning: 20 of 40 labeled videos have nothing in the column day \(such as a10.*\n"
    assert re.fullmatch(warning, capsys.readouterr().err)
    assert 8 <= len(rows_of(tmp_path / "out" / "val.csv")) <= 10


def test_where_all_keep_their_label_there_is_no_list_without(tmp_path, capsys):
    file = write(tmp_path / "list.csv", "path,label\na.mp4,a\nb.mp4,b")
    words = ["split", str(file), "--labels-per-class", "1", "-o", str(tmp_path / "out")]
    assert main(words) == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labeled.csv"]
    assert "unlabeled" not in capsys.readouterr().out
    (tmp_path / "out" / "unlabeled.csv").write_text("path\nformer.mp4\n")
    assert main(words) == 2 and "this split has no such list" in capsys.readouterr().err


def test_no_class_is_validated_and_not_learned(tmp_path):
    file = tmp_path / "list.csv"
    rows = [f"walk/day{i}/{j}.mp4,walk,day{i}" for i in range(3) for j in range(4)]
    file.write_text("\n".join(["path,label,day", *rows, *(f"run/{j}.mp4,run,day9" for j in range(4))]))
    for count in (2, None):
        with pytest.raises(ListError, match=r"--val-share 0\.2.* day.* class 'run'"):
            split_list(read_list(file), count, val=0.2, group="day")


def test_videos_without_a_label_stay_unlabeled_or_are_left_out(tmp_path, capsys):
    rows = [(f"{label}{day}.mp4", label, day) for label in "ab" for day in "1234"]
    rows += [(f"x{day}.mp4", "", day) for day in "1234"]
    file = write(tmp_path / "list.csv", "path,label,day\n" + "".join(f"{','.join(row)}\n" for row in rows))
    words = ["split", str(file), "--val-share", "0.25", "--group", "day", "-o", str(tmp_path / "lists")]
    for count, kept in (("all", 6), ("2", 4)):
        assert main([*words, "--labels-per-class", count]) == 0
        labeled, val, unlabeled = (
            rows_of(tmp_path / "lists" / f"{name}.csv") for name in ("labeled", "val", "unlabeled")
        )
        [day] = {row["day"] for row in val}
        assert {row["path"] for row in val} == {f"a{day}.mp4", f"b{day}.mp4"} and len(labeled) == kept
        assert len(unlabeled) == 3 + 6 - kept and f"x{day}.mp4" not in {row["path"] for row in unlabeled}
        assert day not in {row["day"] for row in labeled + unlabeled}
        assert "left out: 1 videos without a label, of recordings in val.csv" in capsys.readouterr().out
    former = rows_of(tmp_path / "lists" / "val.csv")
    without = ["split", str(file), "--labels-per-class", "1", "-o", str(tmp_path / "lists")]
    assert main(without) == 2
    assert re.search(r"lists/val\.csv: is there already, and this split has no such list", capsys.readouterr().err)
    assert rows_of(tmp_path / "lists" / "val.csv") == former
    write(file, "path,label\na.mp4,\nb.mp4,\n")
    assert main(["split", str(file), "--labels-per-class", "1", "-o", str(tmp_path / "lists")]) == 2
    assert "no video has a label; fill in the column label" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels-per-class", "13"], r"class 'b' has 12 videos.* 13"),
        (["--labels-per-class", "all"], "--labels-per-class all .*--val-share"),
        (
            ["--labels-per-class", "2", "--val-share", "0.01"],
            r"--val-share 0.01 .* less than half of a video, as no class has more than 30; give at least 0.02, or",
        ),
        (
            ["--labels-per-class", "2", "--val-share", "0.2", "--group", "actor"],
            r"no column 'actor'.*path, label, take",
        ),
    ],
)
def test_split_command_refuses_in_one_sentence(tmp_path, capsys, options, message):
    file = make_list(tmp_path, {"a": 30, "b": 12})
    assert main(["split", str(file), *options, "-o", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cmpl-zoo: ")
    assert len(error.splitlines()) == 1
    assert re.search(message, error)
    assert not (tmp_path / "out").exists()


def test_all_labels_are_kept_beside_a_validation_list(tmp_path):
    file, out = make_list(tmp_path, {"a": 30, "b": 12}), tmp_path / "out"
    assert (
        main(
            ["split", str(file), "--labels-per-class", "all", "--val-share", "0.25", "--group", "take", "-o", str(out)]
        )
        == 0
    )
    labeled, val = (rows_of(out / f"{name}.csv") for name in ("labeled", "val"))
    assert sorted(row["path"] for row in labeled + val) == sorted(row["path"] for row in rows_of(file))
    assert not {row["take"] for row in labeled} & {row["take"] for row in val}
    assert sorted(p.name for p in out.iterdir()) == ["labeled.csv", "val.csv"]


def test_split_command_writes_the_lists(tmp_path, capsys):
    file = make_list(tmp_path, {"a": 30, "b": 12})
    out = tmp_path / "out"
    assert main(["split", str(file), "--labels-per-class", "3", "--val-share", "0.2", "-o", str(out)]) == 0
    assert "labeled.csv  6 videos" in capsys.readouterr().out
    labeled, unlabeled, val = (rows_of(out / f"{name}.csv") for name in ("labeled", "unlabeled", "val"))
    assert list(labeled[0]) == ["path", "label", "take"]
    assert "label" not in unlabeled[0]
    paths = [row["path"] for part in (labeled, unlabeled, val) for row in part]
    assert sorted(paths) == sorted(row["path"] for row in rows_of(file))
    words = ["--labels-per-class", "3", "--val-share", "0.2", "--keep-labels", "-o", str(out)]
    assert main(["split", str(file), *words]) == 0
    assert rows_of(out / "unlabeled.csv")[0]["label"]
