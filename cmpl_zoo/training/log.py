"""The log of a run: what it measured, a line each log step."""

import json
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from cmpl_zoo._files import replace_text


class Log:
    """metrics.jsonl, one line per log step, and the same numbers for TensorBoard.

    Args:
        folder: of the run.
        start: step that the run starts from; later lines, of a run that got further than its state, are dropped.
    """

    def __init__(self, folder: Path, start: int) -> None:
        self.file = folder / "metrics.jsonl"
        kept = []
        if self.file.exists():
            lines = self.file.read_text().splitlines(keepends=True)
            whole = [line for line in lines if line.endswith("\n")]  # a killed run may have cut off the last one
            kept = [line for line in whole if json.loads(line)["step"] <= start]
        replace_text(self.file, "".join(kept))
        self.tensorboard = SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def validated(self) -> dict[int, float]:
        """The primary network's validation accuracy, by step."""
        return {line["step"]: line[key] for line in self.lines() if (key := "primary/val_top1") in line}

    def write(self, step: int, line: dict[str, Any]) -> None:
        with self.file.open("a") as file:
            file.write(json.dumps({"step": step, **line}) + "\n")
        for key, value in line.items():
            if isinstance(value, float):
                self.tensorboard.add_scalar(key, value, step)

    def close(self) -> None:
        self.tensorboard.close()
