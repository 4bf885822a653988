"""The real server of the web page, as a process of its own."""

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path


class Recorder:
    """A proxy that refuses: what was asked of other hosts than 127.0.0.1, by the line of the request."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            with connection:
                self.asked.append(connection.recv(200).decode(errors="replace").partition("\r\n")[0])
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")


def free_port() -> int:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return taken.getsockname()[1]


class Server:
    """A started `cmpl-zoo app`, and what it asked of other hosts."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.port, self.recorder, self.temporary = free_port(), Recorder(), folder
        self.url = f"http://127.0.0.1:{self.port}"
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), self.recorder.address)
        keep = {key: value for key, value in os.environ.items() if not key.upper().endswith("_PROXY")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cmpl_zoo_cli", "app", *words, "--port", str(self.port)],
            env=keep | proxies | {"NO_PROXY": "127.0.0.1", "TMPDIR": str(folder)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout
        self.first_line = self.process.stdout.readline()

    def files(self) -> list[Path]:
        return [file for file in self.temporary.rglob("*") if file.is_file()]

    def end(self) -> tuple[int, str]:
        """Its exit status and its messages after Ctrl-C."""
        self.process.send_signal(signal.SIGINT)
        _, messages = self.process.communicate(timeout=120)
        return self.process.returncode, messages
