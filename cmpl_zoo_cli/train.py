"""`cmpl-zoo train`."""

from cmpl_zoo_cli.train_config import Config


def main(argv: list[str]) -> int:
    """Train with the options of a command line; see `cmpl_zoo_cli.main.main`."""
    from cmpl_zoo_cli.train_parser import parse_config

    return run(parse_config(argv))


def run(config: Config) -> int:
    import torch

    from cmpl_zoo.distributed import Ranks
    from cmpl_zoo.training import train
    from cmpl_zoo.training.errors import RunError, StopRequested

    ranks = Ranks(60 * config.timeout_minutes)
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
            f"{error.filename or config.output}: {error.strerror or error}; once that is mended, --resume continues "
            "from the last saved state"
        ) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped at once; --resume continues from the last saved state") from None
    ranks.leave()
    return 0
