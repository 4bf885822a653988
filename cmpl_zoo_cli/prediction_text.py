"""Predictions for a reader: the classes of one video below its name, or of several a line each."""

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmpl_zoo.prediction import Prediction, RankedClasses

WIDEST_NAME = 60  # characters; longer names are not waited for


def as_list(name: str, classes: "RankedClasses", min_probability: float) -> str:
    """The name of a video, and below it its classes."""
    from cmpl_zoo.models.labels import UNCERTAIN
    from cmpl_zoo.prediction.ensemble import label_of

    lines = [f"{printable(name)}"]
    if label_of(classes, min_probability) == UNCERTAIN:
        lines.append(f"  {UNCERTAIN}: no class reaches {min_probability:.0%}")
    return "\n".join(lines + [f"  {probability:6.1%}  {class_name}" for class_name, probability in classes])


class Table:
    """A line a video: its name and its classes, in columns.

    Args:
        names: of the videos.
        classes: the names of all classes.
        min_probability: below which a video is uncertain.
    """

    def __init__(self, names: Iterable[str], classes: Sequence[str], min_probability: float) -> None:
        self.min_probability = min_probability
        self._name_width = min(WIDEST_NAME, max(len(printable(name)) for name in names))
        self._class_width = max(map(len, classes))

    def line(self, name: str, classes: "RankedClasses") -> str:
        """The line of a video."""
        from cmpl_zoo.models.labels import UNCERTAIN
        from cmpl_zoo.prediction.ensemble import label_of

        cells = [f"{probability:6.1%}  {class_name:{self._class_width}}" for class_name, probability in classes]
        uncertain = self.min_probability and label_of(classes, self.min_probability) == UNCERTAIN
        marked = [f"{UNCERTAIN if uncertain else '':{len(UNCERTAIN)}}"] if self.min_probability else []
        return "  ".join([f"{printable(name):{self._name_width}}", *marked, *cells]).rstrip()


class PartlySeen:
    """The videos of which the clips show less than a tenth (our choice)."""

    def __init__(self) -> None:
        self.count = 0
        self._first = ""

    def add(self, prediction: "Prediction") -> None:
        """Count a video, if it is one of these."""
        covered = prediction.coverage
        if covered is None or 10 * covered.shown >= covered.frames:
            return
        if not self.count:
            shown, whole = f"{covered.shown}", f"{covered.frames} frames"
            if covered.fps:
                shown, whole = f"{covered.shown / covered.fps:.1f} s", clock(covered.frames / covered.fps)
            self._first = f"of {printable(prediction.path)} they show {shown} of {whole}"
        self.count += 1

    def notice(self) -> str:
        """What to say of them."""
        videos = f"{self.count} videos" if self.count > 1 else "a video"
        return (
            f"the clips show less than a tenth of {videos}: {self._first}; --windows SECONDS looks at a recording from "
            "start to end"
        )


def clock(seconds: float) -> str:
    """A time as h:mm:ss."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def tenths(seconds: float) -> str:
    """A time as h:mm:ss.s."""
    tenth = round(10 * seconds)
    return f"{clock(tenth // 10)}.{tenth % 10}"


def printable(text: str) -> str:
    """In one line, and without what would steer a terminal."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def report(message: str) -> None:
    """Say what is wrong, in a line on stderr."""
    from tqdm import tqdm

    tqdm.write(f"cmpl-zoo: {printable(message)}", file=sys.stderr)
