"""The runner of the paper's experiments, on a small part of mocap13."""

import csv
import json
import re
import shutil
import statistics
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import yaml
from training import REPO, read_rows, run, write_rows

from cmpl_zoo.demo.render import render_demo
from cmpl_zoo.video.video import Video
from cmpl_zoo_cli.train_parser import parse_config

ACTIONS = ["circle_arms_fast", "run", "walk"]
OF_REMOVED = {"averaged weights teach", "distribution alignment", "thresholds by class", "temporal warp", "clips mixed"}
RECORDINGS = {"train": range(20), "test": range(20, 21)}
LEARNED_FROM = ["F01", "F02", "F04", "F06", "F07", "F08", "F09", "F10", "M01", "M02", "M07"]
TESTED_ON = ["F05", "F11", "M04", "M08"]
RECIPE = {
    "primary": "r3d50_eighth", "auxiliary": "r3d50_eighth", "primary_stride": 2, "auxiliary_stride": 2, "frames": 4,
    "size": 32, "short_side": [34, 40], "test_clips": 1, "test_crops": 1, "labeled_batch": 3, "unlabeled_batch": 3,
    "steps": 2, "workers": 0, "log_every": 1, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A few videos of three actions of the demo, in the form of mocap13: two renderings of each recording."""
    folder = tmp_path_factory.mktemp("data") / "mocap13"
    videos = render_demo(tmp_path_factory.mktemp("demo"), videos_per_class=14, size=64, frames=10).parent
    for action in ACTIONS:
        (folder / action).mkdir(parents=True)
    for part, recordings in RECORDINGS.items():
        rows = []
        for action in ACTIONS:
            for number in (2 * recording + version for recording in recordings for version in (0, 1)):
                name = f"{action}/recording{number // 2:02}_v{number % 2}.mp4"
                shutil.copy(videos / action / f"{action}_{number % 14 + 1:04}.mp4", folder / name)
                rows.append({"path": name, "label": action})
        write_rows(folder / f"{part}.csv", rows)
    return folder.parent


@pytest.fixture(scope="module")
def lips(tmp_path_factory) -> Path:
    """A few videos of three actions of the demo, in the form of lips' words: one of each action of each speaker."""
    folder = tmp_path_factory.mktemp("data") / "lips"
    videos = render_demo(tmp_path_factory.mktemp("demo"), videos_per_class=len(LEARNED_FROM), size=64, frames=10).parent
    for part, speakers in (("train", LEARNED_FROM), ("test", TESTED_ON)):
        rows = []
        for action in ACTIONS:
            (folder / action).mkdir(parents=True, exist_ok=True)
            for number, speaker in enumerate(speakers, start=1):
                shutil.copy(videos / action / f"{action}_{number:04}.mp4", folder / action / f"{speaker}.mp4")
                rows.append({"path": f"{action}/{speaker}.mp4", "label": action, "group": speaker})
        write_rows(folder / f"words_{part}.csv", rows)
    return folder.parent


@pytest.fixture
def runner(monkeypatch) -> ModuleType:
    monkeypatch.syspath_prepend(REPO / "experiments")
    import runner

    return runner


@pytest.fixture
def rows(runner) -> ModuleType:
    import rows

    return rows


def experiments(data: Path, work: Path, *more: str, **recipe: object) -> list[str]:
    (work / "recipe.yaml").write_text(yaml.safe_dump(RECIPE | recipe))
    return [
        sys.executable, str(REPO / "experiments" / "runner.py"), "sampling", str(data), "--recipe",
        str(work / "recipe.yaml"), "--work", str(work / "runs"), "--results", str(work / "results"), *more,
    ]  # fmt: skip


def lines_of(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.slow
def test_stopped_and_called_again_it_ends_in_a_table(data, tmp_path, runner, monkeypatch):
    stopped = run(experiments(data, tmp_path, "--seeds", "1", "--minutes", "0.02"), expect=3)
    assert "stopped with 2 runs to go; the same command continues" in stopped.stdout
    done = run(experiments(data, tmp_path, "--seeds", "1", "--jobs", "2"))
    assert "sampling: 0 of 2 runs are there" in done.stdout
    file = tmp_path / "results" / "sampling.jsonl"
    results = runner.read_results(file)
    assert sorted(r["row"] for r in results) == ["category-wise", "uniform"]
    for result in results:
        assert (result["experiment"], result["setting"], result["seed"], result["measured_on"], result["step"]) == (
            "sampling", "cpu", 1, "validation", 2)  # fmt: skip
        assert 0 <= result["top1"] <= 100
        assert result["recipe"]["size"] == 32
        assert result["labeled_videos"] == 60
    with Video(data / "mocap13" / (video := read_rows(data / "mocap13" / "train.csv")[0]["path"])) as opened:
        middle = opened.read(range(opened.num_frames))[:, 8:56, 8:56].permute(0, 3, 1, 2).float()
    small = torch.nn.functional.interpolate(middle, 40, mode="bilinear", antialias=True).permute(0, 2, 3, 1)
    decoded = np.load((tmp_path / "runs" / "frames-40-of-0.75" / "mocap13" / video).with_suffix(".npy"))
    np.testing.assert_allclose(decoded, small.round(), atol=1)
    lists = tmp_path / "runs" / "lists" / "uniform-20-seed1"
    recordings = [{row["path"].rpartition("_v")[0] for row in read_rows(lists / f"{part}.csv")}
                  for part in ("labeled", "unlabeled", "val", "test")]  # fmt: skip
    assert not (recordings[0] | recordings[1]) & (recordings[2] | recordings[3])

    reports = tmp_path / "reports"
    with (reports / "sampling-cpu-validation.csv").open(newline="") as table:
        assert [row["row"] for row in csv.DictReader(table)] == ["uniform", "category-wise"]
    assert "| uniform | " in (reports / "sampling-cpu-validation.md").read_text()
    assert (reports / "sampling-cpu-validation.svg").read_text().count("category-wise") >= 1
    trained = {folder.name for folder in (tmp_path / "runs").glob("*-seed1")}
    assert trained == {"schemes-cpu-cross-seed1", "sampling-cpu-category-wise-seed1"}, "Table 1 has uniform, too"
    elsewhere = experiments(data, tmp_path, "--seeds", "1", "--work", str(tmp_path / "other runs"))
    elsewhere[elsewhere.index("sampling")] = "plus"
    run(elsewhere)
    of_uniform = next(result for result in results if result["row"] == "uniform")
    of_cross = runner.read_results(tmp_path / "results" / "plus.jsonl")[0]
    assert of_cross == of_uniform | {"experiment": "plus", "row": "cross"}
    trained = {folder.name for folder in (tmp_path / "other runs").glob("*-seed1")}
    assert trained == {"beyond-cpu-averaged-weights-seed1"}, "what was measured for another experiment is not repeated"

    whole = file.read_bytes()
    run(experiments(data, tmp_path, "--seeds", "1"))
    assert file.read_bytes() == whole

    file.write_bytes(whole[:-100])  # as a writer that was killed leaves it
    again = run(experiments(data, tmp_path, "--seeds", "1"))
    assert f"{file}: its last line was cut off" in again.stderr
    assert "sampling: 1 of 2 runs are there" in again.stdout
    assert file.read_bytes() == whole
    with runner.ResultsWriter(file):
        second = run(experiments(data, tmp_path, "--seeds", "1"), expect=2)
    assert (
        f"runner.py: {file}: another process of another run is writing it" in second.stderr
        and second.stderr.count("\n") == 1
    )

    states = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").glob("*/primary/model.safetensors")}
    tested = run(experiments(data, tmp_path, "--seeds", "1", "--test", "true"))
    assert "sampling-cpu-test.md" in tested.stdout
    assert states == {file: file.stat().st_mtime_ns for file in states}, "networks are measured, not trained again"
    *before, one, other = runner.read_results(file)
    assert before == results
    assert [(r["measured_on"], r["videos"]) for r in (one, other)] == [("test", 6)] * 2
    assert file.read_bytes().startswith(whole) and len(lines_of(file)) == 1 + 4, "a recipe, and four runs"

    other = run(experiments(data, tmp_path, "--seeds", "1", threshold=0.5), expect=2)
    assert "uniform, seed 1, was made with threshold 0.8, which is 0.5 now; delete its line" in other.stderr
    other = run(experiments(data, tmp_path, "--seeds", "1", subtract_mean_frame=True), expect=2)
    assert "was made with subtract_mean_frame False, which is True now" in other.stderr
    typo = run(experiments(data, tmp_path, treshold=0.5), expect=2)
    assert "recipe.yaml: train/cmpl.py has no option treshold; its --help lists them" in typo.stderr
    passes = run(experiments(data, tmp_path, steps=None, epochs=2), expect=2)
    assert "recipe.yaml: gives no steps; all rows of an experiment have the same number" in passes.stderr

    import tables  # a run of one's own is kept with what the same scripts have left

    folder = tmp_path / "runs" / "schemes-cpu-cross-seed1"
    shutil.copy(folder / "test-primary.json", folder / "test.json")
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "results")
    tables.add("mine", "cmpl", folder)
    (added,) = runner.read_results(tmp_path / "results" / "mine.jsonl")
    of_uniform = next(r for r in runner.read_results(file) if (r["row"], r["measured_on"]) == ("uniform", "test"))
    assert added.items() <= (of_uniform | {"experiment": "mine", "row": "cmpl"}).items()
    assert f"\n| cmpl | 60 | {added['unlabeled_videos']} | 2 | 1 | {added['top1']:.1f} | " in tables.named_table("mine")


@pytest.mark.slow
def test_beyond_judges_both_networks_of_a_run_that_is_there(data, tmp_path, runner):
    call = experiments(data, tmp_path, "--seeds", "1", "--jobs", "2", unlabeled_warmup=1)
    call[call.index("sampling")] = "beyond"
    run(call)
    results = {result["row"]: result for result in runner.read_results(tmp_path / "results" / "beyond.jsonl")}
    assert len(results) == 5
    assert {row: result["recipe"]["ema"] for row, result in results.items() if result["recipe"]["ema"]} == {
        "averaged weights": 0.99, "averaged weights vote": 0.99}  # fmt: skip
    trained = tmp_path / "runs" / "schemes-cpu-cross-seed1"
    together = [str(trained / network) for network in ("primary", "auxiliary")]
    scores = json.loads((trained / "validation-primary-auxiliary.json").read_text())
    assert scores["model"] == together and scores["video_top1"] == results["both networks vote"]["top1"]
    assert not (tmp_path / "runs" / "beyond-cpu-cross-seed1").exists()
    assert not (tmp_path / "runs" / "beyond-cpu-both-networks-vote-seed1").exists()


@pytest.mark.slow
def test_lips_is_measured_on_speakers_who_are_not_learned_from(lips, tmp_path, runner):
    def call(experiment: str, *more: str) -> list[str]:
        words = experiments(lips, tmp_path, "--seeds", "1", *more)
        words[words.index("sampling")] = experiment
        return words

    def speakers(lists: Path, part: str) -> list[str]:
        return [row["group"] for row in read_rows(lists / f"{part}.csv")]

    rows = ("--rows", '["cross", "all-labels"]')
    run(call("lips-words-5", *rows, "--test", "true"))
    cross, every = runner.read_results(tmp_path / "results" / "lips-words-5.jsonl")
    assert [(r["row"], r["labeled_videos"], r["unlabeled_videos"], r["videos"]) for r in (cross, every)] == [
        ("cross", 15, 18, 12), ("all-labels", 33, 0, 12)]  # fmt: skip
    assert cross["per_speaker"].keys() == {"primary", "auxiliary"} and every["per_speaker"].keys() == {"primary"}
    for result in (cross, every):
        assert list(result["per_speaker"]["primary"]) == TESTED_ON
        assert statistics.mean(result["per_speaker"]["primary"].values()) == pytest.approx(result["top1"])
    lists = tmp_path / "runs" / "lists" / "words-5-seed1"
    assert sorted({*speakers(lists, "labeled"), *speakers(lists, "unlabeled")}) == LEARNED_FROM

    run(call("lips-words-10", "--rows", '["all-labels"]', "--test", "true"))
    (again,) = runner.read_results(tmp_path / "results" / "lips-words-10.jsonl")
    assert again == every | {"experiment": "lips-words-10"}, "what all labels teach is not trained twice"

    refused = run(call("lips-words-5", *rows), expect=2)
    assert "lists words-5, which is words-5-held-out now; delete" in refused.stderr
    run(call("lips-words-5", *rows, "--work", str(tmp_path / "choosing")))
    held_out = runner.read_results(tmp_path / "results" / "lips-words-5.jsonl")[2:]
    assert [(r["measured_on"], list(r["per_speaker"]["primary"])) for r in held_out] == [
        ("validation", ["F06", "F10", "M07"])] * 2  # fmt: skip
    lists = tmp_path / "choosing" / "lists" / "words-5-held-out-seed1"
    learned_from = {*speakers(lists, "labeled"), *speakers(lists, "unlabeled")}
    assert learned_from == {*LEARNED_FROM} - {"F06", "F10", "M07"}


def test_the_page_names_every_experiment(rows):
    page = (REPO / "experiments" / "README.md").read_text()
    table = re.search(r"\| name \| what its rows compare \|\n(.*?)\n\n", page, re.DOTALL)[1]
    named = [name for row in table.splitlines()[1:] for name in re.findall("`([^`]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(rows.EXPERIMENTS)


def test_the_recipe_of_what_helped_is_the_row_that_was_measured(runner, rows):
    plain, plus = (yaml.safe_load((REPO / "cmpl_zoo" / "training" / "recipes" / f"{name}.yaml").read_text())
                   for name in ("mocap13_cpu", "mocap13_plus"))  # fmt: skip
    assert plus == plain | rows.MOCAP13_PLUS.options


def test_all_labels_of_lips_are_learned_from_as_many_clips_a_step_as_labels_and_unlabeled_videos(runner, rows):
    lists = ["--labeled", "labeled.csv", "--unlabeled", "unlabeled.csv", "--output", "run"]
    config = parse_config(["--config", str(runner.RECIPES["lips", "cpu"]), *lists])
    assert rows.ALL_LABELS["labeled_batch"] == config.labeled_batch + config.unlabeled_batch


def place_of_stored_results(
    runner: ModuleType, work: Path, measured_on: str = "validation", experiment: str = "schemes"
):
    data_and_setting = runner.data_set(experiment), "cpu"
    recipe = yaml.safe_load(runner.RECIPES[data_and_setting].read_text())
    settings = runner.Settings(recipe, runner.CENTER[data_and_setting], measured_on)
    return runner.Place(settings, work, work, REPO / "experiments" / "results")


def test_a_result_is_of_its_lists_and_judges(runner, tmp_path):
    place = place_of_stored_results(runner, tmp_path)
    run_of_5, run_of_20 = (runner.ExperimentRun("labels", "cpu", f"cross, {count}", 1) for count in (5, 20))
    stored = place.results_of("labels")
    assert place.settings.change(stored[run_of_5], run_of_5) is None
    assert place.settings.change(stored[run_of_5], run_of_20) == "lists uniform-5, which is uniform-20 now"
    vote = runner.ExperimentRun("beyond", "cpu", "both networks vote", 1)
    assert place.settings.change(stored[run_of_20], vote) == "judged ['primary'], which is ['primary', 'auxiliary'] now"
    rows = {run.row for run in place.settings.runs_of("auxiliary", "cpu", seeds=1)}
    assert "quarter" in rows and "equal" not in rows, "on a CPU the primary network is r3d50_quarter, too"


@pytest.mark.slow
def test_rows_with_a_start_learn_from_a_network_that_saw_the_same_videos(data, tmp_path, runner):
    command = experiments(data, tmp_path, "--seeds", "1", "--pretraining", "2", "--rows",
                          "[random weights,rotation]", subtract_mean_frame=True)  # fmt: skip
    command[command.index("sampling")] = "pretraining-mocap13"
    run(command)
    starts = tmp_path / "runs" / "starts"
    [start] = starts.glob("*/*")
    assert start.relative_to(starts).as_posix() == "rotation/mocap13-r3d50_eighth-seed1"
    pretraining = json.loads((start / "summary.json").read_text())
    assert (pretraining["step"], pretraining["config"]["size"], pretraining["config"]["stride"]) == (2, 32, 5)
    assert pretraining["config"]["subtract_mean_frame"]
    lists = tmp_path / "runs" / "lists" / "uniform-10-seed1"
    learned_from, labeled, unlabeled, held_out = (
        {row["path"] for row in read_rows(file)}
        for file in (
            Path(pretraining["config"]["unlabeled"]),
            *(lists / f"{part}.csv" for part in ("labeled", "unlabeled", "val")),
        )
    )
    assert learned_from == labeled | unlabeled and not learned_from & held_out
    random, started = runner.read_results(tmp_path / "results" / "pretraining-mocap13.jsonl")
    assert (random["row"], random["recipe"]["init"]) == ("random weights", None)
    assert (started["row"], started["recipe"]["init"]) == ("rotation", "rotation"), "no path of a machine"
    assert (started["pretraining"]["task"], started["pretraining"]["steps"]) == ("rotation", 2)
    trained = json.loads((tmp_path / "runs" / "pretraining-mocap13-cpu-rotation-seed1" / "summary.json").read_text())
    assert trained["config"]["init"] == str(start / "model")

    before = (tmp_path / "results" / "pretraining-mocap13.jsonl").read_bytes()
    run(command)
    assert (tmp_path / "results" / "pretraining-mocap13.jsonl").read_bytes() == before
    command[command.index("2")] = "3"
    assert "rotation, seed 1, was made with pretraining" in run(command, expect=2).stderr


@pytest.mark.parametrize("measured_on", ["validation", "test"])
def test_stored_results_are_those_of_todays_rows(runner, tmp_path, measured_on):
    removed = set()
    for file in (REPO / "experiments" / "results").glob("*.jsonl"):
        if file.stem not in runner.EXPERIMENTS:
            continue  # added by hand
        place = place_of_stored_results(runner, tmp_path, measured_on, file.stem)
        stored = place.results_of(file.stem)
        runs = set(place.settings.runs_of(file.stem, "cpu", seeds=10))
        assert [place.settings.change(stored[one], one) for one in runs & stored.keys()] == [None] * len(
            runs & stored.keys()
        )
        removed |= {one.row for one in stored.keys() - runs}
    assert removed == (OF_REMOVED if measured_on == "validation" else set())


def test_the_result_of_an_equal_run_serves_unless_it_used_an_option_that_is_removed(runner, tmp_path):
    place = place_of_stored_results(runner, tmp_path)
    cross = runner.ExperimentRun("plus", "cpu", "cross", 2)
    found = place.result_of_an_equal_run(cross)
    assert (found["experiment"], found["row"]) == ("plus", "cross")
    assert found["top1"] == place.results_of("schemes")[runner.ExperimentRun("schemes", "cpu", "cross", 2)]["top1"]
    mixed = place.results_of("beyond")[runner.ExperimentRun("beyond", "cpu", "clips mixed", 2)]
    assert place.settings.change(mixed, cross) == "mix_clips True, which is False now"
    with runner.ResultsWriter(tmp_path / "results" / "schemes.jsonl") as writer:
        writer.add(mixed | {"row": "cross"})
    assert replace(place, results=tmp_path / "results").result_of_an_equal_run(cross) is None


def test_rows_that_cannot_be_run_any_more_stay_where_they_were(runner, tmp_path):
    stored = place_of_stored_results(runner, tmp_path).results_of("beyond")
    assert runner.rows_in_order("beyond", stored) == [
        "cross", "both networks vote", "averaged weights", "averaged weights vote", "averaged weights teach",
        "distribution alignment", "thresholds by class", "temporal warp", "clips mixed", "lambda from the first step",
    ]  # fmt: skip
    assert runner.rows_in_order("beyond", []) == list(runner.EXPERIMENTS["beyond"])


def test_a_run_that_fails_is_named_and_the_others_go_on(data, tmp_path):
    call = experiments(data, tmp_path, "--seeds", "1", "--jobs", "2")
    without_primary = {key: value for key, value in RECIPE.items() if key != "primary"}  # cmpl.py has a default
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(without_primary | {"size": 16}))
    done = run(call, expect=1)
    for row in ("uniform", "category-wise"):
        assert f"{row}, seed 1: ended with status 2, last saying " in done.stderr
    assert "--size must be at least 32 pixels, and is 16" in done.stderr
    assert (tmp_path / "results" / "sampling.jsonl").read_text() == ""


@pytest.mark.parametrize(
    "words, message",
    [
        (["knobs", "DATA"], "knobs is made of 14 rows of long runs: it needs --setting gpu"),
        (
            ["schemes", "nowhere"],
            "nowhere/mocap13/train.csv: there is no such list; give the folder that holds mocap13",
        ),
        (["lips-words-5", "DATA", "--setting", "gpu"], "lips-words-5 has no recipe for --setting gpu; leave it out"),
        (["sampling", "DATA", "--rows", '["even"]'], "--rows: sampling has no row even; it has uniform, category-wise"),
        (["schemes", "DATA", "--jobs", "0"], "--seeds, --jobs and --pretraining must be at least 1"),
        (["pretraining-mocap13", "DATA", "--pretraining", "0"], "--pretraining must be at least 1"),
        (["schemes", "DATA", "--recipe", "none.yaml"], "none.yaml: there is no such recipe"),
        (["schemes", "DATA", "--recipe", "LIST"], "list.yaml: holds no options; give a recipe"),
        (["schemes", "DATA", "--recipe", "BROKEN"], "broken.yaml: is not YAML; give a recipe"),
        (["tables", "DATA"], "schemes"),
    ],
)
def test_mistakes_are_named(data, tmp_path, words, message):
    (tmp_path / "list.yaml").write_text("- steps")
    (tmp_path / "broken.yaml").write_text("steps: [")
    paths = {"DATA": data, "LIST": tmp_path / "list.yaml", "BROKEN": tmp_path / "broken.yaml"}
    words = [str(paths.get(word, word)) for word in words]
    done = run([sys.executable, str(REPO / "experiments" / "runner.py"), *words, "--work", str(tmp_path)], expect=2)
    assert message in done.stderr and "Traceback" not in done.stderr
