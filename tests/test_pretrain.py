"""Pretraining by the real script: what it leaves, resume, ranks, and bad input."""

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from made_videos import ACTIONS
from safetensors.torch import load_file
from training import REPO, Script, command, losses, metrics, read_rows, run, weights, write_rows

import cmpl_zoo
from cmpl_zoo.pretext import TASKS
from cmpl_zoo_cli.main import main
from cmpl_zoo_cli.pretrain_config import FLOW_TASKS
from cmpl_zoo_cli.pretrain_parser import RECIPES, parse
from cmpl_zoo_cli.recipes import packaged

TINY = [
    "--model", "r3d50_eighth", "--frames", "4", "--stride", "1", "--size", "32", "--short-side", "36,42",
    "--batch", "4", "--lr", "0.01", "--log-every", "1", "--workers", "0", "--device", "cpu",
]  # fmt: skip
SHORT = {"dpc": ["--frames", "2"]}  # of its eight blocks, for videos of some thirty frames
LARGE = ["--frames", "16", "--size", "224", "--short-side", "224,256"]


def call(unlabeled: Path, root: Path, output: Path, *more: str) -> list[str]:
    return [
        sys.executable, str(REPO / "train" / "pretrain.py"), "--unlabeled", str(unlabeled), "--root", str(root),
        "--output", str(output), *TINY, *more,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def moco(videos, lists, tmp_path_factory) -> Path:
    """A finished run of six steps."""
    output = tmp_path_factory.mktemp("runs") / "moco"
    run(call(lists / "unlabeled.csv", videos, output, "--steps", "6", "--license", "cc0-1.0"))
    return output


def test_a_run_leaves_a_start_for_training(moco, videos, lists, tmp_path):
    assert len(losses(moco)) == 6 and all(0 <= line["right"] <= 1 for line in metrics(moco))
    network = cmpl_zoo.create_model(str(moco / "model"), pretrained=True)
    assert network.num_classes == 0 and network(torch.zeros(1, 3, 4, 32, 32)).shape == (1, network.num_features)
    options = ["--primary", "r3d50_eighth", "--init", str(moco / "model"), "--lr", "1e-9", "--steps", "1"]
    run(command(lists, videos, tmp_path / "run", *options, "--scheme", "none", "--auxiliary", "null"))
    before, after = load_file(moco / "model" / "model.safetensors"), weights(tmp_path / "run")
    assert before.keys() == after.keys() - {"fc.weight", "fc.bias"}
    kernels = [key for key in before if before[key].ndim == 5]
    assert all(torch.allclose(before[key], after[key], atol=1e-6) for key in kernels)


def test_the_card_tells_the_task_and_no_path(moco, videos):
    card = (moco / "model" / "README.md").read_text()
    assert "cmpl-zoo pretrain --task moco" in card and "CVPR 2020" in card and "18 videos" in card
    assert "license: cc0-1.0" in card and "without a classifier" in card
    assert str(videos) not in card and "knows the classes" not in card
    summary = json.loads((moco / "summary.json").read_text())
    report = (moco / "report.html").read_text()
    assert "Momentum Contrast" in report and report.count("<img") == 8 and f"--init {moco / 'model'}" in report
    assert "clip 8" in report and "clip 8:" not in report  # its answers are large numbers
    assert summary["step"] == 6 and summary["config"]["task"] == "moco" and len(summary["curves"]["loss"]) == 6


@pytest.mark.parametrize("task", ["moco", *(pytest.param(task, marks=pytest.mark.slow) for task in ("order", "dpc"))])
def test_ctrl_c_saves_and_resume_leads_to_the_same_weights(task, moco, videos, lists, tmp_path):
    options = ["--task", task, "--steps", "6", *SHORT.get(task, [])]
    whole = moco if task == "moco" else tmp_path / "whole"
    if task != "moco":  # the others have dropout
        run(call(lists / "unlabeled.csv", videos, whole, *options))
    args = call(lists / "unlabeled.csv", videos, tmp_path / "run", *options, "--workers", "1")
    process = Script(args)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "metrics.jsonl").exists() or not losses(tmp_path / "run"):
        assert process.poll(0.02) is None and time.monotonic() < deadline
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130 and re.search(r"stopped at step [1-5]; .*--resume", error), error
    run([*args, "--resume"])
    assert losses(tmp_path / "run") == losses(whole)
    one, other = (load_file(folder / "model" / "model.safetensors") for folder in (whole, tmp_path / "run"))
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.fixture(scope="module")
def flow(videos, lists, tmp_path_factory) -> Path:
    """The optical flow of the unlabeled videos."""
    folder = tmp_path_factory.mktemp("flow")
    words = ["flow", str(lists / "unlabeled.csv"), "--root", str(videos), "-o", str(folder), "--workers", "1"]
    assert main(words) == 0
    return folder


@pytest.mark.parametrize("task", FLOW_TASKS)
def test_tasks_of_flow_leave_a_network_and_continue(task, flow, videos, lists, tmp_path):
    whole, parts = (
        call(lists / "unlabeled.csv", videos, tmp_path / name, "--task", task, "--flow", str(flow), "--steps", "4",
             "--save-every-steps", "2")
        for name in ("whole", "parts")
    )  # fmt: skip
    run(whole)
    run(parts)
    shutil.rmtree(tmp_path / "parts" / "model")
    (tmp_path / "parts" / "states" / "step-000000004.pt").unlink()  # as if it had been killed after step 2
    run([*parts, "--resume"])
    one, other = (load_file(tmp_path / name / "model" / "model.safetensors") for name in ("whole", "parts"))
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert "fc.weight" not in one
    card = (tmp_path / "whole" / "model" / "README.md").read_text()
    assert f"cmpl-zoo pretrain --task {task}" in card and "by chance" in card


@pytest.mark.slow
@pytest.mark.parametrize("task", sorted(TASKS.keys() - {"arrow", "pace", "speed"}))  # their loss is that of rotation
def test_two_processes_learn_what_one_does(task, flow, videos, lists, tmp_path):
    options = ["--task", task, "--steps", "4", "--batch-norm", "frozen", *SHORT.get(task, [])]
    options += ["--flow", str(flow)] if task in FLOW_TASKS else []
    alone, both = (call(lists / "unlabeled.csv", videos, tmp_path / name, *options) for name in ("alone", "both"))
    run(alone)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run([*torchrun, *both[1:]], capture_output=True, text=True, cwd=REPO, timeout=300)
    assert done.returncode == 0, done.stderr
    if task in ("order", "dpc"):  # processes draw their own dropout, and dpc takes negatives of the same process
        assert len(losses(tmp_path / "both")) == len(losses(tmp_path / "alone"))
    else:
        assert losses(tmp_path / "both") == pytest.approx(losses(tmp_path / "alone"), abs=1e-4)


def test_a_folder_is_listed_once(videos, tmp_path):
    folder = tmp_path / "videos"
    for label in ACTIONS:
        shutil.copytree(videos / label, folder / label)
    args = call(folder, tmp_path, tmp_path / "run", "--steps", "2", "--task", "puzzle")
    done = run([*args, "--dry-run"])
    assert re.match(
        r"videos +36, .*\ntask +puzzle: .*\(right by chance: 4\.2 %\)\nnetwork +r3d50_eighth from random weights\n"
        r"training +2 steps of \d+ videos, 4 clips of each, about \d+ seconds?, at [\d.]+ s a step measured now on",
        done.stdout,
    )
    assert not (tmp_path / "run").exists()
    done = run(args)
    assert re.search("^training +2 steps", done.stdout, re.MULTILINE) and "right (by chance 4.2 %)" in done.stderr
    model = tmp_path / "run" / "model"
    assert done.stdout.endswith(
        f"  cmpl-zoo train {folder} --primary r3d50_eighth --init {model} -o {tmp_path / 'run'}_trained\n"
    )
    start = ["--subtract-mean-frame", "-o", str(tmp_path / "moving")]
    command_line = run([*args, *start]).stdout.splitlines()[-1]
    typed = [*shlex.split(command_line)[1:-1], str(tmp_path / "trained"), "--dry-run"]
    planned = run([sys.executable, "-m", "cmpl_zoo_cli", *typed]).stdout
    assert f"r3d50_eighth from {tmp_path / 'moving' / 'model'}" in planned
    places = re.findall(r"clip [1-4]: (\d)", (tmp_path / "run" / "report.html").read_text())
    assert sorted(places) == ["0", "1", "2", "3"]  # though there are 24 orders of them
    listed = tmp_path / "run" / "lists" / "unlabeled.csv"
    assert len(read_rows(listed)) == 36
    next(folder.rglob("*.mp4")).unlink()
    run([*args, "--resume"])
    assert len(read_rows(listed)) == 36
    run([*args, "--overwrite"])
    assert len(read_rows(listed)) == 35


def test_mistakes_are_named_in_one_sentence(moco, videos, lists, tmp_path):
    one, empty = tmp_path / "one.csv", tmp_path / "empty"
    write_rows(one, read_rows(lists / "unlabeled.csv")[:1])
    empty.mkdir()
    (nowhere := tmp_path / "nowhere").mkdir()
    (nowhere / "flow.json").write_text("{}")
    gone = tmp_path / "gone.csv"
    write_rows(gone, [{"path": f"{number}.mp4"} for number in range(3)])
    cases = [
        ({"unlabeled": one}, [], r"one\.csv: has one video.*give more"),
        ({"unlabeled": gone}, [], r"gone\.csv: .*0\.mp4.*--unlabeled and --root"),
        ({"unlabeled": empty}, [], r"empty.*no video"),
        ({"output": moco}, [], r"run already.*--resume.*--overwrite"),
        ({"output": moco}, ["--resume", "--task", "pace"], r"other options \(task was moco"),
        ({}, ["--model", "r3d55"], r"'r3d55' is neither.*did you mean r3d50"),
        ({}, ["--model", str(moco / "model")], r"give --model r3d50_eighth --init .*moco/model"),
        ({}, ["--init", str(moco / "model"), "--model", "r3d50_quarter"], r"start r3d50_quarter from .*r3d50_eighth"),
        ({}, ["--init", str(moco / "model"), "--normalize-clip"], r"model: that needs --normalize-clip false"),
        ({}, ["--task", "motion", "--flow", str(empty)], r"--flow .*empty holds no flow\.json, which `cmpl-zoo flow`"),
        ({}, ["--task", "motion", "--flow", str(nowhere)], rf"{re.escape(str(nowhere))}.*\.mp4.*cmpl-zoo flow"),
        ({}, ["--task", "arrow", "--frames", "1"], r"--task arrow asks for movement.*--frames 2"),
        ({"unlabeled": videos, "output": moco}, ["--resume"], r"moco holds a run whose list was given; .*same --unlab"),
        ({}, ["--init", str(videos)], rf"{re.escape(str(videos))}"),
        ({}, ["--task", "dpc", "--model", "tv_mvit_v2_s", *LARGE], r"--task dpc needs a network.*--model r3d50"),
    ]
    for number, (paths, more, message) in enumerate(cases):
        of = {"unlabeled": lists / "unlabeled.csv", "output": tmp_path / f"out{number}"} | paths
        error = run(call(of["unlabeled"], videos, of["output"], "--steps", "6", *more), expect=2).stderr
        assert re.search(message, error) and "Traceback" not in error, error


def test_videos_too_short_for_the_task_are_left_out_and_named(videos, tmp_path):
    from made_videos import encode

    for label in sorted(ACTIONS):
        shutil.copytree(videos / label, tmp_path / "videos" / label)
    encode(tmp_path / "videos" / "still.mp4", 1)
    done = run(call(tmp_path / "videos", tmp_path, tmp_path / "run", "--steps", "10", "--task", "pace",
                    "--max-unreadable", "0.1"))  # fmt: skip
    assert re.search(r"left out: .*still\.mp4: has 1 frame, and the task needs at least 5", done.stderr)
    error = run(call(tmp_path / "videos", tmp_path, tmp_path / "run2", "--steps", "10", "--task", "pace"), 2).stderr
    assert re.search(r"1 of 37 videos cannot be read.*--max-unreadable", error)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--task", "puzle", "--steps", "1"], r"--task must be one of moco, pace.*, not puzle"),
        (["--steps", "1", "--epochs", "1"], r"either --steps or --epochs"),
        (["--steps", "1", "--accumulation", "3"], r"--batch 32 .*--accumulation 3"),
        (["--steps", "1", "--short-side", "20,30"], r"--short-side 20,30"),
        (["--steps", "1", "--size", "16"], r"--size must be at least 32 pixels"),
        (["--steps", "1", "--lamda-u", "1"], r"--lamda-u.*; cmpl-zoo pretrain --help"),
        (["--task", "motion", "--steps", "1"], r"--task motion .*optical flow.*cmpl-zoo flow LIST.*--flow DIR"),
        (["--flow", "x", "--steps", "1"], r"--flow is for --task motion.*not moco"),
        (["--config", "moco_small", "--epochs", "3"], r"recipe gives --steps.*--steps null"),
        (["--config", "own_videos"], r"--config own_videos: no such file.*recipes are"),
    ],
)
def test_options_that_are_refused(capsys, words, message):
    with pytest.raises(SystemExit) as ended:
        parse(["--unlabeled", "a.csv", "-o", "run", *words])
    assert ended.value.code == 2 and re.search(message, capsys.readouterr().err)


def test_every_task_has_a_published_and_a_small_recipe():
    assert set(packaged(RECIPES)) == {name + size for name in TASKS for size in ("", "_small")}
    for name in packaged(RECIPES):
        task = name.removesuffix("_small")
        flow = ["--flow", "flow"] if task in FLOW_TASKS else []
        assert parse(["--config", name, "--unlabeled", "a.csv", "-o", "run", *flow])[0].task == task
