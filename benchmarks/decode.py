"""Reading clips: this package beside torchcodec and decord, the loader beside bare decoding, the cost of views.

python benchmarks/decode.py --data SHARED_DATA --work DIR    # writes benchmarks/results/decode.json

Makes copies of real and rendered videos in DIR, ten seconds each, in four forms, and reads them with what of torchcodec
and decord can be imported. Readers take turns in one run with one thread each, so that what else the machine does hits
all alike. Times are wall and CPU time of this process; of a number of repetitions the median, of the videos the mean.
"""

import argparse
import importlib.metadata
import itertools
import multiprocessing
import os
import platform
import random
import resource
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
from harness import save
from torch import Tensor

from cmpl_zoo._files import atomic_write
from cmpl_zoo.datasets.lists import Videos, read_list
from cmpl_zoo.datasets.loader import iterate
from cmpl_zoo.datasets.training_steps import TrainingClip, TrainingSteps
from cmpl_zoo.datasets.views import STRONG_VIEWS, StrongView, WeakView
from cmpl_zoo.demo.render import ACTIONS, Actor, Shot, render_frames
from cmpl_zoo.tools.prepare import X264_OPTIONS
from cmpl_zoo.tools.shard import write_shards
from cmpl_zoo.video.sampling import random_clips, uniform_clips
from cmpl_zoo.video.video import Video, read_frames

FRAMES, FPS = 250, 25
CLIP, STRIDES = 8, (8, 4)
REAL = ("arm_wrestling.mp4", "nasa_two_audio.mp4", "flipping_a_pancake.mkv", "v_ApplyEyeMakeup_g01_c01.avi")
PREPARED = "256p, as prepared"
FORMS: dict[str, tuple[int, dict[str, str]]] = {
    "256p, GOP 250": (256, {"g": "250"}),
    PREPARED: (256, X264_OPTIONS | {"g": "32", "keyint_min": "32"}),
    "256p, GOP 16, no B-frames": (256, X264_OPTIONS | {"bf": "0", "g": "16", "keyint_min": "16"}),
    "720p, GOP 250": (720, {"g": "250"}),
}
Reader = Callable[[str, list[int]], Tensor]


# Videos


def real_frames(files: Sequence[Path]) -> Iterator[av.VideoFrame]:
    """The frames of files one after another, again and again."""
    for file in itertools.cycle(files):
        with av.open(str(file)) as container:
            yield from container.decode(video=0)


def rendered_frames(action: str, number: int) -> Iterator[av.VideoFrame]:
    rng = np.random.default_rng(number)
    for picture in render_frames(action, Actor.draw(rng), Shot.draw(rng), 256, FRAMES, FPS):
        yield av.VideoFrame.from_ndarray(picture, format="rgb24")


def encode(path: Path, frames: Iterator[av.VideoFrame], height: int, options: dict[str, str]) -> None:
    """H.264 in MP4, yuv420p, crf 23, without sound; `path` appears only once it is whole."""
    first = next(frames)
    width = 2 * round(first.width * height / first.height / 2)
    with atomic_write(path) as temporary, av.open(str(temporary), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "23", **options})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number, frame in enumerate(itertools.islice(itertools.chain([first], frames), FRAMES)):
            scaled = frame.reformat(width, height, "yuv420p", interpolation="BICUBIC")
            scaled.pts, scaled.time_base = number, Fraction(1, FPS)
            scaled.pict_type = 0  # else frames would be of the kinds that they were in the source
            container.mux(stream.encode(scaled))
        container.mux(stream.encode())


def make_copies(data: Path, work: Path) -> dict[str, list[Path]]:
    """The videos in each form."""
    fights = sorted((data / "fights").rglob("*.mp4"))[:12]
    content: dict[str, Callable[[], Iterator[av.VideoFrame]]] = {
        Path(name).stem: lambda name=name: real_frames([data / "clips" / name]) for name in REAL
    }
    content["fights"] = lambda: real_frames(fights)
    for number, action in enumerate(list(ACTIONS)[::4]):
        content[action] = lambda action=action, number=number: rendered_frames(action, number)
    copies: dict[str, list[Path]] = {}
    for form, (height, options) in FORMS.items():
        folder = work / form.replace(",", "").replace(" ", "_")
        folder.mkdir(parents=True, exist_ok=True)
        copies[form] = [folder / f"{name}.mp4" for name in content]
        for path, frames in zip(copies[form], content.values(), strict=True):
            if not path.exists():
                encode(path, frames(), height, options)
    return copies


# Readers


def in_shards(copies: dict[str, list[Path]], work: Path) -> dict[str, str]:
    """The address in a tar shard of each copy, by its path."""
    addresses: dict[str, str] = {}
    for number, paths in enumerate(copies.values()):
        file, target = work / f"list{number}.csv", work / f"shards{number}"
        file.write_text("path\n" + "".join(f"{path.name}\n" for path in paths))
        write_shards(read_list(file, paths[0].parent, labeled=False), target, 1 << 30)
        addresses |= dict(zip(map(str, paths), read_list(file, target, labeled=False).paths, strict=True))
    return addresses


def readers(addresses: dict[str, str]) -> dict[str, Reader]:
    """Each opens a file, reads frames as uint8 (frames, height, width, 3), and closes it."""
    found: dict[str, Reader] = {
        "cmpl_zoo": read_frames,
        "cmpl_zoo, from shards": lambda path, indices: read_frames(addresses[path], indices),
    }
    try:
        from torchcodec.decoders import VideoDecoder

        def torchcodec(path: str, indices: list[int], seek_mode: str) -> Tensor:
            decoder = VideoDecoder(path, num_ffmpeg_threads=1, dimension_order="NHWC", seek_mode=seek_mode)
            return decoder.get_frames_at(indices).data

        found["torchcodec, exact"] = lambda path, indices: torchcodec(path, indices, "exact")
        found["torchcodec, approximate"] = lambda path, indices: torchcodec(path, indices, "approximate")
    except (ImportError, RuntimeError) as error:  # RuntimeError: no FFmpeg libraries
        print(f"without torchcodec: {str(error).splitlines()[0]}", file=sys.stderr)
    try:
        import decord

        found["decord"] = lambda path, indices: torch.from_numpy(
            decord.VideoReader(path, num_threads=1).get_batch(indices).asnumpy()
        )
    except (ImportError, OSError) as error:
        print(f"without decord: {error}", file=sys.stderr)
    return found


def check(read: Reader, paths: Sequence[Path]) -> dict[str, float]:
    """Frames against a full decode: the greatest mean difference, and how many are more like a neighbor."""
    difference, wrong, count = 0.0, 0, 0
    for path in paths:
        indices = random.Random(path.name).sample(range(1, FRAMES - 1), 6)
        near = {i + step for i in indices for step in (-1, 0, 1)}
        with av.open(str(path)) as container:
            decoded = enumerate(container.decode(video=0))
            truth = {i: torch.from_numpy(frame.to_ndarray(format="rgb24")).int() for i, frame in decoded if i in near}
        for index, frame in zip(indices, read(str(path), indices), strict=True):
            before, here, after = ((frame.int() - truth[index + step]).abs().float().mean() for step in (-1, 0, 1))
            difference = max(difference, float(here))
            wrong += bool(here > min(before, after))
            count += 1
    return {"greatest_mean_difference": round(difference, 2), "wrong_frames": wrong, "frames": count}


# Measurements


def timed(action: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU time, in milliseconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)


def draw_tasks(rng: random.Random) -> dict[str, list[list[int]]]:
    """For each task the reads it takes, each with an open of its own."""
    torch.manual_seed(rng.getrandbits(32))
    long, short = random_clips(FRAMES, CLIP, STRIDES)
    return {
        f"{CLIP} frames, stride {STRIDES[0]}": [long],
        f"{CLIP} frames over the video": [[starts[0] for starts in uniform_clips(FRAMES, 1, 1, CLIP)]],
        "both strides, one open": [long + short],
        "both strides, two opens": [long, short],
    }


def measure_readers(found: dict[str, Reader], copies: dict[str, list[Path]], repetitions: int) -> list[dict[str, Any]]:
    times: dict[tuple[str, str, str], dict[Path, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    rng = random.Random(0)
    for repetition in range(repetitions):
        print(f"reading, repetition {repetition + 1} of {repetitions}", file=sys.stderr)
        for form, number in itertools.product(copies, range(len(next(iter(copies.values()))))):
            path = copies[form][number]
            for task, reads in draw_tasks(rng).items():
                for name in rng.sample(list(found), len(found)):
                    spent = timed(lambda: [found[name](str(path), indices) for indices in reads])  # noqa: B023
                    times[form, task, name][path].append(spent)
    return [
        {"form": form, "task": task, "reader": name, **mean_of_medians(by_path.values())}
        for (form, task, name), by_path in times.items()
    ]


def mean_of_medians(times: Any) -> dict[str, float]:
    walls, cpus = zip(
        *[[statistics.median(column) for column in zip(*runs, strict=True)] for runs in times], strict=True
    )
    return {"wall_ms": round(statistics.mean(walls), 2), "cpu_ms": round(statistics.mean(cpus), 2)}


def short_sides(size: int) -> tuple[int, int]:
    """The range that training draws a clip's short side from: a seventh to three sevenths larger than the view."""
    return round(size * 8 / 7), round(size * 10 / 7)


def measure_views(paths: Sequence[Path], repetitions: int) -> list[dict[str, Any]]:
    """What views of a clip of 8 frames cost, beside decoding it."""
    actions: dict[str, Callable[[Tensor], object]] = {}
    for size in (112, 224):
        actions[f"weak view, {size}"] = WeakView(size, short_sides(size))
        for augment in STRONG_VIEWS:
            actions[f"strong view, {augment} and cutout, {size}"] = StrongView(size, short_sides(size), augment)
    times: dict[str, dict[Path, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
    for repetition in range(4 * repetitions):  # what a strong view costs depends on what it draws
        for path in paths:
            torch.manual_seed(repetition)
            [indices] = random_clips(FRAMES, CLIP, STRIDES[:1])
            times["decoding"][path].append(timed(lambda: read_frames(path, indices)))  # noqa: B023
            frames = read_frames(path, indices).permute(0, 3, 1, 2)
            for name, view in actions.items():
                times[name][path].append(timed(lambda: view(frames)))  # noqa: B023
    return [{"what": name, **mean_of_medians(by_path.values())} for name, by_path in times.items()]


def read_steps(data: TrainingSteps, steps: range) -> None:
    for step in steps:
        data[step]


def measure_loader(
    paths: Sequence[Path], size: int, repetitions: int, workers: int = 2, steps: int = 96
) -> list[dict[str, Any]]:
    """Samples a second, of wall and of CPU time: in this process, in as many as there are workers, and by the loader.

    A sample is clips of both strides of one video; half of them are unlabeled and get a strong view, too. The processes
    without a loader show what the machine has to give at that time; starting them is counted, as it is for the loader.
    """
    videos = Videos([str(path) for path in paths], [0] * len(paths))
    settings: dict[str, Any] = {
        "clips": [TrainingClip(CLIP, stride, size) for stride in STRIDES],
        "short_side": short_sides(size),
    }
    data = TrainingSteps(videos, videos, labeled_batch=2, unlabeled_batch=2, steps=steps, **settings)
    samples = 4 * steps
    fork = multiprocessing.get_context("fork")

    def decode() -> None:
        torch.manual_seed(0)
        for path in itertools.islice(itertools.cycle(videos.paths), samples):
            with Video(path) as video:
                clips = random_clips(video.num_frames, CLIP, STRIDES)
                video.read([index for clip in clips for index in clip])

    def side_by_side(target: Callable[..., None], *shares: tuple[Any, ...]) -> None:
        processes = [fork.Process(target=target, args=share) for share in shares]
        for process in processes:
            process.start()
        for process in processes:
            process.join()

    actions: dict[str, Callable[[], object]] = {
        "decoding, 1 process": decode,
        "samples, 1 process": lambda: read_steps(data, range(steps)),
        f"decoding, {workers} processes": lambda: side_by_side(decode, *[()] * workers),
        f"samples, {workers} processes": lambda: side_by_side(
            read_steps, *[(data, range(number, steps, workers)) for number in range(workers)]
        ),
        f"samples, loader with {workers} workers": lambda: list(iterate(data, torch.device("cpu"), workers)),
    }
    rows: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for repetition in range(repetitions):
        print(f"loading at {size}, repetition {repetition + 1} of {repetitions}", file=sys.stderr)
        for name, action in actions.items():
            done = samples * workers if name == f"decoding, {workers} processes" else samples
            children = sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
            wall, cpu = timed(action)
            cpu += 1e3 * (sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2]) - children)
            rows[name].append((1e3 * done / wall, 1e3 * done / cpu))
    return [
        {"what": f"{name}, {size}", "a_second": round(wall, 1), "a_cpu_second": round(cpu, 1)}
        for name, runs in rows.items()
        for wall, cpu in [[statistics.median(column) for column in zip(*runs, strict=True)]]
    ]


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{models[0] if models else platform.processor()}, {os.cpu_count()} cores"


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds clips/ and fights/")
    parser.add_argument("--work", type=Path, required=True, help="where the copies go")
    parser.add_argument("--repetitions", type=int, default=7)
    args = parser.parse_args()
    torch.set_num_threads(1)
    copies = make_copies(args.data, args.work)
    prepared = copies[PREPARED]
    found = readers(in_shards(copies, args.work))
    result = {
        "experiment": "decode",
        "command": "python benchmarks/decode.py --data SHARED_DATA --work DIR",
        "machine": machine(),
        "versions": {name: version(name) for name in ("av", "torch", "torchvision", "torchcodec", "decord")},
        "repetitions": args.repetitions,
        "videos": {"real": len(REAL) + 1, "rendered": len(prepared) - len(REAL) - 1},
        "bytes": {form: sum(path.stat().st_size for path in paths) for form, paths in copies.items()},
        "checks": {name: check(read, [*itertools.chain(*copies.values())]) for name, read in found.items()},
        "readers": measure_readers(found, copies, args.repetitions),
        "views": measure_views(prepared, args.repetitions),
        "loader": [row for size in (112, 224) for row in measure_loader(prepared, size, args.repetitions)],
    }
    print(save(result))


if __name__ == "__main__":
    main()
