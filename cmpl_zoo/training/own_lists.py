"""The lists that a run makes of a folder of videos, in its own folder, before it begins."""

import os
import shutil
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path

from cmpl_zoo.tools.own_videos import write_lists
from cmpl_zoo.training.errors import RunError
from cmpl_zoo.training.run_folder import FORMER_LISTS, LISTS, LOCK, is_begun, only_process


def write_own_lists(files: Mapping[str, str], folder: Path, until_end: ExitStack) -> None:
    """Write the lists of a run that is still to begin, and keep its folder from other processes.

    Lists of an earlier run in the folder are set aside. They come back when `until_end` is closed, unless the new run
    has begun, which deletes the earlier one.

    Args:
        files: text by file name.
        folder: of the run.
        until_end: closed when the run has ended, or could not begin. Such lists of a process that was killed have been
            put back before.

    Raises:
        RunError: another process trains in the folder.
        OSError: they cannot be written; none of them is.
    """
    made = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    until_end.enter_context(only_process(folder))
    if is_begun(folder) and (folder / LISTS).exists():
        until_end.callback(put_back_unlocked_lists, folder)
        os.rename(folder / LISTS, folder / FORMER_LISTS)
    try:
        write_lists(files, folder / LISTS)
    except BaseException:
        with suppress(OSError):
            for parent in made:
                (parent / LOCK).unlink(missing_ok=True)
                parent.rmdir()
        raise


def put_back_lists(folder: Path) -> None:
    """Bring back lists that were set aside for a run that has not begun; nothing where there are none."""
    if (former := folder / FORMER_LISTS).exists():
        shutil.rmtree(folder / LISTS, ignore_errors=True)
        os.rename(former, folder / LISTS)


def put_back_unlocked_lists(folder: Path) -> None:
    """The same where the lock may have ended; another process that has it now has brought them back itself."""
    with suppress(RunError), only_process(folder):
        put_back_lists(folder)
