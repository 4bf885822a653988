"""Training as one of the processes that torchrun started, or alone."""

import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cmpl_zoo.distributed import Ranks


def run_ranks(output: str, timeout_minutes: float, work: "Callable[[Ranks], object]") -> int:
    """The exit status of some training; messages of one of several processes name its rank.

    Args:
        output: folder of the run.
        timeout_minutes: how long a process waits for the others in one step.
        work: trains, given its ranks.
    """
    from cmpl_zoo.distributed import Ranks
    from cmpl_zoo_cli.main import reporting

    ranks = Ranks(60 * timeout_minutes)
    if ranks.size == 1:
        return run_rank(output, ranks, work)
    status = 1
    try:
        status = reporting(f"cmpl-zoo: rank {ranks.rank}", lambda: run_rank(output, ranks, work))
    except SystemExit as ended:  # another rank tells the cause
        status = int(ended.code or 0)
    except Exception:  # a fault of ours
        traceback.print_exc()
    if status:
        ranks.exit_failed(status)
    return status


def run_rank(output: str, ranks: "Ranks", work: "Callable[[Ranks], object]") -> int:
    """Train; what a user can repair becomes one of this package's errors."""
    import torch

    from cmpl_zoo.distributed import device_failure
    from cmpl_zoo.training.checkpoint import States
    from cmpl_zoo.training.errors import RunError, StopRequested

    states = States(Path(output))

    try:
        work(ranks)
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
            f"{error.filename or output}: {error.strerror or error}; once that is repaired, --resume "
            f"{states.resumption}"
        ) from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"stopped at once; --resume {states.resumption}") from None
    ranks.leave()
    return 0
