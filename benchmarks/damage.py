"""Damaged copies of real files through `video_info` and `read_frames`: frames or a VideoError, and nothing else.

python benchmarks/damage.py --data SHARED_DATA [--copies 2000]

Every copy is made from its number alone, so that a failure can be had again with `--first NUMBER --copies 1`. They are
read in another process, which a crash, a hang or a lack of memory ends without ending this one.
"""

import argparse
import collections
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.video import read_frames, video_info

SECONDS = 60  # for one copy; a hundred times what it takes
MEMORY = 8 * 2**30  # address space of the reading process; its libraries alone map more than two


def damaged(number: int, sources: list[Path]) -> tuple[str, bytearray]:
    """What was done to which file, and the outcome."""
    rng = random.Random(number)
    source, other = rng.sample(sources, 2)
    data = bytearray(source.read_bytes())
    kind = ("bits", "cut", "head", "zeros", "noise")[number % 5]
    place = rng.randrange(len(data) if rng.random() < 0.7 else min(len(data), 4096))  # headers are worth more tries
    match kind:
        case "bits":
            for _ in range(rng.randrange(1, 200)):
                data[min(place + rng.randrange(4096), len(data) - 1)] ^= 1 << rng.randrange(8)
        case "cut":
            del data[place:]
        case "head":
            size = rng.choice([64, 1024, 16384])
            data[:size] = other.read_bytes()[:size]
        case "zeros":
            data[place : place + 20_000] = bytes(len(data[place : place + 20_000]))
        case "noise":
            data[place : place + 2000] = rng.randbytes(len(data[place : place + 2000]))
    return f"{kind} {source.name}", data


def read(numbers: range, sources: list[Path], folder: Path, results: Connection) -> None:
    """Read copies and send (number, what it was, outcome, peak memory in MiB) of each."""
    torch.set_num_threads(1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for number in numbers:
        what, data = damaged(number, sources)
        path = folder / f"{number}{Path(what).suffix}"
        path.write_bytes(data)
        results.send((number, what, None, 0))
        try:
            video_info(path)
            for indices in ([0, 8, 16], [5, 60, 100], [500]):
                assert len(read_frames(path, indices)) == len(indices)
            outcome = "read"
        except VideoError as error:
            outcome = "refused" if str(error).startswith(str(path)) else f"an error without the file: {error}"
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        path.unlink()
        results.send((number, what, outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder that holds clips/")
    parser.add_argument("--copies", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first copy")
    args = parser.parse_args()
    sources = sorted(file for file in (args.data / "clips").iterdir() if file.is_file() and file.suffix != ".json")
    outcomes: collections.Counter[str] = collections.Counter()
    peak, number, end = 0, args.first, args.first + args.copies
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        while number < end:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=read, args=(range(number, end), sources, Path(folder), sender))
            process.start()
            sender.close()
            what = "nothing"
            try:
                while receiver.poll(SECONDS):
                    number, what, outcome, memory = receiver.recv()
                    if outcome is not None:
                        if outcome not in ("read", "refused"):
                            print(f"{number} ({what}): {outcome}", flush=True)
                            outcome = "another error"
                        outcomes[outcome] += 1
                        peak = max(peak, memory)
                        number += 1
                process.kill()
                outcome = "hang"
            except EOFError:
                process.join()
                code = process.exitcode or 0
                outcome = "" if number == end else signal.Signals(-code).name if code < 0 else f"exit {code}"
            if outcome:
                outcomes[outcome] += 1
                print(f"{number} ({what}): {outcome}", flush=True)
                number += 1
            process.join()
    print(", ".join(f"{outcome}: {count}" for outcome, count in sorted(outcomes.items())), f"peak memory: {peak} MiB")
    return int(bool(set(outcomes) - {"read", "refused"}))


if __name__ == "__main__":
    sys.exit(main())
