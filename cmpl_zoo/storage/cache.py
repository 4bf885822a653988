"""A local cache of byte ranges of remote files, with a limited total size.

Two environment variables configure it: `CMPL_ZOO_CACHE`, its folder (default: `cmpl_zoo/clips` in the user's cache
folder), and `CMPL_ZOO_CACHE_GB`, its limit in gigabytes (default: 20; 0 turns it off).
"""

import hashlib
import os
import tempfile
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from cmpl_zoo.storage.remote import StorageError, read_range

MAX_UNUSED = 7 * 24 * 3600  # seconds; a file that nobody used for longer is deleted; our choice
RECHECK_AFTER = 300  # seconds before a full cache is measured again, as measuring takes long; our choice
SUFFIX = ".cmpl_zoo"  # of the files of a cache, also of those that are being written
MAX_WRITERS = 64  # processes that can write at the same time without exceeding the limit; our choice


def cached_range(url: str, start: int, size: int) -> bytes:
    """As `read_range`, but read from the cache if it is there, and kept in it if not.

    Raises:
        StorageError: as `read_range`, or CMPL_ZOO_CACHE_GB is not a number.
    """
    cache = default_cache()
    name = hashlib.sha256(f"{url}:{start}+{size}".encode()).hexdigest()[:32]
    if (data := cache.get(name)) is not None and len(data) == size:
        return data
    data = read_range(url, start, size)
    cache.put(name, data)
    return data


class Cache:
    """Files in a folder, up to a total size. Several processes may use it at the same time.

    A full cache keeps its files and takes no new ones. Training reads every video once per pass, in random order, so
    replacing the oldest file would delete one that is needed soon. Only files unused for a week are deleted.

    Args:
        folder: created if missing. Other files in it are neither counted nor deleted.
        limit: bytes of all files together.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self.folder, self.limit = folder, limit
        self._allowance: float = 0  # bytes that this process may write before it measures the folder again
        self._full_until = 0.0  # by time.monotonic

    def get(self, name: str) -> bytes | None:
        """The data that `put` stored under a name, or None."""
        file = self.folder / f"{name}{SUFFIX}"
        try:
            data = file.read_bytes()
            os.utime(file)  # marks it as used
        except OSError:
            return None
        return data

    def put(self, name: str, data: bytes) -> None:
        """Store data under a name if there is space. A disk error is ignored: the cache only saves time."""
        with suppress(OSError):
            if len(data) > self._allowance:
                if time.monotonic() < self._full_until:
                    return
                self._allowance = (self.limit - self._used()) / MAX_WRITERS
                if len(data) > self._allowance:
                    self._full_until = time.monotonic() + RECHECK_AFTER
                    return
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".", suffix=SUFFIX, delete=False) as file:
                try:
                    file.write(data)
                    file.close()
                    os.replace(file.name, self.folder / f"{name}{SUFFIX}")
                except OSError:
                    os.unlink(file.name)
                    raise
            self._allowance -= len(data)

    def _used(self) -> int:
        """Bytes of the cache, after deleting its files that were unused for too long."""
        if not self.limit:
            return 0
        self.folder.mkdir(parents=True, exist_ok=True)
        used, oldest = 0, time.time() - MAX_UNUSED
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if not entry.name.endswith(SUFFIX):
                    continue
                with suppress(FileNotFoundError):  # another process has deleted it
                    if (status := entry.stat()).st_mtime < oldest:
                        os.unlink(entry.path)
                    else:
                        used += status.st_size
        return used


@lru_cache
def default_cache() -> Cache:
    """The cache of this process, as the environment variables configure it; raises a StorageError if one is wrong."""
    folder = os.environ.get("CMPL_ZOO_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "cmpl_zoo", "clips"
    )
    gigabytes = os.environ.get("CMPL_ZOO_CACHE_GB", "20")
    try:
        return Cache(Path(folder), int(float(gigabytes) * 1e9))
    except (ValueError, OverflowError) as error:
        raise StorageError(
            f"CMPL_ZOO_CACHE_GB must be a number of gigabytes, not {gigabytes!r}; correct this environment variable"
        ) from error
