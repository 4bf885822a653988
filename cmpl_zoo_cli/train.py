"""`cmpl-zoo train`."""

from contextlib import ExitStack
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmpl_zoo.distributed import Ranks
    from cmpl_zoo_cli.train_config import Config
    from cmpl_zoo_cli.train_parser import CommandLine


def main(argv: list[str]) -> int:
    """Train with the options of a command line; see `cmpl_zoo_cli.main.main`."""
    from cmpl_zoo_cli.train_parser import parse

    line = parse(argv)
    if not line.dry_run:
        return start(line)
    with TemporaryDirectory() as folder:  # nothing is left
        return start(line.within(folder))


def start(line: "CommandLine") -> int:
    """The exit status of what a command line asks for."""
    from cmpl_zoo_cli.ranks import run_ranks

    return run_ranks(line.config.output, line.config.timeout_minutes, lambda ranks: work(line, ranks))


def work(line: "CommandLine", ranks: "Ranks") -> None:
    """Make the lists that are still to be made, say what the run will do, train, and say what can be done next."""
    from cmpl_zoo.training import train
    from cmpl_zoo.training.run_folder import continues
    from cmpl_zoo_cli.own_videos import tell_next, tell_plan, with_lists

    config = line.config
    with ExitStack() as until_end:
        if line.makes_lists:
            made: list[Config] = []
            ranks.first_alone(lambda: made.append(with_lists(line, continues(config, ranks), until_end)))
            config = ranks.gather(made[0] if made else config)[0]
        # Several processes take another time than the one that would be measured here.
        if line.dry_run or (line.own.videos and ranks.size == 1 and not continues(config, ranks)):
            ranks.first_alone(lambda: tell_plan(line, config))
        if line.dry_run:
            return
        train(config, ranks)
    if line.own.videos and ranks.first:
        tell_next(config)
