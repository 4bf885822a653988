"""What the command prints: by lines, whatever a file is called, to whoever reads on, and after Ctrl-C."""

import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from made_videos import encode

from cmpl_zoo_cli.main import main

DEMO = "r3d50_eighth.cmpl_demo"
COMMAND = [sys.executable, "-m", "cmpl_zoo_cli"]


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("video") / "v.avi", frames=16, width=64, height=64)


@pytest.fixture
def here(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copy(video, tmp_path / "v.avi")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("-", r"-: videos are not read from standard input"),
        ("nothing*.mp4", r"nothing\*\.mp4: no file is called like this"),
        ("notes.txt", r"notes\.txt: this is a text; a list .* CSV"),
        ("model", r"model: this is a model; the first word is the model"),
        ("x" * 300 + ".mp4", r"x\.mp4: "),
        ("nowhere.mp4", r"nowhere\.mp4: there is no such file"),
        ("empty", r"empty: holds no video"),
        ("file:///v.mp4", r"file:///v\.mp4: videos are read from http, .* or a path; save it as a file"),
    ],
)
def test_a_word_that_is_no_video_costs_that_word(
    word: str, message: str, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "notes.txt").write_text("v.avi\n")
    (here / "model").mkdir()
    (here / "empty").mkdir()
    (here / "model" / "config.json").touch()
    assert main(["predict", DEMO, word, "v.avi"]) == 1
    out, err = capsys.readouterr()
    assert re.fullmatch(r"v\.avi +\d+\.\d%  \w+\n", out)
    assert len(err.splitlines()) == 1
    assert re.search(rf"^cmpl-zoo: .*{message}", err), err


def test_words_that_are_no_videos_at_all(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", DEMO, "-", "nothing*.mp4", "--csv", "p.csv"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 2 and not (here / "p.csv").exists()


def test_a_pattern_that_the_shell_left_is_expanded(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("b.avi", "a.avi", "[1].avi"):  # the last is a file of that name and no pattern
        shutil.copy(here / "v.avi", here / name)
    assert main(["predict", DEMO, "?.avi", "[1].avi"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["a.avi", "b.avi", "v.avi", "[1].avi"]


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_name_that_cannot_be_printed_is_spelled(
    encoding: str, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [b"\xff.avi", "\u00fc.avi".encode(), b"two\nlines\x1b[2J.avi", b"broken\xff.mp4", b"v.avi"]
    for name in names[:3]:
        shutil.copy(b"v.avi", name)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written := io.BytesIO(), encoding))
    assert main(["predict", DEMO, *map(os.fsdecode, names)]) == 1
    shown = [line.split("  ")[0] for line in written.getvalue().decode(encoding).splitlines()]
    umlaut = "\\xfc.avi" if encoding == "ascii" else "\u00fc.avi"
    assert shown == ["\\udcff.avi", umlaut, "two\\nlines\\x1b[2J.avi", "v.avi"]
    messages = capsys.readouterr().err
    assert messages.startswith("cmpl-zoo: broken\\udcff.mp4: ") and len(messages.splitlines()) == 1


@pytest.mark.parametrize("shut", ["<&-", ">&-", "2>&-"])
def test_a_closed_stream_is_no_error(shut: str, here: Path) -> None:
    command = shlex.join([*COMMAND, "predict", DEMO, "v.avi", "v.avi", "--csv", "p.csv"])
    subprocess.run(f"{command} {shut}", shell=True, check=True, timeout=100)
    assert len((here / "p.csv").read_text().splitlines()) == 2


@pytest.mark.parametrize("shut", ["stdout", pytest.param("both", marks=pytest.mark.slow)])
def test_a_reader_that_leaves_is_no_error(shut: str, here: Path) -> None:
    """As `| head -1` does, or `2>&1 | head -1`: after a line, which comes before the command has ended."""
    words = ["v.avi", "nowhere.mp4"] * 200
    process = subprocess.Popen(
        [*COMMAND, "predict", DEMO, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if shut == "both" else subprocess.PIPE,
        text=True,
    )
    assert process.stdout and process.stdout.readline().startswith("v.avi ")
    assert process.poll() is None, "the line was not held back"
    process.stdout.close()
    messages = process.stderr.read() if process.stderr else ""
    assert process.wait(timeout=60) == 0
    assert "Traceback" not in messages and "Broken" not in messages and "ignored" not in messages
    assert messages.count("nowhere.mp4") < 200, "it stopped early"


def test_a_broken_pipe_of_something_else_is_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    from cmpl_zoo_cli.main import reporting

    def work() -> int:
        raise BrokenPipeError(32, "Broken pipe")

    assert reporting("zoo", work) == 2
    assert "Broken pipe" in capfd.readouterr().err


def test_ctrl_c_says_that_it_stopped(here: Path) -> None:
    process = subprocess.Popen(
        [*COMMAND, "predict", DEMO, *["v.avi"] * 500], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout and process.stdout.readline().startswith("v.avi ")
    process.send_signal(signal.SIGINT)
    out, messages = process.communicate(timeout=60)
    assert out.count("v.avi") < 499
    assert process.returncode in (130, -signal.SIGINT) and messages == "cmpl-zoo: stopped\n"
