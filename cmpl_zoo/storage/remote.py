"""Reading byte ranges of remote files by URL; a read that fails is repeated."""

import time

RETRY_PAUSES = (0.5, 1, 2, 4, 8, 16)  # seconds between the attempts to read a range; our choice


class StorageError(RuntimeError):
    """Shards or their index cannot be read or written; the message names the file, the cause and the next step."""


def is_url(path: str) -> bool:
    """Whether a path is a URL, of any file system that fsspec knows."""
    return "://" in path


def read_range(url: str, start: int | None = None, size: int | None = None) -> bytes:
    """Read a range of bytes of a remote file, by default all. A read that fails is repeated for half a minute.

    Args:
        url: URL of any file system that fsspec knows: https://, s3://, gs://, hf://, ...
        start: index of the first byte; None starts at 0.
        size: number of bytes; None reads to the end.

    Raises:
        StorageError: there is no such file, a package for its file system is not installed, or all attempts failed.
    """
    from fsspec.core import url_to_fs

    end = None if start is None or size is None else start + size
    for pause in (*RETRY_PAUSES, None):
        try:
            system, path = url_to_fs(url)
            data: bytes = system.cat_file(path, start, end)
            if size is None or len(data) == size:
                return data
            cause = f"got {len(data)} bytes instead of {size}; does the server support range requests?"
        except FileNotFoundError as error:
            raise StorageError(f"{url}: there is no such file; check the address") from error
        except ImportError as error:
            raise StorageError(
                f"{url}: {error}; for http(s) install aiohttp, which the extra cmpl_zoo[remote] includes"
            ) from error
        except ValueError as error:  # an unknown protocol
            raise StorageError(f"{url}: {error}; check the address") from error
        except Exception as error:  # each file system raises the errors of its own library
            cause = str(error) or type(error).__name__
        if pause is not None:
            time.sleep(pause)
    raise StorageError(
        f"{url}: cannot be read, after {len(RETRY_PAUSES) + 1} attempts in {sum(RETRY_PAUSES):.0f} s ({cause}); try "
        "again when the server is back, training with --resume"
    )
