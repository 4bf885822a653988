"""`cmpl-zoo train`."""

import traceback
from pathlib import Path
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
    status = 1
    try:
        status = reporting(f"cmpl-zoo: rank {ranks.rank}", lambda: run_rank(config, ranks))
    except SystemExit as ended:  # another rank tells the cause
        status = int(ended.code or 0)
    except Exception:  # a fault of ours
        traceback.print_exc()
    if status:
        ranks.exit_failed(status)
    return status


def run_rank(config: Config, ranks: "Ranks") -> int:
    """Train; what a user can repair becomes one of this package's errors."""
    import torch

    from cmpl_zoo.distributed import device_failure
    from cmpl_zoo.training import train
    from cmpl_zoo.training.checkpoint import States
    from cmpl_zoo.training.errors import RunError, StopRequested

    states = States(Path(config.output))

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
    except RuntimeError as error:
        if not (failure := device_failure(error)):
            raise
        raise RunError(
            f"the GPU failed: {failure}; --resume {states.resumption}; where it fails again, see whether nvidia-smi "
            "reports faults, and start with CUDA_LAUNCH_BLOCKING=1, which shows the operation"
        ) from error
    except OSError as error:  # such as a full disk
        raise RunError(
            f"{error.filename or config.output}: {error.strerror or error}; once that is repaired, --resume "
            f"{states.resumption}"
        ) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped at once; --resume {states.resumption}") from None
    ranks.leave()
    return 0
