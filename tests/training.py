"""What tests of the training scripts share: small lists of real videos, small settings, and the script's traces."""

import csv
import functools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file

REPO = Path(__file__).resolve().parents[1]
CLASSES = ["bow", "run", "walk"]
TINY = [
    "--primary", "r3d50_quarter", "--auxiliary", "r3d50_eighth", "--primary_stride", "2", "--auxiliary_stride", "3",
    "--frames", "4", "--size", "32", "--short_side", "[36,42]", "--test_clips", "2", "--test_crops", "1",
    "--labeled_batch", "3", "--unlabeled_batch", "4", "--threshold", "0.4", "--lr", "0.01", "--log_every", "1",
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
def starter() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(REPO / "tests" / "starter.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def run_script(args: list[str]) -> subprocess.CompletedProcess[str]:
    """`python SCRIPT ...`, started by tests/starter.py."""
    with tempfile.NamedTemporaryFile("r") as output, tempfile.NamedTemporaryFile("r") as error:
        call = {"words": args[1:], "environment": dict(os.environ), "stdout": output.name, "stderr": error.name}
        try:
            print(json.dumps(call), file=starter().stdin, flush=True)
            answered, _, _ = select.select([starter().stdout], [], [], 300)
            assert answered, f"{args} has not ended after 300 s"
            status = int(starter().stdout.readline())
        except BaseException:  # Ctrl-C, too
            os.killpg(starter().pid, signal.SIGKILL)
            starter.cache_clear()
            raise
        return subprocess.CompletedProcess(args, status, output.read(), error.read())


def run(args: list[str], expect: int = 0) -> subprocess.CompletedProcess[str]:
    if args[0] == sys.executable and args[1].endswith(".py"):
        done = run_script(args)
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


def assert_same_weights(one: Path, other: Path) -> None:
    for network in ("primary", "auxiliary"):
        a, b = weights(one, network), weights(other, network)
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
