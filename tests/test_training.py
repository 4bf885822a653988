"""The real scripts as subprocesses, on tiny settings and real videos."""

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from range_server import serving
from training import CLASSES, REPO, assert_same_weights, command, losses, metrics, read_rows, run, weights, write_rows

import cmpl_zoo
from cmpl_zoo import hub
from cmpl_zoo_cli.main import main

DEMO = REPO / "cmpl_zoo" / "training" / "recipes" / "demo.yaml"


def test_a_run_leaves_models_that_load_by_path(trained, shared_data):
    for network, name in (("primary", "r3d50_quarter"), ("auxiliary", "r3d50_eighth")):
        for folder in (trained, trained / "best"):
            model = cmpl_zoo.create_model(folder / network).eval()
            assert model.pretrained_cfg["architecture"] == name
            assert list(model.pretrained_cfg["label_names"]) == CLASSES
            assert model.clip == {"frames": 4, "stride": 2 if network == "primary" else 3, "clips": 2, "crops": 1}
            assert model(torch.zeros(1, 3, 4, 32, 32)).shape == (1, 3)
            assert {p.name for p in (folder / network).iterdir()} == {"config.json", "model.safetensors", "README.md"}


def test_the_model_card_tells_the_run_and_no_path(trained, shared_data):
    card = (trained / "primary" / "README.md").read_text()
    assert "scheme `cross`, to step 6 of 6, on 9 labeled and 18 unlabeled videos" in card
    scores = json.loads((trained / "summary.json").read_text())["validation"]
    for network, mark in (("primary", " (this one)"), ("auxiliary", "")):
        row = f"| {network}{mark} | {scores[network]['video_top1']:.2f} |"
        assert f"{row} 9 of val.csv | 2 x 1 views (clips x crops), softmax averaged |" in card
    data = ModelCard.load(trained / "primary" / "README.md").data
    assert (data.library_name, data.pipeline_tag) == ("cmpl_zoo", "video-classification")
    assert (data.license, data.datasets, data.metrics) == ("cc-by-nc-4.0", ["mocap13"], ["accuracy"])
    assert [result.metric_value for result in data.eval_results] == [round(scores["primary"]["video_top1"], 2)]
    assert "top-5" not in card  # of three classes
    assert str(trained.parent) not in card and str(shared_data) not in card


def test_what_is_measured_afterwards_is_told_in_the_card(trained, lists, shared_data, tmp_path):
    model = shutil.copytree(trained / "primary", tmp_path / "primary")
    before = (model / "README.md").read_text()
    call = [sys.executable, "train/evaluate.py", "--model", str(model), "--data", str(lists / "val.csv"), "--root",
            str(shared_data / "mocap13"), "--workers", "0", "--card"]  # fmt: skip
    run(call)
    assert (model / "README.md").read_text().replace("| this one |", "| primary (this one) |") == before, "as before"
    for _ in range(2):
        run([*call, "--clips", "3"])
    card = ModelCard.load(model / "README.md")
    rows = [line for line in card.text.splitlines() if line.endswith("softmax averaged |")]
    assert [row.split("|")[1].strip() for row in rows] == ["this one", "auxiliary", "this one"]
    assert "9 of val.csv | 3 x 1 views (clips x crops)" in rows[2]
    views = [result.metric_name.partition(", ")[2] for result in card.data.eval_results]
    assert views == ["2 x 1 views (clips x crops)", "3 x 1 views (clips x crops)"]
    assert cmpl_zoo.create_model(model).num_classes == 3

    unmeasured = tmp_path / "unmeasured"
    hub.save(cmpl_zoo.create_model(model), unmeasured, CLASSES)
    call[call.index(str(model))] = str(unmeasured)
    run(call)
    assert "## Evaluation\n\n| network | top-1, % | videos | views |" in (unmeasured / "README.md").read_text()
    call[call.index(str(unmeasured))] = "r3d50_eighth.cmpl_demo"
    assert "--card is for one model directory with a README.md" in run(call, expect=2).stderr


def test_a_run_reports_what_happened(trained):
    lines = [line for line in metrics(trained) if "loss" in line]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    for line in lines:
        for network in ("primary", "auxiliary"):
            assert 0 <= line[f"{network}/mask"] <= 1
            assert len(line[f"{network}/pseudo_classes"]) == 3
            accuracy = line[f"{network}/pseudo_accuracy"]
            assert accuracy is None if line[f"{network}/mask"] == 0 else 0 <= accuracy <= 1
        assert line["loss"] == pytest.approx(
            sum(line[f"{n}/{part}"] for n in ("primary", "auxiliary") for part in ("supervised", "unsupervised")),
            rel=1e-4,
        )
    assert [line["step"] for line in metrics(trained) if "primary/val_top1" in line] == [4, 6]
    summary = json.loads((trained / "summary.json").read_text())
    assert summary["labeled_videos"] == 9
    assert summary["unlabeled_videos"] == 18
    assert summary["validation"]["primary"]["videos"] == 9
    assert summary["validation"]["primary"]["clips"] == 2
    assert list((trained / "tensorboard").iterdir())
    assert yaml.safe_load((trained / "config.yaml").read_text())["steps"] == 6


def test_the_demo_refuses_no_seeds():
    error = run([sys.executable, "train/demo.py", "--seeds", "0"], expect=2).stderr
    assert "--seeds must be at least 1, and is 0" in error


def test_true_labels_of_unlabeled_videos_never_reach_the_weights(trained, shared_data, lists, tmp_path):
    """Permuting them moves the meter and not one bit of the weights."""
    permuted = tmp_path / "lists"
    permuted.mkdir()
    for name in ("labeled", "val"):
        (permuted / f"{name}.csv").write_text((lists / f"{name}.csv").read_text())
    with (lists / "unlabeled.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    for row in rows:
        row["label"] = {"bow": "run", "run": "walk", "walk": "a class of another set"}[row["label"]]
    with (permuted / "unlabeled.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label"])
        writer.writeheader()
        writer.writerows(rows)
    output = tmp_path / "run"
    run(command(permuted, shared_data / "mocap13", output, "--steps", "6", "--val_every", "4"))
    assert_same_weights(trained, output)
    meter = [[line["primary/pseudo_accuracy"] for line in metrics(o) if "loss" in line] for o in (trained, output)]
    assert meter[0] != meter[1]


def test_ctrl_c_saves_and_resume_goes_on_to_the_same_weights(trained, shared_data, lists, tmp_path):
    output = tmp_path / "run"
    args = command(lists, shared_data / "mocap13", output, "--steps", "6", "--val_every", "4", "--workers", "1")
    process = subprocess.Popen(args, stderr=subprocess.PIPE, text=True, cwd=REPO, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (output / "metrics.jsonl").exists() or not (output / "metrics.jsonl").read_text():
        assert process.poll() is None and time.monotonic() < deadline, process.stderr.read()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130, error
    stopped = int(re.search(r"stopped at step (\d+); the same command with --resume true", error)[1])
    assert 1 <= stopped < 6
    assert "Traceback" not in error
    run([*args, "--resume", "true"])
    assert_same_weights(trained, output)
    assert [line["step"] for line in metrics(output) if "loss" in line] == [1, 2, 3, 4, 5, 6]


def test_a_state_makes_a_run_even_before_its_first_log_line(shared_data, lists, tmp_path):
    output = tmp_path / "run"
    args = command(
        lists, shared_data / "mocap13", output, "--steps", "3", "--log_every", "9", "--save_every_steps", "1"
    )
    run(args)
    (output / "metrics.jsonl").write_text("")
    assert "holds a run already" in run([*args, "--seed", "1"], expect=2).stderr


def test_a_list_that_has_changed_is_no_run_to_go_on_with(shared_data, lists, tmp_path):
    for name in ("labeled", "unlabeled", "val"):
        shutil.copy(lists / f"{name}.csv", tmp_path)
    args = command(tmp_path, shared_data / "mocap13", tmp_path / "run", "--steps", "1")
    run(args)
    before = weights(tmp_path / "run")
    for name in ("labeled", "val"):
        file = tmp_path / f"{name}.csv"
        file.write_text(file.read_text().replace(",bow", ",zoo"))
    assert re.search(r"labeled\.csv has changed since the run began", run([*args, "--resume", "true"], expect=2).stderr)
    assert all(torch.equal(value, before[key]) for key, value in weights(tmp_path / "run").items())


def test_fixmatch_and_labels_alone_have_one_network(shared_data, lists, tmp_path):
    for scheme in ("self", "none"):
        output = tmp_path / scheme
        run(command(lists, shared_data / "mocap13", output, "--scheme", scheme, "--auxiliary", "null", "--steps", "2"))
        assert (output / "primary" / "model.safetensors").exists()
        assert not (output / "auxiliary").exists()
    assert "primary/mask" in metrics(tmp_path / "self")[0]
    assert "primary/mask" not in metrics(tmp_path / "none")[0]


@pytest.mark.parametrize(
    "options",
    [
        ["--scheme", "average", "--hard", "false", "--weak_bn", "running", "--ema", "0.9"],
        ["--precision", "bf16", "--strong", "autoaugment", "--cutout", "false", "--warmup_steps", "99"],
        ["--scheme", "maximum", "--unlabeled_warmup", "4", "--drop_rate", "0", "--auxiliary_stride", "2"],
    ],
)
def test_options_combine(shared_data, lists, tmp_path, options):
    done = run(command(lists, shared_data / "mocap13", tmp_path / "run", "--steps", "2", *options))
    warning = "--unlabeled_warmup 4 steps, and the run has 2: it ends at 0.5 instead of 1; lower --unlabeled_warmup"
    assert (warning in done.stderr) is ("--unlabeled_warmup" in options)
    losses = [line["loss"] for line in metrics(tmp_path / "run") if "loss" in line]
    assert len(losses) == 2


def test_averages_of_the_weights_can_be_the_teachers(shared_data, lists, tmp_path):
    """With a decay of nearly nothing they are the networks themselves, and teach the same."""
    found = {}
    for name, options in {
        "without": ["--ema", "0.9"],
        "same": ["--ema", "1e-12", "--ema_teachers", "true"],
        "averages": ["--ema", "0.9", "--ema_teachers", "true"],
    }.items():
        options += ["--threshold", "0", "--hard", "false", "--steps", "4"]
        run(command(lists, shared_data / "mocap13", tmp_path / name, *options))
        found[name] = losses(tmp_path / name)
    assert found["same"] == found["without"]
    assert found["averages"][0] == found["without"][0] and found["averages"] != found["without"]


def test_strong_views_can_be_mixed_and_warped_and_share_a_batch(shared_data, lists, tmp_path):
    """Labeled clips, and so the first supervised losses, stay the same, but where strong views share their batch."""
    supervised, unsupervised = {}, {}
    for name in (None, "mix_clips", "temporal_warp", "strong_bn"):
        option = [] if name is None else [f"--{name}", "labeled" if name == "strong_bn" else "true"]
        # Dropout would draw other numbers, and in four frames no pace is uneven.
        told = ["--threshold", "0", "--drop_rate", "0", "--frames", "8", "--steps", "3", *option]
        run(command(lists, shared_data / "mocap13", tmp_path / str(name), *told))
        lines = [line for line in metrics(tmp_path / str(name)) if "loss" in line]
        supervised[name] = lines[0]["primary/supervised"]
        unsupervised[name] = [line["primary/unsupervised"] for line in lines]
    assert supervised["mix_clips"] == supervised["temporal_warp"] == supervised[None] != supervised["strong_bn"]
    assert len({tuple(losses) for losses in unsupervised.values()}) == 4


def test_epochs_are_passes_over_the_unlabeled_list(shared_data, lists, tmp_path):
    run(command(lists, shared_data / "mocap13", tmp_path / "run", "--epochs", "0.5"))
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["steps"] == 3  # 0.5 * 18 / 4, rounded up


def test_start_from_a_trained_model(trained, shared_data, lists, tmp_path):
    args = command(lists, shared_data / "mocap13", tmp_path / "run", "--steps", "1", "--lr", "1e-9")
    run([*args, "--init", str(trained / "primary")])
    start, end = weights(trained), weights(tmp_path / "run")
    for key in ("conv1.weight", "fc.weight"):
        torch.testing.assert_close(start[key], end[key])
    cards = {network: (tmp_path / "run" / network / "README.md").read_text() for network in ("primary", "auxiliary")}
    assert "Training started from `primary`, whose licence applies, too." in cards["primary"]
    assert "Training started from" not in cards["auxiliary"]
    args = command(lists, shared_data / "mocap13", tmp_path / "other", "--steps", "1")
    error = run([*args, "--init", str(trained / "auxiliary")], expect=2).stderr
    assert "cannot start r3d50_quarter from" in error
    args = command(lists, shared_data / "mocap13", tmp_path / "third", "--steps", "1", "--subtract_mean_frame", "true")
    error = run([*args, "--init", str(trained / "primary")], expect=2).stderr
    assert "that needs --subtract_mean_frame false" in error


def test_own_videos_as_the_readme_has_it(shared_data, tmp_path):
    videos, lists, more = shared_data / "fights", tmp_path / "lists", tmp_path / "more.csv"
    for verb in (
        ["import", "folders", videos, "-o", tmp_path / "videos.csv"],
        ["import", "videos", videos, "-o", more],
        ["split", tmp_path / "videos.csv", "--labels-per-class", "all", "--val", "0.2", "-o", lists],
    ):
        assert main([str(word) for word in verb]) == 0
    call = [sys.executable, "train/cmpl.py", "--config", "cmpl_zoo/training/recipes/own_videos.yaml", "--steps", "1",
            "--device", "cpu", "--labeled", str(lists / "labeled.csv"), "--root", str(videos)]  # fmt: skip
    run([*call, "--unlabeled", str(more), "--output", str(tmp_path / "run")])
    run([*call, "--scheme", "none", "--auxiliary", "null", "--output", str(tmp_path / "alone")])
    together = [str(tmp_path / "run" / network) for network in ("primary", "auxiliary")]
    for models in (together, [str(tmp_path / "alone" / "primary")]):
        scored = run([sys.executable, "train/evaluate.py", "--model", *models, "--data", str(lists / "val.csv"),
                      "--root", str(videos), "--clips", "1"])  # fmt: skip
        assert re.search(r"\nalways the largest class +50\.\d\d\n", scored.stdout)


def test_mistakes_are_named_in_one_sentence(trained, shared_data, lists, tmp_path):
    root = shared_data / "mocap13"
    bad_list = tmp_path / "bad.csv"
    bad_list.write_text("path,label\nbow/nowhere.mp4,bow\nrun/nowhere.mp4,run\nwalk/nowhere.mp4,walk\n")
    tabbed = tmp_path / "tabbed.csv"
    tabbed.write_text((lists / "labeled.csv").read_text().replace(",bow", ',"bo\tw"'))
    cases = [
        (["--output", str(trained), "--steps", "6"], r"holds a run already; go on with it by --resume true"),
        (
            ["--output", str(trained), "--steps", "6", "--overwrite", "true", "--init", str(trained / "primary")],
            r"--overwrite true would delete --init .*primary with",
        ),
        (["--labeled", str(tabbed), "--steps", "1"], r"tabbed\.csv: label name 'bo\\tw' has control characters"),
        (["--steps", "1", "--test_clips", "3000"], r"12,000 frames of a video; 10,000 are the most"),
        (["--steps", "1", "--seed", "-1"], r"--seed must be from 0 to below 2\^63, and is -1"),
        (["--output", str(trained), "--steps", "7", "--resume", "true"], r"other options \(steps was 6"),
        (["--output", str(lists), "--steps", "1"], r"is not empty and holds no run"),
        (["--labeled", str(bad_list), "--steps", "1"], r"nowhere\.mp4.*check --labeled and --root"),
        (["--val", str(bad_list), "--steps", "1"], r"bad\.csv: .*nowhere\.mp4.*check --val and --val_root, .*--root"),
        (["--val", str(lists / "labeled.csv"), "--steps", "1"], r"is also there for training.*labeled\.csv"),
        (["--val", str(lists / "unlabeled.csv"), "--steps", "1"], r"is also there for training.*unlabeled\.csv"),
        (["--auxiliary", "null", "--steps", "1"], r"--scheme cross needs --auxiliary"),
        (["--primary", "r3d55", "--steps", "1"], r"'r3d55' is neither.*did you mean r3d50"),
        (["--steps", "1", "--ema_teachers", "true"], r"--ema_teachers needs a decay"),
        (["--steps", "1", "--scheme", "none", "--mix_clips", "true"], r"--mix_clips is for unlabeled videos"),
        (["--steps", "1", "--class_thresholds", "true", "--distribution_alignment", "true"], r"make up for.*give one"),
        (["--steps", "1", "--mix_clips", "true", "--unlabeled_batch", "1"], r"--mix_clips needs two unlabeled clips"),
        (["--steps", "1", "--epochs", "1"], r"give either --steps or --epochs"),
        (["--config", str(DEMO), "--epochs", "3"], r"the recipe gives --steps, which --steps null unsets"),
        (["--output", str(lists / "val.csv"), "--steps", "1"], r"--output .*val\.csv is a file; give a folder"),
        (["--output", str(lists / "val.csv" / "run"), "--steps", "1"], r"cannot be written to \(Not a directory\)"),
        (["--steps", "1", "--threshold", "1.5"], r"--threshold is a probability"),
        (["--steps", "1", "--short_side", "[20,30]"], r"--short_side \[20,30\]"),
        (["--steps", "1", "--scheme", "crosss"], r"scheme"),
        (["--steps", "1", "--lr", "fast"], r"lr"),
        (["--steps", "1", "--lamda_u", "2"], r"lamda_u"),
        (["--steps", "1", "--classes", str(lists / "nowhere.txt")], r"nowhere\.txt: no such file of class names"),
        (["--steps", "40", "--lr", "1e20"], r"the loss of step \d+ is not finite"),
    ]
    for number, (options, message) in enumerate(cases):
        output = tmp_path / f"out{number}"
        done = run(command(lists, root, output, *options), expect=2)
        assert re.search(message, done.stderr), f"{options}: {done.stderr}"
        assert "Traceback" not in done.stderr, f"{options}: {done.stderr}"


def test_recipes_are_valid():
    recipes = sorted((REPO / "cmpl_zoo" / "training" / "recipes").glob("*.yaml"))
    assert {r.stem for r in recipes} >= {"demo", "mocap13", "mocap13_cpu", "k400_1pct"}
    sys.path.insert(0, str(REPO / "train"))
    from cmpl_zoo.training.config import parse_config

    for recipe in recipes:
        args = ["--config", str(recipe), "--labeled", "a.csv", "--unlabeled", "b.csv", "--output", "o"]
        assert parse_config(args).scheme == "cross"
        for line in recipe.read_text().splitlines():
            if ":" in line and not line.startswith("#"):
                assert re.search(r"# (paper|ours|seen)\b", line), f"{recipe.name}: whose value is this? {line}"


def test_shards_and_a_failing_server_give_the_loss_curve_of_the_folder(trained, shared_data, lists, tmp_path):
    everything = [row for name in ("labeled", "unlabeled", "val") for row in read_rows(lists / f"{name}.csv")]
    write_rows(tmp_path / "all.csv", everything)
    run([sys.executable, "-m", "cmpl_zoo_cli", "shard", str(tmp_path / "all.csv"), str(tmp_path / "shards"), "--root",
         str(shared_data / "mocap13"), "--shard-size", "0.2"])  # fmt: skip
    assert len(list((tmp_path / "shards").glob("*.tar"))) > 1
    told = ["--steps", "6", "--val_every", "4"]
    run(command(lists, tmp_path / "shards", tmp_path / "local", *told))
    with serving(tmp_path / "shards") as server:
        process = subprocess.Popen(
            command(lists, server.url, tmp_path / "remote", *told, "--workers", "1"), stderr=subprocess.PIPE, text=True,
            env=os.environ | {"CMPL_ZOO_CACHE": str(tmp_path / "cache"), "CMPL_ZOO_CACHE_GB": "0.001"}, cwd=REPO,
        )  # fmt: skip
        while len(server.requests) < 6:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
    time.sleep(1)  # gone, and back at the same address
    with serving(tmp_path / "shards", server.server_port) as back:
        _, error = process.communicate(timeout=200)
        assert process.returncode == 0, error
        assert back.requests
    for output in ("local", "remote"):
        assert losses(tmp_path / output) == losses(trained)
        assert_same_weights(trained, tmp_path / output)


def test_bad_videos_are_named_once_counted_and_too_many_end_the_run(shared_data, lists, tmp_path):
    root = tmp_path / "videos"
    rows = [row for name in ("labeled", "unlabeled", "val") for row in read_rows(lists / f"{name}.csv")]
    for row in rows:
        (root / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(shared_data / "mocap13" / row["path"], root / row["path"])
    bad = read_rows(lists / "unlabeled.csv")[4]["path"]
    (root / bad).write_bytes(b"no video")
    lost = read_rows(lists / "val.csv")[0]["path"]
    (root / lost).unlink()
    args = command(lists, root, tmp_path / "run", "--steps", "12", "--workers", "1")
    error = run([*args, "--output", str(tmp_path / "strict")], expect=2).stderr
    assert re.search(
        r"1 of 27 videos cannot be read, more than --max_unreadable 0\.01 allows; .*unreadable\.csv", error
    )
    mended = tmp_path / "mended.csv"
    write_rows(mended, [row for row in read_rows(lists / "unlabeled.csv") if row["path"] != bad])
    again = ["--unlabeled", str(mended), "--output", str(tmp_path / "strict"), "--steps", "1"]
    run([*args, *again])
    assert not (tmp_path / "strict" / "unreadable.csv").exists()
    done = run([*args, "--max_unreadable", "0.05"])
    assert done.stderr.count(f"left out: {root / bad}: not a video") == 1
    assert [row["path"] for row in read_rows(tmp_path / "run" / "unreadable.csv")] == [str(root / bad)]
    assert f"counted as wrong: {root / lost}: there is no such file" in done.stderr
    scores = json.loads((tmp_path / "run" / "summary.json").read_text())["validation"]["primary"]
    assert (scores["videos"], scores["unreadable"]) == (9, 1)
    evaluate = [sys.executable, "train/evaluate.py", "--model", str(tmp_path / "run" / "primary"), "--data",
                str(lists / "val.csv"), "--root", str(root), "--workers", "0"]  # fmt: skip
    elsewhere = command(lists, shared_data / "mocap13", tmp_path / "run", "--steps", "12", "--resume", "true")
    counted = run([*elsewhere, "--val_root", str(root)]).stderr
    assert f"counted as wrong: {root / lost}: there is no such file" in counted and "left out" not in counted
    run(elsewhere)  # --max_unreadable 0.01 holds: what could not be read was of the other folder
    assert not (tmp_path / "run" / "unreadable.csv").exists()
    scores = json.loads((tmp_path / "run" / "summary.json").read_text())["validation"]["primary"]
    assert scores["unreadable"] == 0
    assert "9 videos, 1 unreadable (wrong)" in run(evaluate).stdout
    assert re.search(r"^evaluate\.py: .*there is no such file$", run([*evaluate, "--strict"], expect=2).stderr, re.M)
