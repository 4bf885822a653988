"""Arguments that several verbs take."""

import argparse
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_verb(
    verbs: Verbs, name: str, run: Callable[[argparse.Namespace], int], help: str, description: str, **options: Any
) -> argparse.ArgumentParser:
    """The parser of a verb; its result has `run`, and the parser itself as `parser`.

    Args:
        verbs: where it is added.
        name: of the verb.
        run: does it and returns the exit status.
        help: a line for the list of verbs.
        description: begins its own help; filled to lines where it is one paragraph, else kept as it is.
        **options: others of `argparse.ArgumentParser`.
    """
    form = argparse.RawDescriptionHelpFormatter if "\n" in description else argparse.HelpFormatter
    verb = verbs.add_parser(name, help=help, description=description, formatter_class=form, **options)
    verb.set_defaults(run=run, parser=verb)
    return verb


def add_list(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("list", metavar="LIST", help="list of videos: CSV with a column `path`")
    add_root(verb)


def add_list_or_folder(verb: argparse.ArgumentParser) -> None:
    """For a verb that reads it by `video_words.list_of`."""
    verb.add_argument("list", metavar="LIST|DIR", help="list of videos: CSV with a column `path`; or a folder of them")
    add_root(verb)


def add_root(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--root", default=".", metavar="DIR", help="folder that the paths in the list start from (default: .)"
    )


def add_output(verb: argparse.ArgumentParser, what: str, metavar: str = "DIR") -> None:
    verb.add_argument("-o", "--output", required=True, metavar=metavar, help=f"{what} (required)")


def add_workers(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--workers", type=whole(1), metavar="N", help="processes (default: one for each CPU core of this process)"
    )


def add_computing(verb: argparse.ArgumentParser) -> None:
    """Where and how a model computes on the views of videos."""
    verb.add_argument(
        "--device",
        default="auto",
        choices=["auto", "cpu", "cuda", "mps"],
        help="where to compute; auto takes cuda if there is one, else cpu (default: auto)",
    )
    verb.add_argument(
        "--workers",
        type=whole(0),
        metavar="N",
        help="processes that read videos (default: one for each CPU core of this process, up to 8)",
    )
    verb.add_argument(
        "--batch-size",
        type=whole(1),
        default=32,
        metavar="N",
        help="views that go through a model at a time (default: 32)",
    )
    verb.add_argument(
        "--precision",
        default="float32",
        choices=["float32", "bf16", "fp16"],
        help="number format of the computation (default: float32)",
    )


def reading_workers(args: argparse.Namespace) -> int:
    """The processes that read videos; see `add_computing`."""
    from cmpl_zoo.datasets.loader import available_cores

    return min(8, available_cores()) if args.workers is None else args.workers


def processes(args: argparse.Namespace) -> int:
    """The processes that work on videos, each on one; see `add_workers`."""
    from cmpl_zoo.datasets.loader import available_cores

    return available_cores() if args.workers is None else args.workers


def check_output(output: str, *files: str, what: str = "this is the list that is read", option: str = "-o") -> None:
    """Raise ValueError where the output is one of the files that are read."""
    if any(Path(file).resolve() == Path(output).resolve() for file in files):
        raise ValueError(f"{output}: {what}; give {option} another name")


def check_writable(file: Path, named: str) -> None:
    """Raise ValueError where a file cannot be written, before its contents have cost anything.

    Args:
        file: the file, whose folder need not be there.
        named: how the message begins.
    """
    from cmpl_zoo._files import check_replaceable

    try:
        check_replaceable(file)
        folder = next(folder for folder in file.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(f"{named} cannot be written ({error.strerror}); give another place") from error


def whole(least: int, greatest: int | None = None) -> Callable[[str], int]:
    """The type of an option that is a whole number in a range."""

    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, not {text!r}") from None
        if number < least or (greatest is not None and number > greatest):
            limits = f"at least {least}" if greatest is None else f"from {least} to {greatest}"
            raise argparse.ArgumentTypeError(f"must be {limits}, not {number}")
        return number

    return parse


def number(demand: str, fits: Callable[[float], bool]) -> Callable[[str], float]:
    """The type of an option that is a number; the demand is what the message says where it does not fit."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number, not {text!r}") from None
        if not fits(value):
            raise argparse.ArgumentTypeError(f"{demand}, not {text}")
        return value

    return parse


positive = number("must be above 0", lambda value: 0 < value < math.inf)
probability = number("must be a probability from 0 to 1", lambda value: 0 <= value <= 1)
