"""The scripts of train/ as commands."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmpl_zoo_cli.spelling import flag

REPO = Path(__file__).resolve().parents[1]


def script(name: str, options: Mapping[str, Any]) -> list[str]:
    """The command of a script in train/ with options."""
    return [sys.executable, str(REPO / "train" / name), *words_of(options)]


def words_of(options: Mapping[str, Any]) -> list[str]:
    """Options as words of a command."""
    texts = {
        name: str(value) if isinstance(value, str | Path) else json.dumps(value) for name, value in options.items()
    }
    return [word for name, text in texts.items() for word in (flag(name), text)]
