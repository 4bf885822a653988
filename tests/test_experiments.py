"""The runner of the paper's experiments, on a small part of mocap13."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from training import CLASSES, REPO, read_rows, run, write_rows

from cmpl_zoo.video.video import Video

RECIPE = {
    "primary": "r3d50_eighth", "auxiliary": "r3d50_eighth", "primary_stride": 2, "auxiliary_stride": 2, "frames": 4,
    "size": 32, "short_side": [34, 40], "test_clips": 1, "test_crops": 1, "labeled_batch": 3, "unlabeled_batch": 3,
    "steps": 2, "workers": 0, "log_every": 1, "device": "cpu",
}  # fmt: skip


@pytest.fixture(scope="module")
def data(shared_data, tmp_path_factory) -> Path:
    """A few videos of three classes, in the form of mocap13."""
    folder = tmp_path_factory.mktemp("data") / "mocap13"
    folder.mkdir()
    for label in CLASSES:
        (folder / label).symlink_to(shared_data / "mocap13" / label)
    for name, count in {"train": 40, "test": 2}.items():
        rows = read_rows(shared_data / "mocap13" / f"{name}.csv")
        write_rows(folder / f"{name}.csv", [row for label in CLASSES
                                            for row in [r for r in rows if r["label"] == label][:count]])  # fmt: skip
    return folder.parent


def experiments(data: Path, work: Path, *more: str, **recipe: object) -> list[str]:
    (work / "recipe.yaml").write_text(yaml.safe_dump(RECIPE | recipe))
    return [
        sys.executable, str(REPO / "train" / "experiments.py"), "sampling", str(data), "--recipe",
        str(work / "recipe.yaml"), "--work", str(work / "runs"), "--results", str(work / "results"), *more,
    ]  # fmt: skip


def test_stopped_and_called_again_it_ends_in_a_table(data, tmp_path):
    stopped = run(experiments(data, tmp_path, "--seeds", "1", "--minutes", "0.02"), expect=3)
    assert "stopped with 2 runs to go; the same command goes on" in stopped.stdout
    done = run(experiments(data, tmp_path, "--seeds", "1", "--jobs", "2"))
    assert "sampling: 0 of 2 runs are there" in done.stdout
    results = [json.loads(file.read_text()) for file in sorted((tmp_path / "results").glob("*.json"))]
    assert [r["row"] for r in results] == ["category-wise", "uniform"]
    for result in results:
        assert (result["experiment"], result["setting"], result["seed"], result["measured_on"], result["step"]) == (
            "sampling", "cpu", 1, "validation", 2)  # fmt: skip
        assert 0 <= result["top1"] <= 100
        assert result["recipe"]["size"] == 32
        assert result["labeled_videos"] == 60
    with Video(data / "mocap13" / (video := read_rows(data / "mocap13" / "train.csv")[0]["path"])) as file:
        middle = file.read(range(file.num_frames))[:, 14:98, 14:98].permute(0, 3, 1, 2).float()
    small = torch.nn.functional.interpolate(middle, 40, mode="bilinear", antialias=True).permute(0, 2, 3, 1)
    decoded = np.load((tmp_path / "runs" / "frames-40-of-0.75" / "mocap13" / video).with_suffix(".npy"))
    np.testing.assert_allclose(decoded, small, atol=1)
    lists = tmp_path / "runs" / "lists" / "uniform-20-seed1"
    recordings = [{row["path"].rpartition("_v")[0] for row in read_rows(lists / f"{part}.csv")}
                  for part in ("labeled", "unlabeled", "val", "test")]  # fmt: skip
    assert not (recordings[0] | recordings[1]) & (recordings[2] | recordings[3])

    reports = tmp_path / "experiments"
    with (reports / "sampling-cpu-validation.csv").open(newline="") as table:
        assert [row["row"] for row in csv.DictReader(table)] == ["uniform", "category-wise"]
    assert "| uniform | " in (reports / "sampling-cpu-validation.md").read_text()
    assert (reports / "sampling-cpu-validation.svg").read_text().count("category-wise") >= 1
    trained = {folder.name for folder in (tmp_path / "runs").glob("*-seed1")}
    assert trained == {"schemes-cpu-cross-seed1", "sampling-cpu-category-wise-seed1"}, "Table 1 has uniform, too"
    elsewhere = experiments(data, tmp_path, "--seeds", "1", "--work", str(tmp_path / "other runs"))
    elsewhere[elsewhere.index("sampling")] = "plus"
    run(elsewhere)
    of_uniform, of_cross = (json.loads((tmp_path / "results" / f"{name}-seed1.json").read_text())
                            for name in ("sampling-cpu-uniform", "plus-cpu-cross"))  # fmt: skip
    assert of_cross == of_uniform | {"experiment": "plus", "row": "cross"}
    trained = {folder.name for folder in (tmp_path / "other runs").glob("*-seed1")}
    assert trained == {"beyond-cpu-averaged-weights-seed1"}, "what was measured for another experiment is not repeated"

    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "results").iterdir()}
    run(experiments(data, tmp_path, "--seeds", "1"))
    assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / "results").iterdir()}

    states = {file: file.stat().st_mtime_ns for file in (tmp_path / "runs").glob("*/primary/model.safetensors")}
    tested = run(experiments(data, tmp_path, "--seeds", "1", "--test", "true"))
    assert "sampling-cpu-test.md" in tested.stdout
    assert states == {file: file.stat().st_mtime_ns for file in states}, "networks are measured, not trained again"
    result = json.loads((tmp_path / "results" / "sampling-cpu-uniform-seed1-test.json").read_text())
    assert (result["measured_on"], result["videos"]) == ("test", 6)

    other = run(experiments(data, tmp_path, "--seeds", "1", threshold=0.5), expect=2)
    assert "was made with threshold 0.8, which is 0.5 now; delete it" in other.stderr
    other = run(experiments(data, tmp_path, "--seeds", "1", subtract_mean_frame=True), expect=2)
    assert "was made with subtract_mean_frame False, which is True now" in other.stderr
    typo = run(experiments(data, tmp_path, treshold=0.5), expect=2)
    assert "recipe.yaml: train/cmpl.py has no option treshold; its --help lists them" in typo.stderr
    passes = run(experiments(data, tmp_path, steps=None, epochs=2), expect=2)
    assert "recipe.yaml: gives no steps; all rows of an experiment have the same number" in passes.stderr


def test_beyond_judges_both_networks_of_a_run_that_is_there(data, tmp_path):
    call = experiments(data, tmp_path, "--seeds", "1", "--jobs", "2", unlabeled_warmup=1)
    call[call.index("sampling")] = "beyond"
    run(call)
    results = {result["row"]: result for file in (tmp_path / "results").glob("*.json")
               if (result := json.loads(file.read_text()))}  # fmt: skip
    assert len(results) == 10
    assert {row: result["recipe"]["ema"] for row, result in results.items() if result["recipe"]["ema"]} == {
        "averaged weights": 0.99, "averaged weights vote": 0.99, "averaged weights teach": 0.99}  # fmt: skip
    trained = tmp_path / "runs" / "schemes-cpu-cross-seed1"
    together = [str(trained / network) for network in ("primary", "auxiliary")]
    scores = json.loads((trained / "validation-primary-auxiliary.json").read_text())
    assert scores["model"] == together and scores["video_top1"] == results["both networks vote"]["top1"]
    assert not (tmp_path / "runs" / "beyond-cpu-cross-seed1").exists()
    assert not (tmp_path / "runs" / "beyond-cpu-both-networks-vote-seed1").exists()


def test_the_recipe_of_what_helped_is_the_row_that_was_measured(monkeypatch):
    monkeypatch.syspath_prepend(REPO / "train")
    from experiments import MOCAP13_PLUS

    plain, plus = (yaml.safe_load((REPO / "cmpl_zoo" / "training" / "recipes" / f"{name}.yaml").read_text())
                   for name in ("mocap13_cpu", "mocap13_plus"))  # fmt: skip
    assert plus == plain | MOCAP13_PLUS.options


def test_a_result_is_of_its_lists_and_judges(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(REPO / "train")
    import experiments

    recipe = yaml.safe_load((REPO / "cmpl_zoo" / "training" / "recipes" / "mocap13_cpu.yaml").read_text())
    place = experiments.Place(tmp_path, 0.75, tmp_path, REPO / "benchmarks" / "results", recipe, test=False)
    run_of_5, run_of_20 = (experiments.Run("labels", "cpu", f"cross, {count}", 1) for count in (5, 20))
    result = json.loads(place.result_of(run_of_5).read_text())
    assert place.change(result, run_of_5) is None
    assert place.change(result, run_of_20) == "lists uniform-5, which is uniform-20 now"
    vote = experiments.Run("beyond", "cpu", "both networks vote", 1)
    assert place.change(json.loads(place.result_of(run_of_20).read_text()), vote) == (
        "judged ['primary'], which is ['primary', 'auxiliary'] now"
    )
    rows = {run.row for run in place.runs_of("auxiliary", "cpu", seeds=1)}
    assert "quarter" in rows and "equal" not in rows, "on a CPU the primary network is r3d50_quarter, too"


def test_a_run_that_fails_is_named_and_the_others_go_on(data, tmp_path):
    call = experiments(data, tmp_path, "--seeds", "1", "--jobs", "2")
    without_primary = {key: value for key, value in RECIPE.items() if key != "primary"}  # cmpl.py has a default
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(without_primary | {"size": 16}))
    done = run(call, expect=1)
    for row in ("uniform", "category-wise"):
        assert f"{row}, seed 1: ended with status 2, last saying " in done.stderr
    assert "--size must be at least 32 pixels, and is 16" in done.stderr
    assert not list((tmp_path / "results").iterdir())


@pytest.mark.parametrize(
    "words, message",
    [
        (["knobs", "DATA"], "knobs is made of 14 rows of long runs: it needs --setting gpu"),
        (
            ["schemes", "nowhere"],
            "nowhere/mocap13/train.csv: there is no such list; give the folder that holds mocap13",
        ),
        (["schemes", "DATA", "--jobs", "0"], "--seeds and --jobs must be at least 1"),
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
    done = run([sys.executable, str(REPO / "train" / "experiments.py"), *words, "--work", str(tmp_path)], expect=2)
    assert message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["cost", "load"])
def test_a_benchmark_that_is_asked_for_help_measures_nothing(name):
    result = REPO / "benchmarks" / "results" / f"{name}.json"
    before = result.stat().st_mtime_ns
    assert f"usage: {name}.py" in run([sys.executable, f"benchmarks/{name}.py", "--help"]).stdout
    run([sys.executable, f"benchmarks/{name}.py", "--nonsense"], expect=2)
    assert result.stat().st_mtime_ns == before
