"""The batch of a training step, as a function of the number of the step.

The order of samples is that of `order.py`. The random augmentation depends only on (seed, pass, video), not on the rank
or the worker.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import NamedTuple, NotRequired, TypedDict, TypeVar

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as tv

from cmpl_zoo.datasets.lists import Videos
from cmpl_zoo.datasets.order import BalancedOrder, SampleOrder, drawing, positions
from cmpl_zoo.datasets.views import StrongView, WeakView
from cmpl_zoo.datasets.watchdog import reading
from cmpl_zoo.storage.remote import StorageError
from cmpl_zoo.video.clips import frame_times
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.sampling import random_clips, random_spread
from cmpl_zoo.video.video import Video

Sample = TypeVar("Sample")

MAX_TRIES = 10  # videos to try in turn until one is readable; our choice


class UnreadableVideo(NamedTuple):
    """A video that cannot be read, and why."""

    path: str
    message: str


class TrainingClip(NamedTuple):
    """A clip that is taken of every sample.

    Attributes:
        frames: their number.
        stride: distance between two of them, in frames of the video, or with `fps` in 1/fps seconds; without a meaning
            for clips that are spread over the video.
        size: height and width, in pixels.
    """

    frames: int
    stride: int
    size: int


class ClipBatch(TypedDict):
    """The clips of a training step: uint8 (samples, 3, frames, size, size), one tensor per `TrainingClip`.

    Of one rank its share.

    Attributes:
        labeled: views of labeled videos, weak ones unless asked for.
        labels: their class ids, int64 (samples,).
        weak: weak views of unlabeled videos; missing if there are none, as the next two.
        strong: strong views of the same clips.
        hidden_labels: their class ids, int64 (samples,), -1 if unknown; only for meters.
    """

    labeled: list[Tensor]
    labels: Tensor
    weak: NotRequired[list[Tensor]]
    strong: NotRequired[list[Tensor]]
    hidden_labels: NotRequired[Tensor]


class Batch(ClipBatch):
    """The same with the unreadable videos that were replaced by others."""

    unreadable: list[UnreadableVideo]


class TrainingSteps(Dataset[Batch | VideoError | StorageError]):
    """Step number -> batch of labeled and unlabeled clips.

    A video is decoded once for its weak and strong view and all clips of them. The clips of a view of a sample have the
    same random crop, flip and strong augmentation: they are made at the largest of their sizes, and then resized.

    An unreadable video is replaced by the one at the same position of the next step, or with `balance` by the next one
    of its class. If ten in turn are unreadable,
    the item is a `VideoError`, and if shards cannot be read, a `StorageError`. It is returned, not raised, as a worker
    would add its traceback to the message.

    Args:
        labeled: labeled videos.
        unlabeled: unlabeled videos, or None.
        labeled_batch: labeled samples per step, over all ranks; the list repeats as often as needed.
        unlabeled_batch: unlabeled samples per step, over all ranks.
        steps: number of steps.
        clips: to take of every sample, at least one.
        fps: read by time; see `load_clip`.
        spread: frames of a clip are spread over the video, whatever its stride; see `random_spread`.
        short_side: range of the short side before the crop to the largest size; see `WeakView`.
        strong: kind of strong view; see `StrongView`.
        cutout: see `StrongView`.
        labeled_view: `weak` or `strong`, the view of the labeled videos.
        balance: labeled samples are drawn equally over classes; see `BalancedOrder`.
        seed: seed of order and augmentation.
        rank: number of the rank, from 0; each reads its share of every batch.
        world_size: number of ranks that share a batch.

    Raises:
        ValueError: a batch is not a multiple of the number of ranks, or an option of the views is wrong.
    """

    def __init__(
        self,
        labeled: Videos,
        unlabeled: Videos | None,
        *,
        labeled_batch: int,
        unlabeled_batch: int,
        steps: int,
        clips: Sequence[TrainingClip],
        fps: float | None = None,
        spread: bool = False,
        short_side: Sequence[int],
        strong: str = "randaugment",
        cutout: bool = True,
        labeled_view: str = "weak",
        balance: bool = False,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self.labeled, self.unlabeled = labeled, unlabeled
        self.labeled_batch, self.unlabeled_batch = labeled_batch, unlabeled_batch
        self.rank, self.world_size = rank, world_size
        for batch in (labeled_batch, unlabeled_batch) if unlabeled else (labeled_batch,):
            positions(0, batch, rank, world_size)  # checks the batch
        self.steps = steps
        self.clips, self.fps, self.spread = clips, fps, spread
        self.seed = seed
        size = max(clip.size for clip in clips)
        self.labeled_view = labeled_view
        self.weak = WeakView(size, short_side)
        self.strong = StrongView(size, short_side, strong, cutout)
        self._labeled_order = (
            BalancedOrder(labeled.ids, seed, "labeled") if balance else SampleOrder(len(labeled), seed, "labeled")
        )
        self._unlabeled_order = SampleOrder(len(unlabeled), seed, "unlabeled") if unlabeled else None

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Batch | VideoError | StorageError:
        try:
            return self._batch(step)
        except (VideoError, StorageError) as error:
            return error

    def _batch(self, step: int) -> Batch:
        unreadable: list[UnreadableVideo] = []
        views, _, labels = self._samples("labeled", self.labeled, self._labeled_order, step, unreadable)
        batch: Batch = {"labeled": views, "labels": labels, "unreadable": unreadable}
        if self.unlabeled and self._unlabeled_order:
            samples = self._samples("unlabeled", self.unlabeled, self._unlabeled_order, step, unreadable)
            batch["weak"], batch["strong"], batch["hidden_labels"] = samples
        return batch

    def paths(self, step: int) -> list[str]:
        """The videos of this rank in a step, before unreadable ones are replaced."""
        lists = [(self.labeled, self._labeled_order, self.labeled_batch)]
        if self.unlabeled and self._unlabeled_order:
            lists.append((self.unlabeled, self._unlabeled_order, self.unlabeled_batch))
        return [
            videos.paths[order[position][1]]
            for videos, order, batch in lists
            for position in positions(step, batch, self.rank, self.world_size)
        ]

    def _samples(
        self,
        kind: str,
        videos: Videos,
        order: SampleOrder | BalancedOrder,
        step: int,
        unreadable: list[UnreadableVideo],
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Weak views, strong views and class ids of this rank in a step; adds what it cannot read to `unreadable`."""
        size = self.labeled_batch if kind == "labeled" else self.unlabeled_batch

        def sample(path: str, pass_number: int, index: int) -> tuple[list[Tensor], list[Tensor], int]:
            return *self._sample(kind, path, pass_number, index), int(videos.ids[index])

        samples = [
            first_readable(videos.paths, order.candidates(position, size), sample, unreadable)
            for position in positions(step, size, self.rank, self.world_size)
        ]
        weak, strong, ids = zip(*samples, strict=True)
        views = ([torch.stack(clips) for clips in zip(*view, strict=True)] for view in (weak, strong))
        return *views, torch.tensor(ids)  # type: ignore[return-value]

    def _sample(self, kind: str, path: str, pass_number: int, index: int) -> tuple[list[Tensor], list[Tensor]]:
        """The weak and the strong view of one video in one pass: of each the clips, uint8 (3, frames, size, size).

        A labeled video needs one view, which is returned twice.
        """
        with drawing(self.seed, kind, pass_number, index):
            with Video(path) as video:
                indices = [i for clip in self._indices(video) for i in clip]
                frames = video.read(indices).permute(0, 3, 1, 2)
            if kind == "labeled":
                view = self._per_clip((self.weak if self.labeled_view == "weak" else self.strong)(frames))
                return view, view
            weak = self._per_clip(self.weak(frames))
            return weak, self._per_clip(self.strong(frames))

    def _indices(self, video: Video) -> list[list[int]]:
        """The indices of the frames of each clip."""
        if self.spread:
            return [random_spread(video.num_frames, clip.frames) for clip in self.clips]
        times, unit = frame_times(video, self.fps)
        return random_clips(times, [clip.frames for clip in self.clips], [clip.stride * unit for clip in self.clips])

    def _per_clip(self, view: Tensor) -> list[Tensor]:
        """The frames of all clips (frames, 3, H, W) -> each clip (3, T, size, size)."""
        parts = view.split([clip.frames for clip in self.clips])
        return [
            tv.resize(frames, [clip.size, clip.size], antialias=True).transpose(0, 1)
            for frames, clip in zip(parts, self.clips, strict=True)
        ]


def first_readable(
    paths: Sequence[str],
    candidates: Iterable[tuple[int, int]],
    sample: Callable[[str, int, int], Sample],
    unreadable: list[UnreadableVideo],
) -> Sample:
    """What is made of the first video that can be read.

    Args:
        paths: of all videos.
        candidates: (number of the pass, index of the video); ten are tried.
        sample: makes something of a path, a number and an index; raises a VideoError where the video is unreadable.
        unreadable: what cannot be read is added.

    Raises:
        VideoError: none of them can be read.
    """
    for pass_number, index in islice(candidates, MAX_TRIES):
        path = paths[index]
        try:
            with reading(path):
                return sample(path, pass_number, index)
        except VideoError as error:
            unreadable.append(UnreadableVideo(path, str(error)))
    raise VideoError(
        f"{unreadable[-MAX_TRIES].message}; the {MAX_TRIES - 1} videos that could replace it cannot be read either; "
        "check --root, and the list with `cmpl-zoo check`"
    )
