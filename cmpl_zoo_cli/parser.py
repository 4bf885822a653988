"""The parser of the command: a verb for each module beside this one. None of them imports torch before it runs."""

import argparse

from cmpl_zoo_cli import check, convert, demo, evaluate, importing, predict, prepare, push, shard, split
from cmpl_zoo_cli.version import __version__


def build_parser(prog: str = "cmpl-zoo") -> argparse.ArgumentParser:
    """The parser; its result has `run`, a function of itself that returns the exit status."""
    parser = argparse.ArgumentParser(prog=prog, description="A zoo of R3D video networks.")
    parser.add_argument("--version", action="version", version=f"cmpl-zoo {__version__}")
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    importing.add_parser(verbs)
    check.add_parser(verbs)
    prepare.add_parser(verbs)
    split.add_parser(verbs)
    shard.add_parser(verbs)
    verbs.add_parser("train", help="train networks that label unlabeled videos for each other", add_help=False)
    evaluate.add_parser(verbs)
    predict.add_parser(verbs)
    push.add_parser(verbs)
    convert.add_parser(verbs)
    demo.add_parser(verbs)
    return parser
