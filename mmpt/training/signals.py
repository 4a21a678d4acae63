"""Being asked to stop: a step ends, what is done is kept, and the process ends."""

import signal
import time
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGINT)
ECHO = 3.0  # seconds: a terminal or SLURM asks every process, and so does torchrun, which was asked too


class Stop:
    """Notes that a signal asks to stop, within a block. A second one ends the process at once, unless it comes so soon
    after the first that it is the same wish, told again by torchrun.

    Attributes:
        asked: whether one did.
        number: which.
    """

    def __init__(self) -> None:
        self.asked = False
        self.number: int | None = None
        self._first = 0.0  # when it was asked
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        for number in SIGNALS:
            self._before[number] = signal.signal(number, self._note)
        return self

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self.asked:
            self.asked, self.number, self._first = True, number, time.monotonic()
        elif time.monotonic() - self._first > ECHO:
            self._restore()
            signal.raise_signal(number)

    def __exit__(self, *_: object) -> None:
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    @property
    def code(self) -> int:
        """The exit code that a shell gives for the signal."""
        return 128 + (self.number or signal.SIGTERM)
