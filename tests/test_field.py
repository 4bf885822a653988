"""Odd files from the field: what each must give."""

import torch

from cmpl_zoo.tools.check import examine
from cmpl_zoo.tools.prepare import PrepareSettings, prepare_video
from cmpl_zoo.video import Video, read_frames, video_info


def test_files_of_the_field(shared_data, tmp_path):
    field = shared_data / "field"
    shown = {  # frames, width, height
        "wrong_sync_table.3gp": (222, 192, 144),
        "pal8.avi": (50, 96, 72),
        "midgop_long.ts": (50, 320, 240),
        "cover_plain_first.mp4": (50, 320, 240),
        "sar_4_3.mp4": (10, 1920, 1080),
        "i30.mpg": (30, 720, 480),
        "anim.webp": (10, 320, 240),
        "../clips/nasa_two_audio.mp4": (390, 480, 270),
    }
    for name, size in shown.items():
        info = video_info(field / name)
        assert (info.frames, info.width, info.height) == size, name

    for name in ("wrong_sync_table.3gp", "pal8.avi"):
        everything = read_frames(field / name, range(shown[name][0]))
        for index in range(0, len(everything), 3):
            assert torch.equal(read_frames(field / name, [index])[0], everything[index]), (name, index)

    causes = {
        "midgop_long.ts": ("odd", "214 frames"),
        "sar_4_3.mp4": ("odd", "not square"),
        "i30.mpg": ("odd", "30 interlaced frames"),
        "hdr_pq.mp4": ("odd", "HDR (PQ)"),
        "hdr_pq_reference_sdr.mp4": ("ok", ""),
        "trunc_faststart.mp4": ("truncated", "after 37 frames"),
    }
    for name, (verdict, cause) in causes.items():
        row = examine(str(field / name))
        assert row["verdict"] == verdict and cause in row["cause"], name

    def prepared(name: str) -> torch.Tensor:
        copy = tmp_path / f"{name}.mp4"
        assert prepare_video(str(field / name), str(copy), PrepareSettings(480, 16, crf=10))["verdict"] == "encoded"
        with Video(copy) as video:
            assert video.pixel_shape == 1
            return video.read(range(video.num_frames)).float()

    reference = read_frames(field / "hdr_pq_reference_sdr.mp4", range(15)).float()
    stored = read_frames(field / "hdr_pq.mp4", range(15)).float()
    assert (stored - reference).abs().mean() > 4
    assert (prepared("hdr_pq.mp4") - reference).abs().mean() < 1

    def comb(frames: torch.Tensor) -> torch.Tensor:
        return (2 * frames[:, 1:-1] - frames[:, :-2] - frames[:, 2:]).abs().mean()

    assert comb(read_frames(field / "i30.mpg", range(30)).float()) > 50
    assert comb(prepared("i30.mpg")) < 1
    assert prepared("sar_4_3.mp4").shape == (10, 480, 854, 3)
