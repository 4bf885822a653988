"""`cmpl-zoo convert`."""

import argparse

from cmpl_zoo_cli.arguments import add_output


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "convert",
        help="make a model directory from another project's weights",
        description="Make a model directory from another project's weights.",
    )
    verb.set_defaults(run=run)
    verb.add_argument(
        "kind", choices=["slow_r50"], help="which weights: PyTorchVideo's slow_r50 of Kinetics-400, as r3d50"
    )
    verb.add_argument("file", metavar="FILE", help="the checkpoint, such as SLOW_8x8_R50.pyth")
    add_output(verb, "folder for the model")


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.hub.convert import slow_r50

    print(slow_r50(args.file, args.output))
    return 0
