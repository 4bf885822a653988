"""What a run shows while it trains, in a terminal and in a file."""

import fcntl
import os
import re
import struct
import subprocess
import termios
from pathlib import Path

from training import command, metrics, run

FLAGS = ["--steps", "4", "--val-every", "2"]


def test_a_terminal_has_one_line_that_a_person_understands(videos: Path, lists: Path, tmp_path: Path) -> None:
    shown, terminal = os.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    output = tmp_path / "run"
    words = command(lists, videos, output, *FLAGS, "--threshold", "0.1")
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=terminal, check=True, env=one_thread)
    os.close(terminal)
    seen = os.read(shown, 100_000).decode()
    assert b"primary: top-1" in done.stdout
    *_, last = (line for line in metrics(output) if "loss" in line)
    [top1] = (line["primary/val_top1"] for line in metrics(output) if line["step"] == 2 and "primary/val_top1" in line)
    assert last["primary/mask"] == 1
    words = f"loss {last['loss']:.3f}, 100% of pseudo-labels pass, {last['primary/pseudo_accuracy']:.0%} of them right"
    assert re.search(rf"step 4/4 \|█+\| 00:00 left, {words}, top-1 {top1:.1f} %", seen), seen


def test_a_file_gets_a_line_for_each_log_step(videos: Path, lists: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    error = run(command(lists, videos, output, *FLAGS, "--scheme", "none", "--auxiliary", "null")).stderr
    lines = [line for line in error.splitlines() if line.startswith("step")]
    losses = [line["loss"] for line in metrics(output) if "loss" in line]
    top1 = next(line["primary/val_top1"] for line in metrics(output) if "primary/val_top1" in line)
    assert len(losses) == 4
    for step, (line, loss) in enumerate(zip(lines, losses, strict=True), start=1):
        validated = f", top-1 {top1:.1f} %" if step > 2 else ""
        assert re.fullmatch(rf"step {step}/4, \d\d:\d\d left, loss {loss:.3f}{re.escape(validated)}", line)
    assert "\r" not in error
