"""What a result was made with: versions, commit, hardware, and the contents of its lists."""

import hashlib
import platform
import subprocess
import sys
from pathlib import Path

import torch
import torchvision

from cmpl_zoo.distributed import Ranks
from cmpl_zoo_cli.version import __version__


def versions() -> str:
    """The versions that a result depends on."""
    return (
        f"cmpl_zoo {__version__}, commit {commit()}, torch {torch.__version__}, torchvision {torchvision.__version__}, "
        f"Python {sys.version.partition(' ')[0]}"
    )


def digests(*files: str | None) -> dict[str, str]:
    """The contents of the files, among these, that a run learns from."""
    return {
        file: hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files if file and Path(file).is_file()
    }


def commit() -> str:
    """The commit of this checkout, marked where files were changed; "unknown" outside of one."""
    checkout = Path(__file__).parents[2]
    if not (checkout / ".git").exists():  # installed, perhaps below somebody's own repository
        return "unknown"
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    except FileNotFoundError:  # no git
        return "unknown"
    return done.stdout.strip() or "unknown"


def hardware(precision: str, device: torch.device, ranks: Ranks) -> str:
    """What something was computed on, for a reader: devices, versions, precision."""
    threads = torch.get_num_threads()
    libraries = f"torch {torch.__version__.partition('+')[0]}"
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        libraries += f", CUDA {torch.version.cuda}, cuDNN {torch.backends.cudnn.version()}"
        if torch.get_float32_matmul_precision() != "highest" and torch.cuda.get_device_capability(device) >= (8, 0):
            precision += " (float32 as TF32)"  # which `set_up_device` asks for
    else:
        processor = torch.cpu.get_capabilities().get("cpu_name", platform.machine())
        name = f"{threads} CPU thread{'s'[: threads > 1]} ({processor})"
    several = f"{ranks.size} x " if ranks.size > 1 else ""
    return f"{several}{name}, {libraries}, {precision}"
