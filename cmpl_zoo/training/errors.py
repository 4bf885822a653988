"""What ends a run."""


class RunError(Exception):
    """A run cannot start or continue; the message says why and what to do."""


class StopRequested(Exception):
    """The run was asked to stop; its state is saved unless a warning says that it cannot be.

    Attributes:
        signal: number of the signal that asked.
    """

    def __init__(self, message: str, signal: int) -> None:
        super().__init__(message)
        self.signal = signal
