"""What a step does to the networks: which weights it moves and how, and what batch norm takes in."""

import pytest
import torch
from training import CLASSES, command, metrics, run, start_from, weights

import cmpl_zoo
from cmpl_zoo.datasets.classes import class_ids
from cmpl_zoo.datasets.lists import Videos, read_list
from cmpl_zoo.evaluation import evaluate_ensembles
from cmpl_zoo.training import CMPL, Config
from cmpl_zoo.training.networks import build_networks

ONE_STEP = ["--steps", "1", "--val", "null", "--threshold", "0", "--drop-rate", "0"]
ALONE = ["--scheme", "self", "--primary", "r3d50_eighth", "--auxiliary", "null"]


def is_statistic(key: str) -> bool:
    return key.endswith(("running_mean", "running_var"))


def test_weight_decay_shrinks_kernels_and_leaves_biases_and_batch_norm(videos, lists, tmp_path):
    """The first step of SGD with Nesterov momentum 0.9 is 1.9 times the learning rate long."""
    lr, decay = 1e-6, 1e4
    for name, value in {"without": 0.0, "with": decay}.items():
        args = command(lists, videos, tmp_path / name, *ONE_STEP, *ALONE)
        run([*args, "--lr", str(lr), "--weight-decay", str(value)])
    without, decayed = weights(tmp_path / "without"), weights(tmp_path / "with")
    kernels = [key for key, value in without.items() if key.endswith("weight") and value.ndim > 1]
    assert "conv1.weight" in kernels and "fc.weight" in kernels
    for key, value in without.items():
        wanted = value * (1 - 1.9 * lr * decay) if key in kernels else value
        torch.testing.assert_close(decayed[key], wanted, rtol=1e-4, atol=1e-6, msg=key)


def test_running_statistics_are_of_labeled_clips_alone(videos, lists, tmp_path):
    """Neither weak nor strong views move them, unless strong views share the labeled batch; recomputing counts once."""
    for name, options in {
        "plain": [],
        "other views": ["--strong", "autoaugment", "--unlabeled", str(lists / "labeled.csv")],
        "recomputed": ["--grad-checkpointing", "true"],
        "shared": ["--strong-bn", "labeled"],
    }.items():
        run(command(lists, videos, tmp_path / name, *ONE_STEP, *options))
    for network in ("primary", "auxiliary"):
        found = {name: weights(tmp_path / name, network) for name in ("plain", "other views", "recomputed", "shared")}
        statistics = [key for key in found["plain"] if is_statistic(key)]
        assert "bn1.running_mean" in statistics and "layer4.0.bn3.running_var" in statistics
        for key in statistics:
            for name in ("other views", "recomputed"):
                torch.testing.assert_close(found[name][key], found["plain"][key], msg=f"{name}: {network}.{key}")
            assert not torch.equal(found["shared"][key], found["plain"][key])
        line, other, shared = (metrics(tmp_path / name)[0] for name in ("plain", "other views", "shared"))
        assert other[f"{network}/unsupervised"] != line[f"{network}/unsupervised"]
        assert other[f"{network}/supervised"] == line[f"{network}/supervised"] != shared[f"{network}/supervised"]


@pytest.mark.parametrize("weak_bn", ["batch", "running"])
def test_weak_views_are_normalized_by_their_batch_or_by_the_running_statistics(videos, lists, tmp_path, weak_bn):
    """Other running statistics at the start change the pseudo-labels of a first step if, and only if, they are used."""

    def other_statistics(network: torch.nn.Module) -> None:
        network.bn1.running_mean += 3

    for name, change in {"plain": lambda network: None, "other": other_statistics}.items():
        init = start_from(tmp_path / f"{name} start", change)
        args = command(lists, videos, tmp_path / name, *ONE_STEP, *ALONE, "--weak-bn", weak_bn, "--hard", "false")
        run([*args, "--init", str(init)])
    plain, other = (metrics(tmp_path / name)[0] for name in ("plain", "other"))
    assert other["primary/supervised"] == plain["primary/supervised"]
    assert (other["primary/unsupervised"] == plain["primary/unsupervised"]) == (weak_bn == "batch")


def test_validating_leaves_frozen_batch_norm_frozen(videos, lists):
    torch.manual_seed(0)
    network = cmpl_zoo.create_model("r3d50_eighth", num_classes=3, clip={"frames": 2, "stride": 2, "clips": 1},
                                    pretrained_cfg_overlay={"input_size": (3, 32, 32)}).train()  # fmt: skip
    network.bn1.eval()
    before = {name: module.training for name, module in network.named_modules()}
    assert before["bn1"] != before["layer1.0.bn1"]
    val = read_list(lists / "val.csv", videos)
    evaluate_ensembles([[network]], Videos(val.paths, class_ids(val, CLASSES)), workers=0)
    assert {name: module.training for name, module in network.named_modules()} == before


def test_averages_of_the_weights_follow_at_once_at_first(videos, lists, tmp_path):
    """timm's warm-up of the decay: after a step of 0.999 the average is the networks themselves."""
    for name, options in {"plain": [], "averaged": ["--ema", "0.999"]}.items():
        run(command(lists, videos, tmp_path / name, *ONE_STEP, *ALONE, *options))
    plain, averaged = weights(tmp_path / "plain"), weights(tmp_path / "averaged")
    assert all(torch.equal(averaged[key], plain[key]) for key in plain)


def test_frozen_batch_norm_keeps_its_statistics(videos, lists, tmp_path):
    init = start_from(tmp_path / "start", lambda network: network.bn1.running_mean.add_(1))
    args = command(lists, videos, tmp_path / "run", *ONE_STEP, *ALONE, "--batch-norm", "frozen", "--steps", "2")
    run([*args, "--init", str(init)])
    before, after = cmpl_zoo.create_model(init).state_dict(), weights(tmp_path / "run")
    assert all(torch.equal(after[key], before[key]) for key in after if is_statistic(key))
    assert not torch.equal(after["bn1.weight"], before["bn1.weight"])


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_step_reaches_every_weight(videos, lists, tmp_path, precision):
    """Autocast keeps casted weights: those of the weak pass, which has no gradients, must not be taken for others."""

    def open_blocks(network: torch.nn.Module) -> None:  # a block begins as what it is given, and passes no gradient on
        for name, weight in network.named_parameters():
            if name.endswith("bn3.weight"):
                weight.fill_(1)

    start = start_from(tmp_path / "start", open_blocks)
    args = command(lists, videos, tmp_path / "run", *ONE_STEP, *ALONE, "--weight-decay", "0", "--precision", precision)
    run([*args, "--init", str(start)])
    before, after = cmpl_zoo.create_model(start), weights(tmp_path / "run")
    without = [name for name, value in before.named_parameters() if torch.equal(after[name], value)]
    assert not without


def test_each_network_sees_the_clips_of_its_own_stride():
    sizes = {"size": 32, "frames": 2, "primary_stride": 4, "auxiliary_stride": 2, "drop_rate": 0.0}
    config = Config(labeled="a.csv", unlabeled="b.csv", output="o", steps=1, primary="r3d50_eighth",
                    auxiliary="r3d50_eighth", threshold=0.0, hard=False, **sizes)  # fmt: skip
    torch.manual_seed(0)
    cmpl = CMPL(build_networks(config, CLASSES), config).train()
    clips = [torch.randint(0, 256, (3, 3, 2, 32, 32), dtype=torch.uint8) for _ in range(2)]
    batch = {"labeled": clips, "labels": torch.tensor([0, 1, 2]), "weak": clips, "strong": clips}
    before = cmpl(batch, 1.0)
    other = [clips[0].flip(0), clips[1]]  # those of stride 4, which F sees
    for view, part, changed in (
        ("labeled", "supervised", 0),
        ("strong", "unsupervised", 0),
        ("weak", "unsupervised", 1),
    ):
        found, expected = getattr(cmpl(batch | {view: other}, 1.0), part), getattr(before, part)
        assert [found[i] != expected[i] for i in (0, 1)] == [changed == 0, changed == 1], (
            view
        )  # weak views of F label A
