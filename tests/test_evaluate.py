"""train/evaluate.py, as a script and as what training validates by, on real videos."""

import json
import os
import re
import signal
import subprocess
import sys

import numpy as np
import torch
from training import CLASSES, REPO, read_rows, run

import cmpl_zoo
from cmpl_zoo.datasets import evaluation_batches
from cmpl_zoo.datasets.classes import class_ids
from cmpl_zoo.datasets.lists import Videos, read_list
from cmpl_zoo.video.clips import load_clip, load_views, resolve_clip_config
from cmpl_zoo.video.sampling import uniform_clips


def test_evaluate_agrees_with_the_run(trained, shared_data, lists, tmp_path):
    done = run([sys.executable, "train/evaluate.py", "--model", str(trained / "primary"), "--data",
                str(lists / "val.csv"), "--root", str(shared_data / "mocap13"), "--workers", "0", "--device", "cpu",
                "--json", str(tmp_path / "scores.json")])  # fmt: skip
    scores = json.loads((tmp_path / "scores.json").read_text())
    reported = json.loads((trained / "summary.json").read_text())["validation"]["primary"]
    for key in ("videos", "clips", "crops", "video_top1", "clip_top1", "per_class"):
        assert scores[key] == reported[key]
    assert "2 x 1 views (clips x crops)" in done.stdout and "top-5" not in done.stdout
    for mistake, message in (
        (["--workers", "-1"], "--workers must not be negative, and is -1"),
        (
            ["--json", str(tmp_path / "scores.json" / "y.json")],
            "cannot be written (Not a directory); give another file",
        ),
        (["--json", str(tmp_path)], "cannot be written (it is a folder); give another file"),
    ):
        error = run([*done.args, *mistake], expect=2).stderr
        assert message in error and "Traceback" not in error
    assert [file.name for file in tmp_path.iterdir()] == ["scores.json"]


def test_ctrl_c_ends_an_evaluation_in_one_line(shared_data, tmp_path):
    args = [sys.executable, "train/evaluate.py", "--model", str(REPO / "model_cards" / "r3d50_quarter.cmpl_mocap13"),
            "--data", str(shared_data / "mocap13" / "test.csv"), "--root", str(shared_data / "mocap13"), "--device",
            "cpu", "--clips", "10"]  # fmt: skip
    process = subprocess.Popen(args, stderr=subprocess.PIPE, text=True, cwd=REPO, start_new_session=True)
    seen = ""
    while not re.search(r"evaluate: .*\| [1-9]\d*/", seen):  # the progress bar, after the first videos
        character = process.stderr.read(1)
        assert character, seen
        seen += character
    os.killpg(process.pid, signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error.endswith("evaluate.py: stopped; nothing is written\n") and "Traceback" not in error


def test_networks_vote_by_their_mean_probabilities(trained, shared_data, lists, tmp_path):
    root = shared_data / "mocap13"
    rows = read_rows(lists / "val.csv")
    voters = [trained / name for name in ("primary", "auxiliary", "best/primary")]  # two of them of the same stride
    networks = [cmpl_zoo.create_model(voter).eval() for voter in voters]
    names = networks[0].pretrained_cfg["label_names"]
    table = torch.zeros(3, 3, dtype=torch.int64)
    with torch.inference_mode():
        for row in rows:
            views = [load_clip(root / row["path"], **resolve_clip_config(network)) for network in networks]
            votes = [network(clips).softmax(1).mean(0) for network, clips in zip(networks, views, strict=True)]
            table[names.index(row["label"]), torch.stack(votes).mean(0).argmax()] += 1
    evaluate = [sys.executable, "train/evaluate.py", "--data", str(lists / "val.csv"), "--root", str(root), "--workers",
                "0", "--device", "cpu", "--json", str(tmp_path / "scores.json"), "--model"]  # fmt: skip
    run([*evaluate, *map(str, voters)])
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["confusion"] == table.tolist()
    error = run([*evaluate, str(trained / "primary"), "r3d50_eighth.cmpl_demo"], expect=2).stderr
    assert "knows other classes than" in error


def test_votes_are_of_one_video_where_a_frame_of_another_cannot_be_read(shared_data, tmp_path, monkeypatch):
    """Networks of two strides look at other frames: one of them may fail at a video that the other can read."""
    monkeypatch.syspath_prepend(REPO / "train")

    networks = [
        cmpl_zoo.create_model("r3d50_eighth", num_classes=3, clip={"frames": 4, "stride": stride, "clips": 1},
                              pretrained_cfg_overlay={"input_size": (3, 32, 32)})
        for stride in (1, 3)
    ]  # fmt: skip
    pictures = sorted((shared_data / "clips" / "frames" / "jumping" / "0001").glob("*.jpg"))[:12]
    seen = [set(uniform_clips(12, 4, stride, 1)[0]) for stride in (1, 3)]
    for video, spoilt in {"a": seen[0] - seen[1], "b": seen[1] - seen[0], "c": set()}.items():
        (tmp_path / video).mkdir()
        for place, picture in enumerate(pictures):
            content = b"no picture" if place in spoilt else picture.read_bytes()
            (tmp_path / video / picture.name).write_bytes(content)
    videos = Videos([str(tmp_path / video) for video in "abc"], np.array([0, 1, 2]))
    [together] = evaluate([networks], videos, torch.device("cpu"), workers=0)
    assert (together["videos"], together["unreadable"]) == (3, 2)
    [of_c] = evaluate([networks], Videos(videos.paths[2:], videos.ids[2:]), torch.device("cpu"), workers=0)
    assert together["confusion"] == of_c["confusion"]


def test_networks_that_are_measured_together_read_a_video_once(shared_data, lists, monkeypatch):
    """Each alone and as an ensemble, in one pass: the same as one after the other."""
    monkeypatch.syspath_prepend(REPO / "train")

    def network(name):
        small = {"input_size": (3, 32, 32), "crop_pct": 0.9, "label_names": CLASSES}
        clip = {"frames": 4, "stride": 2, "clips": 2, "crops": 1}
        return cmpl_zoo.create_model(name, num_classes=3, clip=clip, pretrained_cfg_overlay=small)

    read = []
    monkeypatch.setattr(
        evaluation_batches, "load_views", lambda path, **views: read.append(path) or load_views(path, **views)
    )
    val = read_list(lists / "val.csv", shared_data / "mocap13")
    videos = Videos(val.paths, class_ids(val, CLASSES))
    a, b = network("r3d50_quarter"), network("r3d50_eighth")
    together = evaluate([[a], [b], [a, b]], videos, torch.device("cpu"), workers=0)
    assert read == list(val.paths)
    assert together == [
        evaluate([ensemble], videos, torch.device("cpu"), workers=0)[0] for ensemble in ([a], [b], [a, b])
    ]
