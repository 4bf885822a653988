"""`cmpl-zoo train`."""

from typing import TYPE_CHECKING

from cmpl_zoo_cli.train_config import Config

if TYPE_CHECKING:
    from cmpl_zoo.distributed import Ranks


def main(argv: list[str]) -> int:
    """Train with the options of a command line; see `cmpl_zoo_cli.main.main`."""
    from cmpl_zoo_cli.train_parser import parse_config

    return run(parse_config(argv))


def run(config: Config) -> int:
    """Train, alone or as one of the processes that torchrun started, whose messages name the rank."""
    from cmpl_zoo.distributed import Ranks
    from cmpl_zoo_cli.main import reporting

    ranks = Ranks(60 * config.timeout_minutes)
    if ranks.size == 1:
        return run_rank(config, ranks)
    return reporting(f"cmpl-zoo: rank {ranks.rank}", lambda: run_rank(config, ranks))


def run_rank(config: Config, ranks: "Ranks") -> int:
    """Train; what a user can repair becomes one of this package's errors."""
    import torch

    from cmpl_zoo.training import train
    from cmpl_zoo.training.errors import RunError, StopRequested

    try:
        train(config, ranks)
    except StopRequested as stop:
        ranks.leave()
        if not ranks.first:  # one of them says it
            return 128 + stop.signal
        raise
    except torch.OutOfMemoryError as error:
        cause = str(error).partition(". ")[0]
        raise RunError(
            f"{cause}; --accumulation 2, --grad-checkpointing or --precision bf16 need less memory, in a run with "
            "another --output"
        ) from error
    except OSError as error:  # such as a full disk
        raise RunError(
            f"{error.filename or config.output}: {error.strerror or error}; once that is repaired, --resume continues "
            "from the last saved state"
        ) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped at once; --resume continues from the last saved state") from None
    ranks.leave()
    return 0
