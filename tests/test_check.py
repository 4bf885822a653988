"""`cmpl-zoo check`: what a full decode says of real files, of damaged copies, and of runs that are cut off."""

import os
import random
import re
import signal
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from made_videos import (
    copy_packets,
    encode,
    link_many,
    noise,
    refused,
    rows_of,
    start,
    truth_of,
    turn,
    wait_for_rows,
    write_list,
)
from PIL import Image

from cmpl_zoo.tools.check import examine
from cmpl_zoo.video.video import Video
from cmpl_zoo_cli.main import main

pytestmark = pytest.mark.timeout(300)


def test_every_clip_as_a_full_decode_says(shared_data, tmp_path, capsys):
    clips = shared_data / "clips"
    truth = truth_of(clips)
    file = write_list(tmp_path / "clips.csv", [*truth, "frames/jumping/0001", "probe.json", "nowhere.mp4"])
    assert main(["check", str(file), "--root", str(clips), "-o", str(tmp_path / "out")]) == 1
    summary = capsys.readouterr().out
    assert "5 ok, 7 odd, 4 too short, 1 truncated, 2 unreadable; " in summary
    rows = {row["path"]: row for row in rows_of(tmp_path / "out" / "report.csv")}
    assert list(rows) == [row["path"] for row in rows_of(file)]
    for name, expected in truth.items():
        row = rows[name]
        assert int(row["frames"]) == expected["decoded_frames"]
        assert row["stated_frames"] == str(expected["header_frames"] or "")
        size = expected["size"] if expected["rotation"] % 180 == 0 else expected["size"][::-1]
        assert [int(row["width"]), int(row["height"])] == size
        if expected["decoded_frames"] < 8:
            assert row["verdict"] == "too short"
        elif name == "corrupted.mp4":
            assert row["verdict"] == "truncated"
            assert row["cause"].endswith("after 28 frames")
        else:
            assert ("frame rate" in row["cause"] or "timestamps" in row["cause"]) == expected["vfr"]
            assert ("no number of frames" in row["cause"]) == (expected["header_frames"] == 0)
            assert row["verdict"] == ("odd" if row["cause"] else "ok")
    assert "no duration" in rows["no_duration.webm"]["cause"]
    assert rows["nowhere.mp4"]["cause"] == "there is no such file"
    assert rows["probe.json"]["verdict"] == "unreadable"
    assert (rows["frames/jumping/0001"]["verdict"], rows["frames/jumping/0001"]["frames"]) == ("ok", "17")

    kept = rows_of(tmp_path / "out" / "clips.csv")
    assert kept == [row for row in rows_of(file) if rows[row["path"]]["verdict"] in ("ok", "odd")]

    for row in rows_of(shared_data / "mocap13" / "train.csv")[::200]:
        assert examine(str(shared_data / "mocap13" / row["path"]))["verdict"] == "ok"
    for row in rows_of(shared_data / "fights" / "videos.csv")[::30]:  # written with one timestamp for all frames
        found = examine(str(shared_data / "fights" / row["path"]))
        assert (found["verdict"], found["cause"]) == (
            "odd",
            "timestamps that do not increase, so the rate is the codec's",
        )


def test_every_made_video_is_ok(videos):
    for row in rows_of(videos / "videos.csv")[::6]:
        assert examine(str(videos / row["path"]))["verdict"] == "ok"


def test_an_avi_of_a_capture_that_dropped_frames(tmp_path):
    file = tmp_path / "drop.avi"
    with av.open(file, "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for place in range(100):
            if place % 10 != 3:
                frame = av.VideoFrame.from_ndarray(np.full((32, 48, 3), 2 * place, np.uint8))
                frame.pts, frame.time_base = place, Fraction(1, 25)
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    row = examine(str(file))
    assert (row["verdict"], row["frames"], row["stated_frames"]) == ("odd", 90, 100)
    assert "the header states 100 frames" in row["cause"]
    with Video(file) as video:
        assert video.num_frames == 90
    cut = tmp_path / "cut.avi"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size * 8 // 10])
    row = examine(str(cut))
    assert row["verdict"] == "truncated" and row["frames"] < 90
    with Video(cut) as video:
        assert row["frames"] <= video.num_frames <= row["frames"] + 1  # the last picture is half there


def test_the_reading_of_one_made_video(tmp_path):
    found = examine(str(encode(tmp_path / "v.mp4", 30, g="12", bf="0", sc_threshold="0")))
    assert found == {
        "verdict": "ok", "cause": "", "stated_frames": 30, "frames": 30, "fps": 25.0, "width": 64, "height": 48,
        "codec": "h264", "longest_gop": 12,
    }  # fmt: skip


@pytest.mark.parametrize(("min_frames", "verdict"), [(30, "ok"), (31, "too short")])
def test_too_short(tmp_path, min_frames, verdict):
    assert examine(str(encode(tmp_path / "v.mp4", 30)), min_frames=min_frames)["verdict"] == verdict


def test_a_folder_is_checked_without_a_list(tmp_path, capsys):
    (tmp_path / "own" / "run").mkdir(parents=True)
    whole = encode(tmp_path / "own" / "run" / "a.mp4", 30)
    (tmp_path / "own" / "b.mp4").write_bytes(whole.read_bytes()[:1000])
    assert main(["check", str(tmp_path / "own"), "-o", str(tmp_path / "checked")]) == 1
    assert (tmp_path / "checked" / "videos.csv").read_text() == "path\nrun/a.mp4\n"
    assert [row["path"] for row in rows_of(tmp_path / "checked" / "report.csv")] == ["b.mp4", "run/a.mp4"]
    assert main(["check", str(tmp_path / "own"), "-o", str(tmp_path / "checked")]) == 1  # which is done already
    capsys.readouterr()


@pytest.mark.parametrize("verb", ["check", "flow"])
def test_a_list_of_somebody_else_in_the_output_is_kept(verb, tmp_path, capsys):
    (tmp_path / "videos").mkdir()
    encode(tmp_path / "videos" / "a.mp4")
    theirs = tmp_path / "project" / "lists" / "videos.csv"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("path,label\na.mp4,walk\n")
    said = refused(capsys, verb, tmp_path / "videos", "-o", tmp_path / "project")
    assert re.search(r"lists/videos\.csv exists already and is not from this command; give another folder", said)
    assert theirs.read_text() == "path,label\na.mp4,walk\n"


def test_videos_that_a_list_cannot_hold_are_told(tmp_path, capsys):
    (tmp_path / "own").mkdir()
    encode(tmp_path / "own" / "a.mp4")
    (tmp_path / "own" / os.fsdecode(b"caf\xe9.mp4")).write_bytes(b"")
    assert main(["check", str(tmp_path / "own"), "-o", str(tmp_path / "checked")]) == 0
    assert re.search(r"own: left out caf\\udce9\.mp4: begins or ends .* rename it", capsys.readouterr().err)


def test_packed_videos_are_checked(two, tmp_path, capsys):
    assert main(["shard", str(two), "--root", str(tmp_path), "-o", str(tmp_path / "packed")]) == 0
    words = ["check", str(two), "--root", str(tmp_path / "packed"), "-o", str(tmp_path / "out")]
    assert main(words) == 1 and "1 ok" in capsys.readouterr().out


def test_a_stream_that_begins_halfway_costs_nothing(tmp_path):
    """As the sound in a recording that is joined to one without, behind what FFmpeg looks at for streams."""
    silent = noise(tmp_path / "a.ts", 60).read_bytes()
    sounding = noise(tmp_path / "b.ts", 10, seconds_of_silence=1).read_bytes()
    path = tmp_path / "joined.ts"
    path.write_bytes(silent + sounding + silent)  # FFmpeg looks at the end, too
    assert len(silent) > 5_000_000  # bytes that it looks at
    with Video(path) as video:
        assert len(video.container.streams) == 1
        assert video.read(range(video.num_frames)).shape[0] == video.num_frames >= 120
    assert examine(path)["verdict"] in ("ok", "odd")


def test_variable_rate_rotation_and_a_change_of_size_are_odd_and_kept(tmp_path):
    varying = encode(tmp_path / "varying.mp4", 20, times=[40 * i + (200 if i > 9 else 0) for i in range(20)])
    assert examine(str(varying))["cause"] == "variable frame rate (steps of 40 to 240 ms)"

    turned = encode(tmp_path / "turned.mp4", 20)
    turn(turned, 3)
    found = examine(str(turned))
    assert (found["verdict"], found["cause"], found["width"], found["height"]) == ("odd", "rotated or mirrored", 48, 64)

    growing = tmp_path / "growing.ts"
    parts = [encode(tmp_path / "a.ts", 20), encode(tmp_path / "b.ts", 20, 96, 80)]
    growing.write_bytes(b"".join(part.read_bytes() for part in parts))
    found = examine(str(growing))
    assert found["verdict"] == "odd"
    assert "96x80 from frame 20 on" in found["cause"]
    assert found["frames"] == 40


def test_damaged_copies(tmp_path):
    whole = encode(tmp_path / "whole.mp4", 200, 320, 240, qp="10", movflags="+faststart").read_bytes()
    avi = encode(tmp_path / "whole.avi", 107, codec="mpeg4").read_bytes()
    for name, data, stated in (
        ("cut.mp4", whole[: len(whole) * 2 // 3], 200),
        ("cut.avi", avi[: len(avi) * 2 // 3], 107),
    ):
        (tmp_path / name).write_bytes(data)
        found = examine(str(tmp_path / name))
        assert found["verdict"] == "truncated"
        assert found["stated_frames"] == stated
        assert 0 < found["frames"] < stated
        assert f"after {found['frames']} " in found["cause"]

    flipped = bytearray(whole)
    rng = random.Random(0)
    for _ in range(300):
        flipped[rng.randrange(whole.index(b"mdat") + 4, len(whole))] ^= 0xFF
    (tmp_path / "flipped.mp4").write_bytes(flipped)
    found = examine(str(tmp_path / "flipped.mp4"))
    assert found["verdict"] == "truncated" or "damaged frames" in found["cause"]

    for name, data in (("empty", b""), ("head", whole[:1024]), ("noise", rng.randbytes(9999)), ("text", b"no\n" * 99)):
        (tmp_path / f"{name}.mp4").write_bytes(data)
        found = examine(str(tmp_path / f"{name}.mp4"))
        assert found["verdict"] == "unreadable"
        assert found["cause"] and str(tmp_path) not in found["cause"]


def test_a_folder_with_a_broken_picture(tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (32, 24), (20 * number, 0, 0)).save(folder / f"{number:05d}.jpg")
    found = examine(str(folder))
    assert (found["verdict"], found["frames"], found["stated_frames"]) == ("ok", 12, 12)
    broken = sorted(folder.iterdir())[9]
    broken.write_bytes(b"no picture")
    found = examine(str(folder))
    assert (found["verdict"], found["frames"], found["stated_frames"]) == ("truncated", 9, 12)
    assert broken.name in found["cause"]


@pytest.fixture
def many(tmp_path) -> tuple[Path, Path]:
    """A list of 60 videos, each some hundredths of a second of work, and its root."""
    root = tmp_path / "videos"
    return link_many(encode(tmp_path / "v.mp4", 325, 320, 240), root, 60), root


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_where_it_stopped(many, tmp_path, capsys):
    file, root = many
    report = tmp_path / "out" / "report.csv"
    command = ["check", file, "--root", root, "-o", report.parent, "--workers", 2]
    process = start(*command)
    wait_for_rows(process, report, 5)
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert not alive
    assert not (report.parent / file.name).exists()
    begun = report.read_bytes()
    with report.open("ab") as text:
        text.write(b"017.mp4,unread")  # as a full disk or a crash of the machine leaves it

    assert main([str(part) for part in command]) == 0
    assert "60 ok; " in capsys.readouterr().out
    assert report.read_bytes().startswith(begun)
    assert [row["path"] for row in rows_of(report)] == [row["path"] for row in rows_of(file)]
    assert (report.parent / file.name).read_bytes() == file.read_bytes()
    finished = report.read_bytes()
    assert main([str(part) for part in command]) == 0
    assert report.read_bytes() == finished


def test_ctrl_c_ends_with_a_message_and_the_same_command_goes_on(many, tmp_path):
    file, root = many
    report = tmp_path / "out" / "report.csv"
    command = ["check", file, "--root", root, "-o", report.parent, "--workers", 2]
    process = start(*command, start_new_session=True)
    wait_for_rows(process, report, 3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, error = process.communicate()
    assert process.returncode == 130
    begun = len(rows_of(report))
    assert re.fullmatch(rf"cmpl-zoo: stopped .*{begun} of 60 videos.*the same command.*", error.splitlines()[-1])
    assert "Traceback" not in error
    assert main([str(part) for part in command]) == 0
    assert len(rows_of(report)) == 60


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_one_video(many, tmp_path):
    file, root = many
    report = tmp_path / "out" / "report.csv"
    process = start("check", file, "--root", root, "-o", report.parent, "--workers", 2)
    wait_for_rows(process, report, 3)
    server = max(psutil.Process(process.pid).children(), key=lambda child: len(child.children()))
    server.children()[0].kill()
    output, error = process.communicate()
    assert process.returncode == 1, error
    assert "59 ok, 1 unreadable; " in output
    (lost,) = (row for row in rows_of(report) if row["verdict"] == "unreadable")
    assert lost["cause"] == "its worker process was killed by SIGKILL, perhaps as memory ran out"
    assert len(rows_of(report.parent / file.name)) == 59


def test_two_runs_at_once_are_refused(many, tmp_path, capsys):
    file, root = many
    report = tmp_path / "out" / "report.csv"
    command = ["check", file, "--root", root, "-o", report.parent]
    process = start(*command)
    wait_for_rows(process, report, 1)
    assert "another run is writing it" in refused(capsys, *command)
    process.kill()
    process.wait()


@pytest.fixture
def two(tmp_path) -> Path:
    encode(tmp_path / "a.mp4", 20)
    encode(tmp_path / "b.mp4", 4)
    return write_list(tmp_path / "list.csv", ["a.mp4", "b.mp4"])


def test_exit_status_says_whether_a_video_was_left_out(two, tmp_path, capsys):
    command = ["check", str(two), "--root", str(tmp_path), "-o"]
    assert main([*command, str(tmp_path / "all"), "--min-frames", "4"]) == 0
    assert main([*command, str(tmp_path / "some")]) == 1
    out = capsys.readouterr().out.splitlines()
    assert out[1] == (
        f"1 ok, 1 too short; {tmp_path}/some/list.csv lists 1 of 2 videos, {tmp_path}/some/report.csv says why"
    )


def test_rows_added_to_a_list_are_all_that_is_left_to_do(two, tmp_path):
    command = ["check", str(two), "--root", str(tmp_path), "-o", str(tmp_path / "out")]
    assert main(command) == 1
    begun = (tmp_path / "out" / "report.csv").read_bytes()
    two.write_text(two.read_text() + "c.mp4,x,2\n")
    encode(tmp_path / "c.mp4", 9)
    assert main(command) == 1
    report = (tmp_path / "out" / "report.csv").read_bytes()
    assert report.startswith(begun)
    assert b"c.mp4,ok" in report[len(begun) :]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--min-frames", "4"], "--min-frames 8, not .*--min-frames 4"),
        (["--root", "/"], "with --root .*, not .*--root /"),
        (["--root", "/nowhere"], "--root /nowhere: no such folder"),
    ],
)
def test_options_that_are_refused(two, tmp_path, capsys, options, message):
    command = ["check", two, "--root", tmp_path, "-o", tmp_path / "out"]
    assert main([str(part) for part in command]) == 1
    capsys.readouterr()
    before = (tmp_path / "out" / "report.csv").read_bytes()
    assert re.search(message, refused(capsys, *command, *options))
    assert (tmp_path / "out" / "report.csv").read_bytes() == before


def test_a_root_without_any_of_the_videos_is_refused_and_nothing_is_written(two, tmp_path, capsys):
    (tmp_path / "elsewhere").mkdir()
    said = refused(capsys, "check", two, "--root", tmp_path / "elsewhere", "-o", tmp_path / "out")
    assert re.search(r"none of its 2 videos is there \(the first: .*a\.mp4\); check it and --root .*elsewhere", said)
    assert not (tmp_path / "out").exists()


def test_lists_and_folders_that_are_refused(two, tmp_path, capsys):
    out = tmp_path / "out"
    check = ["check", "--root", tmp_path, "-o"]
    assert "cannot read this list" in refused(capsys, *check, out, tmp_path / "nowhere.csv")
    assert "overwrite" in refused(capsys, *check, tmp_path, two)
    report = tmp_path / "report.csv"
    report.write_bytes(two.read_bytes())
    assert re.search(r"report\.csv.* name", refused(capsys, *check, out, report))
    assert not out.exists()
    assert re.search(r"a\.mp4.*File exists", refused(capsys, *check, tmp_path / "a.mp4", two))

    out.mkdir()
    (out / "report.csv").write_text("something else\n")
    assert "report.csv exists already" in refused(capsys, *check, out, two)
    assert (out / "report.csv").read_text() == "something else\n"
    (out / "report.csv").unlink()
    (out / "list.csv").write_text("of somebody else\n")
    assert "list.csv exists already" in refused(capsys, *check, out, two)
    assert [p.name for p in out.iterdir()] == ["list.csv"]

    assert main(["check", "--root", str(tmp_path), "-o", str(tmp_path / "done"), str(two)]) == 1
    capsys.readouterr()
    (tmp_path / "done" / "check.json").write_text("[1]")
    assert re.search(r"check\.json.*report\.csv", refused(capsys, *check, tmp_path / "done", two))
    (tmp_path / "done" / "check.json").unlink()
    assert "report.csv exists already" in refused(capsys, *check, tmp_path / "done", two)


def test_reports_of_other_lists_are_refused(two, tmp_path, capsys):
    check = ["check", "--root", tmp_path, "-o"]
    assert main([str(part) for part in (*check, tmp_path / "done", two)]) == 1
    capsys.readouterr()
    other = write_list(tmp_path / "other.csv", ["b.mp4", "a.mp4"])
    assert "line 2: does not belong to" in refused(capsys, *check, tmp_path / "done", other)
    shorter = write_list(tmp_path / "shorter.csv", ["a.mp4"])
    assert "line 3: does not belong to" in refused(capsys, *check, tmp_path / "done", shorter)


def test_rates_timestamps_and_lengths_of_a_list(tmp_path, capsys):
    for name, step in (("a", 40), ("b", 40), ("c", 20)):
        encode(tmp_path / f"{name}.mp4", 30, times=[step * i for i in range(30)])

    def forget(packet: av.Packet) -> None:
        packet.pts = packet.dts = 0

    copy_packets(encode(tmp_path / "whole.mp4", 50, bf="0"), tmp_path / "d.mp4", forget)
    encode(tmp_path / "e.mp4", 4)  # too short, and so not counted
    videos = write_list(tmp_path / "list.csv", [f"{name}.mp4" for name in "abcde"])

    def told(*options: str) -> list[str]:
        main(["check", str(videos), "--root", str(tmp_path), "-o", str(tmp_path / "out"), *options])
        return capsys.readouterr().out.splitlines()[1:]

    mixed, untimed = told()
    assert re.search("mixed.*3 at 25, 1 at 50; median 25 ", mixed)
    assert re.search("timestamps.* 1 of 4 videos", untimed)
    assert re.search("shorter.*8 frames, stride 4: 0 of 4", told("--frames", "8", "--stride", "4")[2])  # 29 frames
    assert re.search("shorter.*8 frames, stride 5: 3 of 4", told("--frames", "8", "--stride", "5")[2])  # 36 frames
    in_time = told("--frames", "8", "--stride", "2", "--fps", "13")[2]  # 1.08 s; c lasts 0.58 s
    assert re.search("shorter.*stride 2 at 13 frames a second: 1 of 4", in_time)
    # 1.17 and 1.27 s; the last frames of a and b are shown until 1.2 s
    assert told("--frames", "8", "--stride", "2", "--fps", "12")[2].endswith(": 1 of 4 videos")
    assert told("--frames", "8", "--stride", "2", "--fps", "11")[2].endswith(": 3 of 4 videos")
    check = ["check", videos, "--root", tmp_path, "-o", tmp_path / "out"]
    assert re.search("--frames and --stride", refused(capsys, *check, "--frames", "8"))
    assert re.search("--frames and --stride", refused(capsys, *check, "--fps", "8"))


def test_a_list_of_one_rate_says_nothing_of_it(tmp_path, capsys):
    encode(tmp_path / "a.mp4", 20)
    encode(tmp_path / "b.mkv", 20)
    videos = write_list(tmp_path / "list.csv", ["a.mp4", "b.mkv"])
    assert main(["check", str(videos), "--root", str(tmp_path), "-o", str(tmp_path / "out")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
