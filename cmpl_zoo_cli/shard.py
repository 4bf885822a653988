"""`cmpl-zoo shard`."""

import argparse
import math

from cmpl_zoo_cli.arguments import add_list, add_output


def add_parser(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    verb = verbs.add_parser(
        "shard",
        help="pack the videos of a list into tar shards",
        description="Pack the videos of a list into tar shards in WebDataset's layout, with a byte index. The same "
        "command continues a run that was stopped or killed.",
    )
    verb.set_defaults(run=run)
    add_list(verb)
    add_output(verb, "folder for the shards; afterwards give it as --root of lists of these videos")
    verb.add_argument(
        "--shard-size", type=megabytes, default=1000, metavar="MB", help="largest size of a shard (default: 1000)"
    )


def run(args: argparse.Namespace) -> int:
    from cmpl_zoo.datasets import read_list
    from cmpl_zoo.tools.shard import write_shards

    video_list = read_list(args.list, args.root, labeled=False)
    print(write_shards(video_list, args.output, round(args.shard_size * 1e6)))
    return 0


def megabytes(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"must be a number of MB above 0, not {text}")
    return number
