"""Tables of Markdown, and the pages of this repository that they stand in."""

import re
import statistics
from collections.abc import Callable, Iterable, Sequence

from commands import REPO
from scipy.stats import ttest_1samp

PAGES = [
    *(REPO / folder / "README.md" for folder in ("experiments", "benchmarks")),
    *sorted((REPO / "docs").glob("*.md")),
]


def fill_pages(table: Callable[[str], str | None]) -> None:
    """Write the tables between `<!-- table: NAME -->` and `<!-- end -->`.

    Args:
        table: makes the table of a name; None where another script makes it.
    """

    def filled(match: re.Match[str]) -> str:
        made = table(match[2])
        return match[0] if made is None else f"{match[1]}{made}\n{match[3]}"

    for page in PAGES:
        pattern = r"(<!-- table: (\S+) -->\n).*?(<!-- end -->)"
        page.write_text(re.sub(pattern, filled, page.read_text(), flags=re.DOTALL))


def markdown(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of Markdown, without a line's end."""
    lines = ["".join(f"| {cell} " if cell != "" else "| " for cell in line) + "|" for line in (columns, *rows)]
    return "\n".join([lines[0], "|---" * len(columns) + "|", *lines[1:]])


def mean_and_spread(values: Iterable[float]) -> str:
    """Mean ± standard deviation, which one value has not."""
    values = list(values)
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


def mean_and_interval(values: Sequence[float]) -> str:
    """Mean and, of several values, its 95 % interval by Student's t."""
    mean = f"{statistics.mean(values):.1f}"
    if len(values) < 2:
        return mean
    interval = ttest_1samp(values, 0).confidence_interval(0.95)
    return f"{mean} ({interval.low:.1f} to {interval.high:.1f})"
