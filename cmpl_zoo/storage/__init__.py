"""Videos that are not files of their own on this disk: in tar shards, and behind URLs."""

from cmpl_zoo.storage.remote import StorageError

__all__ = ["StorageError"]
