"""Locks of files against other processes."""

import errno
from typing import Literal


def locked_by_another(file: int, lock: Literal["flock", "lockf"]) -> bool:
    """Lock an open file, and tell whether another process has it locked; not on Windows, nor where a disk has no locks.

    Args:
        file: its descriptor, open for writing.
        lock: `flock` stays with the open file and all processes that were forked with it, `lockf` with this process
            alone, until it closes any descriptor of the file.
    """
    try:
        import fcntl

        getattr(fcntl, lock)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:  # Windows
        return False
    except OSError as error:  # any other one is of a file system without locks
        return error.errno in (errno.EACCES, errno.EAGAIN)
    return False
