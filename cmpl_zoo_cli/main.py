"""The command: which verb is asked for, and what becomes of an error."""

import sys
from collections.abc import Callable

from cmpl_zoo_cli import train
from cmpl_zoo_cli.parser import build_parser


def main(argv: list[str] | None = None, prog: str = "cmpl-zoo") -> int:
    """Run a command line.

    Args:
        argv: its words; by default those that the program was started with.
        prog: what usage and messages call the program.

    Returns:
        The exit status: 0, 1 where a part of the work failed, 2 where the command cannot run, 130 after Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == ["train"]:  # its many options are jsonargparse's to parse
        return reporting(prog, lambda: train.main(argv[1:], prog))
    args = build_parser(prog).parse_args(argv)
    return reporting(prog, lambda: args.run(args))


def reporting(prog: str, work: Callable[[], int]) -> int:
    """The exit status of some work; an error that a user can repair is told in one sentence."""
    try:
        return work()
    except KeyboardInterrupt as stop:
        print(f"{prog}: {stop or 'stopped'}", file=sys.stderr)
        return 130
    except Exception as error:
        ours = type(error).__module__.partition(".")[0] == "cmpl_zoo"
        if not ours and not isinstance(error, (ValueError, RuntimeError, OSError)):
            raise
        message = str(error)
        if isinstance(error, OSError) and error.filename:  # as the system says it
            message = f"{error.filename}: {error.strerror}; repair that, or give another path"
        print(f"{prog}: {message}", file=sys.stderr)
        return 128 + error.signal if hasattr(error, "signal") else 2
