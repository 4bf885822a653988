"""`cmpl-zoo pretrain`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmpl_zoo.distributed import Ranks


def main(argv: list[str]) -> int:
    """Pretrain with the options of a command line; see `cmpl_zoo_cli.main.main`."""
    from cmpl_zoo_cli.pretrain_parser import parse
    from cmpl_zoo_cli.ranks import run_ranks

    config = parse(argv)

    def work(ranks: "Ranks") -> None:
        from cmpl_zoo.pretext.pretrain import pretrain

        pretrain(config, ranks)

    return run_ranks(config.output, config.timeout_minutes, work)
