"""What a timeline of a long recording costs beside decoding it alone, and whether its memory grows with the length.

python benchmarks/timeline.py --data SHARED_DATA    # writes benchmarks/results/timeline.json, about half an hour

The recording is 640x360 H.264 with 30 frames a second: footage of `clips`, encoded once and repeated without encoding
again. Decoding alone is the library's own, which takes one thread. Every measurement is a process of its own; the two
take turns. The network at 224 pixels sees a part of the recording: its share of the time does not depend on the length.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from harness import save, where

from cmpl_zoo.models import R3D, create_model
from cmpl_zoo.models.packing import pack
from cmpl_zoo.prediction.timelines import timeline
from cmpl_zoo.video.clips import resolve_clip_config
from cmpl_zoo.video.video import Video

FOOTAGE = ("flipping_a_pancake.mkv", "arm_wrestling.mp4", "asl_thanks.mkv", "nasa_two_audio.mp4")
FPS = 30
NETWORKS = ("r3d50_eighth.cmpl_demo", "r3d50")


def film(clips: Path, folder: Path, minutes: float) -> Path:
    """The recording, of at least so many minutes."""
    piece, target = folder / "piece.mp4", folder / f"{minutes:g}_minutes.mp4"
    if not piece.exists():
        with av.open(str(piece), "w") as container:
            stream: Any = container.add_stream("libx264", rate=FPS)
            stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
            number = 0
            for name in FOOTAGE:
                with Video(clips / name) as video:
                    for frame in video.decode():
                        scaled = frame.reformat(640, 360, "yuv420p")
                        scaled.pts, scaled.time_base = number, Fraction(1, FPS)
                        container.mux(stream.encode(scaled))
                        number += 1
            container.mux(stream.encode())
    with av.open(str(target), "w") as new:
        copy, shift = None, 0
        while copy is None or shift * copy.time_base < 60 * minutes:
            with av.open(str(piece)) as old:
                source = old.streams.video[0]
                copy = copy or new.add_stream_from_template(source)
                for packet in old.demux(source):
                    if packet.size:
                        packet.pts, packet.dts = packet.pts + shift, packet.dts + shift  # type: ignore[operator]
                        packet.stream = copy
                        new.mux(packet)
                shift += source.duration  # type: ignore[operator]
                copy.time_base = source.time_base
    return target


def measure(action: str, path: str, window: float) -> dict[str, float]:
    """Wall and CPU time in seconds, and peak memory in MB, of this process; of the network's loading, memory alone."""
    if action != "decode":
        model = create_model(action, pretrained=action != "r3d50").eval()
        assert isinstance(model, R3D)
        model.reparameterize()
        pack(model)  # as `cmpl-zoo predict` does
    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.perf_counter()
    if action == "decode":
        with Video(path) as video:
            for _ in video.decode():
                pass
    else:
        for _ in timeline(model, path, window):
            pass
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    # Not ru_maxrss, which has that of the process that started this one in it.
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return {"wall": wall, "cpu": cpu, "peak": int(peak.split()[1]) / 1024}


def in_process(action: str, path: Path | str, window: float) -> dict[str, float]:
    command = [sys.executable, __file__, "--measure", action, str(path), str(window)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def row(network: str, minute: Path, recording: str, window: float, rounds: int) -> list[str]:
    """A row of the table."""
    results: dict[str, list[dict[str, float]]] = {"decode": [], network: []}
    for number in range(rounds):
        for action in list(results)[:: 1 if number % 2 else -1]:
            results[action].append(in_process(action, recording, window))
    minute_peak = in_process(network, minute, window)["peak"]
    decoding, timelines = results.values()
    walls = [statistics.median(one["wall"] for one in of_action) for of_action in (decoding, timelines)]
    speed, cpu = (
        statistics.median(one[key] / other[key] for one, other in zip(decoding, timelines, strict=True))
        for key in ("wall", "cpu")
    )
    config = resolve_clip_config(create_model(network))
    with Video(recording) as video:
        minutes = video.num_frames / FPS / 60
    return [
        f"`{network}`",
        f"{config['frames']}x{config['size'][0]}x{config['size'][1]}",
        f"{minutes:.1f}",
        *(f"{wall:.1f}" for wall in walls),
        f"{speed:.2f}",
        f"{cpu:.2f}",
        f"{minute_peak:.0f}",
        f"{max(one['peak'] for one in timelines):.0f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="timeline.py", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder that holds clips/")
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--part", type=float, default=5, help="minutes that a network at 224 pixels sees")
    parser.add_argument("--window", type=float, default=2, help="seconds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs=3, metavar=("ACTION", "FILE", "WINDOW"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure:
        action, path, window = args.measure
        print(json.dumps(measure(action, path, float(window))))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole, minute = (film(args.data / "clips", folder, minutes) for minutes in (args.minutes, 1))
        parts = {NETWORKS[0]: str(whole), NETWORKS[1]: f"{whole}#t=,{60 * args.part:g}"}
        rows = [row(network, minute, part, args.window, args.rounds) for network, part in parts.items()]
    rounds = "one round" if args.rounds == 1 else f"medians of {args.rounds} rounds"
    caption = (
        f"A recording of 640x360 in windows of {args.window:g} s, {rounds} of decoding alone and the timeline, "
        f"{where()}; memory is the most that a process had."
    )
    columns = ["", "clip of a window", "minutes", "decoding alone, s", "timeline, s", "decoding / timeline"]
    columns += ["ratio of CPU time", "memory for a minute, MB", "for all, MB"]
    print(save({"experiment": "timeline", "caption": caption, "columns": columns, "rows": rows}))


if __name__ == "__main__":
    main()
