"""How a run is asked to stop."""

import signal


class Interrupt:
    """Ctrl-C, SIGTERM (a cluster that takes the machine back) and SIGUSR1 (SLURM, before the time is up) ask to stop.

    The run stops after the current step; a second Ctrl-C stops it at once.

    Attributes:
        asked: number of the signal, 0 before.
    """

    def __init__(self) -> None:
        self.asked: int = 0
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, self._ask)

    def _ask(self, number: int, _frame: object) -> None:
        self.asked = number
        signal.signal(signal.SIGINT, signal.default_int_handler)
