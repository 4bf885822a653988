"""What a run loses when something fails: nothing."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from training import CLASSES, Script, assert_same_weights, command, files_of, losses, metrics, read_rows, run, weights

import cmpl_zoo
from cmpl_zoo.training.checkpoint import States, read_state
from cmpl_zoo.training.signals import Interrupt

STEPS = ["--steps", "8", "--val-every", "4", "--save-every-steps", "1", "--log-every", "3"]
STEPS += ["--drop-rate", "0.3", "--ema", "0.9"]


@pytest.fixture(scope="session")
def unbroken(videos, lists, tmp_path_factory) -> Path:
    """A run of eight steps, with all that has a state or draws of its own, that nothing disturbed."""
    output = tmp_path_factory.mktemp("unbroken") / "run"
    run(command(lists, videos, output, *STEPS))
    return output


def same_numbers(output: Path) -> list[dict]:
    """The log without what depends on the time."""
    timed = ("clips_per_s", "waited_for_data", "memory_mb")
    return [{key: value for key, value in line.items() if key not in timed} for line in metrics(output)]


def states(output: Path) -> list[Path]:
    return sorted((output / "states").glob("step-*.pt"))


def wait_for(condition, process: Script) -> bool:
    """Until it is so, or the process has ended."""
    deadline = time.monotonic() + 200
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return True


@pytest.mark.slow
def test_killed_again_and_again_it_ends_in_the_same_bits(unbroken, videos, lists, tmp_path):
    """KILLS=10 pytest tests/test_faults.py -k killed    # kills at that many random moments instead of three"""
    output = tmp_path / "run"
    args = command(lists, videos, output, *STEPS, "--resume", "true")
    for _ in range(kills := int(os.environ.get("KILLS", 3))):
        before = len(states(output)) and states(output)[-1]
        process = Script(args)
        if random.random() < 6 / kills:  # after some steps, else while it starts
            wait_for(lambda before=before: states(output) and states(output)[-1] != before, process)
            time.sleep(random.uniform(0, 0.5))
        else:
            time.sleep(random.uniform(0, 3))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        process.communicate()
    run(args)
    assert_same_weights(unbroken, output)
    assert_same_weights(unbroken / "best", output / "best")
    assert same_numbers(output) == same_numbers(unbroken)
    assert len(states(output)) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP])
def test_a_cluster_that_takes_the_machine_back_gets_a_saved_state(unbroken, videos, lists, tmp_path, number):
    output = tmp_path / "run"
    told = [*STEPS[:4], "--save-every-steps", "100", *STEPS[6:], "--resume", "true"]
    args = command(lists, videos, output, *told)
    process = Script(args)
    assert wait_for(lambda: (output / "metrics.jsonl").exists() and losses(output), process)
    process.send_signal(number)
    _, error = process.communicate(timeout=100)
    assert process.returncode == 128 + number, error
    assert re.search(r"stopped at step [3-8].*--resume", error)
    run(args)
    assert_same_weights(unbroken, output)
    assert same_numbers(output) == same_numbers(unbroken)


TERMINAL = """
import os, pty, runpy, sys, termios

child, terminal = pty.fork()
if not child:
    termios.tcsetwinsize(1, (24, 200))  # else it has no room for a progress bar
    sys.argv = sys.argv[1:]
    runpy.run_path(sys.argv[0], run_name="__main__")
    os._exit(0)
seen = b""
while b" 1/8" not in seen:
    seen += os.read(terminal, 1000)
os.close(terminal)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_terminal_that_is_closed_gets_a_saved_state(videos, lists, tmp_path):
    """SIGHUP comes, and what is written to the terminal fails."""
    script, output = tmp_path / "terminal.py", tmp_path / "run"
    script.write_text(TERMINAL)
    args = command(lists, videos, output, *STEPS[:4], "--save-every-steps", "100", *STEPS[6:])
    run([sys.executable, str(script), *args[1:]], expect=128 + signal.SIGHUP)
    assert len(states(output)) == 1


def test_signals_mean_afterwards_what_they_meant_before():
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP]
    before = [signal.getsignal(number) for number in numbers]
    with Interrupt() as interrupt:
        assert all(signal.getsignal(number) == interrupt._ask for number in numbers)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert interrupt.asked == signal.SIGUSR1
    assert [signal.getsignal(number) for number in numbers] == before

    def within_thread() -> None:
        with Interrupt():
            seen.extend(signal.getsignal(number) for number in numbers)

    seen: list = []
    thread = threading.Thread(target=within_thread)
    thread.start()
    thread.join()
    assert seen == before

    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with Interrupt() as interrupt:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not interrupt.asked
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)


def test_a_damaged_state_gives_way_to_the_one_before(unbroken, videos, lists, tmp_path):
    output = shutil.copytree(unbroken, tmp_path / "run")
    args = command(lists, videos, output, *STEPS, "--resume", "true")
    newest = states(output)[-1]
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    (output / "primary" / "model.safetensors").unlink()
    error = run(args).stderr
    assert re.search(rf"warning: {newest} is damaged", error)
    assert_same_weights(unbroken, output)
    assert len(states(output)) == 2 and all(map(read_state, states(output)))
    for file in states(output):
        os.truncate(file, file.stat().st_size // 2)
    error = run(args, expect=2).stderr
    assert re.search(r"states: all 2 states are damaged.*--overwrite", error)
    before = files_of(output)
    for cannot in (["--primary", "r3d50_eigth"], ["--init", "nowhere"], ["--batch-norm", "sync"]):
        run([*args[:-2], "--overwrite", "true", *cannot], expect=2)
        assert files_of(output) == before, "a run that cannot begin deletes none"
    (output / "notes").mkdir()
    (output / "notes" / "mine.txt").write_text("mine")
    (output / "best" / "old").write_text("")
    run([*args[:-2], "--overwrite", "true"])
    assert_same_weights(unbroken, output)
    assert (output / "notes" / "mine.txt").read_text() == "mine" and not (output / "best" / "old").exists()


@pytest.mark.parametrize("keep", [1, 2])
def test_a_damaged_state_is_not_kept_in_place_of_a_good_one(tmp_path, keep):
    saved = States(tmp_path, keep)
    for step in (5, 10):
        saved.save(step, {"step": step})
    if keep == 1:
        shutil.copy(tmp_path / "states" / "step-000000010.pt", tmp_path / "states" / "step-000000005.pt")
    (tmp_path / "states" / "step-000000010.pt").write_bytes(b"damaged")
    assert saved.load() and len(saved.files()) == 2, "other processes may still read it"
    for step in (6, 7):
        saved.save(step, {"step": step})
        assert [read_state(file)["step"] for file in saved.files()][-1] == step
    assert len(saved.files()) == keep


def test_a_folder_is_one_process_at_a_time(unbroken, videos, lists, tmp_path):
    output = shutil.copytree(unbroken, tmp_path / "run")
    before = files_of(output)
    holding = "import sys; from pathlib import Path; from cmpl_zoo.training.run_folder import only_process\n"
    holding += "with only_process(Path(sys.argv[1])):\n    print('held', flush=True); input()"
    words = [sys.executable, "-c", holding, str(output)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        for option in ("--resume", "--overwrite"):
            error = run(command(lists, videos, output, *STEPS, option, "true"), expect=2).stderr
            assert re.search(rf"another process trains in {output}; wait", error)
        other.communicate("\n")
    assert files_of(output) == before | {".lock": b""}
    run(command(lists, videos, output, *STEPS, "--resume", "true"))


def test_a_failed_validation_costs_nothing(unbroken, videos, lists, tmp_path):
    """Nor does another folder of the same videos: what is drawn depends on places in the lists."""
    root, output, validation = tmp_path / "videos", tmp_path / "run", read_rows(lists / "val.csv")
    for row in [*read_rows(lists / "labeled.csv"), *read_rows(lists / "unlabeled.csv"), *validation]:
        (root / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        (root / row["path"]).symlink_to(videos / row["path"])
    args = command(lists, root, output, *STEPS, "--save-every-steps", "100")
    process = Script(args)
    assert wait_for((output / "metrics.jsonl").exists, process)
    for row in validation:
        (root / row["path"]).unlink()
    _, error = process.communicate(timeout=100)
    assert process.returncode == 2, error
    assert re.search(r"val\.csv: none of the 9 videos can be read.*state is saved.*--val-root.*--resume", error)
    assert [file.name for file in states(output)] == ["step-000000004.pt"]
    error = run([*args, "--resume", "true"], expect=2).stderr
    assert re.search(r"val\.csv: .*none of the 9 videos .*--val and --val-root", error)
    run(command(lists, videos, output, *STEPS, "--resume", "true"))
    assert_same_weights(unbroken, output)
    assert_same_weights(unbroken / "best", output / "best")
    assert same_numbers(output) == same_numbers(unbroken)


def test_a_full_disk_costs_a_state_and_not_the_run(unbroken, videos, lists, tmp_path):
    output = tmp_path / "run"
    args = command(lists, videos, output, *STEPS)
    largest = max(file.stat().st_size for file in unbroken.glob("*/model.safetensors"))
    assert states(unbroken)[0].stat().st_size > 2 * largest
    process = Script(args, file_size=2 * largest)
    _, error = process.communicate()
    assert process.returncode == 0, error
    assert re.search(r"warning: step 1: the state cannot be saved .*File too large.* from the beginning", error)
    assert_same_weights(unbroken, output)
    assert list((output / "states").iterdir()) == []


def test_a_log_line_that_was_cut_off_is_dropped(unbroken, videos, lists, tmp_path):
    output = shutil.copytree(unbroken, tmp_path / "run")
    with (output / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "lo')
    (output / "summary.json").unlink()
    args = command(lists, videos, output, *STEPS, "--resume", "true")
    run(args)
    assert same_numbers(output) == same_numbers(unbroken)
    assert (output / "summary.json").exists()
    (output / "config.yaml").write_text("steps: [")
    error = run(args, expect=2).stderr
    assert re.search(r"config\.yaml cannot be read .*not YAML.*--overwrite", error)
    (output / "config.yaml").unlink()
    assert re.search(r"config\.yaml cannot be read .*No such file", run(args, expect=2).stderr)


@pytest.mark.slow
def test_where_not_even_the_log_can_be_written_the_run_says_so(unbroken, videos, lists, tmp_path):
    output = tmp_path / "run"
    args = command(lists, videos, output, *STEPS, "--log-every", "1", "--val-every", "0")
    limit = (unbroken / "config.yaml").stat().st_size + 100
    process = Script(args, file_size=limit)
    _, error = process.communicate()
    assert process.returncode == 2, error
    assert re.search(rf"cmpl-zoo: {output}.*: File too large.*--resume .*from the beginning", error)
    assert limit - 1000 < (output / "metrics.jsonl").stat().st_size <= limit
    run([*args, "--resume", "true"])
    assert_same_weights(unbroken, output)


def test_a_loss_that_is_no_number_stops_with_its_videos_and_leaves_the_states(videos, lists, tmp_path):
    output = tmp_path / "run"
    args = command(lists, videos, output, "--steps", "40", "--lr", "1e12", "--save-every-steps", "1")
    error = run(args, expect=2).stderr
    step = int(re.search(r"the loss or the gradient of step (\d+) is not finite", error)[1])
    named = re.findall(r"^  (/.*\.mp4)$", error, re.M)
    assert len(named) == 3 + 4
    assert all(Path(name).exists() for name in named)
    assert [int(file.stem[5:]) for file in states(output)][-1] == step - 1
    assert json.loads((output / "metrics.jsonl").read_text().splitlines()[-1])["step"] == step - 1


def test_a_gradient_that_is_no_number_stops_before_its_weights_are_saved(videos, lists, tmp_path):
    """The loss is finite, and so large that the norm of its gradient is not."""
    model = cmpl_zoo.create_model("r3d50_quarter", num_classes=len(CLASSES))
    model.fc.weight.data *= 1e26
    start = cmpl_zoo.save(model, tmp_path / "start", CLASSES)
    args = command(lists, videos, tmp_path / "run", "--steps", "3", "--init", str(start), "--save-every-steps", "1")
    assert "the loss or the gradient of step 1 is not finite" in run(args, expect=2).stderr
    assert states(tmp_path / "run") == []


def test_the_resolved_recipe_repeats_the_run(unbroken, tmp_path):
    recipe = (unbroken / "config.yaml").read_text()
    assert re.match(r"# cmpl_zoo \S+, commit \S+, torch \S+, torchvision \S+, Python \S+\n", recipe)
    args = command(tmp_path, tmp_path, tmp_path)[:2]
    run([*args, "--config", str(unbroken / "config.yaml"), "--output", str(tmp_path / "run")])
    assert_same_weights(unbroken, tmp_path / "run")


def test_the_summary_holds_what_a_report_needs(unbroken):
    summary = json.loads((unbroken / "summary.json").read_text())
    assert summary["curves"]["step"] == [line["step"] for line in metrics(unbroken)]
    kept = [value for value in summary["curves"]["loss"] if value is not None]
    assert kept == losses(unbroken)
    for line in metrics(unbroken):
        if "loss" in line:
            assert {"gradient_norm", "clips_per_s", "waited_for_data", "memory_mb", "lr"} <= line.keys()
            assert line["gradient_norm"] > 0
    scores = summary["validation"]["primary"]
    table = scores["confusion"]
    assert sum(map(sum, table)) == scores["videos"] == 9
    assert sum(table[i][i] for i in range(3)) == round(scores["video_top1"] * 9 / 100)
    assert [100 * row[i] / sum(row) for i, row in enumerate(table)] == pytest.approx(list(scores["per_class"].values()))


@pytest.mark.slow
def test_memory_savers_change_no_result(videos, lists, tmp_path):
    """With batch norm frozen, parts of a step and recomputed activations give the losses of the whole."""
    told = ["--steps", "3", "--batch-norm", "frozen", "--drop-rate", "0", "--labeled-batch", "4"]
    for name, more in {
        "plain": [],
        "parts": ["--accumulation", "4"],
        "recomputed": ["--grad-checkpointing", "true", "--clip-grad", "1e9"],
    }.items():
        run(command(lists, videos, tmp_path / name, *told, *more))
    for name in ("parts", "recomputed"):
        assert losses(tmp_path / name) == pytest.approx(losses(tmp_path / "plain"), rel=1e-5)
        assert (tmp_path / name / "report.html").exists()
    clipped = tmp_path / "clipped"
    run(command(lists, videos, clipped, *told, "--clip-grad", "0.01"))
    assert losses(clipped)[0] == losses(tmp_path / "plain")[0]
    assert losses(clipped)[2] != losses(tmp_path / "plain")[2]


def test_fp16_passes_over_losses_that_are_not_finite(videos, lists, tmp_path):
    told = ["--steps", "3", "--precision", "fp16", "--lr", "1e5", "--warmup-steps", "0"]
    refused = run(command(lists, videos, tmp_path / "refused", *told), expect=2)
    assert "is not finite" in refused.stderr
    run(command(lists, videos, tmp_path / "run", *told, "--skip-nonfinite", "true"))
    assert None in losses(tmp_path / "run"), "which is how JSON has what is not finite"
    for network in ("primary", "auxiliary"):
        assert all(tensor.isfinite().all() for tensor in weights(tmp_path / "run", network).values())


@pytest.mark.slow
def test_compiled_networks_give_the_losses_of_the_plain_ones(videos, lists, tmp_path):
    told = ["--steps", "4", "--primary", "r3d18", "--auxiliary", "null", "--scheme", "self", "--drop-rate", "0"]
    for name in ("false", "true"):
        run(command(lists, videos, tmp_path / name, *told, "--compile", name))
    compiled, plain = losses(tmp_path / "true"), losses(tmp_path / "false")
    assert compiled[:2] == pytest.approx(plain[:2], rel=1e-4)
    assert compiled == pytest.approx(plain, rel=5e-3)  # what rounding has become after four steps
