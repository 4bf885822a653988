"""The command: which verb is asked for, and what becomes of an error."""

import sys
import warnings
from collections.abc import Callable

from cmpl_zoo_cli import spelling, train
from cmpl_zoo_cli.parser import build_parser

# Packages that an extra of this one brings.
EXTRAS = dict.fromkeys(("jsonargparse", "torchmetrics", "tensorboard", "yaml"), "train") | {"sklearn": "probe"}


def main(argv: list[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: its words; by default those that the program was started with.

    Returns:
        The exit status: 0, 1 where a part of the work failed, 2 where the command cannot run, 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    verb, words = argv[:1], argv[1:]
    if verb == ["train"]:  # its many options are jsonargparse's to parse
        return reporting("cmpl-zoo", lambda: train.main(words))
    args, unknown = build_parser().parse_known_args(verb + spelling.today("".join(verb), words))
    if unknown:
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}; {args.parser.prog} --help lists what there is")
    return reporting("cmpl-zoo", lambda: args.run(args))


def reporting(prog: str, work: Callable[[], int]) -> int:
    """The exit status of some work; an error that a user can repair is told in one sentence.

    Args:
        prog: the program's name, which the sentence begins with.
        work: returns the exit status where there is no error.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: print(f"{prog}: warning: {message}", file=sys.stderr)
            return work()
    except KeyboardInterrupt as stop:
        print(f"{prog}: {str(stop) or 'stopped'}", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        extra = f"cmpl_zoo[{EXTRAS[package]}]"
        print(f"{prog}: the package {package} is not installed; pip install '{extra}' installs it", file=sys.stderr)
        return 2
    except Exception as error:
        ours = type(error).__module__.partition(".")[0] == "cmpl_zoo"
        if not ours and not isinstance(error, (ValueError, RuntimeError, OSError)):
            raise
        message = str(error)
        if isinstance(error, OSError) and error.filename:  # as the system says it
            message = f"{error.filename}: {error.strerror}; repair that, or give another path"
        print(f"{prog}: {message}", file=sys.stderr)
        return 128 + error.signal if hasattr(error, "signal") else 2
