"""Many strings in one array, which workers share instead of copying it."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from typing import overload

import torch


class PackedStrings(Sequence[str]):
    """A read-only sequence of strings in two tensors.

    A list of a million strings is a million objects. Every worker changes their reference counts, and so ends up with
    its own copy of the memory. Tensors stay shared, both after a fork and between newly started processes.

    Args:
        strings: the strings, read one at a time.
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
            raise IndexError(f"index {index} is out of range for {len(self)} strings")
        position = index % len(self)
        start, end = self._ends[position : position + 2].tolist()
        return _decode(self._text.numpy()[start:end].tobytes())


def _decode(text: bytes) -> str:
    return text.decode("utf-8", "surrogateescape")
