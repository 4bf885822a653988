"""Results as HTML: there is text for everything that a picture, a color or a length shows."""

from collections import defaultdict
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from cmpl_zoo.app.results import Result, Timeline
from cmpl_zoo.prediction import Bout
from cmpl_zoo.report.pictures import data_uri

MOST_ROWS = 10  # classes of a timeline that have a row of their own; our choice
OTHERS = "other classes"
# Light enough for black text, and told apart by people who see no red or green, after Okabe and Ito.
COLORS = ["#56B4E9", "#E69F00", "#2CB591", "#F0E442", "#CC79A7", "#F08A4B", "#B7B7B7"]
STEPS = (0.5, 1, 2, 5, 10, 15, 30, 60, 120)  # seconds from one mark of the axis to the next

CSS = files("cmpl_zoo.app").joinpath("templates/page.css").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Row:
    """A row of a timeline."""

    label: str
    color: str
    bouts: list[Bout]


def error_html(sentence: str) -> str:
    """What went wrong."""
    return str(Markup('<p class="cz-error" role="alert">{}</p>').format(sentence))


def reading_html(result: Result) -> str:
    """What was read of the video, whether the networks agree, and what to know about that."""
    best = {name: classes[0][0] for name, classes in zip(result.networks, result.classes, strict=True)}
    return _render("reading.html", result=result, best=best)


def frames_html(result: Result) -> str:
    """The frames that the networks saw, with their times."""
    return _render("frames.html", result=result)


def timelines_html(result: Result) -> str:
    """A row for each class, a bar for each bout in it, and the same as a table; "" where there is no timeline."""
    if not result.timelines or not result.seconds:
        return ""
    return _render("timelines.html", result=result, marks=marks(result.seconds))


def rows(line: Timeline) -> list[Row]:
    """The classes in the order in which they appear; those that are seen longest, and the others in one row."""
    of_class: defaultdict[str, list[Bout]] = defaultdict(list)
    for bout in line.bouts:
        of_class[bout.label].append(bout)
    longest = sorted(of_class, key=lambda label: -sum(bout.end - bout.start for bout in of_class[label]))[:MOST_ROWS]
    kept = [(label, bouts) for label, bouts in of_class.items() if label in longest]
    if others := [bout for bout in line.bouts if bout.label not in longest]:
        kept.append((OTHERS, others))
    return [Row(label, COLORS[number % len(COLORS)], bouts) for number, (label, bouts) in enumerate(kept)]


def marks(seconds: float) -> list[float]:
    """The seconds at which the axis has a mark, at most five of them: a phone has room for these."""
    step = next((step for step in STEPS if 5 * step >= seconds), seconds / 5)
    return [number * step for number in range(5) if number * step < 0.97 * seconds]


def tenths(seconds: float) -> str:
    """A time as m:ss.s."""
    minutes, rest = divmod(round(10 * seconds), 600)
    return f"{minutes}:{rest / 10:04.1f}"


_environment = Environment(loader=PackageLoader("cmpl_zoo.app"), autoescape=True)
_environment.filters |= {"tenths": tenths, "data_uri": data_uri, "rows": rows}


def _render(template: str, **values: object) -> str:
    return _environment.get_template(template).render(values)
