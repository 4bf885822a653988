"""`cmpl-zoo shard`."""

import argparse
import math
import os

from cmpl_zoo_cli.arguments import Verbs, add_list, add_output, add_verb, number


def add_parser(verbs: Verbs) -> None:
    verb = add_verb(
        verbs,
        "shard",
        run,
        "pack the videos of a list into tar shards",
        "Pack the videos of a list into tar shards in WebDataset's layout, with a byte index. The same "
        "command continues a run that was stopped or killed.",
    )
    add_list(verb)
    add_output(verb, "folder for the shards; afterwards give it as --root of lists of these videos")
    verb.add_argument(
        "--shard-size", type=megabytes, default=1000, metavar="MB", help="largest size of a shard (default: 1000)"
    )


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.datasets import read_list
    from cmpl_zoo.tools.shard import write_shards

    if os.path.realpath(args.output) == os.path.realpath(args.root):
        raise ValueError(f"-o {args.output}: is the folder of the videos, which would become a shard set; give another")
    video_list = read_list(args.list, args.root, labeled=False)
    print(write_shards(video_list, args.output, round(args.shard_size * 1e6)))
    return 0


megabytes = number("must be a number of MB above 0", lambda value: 0 < value < math.inf)
