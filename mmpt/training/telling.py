"""Who is told what a training does."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mmpt.config.training import OptimConfig
from mmpt.training.checkpoint import Progress
from mmpt.training.metrics_log import MetricsLog


class Observer:
    """Is told what happens, and does nothing; others build on it."""

    @contextlib.contextmanager
    def epoch(self, progress: Progress, optim: OptimConfig, updates: int) -> Iterator[None]:
        """Surround an epoch, or what is left of it.

        Args:
            progress: how far the training is.
            optim: how it learns.
            updates: steps of the optimizer that are left of the epoch.

        Yields:
            Nothing.
        """
        yield

    @contextlib.contextmanager
    def work(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Surround work between updates that takes long.

        Args:
            what: is done.

        Yields:
            What is to be told how much is done, and of how much.
        """
        yield lambda done, total: None

    def tell(self, line: Mapping[str, Any]) -> None:
        """Take a line of the log.

        Args:
            line: `kind` is "plan", "update", "overflow", "epoch" or "valid"; `epoch` from 1 on, `update` after how
                many; and numbers by name.
        """


class LogObserver(Observer):
    """Writes all lines to the run's log.

    Args:
        log: the run's.
    """

    def __init__(self, log: MetricsLog) -> None:
        self.log = log

    def tell(self, line: Mapping[str, Any]) -> None:
        """Take a line of the log."""
        self.log.write(line)
