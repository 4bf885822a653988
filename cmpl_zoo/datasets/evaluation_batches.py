"""The test views of the videos of a list, in batches of a few videos."""

import math
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from cmpl_zoo.datasets.lists import Videos
from cmpl_zoo.datasets.loader import iterate
from cmpl_zoo.datasets.watchdog import reading
from cmpl_zoo.storage.remote import StorageError
from cmpl_zoo.video.clips import Coverage, ViewConfig, coverage, load_views
from cmpl_zoo.video.errors import VideoError
from cmpl_zoo.video.video import Video


class EvaluationBatch(NamedTuple):
    """The test views of some videos.

    Attributes:
        views: per settings, uint8 (readable videos, views, 3, frames, height, width); empty if no video is readable.
        ids: of the readable videos as the data set was given them, int64 (readable videos,).
        unreadable: the id of each other video, which nothing replaces, and why it cannot be read.
        warnings: of `load_views`, each once.
        coverage: how much of each readable video its views show; empty unless it was asked for.
    """

    views: list[Tensor]
    ids: Tensor
    unreadable: list[tuple[int, str]]
    warnings: list[str]
    coverage: list[Coverage]


class EvaluationBatches(Dataset[EvaluationBatch | StorageError]):
    """Index -> the test views of the next few videos of a list, in the order of the list.

    A batch has as many videos as make about `batch_size` views. If shards cannot be read, the item is a `StorageError`.

    Args:
        videos: paths of the videos and ids, which may be those of classes.
        settings: one or more settings of views.
        batch_size: views per batch, of the settings that have most; a batch has at least one video.
        with_coverage: also tell how much of each video its views show, for which all packets of some files are read.
    """

    def __init__(
        self, videos: Videos, settings: Sequence[ViewConfig], *, batch_size: int = 32, with_coverage: bool = False
    ) -> None:
        self.videos, self.settings, self.with_coverage = videos, settings, with_coverage
        self.videos_per_batch = max(1, batch_size // max(views["clips"] * views["crops"] for views in settings))

    def __len__(self) -> int:
        return math.ceil(len(self.videos) / self.videos_per_batch)

    def __getitem__(self, index: int) -> EvaluationBatch | StorageError:
        with warnings.catch_warnings(record=True) as caught:  # a worker's own would stand between two lines
            warnings.simplefilter("always")
            batch = self._batch(index)
        if isinstance(batch, StorageError):
            return batch
        return batch._replace(warnings=list(dict.fromkeys(str(warning.message) for warning in caught)))

    def _batch(self, index: int) -> EvaluationBatch | StorageError:
        per_video: list[list[Tensor]] = []
        ids: list[int] = []
        unreadable: list[tuple[int, str]] = []
        covered: list[Coverage] = []
        start = index * self.videos_per_batch
        for i in range(start, min(start + self.videos_per_batch, len(self.videos))):
            path, video_id = self.videos.paths[i], int(self.videos.ids[i])
            try:
                with reading(path), Video(path) as video:
                    views = [load_views(video, **settings) for settings in self.settings]
                    covered += [coverage(video, self.settings)] if self.with_coverage else []
            except VideoError as error:
                unreadable.append((video_id, str(error)))
            except StorageError as error:
                return error
            else:
                per_video.append(views)
                ids.append(video_id)
        stacked = [torch.stack(per_settings) for per_settings in zip(*per_video, strict=True)]
        return EvaluationBatch(stacked, torch.tensor(ids, dtype=torch.int64), unreadable, [], covered)


def iterate_views(batches: EvaluationBatches, device: torch.device, workers: int) -> Iterator[EvaluationBatch]:
    """The batches, as `iterate` gives them; each of their warnings is printed once.

    Raises:
        StorageError, WorkerError: as `iterate`.
    """
    told: set[str] = set()
    for batch in iterate(batches, device, workers):
        for warning in batch.warnings:
            if warning not in told:
                tqdm.write(f"warning: {warning}", file=sys.stderr)
                told.add(warning)
        yield batch
