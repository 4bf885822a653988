"""Which device is taken, what is said of it, and what its errors become."""

import re
import sys

import pytest
import torch
from training import command, run, start_from

import cmpl_zoo
from cmpl_zoo import distributed
from cmpl_zoo.datasets.watchdog import WorkerError
from cmpl_zoo.distributed import Ranks, device_failure, set_up_device
from cmpl_zoo.training.provenance import hardware

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this is about machines whose GPU torch cannot use")


@no_gpu
def test_auto_takes_the_cpu_and_says_where_a_gpu_cannot_be_used(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(distributed, "NVIDIA_GPUS", (str(tmp_path / "gpus" / "*"),))
    assert set_up_device("auto") == torch.device("cpu")
    assert capsys.readouterr().err == ""
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    assert set_up_device("auto") == torch.device("cpu")
    said = capsys.readouterr().err
    assert re.search(r"^warning: .*on the CPU.*NVIDIA GPU: .*(driver|not compiled).*; .*--gpus all", said)
    assert said.count("\n") == 1
    for quiet in (lambda: set_up_device("cpu"), lambda: set_up_device("auto", number=1)):
        assert quiet() == torch.device("cpu")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert set_up_device("auto") == torch.device("cpu")
    assert capsys.readouterr().err == ""


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_named_with_its_libraries_and_tf32():
    said = hardware("float32", set_up_device("auto"), Ranks())
    assert re.fullmatch(r".+, torch [\d.]+, CUDA \d+\.\d+, cuDNN \d+, float32( \(float32 as TF32\))?", said)


# As torch 2.11 to 2.14 raise them.
ILLEGAL = "CUDA error: an illegal memory access was encountered"
FAILURES = {
    f"{ILLEGAL}\nCUDA kernel errors might be asynchronously reported at some other API call.\n": ILLEGAL,
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED": "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle)`":
        "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle)`",
    "GET was unable to find an engine to execute this computation":
        "GET was unable to find an engine to execute this computation",
    "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:545] Connection closed by peer [127.0.0.1]:47795": "",
    "mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)": "",
}  # fmt: skip


@pytest.mark.parametrize("error, said", FAILURES.items())
def test_what_a_gpu_says_when_it_fails_is_told_from_other_errors(error, said):
    assert device_failure(RuntimeError(error)) == said


def test_other_kinds_of_errors_of_a_gpu():
    assert device_failure(torch.AcceleratorError(f"{ILLEGAL}\nand more")) == ILLEGAL
    assert device_failure(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")) == ""
    assert device_failure(torch.distributed.DistBackendError("NCCL error, Call to CUDA function failed")) == ""
    assert device_failure(WorkerError("videos/CUDA error.mp4: a worker process has been stuck for 60 s")) == ""


FAILING = """
import sys, torch
from cmpl_zoo.models import R3D
from cmpl_zoo_cli.main import main

def fail(*_):
    raise torch.AcceleratorError("CUDA error: unspecified launch failure\\nCompile with `TORCH_USE_CUDA_DSA`.")

R3D.forward = fail
sys.exit(main([sys.argv[1], *sys.argv[2:]]))
"""


def test_a_gpu_that_fails_ends_training_and_evaluation_in_one_sentence(videos, lists, tmp_path):
    script = tmp_path / "failing.py"
    script.write_text(FAILING)
    told = command(lists, videos, tmp_path / "run", "--steps", "2")[2:]
    error = run([sys.executable, str(script), "train", *told], expect=2).stderr
    [said] = [line for line in error.splitlines() if "GPU" in line]
    assert re.search(r"cmpl-zoo: .*GPU failed: CUDA error: unspecified launch failure; --resume .*beginning", said)
    assert "Traceback" not in error and "DSA" not in error
    told = [
        str(start_from(tmp_path / "model", lambda _: None)),
        "--data",
        str(lists / "val.csv"),
        "--root",
        str(videos),
    ]
    error = run([sys.executable, str(script), "evaluate", *told, "--workers", "0"], expect=2).stderr
    assert "GPU failed: CUDA error: unspecified launch failure;" in error and "DSA" not in error


def test_logits_are_float32_under_autocast():
    """Where the features are bfloat16, which has eight bits for the logits of all classes."""
    torch.manual_seed(0)
    model = cmpl_zoo.create_model("r3d50_eighth", num_classes=5).eval()
    clips = torch.rand(2, 3, 4, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        features, logits = model.forward_head(model.forward_features(clips), pre_logits=True), model(clips)
    assert (features.dtype, logits.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(logits, model.fc(features.float()))
    assert not torch.equal(logits, logits.bfloat16().float())
    with torch.autocast("cpu", torch.bfloat16):
        assert cmpl_zoo.create_model("r3d50_eighth", num_classes=0)(clips).dtype == torch.bfloat16
