"""The parser of the command: a verb for each module beside this one. None of them imports torch before it runs."""

import argparse

from cmpl_zoo_cli import (
    app,
    catalog,
    check,
    convert,
    demo,
    env,
    evaluate,
    export,
    features,
    flow,
    importing,
    labelstudio,
    look,
    predict,
    prepare,
    probe,
    push,
    shard,
    split,
    suggest,
)
from cmpl_zoo_cli.version import __version__


def build_parser() -> argparse.ArgumentParser:
    """The parser; its result has `run`, a function of itself that returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="cmpl-zoo",
        description="Video networks: train, evaluate, use and publish them, and prepare videos for that. "
        "`cmpl-zoo COMMAND --help` explains a command.",
        epilog="Exit status: 0, 1 if part of the work failed, 2 if the command cannot run, 130 after Ctrl-C.",
    )
    parser.add_argument("--version", action="version", version=f"cmpl-zoo {__version__}")
    verbs = parser.add_subparsers(required=True, dest="verb", title="commands", metavar="COMMAND")
    for verb in (importing, check, look, prepare, split, shard, flow):
        verb.add_parser(verbs)
    verbs.add_parser("pretrain", help="let a network learn from videos without any label first", add_help=False)
    verbs.add_parser("train", help="train networks that label unlabeled videos for each other", add_help=False)
    for verb in (
        evaluate,
        predict,
        app,
        catalog,
        features,
        probe,
        suggest,
        labelstudio,
        export,
        push,
        convert,
        demo,
        env,
    ):
        verb.add_parser(verbs)
    return parser
