"""Frames of real files, against a plain decode of everything; and files that are none."""

import contextlib
import os
import random
import re
import subprocess
import sys
import wave
import weakref
import zipfile
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
import torch
from made_videos import decode_everything, truth_of, turn
from PIL import Image

from cmpl_zoo.video import seeking, video
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.video import Video, VideoInfo, read_frames, video_info

REPO = Path(__file__).resolve().parents[1]
CLIPS = (
    "arm_wrestling.mp4", "asl_thanks.mkv", "av1.mkv", "corrupted.mp4", "flipping_a_pancake.mkv", "h264_10bit.mp4",
    "hevc.mp4", "nasa_two_audio.mp4", "newtonscradle.gif", "no_duration.webm", "one_pixel.mp4", "rotation_0.mov",
    "rotation_90.mov", "unordered.mov", "v_ApplyEyeMakeup_g01_c01.avi", "v_BaseballPitch_g01_c01.avi",
)  # fmt: skip


@pytest.fixture(scope="session")
def clips(shared_data) -> Path:
    return shared_data / "clips"


def encode(path: Path, frames: int, codec: str = "libx264", **options: str) -> Path:
    """A small video whose frames differ, made here."""
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(frames):
            image = np.roll(picture, 3 * i, axis=1)
            image[:8, : 1 + i % 64] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def check_random_access(path: Path) -> None:
    """Any frames in any order, from a file opened for them and from one that stays open."""
    everything = decode_everything(path)
    assert video_info(path).frames == len(everything) == 150
    rng = random.Random(path.name)
    wanted = [[149], [75, 76], [1, 60, 148], list(range(40, 110, 10)), list(range(0, 64, 8)), [130, 20], [0, 149]]
    wanted += [[rng.randrange(150) for _ in range(rng.randrange(1, 9))] for _ in range(6)]
    wanted += [[index] for index in range(30, 42)]
    with Video(path) as video:
        assert video.num_frames == 150
        for indices in wanted:
            assert torch.equal(read_frames(path, indices), everything[indices])
            assert torch.equal(video.read(indices), everything[indices])


def test_every_clip_is_tested(clips):
    assert {p.name for p in clips.iterdir() if p.is_file()} - {"probe.json"} == set(CLIPS)


@pytest.mark.parametrize("name", CLIPS)
def test_same_pixels_as_decoding_everything_and_picking(clips, name):
    everything = decode_everything(clips / name)
    count = len(everything)
    rng = random.Random(name)
    wanted = [[0], [count - 1], [count // 2], [count - 1, 0, 0], [count, count + 40], list(range(0, count, 5))]
    wanted += [[rng.randrange(count) for _ in range(5)] for _ in range(4)]
    for indices in wanted:
        frames, delivered = read_frames(clips / name, indices, return_indices=True)
        assert delivered == [min(i, count - 1) for i in indices]
        assert frames.dtype == torch.uint8
        assert torch.equal(frames, everything[delivered])
    with Video(clips / name) as video:  # one open file, many reads
        for indices in wanted[::-1]:
            assert torch.equal(video.read(indices), everything[[min(i, count - 1) for i in indices]])

    truth = truth_of(clips)[name]
    info = video_info(clips / name)
    # A count in the header is believed, even that of the file that is broken half-way.
    assert info.frames == truth["header_frames"] or info.frames == truth["decoded_frames"] == count
    assert truth["header_frames"] or info.frames == count
    width, height = truth["size"] if truth["rotation"] % 180 == 0 else reversed(truth["size"])
    assert (info.width, info.height) == (width, height)
    assert info.fps == pytest.approx(truth["fps"], rel=0.01) or truth["vfr"] or name.endswith("gif")


@pytest.mark.parametrize("container, counted", [("mp4", True), ("avi", True), ("mkv", False), ("ts", False)])
def test_probe(tmp_path, container, counted):
    path = encode(tmp_path / f"v.{container}", 60)
    with av.open(str(path)) as file:
        assert bool(file.streams.video[0].frames) == counted, "a count in the header, or none"
    assert video_info(path) == VideoInfo(frames=60, fps=25.0, width=64, height=48)


def pictures(folder: Path, count: int) -> Path:
    """A folder of pictures that differ, in JPEG."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        coarse = rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)
        Image.fromarray(coarse.repeat(8, 0).repeat(8, 1)).save(folder / f"img_{number:05d}.jpg")
    return folder


def test_folder_of_frames_in_natural_order(tmp_path):
    folder = pictures(tmp_path / "pictures", 17)
    names = sorted(p.name for p in folder.iterdir())
    frames = read_frames(folder, [2, 0, 999])
    for frame, name in zip(frames, [names[2], names[0], names[-1]], strict=True):
        assert np.array_equal(frame.numpy(), np.array(Image.open(folder / name).convert("RGB")))
    assert video_info(folder).frames == 17
    odd = tmp_path / "odd"
    odd.mkdir()
    for number in (10, 9, 1):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(odd / f"f{number}.png")
        (odd / f"._f{number}.png").write_bytes(b"what a Mac's archive holds beside it")
    assert read_frames(odd, [0, 1, 2])[:, 0, 0, 0].tolist() == [1, 9, 10]


def test_decoded_frames_in_a_file(tmp_path):
    frames = read_frames(encode(tmp_path / "v.mp4", 20), range(12))
    np.save(tmp_path / "frames.npy", frames.numpy())
    wanted = [3, 3, 0, 11, 40]
    got, delivered = read_frames(tmp_path / "frames.npy", wanted, return_indices=True)
    assert delivered == [3, 3, 0, 11, 11]
    assert (got == frames[delivered]).all()
    info = video_info(tmp_path / "frames.npy")
    assert (info.frames, info.fps, info.height, info.width) == (12, None, *frames.shape[1:3])


@pytest.mark.parametrize("kind", ["video", "from keyframes", "folder", "decoded"])
def test_frames_are_made_smaller_one_by_one(tmp_path, kind):
    """What `each` makes is all that is kept: one full frame is alive at a time, and none is made twice."""
    match kind:
        case "video":
            path = encode(tmp_path / "v.avi", 96, "mpeg4")
        case "from keyframes":
            path = encode(tmp_path / "v.mp4", 96, g="12", sc_threshold="0")
        case "folder":
            path = pictures(tmp_path / "pictures", 17)
        case "decoded":
            path = tmp_path / "frames.npy"
            np.save(path, np.random.default_rng(0).integers(0, 255, (10, 48, 64, 3), dtype=np.uint8))
    alive: list[weakref.ref[torch.Tensor]] = []

    def corner(frame: torch.Tensor) -> torch.Tensor:
        assert not any(reference() is not None for reference in alive)
        alive.append(weakref.ref(frame))
        return frame[:4, :4].clone()

    indices = [7, 0, 5, 7, 10**6]
    with Video(path) as video:
        small = video.read(indices, corner)
        assert torch.equal(small, video.read(indices)[:, :4, :4])
    assert len(alive) == 4


@pytest.mark.parametrize(
    "kind", ["missing", "empty", "text", "cut", "pickled", "floats", "one frame", "no frame", "archive"]
)
def test_files_of_anything_else_but_decoded_frames(tmp_path, kind):
    file = tmp_path / "frames.npy"
    np.save(file, np.zeros((4, 8, 8, 3), np.float32 if kind == "floats" else np.uint8))
    if kind in ("one frame", "no frame", "pickled"):
        shape = {"one frame": (8, 8, 3), "no frame": (0, 8, 8, 3), "pickled": (1, 1, 1, 3)}[kind]
        np.save(file, np.zeros(shape, object if kind == "pickled" else np.uint8), allow_pickle=True)
    elif kind == "missing":
        file.unlink()
    elif kind == "archive":
        with file.open("wb") as archive:
            np.savez(archive, np.zeros((4, 8, 8, 3), np.uint8))
    elif kind != "floats":
        file.write_bytes({"empty": b"", "text": b"no frames", "cut": file.read_bytes()[:-50]}[kind])
    with pytest.raises(VideoError, match=r"frames\.npy: "):
        read_frames(file, [0])


def test_damaged_headers_of_decoded_frames_are_refused(tmp_path):
    file = tmp_path / "frames.npy"
    np.save(file, np.zeros((4, 8, 8, 3), np.uint8))
    whole = file.read_bytes()
    rng = random.Random(0)
    for _ in range(500):
        damaged = bytearray(whole)
        for _ in range(3):
            damaged[rng.randrange(128)] = rng.randrange(256)
        file.write_bytes(damaged)
        with contextlib.suppress(VideoError):
            read_frames(file, [0])


@pytest.mark.parametrize("gop", ["4", "16", "250"])
@pytest.mark.parametrize("bframes", ["0", "1", "3"])
@pytest.mark.parametrize("container", ["mp4", "mkv", "avi", "ts"])
def test_passing_over_packets_changes_no_pixel(tmp_path, gop, bframes, container):
    check_random_access(encode(tmp_path / f"v.{container}", 150, g=gop, bf=bframes, b_strategy="0"))


@pytest.mark.parametrize(
    "codec, options",
    [
        ("libx264", {"x264-params": "open-gop=1:keyint=24:bframes=5"}),
        ("libx264", {"x264-params": "b-pyramid=none:keyint=30"}),
        ("libx264", {"x264-params": "ref=16:bframes=16:keyint=60:direct=temporal"}),
        ("libx264", {"x264-params": "intra-refresh=1:keyint=30"}),
        ("libx264", {"x264-params": "slices=4:aud=1:repeat-headers=1:keyint=20"}),
        ("libx264", {"x264-params": "interlaced=1:tff=1:keyint=20"}),
        ("libx265", {"x265-params": "keyint=24:bframes=4:log-level=none"}),
        ("libx265", {"x265-params": "open-gop=1:keyint=24:temporal-layers=3:log-level=none"}),
        ("mpeg2video", {"g": "15", "bf": "2"}),
        ("mpeg4", {"g": "20", "bf": "2"}),
        ("libvpx-vp9", {"g": "30", "auto-alt-ref": "1", "lag-in-frames": "25", "cpu-used": "8"}),
        ("libvpx", {"g": "30", "auto-alt-ref": "1", "lag-in-frames": "16"}),
        ("ffv1", {}),
    ],
)
def test_whatever_refers_to_what(tmp_path, codec, options):
    check_random_access(encode(tmp_path / "v.mkv", 150, codec, **options))


@pytest.fixture
def decoded(monkeypatch) -> list[int]:
    """Timestamps of the frames that are decoded from here on."""
    timestamps = []
    original = seeking.decode_packets

    def counting(*args):
        for frame in original(*args):
            timestamps.append(frame.pts)
            yield frame

    for module in (seeking, video):
        monkeypatch.setattr(module, "decode_packets", counting)
    return timestamps


def test_a_late_frame_costs_no_decoding_of_all_before(tmp_path, decoded):
    path = encode(tmp_path / "v.mp4", 200, g="25", bf="0")
    read_frames(path, [190])
    assert len(decoded) == 1 + 16  # the first, for its size, and from the keyframe at 175
    decoded.clear()
    read_frames(path, [3])
    assert len(decoded) == 4


def test_frames_that_none_refers_to_are_not_decoded(tmp_path, decoded):
    path = encode(tmp_path / "v.mp4", 200, g="250", **{"x264-params": "bframes=3:b-adapt=0:b-pyramid=none:scenecut=0"})
    read_frames(path, [190])
    assert len(decoded) == 1 + 48 + 1  # one in four up to 188, then 192, and 190 between these two


def test_a_header_that_speaks_of_reordering_where_there_is_none_costs_two_frames_a_seek(tmp_path, decoded):
    """x264 declares B-frames by its settings, and may then find no use for any."""
    path = encode(tmp_path / "v.mp4", 200, g="25", **{"x264-params": "bframes=2:b-adapt=1:b-bias=-100"})
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        times = [packet.pts for packet in container.demux(stream) if packet.size]
        assert stream.codec_context.reorder_depth > 0 and times == sorted(times)
    read_frames(path, [190])
    assert len(decoded) <= (1 + 2) + (16 + 2)


@pytest.mark.parametrize("gop", ["4", "16", "250"])
@pytest.mark.parametrize("bframes", ["1", "3", "8"])
def test_timestamps_of_decoding_are_not_taken_for_those_of_presentation(tmp_path, gop, bframes):
    """As an MP4 has them that was made of an AVI without encoding again."""
    whole = encode(tmp_path / "whole.mp4", 150, g=gop, bf=bframes, b_strategy="0")
    path = tmp_path / "v.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        start = packets[0].dts
        for packet in packets:
            packet.pts = packet.dts = packet.dts - start
            packet.stream = copy
            target.mux(packet)
    check_random_access(path)


def test_one_open_file_serves_count_and_reads(tmp_path, monkeypatch):
    path = encode(tmp_path / "v.mp4", 200, g="16")
    opened, original = [], av.open
    monkeypatch.setattr(av, "open", lambda *args, **kwargs: (opened.append(args), original(*args, **kwargs))[1])
    with Video(path) as video:
        assert video.num_frames == 200
        video.read(range(20, 84, 8))
        video.read(range(36, 68, 4))
        video.read([199, 0])
    assert len(opened) == 1


def test_what_fills_a_damaged_frame_is_as_in_a_plain_decode(tmp_path):
    """Blocks that are lost are filled from the frame decoded before, which may be one that no other refers to."""
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"g": "250", "bf": "2", "qp": "20"})
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv420p"
        rng = np.random.default_rng(0)
        for _ in range(280):
            coarse = rng.integers(0, 255, (16, 20, 3), dtype=np.uint8)  # nothing to predict: every packet is large
            image = coarse.repeat(8, 0).repeat(8, 1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    whole = decode_everything(path)
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    for packet in packets[100:130]:
        assert packet.size > 400
        data[packet.pos + 200 : packet.pos + 240] = random.Random(0).randbytes(40)
    path.write_bytes(data)
    everything = decode_everything(path)
    assert len(everything) == 280
    assert not torch.equal(everything[100:130], whole[100:130]) and torch.equal(everything[:90], whole[:90])
    for indices in ([160], [20, 104, 126, 140], list(range(98, 162, 8))):
        assert torch.equal(read_frames(path, indices), everything[indices])


@pytest.mark.parametrize("container", ["webm"])
def test_packets_of_vp8_that_are_never_shown_are_not_counted(tmp_path, container):
    path = encode(tmp_path / f"v.{container}", 60, "libvpx", **{"auto-alt-ref": "1", "lag-in-frames": "16"})
    assert video_info(path).frames == len(decode_everything(path)) == 60


def make_bad(kind: str, folder: Path) -> Path:
    path = folder / f"{kind}.mp4"
    match kind:
        case "missing":
            pass
        case "empty":
            path.touch()
        case "text":
            path.write_text("this is not a video\n" * 50)
        case "text as txt":
            path = folder / "notes.txt"
            path.write_text("this is not a video\n" * 50)
        case "first kilobyte":
            path.write_bytes(encode(folder / "good.mp4", 20, movflags="+faststart").read_bytes()[:1024])
        case "noise":
            path.write_bytes(random.Random(0).randbytes(20_000))
        case "noise after the header":
            source = encode(folder / "good.avi", 100, "mpeg4")
            with av.open(str(source)) as container:
                first = next(container.demux(video=0)).pos
            path = folder / "noise.avi"
            path.write_bytes(source.read_bytes()[:first] + random.Random(0).randbytes(40_000))
        case "a frame of half a gigabyte":
            data = bytearray(encode(folder / "good.mp4", 20).read_bytes())
            data[data.index(b"stsz") + 16] = 0x20
            path.write_bytes(data)
        case "zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a.txt", "a")
        case "sound":
            path = folder / "sound.wav"
            with wave.open(str(path), "wb") as sound:
                sound.setparams((1, 2, 8000, 0, "NONE", ""))
                sound.writeframes(bytes(16000))
        case "empty folder":
            path.mkdir()
        case "folder of text":
            path.mkdir()
            (path / "a.txt").write_text("a")
        case "broken pictures":
            path.mkdir()
            (path / "1.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
        case "playlist":
            path = folder / "list.m3u8"
            path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:1/x.ts\n")
        case "a pipe":
            os.mkfifo(path)
        case "an address":
            return Path("http:/127.0.0.1:1/video.mp4")
    return path


@pytest.mark.parametrize(
    "kind",
    ["missing", "empty", "text", "text as txt", "first kilobyte", "noise", "noise after the header",
     "a frame of half a gigabyte", "zip", "sound", "empty folder", "folder of text", "broken pictures", "playlist",
     "a pipe", "an address"],
)  # fmt: skip
@pytest.mark.timeout(60)
def test_what_cannot_be_read_names_file_and_cause(tmp_path, kind):
    path = make_bad(kind, tmp_path)
    for read in (video_info, lambda p: read_frames(p, [0, 8])):
        with pytest.raises(VideoError) as caught:
            read(path)
        message = str(caught.value)
        assert message.startswith(str(path))
        assert ": " in message[len(str(path)) :]
        assert "\n" not in message


@pytest.mark.parametrize(
    "indices, error",
    [
        ([], ValueError),
        ([-1], ValueError),
        ([3, -2], ValueError),
        ([3.7], TypeError),
        (torch.tensor([1.5]), TypeError),
        (torch.zeros(2, 2, dtype=torch.long), TypeError),
    ],
)
def test_indices_are_whole_numbers_from_0(tmp_path, indices, error):
    path = encode(tmp_path / "v.mp4", 5)
    assert len(read_frames(path, [0, 4])) == 2
    with pytest.raises(error, match="whole numbers from 0" if error is ValueError else None):
        read_frames(path, indices)


def test_a_video_whose_end_is_missing_gives_its_last_frame(tmp_path):
    whole = encode(tmp_path / "whole.avi", 107, "mpeg4").read_bytes()
    path = tmp_path / "cut.avi"
    path.write_bytes(whole[: len(whole) // 2])
    everything = decode_everything(path)
    frames, delivered = read_frames(path, [0, 106], return_indices=True)
    assert delivered == [0, len(everything) - 1]
    assert torch.equal(frames, everything[delivered])


def test_names_with_anything_in_them(tmp_path):
    good = encode(tmp_path / "good.mp4", 5).read_bytes()
    for name in ("a b é %03d.mp4", "http:x.mp4", "-i.mp4", "pipe:0"):
        path = tmp_path / name
        path.write_bytes(good)
        assert len(read_frames(path, [1, 2])) == 2


def test_errors_survive_worker_processes():
    import pickle

    assert str(pickle.loads(pickle.dumps(VideoError("a.mp4: broken")))) == "a.mp4: broken"


def test_a_thousand_reads_leave_memory_and_handles_alone(tmp_path):
    bad, good = make_bad("first kilobyte", tmp_path), encode(tmp_path / "v.mp4", 30)
    process = psutil.Process()

    def read(times: int) -> None:
        for _ in range(times):
            read_frames(good, [20])
            with pytest.raises(VideoError):
                read_frames(bad, [0])

    read(100)
    memory, handles = process.memory_info().rss, process.num_fds()
    read(1000)
    assert process.num_fds() == handles
    assert process.memory_info().rss - memory < 20 * 2**20


@pytest.mark.parametrize("copies", [60, pytest.param(2000, marks=pytest.mark.release)])
def test_damaged_files_are_read_or_refused(tmp_path, copies):
    """Flipped bits, cuts, swapped heads, zeros and noise, in a process that a crash or a hang would not survive."""
    data = Path(os.environ.get("CMPL_DATA", REPO.parent / "shared" / "data"))
    if not data.is_dir():
        data = tmp_path
        (data / "clips").mkdir()
        for name, codec in {"a.mp4": "libx264", "b.avi": "mpeg4", "c.mkv": "libx265", "d.webm": "libvpx-vp9",
                            "e.ts": "mpeg2video"}.items():  # fmt: skip
            encode(data / "clips" / name, 120, codec)
    command = [sys.executable, "benchmarks/damage.py", "--data", data, "--copies", str(copies)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    read, refused = map(int, re.findall(r"(?:read|refused): (\d+)", done.stdout))
    assert read + refused == copies
    assert read > copies / 3 and refused > copies / 10


def test_an_edit_list_hides_frames_from_count_and_reads(tmp_path):
    """A cut without encoding again: the samples before the cut stay in the file, and are never shown."""
    whole, path = encode(tmp_path / "whole.mp4", 150, g="25"), tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        for packet in source.demux(stream):
            if packet.size:
                packet.pts -= int(40 / 25 / stream.time_base)
                packet.dts -= int(40 / 25 / stream.time_base)
                packet.stream = copy
                target.mux(packet)
    everything = decode_everything(path)
    assert video_info(path).frames == len(everything) == 110
    for indices in ([0], [109], [5, 60, 100]):
        assert torch.equal(read_frames(path, indices), everything[indices])


def test_frames_of_another_size_come_in_that_of_the_first(tmp_path):
    path = encode(tmp_path / "v.ts", 30)
    large = tmp_path / "large.ts"
    with av.open(str(large), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 96, 80
        for _ in range(30):
            container.mux(stream.encode(av.VideoFrame(96, 80, "yuv420p")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes() + large.read_bytes())
    both = read_frames(path, [0, 45])
    assert both.shape == (2, 48, 64, 3)
    assert torch.equal(read_frames(path, [45]), both[1:])


def test_no_seek_where_the_first_packets_make_no_frame(tmp_path):
    source = encode(tmp_path / "whole.mp4", 240, g="50")
    with av.open(str(source)) as container:
        first = next(container.demux(video=0))
    data = bytearray(source.read_bytes())
    data[first.pos : first.pos + first.size] = b"\xff" * first.size
    path = tmp_path / "headless.mp4"
    path.write_bytes(data)
    early, delivered = read_frames(path, range(200), return_indices=True)
    assert delivered[-1] < 199
    late, last = read_frames(path, [199], return_indices=True)
    assert last == delivered[-1:]
    assert torch.equal(late, early[-1:])


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", range(4))
def test_turned_and_mirrored(tmp_path, turns, mirrored):
    """Every way a file can ask to be shown, written into its track header."""
    path = encode(tmp_path / "v.mp4", 60, g="25")
    stored = decode_everything(path).numpy()
    turn(path, turns, mirrored)
    expected = np.rot90(stored[:, :, ::-1] if mirrored else stored, turns, axes=(1, 2))
    for indices in ([0], [55, 30]):
        assert np.array_equal(read_frames(path, indices).numpy(), expected[indices])
    assert (video_info(path).height, video_info(path).width) == expected.shape[1:3]


def test_the_start_of_a_file_without_a_count_is_read_without_going_through_it(tmp_path, monkeypatch):
    path = encode(tmp_path / "v.mkv", 60)
    monkeypatch.setattr(Video, "_packets", property(lambda self: pytest.fail("went through all packets")))
    read_frames(path, [0, 8, 16])


def test_a_list_of_other_files_is_no_video(tmp_path):
    encode(tmp_path / "part.mp4", 5)
    path = tmp_path / "list.mp4"
    path.write_text("ffconcat version 1.0\nfile part.mp4\n")
    with pytest.raises(VideoError, match="no video stream"):
        read_frames(path, [0])


def test_folder_with_odd_names(tmp_path):
    for name in ("²1.png", "1.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    assert len(read_frames(tmp_path, [0, 1])) == 2
