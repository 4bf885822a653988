"""`cmpl-zoo prepare`: copies against what the reader sees of the source, and runs that are cut off."""

import re
import resource
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from made_videos import encode, link_many, refused, rows_of, start, turn, wait_for_rows, write_list
from PIL import Image

from cmpl_zoo.tools.prepare import PrepareSettings, prepare_video
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.video import Video
from cmpl_zoo_cli.main import main

pytestmark = pytest.mark.timeout(300)

CLIPS = (
    "arm_wrestling.mp4", "asl_thanks.mkv", "av1.mkv", "corrupted.mp4", "flipping_a_pancake.mkv", "h264_10bit.mp4",
    "hevc.mp4", "nasa_two_audio.mp4", "newtonscradle.gif", "no_duration.webm", "one_pixel.mp4", "rotation_0.mov",
    "rotation_90.mov", "unordered.mov", "v_ApplyEyeMakeup_g01_c01.avi", "v_BaseballPitch_g01_c01.avi",
)  # fmt: skip
FINE = PrepareSettings(max_short_side=10_000, gop=16, crf=4)  # nothing is made smaller, and little is lost


@pytest.fixture(scope="session")
def clips(shared_data) -> Path:
    return shared_data / "clips"


def frames_of(path: Path) -> np.ndarray:
    """Every frame, as the reader gives it."""
    with Video(path) as video:
        _, delivered = video.read_with_indices([10**6])
        return video.read(range(delivered[0] + 1)).numpy()


def times_of(path: Path) -> list[float]:
    """When each frame is shown, in seconds."""
    with av.open(str(path)) as container:
        return [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]


def assert_well_made(path: Path, gop: int) -> None:
    with av.open(str(path)) as container:
        (stream,) = container.streams
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.width % 2 == stream.height % 2 == 0
        keys = [place for place, entry in enumerate(stream.index_entries) if entry.is_keyframe]
        assert keys == list(range(0, stream.frames, gop))
        frames = list(container.decode(stream))
        assert len(frames) == stream.frames
        assert all(frame.side_data.get("DISPLAYMATRIX") is None for frame in frames)
        times = [frame.pts for frame in frames]
        assert times[0] == 0
        assert all(a < b for a, b in pairwise(times))
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # +faststart


@pytest.mark.parametrize("name", CLIPS)
def test_every_frame_of_every_clip_upright(clips, tmp_path, name):
    assert_every_frame(clips / name, tmp_path / "copy.mp4", one_pixel=name == "one_pixel.mp4")
    assert_short_side(clips / name, tmp_path / "small.mp4")


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("avi", "mpeg4"), ("mkv", "libvpx-vp9")])
def test_every_frame_of_a_made_video(tmp_path, container, codec):
    path = encode(tmp_path / f"v.{container}", 40, 66, codec=codec)
    assert_every_frame(path, tmp_path / "copy.mp4")


def assert_every_frame(path: Path, copy: Path, one_pixel: bool = False) -> None:
    """A fine copy has the frames of the video, upright, of its size but for an odd last row and column."""
    row = prepare_video(str(path), str(copy), FINE)
    before, after = frames_of(path), frames_of(copy)
    assert row["verdict"] == "encoded"
    assert row["frames"] == len(before) == len(after)
    assert row["bytes_after"] == copy.stat().st_size
    assert_well_made(copy, 16)
    if one_pixel:
        assert after.shape[1:3] == (2, 2)
        return
    assert after.shape[1:3] == tuple(side // 2 * 2 for side in before.shape[1:3])
    off = after.astype(np.int16) - before[:, : after.shape[1], : after.shape[2]]
    assert abs(off.mean((0, 1, 2))).max() < 2  # no color is shifted
    assert abs(off).mean() < 4.5  # half the color resolution of 4:2:0 is the most of it


@pytest.mark.parametrize(("width", "height"), [(320, 240), (180, 320), (113, 150), (64, 48)])
@pytest.mark.parametrize("turns", [0, 1])
def test_short_side(tmp_path, width, height, turns):
    path = encode(tmp_path / "v.mp4", 20, width, height)
    turn(path, turns)
    assert_short_side(path, tmp_path / "copy.mp4")


def assert_short_side(path: Path, copy: Path) -> None:
    """A copy of 113 pixels, which are 112 and fewer where the video is smaller, keeps the shape."""
    prepare_video(str(path), str(copy), PrepareSettings(max_short_side=113, gop=8))
    height, width = frames_of(path).shape[1:3]
    new_height, new_width = frames_of(copy).shape[1:3]
    assert min(new_height, new_width) == max(2, min(112, min(height, width) // 2 * 2))
    assert abs(new_width - width * new_height / height) <= 1
    assert_well_made(copy, 8)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_turns_and_mirroring_are_baked_in(tmp_path, turns, mirrored):
    path, copy = encode(tmp_path / "v.mp4", 5, crf="4"), tmp_path / "copy.mp4"
    turn(path, turns, mirrored)
    prepare_video(str(path), str(copy), FINE)
    before, after = frames_of(path), frames_of(copy)
    assert before.shape == after.shape
    assert abs(before.astype(np.int16) - after).mean() < 2
    assert_well_made(copy, 16)


@pytest.mark.parametrize(("width", "height"), [(1, 9), (9, 1), (3, 3), (63, 41), (64, 41), (2, 500)])
def test_odd_sizes(tmp_path, width, height):
    folder, copy = tmp_path / "frames", tmp_path / "copy.mp4"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (width, height), (200, 100, 50 * i)).save(folder / f"{i}.png")
    assert prepare_video(str(folder), str(copy), FINE)["frames"] == 3
    after = frames_of(copy)
    assert after.shape[1:3] == (max(2, height // 2 * 2), max(2, width // 2 * 2))
    assert abs(after.mean((1, 2)) - [(200, 100, 50 * i) for i in range(3)]).max() < 6


def test_colors_of_any_range_and_matrix(tmp_path):
    """Colors as the reader shows them, whatever the source says of how they are stored."""
    for number, (pix_fmt, full, matrix) in enumerate(
        [("yuvj420p", True, 2), ("yuv444p", True, 1), ("yuv420p", False, 1), ("yuv420p10le", False, 9)]
    ):
        path, copy = tmp_path / f"{number}.mkv", tmp_path / f"{number}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
            stream.width, stream.height, stream.pix_fmt = 64, 48, pix_fmt
            stream.codec_context.color_range = 2 if full else 1
            stream.codec_context.colorspace = matrix
            image = np.full((48, 64, 3), (180, 60, 30), np.uint8)
            image[:, 32:] = (20, 90, 200)
            for _ in range(3):
                frame = av.VideoFrame.from_ndarray(image, format="rgb24")
                container.mux(
                    stream.encode(frame.reformat(format=pix_fmt, dst_colorspace=5, dst_color_range=2 if full else 1))
                )
            container.mux(stream.encode())
        prepare_video(str(path), str(copy), FINE)
        off = frames_of(path).astype(np.int16) - frames_of(copy)
        assert abs(off[:, :, [*range(24), *range(40, 64)]]).max() <= 8  # away from the edge, which 4:2:0 blurs


def test_timestamps_are_kept_where_they_rise(tmp_path):
    times = [0, 40, 80, 90, 500, 501, 10_000, 10_040, 10_081]
    path, copy = encode(tmp_path / "v.mkv", 9, times=times, bf="0"), tmp_path / "copy.mp4"
    assert prepare_video(str(path), str(copy), FINE)["frames"] == 9
    assert times_of(copy) == pytest.approx([time / 1000 for time in times], abs=1e-6)


def test_timestamps_that_do_not_rise_give_way_to_the_average_rate(tmp_path):
    path, copy = encode(tmp_path / "v.mp4", 30, bf="0"), tmp_path / "copy.mp4"
    data = bytearray(path.read_bytes())
    durations = data.index(b"stts") + 8
    assert data[durations : durations + 8] == bytes([0, 0, 0, 1, 0, 0, 0, 30]), "one entry, for all 30 frames"
    data[durations + 8 : durations + 12] = bytes(4)  # no time passes from frame to frame, as some recorders write it
    path.write_bytes(data)
    assert set(times_of(path)) == {0.0}
    assert prepare_video(str(path), str(copy), FINE)["frames"] == 30
    assert times_of(copy) == pytest.approx([i / 25 for i in range(30)])


def test_frames_of_another_size_come_in_that_of_the_first(tmp_path):
    parts = [encode(tmp_path / "a.ts", 20), encode(tmp_path / "b.ts", 20, 96, 80)]
    path, copy = tmp_path / "v.ts", tmp_path / "copy.mp4"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    prepare_video(str(path), str(copy), FINE)
    assert frames_of(copy).shape == (40, 48, 64, 3)
    assert_well_made(copy, 16)


def with_sound(video: Path, path: Path) -> Path:
    """The same video, and silence beside it."""
    with av.open(str(video)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        sound = target.add_stream("aac", rate=8000)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        silence.sample_rate = 8000
        target.mux([*sound.encode(silence), *sound.encode()])
    return path


def test_copy_takes_files_that_fit_as_they_are_and_no_others(tmp_path):
    whole, fit = encode(tmp_path / "whole.mp4", 100, 320, 240), tmp_path / "fit.mp4"
    prepare_video(str(whole), str(fit), PrepareSettings(128, 16))
    copy = tmp_path / "copy.mp4"
    for settings, verdict in (
        (PrepareSettings(128, 16, copy=True), "copied"),
        (PrepareSettings(200, 250, 40, copy=True), "copied"),
        (PrepareSettings(126, 16, copy=True), "encoded"),
        (PrepareSettings(128, 15, copy=True), "encoded"),
        (PrepareSettings(128, 16), "encoded"),
    ):
        row = prepare_video(str(fit), str(copy), settings)
        assert (row["verdict"], row["frames"]) == (verdict, 100)
        assert (copy.read_bytes() == fit.read_bytes()) == (verdict == "copied")

    broken = bytearray(fit.read_bytes())
    broken[len(broken) // 2 :] = bytes(len(broken) - len(broken) // 2)
    (tmp_path / "broken.mp4").write_bytes(broken)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(fit.read_bytes())
    turn(turned, 1)
    hevc = encode(tmp_path / "hevc.mp4", codec="libx265", **{"x265-params": "log-level=none"})
    fitting = with_sound(fit, tmp_path / "sound.mp4")
    for path in (hevc, fitting, turned, encode(tmp_path / "v.avi"), encode(tmp_path / "odd.mp4", width=63),
                 tmp_path / "broken.mp4"):  # fmt: skip
        assert prepare_video(str(path), str(copy), PrepareSettings(600, 600, copy=True))["verdict"] == "encoded"


def test_a_list_becomes_a_list_of_copies(tmp_path, capsys):
    root, out = tmp_path / "videos", tmp_path / "out"
    (root / "deep").mkdir(parents=True)
    encode(root / "deep" / "a.avi", 20)
    encode(root / "b é.mp4", 20)
    (root / "empty.mp4").touch()
    (root / "frames.v1").mkdir()
    Image.new("RGB", (30, 20)).save(root / "frames.v1" / "1.png")
    file = write_list(tmp_path / "list.csv", ["deep/a.avi", "empty.mp4", "b é.mp4", "frames.v1", "none.mp4"])
    command = ["prepare", file, "-o", out, "--root", root, "--max-short-side", "32", "--gop", "5", "--workers", "2"]
    assert main([str(part) for part in command]) == 1
    assert "3 encoded, 2 unreadable; " in capsys.readouterr().out
    assert rows_of(out / "list.csv") == [
        {"path": "deep/a.mp4", "label": "x", "take": "0"},
        {"path": "b é.mp4", "label": "x", "take": "2"},
        {"path": "frames.v1.mp4", "label": "x", "take": "3"},
    ]
    report = rows_of(out / "report.csv")
    assert [row["path"] for row in report] == ["deep/a.avi", "empty.mp4", "b é.mp4", "frames.v1", "none.mp4"]
    assert [row["cause"] for row in report] == ["", "the file is empty", "", "", "there is no such file"]
    assert [row["frames"] for row in report] == ["20", "", "20", "1", ""]
    assert sorted(p.name for p in out.rglob("*") if p.is_file()) == [
        "a.mp4", "b é.mp4", "frames.v1.mp4", "list.csv", "prepare.json", "report.csv",
    ]  # fmt: skip
    for row in rows_of(out / "list.csv"):
        assert_well_made(out / row["path"], 5)


@pytest.fixture
def many(tmp_path) -> tuple[Path, Path]:
    """A list of 24 videos, each some tenths of a second of work, and its root."""
    root = tmp_path / "videos"
    return link_many(encode(tmp_path / "v.mp4", 325, 320, 240), root, 24), root


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_and_leaves_no_half_file(many, tmp_path, capsys):
    file, root = many
    out = tmp_path / "out"
    command = ["prepare", file, "-o", out, "--root", root, "--max-short-side", "96", "--workers", 2]
    process = start(*command)
    wait_for_rows(process, out / "report.csv", 3)
    everyone = psutil.Process(process.pid).children(recursive=True)
    for one in [psutil.Process(process.pid), *everyone]:  # nobody can tidy up
        one.kill()
    process.wait()
    psutil.wait_procs(everyone, timeout=60)
    begun = (out / "report.csv").read_bytes()
    done = {path: path.stat().st_mtime_ns for path in out.glob("*.mp4")}
    for path in done:
        assert len(frames_of(path)) == 325

    assert main([str(part) for part in command]) == 0
    assert "24 encoded; " in capsys.readouterr().out
    assert (out / "report.csv").read_bytes().startswith(begun)
    journaled = [out / row["path"] for row in rows_of(out / "report.csv")[: begun.count(b"\n") - 1]]
    assert all(path.stat().st_mtime_ns == done[path] for path in journaled)
    assert sorted(p.name for p in out.iterdir()) == sorted(
        [*(f"{i:03d}.mp4" for i in range(24)), "many.csv", "prepare.json", "report.csv"]
    )
    assert (out / "many.csv").read_bytes() == file.read_bytes()
    for i in range(24):
        assert len(frames_of(out / f"{i:03d}.mp4")) == 325


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_one_video_and_leaves_nothing_of_it(many, tmp_path):
    file, root = many
    out = tmp_path / "out"
    process = start("prepare", file, "-o", out, "--root", root, "--max-short-side", "96", "--workers", 2)
    wait_for_rows(process, out / "report.csv", 2)
    server = max(psutil.Process(process.pid).children(), key=lambda child: len(child.children()))
    server.children()[0].kill()
    output, error = process.communicate()
    assert process.returncode == 1, error
    assert "23 encoded, 1 unreadable; " in output
    assert len(rows_of(out / "many.csv")) == 23
    assert not list(out.glob(".*"))


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_no_half_file(many, tmp_path):
    """Files above a limit cannot be written, as on a full disk."""
    file, root = many
    out = tmp_path / "out"
    command = ["prepare", file, "-o", out, "--root", root, "--max-short-side", "96", "--workers", 2]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, resource.RLIM_INFINITY))

    process = start(*command, preexec_fn=limit)
    _, error = process.communicate()
    assert process.returncode == 2
    assert error.startswith(f"cmpl-zoo: {out}/00")
    assert "File too large" in error and "the same command" in error
    assert len(error.splitlines()) == 1
    assert sorted(p.name for p in out.iterdir()) == ["prepare.json", "report.csv"]
    assert main([str(part) for part in command]) == 0


@pytest.fixture
def two(tmp_path) -> Path:
    encode(tmp_path / "a.mp4", 20)
    encode(tmp_path / "b.avi", 20)
    return write_list(tmp_path / "list.csv", ["a.mp4", "b.avi"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-short-side", "48"], "--max-short-side 32, not .*--max-short-side 48"),
        (["--gop", "8"], "--gop 32, not .*--gop 8"),
        (["--crf", "20"], "--crf 23, not .*--crf 20"),
        (["--copy"], "without --copy, not .*--copy"),
    ],
)
def test_options_that_are_refused(two, tmp_path, capsys, options, message):
    command = ["prepare", two, "-o", tmp_path / "out", "--root", tmp_path, "--max-short-side", "32"]
    assert main([str(part) for part in command]) == 0
    capsys.readouterr()
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert re.search(message, refused(capsys, *command, *options))
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before


def test_places_that_are_refused(two, tmp_path, capsys):
    options = ["--root", tmp_path, "--max-short-side", "32"]
    before = (tmp_path / "a.mp4").read_bytes()
    elsewhere = tmp_path / "lists"
    elsewhere.mkdir()
    (elsewhere / "list.csv").write_bytes(two.read_bytes())
    assert "a.mp4 would overwrite" in refused(capsys, "prepare", elsewhere / "list.csv", "-o", tmp_path, *options)
    (tmp_path / "link").symlink_to(tmp_path)
    assert "a.mp4 would overwrite" in refused(
        capsys, "prepare", elsewhere / "list.csv", "-o", tmp_path / "link", *options
    )
    assert "which the new list would overwrite" in refused(
        capsys, "prepare", elsewhere / "list.csv", "-o", elsewhere, *options
    )
    assert (tmp_path / "a.mp4").read_bytes() == before
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "b.mp4").write_text("of somebody else")
    assert "b.mp4 exists already" in refused(capsys, "prepare", two, "-o", tmp_path / "full", *options)
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["b.mp4"]
    assert main(["shard", str(two), "-o", str(tmp_path / "shards"), "--root", str(tmp_path)]) == 0
    capsys.readouterr()
    message = refused(
        capsys, "prepare", two, "-o", tmp_path / "out", "--root", tmp_path / "shards", "--max-short-side", "32"
    )
    assert "shards" in message

    encode(tmp_path / "a.avi", 3)
    encode(tmp_path / "b.mkv", 3)
    same = write_list(elsewhere / "same.csv", ["a.mp4", "b.avi", "a.avi", "b.mkv", "c.mp4", "b.mp4"])
    message = refused(capsys, "prepare", same, "-o", tmp_path / "out", *options)
    assert re.search(r"a\.mp4 of lines 2, 4; b\.mp4 of lines 3, 5, 7\)", message)
    assert "c.mp4" not in message

    (tmp_path / "deep").mkdir()
    outside = ["--root", tmp_path / "deep", "--max-short-side", "32"]
    for path in ("../a.mp4", str(tmp_path / "a.mp4")):
        away = write_list(elsewhere / "away.csv", [path])
        assert " is outside " in refused(capsys, "prepare", away, "-o", tmp_path / "out", *outside)
    assert not (tmp_path / "out").exists()

    (tmp_path / "checked").mkdir()
    (tmp_path / "checked" / "report.csv").write_text("path,verdict\n")
    assert "report.csv exists already" in refused(capsys, "prepare", two, "-o", tmp_path / "checked", *options)


def test_odd_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "é" * 125 + ".mp4"
    encode(Path(name), 3)
    file = write_list(tmp_path / "list.csv", [name])
    assert main(["prepare", str(file), "-o", "10:30", "--root", ".", "--max-short-side", "32", "--workers", "1"]) == 0
    with Video(Path("10:30", name)) as video:
        assert video.num_frames == 3


def test_what_cannot_be_read_has_no_copy(tmp_path):
    head = encode(tmp_path / "v.mp4", movflags="+faststart").read_bytes()[:900]
    for name, data in (("noise.mp4", bytes(range(256)) * 40), ("head.mp4", head)):
        (tmp_path / name).write_bytes(data)
        row = prepare_video(str(tmp_path / name), str(tmp_path / "copies" / name), FINE)
        assert row["verdict"] == "unreadable"
        with pytest.raises(VideoError):
            Video(tmp_path / "copies" / name)
