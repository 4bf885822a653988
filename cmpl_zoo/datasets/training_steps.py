"""The clips of a training step, as a function of the number of the step.

The order is that of `order.py`, and the draws of augmentation depend on (seed, pass, video) alone, never on the rank or
the worker.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cmpl_zoo.datasets.lists import Videos
from cmpl_zoo.datasets.order import Stream, derived_seed, places
from cmpl_zoo.datasets.views import StrongView, WeakView
from cmpl_zoo.datasets.watchdog import reading
from cmpl_zoo.storage.remote import StorageError
from cmpl_zoo.video.sampling import random_clips
from cmpl_zoo.video.video import Video, VideoError

REPLACEMENTS = 10  # videos in a row, one of which must be readable; our choice

Batch = dict[str, Any]
Unreadable = list[tuple[str, str]]  # path and message


class TrainingSteps(Dataset[Batch | VideoError | StorageError]):
    """Step number -> batch of labeled and unlabeled clips.

    A batch holds uint8 clips of shape (batch, strides, 3, frames, size, size), one clip per stride in the order
    of `strides`: `labeled` and its `labels`, and, where there are unlabeled videos, `weak` and `strong` views of
    the same clips and `hidden_labels`, which only meters may read. Both views come from one decode; all clips of
    a sample share crop, flip and strong draw.

    In the place of a video that cannot be read comes the one at the same place of the next step; `unreadable` lists
    the (path, message) of those passed over. Where ten in a row cannot be read, the item is a `VideoError`, and where
    shards cannot, a `StorageError`, to be raised by whoever asked for it (worker processes would wrap it into their
    traceback).

    Args:
        labeled: labeled videos.
        unlabeled: unlabeled videos, or None.
        labeled_batch: labeled clips a step, over all ranks; the list repeats as often as needed.
        unlabeled_batch: unlabeled clips a step, over all ranks.
        steps: number of steps.
        frames: frames of a clip.
        strides: distances between two frames, one for each kind of clip wanted.
        size: height and width of a clip, in pixels.
        short_side: range of the short side before the crop; see `WeakView`.
        strong: kind of the strong view; see `StrongView`.
        cutout: see `StrongView`.
        seed: of order and augmentation.
        rank: which share of every batch, from 0.
        world_size: number of ranks that share a batch.

    Raises:
        ValueError: a batch does not divide by the number of ranks.
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
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.labeled, self.unlabeled = labeled, unlabeled
        self.labeled_batch, self.unlabeled_batch = labeled_batch, unlabeled_batch
        self.rank, self.world_size = rank, world_size
        for batch in (labeled_batch, unlabeled_batch) if unlabeled else (labeled_batch,):
            places(0, batch, rank, world_size)
        self.steps = steps
        self.frames, self.strides = frames, tuple(strides)
        self.seed = seed
        self.weak = WeakView(size, short_side)
        self.strong = StrongView(size, short_side, strong, cutout)
        self._labeled_order = Stream(len(labeled), seed, "labeled")
        self._unlabeled_order = Stream(len(unlabeled), seed, "unlabeled") if unlabeled else None

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch | VideoError | StorageError:
        try:
            return self._batch(step)
        except (VideoError, StorageError) as error:
            return error

    def _batch(self, step: int) -> Batch:
        unreadable: Unreadable = []
        views, _, labels = self._samples("labeled", self.labeled, self._labeled_order, step, unreadable)
        batch: Batch = {"labeled": views, "labels": labels, "unreadable": unreadable}
        if self.unlabeled and self._unlabeled_order:
            samples = self._samples("unlabeled", self.unlabeled, self._unlabeled_order, step, unreadable)
            batch["weak"], batch["strong"], batch["hidden_labels"] = samples
        return batch

    def paths(self, step: int) -> list[str]:
        """The videos that stand at this rank's places of a step; one that cannot be read is replaced by another."""
        streams = [(self.labeled, self._labeled_order, self.labeled_batch)]
        if self.unlabeled and self._unlabeled_order:
            streams.append((self.unlabeled, self._unlabeled_order, self.unlabeled_batch))
        return [
            videos.paths[order[place][1]]
            for videos, order, batch in streams
            for place in places(step, batch, self.rank, self.world_size)
        ]

    def _samples(
        self, kind: str, videos: Videos, order: Stream, step: int, unreadable: Unreadable
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Weak views, strong views and class ids of this rank's share of a step."""
        size = self.labeled_batch if kind == "labeled" else self.unlabeled_batch
        samples = [
            self._readable(kind, videos, order, range(place, place + REPLACEMENTS * size, size), unreadable)
            for place in places(step, size, self.rank, self.world_size)
        ]
        weak, strong, ids = zip(*samples, strict=True)
        return torch.stack(weak), torch.stack(strong), torch.tensor(ids)

    def _readable(
        self, kind: str, videos: Videos, order: Stream, candidates: range, unreadable: Unreadable
    ) -> tuple[Tensor, Tensor, int]:
        """Weak view, strong view and class id of the first of these places whose video can be read."""
        for place in candidates:
            number, index = order[place]
            path = videos.paths[index]
            try:
                with reading(path):
                    return *self._sample(kind, path, number, index), int(videos.ids[index])
            except VideoError as error:
                unreadable.append((path, str(error)))
        raise VideoError(
            f"{unreadable[-len(candidates)][1]}; neither can the {len(candidates) - 1} videos after it in the order "
            "of training be read; check --root, and the list by `cmpl-zoo check`"
        )

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
            if kind == "labeled":
                return weak, weak
            return weak, self._per_stride(self.strong(frames))

    def _per_stride(self, frames: Tensor) -> Tensor:
        """(strides * T, 3, H, W) -> (strides, 3, T, H, W)."""
        return frames.unflatten(0, (len(self.strides), self.frames)).transpose(1, 2)
