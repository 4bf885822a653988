"""`cmpl-zoo env`: what an issue report has to tell of the machine and its packages."""

import argparse
import importlib
import os
import platform

from cmpl_zoo_cli.arguments import Verbs, add_verb
from cmpl_zoo_cli.version import __version__

PACKAGES = ("numpy", "torch", "torchvision", "timm", "av")


def add_parser(verbs: Verbs) -> None:
    add_verb(
        verbs,
        "env",
        run,
        "versions and device, for an issue report",
        "Versions of the packages that results depend on, and the devices of this machine, for an issue "
        "report. No path and no name of yours is among them.",
    )


def run(args: argparse.Namespace) -> int:
    lines = {"cmpl_zoo": __version__, "Python": platform.python_version(), "system": platform.platform()}
    lines |= {name: _version(name) for name in PACKAGES}
    for name, tell in (("FFmpeg", _ffmpeg), ("device", _devices)):
        try:
            lines[name] = tell()
        except Exception:  # its package has the reason in its own line
            lines[name] = "unknown"
    for name, value in lines.items():
        print(f"{name:<11}  {value}")
    return 0


def _version(package: str) -> str:
    try:
        return importlib.import_module(package).__version__
    except Exception as error:  # whatever is wrong with it is what the report may be about; its message has paths
        missing = isinstance(error, ModuleNotFoundError) and error.name == package
        return "not installed" if missing else f"cannot be imported ({type(error).__name__})"


def _ffmpeg() -> str:
    import av

    libraries = (f"{name} {'.'.join(map(str, numbers))}" for name, numbers in av.library_versions.items())
    return f"{av.ffmpeg_version_info}: {', '.join(libraries)}"


def _devices() -> str:
    import torch

    name = torch.cpu.get_capabilities().get("cpu_name") or platform.machine()
    devices = [f"cpu ({name}, {os.cpu_count()} cores)"]
    for number in range(torch.cuda.device_count()):
        devices.append(f"cuda:{number} ({torch.cuda.get_device_name(number)}, CUDA {torch.version.cuda})")
    if torch.backends.mps.is_available():
        devices.append("mps")
    return ", ".join(devices)
