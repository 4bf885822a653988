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
    importing.add_parser(verbs)
    check.add_parser(verbs)
    look.add_parser(verbs)
    prepare.add_parser(verbs)
    split.add_parser(verbs)
    shard.add_parser(verbs)
    flow.add_parser(verbs)
    verbs.add_parser("pretrain", help="let a network learn from videos without any label first", add_help=False)
    verbs.add_parser("train", help="train networks that label unlabeled videos for each other", add_help=False)
    evaluate.add_parser(verbs)
    predict.add_parser(verbs)
    app.add_parser(verbs)
    catalog.add_parsers(verbs)
    features.add_parser(verbs)
    probe.add_parser(verbs)
    suggest.add_parser(verbs)
    labelstudio.add_parser(verbs)
    export.add_parser(verbs)
    push.add_parser(verbs)
    convert.add_parser(verbs)
    demo.add_parser(verbs)
    env.add_parser(verbs)
    for verb in verbs.choices.values():
        verb.set_defaults(parser=verb)
    return parser
