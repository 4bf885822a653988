"""Videos and lists that tests make for themselves."""

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch

from cmpl_zoo.demo.render import Actor, Shot, render_frames, write_video
from cmpl_zoo_cli.main import main

# A class of the made videos, and the demo's action that it shows; classes of that name are in mocap13, too.
ACTIONS = {"run": "run", "walk": "walk", "wave_both_hands": "wave_slowly"}


def encode(
    path: Path,
    frames: int = 30,
    width: int = 64,
    height: int = 48,
    times: Sequence[int] | None = None,
    codec: str = "libx264",
    **options: str,
) -> Path:
    """A video of a white block that goes from left to right over a still; `times` are in milliseconds."""
    still = np.random.default_rng(0).integers(0, 200, (6, 8, 3), dtype=np.uint8)
    still = still.repeat(-(-height // 6), 0).repeat(-(-width // 8), 1)[:height, :width]
    movflags = {"movflags": options.pop("movflags")} if "movflags" in options else {}
    with av.open(str(path), "w", options=movflags) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p" if width % 2 == 0 else "yuv444p"
        stream.codec_context.time_base = unit = Fraction(1, 1000 if times else 25)
        for i in range(frames):
            image = still.copy()
            image[: height // 4, : 1 + i * width // frames] = 255
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = times[i] if times else i, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def noise(path: Path, frames: int, seconds_of_silence: int = 0) -> Path:
    """A video of 320x240 noise, of more than 100 kB a frame, maybe with sound."""
    generator = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25, options={"qmin": "1", "qmax": "1"})
        video.width, video.height, video.pix_fmt = 320, 240, "yuv420p"
        audio = container.add_stream("mp2", rate=48000) if seconds_of_silence else None
        for _ in range(frames):
            image = generator.integers(0, 255, (240, 320, 3), dtype=np.uint8)
            container.mux(video.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(video.encode())
        if audio:
            silence = np.zeros((1, seconds_of_silence * 48000), np.int16)
            heard = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
            heard.sample_rate = 48000
            container.mux(audio.encode(heard))
            container.mux(audio.encode())
    return path


def copy_packets(source: Path, target: Path, change: Callable[[av.Packet], None]) -> Path:
    """The video in another file, not encoded again, with a change to each packet."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                change(packet)
                packet.stream = stream
                new.mux(packet)
    return target


def decode_everything(path: Path) -> torch.Tensor:
    """All frames that a plain decode yields before its first error, with square pixels."""
    frames = []
    with av.open(str(path)) as container:
        stream = container.streams.best("video")
        stream.codec_context.thread_count = 1  # threads fill damaged slices in another way
        pixel = stream.sample_aspect_ratio or 1
        try:
            for frame in container.decode(stream):
                width, height = frame.width, frame.height
                if pixel > 1:
                    width = round(width * pixel)
                else:
                    height = round(height / pixel)
                rgb = frame.to_ndarray(format="rgb24", width=width, height=height)
                frames.append(np.rot90(rgb, round(frame.rotation / 90)))
        except av.FFmpegError:
            pass
    return torch.from_numpy(np.stack(frames))


def turn(path: Path, turns: int, mirrored: bool = False) -> None:
    """Have an MP4 ask in its track header to be shown turned by so many quarters, counterclockwise as np.rot90 does."""
    a, b, c, d = [(1, 0, 0, 1), (0, -1, 1, 0), (-1, 0, 0, -1), (0, 1, -1, 0)][turns]
    if mirrored:  # left to right, before the turn
        a, b = -a, -b
    data = bytearray(path.read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    data[matrix : matrix + 20] = b"".join((v << 16).to_bytes(4, "big", signed=True) for v in (a, b, 0, c, d))
    path.write_bytes(data)


def film(root: Path, videos_per_class: int) -> Path:
    """Videos `root/CLASS/00.mp4`, ... of figures that move, 24 frames and more, and the list `root/videos.csv`."""
    rows = ["path,label"]
    for label, action in ACTIONS.items():
        for number in range(videos_per_class):
            actor, shot = (
                draw(np.random.default_rng([number, seed])) for seed, draw in enumerate((Actor.draw, Shot.draw))
            )
            frames = render_frames(action, actor, shot, size=48, frames=24 + number, fps=16)
            write_video(root / label / f"{number:02d}.mp4", frames, size=48, fps=16)
            rows.append(f"{label}/{number:02d}.mp4,{label}")
    (root / "videos.csv").write_text("\n".join(rows) + "\n")
    return root


def truth_of(clips: Path) -> dict[str, dict[str, Any]]:
    """What a full decode gives of each real clip, as its `probe.json` tells of the first stream of each."""
    truth = json.loads((clips / "probe.json").read_text())
    shown = {"size": [480, 270], "fps": 30000 / 1001, "header_frames": 390, "decoded_frames": 390}
    truth["nasa_two_audio.mp4"] |= shown  # its first stream is a preview
    truth["arm_wrestling.mp4"]["size"] = [427, 256]  # 340x256 with pixels of 64:51
    return truth


def write_list(file: Path, paths: Sequence[str], label: str = "x") -> Path:
    """A list with a further column, `take`."""
    file.write_text(
        "path,label,take\n" + "".join(f"{path},{label},{i}\n" for i, path in enumerate(paths)), encoding="utf-8"
    )
    return file


def link_many(clip: Path, root: Path, count: int, label: str = "x") -> Path:
    """A root with `count` names for one clip, and the list of them beside it."""
    root.mkdir()
    names = [f"{i:03d}{clip.suffix}" for i in range(count)]
    for name in names:
        os.link(clip, root / name) if os.stat(clip).st_dev == os.stat(root).st_dev else os.symlink(clip, root / name)
    return write_list(root.parent / "many.csv", names, label)


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def refused(capsys, *command: object) -> str:
    """The one sentence that a command is refused with."""
    assert main([str(part) for part in command]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cmpl-zoo: ")
    assert len(error.splitlines()) == 1
    return error


def start(*command: object, **settings: object) -> subprocess.Popen[str]:
    """The real command, in a process of its own."""
    line = [sys.executable, "-m", "cmpl_zoo_cli", *(str(part) for part in command)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings)  # type: ignore[call-overload]


def wait_for_rows(process: subprocess.Popen[str], report: Path, rows: int) -> None:
    """Until the report of a running command has so many rows."""
    while not report.exists() or report.read_bytes().count(b"\n") <= rows:
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        time.sleep(0.01)
