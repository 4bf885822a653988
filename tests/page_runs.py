"""Running the blocks of a page in order: the folder that they find, and the sessions that they run in."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from itertools import chain
from pathlib import Path

import numpy as np
from made_videos import ACTIONS, film
from page_blocks import Block, blocks

from cmpl_zoo.demo.render import Actor, Shot, render_frames, write_video

REPO = Path(__file__).resolve().parents[1]
# What the command adds to these verbs, so that a page takes a minute and not an hour, and a few videos.
SMALL = {
    "train": ["--steps", "3", "--labeled-batch", "4", "--unlabeled-batch", "4", "--test-clips", "1"],
    "pretrain": ["--steps", "3", "--batch", "4"],
    "split": ["--labels-per-class", "2"],
}
END = "the block ends here"
# Each reads names of files with code from its input, runs them in one session, and says when one ends.
SESSIONS = {
    "shell": ["bash", "-ec", f'set -o pipefail; while read -r file; do . "$file" < /dev/null; echo "{END}"; done'],
    "python": ["python", "-uc", "import sys\nfor file in map(str.strip, sys.stdin):\n"
               f"    exec(compile(open(file).read(), file, 'exec'), globals())\n    print('{END}')"],
}  # fmt: skip


def make_folder(root: Path) -> Path:
    """The folder that a page's blocks are run in.

    VIDEOS/walk/00.mp4 and so on are rendered videos of three classes, and VIDEOS/unlabeled has more; labels.csv
    (columns path, label, day) and videos.csv (path, label) name those with a label. LABELED has class folders alone,
    and MORE has videos without a label. some.mp4 is one video, recording.mp4 several joined. runs/mine is a run; MODEL
    and OTHER are its networks.
    """
    film(root / "VIDEOS", 10)
    (root / "VIDEOS" / "videos.csv").unlink()
    (root / "VIDEOS" / "unlabeled").mkdir()
    (root / "MORE").mkdir()
    rows = ["path,label,day"]
    for label in ACTIONS:
        folder = root / "VIDEOS" / label
        for number in (6, 7):
            (folder / f"{number:02d}.mp4").rename(root / "VIDEOS" / "unlabeled" / f"{label}_{number}.mp4")
        for number in (8, 9):
            (folder / f"{number:02d}.mp4").rename(root / "MORE" / f"{label}_{number}.mp4")
        shutil.copytree(folder, root / "LABELED" / label)
        rows += [
            f"{label}/{file.name},{label},{'monday' if file.stem < '03' else 'tuesday'}" for file in folder.iterdir()
        ]
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    (root / "videos.csv").write_text("\n".join(row.rpartition(",")[0] for row in rows) + "\n")
    shutil.copy(root / "VIDEOS" / "walk" / "00.mp4", root / "some.mp4")
    actor, shot = (draw(np.random.default_rng(5)) for draw in (Actor.draw, Shot.draw))
    parts = [render_frames(action, actor, shot, size=48, frames=64, fps=16) for action in ACTIONS.values()]
    write_video(root / "recording.mp4", chain(*parts), size=48, fps=16)
    command(root, "train", "VIDEOS", "-o", "runs/mine", *SMALL["train"])
    shutil.copytree(root / "runs" / "mine" / "primary", root / "MODEL")
    shutil.copytree(root / "runs" / "mine" / "auxiliary", root / "OTHER")
    return root


def command(folder: Path, *words: str) -> None:
    """Run `cmpl-zoo` in a folder."""
    line = [sys.executable, "-m", "cmpl_zoo_cli", *words]
    subprocess.run(line, cwd=folder, env=environment(folder), check=True)


def environment(scratch: Path) -> dict[str, str]:
    """That of the sessions: this working tree, no network, no GPU."""
    path = os.pathsep.join([str(scratch / "bin"), os.environ["PATH"]])
    python_path = os.pathsep.join([str(REPO), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {
        "PATH": path, "PYTHONPATH": python_path, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": "",
    }  # fmt: skip


def run_page(page: Path, folder: Path, scratch: Path) -> int:
    """Run a page's blocks that are not marked, in order, those of the shell in one bash and of Python in one process.

    Args:
        page: its file.
        folder: as `make_folder` makes it, and for this page alone. A run that the page makes itself is removed first.
        scratch: an empty folder.

    Returns:
        The number of blocks that were run.

    Raises:
        AssertionError: a block failed; the message has its place in the page and what was printed.
    """
    run = [block for block in blocks(page) if block.is_run]
    if any("-o runs/mine" in block.text for block in run):
        shutil.rmtree(folder / "runs")
    (scratch / "bin").mkdir()
    added = "".join(f'{verb}) set -- "$@" {" ".join(words)} ;;\n' for verb, words in SMALL.items())
    program(scratch / "bin" / "cmpl-zoo", f'case "$1" in\n{added}esac\nexec "{sys.executable}" -m cmpl_zoo_cli "$@"')
    program(scratch / "bin" / "python", f'exec "{sys.executable}" "$@"')
    sessions = {language: start(words, folder, scratch) for language, words in SESSIONS.items()}
    try:
        for block in run:
            run_block(block, sessions[block.language], scratch / block.place)
    finally:
        for session in sessions.values():
            session.kill()
            session.communicate()
    return len(run)


def program(file: Path, script: str) -> None:
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def start(words: list[str], folder: Path, scratch: Path) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    return subprocess.Popen(words, cwd=folder, env=environment(scratch), text=True, bufsize=1, **pipes)


def run_block(block: Block, session: subprocess.Popen[str], file: Path) -> None:
    """Run a block in a session; `file` is written, and errors name it."""
    assert session.stdin and session.stdout
    file.write_text(block.text)
    with suppress(BrokenPipeError):  # it has ended before; what it printed is below
        session.stdin.write(f"{file}\n")
    printed = []
    for line in session.stdout:
        if line.rstrip("\n").endswith(END):
            return
        printed.append(line)
    raise AssertionError(f"{block.place} failed:\n{block.text}\nand printed:\n{''.join(printed)}")
