"""The command: which verb is asked for, and what becomes of an error."""

import io
import os
import select
import sys
import traceback
import warnings
from collections.abc import Callable

from cmpl_zoo_cli import pretrain, train
from cmpl_zoo_cli.parser import build_parser
from cmpl_zoo_cli.spelling import with_dashes

# Packages that an extra of this one brings.
EXTRAS = {
    **dict.fromkeys(("cv2", "jsonargparse", "tensorboard", "yaml", "matplotlib"), "train"),
    **dict.fromkeys(("onnx", "onnxscript", "onnxruntime"), "export"),
    "sklearn": "probe",
    "gradio": "app",
}


def main(argv: list[str] | None = None) -> int:
    """Run a command line.

    Args:
        argv: its words; by default those that the program was started with.

    Returns:
        The exit status: 0, 1 where a part of the work failed, 2 where the command cannot run, 130 after Ctrl-C.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by 2>&-
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A line is seen as soon as it is written, and a name that cannot be shown is spelled out: b'\\xff' as \\udcff.
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    return reporting("cmpl-zoo", lambda: _run(sys.argv[1:] if argv is None else argv))


def _run(argv: list[str]) -> int:
    verb, words = argv[:1], argv[1:]
    if verb == ["train"]:  # its many options are jsonargparse's to parse
        return train.main(words)
    if verb == ["pretrain"]:
        return pretrain.main(words)
    args, unknown = build_parser().parse_known_args(verb + with_dashes(words))
    if unknown:
        advice = f"{args.parser.prog} --help lists what there is"
        if "videos" in args and not any(word.startswith("-") for word in unknown):
            advice = "give all videos together, before the options"
        args.parser.error(f"unrecognized arguments: {' '.join(unknown)}; {advice}")
    return args.run(args)


def reporting(prog: str, work: Callable[[], int]) -> int:
    """The exit status of some work; an error that a user can repair is told in one sentence.

    Where CMPL_ZOO_TRACEBACK is set, it also says where in the code it was raised.

    It is no error that nobody reads on, as after `cmpl-zoo predict ... | head -1`: the work ends, with status 0.

    Args:
        prog: the program's name, which the sentence begins with.
        work: returns the exit status where there is no error.
    """
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: _tell(f"{prog}: warning: {message}")
            return work()
    except KeyboardInterrupt as stop:
        print(f"{prog}: {str(stop).strip() or 'stopped'}", file=sys.stderr)
        return 130
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        extra = f"cmpl_zoo[{EXTRAS[package]}]"
        print(f"{prog}: the package {package} is not installed; pip install '{extra}' installs it", file=sys.stderr)
        return 2
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return 0
        if isinstance(error.__context__, KeyboardInterrupt):  # what went wrong while it stopped
            print(f"{prog}: stopped", file=sys.stderr)
            return 130
        ours = type(error).__module__.partition(".")[0] == "cmpl_zoo"
        if not ours and not isinstance(error, (ValueError, RuntimeError, OSError)):
            raise
        if os.environ.get("CMPL_ZOO_TRACEBACK"):
            traceback.print_exc()
        message = str(error).strip() or type(error).__name__
        if isinstance(error, OSError) and error.filename:  # as the system says it
            message = f"{error.filename}: {error.strerror}; repair that, or give another path"
        print(f"{prog}: {message}", file=sys.stderr)
        return 128 + error.signal if hasattr(error, "signal") else 2


def _tell(message: str) -> None:
    """Print a line on stderr, above a progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(message, file=sys.stderr)


def _nobody_reads() -> bool:
    """Whether the output has no reader any more; what is still to be written to it is then dropped.

    Windows does not tell, and there the answer is no.
    """
    if not hasattr(select, "poll"):
        return False
    closed = []
    for stream in (sys.stdout, sys.stderr):
        poll = select.poll()
        poll.register(stream, 0)  # of itself it reports an error: a pipe whose other end is closed
        if poll.poll(0):
            closed.append(stream)
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return bool(closed)
