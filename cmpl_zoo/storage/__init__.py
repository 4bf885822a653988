"""Videos in tar shards, on disk or on a server; and a local cache of what was read from a server."""

from cmpl_zoo.storage.remote import StorageError

__all__ = ["StorageError"]
