"""`cmpl-zoo shard`."""

import argparse
import math

from cmpl_zoo_cli.arguments import add_list


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "shard",
        help="pack the videos of a list into tar shards",
        description="Pack the videos of a list into tar shards in WebDataset's layout, with a byte index. The same "
        "command continues a run that was stopped or killed.",
    )
    verb.set_defaults(run=run)
    add_list(verb)
    verb.add_argument(
        "output", metavar="DST", help="folder for the shards, which is the --root of lists of these videos from then on"
    )
    verb.add_argument(
        "--shard-size", type=float, default=1000, metavar="MB", help="largest size of a shard (default: 1000)"
    )


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.datasets import read_list
    from cmpl_zoo.tools.shard import write_shards

    manifest = read_list(args.list, args.root, labeled=False)
    if not math.isfinite(args.shard_size):
        raise ValueError(f"--shard-size must be a number of MB, not {args.shard_size}")
    print(write_shards(manifest, args.output, round(args.shard_size * 1e6)))
    return 0
