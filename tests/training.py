"""What tests of the training scripts share: lists of a few made videos, small settings, and the script's traces."""

import csv
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from made_videos import ACTIONS
from safetensors.torch import load_file

import cmpl_zoo
from cmpl_zoo import hub

REPO = Path(__file__).resolve().parents[1]
CLASSES = sorted(ACTIONS)
TINY = [
    "--primary", "r3d50_quarter", "--auxiliary", "r3d50_eighth", "--primary-stride", "2", "--auxiliary-stride", "3",
    "--frames", "4", "--size", "32", "--short-side", "[36,42]", "--test-clips", "2", "--test-crops", "1",
    "--labeled-batch", "3", "--unlabeled-batch", "4", "--threshold", "0.4", "--lr", "0.01", "--log-every", "1",
    "--workers", "0", "--device", "cpu",
]  # fmt: skip


def read_rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def write_rows(file: Path, rows: list[dict[str, str]]) -> None:
    with file.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def options(lists: Path, root: Path | str, output: Path, *more: str) -> list[str]:
    return [
        str(REPO / "train" / "cmpl.py"), "--labeled", str(lists / "labeled.csv"), "--unlabeled",
        str(lists / "unlabeled.csv"), "--val", str(lists / "val.csv"), "--root", str(root), "--output", str(output),
        *TINY, *more,
    ]  # fmt: skip


def command(lists: Path, root: Path | str, output: Path, *more: str) -> list[str]:
    return [sys.executable, *options(lists, root, output, *more)]


@functools.cache
def starter() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(REPO / "tests" / "starter.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        start_new_session=True,
    )  # fmt: skip


class Script:
    """`python SCRIPT ...`, started by tests/starter.py, with what subprocess.Popen has; one at a time.

    Args:
        args: the whole command.
        environment: to add to this one.
        file_size: how many bytes a file may have; what is written past that fails, as on a full disk.
    """

    def __init__(self, args: list[str], environment: dict[str, str] | None = None, file_size: int = 0) -> None:
        self.args = args
        self.returncode: int | None = None
        self._folder = tempfile.TemporaryDirectory()
        paths = [Path(self._folder.name, name) for name in ("stdout", "stderr")]
        if file_size:  # pipes, which have no such limit; they hold 64 KiB
            for path in paths:
                os.mkfifo(path)
        else:
            for path in paths:
                path.touch()
        self._outputs = [os.open(path, os.O_RDONLY | os.O_NONBLOCK) for path in paths]
        call = {"words": args[1:], "environment": os.environ | (environment or {}), "file_size": file_size}
        call |= {path.name: str(path) for path in paths}
        starter().stdin.write(json.dumps(call).encode() + b"\n")
        self.pid = int(starter().stdout.readline())

    def poll(self, patience: float = 0) -> int | None:
        """Its exit status, once it has ended; waits for that so many seconds at most."""
        if self.returncode is None and select.select([starter().stdout], [], [], patience)[0]:
            self.returncode = int(starter().stdout.readline())
        return self.returncode

    def send_signal(self, number: int) -> None:
        """To its whole session, as a terminal does."""
        os.killpg(self.pid, number)

    def communicate(self, timeout: float = 300) -> tuple[str, str]:
        """Wait for its end; what it has written to stdout and stderr."""
        try:
            assert self.poll(timeout) is not None, f"{self.args} has not ended after {timeout:g} s"
        except BaseException:  # Ctrl-C, too
            self.send_signal(signal.SIGKILL)
            self.poll(10)
            raise
        texts = []
        for output in self._outputs:
            with os.fdopen(output) as file:
                texts.append(file.read())
        self._folder.cleanup()
        return texts[0], texts[1]


def run(args: list[str], expect: int = 0) -> subprocess.CompletedProcess[str]:
    if args[0] == sys.executable and args[1].endswith(".py"):
        script = Script(args)
        output, error = script.communicate()
        done = subprocess.CompletedProcess(args, script.poll(), output, error)
    else:
        done = subprocess.run(args, capture_output=True, text=True, timeout=300, cwd=REPO)
    assert done.returncode == expect, f"exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


def metrics(output: Path) -> list[dict]:
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]


def losses(output: Path) -> list[float]:
    return [line["loss"] for line in metrics(output) if "loss" in line]


def weights(output: Path, network: str = "primary") -> dict[str, torch.Tensor]:
    return load_file(output / network / "model.safetensors")


def start_from(folder: Path, change: Callable[[torch.nn.Module], object]) -> Path:
    """A model directory of random weights, the same at each call, but for what `change` does to the network."""
    torch.manual_seed(0)
    network = cmpl_zoo.create_model("r3d50_eighth", num_classes=3)
    with torch.no_grad():
        change(network)
    return hub.save(network, folder, CLASSES)


def labels_of(own: Path) -> list[dict[str, str]]:
    """What labels.csv would say of the class folders."""
    return [
        {"path": f"{name}/{file.name}", "label": name} for name in CLASSES for file in sorted((own / name).iterdir())
    ]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def assert_same_weights(one: Path, other: Path) -> None:
    for network in ("primary", "auxiliary"):
        a, b = weights(one, network), weights(other, network)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
