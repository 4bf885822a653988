"""The operations that are OpenCV's have torchvision's values."""

import pytest
import torch
from torchvision.transforms import v2

from cmpl_zoo.datasets.augmentations import GRAY, AutoAugment, RandAugment
from cmpl_zoo.demo.render import render_demo
from cmpl_zoo.video import read_frames

SETTINGS = {"interpolation": v2.InterpolationMode.BILINEAR, "fill": GRAY}
WARPS = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")
STRENGTHS = 0.09, 0.3, 20.5, 33.3, 9
OPERATIONS = [
    *((warp, sign * magnitude) for sign in (1, -1) for warp, magnitude in zip(WARPS, STRENGTHS, strict=True)),
    *((mixed, sign * 0.9) for sign in (1, -1) for mixed in ("Brightness", "Color", "Contrast", "Sharpness")),
    ("Posterize", 5), ("Solarize", 0.3), ("AutoContrast", 0), ("Equalize", 0), ("Invert", 0), ("Identity", 0),
]  # fmt: skip


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> torch.Tensor:
    """Four frames of rendered people, wider than high: (4, 3, 96, 120)."""
    listed = render_demo(tmp_path_factory.mktemp("demo"), videos_per_class=1, size=120)
    file = next(listed.parent.rglob("*.mp4"))
    return read_frames(file, [0, 5, 10, 15]).permute(0, 3, 1, 2)[:, :, 12:108].contiguous()


@pytest.mark.parametrize("operation, magnitude", OPERATIONS)
def test_an_operation_has_the_values_of_torchvision(frames: torch.Tensor, operation: str, magnitude: float) -> None:
    theirs = v2.AutoAugment(**SETTINGS)
    apply = (operation, magnitude, SETTINGS["interpolation"], theirs._fill)
    here = AutoAugment()._apply_image_or_video_transform(frames, *apply)
    expected = theirs._apply_image_or_video_transform(frames, *apply)
    assert here.dtype == torch.uint8 and here.shape == frames.shape
    near = (here.int() - expected.int()).abs() <= 1
    # What differs is where the fill is mixed in, at its border.
    white = torch.full_like(frames, 255)
    black = {torch.Tensor: [0.0, 0.0, 0.0]}
    moved = theirs._apply_image_or_video_transform(white, *apply[:3], black) if magnitude else white
    whole, empty = (moved == 255, moved == 0) if operation in WARPS else (torch.ones_like(near), torch.zeros_like(near))
    assert near[whole].float().mean() >= 0.998
    assert not empty.any() or near[empty].float().mean() > 0.98
    assert near.float().mean() > 0.98
    assert operation in ("Identity", "AutoContrast") or (here != frames).float().mean() > 0.05


def drawn_by(augmentation: type, frames: torch.Tensor, seed: int, **settings: object) -> list[tuple[str, float]]:
    """The operations that a clip gets, with their magnitudes."""
    drawn = []

    class Noting(augmentation):
        def _apply_image_or_video_transform(self, frames, operation, magnitude, *args, **kwargs):
            drawn.append((operation, magnitude))
            return super()._apply_image_or_video_transform(frames, operation, magnitude, *args, **kwargs)

    torch.manual_seed(seed)
    seen = Noting(**settings)(frames)
    assert seen.shape == frames.shape and seen.dtype == torch.uint8
    return drawn


@pytest.mark.parametrize("ours, theirs", [(RandAugment, v2.RandAugment), (AutoAugment, v2.AutoAugment)])
def test_draws_are_those_of_torchvision(frames: torch.Tensor, ours: type, theirs: type) -> None:
    draws = [(drawn_by(ours, frames, seed), drawn_by(theirs, frames, seed, **SETTINGS)) for seed in range(40)]
    assert [here for here, _ in draws] == [expected for _, expected in draws]
    assert len({operation for here, _ in draws for operation, _ in here}) >= 10


def test_no_frame_is_changed_in_place(frames: torch.Tensor) -> None:
    before = frames.clone()
    for operation, magnitude in OPERATIONS:
        AutoAugment()._apply_image_or_video_transform(frames, operation, magnitude, *[*SETTINGS.values()][:1], {})
        assert torch.equal(frames, before), operation
