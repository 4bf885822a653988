"""train/evaluate.py, as a script and as what training validates by, on made videos."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import termios

import numpy as np
import pytest
import torch
from made_videos import link_many, refused
from PIL import Image
from training import CLASSES, REPO, read_rows, run

import cmpl_zoo
from cmpl_zoo.datasets import evaluation_batches
from cmpl_zoo.datasets.classes import class_ids
from cmpl_zoo.datasets.lists import Videos, read_list
from cmpl_zoo.evaluation import evaluate_ensembles
from cmpl_zoo.training.summary import tell_scores
from cmpl_zoo.video.clips import load_clip, load_views, resolve_clip_config
from cmpl_zoo.video.sampling import uniform_clips
from cmpl_zoo.video.video import read_frames
from cmpl_zoo_cli.evaluate import as_table, default_folder
from cmpl_zoo_cli.main import main


def test_accuracy_is_printed_with_how_far_it_may_be_off(capsys):
    """45 of 60 right: Wilson's interval worked out by hand."""
    scores = {"videos": 60, "unreadable": 0, "clips": 5, "crops": 1, "largest_class": 50.0, "clip_top1": 70.0,
              "video_top1": 75.0, "per_class": {"a": 80.0, "b": 70.0}, "confusion": [[24, 6], [9, 21]]}  # fmt: skip
    tell_scores({"primary": scores})
    assert capsys.readouterr().out == (
        "primary: top-1 75.00 % (95 % interval: 62.8 to 84.2), 60 videos, 5 x 1 views (clips x crops); always the "
        "largest class: 50.00 %\n"
    )
    assert as_table(scores).splitlines()[:3] == [
        "60 videos                            top-1",
        "video, 5 x 1 views (clips x crops)   75.00",
        "  95 % interval of top-1             62.8 to 84.2",
    ]


def test_evaluate_agrees_with_the_run(trained, videos, lists, tmp_path):
    done = run([sys.executable, "train/evaluate.py", str(trained / "primary"), "--data",
                str(lists / "val.csv"), "--root", str(videos), "--workers", "0", "--device", "cpu",
                "--json", str(tmp_path / "scores.json")])  # fmt: skip
    scores = json.loads((tmp_path / "scores.json").read_text())
    reported = json.loads((trained / "summary.json").read_text())["validation"]["primary"]
    for key in ("videos", "clips", "crops", "video_top1", "clip_top1", "per_class"):
        assert scores[key] == reported[key]
    assert "2 x 1 views (clips x crops)" in done.stdout and "top-5" not in done.stdout
    for mistake, message in (
        (["--workers", "-1"], r"--workers.*-1"),
        (
            ["--root", str(tmp_path)],
            r"^.*val\.csv: .*no such file; none of the 9 videos tried .*check --data and --root$",
        ),
        (["--json", str(tmp_path / "scores.json" / "y.json")], r"--json .*y\.json .*Not a directory"),
        (["--json", str(tmp_path)], rf"--json {tmp_path} .*Is a directory"),
    ):
        error = run([*done.args, *mistake], expect=2).stderr
        assert re.search(message, error) and "Traceback" not in error
    assert [file.name for file in tmp_path.iterdir()] == ["scores.json"]


def test_ctrl_c_ends_an_evaluation_in_one_line(videos, tmp_path):
    many = link_many(videos / "run" / "00.mp4", tmp_path / "many", 1000, label="run")
    args = [sys.executable, "train/evaluate.py", str(REPO / "model_cards" / "r3d50_quarter.cmpl_mocap13"),
            "--data", str(many), "--root", str(tmp_path / "many"), "--device", "cpu", "--test-clips", "10"]  # fmt: skip
    terminal, its_end = os.openpty()
    termios.tcsetwinsize(its_end, (24, 80))  # one without columns has no bar
    process = subprocess.Popen(args, stderr=its_end, cwd=REPO, start_new_session=True)
    seen = b""
    while not re.search(rb"evaluate: .*\| [1-9]\d*/", seen):  # the progress bar, after the first videos
        seen += os.read(terminal, 1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    error = os.read(terminal, 65536)
    os.close(terminal)
    os.close(its_end)
    assert re.search(rb"[\r\n]cmpl-zoo: stopped.*\r\n\Z", error) and b"Traceback" not in error


def test_networks_vote_by_their_mean_probabilities(trained, videos, lists, tmp_path):
    rows = read_rows(lists / "val.csv")
    voters = [trained / name for name in ("primary", "auxiliary", "best/primary")]  # two of them of the same stride
    networks = [cmpl_zoo.create_model(voter).eval() for voter in voters]
    names = networks[0].pretrained_cfg["label_names"]
    table = torch.zeros(3, 3, dtype=torch.int64)
    with torch.inference_mode():
        for row in rows:
            views = [load_clip(videos / row["path"], **resolve_clip_config(network)) for network in networks]
            votes = [network(clips).softmax(1).mean(0) for network, clips in zip(networks, views, strict=True)]
            table[names.index(row["label"]), torch.stack(votes).mean(0).argmax()] += 1
    args = [sys.executable, "train/evaluate.py", "--data", str(lists / "val.csv"), "--root", str(videos), "--workers",
            "0", "--device", "cpu", "--json", str(tmp_path / "scores.json")]  # fmt: skip
    run([*args, *map(str, voters)])
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["confusion"] == table.tolist()
    error = run([*args, str(trained / "primary"), "r3d50_eighth.cmpl_demo"], expect=2).stderr
    assert re.search(r"r3d50_eighth\.cmpl_demo.* classes", error)


def test_votes_are_of_one_video_where_a_frame_of_another_cannot_be_read(videos, tmp_path):
    """Networks of two strides look at other frames: one of them may fail at a video that the other can read."""
    networks = [
        cmpl_zoo.create_model("r3d50_eighth", num_classes=3, clip={"frames": 4, "stride": stride, "clips": 1},
                              pretrained_cfg_overlay={"input_size": (3, 32, 32)})
        for stride in (1, 3)
    ]  # fmt: skip
    frames = read_frames(videos / "run" / "00.mp4", range(12)).numpy()
    seen = [set(uniform_clips(12, 4, stride, 1)[0]) for stride in (1, 3)]
    for video, spoilt in {"a": seen[0] - seen[1], "b": seen[1] - seen[0], "c": set()}.items():
        (tmp_path / video).mkdir()
        for place, frame in enumerate(frames):
            file = tmp_path / video / f"{place:02d}.png"
            Image.fromarray(frame).save(file)
            if place in spoilt:
                file.write_bytes(b"no picture")
    folders = Videos([str(tmp_path / video) for video in "abc"], np.array([0, 1, 2]))
    [together] = evaluate_ensembles([networks], folders, workers=0)
    assert (together.scores["videos"], together.scores["unreadable"]) == (3, 2)
    [of_c] = evaluate_ensembles([networks], Videos(folders.paths[2:], folders.ids[2:]), workers=0)
    assert together.scores["confusion"] == of_c.scores["confusion"]
    assert np.isnan(together.probabilities[:2]).all() and together.mapped.tolist() == [2]
    assert np.array_equal(together.probabilities[2], of_c.probabilities[0])
    assert [path in together.unreadable[index] for index, path in enumerate(folders.paths[:2])] == [True, True]


def test_the_folder_of_a_run_is_its_networks_which_vote(trained, videos, lists, tmp_path, capsys):
    common = ["--data", str(lists / "val.csv"), "--root", str(videos), "--workers", "0", "--device", "cpu"]
    names = [str(trained / role) for role in ("primary", "auxiliary")]
    for file, models in (("run", [str(trained)]), ("both", names)):
        assert main(["evaluate", *models, *common, "--json", str(tmp_path / f"{file}.json")]) == 0
    by_run = json.loads((tmp_path / "run.json").read_text())
    assert by_run == json.loads((tmp_path / "both.json").read_text()) and by_run["model"] == names
    vote = json.loads((trained / "summary.json").read_text())["validation"]["vote"]
    assert by_run | {"list": str(lists / "val.csv")} == vote | {key: by_run[key] for key in ("model", "data")}
    for row in read_rows(trained / "predictions.csv"):
        of_true_class = [float(row[f"{role}label_probability"]) for role in ("", "auxiliary_", "vote_")]
        assert of_true_class[2] == pytest.approx(sum(of_true_class[:2]) / 2, abs=1.5e-4)
    capsys.readouterr()
    said = []
    for model in ([str(trained)], [names[0], "--with", names[1]], [names[0]]):
        assert main(["predict", *model, str(videos / "run" / "00.mp4"), "--device", "cpu"]) == 0
        said.append(capsys.readouterr().out)
    assert said[0] == said[1] != said[2]


def test_a_folder_of_class_folders_is_measured_as_its_list(trained, videos, tmp_path):
    """Without what is in no class folder."""
    for label in CLASSES:
        (tmp_path / "videos" / label / "monday").mkdir(parents=True)
        for video in sorted((videos / label).iterdir())[:2]:
            shutil.copy(video, tmp_path / "videos" / label / "monday")
    shutil.copy(video, tmp_path / "videos" / "z.mp4")
    shutil.copytree(tmp_path / "videos" / "run", tmp_path / "videos" / "unlabeled")
    (tmp_path / "videos" / "run" / os.fsdecode(b"\xe9.mp4")).write_bytes(b"")
    listed = tmp_path / "videos" / "videos.csv"
    rows = [f"{label}/monday/0{number}.mp4,{label}\n" for label in CLASSES for number in range(2)]
    listed.write_text("path,label\n" + "".join(rows))
    scores = []
    for data in ([str(listed), "--root", str(tmp_path / "videos")], [str(tmp_path / "videos")]):
        words = ["evaluate", str(trained), "--data", *data, "--workers", "0", "--device", "cpu"]
        assert main([*words, "--json", str(tmp_path / "s.json")]) == 0
        scores.append(json.loads((tmp_path / "s.json").read_text()))
    assert scores[0] | {"data": ""} == scores[1] | {"data": ""} and scores[0]["videos"] == 6
    networks = [cmpl_zoo.create_model(str(trained / network)) for network in ("primary", "auxiliary")]
    with pytest.warns(UserWarning, match=r"videos: left out run/\\udce9\.mp4: begins"):
        assert cmpl_zoo.evaluate(networks, tmp_path / "videos", workers=0)["confusion"] == scores[0]["confusion"]


def test_what_cannot_be_measured_is_refused(videos, lists):
    model = cmpl_zoo.create_model("r3d50_eighth", num_classes=3, clip={"frames": 2, "clips": 1, "crops": 1}).eval()
    model.pretrained_cfg = model.default_cfg = {**model.pretrained_cfg, "label_names": CLASSES}
    paths = read_list(lists / "val.csv", videos).paths
    with pytest.raises(ValueError, match=f"{paths[1]}: its class id is -1, and those of the model are 0 to 2; leave"):
        cmpl_zoo.evaluate(model, Videos(paths[:3], [0, -1, 2]), workers=0)
    model.fc.weight.data[:] = float("nan")
    with pytest.raises(RuntimeError, match=f"{paths[0]}: the probabilities are not finite"):
        cmpl_zoo.evaluate(model, lists / "val.csv", videos, workers=0)


def test_networks_that_are_measured_together_read_a_video_once(videos, lists, monkeypatch):
    """Each alone and as an ensemble, in one pass: the same as one after the other."""

    def network(name):
        small = {"input_size": (3, 32, 32), "crop_pct": 0.9, "label_names": CLASSES}
        clip = {"frames": 4, "stride": 2, "clips": 2, "crops": 1}
        return cmpl_zoo.create_model(name, num_classes=3, clip=clip, pretrained_cfg_overlay=small)

    read = []
    monkeypatch.setattr(
        evaluation_batches,
        "load_views",
        lambda video, **views: read.append(video.path) or load_views(video, **views),
    )
    val = read_list(lists / "val.csv", videos)
    of_val = Videos(val.paths, class_ids(val, CLASSES))
    a, b = network("r3d50_quarter"), network("r3d50_eighth")
    passes = []
    for model in (a, b):
        model.register_forward_hook(lambda model, *_: passes.append(model))
    together = evaluate_ensembles([[a], [b], [a, b]], of_val, workers=0)
    assert read == list(val.paths)
    assert passes.count(a) == passes.count(b) == 1  # of the views of all nine videos
    for ensemble, found in zip(([a], [b], [a, b]), together, strict=True):
        [alone] = evaluate_ensembles([ensemble], of_val, workers=0)
        assert found.scores == alone.scores and np.array_equal(found.probabilities, alone.probabilities)
        # What the classifier of the first model sees, from which its logits follow.
        with torch.inference_mode():
            views = torch.stack([load_clip(path, **resolve_clip_config(ensemble[0])) for path in val.paths])
            seen = ensemble[0].eval().forward_head(ensemble[0].forward_features(views.flatten(0, 1)), pre_logits=True)
        assert found.mapped.tolist() == list(range(9))
        assert np.allclose(found.features, seen.unflatten(0, (9, 2)).mean(1), rtol=1e-4, atol=1e-5)
    assert not a.global_pool._forward_hooks


def test_evaluations_of_many_networks_have_a_folder_for_each_list():
    """A path has so much room: the networks are cut, and not the list."""
    models = [f"runs/lips_words_10_labels_cross_seed{number}/primary" for number in range(4)]
    names = {default_folder(models[:count], f"lists/{data}.csv").name for count in (3, 4) for data in ("val", "test")}
    assert len(names) == 4 and all(len(name) <= 108 and name.endswith(("-on-val", "-on-test")) for name in names)
    assert default_folder(models[:1], "lists/val.csv").name == "lips_words_10_labels_cross_seed0-primary-on-val"


def test_folders_of_videos_have_evaluations_of_their_own(tmp_path, monkeypatch):
    for name in ("2024.05.01", "2024.05.02"):
        (tmp_path / name).mkdir()
    folders = {default_folder(["m"], str(tmp_path / name)).name for name in ("2024.05.01", "2024.05.02")}
    assert folders == {"m-on-2024.05.01", "m-on-2024.05.02"}
    monkeypatch.chdir(tmp_path / "2024.05.01")
    assert default_folder(["m"], ".").name == "m-on-2024.05.01"


def test_what_an_evaluation_would_overwrite_is_kept(trained, lists, tmp_path, capsys):
    own = tmp_path / "predictions.csv"
    shutil.copy(lists / "val.csv", own)
    os.mkfifo(tmp_path / "pipe")
    for data, output, message in (
        (own, ["--json", own], r"predictions\.csv: this is the list that is read; give --json another name"),
        (own, ["-o", tmp_path], r"predictions\.csv: this is the list that is read; give --output another name"),
        (lists / "val.csv", ["-o", tmp_path], r"predictions\.csv: is of no evaluation, and is kept"),
        (own, ["-o", trained], r"holds a run, whose report would be replaced"),
        (own, ["--json", tmp_path / "pipe"], r"pipe cannot be written \(it is no regular file\)"),
        (own, ["--json", "-"], r"--json -: scores go to a file"),
    ):
        assert re.search(message, refused(capsys, "evaluate", trained, "--data", data, *output))
    assert own.read_bytes() == (lists / "val.csv").read_bytes() and (tmp_path / "pipe").is_fifo()
