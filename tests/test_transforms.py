"""Views of a clip."""

import pytest
import torch
from torchvision.transforms.v2.functional import resize

from cmpl_zoo.datasets.views import STRONG_VIEWS, StrongView, WeakView
from cmpl_zoo.video.clips import IMAGENET_MEAN, IMAGENET_STD, crop_views, normalize


@pytest.fixture
def still() -> torch.Tensor:
    """Twelve times the same picture, so that views that treat frames alike keep them equal."""
    torch.manual_seed(0)
    picture = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 8), size=(60, 80), mode="bicubic").clamp(0, 1)
    return (picture * 255).to(torch.uint8).expand(12, -1, -1, -1).contiguous()


@pytest.mark.parametrize("kind", ["weak", "randaugment", "autoaugment"])
def test_all_frames_share_one_draw(still, kind):
    view = WeakView(32, (36, 46)) if kind == "weak" else StrongView(32, (36, 46), kind)
    for seed in range(20):
        torch.manual_seed(seed)
        seen = view(still)
        assert seen.shape == (12, 3, 32, 32)
        assert seen.dtype == torch.uint8
        assert (seen == seen[0]).all()


@pytest.mark.parametrize("short_side", [(30, 46), (46, 36)])
def test_sizes_that_do_not_fit_are_refused(short_side):
    with pytest.raises(ValueError, match="give two increasing numbers, the first at least 32"):
        WeakView(32, short_side)


def test_weak_view_resizes_crops_and_flips(still):
    still[..., :40] = 0  # dark left, bright right: a flip shows
    still[..., 40:] = 255
    flipped = set()
    for seed in range(20):
        torch.manual_seed(seed)
        seen = WeakView(32, (36, 46))(still)[0, 0].float()
        flipped.add(bool(seen[:, :4].mean() > seen[:, -4:].mean()))
    assert flipped == {True, False}


def test_weak_view_is_a_crop_of_the_resized_frames(still):
    for seed in range(20):
        torch.manual_seed(seed)
        seen = WeakView(32, (36, 46))(still).float()
        torch.manual_seed(seed)
        short_side = int(torch.randint(36, 47, ()))
        side = round(32 * 60 / short_side)
        top, left, flip = (int(torch.randint(n, ())) for n in (60 - side + 1, 80 - side + 1, 2))
        resized = resize(still, [short_side], antialias=True)[..., round(top * short_side / 60) :, :]
        resized = resized[..., :32, round(left * short_side / 60) :][..., :32]
        expected = (resized.flip(-1) if flip else resized).float()
        assert (seen - expected).abs().mean() < 8  # of 255: places and sizes are rounded to whole pixels


def test_strong_view_differs_from_weak_and_cutout_paints_a_square(still):
    torch.manual_seed(1)
    bright = torch.full_like(still, 250)
    view = StrongView(32, (36, 46), cutout=True)
    painted = 0
    for seed in range(10):
        torch.manual_seed(seed)
        seen = view(bright)[0]
        gray = (seen == torch.tensor([124, 116, 104], dtype=torch.uint8)[:, None, None]).all(dim=0)
        rows, columns = gray.any(dim=1).sum().item(), gray.any(dim=0).sum().item()
        painted += rows * columns >= 0.08 * 32 * 32
    assert painted == 10


@pytest.mark.parametrize("kind", STRONG_VIEWS)
def test_without_cutout_nothing_is_painted(still, kind):
    for seed in range(10):
        torch.manual_seed(seed)
        painted = StrongView(32, (36, 46), kind, cutout=True)(still)[0]
        torch.manual_seed(seed)
        plain = StrongView(32, (36, 46), kind, cutout=False)(still)[0]
        changed = (painted != plain).any(dim=0)
        assert (painted[:, changed] == torch.tensor([124, 116, 104], dtype=torch.uint8)[:, None]).all()
        assert 0 < changed.sum() <= 0.3 * 32 * 32


def test_unknown_strong_view_is_named():
    with pytest.raises(ValueError, match=r"'trivial'.*randaugment, autoaugment"):
        StrongView(32, (36, 46), "trivial")


@pytest.mark.parametrize("shape", [(40, 80), (80, 40)])
def test_three_crops_reach_both_ends_of_the_longer_side(shape):
    ramp = torch.linspace(0, 255, max(shape)).to(torch.uint8)
    picture = ramp.expand(1, 3, 40, 80) if shape[1] == 80 else ramp[:, None].expand(1, 3, 80, 40)
    first, middle, last = crop_views(picture, (32, 32), 40, crops=3)
    assert first.shape == (1, 3, 32, 32)
    assert first.min() == 0
    assert last.max() == 255
    assert torch.equal(middle, crop_views(picture, (32, 32), 40, crops=1)[0])


def test_crops_other_than_one_or_three_are_refused(still):
    with pytest.raises(ValueError, match=r"1 .* or 3"):
        crop_views(still, (32, 32), 40, crops=2)


def test_normalize_by_hand():
    clips = torch.tensor([0, 255, 128], dtype=torch.uint8).reshape(1, 3, 1, 1, 1)
    expected = [(v - m) / s for v, m, s in zip([0, 1, 128 / 255], IMAGENET_MEAN, IMAGENET_STD, strict=True)]
    torch.testing.assert_close(normalize(clips).flatten(), torch.tensor(expected))
