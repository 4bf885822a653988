"""When each frame is shown: timestamps and rates, and files that do not tell them."""

from fractions import Fraction
from itertools import count, pairwise

import av
import numpy as np
import pytest
from made_videos import copy_packets, encode
from PIL import Image

from cmpl_zoo.video import Video, video_info

UNEVEN = [0, 40, 80, 200, 240, 500, 533, 566, 600, 1000, 1040, 1080]  # milliseconds


@pytest.mark.parametrize("bframes", ["0", "3"])
@pytest.mark.parametrize("container", ["mp4", "mkv", "ts", "flv"])
def test_times_of_a_variable_rate(tmp_path, container, bframes):
    path = encode(tmp_path / f"v.{container}", len(UNEVEN), times=UNEVEN, bf=bframes, b_strategy="0")
    with Video(path) as video:
        assert video.timed
        assert video.timestamps == pytest.approx([time / 1000 for time in UNEVEN], abs=0.0011)
        assert video.timestamps[0] == 0
        assert video.fps == video_info(path).fps == pytest.approx(11 / 1.08, rel=0.01)


@pytest.mark.parametrize("container", ["mp4", "avi", "mkv"])
def test_times_of_an_even_rate_are_known_without_decoding(tmp_path, container, monkeypatch):
    path = encode(tmp_path / f"v.{container}", 50, bf="2")
    monkeypatch.setattr(Video, "_decode_from_start", lambda self: pytest.fail("decodes"))
    if container != "mkv":
        monkeypatch.setattr(Video, "_packets", property(lambda self: pytest.fail("reads all packets")))
    with Video(path) as video:
        assert (video.timed, video.fps) == (True, 25)
        assert video.timestamps == pytest.approx([i / 25 for i in range(50)], abs=0.0011)


def test_recordings_of_two_rates_that_are_joined_keep_their_times(tmp_path):
    """24 and 25 frames a second differ by less than the rounding of timestamps."""
    times = [round(i * 1000 / 24) for i in range(200)] + [8333 + 40 * i for i in range(200)]
    path = encode(tmp_path / "joined.mp4", len(times), times=times, bf="0")
    with Video(path) as video:
        assert video.timestamps == pytest.approx([time / 1000 for time in times], abs=0.0011)
    with Video(f"{path}#t=9,10") as segment:
        assert segment.num_frames == 25


def test_the_rate_of_a_file_without_timestamps_is_that_of_its_codec(tmp_path):
    def forget(packet: av.Packet) -> None:
        packet.pts = packet.dts = 0

    whole = encode(tmp_path / "whole.mp4", 40, bf="0")
    raw = tmp_path / "raw.h264"
    with av.open(str(raw), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height = 64, 48
        for _ in range(40):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
        container.mux(stream.encode())
    numbers = count()

    def squeeze(packet: av.Packet) -> None:
        packet.pts = packet.dts = next(numbers)

    zero = copy_packets(whole, tmp_path / "zero.mp4", forget)
    ticks = copy_packets(whole, tmp_path / "ticks.mp4", squeeze)  # 12,800 frames a second
    for path, fps in ((zero, 25), (ticks, 25), (raw, 30)):
        with Video(path) as video:
            assert (video.timed, video.fps, video.num_frames) == (False, fps, 40)
            assert video.timestamps == pytest.approx([i / fps for i in range(40)])


def test_two_recordings_joined_have_the_rate_of_the_codec(tmp_path):
    """The clock of the second one starts anew, so that the times of all frames together mean nothing."""
    path = encode(tmp_path / "v.ts", 30)
    later = encode(tmp_path / "later.ts", 25, times=[20 + 40 * i for i in range(25)])
    path.write_bytes(path.read_bytes() + later.read_bytes())
    with Video(path) as video:
        assert (video.timed, video.fps, video.num_frames) == (False, 25, 55)
        assert video.timestamps == pytest.approx([i / 25 for i in range(55)])


def test_raw_dv(tmp_path):
    path = tmp_path / "v.dv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("dvvideo", rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = 720, 480, "yuv411p"
        for _ in range(12):
            container.mux(stream.encode(av.VideoFrame(720, 480, "yuv411p")))
        container.mux(stream.encode())
    assert video_info(path).fps == pytest.approx(30000 / 1001)
    assert video_info(path).frames == 12


def test_folders_and_arrays_have_no_rate(tmp_path):
    np.save(tmp_path / "frames.npy", np.zeros((4, 8, 8, 3), np.uint8))
    (tmp_path / "folder").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "folder" / "1.png")
    for name in ("frames.npy", "folder"):
        with Video(tmp_path / name) as video:
            assert (video.timed, video.fps, video.timestamps) == (False, None, None)


def test_a_file_that_breaks_off_has_a_time_for_each_frame_that_it_states(tmp_path):
    times = [40 * i + 5 * (i % 3) for i in range(90)]
    whole = encode(tmp_path / "whole.mp4", 90, times=times, bf="3", movflags="+faststart").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) * 3 // 4])
    with Video(path) as video:
        assert video.num_frames == len(video.timestamps) == 90
        assert len(video._packets) < 80
        assert video.timestamps[:20] == pytest.approx([time / 1000 for time in times[:20]])
        assert all(a < b for a, b in pairwise(video.timestamps))
