"""What a run shows while it trains: one line in a terminal, a line for each log step elsewhere."""

import sys
from typing import Any

from tqdm import tqdm


class Progress:
    """The step a run is at, how long it still takes, and the numbers of its last log line in words.

    Args:
        steps: of the whole run.
        start: steps made before.
        shown: whether anything is shown; one of several processes does it.
    """

    def __init__(self, steps: int, start: int, shown: bool) -> None:
        self.steps, self.shown = steps, shown
        self.bar = tqdm(
            total=steps, initial=start, smoothing=0.05, disable=not (shown and sys.stderr.isatty()),
            bar_format="step {n_fmt}/{total_fmt} |{bar}| {remaining} left{postfix}",
        )  # fmt: skip

    def end_step(self) -> None:
        """Count a step."""
        self.bar.update()

    def tell(self, step: int, seconds_a_step: float, text: str) -> None:
        """Show the numbers of a log line, in words."""
        if not self.bar.disable:
            self.bar.set_postfix_str(text)
        elif self.shown:
            left = tqdm.format_interval((self.steps - step) * seconds_a_step)
            print(f"step {step}/{self.steps}, {left} left, {text}", file=sys.stderr)

    def close(self) -> None:
        self.bar.close()


def loss_in_words(line: dict[str, Any]) -> str:
    """The loss of a log line, as `Meters.read` gives it."""
    return "loss is not finite" if line["loss"] is None else f"loss {line['loss']:.3f}"
