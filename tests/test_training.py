"""The real scripts as subprocesses, on tiny settings and made videos."""

import json
import re
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from range_server import serving
from training import (
    CLASSES,
    REPO,
    TINY,
    Script,
    assert_same_weights,
    command,
    losses,
    metrics,
    read_rows,
    run,
    start_from,
    weights,
    write_rows,
)

import cmpl_zoo
from cmpl_zoo import hub
from cmpl_zoo_cli.main import main
from cmpl_zoo_cli.train_parser import parse_config

DEMO = REPO / "cmpl_zoo" / "training" / "recipes" / "demo.yaml"


def test_a_run_leaves_models_that_load_by_path(trained):
    for network, name in (("primary", "r3d50_quarter"), ("auxiliary", "r3d50_eighth")):
        for folder in (trained, trained / "best"):
            model = cmpl_zoo.create_model(folder / network).eval()
            assert model.pretrained_cfg["architecture"] == name
            assert list(model.pretrained_cfg["label_names"]) == CLASSES
            assert model.clip == {"frames": 4, "stride": 2 if network == "primary" else 3, "clips": 2, "crops": 1}
            assert model(torch.zeros(1, 3, 4, 32, 32)).shape == (1, 3)
            assert {p.name for p in (folder / network).iterdir()} == {"config.json", "model.safetensors", "README.md"}


def test_the_model_card_tells_the_run_and_no_path(trained, videos):
    card = (trained / "primary" / "README.md").read_text()
    assert re.search(r"`cross`.* 6 of 6.* 9 labeled .*18 unlabeled", card)
    scores = json.loads((trained / "summary.json").read_text())["validation"]
    for network, mark in (("primary", " (this one)"), ("auxiliary", "")):
        row = f"| {network}{mark} | {scores[network]['video_top1']:.2f} |"
        assert f"{row} 9 of val.csv | 2 x 1 views (clips x crops), softmax averaged |" in card
    data = ModelCard.load(trained / "primary" / "README.md").data
    assert (data.library_name, data.pipeline_tag) == ("cmpl_zoo", "video-classification")
    assert (data.license, data.datasets, data.metrics) == ("cc-by-nc-4.0", ["mocap13"], ["accuracy"])
    assert [result.metric_value for result in data.eval_results] == [round(scores["primary"]["video_top1"], 2)]
    assert "top-5" not in card  # of three classes
    assert str(trained.parent) not in card and str(videos) not in card


def test_what_is_measured_afterwards_is_told_in_the_card(trained, lists, videos, tmp_path):
    model = shutil.copytree(trained / "primary", tmp_path / "primary")
    before = (model / "README.md").read_text()
    call = [sys.executable, "train/evaluate.py", str(model), "--data", str(lists / "val.csv"), "--root",
            str(videos), "--workers", "0", "--card", "-o", str(tmp_path / "report")]  # fmt: skip
    run(call)
    assert (model / "README.md").read_text().replace("| this one |", "| primary (this one) |") == before, "as before"
    for _ in range(2):
        run([*call, "--test-clips", "3"])
    card = ModelCard.load(model / "README.md")
    rows = [line for line in card.text.splitlines() if line.endswith("softmax averaged |")]
    assert [row.split("|")[1].strip() for row in rows] == ["this one", "auxiliary", "vote", "this one"]
    assert "9 of val.csv | 3 x 1 views (clips x crops)" in rows[3]
    views = [result.metric_name.partition(", ")[2] for result in card.data.eval_results]
    assert views == ["2 x 1 views (clips x crops)", "3 x 1 views (clips x crops)"]
    assert cmpl_zoo.create_model(model).num_classes == 3

    unmeasured = tmp_path / "unmeasured"
    hub.save(cmpl_zoo.create_model(model), unmeasured, CLASSES)
    call[call.index(str(model))] = str(unmeasured)
    run(call)
    assert "## Evaluation\n\n| network | top-1, % | videos | views |" in (unmeasured / "README.md").read_text()
    call[call.index(str(unmeasured))] = "r3d50_eighth.cmpl_demo"
    assert re.search(r"--card .*README\.md", run(call, expect=2).stderr)


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
    assert sorted(file.name for file in (trained / "states").iterdir()) == [f"step-{n:09d}.pt" for n in (4, 6)]
    assert yaml.safe_load((trained / "config.yaml").read_text())["steps"] == 6


def test_the_demo_refuses_no_seeds():
    error = run([sys.executable, "train/demo.py", "--seeds", "0"], expect=2).stderr
    assert re.search(r"--seeds.* 1.* 0", error)


def test_the_demo_deletes_nothing_that_it_has_not_made(tmp_path):
    mine = tmp_path / "seed1" / "thesis.txt"
    mine.parent.mkdir()
    mine.touch()
    error = run([sys.executable, "train/demo.py", "-o", str(tmp_path)], expect=2).stderr
    assert "thesis.txt: the demo has not made this" in error and mine.exists()


def test_true_labels_of_unlabeled_videos_never_reach_the_weights(trained, videos, lists, tmp_path):
    """Permuting them moves the meter and not one bit of the weights."""
    permuted = tmp_path / "lists"
    permuted.mkdir()
    for name in ("labeled", "val"):
        (permuted / f"{name}.csv").write_text((lists / f"{name}.csv").read_text())
    rows = read_rows(lists / "unlabeled.csv")
    others = dict(zip(CLASSES, [*CLASSES[1:], "a class of another set"], strict=True))
    write_rows(permuted / "unlabeled.csv", [row | {"label": others[row["label"]]} for row in rows])
    output = tmp_path / "run"
    run(command(permuted, videos, output, "--steps", "6", "--val-every", "4"))
    assert_same_weights(trained, output)
    meter = [[line["primary/pseudo_accuracy"] for line in metrics(o) if "loss" in line] for o in (trained, output)]
    assert meter[0] != meter[1]


def test_ctrl_c_saves_and_resume_goes_on_to_the_same_weights(trained, videos, lists, tmp_path):
    output = tmp_path / "run"
    args = command(lists, videos, output, "--steps", "6", "--val-every", "4", "--workers", "1")
    process = Script(args)
    deadline = time.monotonic() + 120
    while not (output / "metrics.jsonl").exists() or not (output / "metrics.jsonl").read_text():
        assert process.poll(0.02) is None and time.monotonic() < deadline
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130, error
    stopped = int(re.search(r"stopped at step (\d+).*--resume", error)[1])
    assert 1 <= stopped < 6
    assert "Traceback" not in error
    run([*args, "--resume", "true"])
    assert_same_weights(trained, output)
    assert [line["step"] for line in metrics(output) if "loss" in line] == [1, 2, 3, 4, 5, 6]


def test_a_state_makes_a_run_even_before_its_first_log_line(videos, lists, tmp_path):
    """And time that has passed makes a state, of which the last ones are kept."""
    output = tmp_path / "run"
    saving = ["--save-every-minutes", "1e-9", "--keep-states", "3", "--log-every", "9"]
    args = command(lists, videos, output, "--steps", "4", *saving)
    run(args)
    assert sorted(file.name for file in (output / "states").iterdir()) == [f"step-{n:09d}.pt" for n in (2, 3, 4)]
    (output / "metrics.jsonl").write_text("")
    error = run([*args, "--seed", "1"], expect=2).stderr
    assert re.search(rf"{output} .*run already.*--resume.*--overwrite", error)


def test_a_list_that_has_changed_is_no_run_to_go_on_with(videos, lists, tmp_path):
    for name in ("labeled", "unlabeled", "val"):
        shutil.copy(lists / f"{name}.csv", tmp_path)
    args = command(tmp_path, videos, tmp_path / "run", "--steps", "1")
    run(args)
    before = weights(tmp_path / "run")
    for name in ("labeled", "val"):
        file = tmp_path / f"{name}.csv"
        file.write_text(file.read_text().replace(f",{CLASSES[0]}", ",zoo"))
    assert re.search(r"labeled\.csv has changed", run([*args, "--resume", "true"], expect=2).stderr)
    assert all(torch.equal(value, before[key]) for key, value in weights(tmp_path / "run").items())


def test_fixmatch_and_labels_alone_have_one_network(videos, lists, tmp_path):
    for scheme in ("self", "none"):
        output = tmp_path / scheme
        run(command(lists, videos, output, "--scheme", scheme, "--auxiliary", "null", "--steps", "2"))
        assert (output / "primary" / "model.safetensors").exists()
        assert not (output / "auxiliary").exists()
    assert "primary/mask" in metrics(tmp_path / "self")[0]
    assert "primary/mask" not in metrics(tmp_path / "none")[0]


# Every unlabeled clip is taught, dropout draws nothing, and a step moves the weights enough to show.
PLAIN = ["--threshold", "0", "--drop-rate", "0", "--steps", "2", "--val", "null"]


@pytest.fixture(scope="module")
def plain(videos, lists, tmp_path_factory) -> Path:
    """A run of two steps, to compare others with; its first log line is from before the first change of the weights."""
    output = tmp_path_factory.mktemp("plain") / "run"
    run(command(lists, videos, output, *PLAIN))
    return output


@pytest.mark.parametrize("option", ["--strong autoaugment", "--cutout false", "--hard false"])
def test_options_of_the_unlabeled_loss_change_it_alone(plain, videos, lists, tmp_path, option):
    run(command(lists, videos, tmp_path / "run", *PLAIN, *option.split()))
    before, after = metrics(plain)[0], metrics(tmp_path / "run")[0]
    for network in ("primary", "auxiliary"):
        for same in ("supervised", "pseudo_classes", "mask"):
            assert after[f"{network}/{same}"] == before[f"{network}/{same}"]
        assert after[f"{network}/unsupervised"] != before[f"{network}/unsupervised"]


def test_average_labels_both_networks_alike_and_the_learning_rate_rises(plain, videos, lists, tmp_path):
    options = ["--scheme", "average", "--warmup-steps", "4"]
    run(command(lists, videos, tmp_path / "run", *PLAIN, *options))
    lines = metrics(tmp_path / "run")
    for line in lines:
        assert line["primary/pseudo_classes"] == line["auxiliary/pseudo_classes"]
    before = metrics(plain)[0]
    assert before["primary/pseudo_classes"] != before["auxiliary/pseudo_classes"]
    for network in ("primary", "auxiliary"):
        assert lines[0][f"{network}/supervised"] == before[f"{network}/supervised"]
    assert [line["lr"] for line in lines] == [0, pytest.approx(0.01 / 2)], "a warm-up ends with the run"


def test_dropout_is_for_what_is_learned_and_not_for_pseudo_labels(plain, videos, lists, tmp_path):
    run(command(lists, videos, tmp_path / "run", *PLAIN, "--drop-rate", "0.5"))
    before, after = metrics(plain)[0], metrics(tmp_path / "run")[0]
    for network in ("primary", "auxiliary"):
        assert after[f"{network}/pseudo_classes"] == before[f"{network}/pseudo_classes"]
        assert after[f"{network}/supervised"] != before[f"{network}/supervised"]
        assert after[f"{network}/unsupervised"] != before[f"{network}/unsupervised"]


def test_averages_of_the_weights_are_saved_and_teach_nobody(plain, videos, lists, tmp_path):
    run(command(lists, videos, tmp_path / "run", *PLAIN, "--ema", "0.9"))
    assert losses(tmp_path / "run") == losses(plain)
    averaged, trained = weights(tmp_path / "run"), weights(plain)
    assert averaged.keys() == trained.keys()
    assert not torch.equal(averaged["conv1.weight"], trained["conv1.weight"])
    torch.testing.assert_close(averaged["conv1.weight"], trained["conv1.weight"], atol=0.05, rtol=0)


def test_bf16_is_near_float32_and_lambda_rises(plain, videos, lists, tmp_path):
    options = ["--precision", "bf16", "--unlabeled-warmup", "4", "--warmup-steps", "9"]
    done = run(command(lists, videos, tmp_path / "run", *PLAIN, *options))
    assert re.search(r"--lambda-u 1 until step 4 .*, and the run has 2 steps: it ends at 0\.5; lower", done.stderr)
    assert re.search(r"until step 9 \(--warmup-steps\), and the run has 2 steps.*lower --warmup-steps", done.stderr)
    hardware = json.loads((tmp_path / "run" / "summary.json").read_text())["hardware"]
    assert re.fullmatch(r"\d+ CPU threads? \(.+\), torch [\d.]+, bf16", hardware)
    assert f"{tmp_path / 'run'}: {hardware}\n" in done.stderr
    lines = metrics(tmp_path / "run")
    assert [line["lambda_u"] for line in lines] == [0.25, 0.5]
    for line in lines:
        parts = {part: sum(line[f"{network}/{part}"] for network in ("primary", "auxiliary"))
                 for part in ("supervised", "unsupervised")}  # fmt: skip
        assert line["loss"] == pytest.approx(parts["supervised"] + line["lambda_u"] * parts["unsupervised"], rel=1e-4)
    before = metrics(plain)[0]
    for part in ("primary/supervised", "auxiliary/supervised"):
        assert lines[0][part] != before[part]
        assert lines[0][part] == pytest.approx(before[part], rel=0.05)


def test_pseudo_labels_of_one_class_are_warned_of_once(videos, lists, tmp_path):
    """Once there are fifty of them, in as many log lines as that takes."""

    def of_one_class(network: torch.nn.Module) -> None:
        network.fc.bias[1] += 9

    start = start_from(tmp_path / "start", of_one_class)
    alone = ["--scheme", "self", "--primary", "r3d50_eighth", "--auxiliary", "null", "--init", str(start)]
    for batch, steps in {"25": ["2"], "24": ["4"], "12": []}.items():
        options = [*PLAIN, *alone, "--steps", "4", "--log-every", "2", "--unlabeled-batch", batch]
        error = run(command(lists, videos, tmp_path / batch, *options)).stderr
        said = re.findall(rf"step (\d): 100% .*primary.*'{CLASSES[1]}'.*--balance.*--threshold", error)
        assert said == steps and error.count("warning") == len(steps)
        assert [line["primary/pseudo_classes"] for line in metrics(tmp_path / batch)] == [[0, 1, 0], [0, 1, 0]]


def test_where_no_pseudo_label_passes_it_is_said_once_lambda_has_risen(videos, lists, tmp_path):
    """To half of its value, from step 2 on; the second step after that has seen fifty clips."""
    alone = ["--scheme", "self", "--primary", "r3d50_eighth", "--auxiliary", "null", "--val", "null", "--steps", "4"]
    never = [*alone, "--threshold", "1", "--unlabeled-warmup", "4", "--unlabeled-batch", "25"]
    error = run(command(lists, videos, tmp_path / "run", *never)).stderr
    assert re.findall(r"step (\d): none of the last (\d+) .*primary.*--threshold", error) == [("3", "50")]
    assert [line["primary/mask"] for line in metrics(tmp_path / "run")] == [0] * 4
    error = run(command(lists, videos, tmp_path / "off", *never, "--lambda-u", "0")).stderr
    assert "none of the last" not in error


def renamed(lists: Path, folder: Path, names: dict[str, str]) -> Path:
    """The lists with other class names."""
    folder.mkdir()
    for name in ("labeled", "unlabeled", "val"):
        rows = read_rows(lists / f"{name}.csv")
        write_rows(folder / f"{name}.csv", [row | {"label": names[row["label"]]} for row in rows])
    return folder


def test_labels_that_are_numbers_are_classes_in_their_order(plain, videos, lists, tmp_path):
    """Sorted as text, 10 would come before 9. A run is not continued in another order."""
    numbers = renamed(lists, tmp_path / "numbers", dict(zip(CLASSES, ["10", "2", "9"], strict=True)))
    args = command(numbers, videos, tmp_path / "run", *PLAIN, "--scheme", "self", "--auxiliary", "null")
    run(args)
    model = cmpl_zoo.create_model(tmp_path / "run" / "primary")
    assert list(model.pretrained_cfg["label_names"]) == ["2", "9", "10"]
    run([*args, "--resume"])
    names = tmp_path / "classes.txt"
    names.write_text("2\n9\n10\n")
    args = command(numbers, videos, tmp_path / "named", *PLAIN, "--scheme", "self", "--auxiliary", "null")
    args += ["--classes", str(names)]
    run(args)
    names.write_text("9\n2\n10\n")
    (tmp_path / "named" / "summary.json").unlink()
    error = run([*args, "--resume"], expect=2).stderr
    assert re.search(r"classes\.txt has changed since the run began.*another --output", error)


def test_class_names_that_differ_in_case_or_spaces_alone_are_warned_of(videos, lists, tmp_path):
    names = dict(zip(CLASSES, ["Play golf", "play  Golf", "playing golf"], strict=True))
    alike = renamed(lists, tmp_path / "lists", names)
    done = run(command(alike, videos, tmp_path / "run", *PLAIN, "--scheme", "none", "--auxiliary", "null"))
    [warning] = re.findall(r"warning: .*labeled\.csv: .*", done.stderr)
    assert "'Play golf' and 'play  Golf' differ in case, spaces," in warning and "playing" not in warning


def test_epochs_are_passes_over_the_unlabeled_list(videos, lists, tmp_path):
    run(command(lists, videos, tmp_path / "run", "--epochs", "0.5"))
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["steps"] == 3  # 0.5 * 18 / 4, rounded up


def test_start_from_a_trained_model(trained, videos, lists, tmp_path):
    args = command(lists, videos, tmp_path / "run", "--steps", "1", "--lr", "1e-9")
    run([*args, "--init", str(trained / "primary")])
    start, end = weights(trained), weights(tmp_path / "run")
    for key in ("conv1.weight", "fc.weight"):
        torch.testing.assert_close(start[key], end[key])
    cards = {network: (tmp_path / "run" / network / "README.md").read_text() for network in ("primary", "auxiliary")}
    assert re.search(r"Training started from `primary`.* license", cards["primary"])
    assert "Training started from" not in cards["auxiliary"]
    args = command(lists, videos, tmp_path / "other", "--steps", "1")
    error = run([*args, "--init", str(trained / "auxiliary")], expect=2).stderr
    assert re.search(r"r3d50_quarter from .*/auxiliary.* r3d50_eighth", error)
    args = command(lists, videos, tmp_path / "third", "--steps", "1", "--subtract-mean-frame", "true")
    error = run([*args, "--init", str(trained / "primary")], expect=2).stderr
    assert "--subtract-mean-frame false" in error


def test_own_videos_by_the_steps_one_after_another(videos, tmp_path):
    lists, more = tmp_path / "lists", tmp_path / "more.csv"
    for verb in (
        ["import", "folders", videos, "-o", tmp_path / "videos.csv"],
        ["import", "videos", videos, "-o", more],
        ["split", tmp_path / "videos.csv", "--labels-per-class", "all", "--val-share", "0.2", "-o", lists],
    ):
        assert main([str(word) for word in verb]) == 0
    call = [sys.executable, "train/cmpl.py", "--config", "cmpl_zoo/training/recipes/own_videos.yaml", "--steps", "1",
            "--device", "cpu", "--labeled", str(lists / "labeled.csv"), "--root", str(videos)]  # fmt: skip
    run([*call, "--unlabeled", str(more), "--output", str(tmp_path / "run")])
    run([*call, "--scheme", "none", "--auxiliary", "null", "--output", str(tmp_path / "alone")])
    together = [str(tmp_path / "run" / network) for network in ("primary", "auxiliary")]
    for models in (together, [str(tmp_path / "alone" / "primary")]):
        scored = run([sys.executable, "train/evaluate.py", *models, "--data", str(lists / "val.csv"),
                      "--root", str(videos), "--test-clips", "1", "-o", str(tmp_path / "report")])  # fmt: skip
        assert re.search(r"\nalways the largest class +33\.33\n", scored.stdout)


def test_mistakes_are_named_in_one_sentence(trained, videos, lists, tmp_path):
    bad_list = tmp_path / "bad.csv"
    write_rows(bad_list, [{"path": f"{label}/nowhere.mp4", "label": label} for label in CLASSES])
    tabbed = tmp_path / "tabbed.csv"
    tabbed.write_text((lists / "labeled.csv").read_text().replace(",walk", ',"wa\tlk"'))
    cases = [
        (["--output", str(trained), "--steps", "6"], rf"{trained} .*run already.*--resume.*--overwrite"),
        (
            ["--output", str(trained), "--steps", "6", "--overwrite", "true", "--init", str(trained / "primary")],
            r"--overwrite would delete --init .*primary",
        ),
        (["--labeled", str(tabbed), "--steps", "1"], r"tabbed\.csv: .*'wa\\tlk'.*control characters"),
        (["--output", str(trained), "--steps", "7", "--resume", "true"], r"other options \(steps was 6"),
        (["--output", str(lists), "--steps", "1"], r"is not empty and holds no run"),
        (["--labeled", str(bad_list), "--steps", "1"], r"nowhere\.mp4.*--labeled and --root"),
        (["--val", str(bad_list), "--steps", "1"], r"bad\.csv: .*nowhere\.mp4.*--val and --val-root.*--root"),
        (
            ["--val", str(lists / "labeled.csv"), "--steps", "1"],
            r"also .*training.*/labeled\.csv",
        ),
        (
            ["--val", str(lists / "unlabeled.csv"), "--steps", "1"],
            r"also .*training.*/unlabeled\.csv",
        ),
        (["--primary", "r3d55", "--steps", "1"], r"'r3d55' is neither.*did you mean r3d50"),
        (["--output", str(lists / "val.csv"), "--steps", "1"], r"--output .*val\.csv is a file"),
        (
            ["--output", str(lists / "val.csv" / "run"), "--steps", "1"],
            r"run cannot be written.*Not a directory",
        ),
        (["--steps", "1", "--classes", str(lists / "nowhere.txt")], r"nowhere\.txt: no such file"),
        (["--steps", "1", "--lamda-u", "2"], r"--lamda-u"),
        (["--steps", "1", "--lr", "fast"], r"lr"),
    ]
    for number, (options, message) in enumerate(cases):
        output = tmp_path / f"out{number}"
        done = run(command(lists, videos, output, *options), expect=2)
        assert re.search(message, done.stderr), f"{options}: {done.stderr}"
        assert "Traceback" not in done.stderr, f"{options}: {done.stderr}"


@pytest.mark.parametrize(
    "options, message",
    [
        (["--steps", "1", "--test-clips", "3000"], r"--test-clips.* 12,000 frames.* 10,000"),
        (["--steps", "1", "--seed", "-1"], r"--seed.* 2\^63.* -1"),
        (["--auxiliary", "null", "--steps", "1"], r"--scheme cross needs --auxiliary"),
        (["--steps", "1", "--epochs", "1"], r"either --steps or --epochs"),
        (["--config", str(DEMO), "--epochs", "3"], r"recipe gives --steps.*--steps null"),
        (["--steps", "1", "--threshold", "1.5"], r"--threshold .*probability.* 1\.5"),
        (["--steps", "1", "--short-side", "[20,30]"], r"--short-side .*20,30"),
        (["--steps", "1", "--scheme", "crosss"], r"scheme"),
        (["--steps", "1", "--accumulation", "2"], r"--labeled-batch 3 .*--accumulation 2"),
        (["--steps", "1", "--skip-nonfinite", "true"], r"--skip-nonfinite .*--precision fp16"),
        (["--steps", "1", "--resume", "true", "--overwrite", "true"], r"--resume .*--overwrite"),
        (["--steps", "1", "--weight-decay", "-1"], r"--weight-decay must not be negative"),
        (["--steps", "1", "--keep-states", "0"], r"--keep-states must be at least 1"),
    ],
)
def test_options_that_are_refused(capsys, options, message):
    with pytest.raises(SystemExit) as ended:
        parse_config([*TINY, "--labeled", "a.csv", "--unlabeled", "b.csv", "--output", "o", *options])
    assert ended.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_best_stays_the_best_of_all_validations(videos, lists, tmp_path):
    """Also of those before a stop: here the log says that the first one, at step 1, got more than all videos right."""
    output = tmp_path / "run"
    saving = ["--val-every", "1", "--save-every-steps", "1", "--keep-states", "2"]
    args = command(lists, videos, output, "--steps", "2", "--scheme", "self", "--auxiliary", "null", *saving)
    run(args)
    assert (output / "best" / "primary").is_dir()
    lines = metrics(output)
    first = next(line for line in lines if "primary/val_top1" in line)
    first["primary/val_top1"] = 101.0
    (output / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.rmtree(output / "best")
    (output / "states" / "step-000000002.pt").unlink()
    run([*args, "--resume"])
    assert [line["step"] for line in metrics(output) if "primary/val_top1" in line] == [1, 2]
    assert not (output / "best").exists()


def test_recipes_are_valid():
    recipes = sorted((REPO / "cmpl_zoo" / "training" / "recipes").glob("*.yaml"))
    assert {r.stem for r in recipes} >= {"demo", "mocap13", "mocap13_cpu", "k400_1pct"}
    for recipe in recipes:
        args = ["--config", str(recipe), "--labeled", "a.csv", "--unlabeled", "b.csv", "--output", "o"]
        assert parse_config(args).scheme == "cross"
        for line in recipe.read_text().splitlines():
            if ":" in line and not line.startswith("#"):
                assert re.search(r"# (paper|ours|seen)\b", line), f"{recipe.name}: whose value is this? {line}"


@pytest.mark.slow
def test_shards_and_a_failing_server_give_the_loss_curve_of_the_folder(trained, videos, lists, tmp_path):
    everything = [row for name in ("labeled", "unlabeled", "val") for row in read_rows(lists / f"{name}.csv")]
    write_rows(tmp_path / "all.csv", everything)
    run([sys.executable, "-m", "cmpl_zoo_cli", "shard", str(tmp_path / "all.csv"), "-o", str(tmp_path / "shards"),
         "--root", str(videos), "--shard-size", "0.2"])  # fmt: skip
    assert len(list((tmp_path / "shards").glob("*.tar"))) > 1
    told = ["--steps", "6", "--val-every", "4"]
    run(command(lists, tmp_path / "shards", tmp_path / "local", *told))
    with serving(tmp_path / "shards") as server:
        process = Script(
            command(lists, server.url, tmp_path / "remote", *told, "--workers", "1"),
            {"CMPL_ZOO_CACHE": str(tmp_path / "cache"), "CMPL_ZOO_CACHE_GB": "0.001"},
        )
        while len(server.requests) < 6:
            assert process.poll(0.01) is None
    time.sleep(1)  # gone, and back at the same address
    with serving(tmp_path / "shards", server.server_port) as back:
        _, error = process.communicate()
        assert process.returncode == 0, error
        assert back.requests
    for output in ("local", "remote"):
        assert losses(tmp_path / output) == losses(trained)
        assert_same_weights(trained, tmp_path / output)


def test_bad_videos_are_named_once_counted_and_too_many_end_the_run(videos, lists, tmp_path):
    root = tmp_path / "videos"
    rows = [row for name in ("labeled", "unlabeled", "val") for row in read_rows(lists / f"{name}.csv")]
    for row in rows:
        (root / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(videos / row["path"], root / row["path"])
    bad = read_rows(lists / "unlabeled.csv")[4]["path"]
    (root / bad).write_bytes(b"no video")
    lost = read_rows(lists / "val.csv")[0]["path"]
    (root / lost).unlink()
    args = command(lists, root, tmp_path / "run", "--steps", "12", "--workers", "1")
    error = run([*args, "--output", str(tmp_path / "strict")], expect=2).stderr
    assert re.search(r"1 of 27 videos cannot be read.*--max-unreadable 0\.01.*unreadable\.csv", error)
    mended = tmp_path / "mended.csv"
    write_rows(mended, [row for row in read_rows(lists / "unlabeled.csv") if row["path"] != bad])
    again = ["--unlabeled", str(mended), "--output", str(tmp_path / "strict"), "--steps", "1"]
    run([*args, *again])
    assert not (tmp_path / "strict" / "unreadable.csv").exists()
    done = run([*args, "--max-unreadable", "0.05"])
    assert done.stderr.count(f"{root / bad}: not a video") == 1
    assert [row["path"] for row in read_rows(tmp_path / "run" / "unreadable.csv")] == [str(root / bad)]
    assert re.search(rf"wrong.*{root / lost}: .*no such file", done.stderr)
    scores = json.loads((tmp_path / "run" / "summary.json").read_text())["validation"]["primary"]
    assert (scores["videos"], scores["unreadable"]) == (9, 1)
    evaluate = [sys.executable, "train/evaluate.py", str(tmp_path / "run" / "primary"), "--data",
                str(lists / "val.csv"), "--root", str(root), "--workers", "0", "-o", str(tmp_path)]  # fmt: skip
    elsewhere = command(lists, videos, tmp_path / "run", "--steps", "12", "--resume", "true")
    counted = run([*elsewhere, "--val-root", str(root)]).stderr
    assert re.search(rf"wrong.*{root / lost}: .*no such file", counted) and str(root / bad) not in counted
    run(elsewhere)  # --max-unreadable 0.01 holds: what could not be read was of the other folder
    assert not (tmp_path / "run" / "unreadable.csv").exists()
    scores = json.loads((tmp_path / "run" / "summary.json").read_text())["validation"]["primary"]
    assert scores["unreadable"] == 0
    assert "9 videos, 1 unreadable" in run(evaluate).stdout
    assert re.search(r"^cmpl-zoo: .*no such file", run([*evaluate, "--strict"], expect=2).stderr, re.M)
