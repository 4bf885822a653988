"""The batch of a step of pretraining, as a function of the number of the step."""

from collections.abc import Sequence
from typing import TypedDict

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cmpl_zoo.datasets.order import SampleOrder, drawing, positions
from cmpl_zoo.datasets.training_steps import UnreadableVideo, first_readable
from cmpl_zoo.pretext.task import Task
from cmpl_zoo.storage.remote import StorageError
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.video import Video


class PretextBatch(TypedDict):
    """The clips of a step, of one rank its share.

    Attributes:
        clips: uint8 (videos * clips of the task, 3, frames, size, size), those of a video next to each other.
        targets: their answers, int64 (videos * clips of the task, ...).
        unreadable: the unreadable videos that were replaced by others.
    """

    clips: Tensor
    targets: Tensor
    unreadable: list[UnreadableVideo]


class PretextSteps(Dataset[PretextBatch | VideoError | StorageError]):
    """Step number -> batch of clips with their answers.

    As in `TrainingSteps`, what is drawn depends only on (seed, pass, video), an unreadable video is replaced by the one
    at the same position of the next step, and errors are returned. A video with too few frames for the task counts as
    unreadable.

    Args:
        paths: of the videos.
        task: makes the clips.
        batch: videos per step, over all ranks.
        steps: number of steps.
        seed: seed of order and clips.
        rank: number of the rank, from 0; each reads its share of every batch.
        world_size: number of ranks that share a batch.
    """

    def __init__(
        self, paths: Sequence[str], task: Task, *, batch: int, steps: int, seed: int, rank: int = 0, world_size: int = 1
    ) -> None:
        self.videos, self.task, self.batch, self.steps, self.seed = paths, task, batch, steps, seed
        self.rank, self.world_size = rank, world_size
        self._order = SampleOrder(len(paths), seed, "pretext")

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> PretextBatch | VideoError | StorageError:
        unreadable: list[UnreadableVideo] = []
        try:
            samples = [
                first_readable(self.videos, self._order.candidates(position, self.batch), self._sample, unreadable)
                for position in self._positions(step)
            ]
        except (VideoError, StorageError) as error:
            return error
        clips, targets = zip(*samples, strict=True)
        return {"clips": torch.cat(clips), "targets": torch.cat(targets), "unreadable": unreadable}

    def paths(self, step: int) -> list[str]:
        """The videos of this rank in a step, before unreadable ones are replaced."""
        return [self.videos[self._order[position][1]] for position in self._positions(step)]

    def _positions(self, step: int) -> range:
        return positions(step, self.batch, self.rank, self.world_size)

    def _sample(self, path: str, pass_number: int, index: int) -> tuple[Tensor, Tensor]:
        with drawing(self.seed, "pretext", pass_number, index), Video(path) as video:
            if video.num_frames < self.task.least_frames:
                raise VideoError(
                    f"{path}: has {video.num_frames} frame{'s'[: video.num_frames > 1]}, and the task needs at least "
                    f"{self.task.least_frames}; give fewer --frames or a smaller --stride, or leave such videos out"
                )
            return self.task.inputs(video)
