"""`cmpl-zoo env`."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path

import av
import pytest
import torch

from cmpl_zoo_cli.main import main
from cmpl_zoo_cli.version import __version__


def test_it_tells_the_versions_and_the_device_and_no_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["env"]) == 0
    text = capsys.readouterr().out
    told = dict(line.split(maxsplit=1) for line in text.splitlines())
    for package in ("torchvision", "timm", "av"):
        assert told[package].partition("+")[0] == importlib.metadata.version(package).partition("+")[0]
    assert (told["cmpl_zoo"], told["torch"]) == (__version__, torch.__version__)  # with the CUDA that it is built for
    assert (told["Python"], told["system"]) == (platform.python_version(), platform.platform())
    assert f"libavcodec {'.'.join(map(str, av.library_versions['libavcodec']))}" in told["FFmpeg"]
    assert ("cuda:0" in told["device"]) == torch.cuda.is_available()
    assert os.sep not in text


def test_it_answers_where_packages_are_missing_or_broken(tmp_path: Path) -> None:
    Path(tmp_path, "torchvision.py").write_text("open('/no/such/library.so')\n")
    Path(tmp_path, "timm.py").write_text("import what_it_needs\n")
    code = """
import sys
sys.modules["av"] = None  # as if it were not installed
from cmpl_zoo_cli.main import main
sys.exit(main(["env"]))
"""
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"PYTHONPATH": path}
    )
    assert done.returncode == 0, done.stderr
    told = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert told["torch"] == torch.__version__
    assert told["torchvision"] == "cannot be imported (FileNotFoundError)"
    assert told["timm"] == "cannot be imported (ModuleNotFoundError)"
    assert (told["av"], told["FFmpeg"]) == ("not installed", "unknown")
    assert "/no/such" not in done.stdout + done.stderr
