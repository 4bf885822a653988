"""The order of samples, as arithmetic.

What stands at a place of a stream depends on the seed and the place alone, and the places of a step on its number,
the rank and the number of ranks. So a run goes on from any step, on any number of ranks and workers, with exactly the
samples that it would have seen without a break, and nothing is replayed or saved for it.
"""

import random

import torch


def derived_seed(*parts: object) -> int:
    """A 63-bit seed from any values, the same on every machine."""
    return random.Random("/".join(map(str, parts))).getrandbits(63)


class Stream:
    """An endless order over `size` videos: pass after pass, each a permutation of its own.

    Place p lies in pass p // size. Every video stands once in each pass.

    Args:
        size: number of videos, at least 1.
        *seed: what the permutations follow from, with the number of the pass.
    """

    def __init__(self, size: int, *seed: object) -> None:
        self.size = size
        self.seed = seed
        self._pass = -1
        self._permutation = torch.empty(0, dtype=torch.int64)

    def __getitem__(self, place: int) -> tuple[int, int]:
        """(pass, index of the video) at a place."""
        number, within = divmod(place, self.size)
        if number != self._pass:
            generator = torch.Generator().manual_seed(derived_seed(*self.seed, number))
            self._permutation = torch.randperm(self.size, generator=generator)
            self._pass = number
        return number, int(self._permutation[within])


def places(step: int, batch: int, rank: int = 0, world_size: int = 1) -> range:
    """The places of a stream that a rank takes in a step: all ranks together take the next `batch` of them.

    Args:
        step: number of the step, from 0.
        batch: samples of a step, over all ranks; a multiple of `world_size`, so that every rank has as many.
        rank: which one, from 0.
        world_size: number of ranks.

    Raises:
        ValueError: the batch does not divide by the number of ranks.
    """
    share, rest = divmod(batch, world_size)
    if rest:
        raise ValueError(f"a batch of {batch} cannot be shared by {world_size} ranks; make it a multiple of them")
    start = step * batch + rank * share
    return range(start, start + share)
