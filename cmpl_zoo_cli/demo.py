"""`cmpl-zoo demo`."""

import argparse
from pathlib import Path


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "demo",
        help="render the demo's videos",
        description="Render the videos of the demo: figures doing eight actions, and their list, videos.csv.",
    )
    verb.set_defaults(run=run)
    verb.add_argument("directory", type=Path, help="folder for the videos and videos.csv")
    verb.add_argument(
        "--videos-per-class",
        type=int,
        default=50,
        metavar="N",
        help="videos of each of the eight classes (default: 50)",
    )
    verb.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all draws (default: 0)")


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.demo.render import render_demo

    print(render_demo(args.directory, videos_per_class=args.videos_per_class, seed=args.seed))
    return 0
