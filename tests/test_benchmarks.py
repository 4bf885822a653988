"""The benchmarks' scripts, as far as they measure nothing."""

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
