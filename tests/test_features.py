"""`cmpl-zoo features`: what the file holds, runs that are cut off, and files of something else."""

import fcntl
import json
import re
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from made_videos import refused, start
from training import read_rows, write_rows

import cmpl_zoo
from cmpl_zoo.datasets import evaluation_batches
from cmpl_zoo.datasets.lists import read_list
from cmpl_zoo.features import extract_features, read_features, weights_digest
from cmpl_zoo.video.clips import load_clip, load_views, resolve_clip_config
from cmpl_zoo_cli.main import main

MODEL = "r3d50_eighth.cmpl_demo"  # tested on two clips of a video


@pytest.fixture(scope="module")
def some(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of nine made videos with a further column; the second has no label, and the sixth cannot be read."""
    rows = [row | {"day": f"day {number % 3}"} for number, row in enumerate(read_rows(videos / "videos.csv")[::4])]
    rows[1]["label"] = ""
    rows[5]["path"] = "missing.mp4"
    file = tmp_path_factory.mktemp("features") / "some.csv"
    write_rows(file, rows)
    return file


def features(model: object, videos: object, root: Path, file: Path, *more: str) -> list[str]:
    return ["features", str(model), str(videos), "--root", str(root), "-o", str(file), "--workers", "0",
            "--device", "cpu", *more]  # fmt: skip


def test_a_file_holds_what_the_classifier_would_see(
    some: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "deep" / "f.npz"
    assert main(features(MODEL, some, videos, file, "--batch-size", "3")) == 1
    shown = capsys.readouterr()
    assert re.search(r"left out: .*missing\.mp4", shown.err)
    assert re.search(r"f\.npz  8 videos, 256 channels, 1 unreadable", shown.out)
    rows = [row for row in read_rows(some) if row["path"] != "missing.mp4"]
    network = cmpl_zoo.create_model(MODEL, pretrained=True).eval()
    with np.load(file, allow_pickle=False) as arrays:
        assert arrays["paths"].tolist() == [row["path"] for row in rows]
        assert arrays["labels"].tolist() == [row["label"] for row in rows] and arrays["labels"][1] == ""
        assert arrays["column:day"].tolist() == [row["day"] for row in rows]
        assert arrays["unreadable"].tolist() == ["missing.mp4"]
        assert arrays["features"].dtype == np.float32
        for row, found in zip(rows, arrays["features"], strict=True):
            clips = load_clip(videos / row["path"], **resolve_clip_config(network))
            assert len(clips) == 2
            with torch.inference_mode():
                expected = network.forward_features(clips).mean((2, 3, 4)).mean(0)
                assert np.allclose(found, expected.numpy(), atol=1e-5) and expected.std() > 0.01
                logits = network.fc(torch.from_numpy(found))
                assert torch.allclose(logits, network(clips).mean(0), atol=1e-4)
    assert [path.name for path in file.parent.iterdir()] == ["f.npz"]
    rounded = cmpl_zoo.create_model(MODEL, pretrained=True).bfloat16().eval()
    found = extract_features(rounded, MODEL, read_list(some, videos, labeled=False), videos, tmp_path / "h.npz")
    assert np.allclose(found.features, read_features(file).features, atol=0.1)
    # A second time there is nothing to do.
    before = file.stat().st_mtime_ns
    assert main(features(MODEL, some, videos, file)) == 1 and file.stat().st_mtime_ns == before


@pytest.mark.slow
def test_ctrl_c_and_a_kill_lose_nothing(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = read_rows(videos / "videos.csv")
    for copy in range(2):
        (tmp_path / str(copy)).symlink_to(videos)
    many = [row | {"path": f"{copy}/{row['path']}"} for copy in range(2) for row in rows]
    write_rows(tmp_path / "many.csv", many)
    file, unfinished = tmp_path / "f.npz", tmp_path / "f.npz.unfinished.jsonl"
    line = features(MODEL, tmp_path / "many.csv", tmp_path, file, "--batch-size", "2")
    process = start(*line)
    while not unfinished.exists() or unfinished.read_bytes().count(b"\n") < 5:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    done = unfinished.read_bytes().count(b"\n") - 1
    assert process.returncode == 130 and not file.exists() and 4 <= done < len(many)
    assert re.fullmatch(rf"cmpl-zoo: stopped after {done} of 72 videos; the same command continues.*\n", error)

    with unfinished.open("ab") as text:
        text.write(b'"AAAA')  # as a kill in the middle of a line leaves it
    read: list[str] = []

    def load(path: str, **views: object) -> torch.Tensor:
        read.append(path)
        if len(read) == 5:
            raise KeyboardInterrupt
        return load_views(path, **views)

    monkeypatch.setattr(evaluation_batches, "load_views", load)
    assert main(line) == 130
    assert f"stopped after {done + 4} of 72 videos" in capsys.readouterr().err
    assert len([json.loads(row) for row in unfinished.read_text().splitlines()]) == 1 + done + 4
    assert main(line) == 0
    assert len(read) == len(many) - done + 1  # the one that was interrupted, twice
    assert not unfinished.exists()
    found = read_features(file)
    assert found.paths == [row["path"] for row in many]
    assert np.allclose(found.features, np.tile(found.features[: len(rows)], (2, 1)), atol=1e-5)
    assert np.unique(found.features[: len(rows)].round(4), axis=0).shape[0] == len(rows)  # videos differ


def test_a_full_disk_loses_nothing(
    some: Path, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file, unfinished = tmp_path / "f.npz", tmp_path / "f.npz.unfinished.jsonl"
    line = features(MODEL, some, videos, file, "--batch-size", "2")

    def refused_with(most_bytes: int) -> str:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, limits[1]))
        try:
            return refused_lines(capsys, line)[-1]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert re.search(r"f\.npz\.unfinished\.jsonl: cannot be written: .*too large.*same command", refused_with(4000))
    assert unfinished.stat().st_size == 4000 and not file.exists()
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", lambda *_, **__: signal.raise_signal(signal.SIGINT))  # Ctrl-C at the last moment
        assert main(line) == 130
    assert "stopped after 9 of 9 videos" in capsys.readouterr().err
    monkeypatch.setattr(evaluation_batches, "load_views", lambda *_, **__: pytest.fail("a video is read again"))
    assert re.search(r"f\.npz: cannot be written: .*too large.*same command", refused_with(3000))
    assert [path.name for path in tmp_path.iterdir()] == [unfinished.name]
    assert main(line) == 1
    assert [path.name for path in tmp_path.iterdir()] == [file.name] and len(read_features(file)) == 8
    unfinished.write_text("{}")  # as a kill at the very end leaves it
    assert main(line) == 1
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_another_model_list_or_way_of_computing_is_refused(
    some: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, model, changed = tmp_path / "f.npz", tmp_path / "model", tmp_path / "some.csv"
    network = cmpl_zoo.create_model(MODEL, pretrained=True)
    cmpl_zoo.save(network, model, network.pretrained_cfg["label_names"])
    changed.write_bytes(some.read_bytes())
    assert main(features(model, changed, videos, file)) == 1
    capsys.readouterr()

    def message(*line: object) -> str:
        return refused(capsys, *line)

    assert main(features(MODEL, changed, videos, file)) == 1  # the same weights under another name
    assert "it was there, so delete it if videos have changed" in capsys.readouterr().out
    assert re.search(
        r"--precision float32; .*other file", message(*features(model, changed, videos, file, "--precision", "bf16"))
    )
    assert re.search(rf"--root {videos}; ", message(*features(model, changed, tmp_path, file)))
    changed.write_text(changed.read_text().replace("wave_both_hands\n", "run\n").replace("day 2", "day 1"))
    assert re.search(r"some\.csv.*changed", message(*features(model, changed, videos, file)))
    changed.write_bytes(some.read_bytes())

    network.clip["clips"] = 1
    cmpl_zoo.save(network, model, network.pretrained_cfg["label_names"])
    assert re.search(r"f\.npz: .*views", message(*features(model, changed, videos, file)))
    network.clip["clips"] = 2
    before = weights_digest(network)
    with torch.no_grad():
        network.fc.weight += 1  # of no matter to the features
        assert weights_digest(network) == before
        network.layer4[0].bn1.running_mean[0] += 1e-3
    assert weights_digest(network) != before
    cmpl_zoo.save(network, model, network.pretrained_cfg["label_names"])
    assert re.search(r"f\.npz: .*other weights", message(*features(model, changed, videos, file)))
    file.rename(tmp_path / "g.npz")

    # What is unfinished is held to the same.
    (tmp_path / "f.npz.unfinished.jsonl").write_text(json.dumps(read_features(tmp_path / "g.npz").source) + "\n")
    assert re.search(r"unfinished\.jsonl: .*other weights", message(*features(model, changed, videos, file)))
    (tmp_path / "f.npz.unfinished.jsonl").write_text("{}\n")
    assert re.search(r"unfinished\.jsonl: is damaged.*delete it", message(*features(model, changed, videos, file)))
    (tmp_path / "f.npz.unfinished.jsonl").unlink()
    with (tmp_path / "f.npz.unfinished.jsonl").open("w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert re.search(r"unfinished\.jsonl: another process", message(*features(model, changed, videos, file)))
    assert re.search(rf"{tmp_path}: is a folder", message(*features(model, changed, videos, tmp_path)))


def test_a_list_that_is_edited_meanwhile_changes_nothing(some: Path, videos: Path, tmp_path: Path) -> None:
    edited = tmp_path / "some.csv"
    edited.write_bytes(some.read_bytes())
    network = cmpl_zoo.create_model(MODEL, pretrained=True).eval()
    header, *rows = some.read_text().splitlines(keepends=True)

    def edit(*_: object) -> None:
        edited.write_text("".join([header, *reversed(rows[:-2])]))

    handle = network.layer4.register_forward_pre_hook(edit)
    found = extract_features(network, MODEL, read_list(edited, videos, False), videos, tmp_path / "f.npz", workers=0)
    handle.remove()
    assert edited.read_bytes() != some.read_bytes()
    whole = extract_features(network, MODEL, read_list(some, videos, False), videos, tmp_path / "g.npz", workers=0)
    assert (found.paths, found.labels, found.columns) == (whole.paths, whole.labels, whole.columns)
    assert np.array_equal(found.features, whole.features)


def test_features_that_are_no_numbers_and_a_list_without_a_readable_video(
    some: Path, videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = cmpl_zoo.create_model(MODEL, pretrained=True)
    with torch.no_grad():
        network.conv1.weight[0] = float("nan")
    network.train()
    with pytest.raises(ValueError, match=r"run/00\.mp4: its features are not finite; .*other weights"):
        extract_features(network, MODEL, read_list(some, videos, labeled=False), videos, tmp_path / "f.npz", workers=0)
    assert all(module.training for module in network.modules())
    (tmp_path / "gone.csv").write_text("path\na.mp4\nb.mp4\n")
    lines = refused_lines(capsys, features(MODEL, tmp_path / "gone.csv", videos, tmp_path / "g.npz"))
    assert re.search(r"none of the 2 videos of .*gone\.csv can be read; .*--root", lines[-1])
    (tmp_path / "empty.csv").write_text("path,label\n")
    lines = refused_lines(capsys, features(MODEL, tmp_path / "empty.csv", videos, tmp_path / "h.npz"))
    assert re.search(r"empty\.csv: the list holds no video", lines[-1])
    assert not list(tmp_path.glob("[gh].npz*"))  # so that the same command with the right --root is not refused


def refused_lines(capsys: pytest.CaptureFixture[str], line: list[str]) -> list[str]:
    """What a command says that is refused after it has said other things."""
    assert main(line) == 2
    return capsys.readouterr().err.splitlines()
