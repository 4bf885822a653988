"""The test views of the videos of a list, a few videos at a time."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from cmpl_zoo.datasets.lists import Videos
from cmpl_zoo.datasets.training_steps import Unreadable
from cmpl_zoo.datasets.watchdog import reading
from cmpl_zoo.storage.remote import StorageError
from cmpl_zoo.video.clips import ViewConfig, load_views
from cmpl_zoo.video.video import VideoError


class EvaluationBatches(Dataset[tuple[list[Tensor], Tensor, Unreadable] | StorageError]):
    """Index -> the test views of the next few videos of a list, in its order, and their class ids.

    An item is uint8 (videos, views, 3, frames, height, width) for each of the settings, int64 (videos,) and the (path,
    message) of videos that cannot be read by all settings, which the tensors lack and nothing replaces. It covers as
    many videos as make about `batch` views. Where shards cannot be read, the item is a `StorageError`.

    Args:
        videos: the list.
        settings: the arguments of `load_views` after the path, once or more, with as many views in each.
        batch: views an item for each of the settings, at least those of one video.
    """

    def __init__(self, videos: Videos, settings: Sequence[ViewConfig], *, batch: int = 32) -> None:
        self.videos, self.settings = videos, settings
        self.videos_per_item = max(1, batch // (settings[0]["clips"] * settings[0]["crops"]))

    def __len__(self) -> int:
        return math.ceil(len(self.videos) / self.videos_per_item)

    def __getitem__(self, index: int) -> tuple[list[Tensor], Tensor, Unreadable] | StorageError:
        views: list[list[Tensor]] = []
        ids: list[int] = []
        unreadable: Unreadable = []
        start = index * self.videos_per_item
        for i in range(start, min(start + self.videos_per_item, len(self.videos))):
            path = self.videos.paths[i]
            try:
                with reading(path):
                    views.append([load_views(path, **settings) for settings in self.settings])
            except VideoError as error:
                unreadable.append((path, str(error)))
            except StorageError as error:
                return error
            else:
                ids.append(int(self.videos.ids[i]))
        return (
            [torch.stack(of_settings) for of_settings in zip(*views, strict=True)],
            torch.tensor(ids, dtype=torch.int64),
            unreadable,
        )
