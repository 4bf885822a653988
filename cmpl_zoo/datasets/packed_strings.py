"""Many strings in one array, which worker processes share instead of copying."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import overload

import torch


class PackedStrings(Sequence[str]):
    """A read-only sequence of strings in two tensors.

    A list of a million strings is a million objects whose reference counts every worker writes to, so that each ends
    up with a copy of its own. Tensors are shared as they are, after a fork as well as between processes that were
    started afresh.

    Args:
        strings: what it holds, in this order; consumed one at a time.
    """

    def __init__(self, strings: Iterable[str]) -> None:
        text, ends = bytearray(), array("q", [0])
        for string in strings:
            text += string.encode("utf-8", "surrogateescape")
            ends.append(len(text))
        self._text = torch.frombuffer(text or bytearray(1), dtype=torch.uint8)
        self._ends = torch.frombuffer(ends, dtype=torch.int64)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __iter__(self) -> Iterator[str]:
        text = self._text.numpy().tobytes()
        return (_decode(text[start:end]) for start, end in pairwise(self._ends.tolist()))

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> list[str]: ...

    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} strings")
        place = index % len(self)
        start, end = self._ends[place : place + 2].tolist()
        return _decode(self._text.numpy()[start:end].tobytes())


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
