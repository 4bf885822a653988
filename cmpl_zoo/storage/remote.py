"""Byte ranges of files behind a URL, tried again when the other side fails, and kept in a local cache of bounded size.

Two environment variables set the cache: `CMPL_ZOO_CACHE`, its folder (by default `cmpl_zoo/clips` in the user's cache
folder), and `CMPL_ZOO_CACHE_GB`, its bound (by default 20; 0 keeps nothing).
"""

import hashlib
import os
import tempfile
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

PAUSES = (0.5, 1, 2, 4, 8, 16)  # seconds between the attempts to read a range; our choice
UNUSED = 7 * 24 * 3600  # seconds after which a cached range makes room for others; our choice
FULL = 300  # seconds for which a cache that was full is taken to be; to look again takes long; our choice
SHARES = 64  # processes that may write to one cache at a time before it can grow past its bound


class StorageError(RuntimeError):
    """Shards or their index cannot be read; the message names the file, the cause and the remedy."""


def is_url(path: str) -> bool:
    return "://" in path


def read_range(url: str, start: int | None = None, size: int | None = None) -> bytes:
    """Bytes of a remote file, all of them where no range is given. A failure is tried again for half a minute.

    Args:
        url: of any file system that fsspec knows: https://, s3://, gs://, hf://, ...
        start: first byte.
        size: number of bytes.

    Raises:
        StorageError: there is no such file, its file system needs a package that is not installed, or every attempt
            failed.
    """
    from fsspec.core import url_to_fs

    end = None if start is None or size is None else start + size
    for pause in (*PAUSES, None):
        try:
            system, path = url_to_fs(url)
            data: bytes = system.cat_file(path, start, end)
            if size is None or len(data) == size:
                return data
            cause = f"{len(data)} bytes came where {size} were asked for; does the server answer range requests?"
        except FileNotFoundError as error:
            raise StorageError(f"{url}: there is no such file; check the address") from error
        except ImportError as error:
            raise StorageError(
                f"{url}: {error}; for http(s) install aiohttp, which the extra cmpl_zoo[remote] brings"
            ) from error
        except ValueError as error:  # an unknown protocol
            raise StorageError(f"{url}: {error}") from error
        except Exception as error:  # a file system raises whatever its library does
            cause = str(error) or type(error).__name__
        if pause is not None:
            time.sleep(pause)
    raise StorageError(
        f"{url}: cannot be read, after {len(PAUSES) + 1} attempts in {sum(PAUSES):.0f} s ({cause}); when the server is "
        "back, go on with --resume true"
    )


def cached_range(url: str, start: int, size: int) -> bytes:
    """As `read_range`, by way of the cache."""
    cache = _cache()
    name = hashlib.sha256(f"{url}:{start}+{size}".encode()).hexdigest()[:32]
    if (data := cache.get(name)) is not None and len(data) == size:
        return data
    data = read_range(url, start, size)
    cache.put(name, data)
    return data


class Cache:
    """Files in a folder, up to a total size. Several processes may use it at once.

    A full cache keeps what it has. Training reads every video once a pass in an order of its own, so that replacing
    the oldest would throw out what comes next. Only what nobody used for a week makes room.

    Args:
        folder: made where missing.
        bound: bytes of all files together.
    """

    def __init__(self, folder: Path, bound: int) -> None:
        self.folder, self.bound = folder, bound
        self._room: float = 0  # bytes that this process may write before it looks at the folder again
        self._full_until = 0.0  # by time.monotonic

    def get(self, name: str) -> bytes | None:
        """What `put` kept under a name, or None."""
        file = self.folder / name
        try:
            data = file.read_bytes()
            os.utime(file)  # in use
        except OSError:
            return None
        return data

    def put(self, name: str, data: bytes) -> None:
        """Keep it where there is room. A disk that cannot take it costs the cache, never the run."""
        with suppress(OSError):
            if len(data) > self._room:
                if time.monotonic() < self._full_until:
                    return
                self._room = (self.bound - self._used()) / SHARES
                if len(data) > self._room:
                    self._full_until = time.monotonic() + FULL
                    return
            with tempfile.NamedTemporaryFile(dir=self.folder, prefix=".", delete=False) as file:
                try:
                    file.write(data)
                    file.close()
                    os.replace(file.name, self.folder / name)
                except OSError:
                    os.unlink(file.name)
                    raise
            self._room -= len(data)

    def _used(self) -> int:
        """Bytes in the folder, once that what nobody used for long is gone."""
        if not self.bound:
            return 0
        self.folder.mkdir(parents=True, exist_ok=True)
        used, long_ago = 0, time.time() - UNUSED
        with os.scandir(self.folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process was faster
                    if (status := entry.stat()).st_mtime < long_ago:
                        os.unlink(entry.path)
                    else:
                        used += status.st_size
        return used


@lru_cache
def _cache() -> Cache:
    folder = os.environ.get("CMPL_ZOO_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "cmpl_zoo", "clips"
    )
    gigabytes = os.environ.get("CMPL_ZOO_CACHE_GB", "20")
    try:
        return Cache(Path(folder), int(float(gigabytes) * 1e9))
    except ValueError as error:
        raise StorageError(f"CMPL_ZOO_CACHE_GB is a number of gigabytes, not {gigabytes!r}") from error
