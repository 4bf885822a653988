"""Python's garbage collection, kept away from what stays until the end."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Around the imports of a command: what they make is never looked through, not even when the command ends.

    Importing torch and timm makes 600,000 objects that stay. Looking through them again and again takes a quarter of
    the time of a command that predicts one video (benchmarks/cold_start.py).
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
