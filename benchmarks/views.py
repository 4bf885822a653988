"""What a strong view costs beside torchvision's own operations, and how near its values are to theirs.

python benchmarks/views.py --data DIR    # writes benchmarks/results/views.json, about two minutes

CPU time on one thread, of weak views of 8x224^2 of real videos. Operations have the magnitudes that RandAugment draws
them with, both signs; what is here and torchvision take turns.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from harness import save, where
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as tv

from cmpl_zoo.datasets.augmentations import GRAY, RandAugment
from cmpl_zoo.datasets.views import STRONG_VIEWS, StrongView, WeakView
from cmpl_zoo.video import read_frames

FILES = ("arm_wrestling.mp4", "flipping_a_pancake.mkv", "asl_thanks.mkv", "h264_10bit.mp4", "hevc.mp4",
         "v_ApplyEyeMakeup_g01_c01.avi", "v_BaseballPitch_g01_c01.avi")  # fmt: skip
SIZE, SHORT_SIDE = 224, (256, 320)
FRAMES = range(0, 32, 4)
BY_TORCHVISION = {"randaugment": v2.RandAugment, "autoaugment": v2.AutoAugment}
SETTINGS: dict[str, Any] = {"interpolation": v2.InterpolationMode.BILINEAR, "fill": GRAY}


class Cost:
    """CPU time of two ways to do the same, and how far their values are apart."""

    def __init__(self) -> None:
        self.ms: dict[str, list[float]] = {"torchvision": [], "here": []}
        self.values = self.far = self.within = self.far_within = 0

    def measure(self, actions: dict[str, Callable[[], Tensor]], seed: int) -> dict[str, Tensor]:
        """Both in turn, with the same draws."""
        results = {}
        for name in list(actions)[:: 1 if len(self.ms["here"]) % 2 else -1]:
            torch.manual_seed(seed)
            began = time.process_time()
            results[name] = actions[name]()
            self.ms[name].append(1e3 * (time.process_time() - began))
        return results

    def compare(self, results: dict[str, Tensor], inside: Tensor) -> None:
        """Count values that are more than one gray level apart, everywhere and where no fill is mixed in."""
        far = (results["here"].int() - results["torchvision"].int()).abs() > 1
        self.values, self.far = self.values + far.numel(), self.far + int(far.sum())
        inside = inside.expand_as(far)
        self.within, self.far_within = self.within + int(inside.sum()), self.far_within + int((far & inside).sum())

    def row(self, name: str, crop_ms: float) -> list[str]:
        theirs, here = (statistics.mean(self.ms[key]) for key in ("torchvision", "here"))
        row = [name, f"{theirs:.1f}", f"{here:.1f}", f"{here / crop_ms:.1f}"]
        if not self.values:
            return [*row, "", ""]
        return [*row, *(f"{100 * (1 - far / count):.2f}" for far, count in
                        ((self.far, self.values), (self.far_within, self.within)))]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="views.py", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="holds clips/")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    parser.add_argument("--draws", type=int, default=300, metavar="N", help="strong views that a mean is taken over")
    args = parser.parse_args()
    torch.set_num_threads(1)
    clips = [read_frames(args.data / "clips" / name, list(FRAMES)).permute(0, 3, 1, 2) for name in FILES]
    weak = WeakView(SIZE, SHORT_SIDE)
    crop_ms = measure_crop(clips, 8 * args.rounds)
    rows = []

    here, theirs = RandAugment(), v2.RandAugment(**SETTINGS)
    for name, (bins, signed) in here._AUGMENTATION_SPACE.items():
        drawn = bins(here.num_magnitude_bins, SIZE, SIZE)
        magnitude = 0.0 if drawn is None else float(drawn[here.magnitude])
        cost = Cost()
        for round_ in range(args.rounds):
            for number, clip in enumerate(clips):
                torch.manual_seed(number)
                view = weak(clip)
                signed_magnitude = -magnitude if signed and (round_ + number) % 2 else magnitude
                call = (name, signed_magnitude, SETTINGS["interpolation"], theirs._fill)
                results = cost.measure(
                    {key: lambda way=way: way._apply_image_or_video_transform(view, *call)  # noqa: B023
                     for key, way in (("torchvision", theirs), ("here", here))}, 0)  # fmt: skip
                white = torch.full_like(view[:1], 255)
                black_filled = {type(white): [0.0, 0.0, 0.0]}
                moved = theirs._apply_image_or_video_transform(white, *call[:3], black_filled)
                cost.compare(results, moved == 255 if name in WARPS else torch.ones_like(white, dtype=torch.bool))
        rows.append(cost.row(name, crop_ms))

    for augment in STRONG_VIEWS:
        here_view, their_view = StrongView(SIZE, SHORT_SIDE, augment), StrongView(SIZE, SHORT_SIDE, augment)
        their_view.steps[1] = BY_TORCHVISION[augment](**SETTINGS)
        cost = Cost()
        for draw in range(args.draws):
            clip = clips[draw % len(clips)]
            cost.measure({"torchvision": lambda: their_view(clip), "here": lambda: here_view(clip)}, draw)  # noqa: B023
        rows.append(cost.row(f"whole strong view, {augment} and Cutout", crop_ms))

    caption = (
        f"CPU time on one thread, means of {args.rounds} rounds over clips of {len(clips)} videos and of {args.draws} "
        f"draws of whole views, in turn; a resized crop of these clips takes {crop_ms:.2f} ms; {where()}."
    )
    columns = ["", "torchvision, ms", "here, ms", "here, in resized crops", "values within one gray level, %",
               "where no fill is mixed in, %"]  # fmt: skip
    print(save({"experiment": "views", "caption": caption, "columns": columns, "rows": rows}))


WARPS = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")


def measure_crop(clips: list[Tensor], rounds: int) -> float:
    """The mean CPU time in ms of one resized crop, as `WeakView` takes it."""
    ms = []
    for _ in range(rounds):
        for clip in clips:
            side = round(SIZE * min(clip.shape[-2:]) / SHORT_SIDE[0])
            began = time.process_time()
            tv.resized_crop(clip, 0, 0, side, side, [SIZE, SIZE], antialias=True)
            ms.append(1e3 * (time.process_time() - began))
    return statistics.mean(ms)


if __name__ == "__main__":
    main()
