"""How `mmpt demo` trains: what `mmpt train` does, with the loss on one line."""

import contextlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from mmpt.cli.console import err, out, quiet_transformers
from mmpt.cli.preparing import check_file
from mmpt.training.folder import held
from mmpt.training.metrics_log import MetricsLog
from mmpt.training.processes import Processes
from mmpt.training.session import Options, prepare, run_folder
from mmpt.training.signals import Stop
from mmpt.training.telling import LogObserver

BLOCKS = "▁▂▃▄▅▆▇█"
SHOWN = 24  # losses in the line
TOLD = 100  # updates between two lines where no bar is shown


class LiveLoss(LogObserver):
    """Writes a training's log, and shows the loss as it falls.

    Args:
        log: the run's.
        updates: how many there will be.
    """

    def __init__(self, log: MetricsLog, updates: int) -> None:
        super().__init__(log)
        self._updates = updates
        self._every = max(1, updates // SHOWN)
        self._losses: deque[float] = deque(maxlen=self._every)
        self._drawn: list[float] = []
        self._valid = ""
        self._show: Callable[[int, str], None] = lambda update, told: None

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Show a bar within a block."""
        columns = (
            SpinnerColumn(),
            MofNCompleteColumn(),
            BarColumn(bar_width=None),
            TextColumn("{task.description}", markup=False),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=err, transient=True, disable=not err.is_terminal, expand=True) as bar:
            task = bar.add_task("the first batch", total=self._updates)
            self._show = lambda update, told: bar.update(task, completed=update, description=told)
            yield
        self._show = lambda update, told: None

    def tell(self, line: Mapping[str, Any]) -> None:
        """Take a line of the log."""
        super().tell(line)
        if line["kind"] == "valid":
            self._valid = f", validation {line['loss']:.2f}"
        if line["kind"] != "update":
            return
        update = line["update"]
        self._losses.append(line["loss"])
        loss = sum(self._losses) / len(self._losses)
        if update % self._every == 0 or not self._drawn:
            self._drawn.append(loss)
        self._show(update, f"loss {loss:.2f}{self._valid} {spark(self._drawn[-SHOWN:])}")
        if not err.is_terminal and update % TOLD == 0:
            out.print(f"      update {update:,} of {self._updates:,}: loss {loss:.2f}{self._valid}")


def spark(values: Sequence[float]) -> str:
    """Draw numbers with letters.

    Args:
        values: the numbers.

    Returns:
        A block for each that is finite, the lowest and the highest as low and high as there are.
    """
    finite = [value for value in values if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    step = (high - low) / (len(BLOCKS) - 1) or 1.0
    return "".join(BLOCKS[round((value - low) / step)] for value in finite)


def train(yaml: Path, overrides: Sequence[str]) -> Path:
    """Train from random weights to the end; a training that was stopped goes on.

    Args:
        yaml: what `mmpt train` takes.
        overrides: ``key=value`` pairs.

    Returns:
        The run's folder.

    Raises:
        FileNotFoundError: data is not there.
        ValueError: something does not fit; the folder holds a training that was told other things, or another process
            trains there.
        KeyboardInterrupt: it was asked to stop; what is done is kept.
    """
    run = check_file(yaml, overrides, evaluation=False)
    updates = run.optim.max_update
    assert updates is not None, "the toy projects bound their updates"

    def observe(told: dict[str, Any]) -> LiveLoss:
        return LiveLoss(MetricsLog(run_folder(run), run.logging, told), updates)

    with held(run_folder(run)):
        with quiet_transformers():
            session = prepare(run, Processes("cpu"), Options(from_scratch=True), observe)
        trainer, observer = session.trainer, session.trainer.observer
        assert isinstance(observer, LiveLoss)
        progress = trainer.progress
        observer.log.rewind(progress.updates, epoch=progress.epoch, batch=progress.batch)
        try:
            with Stop() as stop, observer.shown():
                trainer.run(stop)
        finally:
            observer.log.close()
    if not trainer.finished:
        raise KeyboardInterrupt
    return run_folder(run)
