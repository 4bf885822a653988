"""`cmpl-zoo train`."""

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmpl_zoo.distributed import Ranks
    from cmpl_zoo_cli.train_config import Config
    from cmpl_zoo_cli.train_parser import CommandLine


def main(argv: list[str]) -> int:
    """Train with the options of a command line; see `cmpl_zoo_cli.main.main`."""
    from cmpl_zoo_cli.train_parser import parse

    return run(parse(argv))


def run(line: "CommandLine") -> int:
    """Train, alone or as one of the processes that torchrun started, whose messages name the rank."""
    from cmpl_zoo.distributed import Ranks
    from cmpl_zoo_cli.main import reporting

    ranks = Ranks(60 * line.config.timeout_minutes)
    if ranks.size == 1:
        return run_rank(line, ranks)
    status = 1
    try:
        status = reporting(f"cmpl-zoo: rank {ranks.rank}", lambda: run_rank(line, ranks))
    except SystemExit as ended:  # another rank tells the cause
        status = int(ended.code or 0)
    except Exception:  # a fault of ours
        traceback.print_exc()
    if status:
        ranks.exit_failed(status)
    return status


def run_rank(line: "CommandLine", ranks: "Ranks") -> int:
    """Train; what a user can repair becomes one of this package's errors."""
    import torch

    from cmpl_zoo.distributed import device_failure
    from cmpl_zoo.training.checkpoint import States
    from cmpl_zoo.training.errors import RunError, StopRequested

    states = States(Path(line.config.output))

    try:
        work(line, ranks)
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
            f"{error.filename or line.config.output}: {error.strerror or error}; once that is repaired, --resume "
            f"{states.resumption}"
        ) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped at once; --resume {states.resumption}") from None
    ranks.leave()
    return 0


def work(line: "CommandLine", ranks: "Ranks") -> None:
    """Make the lists that are still to be made, say what the run will do, train, and say what can be done next."""
    from cmpl_zoo.training import train
    from cmpl_zoo.training.run_folder import is_begun
    from cmpl_zoo_cli.own_videos import tell_next, tell_plan, with_lists

    config = line.config
    if line.makes_lists:
        made: list[Config] = []
        ranks.first_alone(lambda: made.append(with_lists(line, config.resume or ranks.restarted)))
        config = ranks.gather(made[0] if made else config)[0]
    # Several processes take another time than the one that would be measured here.
    if line.dry_run or (line.own.videos and ranks.size == 1 and not is_begun(Path(config.output))):
        ranks.first_alone(lambda: tell_plan(line, config))
    if line.dry_run:
        return
    train(config, ranks)
    if line.own.videos and ranks.first:
        tell_next(config)
