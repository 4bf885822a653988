"""The real script on several processes, by torchrun."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from training import REPO, losses, options, read_rows, run, weights

EVEN = ["--labeled-batch", "4", "--unlabeled-batch", "8", "--primary", "r3d50_eighth", "--auxiliary-stride", "2"]
FROZEN = [*EVEN, "--drop-rate", "0", "--batch-norm", "frozen", "--steps", "20", "--threshold", "0.3"]


def torchrun(*args: str) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", *args]


def start(args: list[str]) -> subprocess.Popen:
    return subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPO)


def rank_processes(of: subprocess.Popen, processes: int) -> list[psutil.Process]:
    """The processes that torchrun has started, by rank."""
    found = [p for p in psutil.Process(of.pid).children() if any("cmpl.py" in word for word in p.cmdline())]
    found.sort(key=lambda process: int(process.environ()["RANK"]))
    assert len(found) == processes
    return found


def wait_for_step(output: Path, step: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + 200
    while not (output / "metrics.jsonl").exists() or len(losses(output)) < step:
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.01)


@pytest.fixture(scope="session")
def alone(videos, lists, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("alone") / "run"
    run([sys.executable, *options(lists, videos, output, *FROZEN)])
    return output


def assert_same_run(output: Path, alone: Path) -> None:
    """Losses and weights of one process, but for the order of additions."""
    assert losses(output) == pytest.approx(losses(alone), abs=1e-4)
    for network in ("primary", "auxiliary"):
        one, other = weights(alone, network), weights(output, network)
        assert one.keys() == other.keys()
        for key in one:
            torch.testing.assert_close(one[key], other[key], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_any_number_of_processes_gives_the_same_run(alone, videos, lists, tmp_path):
    """Four here, two in the next tests; a run ends well only if all ranks have come to the same weights."""
    output = tmp_path / "run"
    args = options(lists, videos, output, *FROZEN)
    done = run(torchrun("--standalone", "--nproc_per_node", "4", *args))
    assert_same_run(output, alone)
    assert done.stdout.count("primary: top-1") == 1  # rank 0 alone prints


@pytest.mark.slow
def test_live_batch_norm_ends_equal_on_all_ranks_and_is_evaluated_as_one(videos, lists, tmp_path):
    output = tmp_path / "run"
    args = options(lists, videos, output, *EVEN, "--steps", "4", "--ema", "0.9", "--accumulation", "2")
    done = run(torchrun("--standalone", "--nproc_per_node", "2", *args))
    of_run = re.search(r"primary: top-1 (\S+) % \(95 % interval: \S+ to \S+\), 9 videos", done.stdout)[1]
    alone = run([sys.executable, "train/evaluate.py", str(output / "primary"), "--data",
                 str(lists / "val.csv"), "--root", str(videos), "--workers", "0", "-o", str(tmp_path)])  # fmt: skip
    by_ranks, by_one = read_rows(output / "predictions.csv"), read_rows(tmp_path / "predictions.csv")
    for key in ("path", "predicted", "right"):
        assert [row[key] for row in by_ranks] == [row[key] for row in by_one]
    assert float(re.search(r"video, 2 x 1 views \(clips x crops\)\s+(\S+)", alone.stdout)[1]) == float(of_run)


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="torch's sync batch norm needs a GPU for each process")
def test_sync_batch_norm_gives_the_losses_of_one_process(videos, lists, tmp_path):
    told = [*EVEN, "--drop-rate", "0", "--steps", "20", "--batch-norm", "sync", "--device", "cuda"]
    run([sys.executable, *options(lists, videos, tmp_path / "one", *told)])
    processes = "4" if torch.cuda.device_count() >= 4 else "2"
    args = options(lists, videos, tmp_path / "all", *told)
    run(torchrun("--standalone", "--nproc_per_node", processes, *args))
    assert losses(tmp_path / "all")[:8] == pytest.approx(losses(tmp_path / "one")[:8], rel=1e-3)


@pytest.mark.slow
def test_a_killed_rank_is_started_again_and_the_run_goes_on(alone, videos, lists, tmp_path):
    output = tmp_path / "run"
    args = options(lists, videos, output, *FROZEN, "--save-every-steps", "1")
    process = start(torchrun("--standalone", "--nproc_per_node", "2", "--max-restarts", "1", *args))
    wait_for_step(output, 4, process)
    rank_processes(process, 2)[1].kill()
    text, _ = process.communicate(timeout=300)
    assert process.returncode == 0, text
    assert_same_run(output, alone)


@pytest.mark.slow
def test_stopped_by_sigterm_and_resumed_on_another_number_of_processes(alone, videos, lists, tmp_path):
    output = tmp_path / "run"
    args = options(lists, videos, output, *FROZEN, "--workers", "2")
    process = start(torchrun("--standalone", "--nproc_per_node", "2", *args))
    wait_for_step(output, 3, process)
    process.send_signal(signal.SIGTERM)
    text, _ = process.communicate(timeout=100)
    assert re.search(r"stopped at step \d+.*--resume", text), text
    run([sys.executable, *args, "--resume", "true"])
    assert_same_run(output, alone)
    assert re.fullmatch("2 x .*, then [^x]+", json.loads((output / "summary.json").read_text())["hardware"])


@pytest.mark.slow
def test_a_rank_that_stands_still_is_named(videos, lists, tmp_path):
    output = tmp_path / "run"
    args = options(lists, videos, output, *FROZEN, "--timeout-minutes", "0.1", "--steps", "500")
    process = start(torchrun("--standalone", "--nproc_per_node", "2", *args))
    wait_for_step(output, 2, process)
    stopped = rank_processes(process, 2)[1]
    stopped.send_signal(signal.SIGSTOP)
    try:
        deadline, seen = time.monotonic() + 100, ""
        while "rank 0: " not in seen and time.monotonic() < deadline:
            seen += process.stdout.readline()
        assert re.search(r"cmpl-zoo: rank 0: .*step \d+.* rank 1 ", seen), seen
    finally:
        stopped.kill()
        process.kill()
        process.communicate()


# The real script, in which something happens to rank 1 in its third call of a method.
DISTURBED = """
import os, signal, sys, threading, time, torch
import cmpl_zoo.training.cmpl as training
import cmpl_zoo.training.optimization as optimization
from cmpl_zoo.training.run import Run
from cmpl_zoo_cli.main import main

owner, method = {
    "step": (optimization.CosineLRScheduler, "step_update"), "forward": (training.CMPL, "forward"),
    "backward": (torch.Tensor, "backward"), "end": (Run, "measure"),
}[sys.argv[1]]
original, calls = getattr(owner, method), 0

def disturbed(self, *args, **options):
    global calls
    calls += 1
    if calls == 3 and os.environ["RANK"] == "1":
        if sys.argv[2] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        elif sys.argv[2] == "fail":
            threading.Thread(target=time.sleep, args=[1000]).start()  # as threads of NCCL that wait for others
            raise RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")
        else:
            next(iter(self.networks["primary"].parameters())).data[0] += 1e-3
    return original(self, *args, **options)

setattr(owner, method, disturbed)
sys.exit(main(["train", *sys.argv[3:]]))
"""


def disturbed(tmp_path: Path, lists: Path, videos: Path, where: str, what: str) -> str:
    """What two ranks say, of whose second one something happens to in step 3."""
    script = tmp_path / "disturbed.py"
    script.write_text(DISTURBED)
    args = options(lists, videos, tmp_path / "run", *EVEN, "--steps", "6", "--save-every-steps", "2")
    call = torchrun("--standalone", "--nproc_per_node", "2", str(script), where, what, *args[1:])
    done = subprocess.run(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=REPO, timeout=300)
    assert done.returncode != 0
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("where", ["step", "forward", "backward", "end"])
def test_a_rank_that_dies_within_a_step_is_named(videos, lists, tmp_path, where):
    """Before the collectives of the forward pass, before those of backward, and after them."""
    text = disturbed(tmp_path, lists, videos, where, "die")
    assert re.search(
        r"cmpl-zoo: rank 0: .*lost each other at step [34]: rank 1 .*(no longer answers|not reached)", text
    )
    assert text.count("Traceback (most recent call last)") == 1  # torchrun's own


@pytest.mark.slow
def test_a_gpu_that_fails_is_no_lost_rank_and_the_process_ends(videos, lists, tmp_path):
    text = disturbed(tmp_path, lists, videos, "forward", "fail")
    assert re.search(r"cmpl-zoo: rank 1: the GPU failed: cuDNN error: CUDNN_STATUS_EXECUTION_FAILED; --resume", text)
    assert "rank 1: the ranks lost" not in text


@pytest.mark.slow
def test_ranks_that_drift_apart_save_no_state(videos, lists, tmp_path):
    text = disturbed(tmp_path, lists, videos, "end", "drift")
    assert re.search(r"cmpl-zoo: rank 0: at step 4 the weights of rank 1 are not .* rank 0.*--resume .*last", text)
    assert [file.name for file in (tmp_path / "run" / "states").iterdir()] == ["step-000000002.pt"]


@pytest.mark.slow
def test_batches_that_ranks_cannot_share_are_refused(videos, lists, tmp_path):
    args = options(lists, videos, tmp_path / "run", "--steps", "2")
    done = subprocess.run(torchrun("--standalone", "--nproc_per_node", "2", *args), capture_output=True, text=True)
    assert done.returncode != 0
    assert re.search(r"--labeled-batch 3 .* 2 processes", done.stderr), done.stderr


SUM_AND_DRIFT = """
import sys
sys.path.insert(0, sys.argv[1])
import torch
from cmpl_zoo.distributed import RankError, Ranks

ranks, own = Ranks(timeout=60), torch.ones(1)
assert (ranks.sum(own).item(), ranks.sum(own).item(), own.item()) == (2, 2, 1)
layer = torch.nn.Linear(2, 2)
for parameter in layer.parameters():
    torch.nn.init.zeros_(parameter)
ranks.check_equal(layer)
torch.nn.init.constant_(layer.weight, ranks.rank)
try:
    ranks.check_equal(layer)
except RankError as error:
    assert "weights of rank 1 " in str(error) and "rank 0" in str(error)
else:
    raise AssertionError("nobody has seen that the weights differ")
ranks.leave()
"""


def test_a_sum_leaves_each_rank_its_own_and_ranks_that_drift_apart_are_found(tmp_path):
    script = tmp_path / "sum_and_drift.py"
    script.write_text(SUM_AND_DRIFT)
    run(torchrun("--standalone", "--nproc_per_node", "2", str(script), str(REPO / "train")))


@pytest.mark.slow
def test_ranks_that_do_not_find_the_same_state_are_told(alone, videos, lists, tmp_path):
    """As on two machines whose output folder is not shared."""
    shutil.copytree(alone, tmp_path / "run0")
    script = tmp_path / "own_folder.py"
    script.write_text(
        "import os, sys\n"
        "told = [*sys.argv[1:], '--resume', 'true', '--output', sys.argv[-1] + os.environ['RANK']]\n"
        "os.execv(sys.executable, [sys.executable, *told])\n"
    )
    args = options(lists, videos, tmp_path / "run", *FROZEN)
    args = [*args, "--output", str(tmp_path / "run")]
    torchrun_args = torchrun("--standalone", "--nproc_per_node", "2", str(script), *args)
    done = subprocess.run(torchrun_args, capture_output=True, text=True)
    assert done.returncode != 0
    assert re.search(r"different steps, \[20, 0\].* one --output folder", done.stderr), done.stderr


@pytest.mark.slow
def test_two_machines_train_together_and_one_comes_back(alone, videos, lists, tmp_path):
    """Two torchrun agents, as on two machines, meet on loopback; one loses its process, and both go on."""
    output = tmp_path / "run"
    args = options(lists, videos, output, *FROZEN, "--save-every-steps", "1")
    meeting = ["--nnodes", "2", "--nproc_per_node", "1", "--max-restarts", "2", "--rdzv_backend", "c10d",
               "--rdzv_endpoint", "127.0.0.1:29517", "--rdzv_id", "two"]  # fmt: skip
    agents = [start(torchrun(*meeting, *args)) for _ in range(2)]
    try:
        wait_for_step(output, 4, agents[0])
        rank_processes(agents[1], 1)[0].kill()
        for agent in agents:
            text, _ = agent.communicate(timeout=300)
            assert agent.returncode == 0, text
    finally:
        for agent in agents:
            agent.kill()
    assert_same_run(output, alone)
