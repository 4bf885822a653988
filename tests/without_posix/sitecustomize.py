"""On PYTHONPATH, this runs at the start of every Python process: it then lacks what Windows does not have.

That is what this package uses of POSIX, and that an open file can be deleted or replaced. What the standard library
and torch need on Linux stays: os.fork, SIGKILL, SIGCHLD, and the paths and names of the system.
"""

import errno
import multiprocessing
import os
import select
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

MODULES = ("fcntl", "grp", "pwd", "resource", "termios")
NAMES = {
    os: ("killpg", "sched_getaffinity", "setpgrp", "setsid"),
    signal: ("SIGALRM", "SIGBUS", "SIGHUP", "SIGUSR1", "setitimer"),
    select: ("poll",),
}


class Missing:
    """A finder to which the modules of POSIX are not installed."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: object = None) -> None:
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


for module in MODULES:
    sys.modules.pop(module, None)
sys.meta_path.insert(0, Missing)  # type: ignore[arg-type]
for module, names in NAMES.items():
    for name in names:
        delattr(module, name)


def unless_open(function: Callable[..., None]) -> Callable[..., None]:
    """A function of paths that refuses those which this process has open."""

    def refusing(*paths: Any, **options: Any) -> None:
        opened = {os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}
        for path in paths if not options else ():  # with dir_fd they start elsewhere
            if os.path.realpath(path) in opened:
                raise PermissionError(errno.EACCES, "is open", os.fspath(path))
        function(*paths, **options)

    return refusing


for name in ("remove", "rename", "replace", "unlink"):
    setattr(os, name, unless_open(getattr(os, name)))
multiprocessing.set_start_method("spawn")
multiprocessing.get_all_start_methods = lambda: ["spawn"]
