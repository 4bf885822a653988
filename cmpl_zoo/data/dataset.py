"""Data sets: a training step is a function of its number, a test video one of its place in the list.

The order of samples is arithmetic on (seed, step), and the draws of augmentation depend on (seed, pass, video)
alone. So nothing has to be replayed to go on from a step, and the number of workers changes nothing.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cmpl_zoo.data.clip import load_views
from cmpl_zoo.data.sampling import random_clips
from cmpl_zoo.data.transforms import strong_view, weak_view
from cmpl_zoo.data.video import Video, VideoError

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Videos:
    """Paths and class ids of one list; id -1 where a label is unknown or foreign."""

    paths: Sequence[str]
    ids: Sequence[int]

    def __len__(self) -> int:
        return len(self.paths)


def derived_seed(*parts: object) -> int:
    """A 63-bit seed from any values, the same on every machine."""
    return random.Random("/".join(map(str, parts))).getrandbits(63)


class Stream:
    """An endless order over `size` videos: pass after pass, each a permutation of its own.

    Position p lies in pass p // size; what stands there depends on (seed, p) alone.
    """

    def __init__(self, size: int, *seed: object) -> None:
        self.size = size
        self.seed = seed
        self._pass = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def __getitem__(self, position: int) -> tuple[int, int]:
        """(pass, index of the video) at a position."""
        number, place = divmod(position, self.size)
        if number != self._pass:
            generator = torch.Generator().manual_seed(derived_seed(*self.seed, number))
            self._permutation = torch.randperm(self.size, generator=generator)
            self._pass = number
        return number, int(self._permutation[place])


class TrainingSteps(Dataset[Batch | VideoError]):
    """Step number -> batch of labeled and unlabeled clips.

    A batch holds uint8 clips of shape (batch, strides, 3, frames, size, size), one clip per stride in the order
    of `strides`: `labeled` and its `labels`, and, where there are unlabeled videos, `weak` and `strong` views of
    the same clips and `hidden_labels`, which only meters may read. Both views come from one decode; all clips of
    a sample share crop, flip and strong draw.

    A video that cannot be read makes its step a `VideoError`, to be raised by whoever asked for the batch
    (worker processes would wrap it into their traceback).

    Args:
        labeled: labeled videos.
        unlabeled: unlabeled videos, or None.
        labeled_batch: labeled clips a step; the list repeats as often as needed.
        unlabeled_batch: unlabeled clips a step.
        steps: number of steps.
        frames: frames of a clip.
        strides: distances between two frames, one for each kind of clip wanted.
        size: height and width of a clip, in pixels.
        short_side: range of the short side before the crop; see `weak_view`.
        strong: kind of the strong view; see `strong_view`.
        cutout: see `strong_view`.
        seed: of order and augmentation.
    """

    def __init__(
        self,
        labeled: Videos,
        unlabeled: Videos | None,
        *,
        labeled_batch: int,
        unlabeled_batch: int,
        steps: int,
        frames: int,
        strides: Sequence[int],
        size: int,
        short_side: Sequence[int],
        strong: str = "randaugment",
        cutout: bool = True,
        seed: int = 0,
    ) -> None:
        self.labeled, self.unlabeled = labeled, unlabeled
        self.labeled_batch, self.unlabeled_batch = labeled_batch, unlabeled_batch
        self.steps = steps
        self.frames, self.strides = frames, tuple(strides)
        self.seed = seed
        self.weak = weak_view(size, short_side)
        self.strong = strong_view(size, short_side, strong, cutout)
        self._labeled_order = Stream(len(labeled), seed, "labeled")
        self._unlabeled_order = Stream(len(unlabeled), seed, "unlabeled") if unlabeled else None

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch | VideoError:
        try:
            return self._batch(step)
        except VideoError as error:
            return error

    def _batch(self, step: int) -> Batch:
        keys = [self._labeled_order[step * self.labeled_batch + i] for i in range(self.labeled_batch)]
        samples = [self._sample("labeled", self.labeled.paths[i], number, i) for number, i in keys]
        batch = {
            "labeled": torch.stack([weak for weak, _ in samples]),
            "labels": torch.tensor([self.labeled.ids[i] for _, i in keys]),
        }
        if self.unlabeled and self._unlabeled_order:
            start = step * self.unlabeled_batch
            keys = [self._unlabeled_order[start + i] for i in range(self.unlabeled_batch)]
            samples = [self._sample("unlabeled", self.unlabeled.paths[i], number, i) for number, i in keys]
            batch["weak"] = torch.stack([weak for weak, _ in samples])
            batch["strong"] = torch.stack([strong for _, strong in samples])
            batch["hidden_labels"] = torch.tensor([self.unlabeled.ids[i] for _, i in keys])
        return batch

    def _sample(self, kind: str, path: str, number: int, index: int) -> tuple[Tensor, Tensor]:
        """The weak and the strong view of one video in one pass: uint8 (strides, 3, frames, size, size) each.

        A labeled video has no use for a strong view and gets its weak one twice.
        """
        with torch.random.fork_rng(devices=[]):
            # The CPU's generator alone: torch.manual_seed would also seed those of GPUs, which dropout draws from.
            torch.default_generator.manual_seed(derived_seed(self.seed, kind, number, index))
            with Video(path) as video:
                clips = random_clips(video.num_frames, self.frames, self.strides)
                frames = video.read([i for clip in clips for i in clip]).permute(0, 3, 1, 2)
            weak = self._per_stride(self.weak(frames))
            return weak, self._per_stride(self.strong(frames)) if kind == "unlabeled" else weak

    def _per_stride(self, frames: Tensor) -> Tensor:
        """(strides * T, 3, H, W) -> (strides, 3, T, H, W)."""
        return frames.unflatten(0, (len(self.strides), self.frames)).transpose(1, 2)


class EvaluationBatches(Dataset[tuple[Tensor, Tensor] | VideoError]):
    """Index -> the test views of the next few videos of a list, in its order, and their class ids.

    An item is uint8 (videos, views, 3, frames, height, width) and int64 (videos,), with as many videos as make
    about `batch` views. A video that cannot be read makes its item a `VideoError`: none is left out in silence.

    Args:
        videos: the list.
        batch: views an item, at least those of one video.
        clips: clips of a video.
        crops: crops of a clip.
        **settings: the other arguments of `load_views` after the path.
    """

    def __init__(self, videos: Videos, *, batch: int = 32, clips: int, crops: int, **settings: Any) -> None:
        self.videos = videos
        self.settings = {"clips": clips, "crops": crops, **settings}
        self.videos_per_item = max(1, batch // (clips * crops))

    def __len__(self) -> int:
        return math.ceil(len(self.videos) / self.videos_per_item)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor] | VideoError:
        part = slice(index * self.videos_per_item, (index + 1) * self.videos_per_item)
        try:
            views = [load_views(path, **self.settings) for path in self.videos.paths[part]]
        except VideoError as error:
            return error
        return torch.stack(views), torch.tensor(self.videos.ids[part])
