"""Many videos: `cmpl_zoo.predict` of several paths, and the words, tables and files of `cmpl-zoo predict`."""

import csv
import fcntl
import json
import os
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path

import av
import pytest
import torch
from made_videos import encode, refused, start, write_list
from PIL import Image

import cmpl_zoo
from cmpl_zoo.datasets import evaluation_batches
from cmpl_zoo.models.labels import label_names
from cmpl_zoo.prediction import Prediction, predict
from cmpl_zoo.video import VideoError
from cmpl_zoo.video.clips import coverage, load_views
from cmpl_zoo_cli.main import main
from cmpl_zoo_cli.video_words import is_stream, matches_of, videos_of

DEMO = "r3d50_eighth.cmpl_demo"
NAMES = ["a cat", "b, a dog", "c"]


def classifier(folder: Path, seed: int, names: list[str] = NAMES, **clip: int) -> Path:
    """A model directory of random weights that are sure of their classes."""
    torch.manual_seed(seed)
    clip = {"frames": 4, "stride": 2, "clips": 1, "crops": 1} | clip
    overlay = {"input_size": (3, 32, 32)}
    model = cmpl_zoo.create_model("r3d50_eighth", num_classes=len(names), clip=clip, pretrained_cfg_overlay=overlay)
    torch.nn.init.normal_(model.fc.weight)
    return cmpl_zoo.save(model, folder, names)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return classifier(tmp_path_factory.mktemp("models") / "one", 0)


@pytest.fixture(scope="module")
def paths(videos: Path) -> list[str]:
    """The made videos, 36."""
    return sorted(str(path) for path in videos.rglob("*.mp4"))


def command(*words: object) -> int:
    return main(["predict", *map(str, words), "--device", "cpu"])


# The library


@pytest.mark.parametrize("workers", [0, 2])
def test_several_paths_give_what_each_gives_alone_and_a_bad_one_costs_itself(
    workers: int, model: Path, paths: list[str], tmp_path: Path
) -> None:
    (tmp_path / "text.mp4").write_text("not a video")
    bad = [str(tmp_path / "text.mp4"), str(tmp_path / "nowhere.mp4")]
    given = [*paths[:3], bad[0], *paths[3:], bad[1], paths[0]]
    models = [
        cmpl_zoo.create_model(model).eval(),
        cmpl_zoo.create_model(classifier(tmp_path / "m", 1, clips=3, frames=6)).eval(),
    ]
    found = predict(models, given, topk=2, workers=workers, batch_size=12)
    assert iter(found) is found, "they come one after the other"
    found = list(found)
    assert [one.path for one in found] == given
    for one in found:
        if one.path in bad:
            with pytest.raises(VideoError) as alone:
                predict(models, one.path)
            assert one == Prediction(one.path, [], str(alone.value)) and one.path in one.error
        else:
            expected = predict(models, Path(one.path), topk=2)
            assert one.error == "" and len(expected) == 2
            assert one.classes == [(name, pytest.approx(p, abs=1e-4)) for name, p in expected]
    assert len({one.classes[0][1] for one in found if one.classes}) == len(paths), "videos differ"


def test_models_are_checked_before_the_first_video(model: Path) -> None:
    with pytest.raises(RuntimeError, match="training mode"):
        predict(cmpl_zoo.create_model(model).train(), ["no.mp4"])
    assert list(predict(cmpl_zoo.create_model(model).eval(), [])) == []


def test_a_video_is_opened_once(model: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its frame rate is compared with that of the training videos."""
    network = cmpl_zoo.create_model(model).eval()
    network.pretrained_cfg["notes"] = {"typical_video": {"frames": 32, "fps": 60}}
    opened = []
    monkeypatch.setattr(
        av, "open", lambda path, *more, open=av.open, **how: opened.append(path) or open(path, *more, **how)
    )
    with pytest.warns(UserWarning, match="16 frames a second.*60"):
        predict(network, paths[0])
    assert opened == [f"file:{paths[0]}"]


def test_the_network_leaves_the_workers_their_cores(model: Path, paths: list[str]) -> None:
    network = cmpl_zoo.create_model(model).eval()
    threads = []
    network.register_forward_hook(lambda *_: threads.append(torch.get_num_threads()))
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        list(predict(network, paths, workers=2))
        assert set(threads) == {max(1, min(3, len(os.sched_getaffinity(0)) - 2))} and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_how_much_of_a_video_its_clips_show(tmp_path: Path) -> None:
    with cmpl_zoo.Video(encode(tmp_path / "v.mp4", 200)) as video:  # 25 frames a second
        counted = {"frames": 4, "stride": 3, "clips": 2, "crops": 1}
        assert coverage(video, [counted]) == (200, 2 * 10, 25)
        assert coverage(video, [counted, {"frames": 16, "stride": 3, "clips": 1, "crops": 1}]).shown == 20 + 46
        by_time = {"frames": 5, "stride": 1, "fps": 2.5, "clips": 1, "crops": 1}
        assert coverage(video, [by_time]).shown == 41
        spread = {"frames": 4, "spread": True, "clips": 1, "crops": 1}
        assert coverage(video, [spread]).shown == 4, "50 frames apart is 2 seconds"
        assert coverage(video, [spread | {"frames": 8}]).shown == 7 * 25 + 1


@pytest.mark.slow
def test_a_file_that_ends_the_process_that_reads_it_costs_itself(
    model: Path, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a fault in a decoder does, or the system where memory ran out."""
    deadly = {paths[4], paths[5], paths[30]}

    def load(video: cmpl_zoo.Video, **views: object) -> torch.Tensor:
        if video.path in deadly:
            os.kill(os.getpid(), signal.SIGSEGV)
        return load_views(video, **views)  # type: ignore[arg-type]

    network = cmpl_zoo.create_model(model).eval()
    expected = [one.classes for one in predict(network, paths)]
    monkeypatch.setattr(evaluation_batches, "load_views", load)
    found = list(predict(network, paths, workers=2, batch_size=8))
    assert [one.path for one in found] == paths and {one.path for one in found if one.error} == deadly
    for one, classes in zip(found, expected, strict=True):
        if one.error:
            assert re.search(rf"{one.path}: the worker process .*killed by signal 11", one.error)
        else:
            assert one.classes == [(name, pytest.approx(p, abs=1e-4)) for name, p in classes]


# The words of the command


def test_words_stand_for_videos(
    videos: Path, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.mp4", "in/deep/b.avi", "in/notes.txt", "in/.hidden.mp4", "in/deep/two words.mov"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(videos / "walk" / "00.mp4", name)
    for folder in ("in/pictures", "pictures"):
        Path(folder).mkdir()
        for number in range(3):
            Image.new("RGB", (20, 20)).save(f"{folder}/{number}.jpg")
    Path("pictures/more").mkdir()

    def found(word: str, root: str = ".") -> list[str]:
        return list(videos_of(word, root))

    everything = ["in/a.mp4", "in/deep/b.avi", "in/deep/two words.mov", "in/pictures"]
    assert found("in") == found("in/") == everything
    assert found("pictures") == ["pictures"]
    assert matches_of("in/*") == ["in/a.mp4", "in/deep", "in/notes.txt", "in/pictures"]
    assert matches_of("in/**/*.avi") == ["in/deep/b.avi"] and matches_of("in/a.mp4") == ["in/a.mp4"]
    assert matches_of("in/*.mkv") == ["in/*.mkv"]
    assert found("in/a.mp4") == ["in/a.mp4"] and found("in/a.mp4#t=0,1") == ["in/a.mp4#t=0,1"]
    Path("list.csv").write_text("path,take\na.mp4,1\ndeep/b.avi,2\n")
    assert found("list.csv", "in") == ["in/a.mp4", "in/deep/b.avi"]
    Path("labels.csv").write_text("path,label\na.mp4,x\ndeep/b.avi,y\n")
    assert main(["shard", "labels.csv", "--root", "in", "-o", "packed"]) == 0
    packed = found("packed")
    assert [re.search("#(.*)@", address)[1] for address in packed] == ["a.mp4", "deep/b.avi"]  # type: ignore[index]
    network = cmpl_zoo.create_model(DEMO, pretrained=True).eval()
    assert predict(network, packed[0]) == predict(network, "in/a.mp4") and found(packed[0]) == packed[:1]
    Path("parts.csv").write_text("path,start,end\na.mp4,0,1\na.mp4,1,\n")
    assert main(["shard", "parts.csv", "--root", "in", "-o", "parts"]) == 0
    for place in ("parts", f"file://{Path('parts').resolve()}"):
        assert [segment.rpartition("#")[2] for segment in found(place)] == ["t=0,1", "t=1"]
    for stream in ("rtsp://user:x@host/1", "http://host/v.mp4", "udp://0.0.0.0:1", "tcp://h:1?listen=1", "/dev/video0"):
        assert is_stream(stream)
    for file in ("a.mp4", "s3://bucket/shards", "/dev/shm/a.mp4", "http/a.mp4", "hf://datasets/a/b"):
        assert not is_stream(file)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["empty"], r"empty: holds no video"),
        (["list.csv"], r"list\.csv: no column 'path'"),
        (["shards"], r"shards/shards\.csv: not an index"),
        (["http://127.0.0.1:9/", "v.mp4"], r"http.*: a stream is predicted alone"),
        (["/dev/video77", "--csv", "p.csv", "--resume"], r"/dev/video77: a stream cannot be resumed"),
        (["http://127.0.0.1:9/v.mp4#t=0,1"], r"v\.mp4#t=0,1: an address has no segments; save it as a file"),
        (["http://127.0.0.1:9/", "--csv", "notes.md"], r"notes\.md: is there already, and a stream cannot be resumed"),
        (["v.mp4", "--csv", "p.csv", "--json", "folder/../p.csv"], r"p\.csv: two outputs cannot go there"),
        (["v.mp4", "--json", "text.json", "--resume"], r"text\.json: cannot be continued: line 1: .*'high'"),
        (["v.mp4", "--resume"], r"--resume .*--csv FILE or --json FILE"),
        (["v.mp4", "--csv", "-", "--json", "-"], r"--csv - and --json -"),
        (["v.mp4", "--csv", "folder"], r"folder.*[Ii]s a directory"),
        (["v.mp4", "--csv", "/dev/null"], r"/dev/null: is no regular file; .*- for the standard output"),
        (["v.mp4", "--json", "pipe"], r"pipe: is no regular file"),
        (["v.mp4", "--windows", "1", "--bouts", "/dev/null"], r"/dev/null: is"),
        (["v.mp4", "--csv", "locked/p.csv"], r"locked/p\.csv: its folder cannot be made"),
        (["v.mp4", "--json", "notes.md"], r"notes\.md: is there already; --resume"),
        (["v.mp4", "--json", "notes.md", "--resume"], r"notes\.md: cannot be continued: it begins with b'# Notes'"),
        (["v.mp4", "--csv", "notes.md", "--resume"], r"notes\.md: cannot be continued: it begins with"),
        (["v.mp4", "--with", "other", "--csv", "p.csv"], r"other: knows other classes"),
        (["v.mp4", "--with", "nowhere"], r"nowhere"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_a_sentence_and_leaves_nothing(
    words: list[str],
    message: str,
    model: Path,
    videos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(videos / "walk" / "00.mp4", "v.mp4")
    for folder in ("empty", "folder", "shards"):
        Path(folder).mkdir()
    os.mkfifo("pipe")
    Path("locked").touch()  # a file where a folder is wanted: root may write into any folder
    Path("list.csv").write_text("file,label\nv.mp4,x\n")
    Path("shards/shards.csv").write_text("nothing\n")
    Path("text.json").write_text('{"path": "a", "label": "x", "probabilities": {"x": "high", "y": 0}}\n')
    Path("notes.md").write_text("# Notes")  # without a line's end
    if "other" in words:
        classifier(Path("other"), 1, ["x", "y", "z"])
    before = sorted(Path().rglob("*"))
    assert re.search(message, refused(capsys, "predict", model, *words))
    assert sorted(Path().rglob("*")) == before and Path("notes.md").read_text() == "# Notes"


# What it prints


def test_several_videos_are_a_table_and_one_is_a_list(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(videos / "walk" / "00.mp4", "v.mp4")
    shutil.copy(videos / "run" / "01.mp4", "a longer name.mp4")
    network = cmpl_zoo.create_model(DEMO, pretrained=True).eval()
    one, other = (predict(network, path, topk=99) for path in ("v.mp4", "a longer name.mp4"))
    width = max(map(len, label_names(network)))

    assert command(DEMO, "v.mp4") == 0
    assert capsys.readouterr().out == "v.mp4\n" + "".join(f"  {p:6.1%}  {name}\n" for name, p in one[:5])
    assert command(DEMO, "v.mp4", "--top-k", "2", "--min-probability", "1") == 0
    assert re.fullmatch(r"v\.mp4\n  uncertain: .*100%\n(  .*%.*\n){2}", capsys.readouterr().out)

    assert command(DEMO, ".") == 0
    assert capsys.readouterr().out == (
        f"./a longer name.mp4  {other[0][1]:6.1%}  {other[0][0]}\n./v.mp4              {one[0][1]:6.1%}  {one[0][0]}\n"
    )
    least = (one[0][1] + other[0][1]) / 2
    assert command(DEMO, "v.mp4", "a longer name.mp4", "--top-k", "2", "--min-probability", least) == 0
    lines = capsys.readouterr().out.splitlines()
    for line, path, found in zip(lines, ("v.mp4", "a longer name.mp4"), (one, other), strict=True):
        sure = "" if found[0][1] > least else "uncertain"
        (first, p), (second, q) = found[:2]
        assert line == f"{path:17}  {sure:9}  {p:6.1%}  {first:{width}}  {q:6.1%}  {second}"


def test_a_terminal_shows_progress_with_the_time_left(model: Path, videos: Path, tmp_path: Path) -> None:
    shown, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 100, 0, 0))
    words = ["predict", str(model), str(videos), "--csv", str(tmp_path / "p.csv"), "--batch-size", "4"]
    done = subprocess.run([sys.executable, "-m", "cmpl_zoo_cli", *words], stdout=subprocess.PIPE, stderr=terminal)
    os.close(terminal)
    progress = os.read(shown, 100_000).decode()
    assert done.returncode == 0 and re.search(r"\d+/36 \[\d\d:\d\d<\d\d:\d\d, .*video", progress), progress


def test_a_long_video_is_said_to_be_seen_in_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    long, short = encode(tmp_path / "long.mp4", 25 * 65), encode(tmp_path / "short.mp4", 50)
    assert command(DEMO, long, short) == 0
    notice = capsys.readouterr().err
    with cmpl_zoo.Video(long) as video:
        network = cmpl_zoo.create_model(DEMO, pretrained=True)
        seconds = coverage(video, [cmpl_zoo.resolve_clip_config(network)]).shown / 25
    assert 1.5 < seconds < 2  # two clips of 8 frames, 1/8 s apart
    assert re.fullmatch(rf"cmpl-zoo: .*a video: .*long\.mp4.* {seconds:.1f} s of 0:01:05; --windows.*\n", notice)
    assert command(DEMO, short, short) == 0 and capsys.readouterr().err == ""


# Files


def csv_rows(file: Path) -> list[tuple[str, str, dict[str, float]]]:
    with file.open(newline="") as lines:
        header, *rows = csv.reader(lines)
    assert header == ["path", "label", *NAMES]
    return [(path, label, dict(zip(NAMES, map(float, p), strict=True))) for path, label, *p in rows]


def json_rows(file: Path) -> list[tuple[str, str, dict[str, float]]]:
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    assert all(list(row) == ["path", "label", "probabilities"] for row in rows)
    for row in rows:
        assert list(row["probabilities"].values()) == sorted(row["probabilities"].values(), reverse=True)
    return [(row["path"], row["label"], row["probabilities"]) for row in rows]


def test_names_with_the_signs_of_patterns_are_taken_as_they_are(
    paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("day [1]").mkdir()
    for name in ("talk [abc].mp4", "day [1]/a.mp4", "day [1]/b.mp4"):
        shutil.copy(paths[0], name)
    for word in ("talk [abc].mp4", "talk [abc].mp4#t=0,1"):
        assert matches_of(word) == [word] == list(videos_of(word, "."))
    assert matches_of("day [1]/*.mp4") == ["day [1]/a.mp4", "day [1]/b.mp4"]
    assert matches_of("*/a.mp4") == ["day [1]/a.mp4"] and matches_of("no*.mp4") == ["no*.mp4"]


def test_a_video_that_is_named_twice_has_one_row(
    model: Path, paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.csv"
    assert command(model, paths[0], paths[0], "--csv", file) == 0
    assert len(csv_rows(file)) == 1 and capsys.readouterr().out == f"{file}  1 videos\n"
    same = refused(capsys, "predict", model, paths[0], "--csv", tmp_path / "x", "--json", tmp_path / "x")
    assert "two outputs cannot go there" in same


READ: dict[str, Callable[[Path], list[tuple[str, str, dict[str, float]]]]] = {"csv": csv_rows, "json": json_rows}


@pytest.mark.parametrize("kind", READ)
def test_a_file_has_a_row_a_video(
    kind: str, model: Path, paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = cmpl_zoo.create_model(model).eval()
    expected = {path: predict(network, path, topk=3) for path in paths[::5]}
    least = sorted(classes[0][1] for classes in expected.values())[len(expected) // 2]
    given = [*expected, "nowhere.mp4"]
    file = tmp_path / "new" / f"p.{kind}"
    assert command(model, *given, f"--{kind}", file, "--min-probability", least) == 1
    out, err = capsys.readouterr()
    assert re.fullmatch(rf"{file}  {len(expected)} videos, 1 unreadable.*\n", out)
    assert re.fullmatch(r"cmpl-zoo: nowhere\.mp4: there is no such file\n", err)
    rows = READ[kind](file)
    assert [path for path, *_ in rows] == list(expected)
    for path, label, probabilities in rows:
        assert probabilities == pytest.approx(dict(expected[path]), abs=1e-4)
        name, p = expected[path][0]
        assert label == ("uncertain" if p < least - 1e-4 else name) or abs(p - least) <= 1e-4
    assert {label for _, label, _ in rows} > {"uncertain"}
    assert command(model, *given, f"--{kind}", "-", "--min-probability", least) == 1
    assert capsys.readouterr().out == file.read_text()


@pytest.mark.parametrize("kind", READ)
def test_a_file_is_continued_and_what_is_in_it_is_not_done_again(
    kind: str, model: Path, paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    file, whole = tmp_path / f"p.{kind}", tmp_path / f"whole.{kind}"
    options = [f"--{kind}", file, "--workers", "0"]
    assert command(model, *paths, f"--{kind}", whole) == 0
    lines = whole.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:8]) + lines[8][:20])  # as a kill in the middle of a line leaves it
    capsys.readouterr()
    assert "is there already; --resume continues it" in refused(capsys, "predict", model, *paths, *options)
    assert file.read_bytes().endswith(lines[8][:20])

    read = []
    monkeypatch.setattr(
        evaluation_batches, "Video", lambda path, Video=cmpl_zoo.Video: read.append(path) or Video(path)
    )
    done = [path for path, *_ in READ[kind](whole)][: 7 if kind == "csv" else 8]
    assert command(model, *paths, *options, "--resume") == 0
    assert f"{file}  36 videos\n" in capsys.readouterr().out
    assert read == done[:3] + paths[len(done) :], "the first three, to see that the model is the same, and the rest"
    ours, theirs = READ[kind](file), READ[kind](whole)
    assert [row[:2] for row in ours] == [row[:2] for row in theirs]
    for row, other in zip(ours, theirs, strict=True):
        assert row[2] == pytest.approx(other[2], abs=1e-4)
    before, read[:] = file.read_bytes(), []
    assert command(model, *paths, *options, "--resume") == 0
    assert read == done[:3] and file.read_bytes() == before


def test_a_file_cut_in_its_header_is_begun_again(model: Path, paths: list[str], tmp_path: Path) -> None:
    file = tmp_path / "p.csv"
    file.write_text("path,la")
    assert command(model, *paths[:2], "--csv", file, "--resume") == 0
    assert [path for path, *_ in csv_rows(file)] == paths[:2]


@pytest.mark.parametrize("kind", READ)
def test_a_file_of_something_else_is_not_continued(
    kind: str, model: Path, paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / f"p.{kind}"
    options = [*paths[:9], f"--{kind}", file, "--resume"]
    assert command(model, *paths[:4], f"--{kind}", file) == 0
    before = file.read_bytes()
    capsys.readouterr()
    for words, message in (
        ([classifier(tmp_path / "b", 1), *options], r"it gives .*\.mp4 \d.*%.*and the model \d.*the model that it was"),
        ([classifier(tmp_path / "c", 0, ["a cat", "c", "d"]), *options], r"(columns|classes) are .*b, a dog"),
        ([model, "--min-probability", "1", *options], r"another --min-probability"),
    ):
        error = refused(capsys, "predict", *words)
        assert re.search(rf"p\.{kind}: cannot be continued: .*{message}", error), error
        assert file.read_bytes() == before
    rows = before.splitlines(keepends=True)
    file.write_bytes(before.replace(rows[-2], rows[-2][:30] + b"\n"))
    assert re.search(r"cannot be continued: line \d", refused(capsys, "predict", model, *options))
    with file.open("wb") as other:
        other.write(before)
        other.flush()
        fcntl.flock(other, fcntl.LOCK_EX)
        assert "another process" in refused(capsys, "predict", model, *options)
    assert file.read_bytes() == before


def test_both_files_at_once_and_each_is_completed(
    model: Path, paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, lines = tmp_path / "p.csv", tmp_path / "p.jsonl"
    assert command(model, *paths[:3], "--csv", table) == 0
    assert command(model, *paths[:5], "--csv", table, "--json", lines, "--resume") == 0
    assert [path for path, *_ in csv_rows(table)] == [path for path, *_ in json_rows(lines)] == paths[:5]


def test_odd_names_are_found_again(
    model: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [os.fsdecode(b"\xff.mp4"), "two\nlines.mp4", 'a "b", c.mp4', "\u00fc.mp4"]
    for name in names:
        shutil.copy(videos / "walk" / "00.mp4", name)
    for _ in range(2):
        assert command(model, *names, "--csv", "p.csv", "--json", "p.jsonl", "--resume") == 0
        assert [path for path, *_ in json_rows(Path("p.jsonl"))] == names
        spelled = ["\\udcff.mp4", "two\\nlines.mp4", *names[2:]]
        assert [path for path, *_ in csv_rows(Path("p.csv"))] == spelled


def test_a_full_disk_loses_nothing(
    model: Path, paths: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.csv"
    words = [model, *paths, "--csv", file, "--workers", "0"]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        error = refused(capsys, "predict", *words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert re.search(r"p\.csv: cannot be written: .*too large; .*--resume continues", error)
    assert file.stat().st_size == 1000
    assert command(*words, "--resume") == 0
    assert [path for path, *_ in csv_rows(file)] == paths


def test_ctrl_c_and_resume(model: Path, videos: Path, tmp_path: Path) -> None:
    for copy in range(40):
        (tmp_path / f"{copy:02d}").symlink_to(videos)
    file = tmp_path / "p.csv"
    words = ["predict", model, tmp_path, "--csv", file, "--device", "cpu", "--batch-size", "2"]
    process = start(*words)
    while not file.exists() or file.read_bytes().count(b"\n") < 5:
        assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=120)
    done = len(csv_rows(file))
    assert process.returncode == 130 and 4 <= done < 1440
    assert re.fullmatch(rf"cmpl-zoo: stopped after {done} of 1440 videos; --resume continues\n", error)


def test_a_list_and_a_class_named_like_a_column(
    model: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = write_list(tmp_path / "l.csv", ["walk/00.mp4", "run/01.mp4"])
    assert command(model, listed, "--root", videos, "--csv", "-") == 0
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()[1:]] == [
        f"{videos}/walk/00.mp4", f"{videos}/run/01.mp4",
    ]  # fmt: skip
    odd = classifier(tmp_path / "odd", 0, ["path", "x"])
    assert "class of the model is called 'path'" in refused(capsys, "predict", odd, listed, "--csv", tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()
