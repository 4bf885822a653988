"""From a model directory and a video to classes, as a library and as a command."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
import torchvision
from made_videos import encode

import cmpl_zoo
from cmpl_zoo import hub
from cmpl_zoo.models.labels import label_names
from cmpl_zoo.prediction import predict
from cmpl_zoo.video.clips import crop_views, load_clip, normalize, resolve_clip_config
from cmpl_zoo.video.sampling import uniform_clips
from cmpl_zoo.video.video import read_frames

NAMES = ["archery", "bowling", "cricket", "diving", "fencing", "golf"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    torch.manual_seed(0)
    model = cmpl_zoo.create_model(
        "r3d50_eighth",
        num_classes=6,
        clip={"frames": 4, "stride": 3, "clips": 2, "crops": 3},
        pretrained_cfg_overlay={"input_size": (3, 48, 64), "crop_pct": 0.8, "mean": (0.4, 0.5, 0.6)},
    )
    return hub.save(model, tmp_path_factory.mktemp("models") / "small", NAMES)


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    return encode(tmp_path_factory.mktemp("video") / "v.avi", frames=96, width=320, height=240)


def test_clip_settings_and_class_names_travel_with_the_model(saved):
    for model in (cmpl_zoo.create_model(saved), timm.create_model(f"local-dir:{saved}", pretrained=True)):
        assert resolve_clip_config(model) == {
            "frames": 4, "stride": 3, "clips": 2, "crops": 3, "size": (48, 64), "crop_pct": 0.8,
            "mean": (0.4, 0.5, 0.6), "std": (0.229, 0.224, 0.225),
        }  # fmt: skip
        assert list(model.pretrained_cfg["label_names"]) == NAMES


def test_transformers_may_give_the_number_of_classes(saved, tmp_path):
    """Its AutoModelForImageClassification calls timm like this; older folders repeat the number and load as well."""
    config = json.loads((saved / "config.json").read_text())
    model = timm.create_model(config["architecture"], num_classes=config["num_classes"], **config["model_args"])
    model.load_state_dict(cmpl_zoo.create_model(saved).state_dict())
    assert model.clip == cmpl_zoo.create_model(saved).clip
    older = Path(shutil.copytree(saved, tmp_path / "older"))
    config["model_args"]["num_classes"] = config["num_classes"]
    (older / "config.json").write_text(json.dumps(config))
    for made in (cmpl_zoo.create_model(older), timm.create_model(f"local-dir:{older}", pretrained=True)):
        assert label_names(made) == NAMES and torch.equal(made.fc.weight, model.fc.weight)


def test_both_ways_load_the_same_weights(saved):
    ours, timms = cmpl_zoo.create_model(saved), timm.create_model(f"local-dir:{saved}", pretrained=True)
    for (key, a), b in zip(ours.state_dict().items(), timms.state_dict().values(), strict=True):
        assert torch.equal(a, b), key


def test_saving_a_channels_last_model_changes_nothing(saved, tmp_path):
    model = cmpl_zoo.create_model(saved).to(memory_format=torch.channels_last_3d)
    again = cmpl_zoo.create_model(hub.save(model, tmp_path, NAMES))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["README.md", "config.json", "model.safetensors"]


def test_label_names_must_fit(saved, tmp_path):
    with pytest.raises(ValueError, match="2 label names for a model of 6 classes"):
        hub.save(cmpl_zoo.create_model(saved), tmp_path / "new", NAMES[:2])
    with pytest.raises(ValueError, match="a class is called 'uncertain'"):
        hub.save(cmpl_zoo.create_model(saved), tmp_path / "new", [*NAMES[:-1], "uncertain"])
    assert not (tmp_path / "new").exists()


def test_only_what_loads_again_is_saved(saved, tmp_path):
    compiled = torch.compile(cmpl_zoo.create_model(saved), backend="eager")
    again = cmpl_zoo.create_model(hub.save(compiled, tmp_path, NAMES))
    assert again.state_dict().keys() == cmpl_zoo.create_model(saved).state_dict().keys()
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    folded = timm.utils.reparameterize_model(again.eval())
    pruned = cmpl_zoo.create_model(saved)
    pruned.prune_intermediate_layers([2], prune_head=False)
    features = cmpl_zoo.create_model(saved, features_only=True)
    widened = timm.create_model("r3d50", width_divisor=8, num_classes=len(NAMES))
    of_many_views = cmpl_zoo.create_model(saved, clip={"clips": 5000})
    other_head, of_two_layers = cmpl_zoo.create_model(saved), cmpl_zoo.create_model(saved)
    other_head.fc = torch.nn.Linear(other_head.num_features, 5)
    of_two_layers.fc = torch.nn.Sequential(torch.nn.Dropout(), of_two_layers.fc)
    for model, message in (
        (folded, r"would not load from what is saved \(the weights do not fit .* missing \(layer1\.0\.bn1"),
        (pruned, "6 label names for a model of 0 classes"),
        (features, "Feature"),
        (widened, r"model_args has unknown fields \(width_divisor\)"),
        (of_many_views, "10,000 are the most"),
        (other_head, r"gives 5 logits, and its num_classes is 6; .* model\.reset_classifier\(5\)"),
        (of_two_layers, "classifier is a Sequential"),
    ):
        with pytest.raises(ValueError, match=message):
            hub.save(model, tmp_path, NAMES)
    assert before == {file.name: file.read_bytes() for file in tmp_path.iterdir()}


def test_files_that_are_not_of_a_model_are_kept(saved, tmp_path):
    model = cmpl_zoo.create_model(saved)
    for name, text in {"README.md": "# My project", "config.json": '{"mine": 1}', "model.safetensors": "mine"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match=rf"{tmp_path / name} is there already and not that of a model"):
            hub.save(model, tmp_path, NAMES)
        assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, text)]
        (tmp_path / name).unlink()


def test_a_model_without_a_classifier_predicts_nothing(saved):
    with pytest.raises(ValueError, match="the model has no classifier"):
        predict(cmpl_zoo.create_model(saved, num_classes=0).eval(), "some.mp4")


def test_class_names_are_of_the_classifier_that_learned_them(saved):
    model = cmpl_zoo.create_model(saved)
    assert label_names(model) == NAMES
    model.reset_classifier(6)
    assert label_names(model) == ["0", "1", "2", "3", "4", "5"]
    assert label_names(cmpl_zoo.create_model("r3d50_eighth"))[0] == "0"


class ByCosine(torch.nn.Module):
    """A classifier of one's own, which says nowhere how many logits it gives."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.directions = torch.nn.Parameter(torch.randn(classes, features))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, torch.nn.functional.normalize(self.directions))


@pytest.mark.parametrize("classes", [3, 9])
@pytest.mark.parametrize(
    "head",
    [
        torch.nn.Linear,
        lambda features, classes: torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(features, classes)),
        lambda features, classes: torch.nn.Sequential(
            torch.nn.Linear(features, 6), torch.nn.ReLU(), torch.nn.Linear(6, classes), torch.nn.BatchNorm1d(classes)
        ),
        ByCosine,
    ],
)
def test_a_classifier_of_another_width_than_num_classes_is_refused(saved, video, tmp_path, head, classes):
    """As torchvision's way to a new head gives; 3 were named by the old names, and 9 an IndexError."""
    model = cmpl_zoo.create_model(saved).eval()
    model.fc = head(model.num_features, classes).eval()
    attempts = [lambda: predict(model, video)]
    if head is not ByCosine:
        (tmp_path / "list.csv").write_text(f"path,label\n{video},archery\n")
        attempts += [lambda: label_names(model), lambda: cmpl_zoo.evaluate(model, tmp_path / "list.csv", workers=0)]
        attempts += [lambda: predict([cmpl_zoo.create_model(saved).eval(), model], video)]
        attempts += [lambda: hub.save(model, tmp_path, NAMES), lambda: hub.save(model, tmp_path, NAMES[:classes])]
    for attempt in attempts:
        with pytest.raises(ValueError, match=rf"gives {classes} logits, and its num_classes is 6; .*reset_classifier"):
            attempt()
    model.num_classes = classes  # the other way that the message names
    assert {name for name, _ in predict(model, video, topk=99)} == {str(i) for i in range(classes)}


def test_num_classes_set_by_hand_is_refused(saved, video):
    model = cmpl_zoo.create_model(saved).eval()
    model.num_classes = 4
    with pytest.raises(ValueError, match=r"gives 6 logits, and its num_classes is 4"):
        predict(model, video)
    model = cmpl_zoo.create_model(saved).eval()
    model.fc = torch.nn.Identity()
    with pytest.raises(ValueError, match=r"gives 0 logits, and its num_classes is 6"):
        predict(model, video)


def test_a_new_classifier_of_as_many_classes_has_no_names(saved, tmp_path):
    model = cmpl_zoo.create_model(saved)
    model.fc = torch.nn.Sequential(torch.nn.Dropout(), model.fc)  # which learned them
    assert label_names(model) == NAMES
    model.fc = torch.nn.Linear(model.num_features, 6)
    assert label_names(model) == ["0", "1", "2", "3", "4", "5"]
    assert label_names(cmpl_zoo.create_model(hub.save(model, tmp_path, list("uvwxyz")))) == list("uvwxyz")


def test_a_model_within_another_predicts_and_is_evaluated_as_itself(saved, video, tmp_path):
    model = cmpl_zoo.create_model(saved).eval()
    expected = predict(model, video)
    (tmp_path / "list.csv").write_text(f"path,label\n{video},{expected[0][0]}\n")
    for within in (
        torch.nn.DataParallel(model),
        timm.utils.ModelEma(model),
        timm.utils.ModelEmaV3(model),
        torch.optim.swa_utils.AveragedModel(model),
        torch.nn.DataParallel(timm.utils.ModelEmaV2(model)),
        torch.compile(model, backend="eager"),
    ):
        assert predict(within, video) == predict([within, model], video) == expected
        assert cmpl_zoo.evaluate(within, tmp_path / "list.csv", workers=0)["video_top1"] == 100
    with pytest.raises(ValueError, match=r"topk is 0, .*at least 1"):
        predict(model, video, topk=0)
    with pytest.raises(RuntimeError, match=r"call model\.eval\(\) first"):
        predict(torch.nn.DataParallel(model.train()), video)
    with pytest.raises(ValueError, match="VideoResNet has no clip settings"):
        cmpl_zoo.evaluate(torchvision.models.video.r3d_18(), tmp_path / "list.csv")


def test_another_number_of_classes_keeps_all_but_the_classifier(saved):
    model, other = cmpl_zoo.create_model(saved), cmpl_zoo.create_model(saved, num_classes=3)
    assert other.fc.weight.shape[0] == 3
    body = {k: v for k, v in model.state_dict().items() if not k.startswith("fc.")}
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in body.items())


def test_probabilities_that_are_no_numbers_are_refused(saved, video):
    model = cmpl_zoo.create_model(saved).eval()
    with torch.no_grad():
        model.fc.weight[0, 0] = torch.nan
    with pytest.raises(RuntimeError, match=r"v\.avi: the probabilities are not finite"):
        predict(model, video)


def test_clip_settings_not_given_stay_as_saved(saved):
    assert cmpl_zoo.create_model(saved, clip={"clips": 1}).clip == {"frames": 4, "stride": 3, "clips": 1, "crops": 3}


@pytest.mark.parametrize(
    ("file", "content"),
    [("model.safetensors", b"x" * 100), ("config.json", b"{}"), ("config.json", b"{"), ("model.safetensors", None)],
)
def test_a_damaged_directory_is_named(saved, tmp_path, file, content):
    copy = Path(shutil.copytree(saved, tmp_path / "copy"))
    if content is None:
        (copy / file).unlink()
    else:
        (copy / file).write_bytes(content)
    with pytest.raises((RuntimeError, FileNotFoundError), match=re.escape(str(copy))):
        cmpl_zoo.create_model(copy)


def test_a_registered_name_wins_over_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("r3d50_eighth").mkdir()
    assert cmpl_zoo.create_model("r3d50_eighth", num_classes=2).num_classes == 2


def test_what_is_no_model_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"'r3d50_quater' is neither.*did you mean r3d50_quarter"):
        cmpl_zoo.create_model("r3d50_quater")
    with pytest.raises(ValueError, match=r"neither a model of this zoo nor a model directory; check the path$"):
        cmpl_zoo.create_model("/runs/mine/primary")
    with pytest.raises(ValueError, match=r"check the path, or for a repository .* give hf-hub:someone/actions"):
        cmpl_zoo.create_model("someone/actions")
    with pytest.raises(FileNotFoundError, match=r"config\.json is missing"):
        cmpl_zoo.create_model(tmp_path)
    with pytest.raises(RuntimeError, match="r3d101 has no pretrained weights"):
        cmpl_zoo.create_model("r3d101", pretrained=True)


def test_load_clip_is_frames_cropped_and_normalized(saved, video):
    """Against the same steps, one by one."""
    config = resolve_clip_config(cmpl_zoo.create_model(saved))
    batch = load_clip(video, **config)
    assert batch.shape == (6, 3, 4, 48, 64)
    assert batch.dtype == torch.float32
    first = uniform_clips(96, 4, 3, 2)[0]
    frames = read_frames(video, first).permute(0, 3, 1, 2)
    left = crop_views(frames, (48, 64), 80, crops=3)[0].transpose(0, 1)
    torch.testing.assert_close(batch[0], normalize(left, (0.4, 0.5, 0.6), (0.229, 0.224, 0.225)))


def test_an_image_model_has_no_clip_settings():
    with pytest.raises(ValueError, match="no clip settings"):
        resolve_clip_config(timm.create_model("resnet18"))
    with pytest.raises(ValueError, match="clips of 3 channels, and the model takes 1"):
        resolve_clip_config(cmpl_zoo.create_model("r3d50_eighth", in_chans=1))


@pytest.mark.parametrize("wrong", [{"stride": 0}, {"clips": 0}, {"size": (-3, 4)}, {"crop_pct": 2}, {"crop_pct": 0}])
def test_clips_that_there_are_not(video, wrong):
    with pytest.raises(ValueError, match="must be at least 1 and crop_pct above 0, up to 1"):
        load_clip(video, **wrong)


def test_predict_averages_the_softmax_of_the_views(saved, video):
    model = cmpl_zoo.create_model(saved).eval()
    ranked = predict(model, video)
    assert len(ranked) == 5
    assert [p for _, p in ranked] == sorted((p for _, p in ranked), reverse=True)
    with torch.inference_mode():
        views = model(load_clip(video, **resolve_clip_config(model))).softmax(1).mean(0)
    assert dict(predict(model, video, topk=99)) == pytest.approx(dict(zip(NAMES, views.tolist(), strict=True)))
    assert dict(predict(model.bfloat16(), video)) == pytest.approx(dict(ranked), abs=0.02)
    with pytest.raises(RuntimeError, match=r"call model\.eval\(\) first"):
        predict(model.train(), video)
    with pytest.raises(ValueError, match="FeatureListNet"):
        predict(cmpl_zoo.create_model("r3d50_eighth", features_only=True).eval(), video)


def test_predict_command_answers_the_good_and_names_the_bad(saved, video, tmp_path):
    bad = tmp_path / "notes.mp4"
    bad.write_text("not a video")
    other = encode(tmp_path / "other.mkv")
    command = [sys.executable, "-m", "cmpl_zoo_cli", "predict", str(saved), str(bad), str(video), str(other)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert str(bad) in done.stderr
    assert done.stdout.count("%") == 2
    assert done.stdout.index(str(video)) < done.stdout.index(str(other))


def test_version(capsys):
    from cmpl_zoo_cli.main import main

    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"cmpl-zoo {cmpl_zoo.__version__}\n"


def test_import_is_light():
    heavy = ["av", "tensorboard", "jsonargparse", "gradio"]
    code = f"import sys, cmpl_zoo; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_model_card_has_the_metadata_of_the_hub(saved):
    from huggingface_hub import ModelCard

    card = ModelCard.load(saved / "README.md")
    assert card.data.library_name == "cmpl_zoo"
    assert card.data.pipeline_tag == "video-classification"
    assert "not recorded" in card.text
    assert json.loads((saved / "config.json").read_text())["label_names"] == NAMES
