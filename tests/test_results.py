"""Files of results: what is read is what was recorded, by one writer, and a line that was cut off is none."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from training import REPO

STORED = sorted((REPO / "experiments" / "results").glob("*.jsonl"))
OF_REMOVED = {"averaged weights teach": "ema_teachers", "distribution alignment": "distribution_alignment",
              "thresholds by class": "class_thresholds", "temporal warp": "temporal_warp",
              "clips mixed": "mix_clips"}  # fmt: skip


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPO / "experiments")
    import results

    return results


def result(seed: int, **recipe: object) -> dict[str, Any]:
    facts = {
        "experiment": "a",
        "setting": "cpu",
        "row": "cross",
        "seed": seed,
        "measured_on": "test",
        "top1": 50.0 + seed,
    }
    return facts | {"recipe": {"lr": 0.1, "init": None, "seed": seed} | recipe}


def test_what_is_read_is_what_was_recorded(results: ModuleType, tmp_path: Path) -> None:
    recorded = [
        result(1),
        result(2, lr=0.2),
        result(3, init="r3d50.in1k"),
        result(4, ema=0.99),  # an option more
        {**result(5), "recipe": {"lr": 0.1}},  # options less
    ]
    file = tmp_path / "results" / "a.jsonl"
    for one in recorded:
        with results.ResultsWriter(file) as writer:
            writer.add(one)
    assert results.read_results(file) == recorded
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["recipe"] for line in lines] == [
        {"lr": 0.1, "init": None, "seed": 1}, {}, {"lr": 0.2, "seed": 2}, {"init": "r3d50.in1k", "seed": 3},
        {"lr": 0.1, "init": None, "seed": 4, "ema": 0.99}, {}, {"lr": 0.1}, {},
    ]  # fmt: skip


@pytest.mark.parametrize("file", STORED, ids=lambda file: file.stem)
def test_stored_results_are_as_they_would_be_recorded(results: ModuleType, tmp_path: Path, file: Path) -> None:
    with results.ResultsWriter(tmp_path / file.name) as writer:
        for one in results.read_results(file):
            writer.add(one)
    assert (tmp_path / file.name).read_text() == file.read_text()


def test_a_last_line_that_was_cut_off_is_no_result(results: ModuleType, tmp_path: Path, capsys) -> None:
    file = tmp_path / "a.jsonl"
    with results.ResultsWriter(file) as writer:
        for seed in (1, 2):
            writer.add(result(seed))
    whole = file.read_bytes()
    for cut in (whole[:-1], whole[: whole.rindex(b"{")], whole[: whole.index(b"\n")]):
        file.write_bytes(cut)
        left = [result(seed) for seed in (1, 2)][: max(cut.count(b"\n") - 1, 0)]
        assert results.read_results(file) == left
        assert file.read_bytes() == cut, "reading changes nothing"
        with results.ResultsWriter(file) as writer:
            assert f"{file}: its last line was cut off" in capsys.readouterr().err
            for one in [result(seed) for seed in (1, 2)][len(left) :]:
                writer.add(one)
        assert file.read_bytes() == whole


def test_one_process_writes_at_a_time(results: ModuleType, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    with results.ResultsWriter(file) as writer:
        writer.add(result(1))
        with pytest.raises(OSError, match=r"a\.jsonl: another process of another run is writing it; wait"):
            results.ResultsWriter(file)
        assert results.read_results(file) == [result(1)], "reading is free"
    with results.ResultsWriter(file) as writer:
        writer.add(result(2))
    assert results.read_results(file) == [result(1), result(2)]


def test_of_two_lines_of_a_run_the_later_one_counts(results: ModuleType, tmp_path: Path) -> None:
    with results.ResultsWriter(tmp_path / "a.jsonl") as writer:
        for one in (result(1), result(2), result(1) | {"top1": 99.0}):
            writer.add(one)
    assert [one["top1"] for one in results.read_results(tmp_path / "a.jsonl")] == [99.0, 52.0]


def test_a_broken_line_is_named(results: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"recipe": {}}\n{"row": \n')
    for opened in (results.read_results, results.ResultsWriter):
        with pytest.raises(results.ResultsError, match=r"a\.jsonl: line 2 is not JSON.*delete that line"):
            opened(tmp_path / "a.jsonl")


def test_a_removed_option_at_its_default_makes_no_difference(results: ModuleType) -> None:
    today = {"lr": 0.1}
    for option, default in results.REMOVED.items():
        assert results.difference(today | {option: default}, today) is None
        assert results.difference(today, today | {option: default}) is None
        assert results.difference(today | {option: True}, today) == f"{option} True, which is False now"
        assert results.difference(today, today | {option: True}) == f"{option} False, which is True now"


def test_rows_of_removed_options_have_the_commit_that_had_them(results: ModuleType) -> None:
    rows = {}
    for one in (one for file in STORED for one in results.read_results(file)):
        used = [option for option in results.REMOVED if one["recipe"].get(option)]
        assert results.row_title(one) == (f"{one['row']} (commit 9f7f944)" if used else one["row"])
        if used:
            (rows[one["row"]],) = used
    assert rows == OF_REMOVED
