"""What loading published weights out of the cache costs, beside building the network and reading its file.

python benchmarks/load.py    # writes benchmarks/results/load.json, about a minute

The Hub is a stand-in on loopback, asked as huggingface_hub asks before it takes a file from its cache.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from harness import save, where
from huggingface_hub import hf_hub_download
from safetensors.torch import load_file

import cmpl_zoo
import cmpl_zoo.hub
from cmpl_zoo.datasets.classes import class_names

NETWORKS = ("r3d50", "r3d50_quarter")
ROUNDS = 15


def publish(folder: Path) -> None:
    """Serve networks and measure in a process of its own, which finds the server in its environment."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "hub"))
    from hub_server import serve

    classes = class_names("kinetics400")
    with serve() as hub:
        for name in NETWORKS:
            cmpl_zoo.hub.save(cmpl_zoo.create_model(name, num_classes=len(classes)), folder / name, classes)
            hub.publish(f"bench/{name}", {file.name: file.read_bytes() for file in (folder / name).iterdir()})
        settings = {"HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "cache"), "HF_HUB_DISABLE_XET": "1"}
        subprocess.run([sys.executable, __file__, "--measure"], env=os.environ | settings, check=True)


def measure(name: str) -> list[str]:
    """A row of the table."""
    cmpl_zoo.create_model(f"hf-hub:bench/{name}", pretrained=True)  # downloads
    file = hf_hub_download(f"bench/{name}", "model.safetensors")

    def build_and_read() -> None:
        cmpl_zoo.create_model(name, num_classes=400).load_state_dict(load_file(file))

    def load() -> None:
        cmpl_zoo.create_model(f"hf-hub:bench/{name}", pretrained=True)

    took: dict[Callable[[], None], list[float]] = {load: [], build_and_read: []}
    for _ in range(ROUNDS):
        for call in (load, build_and_read) if len(took[load]) % 2 else (build_and_read, load):
            took[call].append(seconds(call))
    own, parts = (statistics.median(times) for times in took.values())
    ratio = statistics.median(first / second for first, second in zip(*took.values(), strict=True))
    size = Path(file).stat().st_size
    return [f"`{name}`", f"{size / 1e6:.0f}", f"{1e3 * own:.0f}", f"{1e3 * parts:.0f}", f"{ratio:.2f}"]


def seconds(call: Callable[[], None]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(prog="load.py", description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)  # the process that the server is for
    if not parser.parse_args().measure:
        with tempfile.TemporaryDirectory() as folder:
            publish(Path(folder))
        return
    caption = f"Medians of {ROUNDS} rounds, the two taking turns, 400 classes, {where()}."
    columns = ["", "file, MB", "from the cache, ms", "building and reading, ms", "ratio of a round"]
    rows = [measure(name) for name in NETWORKS]
    print(save({"experiment": "load", "caption": caption, "columns": columns, "rows": rows}))


if __name__ == "__main__":
    main()
