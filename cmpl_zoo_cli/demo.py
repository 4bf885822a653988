"""`cmpl-zoo demo`."""

import argparse
from pathlib import Path

from cmpl_zoo_cli.arguments import Verbs, add_output, add_verb, whole


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "demo",
        run,
        "render the demo's videos",
        "Render the videos of the demo: figures doing eight actions, and their list, videos.csv.",
    )
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
