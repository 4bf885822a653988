"""`cmpl-zoo export`: a file that gives the model's probabilities without this package, and says how to read videos."""

import json
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import av
import pytest
import torch
from made_videos import encode

import cmpl_zoo
from cmpl_zoo import exporting, hub
from cmpl_zoo.exporting import ExportError, export_model
from cmpl_zoo.prediction import predict
from cmpl_zoo.video.clips import load_clip, resolve_clip_config
from cmpl_zoo_cli.main import main

REPO = Path(__file__).resolve().parents[1]
NAMES = ["archery", "bowling", "cricket", "diving"]


def save(
    folder: Path, name: str, clip: dict | None = None, size: tuple[int, int] | None = None, std: float = 1
) -> Path:
    """A model directory of a random network; its classifier has weights of this deviation, so that probabilities are
    neither equal, nor 0 and 1, and a wrong pixel shows in them."""
    torch.manual_seed(0)
    overlay = {"input_size": (3, *size), "crop_pct": 0.8, "mean": (0.4, 0.5, 0.6)} if size else {}
    model = cmpl_zoo.create_model(name, num_classes=4, clip=clip, pretrained_cfg_overlay=overlay)
    with torch.no_grad():
        model.fc.weight.normal_(std=std)
    return hub.save(model, folder, NAMES)


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    clip = {"frames": 4, "stride": 3, "clips": 2, "crops": 3}
    return save(tmp_path_factory.mktemp("models") / "small", "r3d50_eighth", clip, (48, 64))


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return encode(tmp_path_factory.mktemp("video") / "v.mp4", frames=50, width=160, height=120)


def export(*words: object) -> int:
    return main(["export", *map(str, words)])


def metadata(file: Path) -> dict:
    """class_names and clip of a file."""
    if file.suffix == ".onnx":
        session = pytest.importorskip("onnxruntime").InferenceSession(str(file))
        return {key: json.loads(text) for key, text in session.get_modelmeta().custom_metadata_map.items()}
    texts = {"class_names": "", "clip": ""}
    torch.export.load(file, extra_files=texts)
    return {key: json.loads(text) for key, text in texts.items()}


def logits(file: Path, clips: torch.Tensor) -> torch.Tensor:
    if file.suffix == ".pt2":
        return torch.export.load(file).module()(clips)
    session = pytest.importorskip("onnxruntime").InferenceSession(str(file))
    return torch.from_numpy(session.run(None, {"clips": clips.numpy()})[0])


@pytest.mark.parametrize("half", [False, True], ids=["float32", "half"])
@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_a_file_gives_the_models_logits_for_any_batch(suffix, half, saved, video, tmp_path, capsys):
    pytest.importorskip("onnxscript")
    file = tmp_path / f"model{suffix}"
    assert export(saved, "-o", file, "--videos", video, *(["--half"] if half else [])) == 0
    said = capsys.readouterr().out
    assert re.search(
        rf"model\{suffix}  \d\.\d MB\n.*at most \S+ on 1 clips .*{0.01 if half else 0.001}.*\n.*speed", said
    )
    assert [path.name for path in tmp_path.iterdir()] == [file.name]
    model = cmpl_zoo.create_model(saved).eval()
    views = load_clip(video, **resolve_clip_config(model))
    for n in (1, 2, 5):
        with torch.inference_mode():
            expected, found = model(views[:n]), logits(file, views[:n])
        assert found.dtype == torch.float32
        torch.testing.assert_close(found, expected, rtol=0, atol=3e-2 if half else 1e-4)
    about = metadata(file)
    assert about["class_names"] == NAMES
    assert about["clip"] == {
        "frames": 4, "stride": 3, "clips": 2, "crops": 3, "size": [48, 64], "crop_pct": 0.8,
        "mean": [0.4, 0.5, 0.6], "std": [0.229, 0.224, 0.225],
    }  # fmt: skip
    assert str(REPO).encode() not in file.read_bytes() and b"site-packages" not in file.read_bytes()


def test_half_precision_halves_the_file(saved, video, tmp_path):
    pytest.importorskip("onnxscript")
    model = cmpl_zoo.create_model(saved).eval()
    whole, half = (
        export_model(model, tmp_path / f"{flag}.onnx", [str(video)], half=flag).megabytes for flag in (False, True)
    )
    assert 0.45 < half / whole < 0.65
    assert whole == (tmp_path / "False.onnx").stat().st_size / 1e6


@pytest.mark.parametrize("name", ["m.pt2", "gone/m.pt2"])
def test_the_model_stays_as_it_is(saved, video, tmp_path, name):
    model = cmpl_zoo.create_model(saved).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with suppress(ExportError):
        export_model(model, tmp_path / name, [str(video)])
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_without_videos_rendered_ones_are_compared(tmp_path, capsys):
    assert export("r3d50_eighth.cmpl_demo", "-o", tmp_path / "demo.pt2") == 0
    assert "on 8 clips" in capsys.readouterr().out
    assert "run" in metadata(tmp_path / "demo.pt2")["class_names"]


@pytest.mark.parametrize(
    ("clip", "size"),
    [
        ({"frames": 4, "stride": 3, "clips": 2, "crops": 3}, (48, 64)),
        ({"frames": 4, "stride": 2, "fps": 10.0, "clips": 3, "crops": 1}, (64, 64)),
        ({"frames": 6, "spread": True, "clips": 2, "crops": 1}, (64, 48)),
    ],
    ids=["stride", "fps", "spread"],
)
def test_the_example_predicts_without_torch_what_predict_does(clip, size, shared_data, tmp_path):
    """On real videos, one of them in portrait format."""
    pytest.importorskip("onnxscript")
    folder = save(tmp_path / "model", "r3d50_eighth", clip, size)
    videos = sorted(map(str, (shared_data / "fights").glob("fight/*")))[:2]
    portrait = encode(tmp_path / "portrait.mp4", frames=30, width=90, height=160)
    videos += [str(portrait), str(shared_data / "clips" / "v_ApplyEyeMakeup_g01_c01.avi")]  # whose times go back
    file = tmp_path / "model.onnx"
    assert export(folder, "-o", file, "--videos", shared_data / "fights" / "fight" / "fi00[12].mp4") == 0
    done = subprocess.run(
        [sys.executable, "-X", "importtime", REPO / "examples" / "onnx_predict.py", file, *videos],
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": ""}, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"av", "numpy", "onnxruntime"} <= imported and not imported & {"torch", "cmpl_zoo", "torchvision"}
    blocks = re.split(r"^(?=\S)", done.stdout, flags=re.MULTILINE)[1:]
    model = cmpl_zoo.create_model(folder).eval()
    assert len(blocks) == len(videos)
    for path, block in zip(videos, blocks, strict=True):
        first, *lines = block.splitlines()
        found = {name: float(share) / 100 for share, name in re.findall(r"([\d.]+)%  (\w+)", "\n".join(lines))}
        expected = dict(predict(model, path))
        assert first == path and list(found) == list(expected)
        assert found == pytest.approx(expected, abs=1e-3)


def test_the_example_refuses_what_it_would_read_wrongly_and_goes_on(shared_data, tmp_path):
    pytest.importorskip("onnxscript")
    assert export("r3d50_eighth.cmpl_demo", "-o", tmp_path / "demo.onnx") == 0
    field, clips = shared_data / "field", shared_data / "clips"
    with av.open(str(tmp_path / "sound.m4a"), "w") as container:
        container.add_stream("aac", rate=8000)
        container.start_encoding()
    odd = [clips / "rotation_90.mov", field / "sar_4_3.mp4", tmp_path / "nowhere.mp4", tmp_path / "sound.m4a"]
    videos = [*odd, field / "trunc_faststart.mp4"]
    done = subprocess.run(
        [sys.executable, REPO / "examples" / "onnx_predict.py", tmp_path / "demo.onnx", *videos],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    for name in ("rotation_90.mov: is not stored as it is shown", "sar_4_3.mp4: is not", "nowhere.mp4", "sound.m4a"):
        assert name in done.stderr
    assert "trunc_faststart.mp4: is damaged after 37 frames" in done.stderr
    path, first, *_ = done.stdout.splitlines()
    assert path == str(videos[-1]) and first.split()[-1] == "squat_slowly"


# What is refused


def test_a_file_that_differs_is_refused_and_not_left(saved, video, tmp_path, monkeypatch):
    model = cmpl_zoo.create_model(saved).eval()
    real = exporting._pt2

    def damaged(model, clips, about):
        with torch.no_grad():
            model.fc.bias[0] += 0.1
        return real(model, clips, about)

    monkeypatch.setattr(exporting, "_pt2", damaged)
    with pytest.raises(ExportError, match=r"m\.pt2: .*differ from PyTorch's by up to 0\.\d+, more than 0\.001"):
        export_model(model, tmp_path / "m.pt2", [str(video)])
    assert list(tmp_path.iterdir()) == []


class Unexportable(torch.nn.Module):
    def forward(self, x):
        return x * 2 if x.sum() > 0 else x


def test_what_torch_cannot_export_is_one_sentence(saved, video, tmp_path, capsys, monkeypatch):
    model = cmpl_zoo.create_model(saved).eval()
    model.act1 = Unexportable()
    with pytest.raises(ExportError, match=r"m\.pt2: torch \S+ cannot export r3d50_eighth to \.pt2 \(.+\); try \.onnx"):
        export_model(model, tmp_path / "m.pt2", [str(video)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["MODEL", "-o", "m.bin"], r"m\.bin: .*\.onnx or \.pt2"),
        (["MODEL", "-o", "m.ONNX"], r"m\.ONNX: .*\.onnx or \.pt2"),
        (["MODEL", "-o", "m.pt2", "--videos", "missing.mp4"], r"missing\.mp4"),
        (["MODEL", "-o", "m.pt2", "--videos", "text.mp4"], r"text\.mp4"),
        (["nothing/here", "-o", "m.pt2"], r"nothing/here"),
        (["MODEL", "-o", "text.mp4/m.pt2"], r"text\.mp4/m\.pt2: cannot write"),
    ],
)
def test_bad_input_is_one_sentence(words, message, saved, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.mp4").write_text("no video")
    before = {path.name for path in tmp_path.iterdir()}
    assert export(*(str(saved) if word == "MODEL" else word for word in words)) == 2
    said = capsys.readouterr().err
    assert re.search(message, said) and len(said.splitlines()) == 1, said
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_model_without_classifier_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no classifier \(num_classes is 0\)"):
        export_model(cmpl_zoo.create_model("r3d50_eighth", num_classes=0).eval(), tmp_path / "m.pt2")


def test_a_full_disk_leaves_nothing(saved, video, tmp_path):
    """/dev/full is a file on a disk that is full."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    (tmp_path / ".m.pt2.part").symlink_to("/dev/full")  # where the file is written before it gets its name
    model = cmpl_zoo.create_model(saved).eval()
    with pytest.raises(ExportError, match=r"m\.pt2: cannot write this file: No space left"):
        export_model(model, tmp_path / "m.pt2", [str(video)])
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_names_the_extra(saved, video, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert export(saved, "-o", tmp_path / "m.onnx", "--videos", video) == 2
    assert "pip install 'cmpl_zoo[export]'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


# Full size


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "suffix"),
    [
        ("r3d50", ".onnx"),
        ("r3d50", ".pt2"),
        ("tv_r2plus1d_18", ".onnx"),
        pytest.param("tv_mvit_v2_s", ".pt2", marks=pytest.mark.release),
    ],
)
def test_networks_of_full_size_are_exported(name, suffix, video, tmp_path):
    """On a single clip. In small, every family is in the tests of torchvision's networks; S3D takes minutes."""
    folder = save(tmp_path / "model", name, std=0.1)
    made = export_model(cmpl_zoo.create_model(folder).eval(), tmp_path / f"m{suffix}", [str(video)])
    assert made.difference <= 1e-3 and made.megabytes > 1
