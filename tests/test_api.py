"""What `import cmpl_zoo` gives, the settings of untrained networks, and several models that vote in `predict`."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import timm
import torch
from training import run

import cmpl_zoo
from cmpl_zoo.precision import autocast

REPO = Path(__file__).resolve().parents[1]
FUNCTIONS = {
    "Video", "VideoError", "bouts", "create_model", "evaluate", "list_models", "load_clip", "predict", "push",
    "read_frames", "resolve_clip_config", "save", "suggest", "timeline", "video_info",
}  # fmt: skip
PACKAGES = {"datasets", "demo", "hub", "models", "semi", "storage", "tools", "training", "video"}
FAMILY = (400, (3, 224, 224), {"frames": 8, "stride": 8, "clips": 10, "crops": 3})


def fresh(code: str) -> str:
    """What a process of its own prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPO).stdout


def settings(model: torch.nn.Module) -> tuple:
    return model.num_classes, tuple(model.pretrained_cfg["input_size"]), model.clip


def test_importing_and_saving_load_no_decoder(tmp_path: Path) -> None:
    printed = fresh(f"""
import sys
import cmpl_zoo
heavy = ("av", "tensorboard")
print([name for name in heavy if name in sys.modules])
model = cmpl_zoo.create_model("r3d50_eighth", num_classes=2)
cmpl_zoo.hub.save(model, {str(tmp_path / "hub")!r}, ["a", "b"])
cmpl_zoo.save(model, {str(tmp_path / "save")!r}, ["a", "b"])
print([name for name in heavy if name in sys.modules])
cmpl_zoo.load_clip
print([name for name in heavy if name in sys.modules])
""")
    assert printed.splitlines() == ["[]", "[]", "['av']"]
    assert cmpl_zoo.create_model(tmp_path / "save").num_classes == 2


def test_every_name_is_there_after_the_import_alone_and_no_module_hides_one() -> None:
    printed = fresh(f"""
import importlib, pkgutil, types
import cmpl_zoo
packages, functions = {sorted(PACKAGES)}, {sorted(FUNCTIONS)}
assert {{*packages, *functions, "__version__"}} <= set(dir(cmpl_zoo))
for name in packages:
    assert getattr(cmpl_zoo, name).__name__ == f"cmpl_zoo.{{name}}"
for module in pkgutil.walk_packages(cmpl_zoo.__path__, "cmpl_zoo."):
    importlib.import_module(module.name)
for name in functions:
    assert callable(getattr(cmpl_zoo, name)), name
for package, name in ((cmpl_zoo.hub, "save"), (cmpl_zoo.hub, "push"), (cmpl_zoo.video, "video_info")):
    assert callable(getattr(package, name)), name
print("all")
""")
    assert printed == "all\n"
    with pytest.raises(AttributeError, match="'cmpl_zoo' has no attribute 'nothing'"):
        cmpl_zoo.nothing  # noqa: B018


def test_type_checkers_see_the_names_that_there_are() -> None:
    tree = ast.parse((REPO / "cmpl_zoo" / "__init__.py").read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and "cmpl_zoo" in node.module]
    assert {name.asname for node in imports for name in node.names} == FUNCTIONS | PACKAGES | {"__version__"}


@pytest.mark.parametrize("name", cmpl_zoo.list_models("r3d*"))
def test_an_untrained_network_has_the_defaults_of_the_family(name: str) -> None:
    with torch.device("meta"):
        models = [
            cmpl_zoo.create_model(name),
            timm.create_model(name),
            torch.hub.load(str(REPO), name, source="local"),
        ]
    assert [settings(model) for model in models] == [FAMILY] * 3
    for model in models:
        assert model.fc.out_features == 400
        assert not any(model.pretrained_cfg.get(key) for key in ("label_names", "hf_hub_id", "file", "license"))


def test_with_weights_the_settings_are_those_of_the_weights() -> None:
    demo = (8, (3, 48, 48), {"frames": 8, "stride": 2, "fps": 16, "clips": 2, "crops": 1})
    models = [
        cmpl_zoo.create_model("r3d50_eighth", pretrained=True),
        timm.create_model("r3d50_eighth", pretrained=True),
        torch.hub.load(str(REPO), "r3d50_eighth_cmpl_demo", source="local"),
    ]
    assert [settings(model) for model in models] == [demo] * 3
    with torch.device("meta"):  # a tag is asked for by name, its settings come even without its weights
        assert settings(cmpl_zoo.create_model("r3d50_eighth.cmpl_demo")) == demo
        assert cmpl_zoo.create_model("r3d50_quarter.cmpl_k400_1pct").clip["stride"] == 4
        assert settings(cmpl_zoo.create_model("r3d50", num_classes=5, clip={"stride": 2})) == (
            5, FAMILY[1], FAMILY[2] | {"stride": 2},
        )  # fmt: skip


def classifier(seed: int, folder: Path, names: list[str], **clip: int) -> Path:
    """A network of random weights that is sure of its classes, saved."""
    torch.manual_seed(seed)
    overlay = {"input_size": (3, 32 + 16 * seed, 32 + 16 * seed)}
    model = cmpl_zoo.create_model("r3d50_eighth", num_classes=len(names), clip=clip, pretrained_cfg_overlay=overlay)
    torch.nn.init.normal_(model.fc.weight)
    return cmpl_zoo.save(model, folder / f"model{seed}", names)


def test_several_models_predict_by_the_mean_of_their_own_views(shared_data: Path, tmp_path: Path) -> None:
    names = ["a", "b", "c", "d"]
    folders = [
        classifier(0, tmp_path, names, frames=4, stride=1, clips=1, crops=1),
        classifier(1, tmp_path, names, frames=6, stride=3, clips=2, crops=3),
    ]
    video = next(file for file in sorted((shared_data / "clips").iterdir()) if file.suffix == ".mp4")
    models = [cmpl_zoo.create_model(folder).eval() for folder in folders]
    with torch.inference_mode():
        each = [
            model(cmpl_zoo.load_clip(video, **cmpl_zoo.resolve_clip_config(model))).softmax(1).mean(0)
            for model in models
        ]
    mean = torch.stack(each).mean(0)
    assert (each[0] - each[1]).abs().max() > 0.05, "they must disagree for this to show anything"
    together = cmpl_zoo.predict(models, video)
    assert together == [(names[i], pytest.approx(float(mean[i]), abs=1e-6)) for i in mean.argsort(descending=True)]
    assert cmpl_zoo.predict(models[0], video) == cmpl_zoo.predict([models[0]], video) != together

    done = run(
        [sys.executable, "-m", "cmpl_zoo_cli", "predict", str(folders[0]), "--with", str(folders[1]), str(video)]
    )
    lines = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [name for _, name in lines] == [name for name, _ in together]
    for (share, _), (_, probability) in zip(lines, together, strict=True):
        assert float(share.rstrip("%")) == pytest.approx(100 * probability, abs=0.06)


def test_models_that_cannot_vote_are_refused(tmp_path: Path) -> None:
    one, other = classifier(0, tmp_path, ["a", "b"]), classifier(1, tmp_path, ["b", "a"])
    models = [cmpl_zoo.create_model(folder).eval() for folder in (one, other)]
    with pytest.raises(ValueError, match="model 2: knows other classes than model 1"):
        cmpl_zoo.predict(models, "no.mp4")
    with pytest.raises(ValueError, match="list of models is empty"):
        cmpl_zoo.predict([], "no.mp4")
    for wrong, message in (
        (lambda: cmpl_zoo.predict("r3d50", "no.mp4"), r"'r3d50' is a name and no model; .*create_model\('r3d50'"),
        (lambda: cmpl_zoo.evaluate(["r3d50"], "no.csv"), "'r3d50' is a name and no model"),
        (lambda: cmpl_zoo.predict(models[:1], "no.mp4", batch_size=0), "batch_size is 0"),
        (lambda: list(cmpl_zoo.predict(models[:1], ["a.mp4", "b.mp4"], workers=-1)), "workers is -1"),
        (lambda: autocast(torch.device("cpu"), "float16"), "precision is 'float16'; give float32, bf16, fp16"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
    with pytest.raises(RuntimeError, match="training mode"):
        cmpl_zoo.predict([models[0], models[0].train()], "no.mp4")
    call = [sys.executable, "-m", "cmpl_zoo_cli", "predict", str(one), "--with", str(other), "no.mp4"]
    error = run(call, expect=2).stderr
    assert f"{other}: knows other classes than {one}" in error and "Traceback" not in error
