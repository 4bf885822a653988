"""Odd files of kinds that people have: what is read is what is there, as players show it."""

import re
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import count
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from made_videos import copy_packets, decode_everything, encode, turn
from PIL import ExifTags, Image

from cmpl_zoo.tools.check import examine
from cmpl_zoo.tools.prepare import PrepareSettings, prepare_video
from cmpl_zoo.video import Video, VideoError, read_frames, video_info


def write_frames(path: Path, frames: list[av.VideoFrame], codec: str, pix_fmt: str, **options: str) -> Path:
    """A video of these frames, at 25 frames per second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pix_fmt
        for number, frame in enumerate(frames):
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read_one_by_one(path: Path, number: int) -> torch.Tensor:
    return torch.cat([read_frames(path, [index]) for index in range(number)])


# Colors


@pytest.mark.parametrize(("tagged", "read_as"), [("bt2020c", "bt2020nc"), ("ICtCp", "bt2020nc"), ("YCgCo", "bt709")])
def test_colors_of_a_matrix_that_ffmpeg_cannot_convert_by_are_read_by_the_nearest(tmp_path, tagged, read_as):
    """In the video, in its prepared copy, and where `check` says so."""
    files = {}
    for matrix in (tagged, read_as):
        files[matrix] = encode(tmp_path / f"{matrix}.mp4", 12, **{"x264-params": f"colormatrix={matrix}"})
        prepare_video(str(files[matrix]), str(tmp_path / f"{matrix} copy.mp4"), PrepareSettings(24, 12))
    assert torch.equal(read_frames(files[tagged], range(12)), read_frames(files[read_as], range(12)))
    copies = [read_frames(tmp_path / f"{matrix} copy.mp4", range(12)) for matrix in files]
    assert torch.equal(*copies) and copies[0].shape == (12, 24, 32, 3)
    cause = examine(str(files[tagged]))["cause"]
    assert re.fullmatch(r"colors of matrix \d+ of ITU-T H\.273, read as BT\.(2020|709)", cause)
    assert examine(str(files[read_as]))["verdict"] == "ok"


# Side data


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_jpeg_pictures_that_say_how_the_camera_was_held(tmp_path, orientation):
    """As a folder and as Motion JPEG, whose EXIF no PyAV so far has a name for."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    folder = tmp_path / "frames"
    folder.mkdir()
    frames = np.random.default_rng(0).integers(0, 255, (3, 6, 8, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    with av.open(str(tmp_path / "film.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj444p"
        for number, frame in enumerate(frames):
            Image.fromarray(frame).save(file := folder / f"{number}.jpg", exif=exif, quality=95, subsampling=0)
            packet = av.Packet(file.read_bytes())
            packet.stream, packet.pts, packet.dts, packet.is_keyframe = stream, number, number, True
            packet.time_base = Fraction(1, 25)
            container.mux(packet)
    turned = np.rot90(frames, {1: 0, 3: 2, 6: 3, 8: 1}[orientation], axes=(1, 2))
    for path in (folder, tmp_path / "film.avi"):
        found = read_frames(path, [0, 1, 2])
        assert found.shape == turned.shape and np.abs(found.numpy().astype(int) - turned).mean() < 8
        assert examine(str(path), min_frames=1)["verdict"] in ("ok", "odd")


def test_gray_pictures_of_sixteen_bits_lose_the_lower_eight(tmp_path):
    gray = np.linspace(0, 65535, 16 * 16).astype(np.uint16).reshape(16, 16)
    Image.fromarray(gray).save(tmp_path / "0.png")
    assert np.array_equal(read_frames(tmp_path, [0])[0, ..., 0].numpy(), gray >> 8)


# Seeking


def claim_keyframes(source: Path, target: Path, step: int) -> Path:
    """A copy that names every `step`-th packet as a keyframe."""
    numbers = count()

    def claim(packet: av.Packet) -> None:
        packet.is_keyframe = next(numbers) % step == 0

    return copy_packets(source, target, claim)


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("3gp", "h263", {"g": "250"}),
        ("3gp", "mpeg4", {"g": "250"}),
        ("avi", "msmpeg4", {"g": "250"}),
    ],
)
def test_pictures_that_are_called_keyframes_and_are_none(tmp_path, container, codec, options):
    whole = encode(tmp_path / f"whole.{container}", 80, 176, 144, codec=codec, **options)
    path = claim_keyframes(whole, tmp_path / f"v.{container}", 7)
    with av.open(str(path)) as file:
        assert sum(packet.is_keyframe for packet in file.demux(video=0)) > 10
    with Video(path) as video:
        assert sum(1 for _ in video.decode()) == 80
    assert torch.equal(read_one_by_one(path, 80), read_frames(path, range(80)))


def paletted(number: int) -> av.VideoFrame:
    """A picture of 8-bit indices into a palette."""
    rng = np.random.default_rng(0)
    palette = np.full((256, 4), 255, np.uint8)
    palette[:, 1:] = rng.integers(0, 255, (256, 3))
    indices = np.roll(rng.integers(0, 255, (48, 64), dtype=np.uint8), number, axis=1)
    return av.VideoFrame.from_ndarray((indices, palette), format="pal8")


@pytest.mark.parametrize(("container", "codec"), [("avi", "rawvideo"), ("mov", "rawvideo"), ("mov", "png")])
def test_video_with_a_palette(tmp_path, container, codec):
    path = write_frames(tmp_path / f"v.{container}", [paletted(i) for i in range(60)], codec, "pal8")
    everything = decode_everything(path)
    assert everything[30].float().std() > 50  # not black
    assert torch.equal(read_one_by_one(path, 60), everything)


# Frames that do not exist


def without_start(source: Path, target: Path, packets: int) -> Path:
    """A copy without the first packets."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(video=0)):
            if packet.size and number >= packets:
                packet.stream = stream
                new.mux(packet)
    return target


@pytest.mark.parametrize("codec", ["libx264", "mpeg2video"])
@pytest.mark.parametrize("container", ["ts", "mkv", "mp4"])
def test_a_recording_that_starts_inside_a_group_of_pictures(tmp_path, container, codec):
    whole = encode(tmp_path / f"whole.{container}", 90, codec=codec, g="30", bf="2", sc_threshold="0")
    path = without_start(whole, tmp_path / f"v.{container}", 7)
    decoded = len(decode_everything(path))
    with av.open(str(path)) as file:  # an edit list hides some packets
        shown = sum(packet.size > 0 and not packet.is_discard for packet in file.demux(video=0))
    with Video(path) as video:
        assert video.num_frames == len(video.timestamps) == decoded
        assert video.lost_at_start == shown - decoded > 0
        assert video.fps == pytest.approx(25, rel=0.01)
    if codec == "libx264":
        assert decoded == 60  # of the second and the third group
        row = examine(str(path))
        assert (row["verdict"], row["frames"]) == ("odd", 60)
        assert f"between two keyframes: {shown - 60} frames" in row["cause"]


def test_a_recording_joined_to_one_that_starts_inside_a_group_of_pictures(tmp_path):
    path, whole = encode(tmp_path / "v.ts", 40, g="20"), encode(tmp_path / "whole.ts", 60, g="20", bf="0")
    path.write_bytes(path.read_bytes() + without_start(whole, tmp_path / "second.ts", 25).read_bytes())
    with Video(path) as video:
        assert video.num_frames == len(video.timestamps) == len(decode_everything(path)) < 40 + 35


def test_raw_h264_that_starts_inside_a_group_of_pictures(tmp_path):
    source, path = tmp_path / "whole.h264", tmp_path / "v.h264"
    frames = [av.VideoFrame.from_image(Image.new("RGB", (64, 48), (i, 2 * i, 0))) for i in range(90)]
    write_frames(source, frames, "libx264", "yuv420p", g="30", bf="0", **{"x264-params": "repeat-headers=1:scenecut=0"})
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    path.write_bytes(b"".join(packets[12:]))
    assert video_info(path).frames == len(decode_everything(path)) == 60


@pytest.mark.parametrize("codec", ["libx265", "libx264"])
def test_frames_before_the_first_keyframe_of_an_open_group_are_not_counted(tmp_path, codec):
    x26x = {"libx265": "x265-params", "libx264": "x264-params"}[codec]
    settings = "open-gop=1:keyint=20:min-keyint=20:bframes=3:b-adapt=0:scenecut=0"
    whole = encode(tmp_path / "whole.ts", 90, codec=codec, **{x26x: settings + ":log-level=none"})
    with av.open(str(whole)) as container:
        keys = [i for i, packet in enumerate(container.demux(video=0)) if packet.is_keyframe]
    path = without_start(whole, tmp_path / "v.ts", keys[1])
    with Video(path) as video:
        assert video.num_frames == len(decode_everything(path)) < 90 - keys[1]


# The picture as shown


def with_pixels(path: Path, ratio: Fraction, codec: str = "libx264", size: tuple[int, int] = (72, 48)) -> Path:
    """A video that says so of the shape of its pixels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.sample_aspect_ratio = ratio
        for _ in range(12):
            container.mux(stream.encode(av.VideoFrame.from_image(Image.new("RGB", size, (200, 100, 50)))))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "avi"])
@pytest.mark.parametrize(
    ("ratio", "shown"),
    [
        (Fraction(4, 3), (96, 48)),
        (Fraction(16, 11), (105, 48)),
        (Fraction(8, 9), (72, 54)),
        (Fraction(1), (72, 48)),
        (Fraction(639, 640), (72, 48)),
        (Fraction(8), (72, 48)),
    ],
)
def test_pixels_that_are_not_square(tmp_path, container, ratio, shown):
    path = with_pixels(tmp_path / f"v.{container}", ratio)
    info = video_info(path)
    assert (info.width, info.height) == shown
    assert read_frames(path, [0, 11]).shape == (2, shown[1], shown[0], 3)
    row = examine(str(path))
    assert (row["width"], row["height"]) == shown
    assert ("not square" in row["cause"]) == (shown != (72, 48))
    copy = tmp_path / "copy.mp4"
    prepare_video(str(path), str(copy), PrepareSettings(256, 16, copy=True))
    assert abs(video_info(copy).width - shown[0]) <= 1 and abs(video_info(copy).height - shown[1]) <= 1
    with Video(copy) as video:
        assert video.pixel_shape == 1


def test_the_shape_that_the_container_states_overrides_that_of_the_codec(tmp_path):
    source, path = with_pixels(tmp_path / "v.mp4", Fraction(4, 3)), tmp_path / "other.mp4"
    data = source.read_bytes()
    place = data.index(b"pasp") + 4
    path.write_bytes(data[:place] + (3).to_bytes(4, "big") + (2).to_bytes(4, "big") + data[place + 8 :])
    assert (video_info(source).width, video_info(path).width) == (96, 108)


def test_pixels_that_are_not_square_are_enlarged_before_they_are_turned(tmp_path):
    path = with_pixels(tmp_path / "v.mp4", Fraction(4, 3))
    turn(path, 1)
    assert (video_info(path).height, video_info(path).width) == (96, 48)


@pytest.mark.parametrize("container", ["mp4", "mkv"])
def test_a_picture_before_the_video_is_not_the_video(tmp_path, container):
    path = tmp_path / f"v.{container}"
    with av.open(str(path), "w") as container:
        cover = container.add_stream("mjpeg", rate=25)
        cover.width, cover.height, cover.pix_fmt = 200, 200, "yuvj420p"
        video = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        container.mux(cover.encode(av.VideoFrame.from_image(Image.new("RGB", (200, 200)))))
        for _ in range(30):
            container.mux(video.encode(av.VideoFrame(64, 48, "yuv420p")))
        for stream in (cover, video):
            container.mux(stream.encode())
    info = video_info(path)
    assert (info.frames, info.width, info.height) == (30, 64, 48)
    assert read_frames(path, [29]).shape == (1, 48, 64, 3)


def bar(position: int) -> np.ndarray:
    image = np.full((96, 128, 3), 60, np.uint8)
    image[:, position % 100 : position % 100 + 24] = 230
    return image


def weave(pictures: list[np.ndarray]) -> list[av.VideoFrame]:
    """Interlaced frames: the even lines of each come from one picture, the odd ones from the next."""
    graph = av.filter.Graph()
    source = graph.add_buffer(width=128, height=96, format=av.VideoFormat("yuv420p"), time_base=Fraction(1, 25))
    graph.link_nodes(source, graph.add("setfield", "tff"), graph.add("buffersink")).configure()
    frames = []
    for even, odd in zip(pictures[::2], pictures[1::2], strict=True):
        woven = even.copy()
        woven[1::2] = odd[1::2]
        graph.push(av.VideoFrame.from_ndarray(woven, format="rgb24").reformat(format="yuv420p"))
        frames.append(graph.vpull())
    return frames


@pytest.mark.parametrize(
    ("container", "codec", "options"),
    [
        ("mpg", "mpeg2video", {"flags": "+ildct+ilme", "b": "5M", "bf": "0"}),
        ("mkv", "libx264", {"flags": "+ildct", "crf": "10"}),
    ],
)
def test_interlaced_video(tmp_path, container, codec, options):
    path = write_frames(
        tmp_path / f"v.{container}", weave([bar(3 * i) for i in range(60)]), codec, "yuv420p", **options
    )
    row = examine(str(path))
    assert (row["verdict"], row["frames"]) == ("odd", 30)
    assert "30 interlaced frames" in row["cause"]

    copy = tmp_path / "copy.mp4"
    assert prepare_video(str(path), str(copy), PrepareSettings(256, 8, crf=5))["frames"] == 30
    truth = torch.from_numpy(np.stack([bar(6 * number) for number in range(30)])).float()
    before, after = ((read_frames(file, range(30)).float() - truth).abs()[4:-4].mean() for file in (path, copy))
    assert after < 0.4 * before
    with Video(copy) as video:
        assert not any(frame.interlaced_frame for frame in video.decode())
        assert video.timestamps == pytest.approx([i / 25 for i in range(30)], abs=0.002)


@pytest.mark.parametrize(("transfer", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_becomes_bt709(tmp_path, transfer, name):
    """Reference white of HDR, 203 cd/m2, which is gray as it is stored, is near white in the copy."""
    code = {"PQ": 0.58, "HLG": 0.75}[name]  # ITU-R BT.2408, table 1
    frames = []
    for _ in range(12):
        frame = av.VideoFrame(64, 48, "yuv420p10le")
        for plane, value in zip(frame.planes, (64 + 876 * code, 512, 512), strict=True):
            plane.update(np.full(plane.buffer_size // 2, round(value), np.uint16).tobytes())
        frame.color_trc, frame.color_primaries, frame.colorspace, frame.color_range = transfer, 9, 9, 1
        frames.append(frame)
    settings = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:log-level=none"
    path = write_frames(tmp_path / "v.mp4", frames, "libx265", "yuv420p10le", **{"x265-params": settings})
    assert f"HDR ({name})" in examine(str(path))["cause"]
    copy = tmp_path / "copy.mp4"
    assert prepare_video(str(path), str(copy), PrepareSettings(256, 8, crf=5))["verdict"] == "encoded"
    stored, shown = (float(read_frames(file, [5]).float().mean()) for file in (path, copy))
    assert stored == pytest.approx(255 * code, abs=6)
    assert shown > stored + 30
    assert examine(str(copy))["cause"] == ""


# True causes


def animated(path: Path, number: int) -> Path:
    images = [Image.new("RGB", (32, 24), (20 * i, 255 - 20 * i, 7)) for i in range(number)]
    images[0].save(path, save_all=True, append_images=images[1:], lossless=True, duration=80)
    return path


def test_animated_webp(tmp_path):
    path = animated(tmp_path / "v.webp", 10)
    assert (video_info(path).frames, video_info(path).width, video_info(path).height) == (10, 32, 24)
    colors = read_frames(path, [9, 0, 4, 40])[:, 0, 0].tolist()
    assert colors == [[180, 75, 7], [0, 255, 7], [80, 175, 7], [180, 75, 7]]
    assert (examine(str(path))["verdict"], examine(str(path))["frames"]) == ("ok", 10)
    assert prepare_video(str(path), str(tmp_path / "copy.mp4"), PrepareSettings(64, 8))["frames"] == 10
    named_mp4 = path.rename(tmp_path / "v.mp4")
    assert video_info(named_mp4).frames == 10
    cut = tmp_path / "cut.webp"
    cut.write_bytes(named_mp4.read_bytes()[:60])
    with pytest.raises(VideoError, match=r"cut\.webp: "):
        read_frames(cut, [0])


def test_animated_png(tmp_path):
    images = [Image.new("RGB", (32, 24), (20 * i, 0, 7)) for i in range(10)]
    images[0].save(tmp_path / "v.apng", format="PNG", save_all=True, append_images=images[1:], duration=80)
    assert video_info(tmp_path / "v.apng").frames == 10
    assert read_frames(tmp_path / "v.apng", [9])[0, 0, 0].tolist() == [180, 0, 7]


def write_bytes(data: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(data) and None


def write_header(format: str, **options: str) -> Callable[[Path], None]:
    """A file of a recording that stopped before its first frame."""

    def write(path: Path) -> None:
        with av.open(str(path), "w", format=format, options=options) as container:
            stream = container.add_stream("mpeg4" if format != "flv" else "flv1", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            container.start_encoding()

    return write


def write_sound(path: Path) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        sound = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        sound.sample_rate = 48000
        for packet in (*stream.encode(sound), *stream.encode()):
            container.mux(packet)


@pytest.mark.parametrize(
    ("write", "cause"),
    [
        (write_bytes(b"<!DOCTYPE html>\n<html><head><title>404</title></head></html>"), "web page"),
        (write_bytes(b'\xef\xbb\xbf\n<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>'), "XML"),
        (write_bytes(b'{"error": {"code": 403}}'), "JSON"),
        (write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"), "git lfs pull"),
        (write_bytes(b"Too many requests\n"), "text.*'Too many requests'"),
        (write_bytes(bytes(100_000)), "zeros.*download it again"),
        (write_bytes(b"Rar!\x1a\x07\x01\x00" + bytes(range(256))), "RAR"),
        (write_bytes(b"PK\x03\x04" + bytes(range(256))), "ZIP"),
        (write_header("mp4"), "without a frame"),
        (write_header("mp4", movflags="frag_keyframe+empty_moov"), "without a frame"),
        (write_header("matroska"), "without a frame"),
        (write_header("avi"), "without a frame"),
        (write_header("flv"), "without a frame"),
        (write_sound, "no video.*holds sound"),
    ],
)
def test_what_is_named_mp4_and_is_no_video(tmp_path, write, cause):
    path = tmp_path / "v.mp4"
    write(path)
    with pytest.raises(VideoError, match=rf"v\.mp4: .*{cause}") as error:
        video_info(path)
    assert "damaged" not in str(error.value)
    row = examine(str(path))
    assert row["verdict"] == "unreadable" and re.search(cause, row["cause"])


def test_too_many_open_files_are_no_fault_of_the_video(tmp_path):
    path = encode(tmp_path / "v.mp4")
    code = f"""
import resource
from cmpl_zoo.storage.remote import StorageError
from cmpl_zoo.video import video_info
opened = []
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
try:
    while True:
        opened.append(open({str(path)!r}))
except OSError:
    pass
try:
    video_info({str(path)!r})
except StorageError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert re.search(r"v\.mp4: .*too many files are open.*ulimit -n", done.stdout), done.stderr
