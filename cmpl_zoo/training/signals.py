"""How a run is asked to stop."""

import os
import signal
import threading

# Windows has neither of the last two.
STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name)]
HANGUP = getattr(signal, "SIGHUP", None)


class Interrupt:
    """What asks a run to stop: Ctrl-C, SIGTERM (a cluster that takes the machine back), SIGUSR1 (SLURM, before the time
    is up) and SIGHUP (a terminal that is closed; under nohup it is ignored).

    The run stops after the current step; a second Ctrl-C stops it at once. A context manager, after which the signals
    mean what they meant before; outside of the main thread they keep that meaning.

    Attributes:
        asked: number of the signal, 0 before.
    """

    def __init__(self) -> None:
        self.asked: int = 0

    def __enter__(self) -> "Interrupt":
        self._in_main_thread = threading.current_thread() is threading.main_thread()
        if self._in_main_thread:
            self._terminals = [output for output in (1, 2) if os.isatty(output)]
            under_nohup = HANGUP is not None and signal.getsignal(HANGUP) == signal.SIG_IGN
            signals = [number for number in STOP_SIGNALS if number != HANGUP or not under_nohup]
            self._former = [(number, signal.signal(number, self._ask)) for number in signals]
        return self

    def __exit__(self, *_: object) -> None:
        if self._in_main_thread:
            for number, handler in self._former:
                signal.signal(number, handler)

    def _ask(self, number: int, _frame: object) -> None:
        self.asked = number
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if number == HANGUP:
            for output in self._terminals:  # they are gone, and writing to them would fail
                os.dup2(os.open(os.devnull, os.O_WRONLY), output)
