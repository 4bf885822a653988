"""`cmpl-zoo demo`."""

import argparse
from pathlib import Path

from cmpl_zoo_cli.arguments import add_output, whole


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "demo",
        help="render the demo's videos",
        description="Render the videos of the demo: figures doing eight actions, and their list, videos.csv.",
    )
    verb.set_defaults(run=run)
    add_output(verb, "folder for the videos and videos.csv")
    verb.add_argument(
        "--videos-per-class",
        type=whole(1),
        default=50,
        metavar="N",
        help="videos of each of the eight classes (default: 50)",
    )
    verb.add_argument("--seed", type=whole(0), default=0, metavar="N", help="seed of all random draws (default: 0)")


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.demo.render import render_demo

    print(render_demo(Path(args.output), videos_per_class=args.videos_per_class, seed=args.seed))
    return 0
