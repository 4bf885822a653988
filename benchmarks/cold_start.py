"""From the command `cmpl-zoo predict MODEL VIDEO` to its answer and its end, and in its parts.

python benchmarks/cold_start.py VIDEO                   # writes benchmarks/results/cold-start.json, two minutes
python benchmarks/cold_start.py VIDEO --before TREE     # the same beside another checkout of this repository

The checkouts take turns; files are in the system's cache. CPU time says more than wall time where something else runs.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

MODEL = "r3d50_eighth.cmpl_demo"
HERE = Path(__file__).resolve().parents[1]
# Run alone, as importing is what is measured. Each mark ends a part.
PARTS = """
import json, sys, time
from contextlib import nullcontext
marks = [("", 0.0, time.perf_counter() - time.process_time())]  # of wall time before this line nothing is known
def mark(part):
    marks.append((part, time.process_time(), time.perf_counter()))
mark("Python")
from cmpl_zoo_cli.parser import build_parser
build_parser()
mark("options of the command")
try:
    from cmpl_zoo_cli.garbage import without_garbage_collection as around_imports
except ImportError:
    around_imports = nullcontext
with around_imports():
    import torch
    mark("import torch")
    import torchvision
    mark("import torchvision")
    import timm
    mark("import timm")
    from cmpl_zoo.prediction import predict
    from cmpl_zoo.prediction.loading import load_models
mark("import cmpl_zoo, with av")
from cmpl_zoo.video import Video, resolve_clip_config
from cmpl_zoo.video.clips import load_views, view_config
model, video = sys.argv[1:]
models = load_models([model])
mark("network with weights")
with Video(video) as opened:
    mark("opening the video")
    load_views(opened, **view_config(resolve_clip_config(models[0])))
mark("its views")
config = resolve_clip_config(models[0])
clips = torch.zeros(config["clips"] * config["crops"], 3, config["frames"], *config["size"])
with torch.inference_mode():
    models[0](clips)
    mark("first forward pass")
    models[0](clips)
    mark("second forward pass")
print(json.dumps([(part, wall - before[2], cpu - before[1]) for before, (part, cpu, wall) in zip(marks, marks[1:])]))
"""
Times = dict[str, tuple[float, float]]  # wall and CPU time in seconds, by part


def environment(tree: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(tree)}


def parts(tree: Path, video: str) -> Times:
    command = [sys.executable, "-W", "ignore", "-c", PARTS, MODEL, video]
    done = subprocess.run(command, env=environment(tree), stdout=subprocess.PIPE, check=True, cwd="/")
    return {part: (wall, cpu) for part, wall, cpu in json.loads(done.stdout)}


def whole(tree: Path, video: str) -> Times:
    began = time.perf_counter()
    command = [sys.executable, "-m", "cmpl_zoo_cli", "predict", MODEL, video]
    with subprocess.Popen(
        command, env=environment(tree), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd="/"
    ) as process:
        assert process.stdout
        if not process.stdout.readline():
            raise RuntimeError(f"{' '.join(command)} has no answer; run it by hand")
        answered = time.perf_counter() - began
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        cpu = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
        process.stdout.read()
        _, _, usage = os.wait4(process.pid, 0)
        process.returncode = 0
    return {
        "from the command to the answer": (answered, cpu),
        "to its end": (time.perf_counter() - began, usage.ru_utime + usage.ru_stime),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="cold_start.py", description=__doc__.splitlines()[0])
    parser.add_argument("video", type=os.path.abspath)
    parser.add_argument("--before", type=Path, metavar="TREE", help="another checkout, which takes turns with this one")
    parser.add_argument("--rounds", type=int, default=10)
    args = parser.parse_args()
    from harness import save, where

    trees = {"before": args.before.resolve()} if args.before else {}
    trees["here"] = HERE
    found: dict[str, list[Times]] = {name: [] for name in trees}
    for number in range(args.rounds + 1):
        for name, tree in trees.items():
            times = whole(tree, args.video) | parts(tree, args.video)
            if number:  # the first one reads files into the system's cache
                found[name].append(times)

    def milliseconds(name: str, part: str, which: int) -> str:
        return f"{1e3 * statistics.median(times[part][which] for times in found[name]):.0f}"

    result = {
        "experiment": "cold-start",
        "caption": f"`{MODEL}` and a video of {Path(args.video).stat().st_size / 1e6:.1f} MB, "
        f"OMP_NUM_THREADS {os.environ.get('OMP_NUM_THREADS', 'not set')}; medians of {args.rounds} interleaved rounds, "
        f"{where()}.",
        "columns": ["", *(f"{name}, {kind}" for name in trees for kind in ("wall, ms", "CPU, ms"))],
        "rows": [
            [part, *(milliseconds(name, part, which) for name in trees for which in (0, 1))]
            for part in found["here"][0]
        ],
    }  # fmt: skip
    for row in result["rows"]:
        print(*row, sep="\t")
    print(save(result))


if __name__ == "__main__":
    main()
