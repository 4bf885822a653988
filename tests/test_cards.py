"""The same names everywhere: registry, hubconf.py, model cards and recipes."""

import csv
import inspect
import itertools
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard

import cmpl_zoo
from cmpl_zoo.models.factory import hubconf_names, list_tags
from cmpl_zoo.models.torchvision_video import ENTRIES
from cmpl_zoo.prediction import predict

REPO = Path(__file__).resolve().parents[1]
RECIPES = REPO / "cmpl_zoo" / "training" / "recipes"
CMPL_TAGS = ["cmpl_k400_1pct", "cmpl_k400_10pct", "cmpl_ucf101_1pct", "cmpl_ucf101_10pct", "cmpl_ucf101_k400"]
TAGS = {f"{name}.{tag}" for name in ("r3d50", "r3d50_quarter") for tag in CMPL_TAGS}
PUBLISHED = {"r3d50.in1k", "r3d50.slow_k400", "r3d50_eighth.cmpl_demo", *ENTRIES}
TAGS |= PUBLISHED


def card(name: str) -> str:
    return (REPO / "model_cards" / f"{name}.md").read_text()


def test_cards_and_registry_hold_the_same_names() -> None:
    assert set(list_tags()) == TAGS
    assert {file.stem for file in (REPO / "model_cards").glob("*.md")} == TAGS


def test_what_can_be_had_is_listed() -> None:
    assert set(cmpl_zoo.list_models(pretrained=True)) == PUBLISHED


@pytest.mark.parametrize("name", sorted(TAGS))
def test_cards_are_of_one_form(name: str) -> None:
    text = card(name)
    assert text.startswith(f"# {name}\n")
    rows = re.findall(r"^\| (\w+) \|", text, re.M)
    assert rows == ["Status", "Network", "Data", "Training", "Clips", "Paper", "Ours"]
    assert "## Limits" in text
    status = re.search(r"^\| Status \| ([^|]*) \|$", text, re.M)
    published = name in cmpl_zoo.list_models(pretrained=True)
    assert status and status[1].startswith("not published") is not published
    recipes = re.findall(r"--config (\w+)", text) + re.findall(r"recipe `(\w+)`", text)
    assert all((RECIPES / f"{recipe}.yaml").is_file() for recipe in recipes), recipes


@pytest.mark.parametrize("name", sorted(TAGS - PUBLISHED))
def test_what_is_not_published_says_how_to_train_it(name: str) -> None:
    with pytest.raises(RuntimeError, match="not published yet") as refusal:
        cmpl_zoo.create_model(name, pretrained=True)
    message = str(refusal.value)
    recipe = re.search(r"cmpl-zoo train --config \w+", message)
    assert recipe and recipe[0] in card(name)
    assert f"model_cards/{name}.md" in message and "pretrained=False" in message
    assert f"ORG/{name}" in card(name)


@pytest.mark.parametrize("name", sorted(TAGS - PUBLISHED))
def test_clip_settings_are_the_recipes(name: str) -> None:
    recipe = yaml.safe_load((RECIPES / f"{name.partition('.cmpl_')[2]}.yaml").read_text())
    role = "primary" if recipe["primary"] == name.partition(".")[0] else "auxiliary"
    model = cmpl_zoo.create_model(name, pretrained=False)
    assert model.clip == {
        "frames": recipe["frames"],
        "stride": recipe[f"{role}_stride"],
        "clips": recipe["test_clips"],
        "crops": recipe["test_crops"],
    }
    assert model.pretrained_cfg["input_size"][1:] == (recipe["size"],) * 2
    assert model.pretrained_cfg["crop_pct"] == recipe["crop_pct"]


@pytest.mark.parametrize("name", ENTRIES)
def test_cards_of_torchvisions_networks_are_what_their_script_writes(name: str) -> None:
    script = runpy.run_path(str(REPO / "model_cards" / "torchvision_cards.py"))
    assert script["card"](name) == card(name), "run model_cards/torchvision_cards.py"
    weights, _ = ENTRIES[name]
    accuracies = weights.meta["_metrics"]["Kinetics-400"]
    assert f"| {accuracies['acc@1']:.2f} | {accuracies['acc@5']:.2f} |" in card(name)
    assert weights.url in card(name) and "never seen here" in " ".join(card(name).split())


def test_the_network_beside_the_cards_loads_and_its_card_is_valid() -> None:
    folder = REPO / "model_cards" / "r3d50_quarter.cmpl_mocap13"
    model = cmpl_zoo.create_model(folder).eval()
    assert model.pretrained_cfg["architecture"] == "r3d50_quarter" and model.subtract_mean_frame
    assert (folder / "model.safetensors").stat().st_size < 6e6
    data = ModelCard.load(folder / "README.md").data.to_dict()
    assert (data["license"], data["datasets"]) == ("cc-by-nc-4.0", ["mocap13"])
    assert f"{data['model-index'][0]['results'][0]['metrics'][0]['value']} % of" in (REPO / "README.md").read_text()
    assert "Bandai-Namco-Research-Motiondataset" in (folder / "README.md").read_text(), (
        "CC BY asks for the source's name"
    )


def test_the_mocap13_network_knows_real_motions(shared_data: Path) -> None:
    """Four videos of every class, of recordings that training has not seen; a guess is right for one in thirteen."""
    model = cmpl_zoo.create_model(REPO / "model_cards" / "r3d50_quarter.cmpl_mocap13").eval()
    with (shared_data / "mocap13" / "test.csv").open(newline="") as lines:
        rows = sorted(csv.DictReader(lines), key=lambda row: row["label"])
    few = [row for _, of_class in itertools.groupby(rows, lambda row: row["label"]) for row in list(of_class)[:4]]
    right = [predict(model, shared_data / "mocap13" / row["path"])[0][0] == row["label"] for row in few]
    assert len(few) == 52 and sum(right) > 12


def test_the_card_in_the_package_is_valid() -> None:
    folder = Path(cmpl_zoo.__file__).parent / "models" / "weights" / "r3d50_eighth.cmpl_demo"
    data = ModelCard.load(folder / "README.md").data.to_dict()
    assert (data["library_name"], data["pipeline_tag"]) == ("cmpl_zoo", "video-classification")
    assert data["metrics"] == ["accuracy"]
    measured = data["model-index"][0]["results"][0]["metrics"][0]["value"]
    assert f"{measured:.1f} % top-1" in card("r3d50_eighth.cmpl_demo")
    assert json.loads((folder / "config.json").read_text())["architecture"] == "r3d50_eighth"


# torch.hub


def hub(code: str, home: Path) -> Any:
    """What the code prints as JSON, offline in a fresh process outside of this repository."""
    env = os.environ | {"TORCH_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_HOME": str(home)}
    done = subprocess.run(
        [sys.executable, "-c", f"import json, torch\n{code}"], env=env, cwd=home, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_torch_hub_from_a_clone(tmp_path: Path) -> None:
    """`load` takes a folder; `list` and `help` have no such mode and find the clone in torch.hub's own cache."""
    clone = tmp_path / "hub" / "ORG_cmpl_main"
    shutil.copytree(REPO / "cmpl_zoo", clone / "cmpl_zoo")
    shutil.copy(REPO / "hubconf.py", clone)
    names, text, classes, where = hub(
        f"""
source = dict(trust_repo=True, skip_validation=True)
names = torch.hub.list("ORG/cmpl:main", **source)
text = torch.hub.help("ORG/cmpl:main", "r3d50_cmpl_k400", **source)
model = torch.hub.load({str(clone)!r}, "r3d50_eighth_cmpl_demo", source="local")
import cmpl_zoo
print(json.dumps([names, text, model.num_classes, cmpl_zoo.__file__]))
""",
        tmp_path,
    )
    assert set(names) == set(hubconf_names())
    assert {name.replace(".", "_") for name in TAGS | set(cmpl_zoo.list_models())} | {"r3d50_cmpl_k400"} == set(names)
    assert "r3d50.cmpl_k400_10pct" in text and "pretrained" in text
    assert classes == 8
    assert Path(where).is_relative_to(clone)


def test_entry_points_are_keyword_only_and_documented() -> None:
    sys.path.insert(0, str(REPO))
    import hubconf

    for entry, name in hubconf_names().items():
        entry_point = getattr(hubconf, entry)
        parameters = inspect.signature(entry_point).parameters.values()
        assert {p.kind for p in parameters} == {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}
        assert entry_point.__name__ == entry and name in entry_point.__doc__
    assert hubconf.r3d50_cmpl_k400(pretrained=False).pretrained_cfg["tag"] == "cmpl_k400_10pct"
    assert hubconf.r3d50_quarter(num_classes=3).num_classes == 3


def test_create_model_knows_the_names_of_torch_hub() -> None:
    model = cmpl_zoo.create_model("r3d50_cmpl_k400")
    assert (model.pretrained_cfg["tag"], model.num_classes) == ("cmpl_k400_10pct", 400)
    with pytest.raises(ValueError, match=r"did you mean r3d50\.slow_k400"):
        cmpl_zoo.create_model("r3d50.cmpl_k400")
    with pytest.raises(ValueError, match="give hf-hub:someone/model"):
        cmpl_zoo.create_model("someone/model")
