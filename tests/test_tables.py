"""The tables in the pages: made of the stored results, and of runs that can be compared."""

import re
import statistics
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from training import REPO


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPO / "experiments")
    import tables

    return tables


@pytest.fixture
def speed_tables(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPO / "benchmarks")
    import speed_tables

    return speed_tables


@pytest.fixture
def few(tables: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Two seeds of real runs with five labels a class; tables are made of what `store` has stored."""
    stored = tables.read_results(tables.RESULTS / "labels.jsonl")
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    return [result for result in stored if result["measured_on"] == "validation" and result["row"].endswith(", 5")
            and result["seed"] < 3]  # fmt: skip


def store(tables: ModuleType, experiment: str, results: list[dict[str, Any]]) -> None:
    (file := tables.RESULTS / f"{experiment}.jsonl").unlink(missing_ok=True)
    with tables.ResultsWriter(file) as writer:
        for result in results:
            writer.add(result)


def test_no_table_is_typed(tables: ModuleType, speed_tables: ModuleType) -> None:
    from pages import PAGES

    found = [(page, name, table) for page in PAGES for name, table
             in re.findall(r"<!-- table: (\S+) -->\n(.*?)\n<!-- end -->", page.read_text(), re.DOTALL)]  # fmt: skip
    assert {page.parent for page, _, _ in found} == {REPO / room for room in ("experiments", "benchmarks", "docs")}
    for page, name, table in found:
        made = [one for one in (tables.named_table(name), speed_tables.named_table(name)) if one is not None]
        assert made == [table], f"{page}, {name}: run python experiments/tables.py write, benchmarks/speed_tables.py"


def test_a_script_leaves_the_tables_of_another_alone(tables: ModuleType, monkeypatch, tmp_path: Path) -> None:
    import pages

    page = tmp_path / "page.md"
    page.write_text("a\n<!-- table: ours -->\nold\n<!-- end -->\nb\n<!-- table: theirs -->\nkept\n<!-- end -->\n")
    monkeypatch.setattr(pages, "PAGES", [page])
    pages.fill_pages(lambda name: r"\1 new" if name == "ours" else None)
    assert page.read_text() == (
        "a\n<!-- table: ours -->\n\\1 new\n<!-- end -->\nb\n<!-- table: theirs -->\nkept\n<!-- end -->\n"
    )


def test_a_seed_that_not_all_rows_have_is_left_out(tables: ModuleType, few: list[dict[str, Any]]) -> None:
    store(tables, "labels", few)
    whole = tables.named_table("labels-cpu-validation")
    assert "\n| 5 | 2 | " in whole
    more = next(result for result in few if result["row"] == "cross, 5") | {"seed": 3, "top1": 99.0}
    store(tables, "labels", [*few, more])
    assert tables.named_table("labels-cpu-validation") == whole


def test_of_a_half_run_experiment_there_is_what_can_be_compared(tables: ModuleType, few: list[dict[str, Any]]) -> None:
    cross = [result for result in few if result["row"] == "cross, 5"]
    rows = ("fights, unlabeled mocap13", "half, labels-alone")
    store(tables, "transfer", [result | {"row": row} for result in cross for row in rows])
    store(tables, "labels", [result for result in few if result not in cross])
    assert tables.named_table("labels-cpu-validation").count("\n") == 1, "the head alone"
    lines = tables.named_table("transfer-cpu-validation").splitlines()
    assert [line.split("|")[4].strip() for line in lines[2:]] == ["", ""], "no base to be set against, or the base"


def test_runs_of_several_recipes_or_steps_make_no_table(tables: ModuleType, few: list[dict[str, Any]]) -> None:
    first, *others = sorted(few, key=lambda result: result["row"])
    store(tables, "labels", [first | {"recipe": first["recipe"] | {"threshold": 0.1}}, *others])
    with pytest.raises(tables.ResultsError, match=r"labels\.jsonl: the runs of cross, 5 have several recipes"):
        tables.named_table("labels-cpu-validation")
    store(tables, "labels", [first | {"step": 7}, *others])
    with pytest.raises(tables.ResultsError, match=r"labels\.jsonl: runs have \[7, 1600\] steps"):
        tables.named_table("labels-cpu-validation")


def test_removed_options_divide_runs_by_their_values_alone(tables: ModuleType, few: list[dict[str, Any]]) -> None:
    store(tables, "labels", few)
    whole = tables.named_table("labels-cpu-validation")
    first, *others = few
    without = {key: value for key, value in first["recipe"].items() if key not in tables.REMOVED}
    assert len(without) == len(first["recipe"]) - 5
    store(tables, "labels", [first | {"recipe": without}, *others])
    assert tables.named_table("labels-cpu-validation") == whole, "left out is the same as at its default"
    cross = [result | {"row": "cross"} for result in few if result["row"] == "cross, 5"]
    mixed = [result | {"row": "clips mixed", "recipe": result["recipe"] | {"mix_clips": True}} for result in cross]
    store(tables, "beyond", cross + mixed)
    lines = tables.named_table("beyond-cpu-validation").splitlines()[2:]
    assert [line.split(" | ")[:2] for line in lines] == [["| clips mixed (commit 9f7f944)", "2"], ["| cross", "2"]]


def test_empty_cells(tables: ModuleType) -> None:
    assert tables.markdown(["", "a"], [["x", ""], ["", ""]]) == "| | a |\n|---|---|\n| x | |\n| | |"


def test_a_start_stands_beside_the_paper_and_over_random_weights(
    tables: ModuleType, few: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "RESULTS", tmp_path)
    with tables.ResultsWriter(tmp_path / "pretraining-mocap13.jsonl") as writer:
        for row, start, top1 in (("random weights", {}, 20.0), ("rotation", {"pretraining_right": 0.75}, 23.0)):
            made = {"setting": "cpu", "measured_on": "validation", "row": row, "pretraining_seconds": 9, **start}
            more = {"pretraining": {}} if start else {}
            for seed, drawn in ((1, 0.0), (2, 1.0)):
                recipe = few[0]["recipe"] | {"seed": seed}
                writer.add(
                    few[0] | made | more | {"seed": seed, "top1": top1 + drawn * (3 if start else 1), "recipe": recipe}
                )
    random, rotation = tables.named_table("pretraining-mocap13-cpu-validation").splitlines()[2:4]
    assert random.startswith("| random weights | | | 2 | 20.5 ± 0.7 | | ")
    assert rotation.startswith("| rotation | 75 | 9 | 2 | 24.5 ± 2.1 | 4.0 (")
    beside = tables.named_table("table-2").splitlines()
    assert len(beside) == 15 and beside[2] == "| random weights | 61.1 (3D-ResNet50) | | | | |"
    assert re.fullmatch(r"\| rotation \| 62.9 \(3D-ResNet18\) \| 4\.0 \(-8\.7 to 16\.7\) \| 2 \| \| \|", beside[4])
    assert beside[3] == "| motion | 61.2 (C3D) | | | | |", "not run"


def test_holm_corrects_for_the_number_of_comparisons(tables: ModuleType) -> None:
    p = {"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.5}
    assert tables.holm(p, 4) == pytest.approx({"a": 0.04, "c": 0.09, "b": 0.09, "d": 0.5})
    assert tables.holm(p, 5) == pytest.approx({"a": 0.05, "c": 0.15, "b": 0.2, "d": 1.0})  # one is still to be made
    assert tables.holm({}, 4) == {}


def test_the_interval_of_a_mean_is_students(tables: ModuleType) -> None:
    import pages

    # Of 1, 2, 3 the standard error is 1 / sqrt(3), and t of 2 degrees of freedom is 4.303.
    assert pages.mean_and_interval([1, 2, 3]) == "2.0 (-0.5 to 4.5)"
    assert pages.mean_and_interval([7]) == "7.0"


def test_the_figures_show_the_results_that_are_there(tables: ModuleType, tmp_path: Path) -> None:
    import figures

    drawn = figures.FOLDER / "few_labels.svg"
    rows = tables.with_all_seeds("lips-words-10")
    figures.few_labels({"lips-words-10": rows}, tmp_path / drawn.name)
    for row in figures.METHODS:
        mean = statistics.mean(run["top1"] for run in rows[row].values())
        for file in (drawn, tmp_path / drawn.name):
            assert f">{mean:.1f}</text>" in file.read_text(), f"{file}: python experiments/tables.py write draws it"


def test_a_curve_is_the_mean_where_all_runs_have_it(tables: ModuleType) -> None:
    import figures

    runs = [{"curves": {"step": [20, 40, 60], "mask": values}} for values in ([0.1, None, 0.3], [0.2, 0.5, 0.5])]
    assert figures.mean_curve(runs, "mask") == ([20, 60], pytest.approx([15.0, 40.0]))
