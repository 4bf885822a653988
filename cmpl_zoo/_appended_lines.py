"""A file that one process appends lines to, and continues after a kill."""

import os
from pathlib import Path

from cmpl_zoo._locks import locked_by_another


class AppendedLines:
    """An open file of lines, made where there is none, and locked against other processes (not on Windows).

    Args:
        file: its path; its folder exists.
        next_step: what follows once its disk can be written again, for the message.

    Attributes:
        file: as given.

    Raises:
        OSError: it is no regular file, cannot be opened, or another process has it.
    """

    def __init__(self, file: Path, next_step: str = "the same command continues") -> None:
        self.file, self._next_step = file, next_step
        if file.exists() and not (file.is_file() or file.is_dir()):  # a pipe, or a device
            raise OSError(
                f"{file}: is no regular file; give the name of one, or where the command can, - for the standard output"
            )
        as_it_is = getattr(os, "O_BINARY", 0)  # else Windows writes \r\n for \n
        self._handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND | as_it_is, 0o666)
        if locked_by_another(self._handle, "flock"):
            self.close()
            raise OSError(
                f"{file}: another process of another run is writing it; wait for its end, or give another name"
            )

    def close(self) -> None:
        """Give it free."""
        os.close(self._handle)

    def read(self) -> bytes:
        """The whole lines; a last one that an earlier process did not finish is deleted."""
        data = self.file.read_bytes()
        complete = data.rfind(b"\n") + 1
        os.ftruncate(self._handle, complete)
        return data[:complete]

    def append(self, line: str) -> None:
        """Write a line, given with its end.

        Raises:
            OSError: it cannot be written, as on a full disk.
        """
        rest = line.encode()
        try:
            while rest:
                rest = rest[os.write(self._handle, rest) :]
        except OSError as error:
            raise OSError(
                f"{self.file}: cannot be written: {error.strerror}; correct that, and {self._next_step}"
            ) from error
