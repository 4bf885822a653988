"""The notebook: stored without outputs, and run from its first cell to its last."""

import ast
import json
import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from training import REPO

import cmpl_zoo

NOTEBOOK = REPO / "docs" / "quickstart.ipynb"


def test_it_is_stored_without_outputs_and_machine_paths() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) > 5
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


@pytest.mark.slow
def test_it_runs_in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The command is that of this environment; the kernel gets the path from here.
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    assert [file.name for file in tmp_path.iterdir()] == ["quickstart"]
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    printed = "".join(output.get("text", "") for output in outputs)
    video = tmp_path / "quickstart" / "videos" / "squat_fast" / "squat_fast_0001.mp4"
    model = cmpl_zoo.create_model("r3d50_eighth", pretrained=True).eval()
    [first, *_] = cmpl_zoo.predict(model, video)
    assert f"{first[1]:6.1%}  {first[0]}" in printed
    frames, page, by_torch, by_onnx = (output["data"] for output in outputs if "data" in output)
    assert "image/png" in frames
    summary = json.loads((tmp_path / "quickstart" / "run" / "summary.json").read_text())
    assert summary["step"] == 20
    assert f"{summary['validation']['primary']['video_top1']:.1f} %" in page["text/html"]
    expected, found = (dict(ast.literal_eval(result["text/plain"])) for result in (by_torch, by_onnx))
    assert len(expected) == 5 and found == pytest.approx(expected, abs=1e-4)
