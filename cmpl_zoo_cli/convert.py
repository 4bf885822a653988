"""`cmpl-zoo convert`."""

import argparse

from cmpl_zoo_cli.arguments import Verbs, add_output, add_verb


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "convert",
        run,
        "make a model directory from another project's weights",
        "Make a model directory from another project's weights.",
    )
    verb.add_argument(
        "kind",
        choices=["slow_r50"],
        help="which network: a SlowOnly R50 as PyTorchVideo, mmaction2 and PySlowFast publish it, as r3d50",
    )
    verb.add_argument("file", metavar="FILE", help="the checkpoint, such as SLOW_8x8_R50.pyth")
    verb.add_argument(
        "--classes",
        metavar="NAMES",
        help="kinetics400, ucf101, or a text file with a class name per line (default: kinetics400, where the project "
        "has its 400 classes in that order)",
    )
    add_output(verb, "folder for the model")


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.hub.convert import slow_r50

    print(slow_r50(args.file, args.output, args.classes))
    return 0
