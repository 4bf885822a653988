"""The order of training samples, computed from the seed.

The sample at a position depends only on the seed and the position, and the positions of a step only on its number, the
rank and the number of ranks. So a run can resume at any step, on any number of ranks and workers, with exactly the
samples that it would have seen without a break; nothing is saved or replayed for it.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count

import numpy as np
import torch


def derived_seed(*parts: object) -> int:
    """A 63-bit seed from any values, the same on every machine."""
    return random.Random("/".join(map(str, parts))).getrandbits(63)


@contextmanager
def drawing(*seed: object) -> Iterator[None]:
    """What is drawn at random here depends on these values alone, and what is drawn after it not on it."""
    with torch.random.fork_rng(devices=[]):
        # Only the generator of the CPU: torch.manual_seed would also seed those of GPUs, which dropout uses.
        torch.default_generator.manual_seed(derived_seed(*seed))
        yield


class SampleOrder:
    """An endless random order of videos: pass after pass, each with its own permutation of all videos.

    Position p is in pass p // size. Every video occurs once in each pass.

    Args:
        size: number of videos, at least 1.
        *seed: the values that, with the number of the pass, determine its permutation.
    """

    def __init__(self, size: int, *seed: object) -> None:
        self.size = size
        self.seed = seed
        self._pass = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def __getitem__(self, position: int) -> tuple[int, int]:
        """(number of the pass, index of the video) at a position, both from 0."""
        number, within_pass = divmod(position, self.size)
        if number != self._pass:
            generator = torch.Generator().manual_seed(derived_seed(*self.seed, number))
            self._permutation = torch.randperm(self.size, generator=generator)
            self._pass = number
        return number, int(self._permutation[within_pass])

    def candidates(self, position: int, batch: int) -> Iterator[tuple[int, int]]:
        """What is at a position, and then what could replace it: the same place of the next batches."""
        return (self[later] for later in count(position, batch))


class BalancedOrder:
    """An endless random order of videos, of each class equally often: round after round, a video of each class.

    Each class has its own `SampleOrder`, so that all its videos occur equally often too; classes without a video are
    passed over.

    Args:
        ids: the class ids of the videos, at least one.
        *seed: the values that, with the number of the round, determine the order of the classes in it.
    """

    def __init__(self, ids: np.ndarray | Sequence[int], *seed: object) -> None:
        ids = np.asarray(ids)
        starts = np.unique(np.sort(ids), return_index=True)[1][1:]
        self.videos = np.split(np.argsort(ids, kind="stable"), starts)  # of each class
        self._classes = SampleOrder(len(self.videos), *seed, "classes")
        self._within = [SampleOrder(len(of), *seed, "class", number) for number, of in enumerate(self.videos)]

    def __getitem__(self, position: int) -> tuple[int, int]:
        """(number of the pass over the class, index of the video) at a position, all from 0."""
        return next(self.candidates(position))

    def candidates(self, position: int, batch: int = 1) -> Iterator[tuple[int, int]]:
        """What is at a position, and then what could replace it: the next videos of that class."""
        number, of = self._classes[position]
        for within, place in (self._within[of][later] for later in count(number)):
            yield within, int(self.videos[of][place])


def positions(step: int, batch: int, rank: int = 0, world_size: int = 1) -> range:
    """The positions in an order that a rank reads in a step; all ranks together read the next `batch` ones.

    Args:
        step: number of the step, from 0.
        batch: samples per step, over all ranks; a multiple of `world_size`.
        rank: number of the rank, from 0.
        world_size: number of ranks.

    Raises:
        ValueError: `batch` is not a multiple of `world_size`.
    """
    share, rest = divmod(batch, world_size)
    if rest:
        raise ValueError(
            f"a batch of {batch} cannot be shared by {world_size} ranks; make it a multiple of the number of ranks"
        )
    start = step * batch + rank * share
    return range(start, start + share)
