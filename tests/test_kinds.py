"""Networks of different kinds that train each other, each on clips of its own frames, stride and size."""

import json
import re

import pytest
import torch
from torchvision.transforms.v2 import functional as tv
from training import CLASSES, command, metrics, run

import cmpl_zoo
from cmpl_zoo.datasets import TrainingClip, TrainingSteps, Videos
from cmpl_zoo.datasets.order import derived_seed
from cmpl_zoo.datasets.views import StrongView
from cmpl_zoo.training import CMPL, Config
from cmpl_zoo.training.networks import build_networks, training_clips
from cmpl_zoo.video.clips import normalize
from cmpl_zoo.video.sampling import random_clips
from cmpl_zoo.video.video import Video

MC3 = ["--auxiliary", "tv_mc3_18", "--primary", "r3d50_eighth", "--frames", "8", "--test-clips", "1"]
FAST = {"tv_r2plus1d_18", "tv_swin3d_t"}  # one with batch norm, one without


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in cmpl_zoo.list_models()]
)
def test_every_network_of_the_registry_learns_beside_another_kind(name):
    """A step without values, on the clips that the network is made for: the gradient reaches every weight."""
    with torch.device("meta"):
        asked = cmpl_zoo.create_model(name)
        config = Config(
            labeled="a.csv", unlabeled="b.csv", output="o", steps=1, primary="r3d50_eighth", size=32,
            short_side=(36, 40), auxiliary=name, auxiliary_frames=asked.clip["frames"],
            auxiliary_stride=asked.clip["stride"], auxiliary_size=asked.pretrained_cfg["input_size"][1],
        )  # fmt: skip
        cmpl = CMPL(build_networks(config, CLASSES), config)
        clips = [
            torch.empty((2, 3, of.frames, of.size, of.size), dtype=torch.uint8) for of in training_clips(config)[1]
        ]
        labels = torch.zeros(2, dtype=torch.int64)
        loss = cmpl({"labeled": clips, "labels": labels, "weak": clips, "strong": clips}, 1.0)
    loss.total.backward()
    assert not [key for key, weight in cmpl.named_parameters() if weight.grad is None]


def test_each_network_is_given_its_clips_by_its_own_mean_and_std():
    config = Config(
        labeled="a.csv", scheme="none", output="o", steps=1, primary="r3d50_eighth", auxiliary="tv_mc3_18", size=32,
        short_side=(36, 40), auxiliary_frames=3, auxiliary_size=48,
    )  # fmt: skip
    networks = build_networks(config, CLASSES)
    clips = [torch.randint(0, 256, shape, dtype=torch.uint8) for shape in ((1, 3, 8, 32, 32), (1, 3, 3, 48, 48))]
    for network, clips_of, own in zip(networks, CMPL(networks, config).inputs, clips, strict=True):
        cfg = network.pretrained_cfg
        torch.testing.assert_close(clips_of(clips), normalize(own, cfg["mean"], cfg["std"]))
    assert networks[1].pretrained_cfg["mean"] == (0.43216, 0.394666, 0.37645)  # torchvision's of Kinetics


@pytest.fixture
def one_video(videos) -> Videos:
    return Videos([str(next(videos.rglob("*.mp4")))], [0])


def steps(one_video: Videos, *clips: TrainingClip, **options) -> TrainingSteps:
    shared = {"labeled_batch": 1, "unlabeled_batch": 1, "steps": 8, "short_side": (72, 84)}
    return TrainingSteps(one_video, one_video, clips=clips, **shared, **options)


def test_clips_of_other_sizes_are_the_same_views_resized(one_video):
    """Crop, flip, strong augmentation and Cutout's square; those of the largest size are as if alone."""
    large, small = TrainingClip(4, 3, 64), TrainingClip(4, 3, 40)
    both, alone = steps(one_video, small, large), steps(one_video, large)
    for step in range(8):
        batch, expected = both[step], alone[step]
        for view in ("labeled", "weak", "strong"):
            a, b = batch[view]
            assert torch.equal(b, expected[view][0])
            assert torch.equal(a[0].transpose(0, 1), tv.resize(b[0].transpose(0, 1), [40, 40], antialias=True))
        assert not torch.equal(batch["weak"][0], batch["strong"][0])


def test_labeled_clips_can_be_strong_views(one_video):
    clip = TrainingClip(4, 3, 64)
    strong, weak = steps(one_video, clip, labeled_view="strong")[0], steps(one_video, clip)[0]
    with torch.random.fork_rng(), Video(one_video.paths[0]) as video:
        torch.manual_seed(derived_seed(0, "labeled", 0, 0))
        [indices] = random_clips(video.num_frames, 4, [3])
        expected = StrongView(64, (72, 84))(video.read(indices).permute(0, 3, 1, 2)).transpose(0, 1)
    assert torch.equal(strong["labeled"][0][0], expected)
    assert not torch.equal(strong["labeled"][0], weak["labeled"][0])
    for view in ("weak", "strong"):
        assert torch.equal(strong[view][0], weak[view][0])


def test_spread_clips_of_other_frames(one_video):
    few, many = steps(one_video, TrainingClip(3, 0, 64), TrainingClip(5, 0, 64), spread=True)[0]["labeled"]
    assert few.shape == (1, 3, 3, 64, 64) and many.shape == (1, 3, 5, 64, 64)


def test_clips_of_more_frames_have_the_same_center(one_video):
    """A's five frames at stride 2 are in the middle of F's nine."""
    data = steps(one_video, TrainingClip(9, 2, 64), TrainingClip(5, 2, 64))
    starts = set()
    for step in range(8):
        long, short = data[step]["labeled"]
        assert torch.equal(short, long[:, :, 2:7])
        starts.add(long[0, :, 0].float().mean().item())
    assert len(starts) > 1


@pytest.mark.slow
def test_cmpl_of_r3d_and_mc3(videos, lists, tmp_path):
    """From the script to the vote, with clips that both share and with clips of each alone."""
    own = {"shared": [], "own": ["--auxiliary-frames", "4", "--auxiliary-size", "48", "--auxiliary-stride", "1"]}
    for name, options in own.items():
        output = tmp_path / name
        args = ["--auxiliary-stride", "2", *options, "--threshold", "0", "--steps", "2", "--val-every", "1"]
        run(command(lists, videos, output, *MC3, *args))
        assert all(
            line[f"{role}/unsupervised"] > 0 for line in metrics(output)[:1] for role in ("primary", "auxiliary")
        )
        models = [cmpl_zoo.create_model(output / role).eval() for role in ("primary", "auxiliary")]
        expected = [(8, 2, 32), (8, 2, 32) if name == "shared" else (4, 1, 48)]
        for model, (frames, stride, size) in zip(models, expected, strict=True):
            assert model.clip == {"frames": frames, "stride": stride, "clips": 1, "crops": 1}
            assert model.pretrained_cfg["input_size"] == (3, size, size)
        scores = cmpl_zoo.evaluate(models, lists / "val.csv", root=str(videos), workers=0)
        assert scores["videos"] == 9 and scores["unreadable"] == 0
        video = next(videos.rglob("*.mp4"))
        votes = [dict(cmpl_zoo.predict(model, video)) for model in models]
        together = dict(cmpl_zoo.predict(models, video))
        assert together == {k: pytest.approx((votes[0][k] + votes[1][k]) / 2, abs=1e-6) for k in together}
    summary = json.loads((tmp_path / "own" / "summary.json").read_text())
    assert set(summary["validation"]) == {"primary", "auxiliary", "vote"}


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["self", "none"])
def test_mc3_alone_learns_from_its_own_labels_or_from_the_given_ones(videos, lists, tmp_path, scheme):
    alone = ["--primary", "tv_mc3_18", "--auxiliary", "null", "--scheme", scheme, "--threshold", "0"]
    run(command(lists, videos, tmp_path / "run", *MC3, *alone, "--steps", "2"))
    lines = metrics(tmp_path / "run")
    assert all(("primary/unsupervised" in line) == (scheme == "self") for line in lines if "loss" in line)
    assert cmpl_zoo.create_model(tmp_path / "run" / "primary").pretrained_cfg["architecture"] == "tv_mc3_18"


@pytest.mark.parametrize(
    "network, given, facts",
    [
        ("tv_s3d", ["--auxiliary-frames", "16"], r"S3D.*at least 14 frames of 224 x 224.*16 frames of 32 x 32"),
        ("tv_mvit_v2_s", [], r"MViT.*16 frames of 224 x 224.*4 frames of 32 x 32"),
    ],
)
def test_what_a_network_cannot_take_is_said_before_training(videos, lists, tmp_path, network, given, facts):
    args = ["--auxiliary", network, *given, "--steps", "1"]
    error = run(command(lists, videos, tmp_path / "run", *args), expect=2).stderr
    [line] = [line for line in error.splitlines() if " takes clips of " in line]
    assert re.search(facts + r".*--auxiliary-frames.*--auxiliary-size", line)
    assert not (tmp_path / "run" / "metrics.jsonl").exists()
