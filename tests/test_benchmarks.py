"""The benchmarks' scripts, as far as they measure nothing."""

import ast
import importlib
import sys

import pytest
from training import REPO, run


@pytest.mark.parametrize("name", ["cost", "load", "predict", "timeline"])
def test_a_benchmark_that_is_asked_for_help_measures_nothing(name):
    result = REPO / "benchmarks" / "results" / f"{name}.json"
    before = result.stat().st_mtime_ns
    assert f"usage: {name}.py" in run([sys.executable, f"benchmarks/{name}.py", "--help"]).stdout
    run([sys.executable, f"benchmarks/{name}.py", "--nonsense"], expect=2)
    assert result.stat().st_mtime_ns == before


@pytest.mark.parametrize("folder", ["benchmarks", "experiments", "train", "space"])
def test_what_the_scripts_import_of_this_package_exists(folder):
    found = 0
    for file in (REPO / folder).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("cmpl_zoo"):
                for name in node.names:
                    found += 1
                    if not hasattr(importlib.import_module(node.module), name.name):
                        importlib.import_module(f"{node.module}.{name.name}")  # raises if it is no module either
    assert found
