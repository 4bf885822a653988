"""The tables in the pages: made of results/*.json, and of runs that can be compared."""

import json
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from training import REPO

PAGES = [REPO / "README.md", REPO / "benchmarks" / "README.md", *sorted((REPO / "docs").glob("*.md"))]


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPO / "benchmarks")
    import results

    return results


@pytest.fixture
def few(results: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Two seeds of real runs with five labels a class."""
    for file in (REPO / "benchmarks" / "results").glob("labels-cpu-*-5-seed[12].json"):
        shutil.copy(file, tmp_path)
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    return tmp_path


def change(file: Path, target: Path, **values: object) -> None:
    result = json.loads(file.read_text())
    result |= {key: value for key, value in values.items() if key in result}
    result["recipe"] |= {key: value for key, value in values.items() if key in result["recipe"]}
    target.write_text(json.dumps(result))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_no_table_is_typed(results: ModuleType, page: Path) -> None:
    tables = re.findall(r"<!-- table: (\S+) -->\n(.*?)\n<!-- end -->", page.read_text(), re.DOTALL)
    for name, table in tables:
        assert table == results.named_table(name), f"{name}: run python benchmarks/results.py tables"


def test_a_seed_that_not_all_rows_have_is_left_out(results: ModuleType, few: Path) -> None:
    whole = results.named_table("labels-cpu-validation")
    assert "\n| 5 | 2 | " in whole
    change(few / "labels-cpu-cross-5-seed1.json", few / "labels-cpu-cross-5-seed3.json", seed=3, top1=99.0)
    assert results.named_table("labels-cpu-validation") == whole


def test_of_a_half_run_experiment_there_is_what_can_be_compared(results: ModuleType, few: Path) -> None:
    for file in few.glob("labels-cpu-cross-*"):
        for row in ("fights, unlabeled mocap13", "half, labels-alone"):
            name = f"transfer-cpu-{row.partition(',')[0]}-seed{json.loads(file.read_text())['seed']}.json"
            change(file, few / name, experiment="transfer", row=row)
        file.unlink()
    assert results.named_table("labels-cpu-validation").count("\n") == 1, "the head alone"
    lines = results.named_table("transfer-cpu-validation").splitlines()
    assert [line.split("|")[4].strip() for line in lines[2:]] == ["", ""], "no base to be set against, or the base"


def test_runs_of_several_recipes_or_steps_make_no_table(results: ModuleType, few: Path) -> None:
    file = few / "labels-cpu-cross-5-seed1.json"
    original = file.read_text()
    change(file, file, threshold=0.1)
    with pytest.raises(SystemExit, match="the runs of labels, cross, 5, have several recipes"):
        results.named_table("labels-cpu-validation")
    file.write_text(original)
    change(file, file, step=7)
    with pytest.raises(SystemExit, match=r"the runs of labels have \[7, 1600\] steps"):
        results.named_table("labels-cpu-validation")


def test_empty_cells(results: ModuleType) -> None:
    assert results.markdown(["", "a"], [["x", ""], ["", ""]]) == "| | a |\n|---|---|\n| x | |\n| | |"
