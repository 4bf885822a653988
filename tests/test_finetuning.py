"""Fine-tuning: frozen stages, learning rates by depth, AdamW, balanced batches, and an end by validation."""

import copy
import json
import re
import shutil
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from timm.models import group_parameters
from timm.optim import create_optimizer_v2
from training import (
    CLASSES,
    REPO,
    Script,
    assert_same_weights,
    command,
    metrics,
    options,
    read_rows,
    run,
    start_from,
    weights,
)

import cmpl_zoo
from cmpl_zoo.datasets.lists import Videos
from cmpl_zoo.distributed import Ranks
from cmpl_zoo.models.freezing import convert_sync_batchnorm, freeze_stages
from cmpl_zoo.training import CMPL, Config
from cmpl_zoo.training.cmpl import learned_weights
from cmpl_zoo.training.lists import TrainingLists, training_steps
from cmpl_zoo.training.networks import build_networks
from cmpl_zoo.training.run import since_best

EIGHTH = ["--primary", "r3d50_eighth", "--drop-rate", "0", "--threshold", "0", "--test-clips", "1"]
ALONE = [*EIGHTH, "--scheme", "none", "--auxiliary", "null", "--val", "null"]
MODEL = str(REPO / "model_cards" / "r3d50_quarter.cmpl_mocap13")
SETTINGS = {"labeled": "a.csv", "unlabeled": "b.csv", "output": "o", "steps": 1, "size": 32, "short_side": (36, 40)}


def open_blocks(network: torch.nn.Module) -> None:
    """A block begins as what it is given, and passes no gradient on; one that has learned does."""
    for name, weight in network.named_parameters():
        if name.endswith("bn3.weight"):
            weight.fill_(0.5)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    return start_from(tmp_path_factory.mktemp("start") / "model", open_blocks)


def test_frozen_stages_stay_bit_for_bit(videos, lists, start, tmp_path):
    """With weight decay, averages and a second network, which has nothing to start from and learns all."""
    more = [
        "--freeze",
        "layer2",
        "--ema",
        "0.5",
        "--weight-decay",
        "0.1",
        "--steps",
        "2",
        "--auxiliary",
        "r3d50_eighth",
    ]
    run(command(lists, videos, tmp_path / "run", *EIGHTH, *more, "--init", str(start)))
    before, after = cmpl_zoo.create_model(start, pretrained=True).state_dict(), weights(tmp_path / "run")
    frozen = ("conv1.", "bn1.", "layer1.", "layer2.")
    for key, value in after.items():
        if key.endswith("num_batches_tracked"):
            assert value == before[key] if key.startswith(frozen) else True
        else:
            assert torch.equal(value, before[key]) == key.startswith(frozen), key
    other = weights(tmp_path / "run", "auxiliary")
    assert not torch.equal(other["conv1.weight"], before["conv1.weight"])
    assert not torch.equal(other["bn1.running_mean"], torch.zeros(8))


@pytest.mark.parametrize("layer_decay", [1.0, 0.9])
@pytest.mark.parametrize(
    ("name", "spared"),
    [("tv_swin3d_t", {"relative_position_bias_table"}), ("tv_mvit_v1_b", {"spatial_pos", "temporal_pos"})],
)
def test_weight_decay_spares_tables_of_positions(name, spared, layer_decay):
    settings = SETTINGS | {"primary": name, "auxiliary": None, "scheme": "self", "layer_decay": layer_decay}
    config = Config(**settings, weight_decay=0.1)
    with torch.device("meta"):
        cmpl = CMPL([cmpl_zoo.create_model(name, num_classes=3)], config)
    optimizer = create_optimizer_v2(learned_weights(cmpl, config), "sgd", lr=0.1, weight_decay=0.1, momentum=0.9)
    without = {
        id(weight) for group in optimizer.param_groups if not group["weight_decay"] for weight in group["params"]
    }
    matrices = {key: weight for key, weight in cmpl.primary.named_parameters() if weight.ndim > 1}
    assert {key.rpartition(".")[2] for key, weight in matrices.items() if id(weight) in without} >= spared
    assert all(id(weight) not in without for key, weight in matrices.items() if key.endswith("qkv.weight"))


def test_a_start_keeps_its_pooling(tmp_path):
    network = cmpl_zoo.create_model("r3d50_eighth", num_classes=3, global_pool="max").eval()
    config = Config(**SETTINGS, primary="r3d50_eighth", auxiliary=None, scheme="self", init=tmp_path / "start")
    assert config.init == str(tmp_path / "start"), "a Path is taken as well"
    cmpl_zoo.save(network, tmp_path / "start", CLASSES)
    [started] = build_networks(config, CLASSES)
    clips = torch.rand(2, 3, 8, 32, 32)
    assert torch.equal(started.eval()(clips), network(clips))


def test_a_start_of_gray_clips_fits_clips_of_color(tmp_path):
    network = cmpl_zoo.create_model("r3d50_eighth", num_classes=3, in_chans=1)
    config = Config(**SETTINGS, primary="r3d50_eighth", auxiliary=None, scheme="self", init=str(tmp_path / "start"))
    cmpl_zoo.save(network, tmp_path / "start", CLASSES)
    [started] = build_networks(config, CLASSES)
    torch.testing.assert_close(started.conv1.weight, network.conv1.weight.expand(-1, 3, -1, -1, -1) / 3)


def frozen_cmpl(start, stage: str) -> CMPL:
    config = Config(**SETTINGS, primary="r3d50_eighth", auxiliary=None, scheme="self", init=str(start), freeze=stage)
    return CMPL(build_networks(config, CLASSES), config).train()


@pytest.mark.parametrize("stage, kept", [("all", ["fc"]), ("stem", ["layer1", "fc"])])
def test_nothing_is_kept_of_what_is_frozen(start, stage, kept):
    """What the backward pass needs: of `all` the input of the classifier alone."""
    network = frozen_cmpl(start, stage).primary
    saved: dict[str, int] = {}
    place = [""]
    for name, module in network.named_children():
        module.register_forward_pre_hook(lambda _, __, name=name: place.__setitem__(0, name))
    count = lambda tensor: saved.__setitem__(place[0], saved.get(place[0], 0) + 1) or tensor  # noqa: E731
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        network(torch.rand(2, 3, 8, 32, 32)).sum().backward()
    assert set(kept) <= saved.keys() and not saved.keys() & {"conv1", "bn1", "act1"}
    assert stage != "all" or not [name for name in saved if name.startswith("layer")]
    learned = {name.partition(".")[0] for name, weight in network.named_parameters() if weight.grad is not None}
    assert learned == ({"fc"} if stage == "all" else {"layer1", "layer2", "layer3", "layer4", "fc"})


def test_frozen_batch_norm_uses_its_running_statistics_in_weak_passes_too(start):
    """A clip's probabilities do not depend on the other clips of its batch."""
    weak = torch.rand(4, 3, 8, 32, 32)
    for stage, alike in (("all", True), ("layer3", False)):
        cmpl = frozen_cmpl(start, stage)
        together, alone = cmpl.weak_pass(cmpl.primary, weak)[:2], cmpl.weak_pass(cmpl.primary, weak[:2])
        assert torch.allclose(together, alone, atol=1e-6) == alike
    assert cmpl.primary.layer4[0].bn1.training and not cmpl.primary.layer3[0].bn1.training


def test_synchronized_batch_norm_stays_frozen():
    network = cmpl_zoo.create_model("r3d50_eighth", num_classes=3)
    freeze_stages(network, "2")
    network = convert_sync_batchnorm(network).train()
    training = {
        name: norm.training for name, norm in network.named_modules() if isinstance(norm, torch.nn.SyncBatchNorm)
    }
    assert len(training) == 53
    assert all(on == name.startswith(("layer3", "layer4")) for name, on in training.items())


@pytest.mark.parametrize("name", ["tv_swin3d_t", "tv_mvit_v2_s"])
def test_a_frozen_stage_drops_nothing_at_random(name):
    """Both networks drop blocks in training, more of the later ones."""
    network = cmpl_zoo.create_model(name, num_classes=3)
    freeze_stages(network, 2)
    training = copy.deepcopy(network).train()
    drawing = {part for part, module in training.named_modules() if module.training and getattr(module, "p", 0)}
    stage_of = group_parameters(network, network.group_matcher(coarse=True), reverse=True)
    frozen = {weight.rpartition(".")[0] for weight, stage in stage_of.items() if stage <= 2}
    blocks = {part.rpartition(".")[0] for part in drawing if part.endswith("stochastic_depth")}
    assert blocks and not any(weight.startswith(f"{block}.") for weight in frozen for block in blocks)
    assert len(blocks) < sum(part.endswith("stochastic_depth") for part, _ in network.named_modules())


@pytest.mark.parametrize("name", cmpl_zoo.list_models())
def test_every_network_has_the_same_stages(name):
    with torch.device("meta"):
        network = cmpl_zoo.create_model(name, num_classes=3)
    sizes = []
    for stage in ("stem", "1", "2", "3", "4", "all"):
        freeze_stages(network, stage)
        sizes.append(sum(weight.numel() for weight in network.parameters() if weight.requires_grad))
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes[:5])) == 5
    assert sizes[-1] == 3 * network.num_features + 3
    with pytest.raises(ValueError, match=r"'5'.*stem, 1, 2, 3, 4, or all"):
        freeze_stages(network, "5")


@pytest.mark.parametrize(
    "given, facts",
    [
        (["--freeze", "layer7", "--init", "r3d50_eighth.cmpl_demo"], r"layer7.*stem, 1, 2, 3, 4, or all"),
        (["--freeze", "2"], r"--freeze 2.*--init"),
        (["--patience", "2"], r"--patience 2.*--val.*--val-every"),
        (["--layer-decay", "1.5"], r"--layer-decay.*1\.5"),
        (["--primary", MODEL], rf"--primary {MODEL} is a.*give --primary r3d50_quarter --init {MODEL}"),
        (["--scheme", "self", "--auxiliary", MODEL], rf"give --auxiliary r3d50_quarter --auxiliary-init {MODEL}"),
    ],
)
def test_what_cannot_be_is_said_before_training(videos, lists, tmp_path, given, facts):
    error = run(command(lists, videos, tmp_path / "run", *ALONE, "--steps", "1", *given), expect=2).stderr
    assert re.search(facts, error)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()


def test_the_learning_rate_falls_by_a_factor_from_block_to_block(videos, lists, start, tmp_path):
    """The classifier learns at the whole rate, res5's last block at 0.9 of it, the stem, 17 blocks away, at 0.9^17."""
    for name, decay in {"plain": "1", "decayed": "0.9"}.items():
        args = ["--init", str(start), "--steps", "1", "--lr", "0.1", "--weight-decay", "0", "--layer-decay", decay]
        run(command(lists, videos, tmp_path / name, *ALONE, *args))
    before = cmpl_zoo.create_model(start, pretrained=True).state_dict()
    plain, decayed = weights(tmp_path / "plain"), weights(tmp_path / "decayed")
    depths = {"fc.weight": 0, "layer4.2.bn3.weight": 1, "layer4.0.conv1.weight": 3, "layer3.5.conv2.weight": 4,
              "layer1.0.conv3.weight": 16, "conv1.weight": 17, "bn1.bias": 17}  # fmt: skip
    for key, depth in depths.items():
        step, full = decayed[key] - before[key], plain[key] - before[key]
        assert full.abs().max() > 0
        torch.testing.assert_close(step, full * 0.9**depth, rtol=1e-3, atol=1e-3 * full.abs().max().item(), msg=key)
    assert metrics(tmp_path / "decayed")[0]["lr"] == 0.1


def test_the_first_step_of_adamw_is_as_long_as_the_learning_rate(videos, lists, start, tmp_path):
    args = ["--init", str(start), "--steps", "1", "--optimizer", "adamw", "--lr", "0.001", "--weight-decay", "0"]
    run(command(lists, videos, tmp_path / "run", *ALONE, *args))
    before, after = cmpl_zoo.create_model(start, pretrained=True).state_dict(), weights(tmp_path / "run")
    step = (after["fc.weight"] - before["fc.weight"]).abs()
    torch.testing.assert_close(step.median(), torch.tensor(0.001), rtol=0.01, atol=0)


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_bits(videos, lists, start, tmp_path):
    args = [*EIGHTH, "--auxiliary", "r3d50_eighth", "--freeze", "1", "--optimizer", "adamw", "--layer-decay", "0.8",
            "--lr", "0.001", "--ema", "0.9", "--balance", "--steps", "4", "--save-every-steps", "2",
            "--init", str(start)]  # fmt: skip
    run(command(lists, videos, tmp_path / "run", *args))
    shutil.copytree(tmp_path / "run", tmp_path / "whole")
    (tmp_path / "run" / "states" / "step-000000004.pt").unlink()
    run(command(lists, videos, tmp_path / "run", *args, "--resume"))
    assert_same_weights(tmp_path / "run", tmp_path / "whole")


@pytest.mark.parametrize("balance", [True, False])
def test_balanced_batches_have_as_many_clips_of_a_rare_class(videos, balance):
    """One video of a class and eleven of another, in batches of four."""
    rows = read_rows(videos / "videos.csv")
    ids = np.array([CLASSES.index(row["label"]) for row in rows])
    kept = [int(np.flatnonzero(ids == 2)[0]), *np.flatnonzero(ids == 0)[:11].tolist()]
    labeled = Videos([str(videos / rows[index]["path"]) for index in kept], ids[kept])
    config = Config(**SETTINGS, scheme="none", balance=balance, labeled_batch=4, frames=2, primary_stride=1)
    steps = training_steps(replace(config, steps=6), TrainingLists(CLASSES, labeled, None, None), Ranks())
    counts = [(batch["labels"] == 2).sum().item() for batch in (steps[step] for step in range(6))]
    assert (counts == [2] * 6) == balance


@pytest.mark.parametrize(
    "accuracies, count", [([], 0), ([50.0], 0), ([50.0, 60.0], 0), ([60.0, 50.0, 60.0], 2), ([50.0, 70.0, 60.0], 1)]
)
def test_validations_since_the_best(accuracies, count):
    assert since_best(accuracies) == count


STOPS = [*EIGHTH, "--scheme", "none", "--auxiliary", "null", "--lr", "1e-9", "--batch-norm", "frozen", "--steps", "9",
         "--val-every", "1"]  # fmt: skip  # it learns nothing, so that the first validation is the best


def test_a_run_ends_when_validations_no_longer_improve(videos, lists, tmp_path):
    args = command(lists, videos, tmp_path / "run", *STOPS, "--patience", "2")
    done = run(args)
    assert re.search(r"step 3: the last 2 validations .*--patience 2.*best/", done.stderr)
    validated = [line["step"] for line in metrics(tmp_path / "run") if "primary/val_top1" in line]
    assert validated == [1, 2, 3]
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["step"] == 3
    assert "step 1" in (tmp_path / "run" / "best" / "primary" / "README.md").read_text()
    ended = weights(tmp_path / "run")
    # It has ended: another start makes no step; with more patience it continues, from the count that there was.
    run([*args, "--resume"])
    assert all(torch.equal(value, ended[key]) for key, value in weights(tmp_path / "run").items())
    run([*args, "--resume", "--patience", "4"])
    assert [line["step"] for line in metrics(tmp_path / "run") if "primary/val_top1" in line] == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_processes_stop_together_and_share_frozen_networks(videos, lists, start, tmp_path):
    args = options(lists, videos, tmp_path / "run", *STOPS, "--patience", "1", "--freeze", "3", "--init", str(start))
    args += ["--labeled-batch", "4", "--balance", "--batch-norm", "local"]
    run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *args])
    assert [line["step"] for line in metrics(tmp_path / "run") if "primary/val_top1" in line] == [1, 2]
    before = cmpl_zoo.create_model(start, pretrained=True).state_dict()
    assert torch.equal(weights(tmp_path / "run")["layer3.5.bn3.running_var"], before["layer3.5.bn3.running_var"])


@pytest.mark.parametrize(
    "network",
    [{"CMPL_ZOO_MIRROR": "http://127.0.0.1:9"}, pytest.param({"HF_HUB_OFFLINE": "1"}, marks=pytest.mark.slow)],
)
def test_without_a_network_the_recipe_names_the_other_one(videos, lists, tmp_path, network):
    """It does not begin from other weights."""
    args = [sys.executable, str(REPO / "train" / "cmpl.py"), "--config", "finetune", "--labeled",
            str(lists / "labeled.csv"), "--unlabeled", str(lists / "unlabeled.csv"), "--root", str(videos), "--output",
            str(tmp_path / "run"), "--device", "cpu"]  # fmt: skip
    script = Script(args, environment={"TORCH_HOME": str(tmp_path / "torch"), **network})
    _, error = script.communicate()
    assert script.poll() == 2
    line = error.splitlines()[-1]
    assert re.search(r"SLOW_8x8_R50\.pyth.*--config own_videos needs no download", line)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
