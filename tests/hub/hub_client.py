"""A user of the Hub: huggingface_hub itself, in a process of its own, against the stand-in server."""

import hashlib
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from torch import Tensor

NAMES = ["jump", "run", "walk"]
CLIP = {"frames": 4, "stride": 3, "clips": 2, "crops": 1}


class Client:
    """A Python process with its own environment and cache, which runs what it is told."""

    LOOP = """
        import hashlib, json, sys
        import cmpl_zoo, timm, torch

        def digest(model):
            weights = sorted(model.state_dict().items())
            return hashlib.sha256(b"".join(weight.numpy().tobytes() for _, weight in weights)).hexdigest()

        replies = sys.stdout
        sys.stdout = sys.stderr
        for line in sys.stdin:
            scope = {"cmpl_zoo": cmpl_zoo, "timm": timm, "torch": torch, "digest": digest}
            try:
                exec(json.loads(line), scope)
                reply = {"value": scope.get("value")}
            except Exception as error:
                reply = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(reply), file=replies, flush=True)
    """

    def __init__(self, home: Path, url: str, **env: str) -> None:
        settings = {"HF_HOME": str(home), "HF_ENDPOINT": url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_ETAG_TIMEOUT": "2"}
        settings |= {"TORCH_HOME": str(home), "OMP_NUM_THREADS": "1", "CMPL_ZOO_ORG": "zoo", "HF_TOKEN": ""} | env
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(self.LOOP)],
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def ask(self, code: str) -> dict[str, Any]:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(textwrap.dedent(code)) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def run(self, code: str) -> Any:
        """The `value` that the code sets."""
        reply = self.ask(code)
        assert "error" not in reply, reply
        return reply["value"]

    def fail(self, code: str) -> str:
        """The sentence that the code's RuntimeError says."""
        kind, _, sentence = self.ask(code).get("error", "none").partition(": ")
        assert kind == "RuntimeError", (kind, sentence)
        assert "\n" not in sentence
        return sentence

    def close(self) -> None:
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait()


def digest(weights: dict[str, Tensor]) -> str:
    """Equal for equal weights, bit for bit; the same as in the client."""
    return hashlib.sha256(b"".join(weight.numpy().tobytes() for _, weight in sorted(weights.items()))).hexdigest()
