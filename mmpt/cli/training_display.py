"""What `mmpt train` shows while it runs: a bar on the error stream, and a line for each epoch.

Where the error stream is no terminal, as in a job of a cluster, lines tell how far it is: every `log_interval` updates,
and after a minute without one.
"""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from mmpt.cli.console import err, out
from mmpt.config.training import OptimConfig
from mmpt.training import checkpoint
from mmpt.training.metrics_log import MetricsLog
from mmpt.training.telling import LogObserver

SMOOTH = 0.95  # part of the shown loss and speed that stays at an update
PAUSE = 60.0  # seconds


class ShownObserver(LogObserver):
    """Shows a training, and writes its log.

    Args:
        log: the run's.
    """

    def __init__(self, log: MetricsLog) -> None:
        super().__init__(log)
        self._advance: Callable[[str | None], None] = lambda told: None
        self._console = out
        self._left = 0  # steps of the epoch
        self._said = 0.0  # when the last line came
        self._passes = ""
        self._shown: dict[str, float] = {}  # loss and speed, smoothed
        self._hard = ""

    @contextlib.contextmanager
    def work(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar for work between updates."""
        with _bar() as bar:
            shown, self._said = bar.add_task(what, total=None), time.monotonic()

            def show(done: int, total: int) -> None:
                bar.update(shown, completed=done, total=total)
                if self._is_due(False):
                    self._say(f"{what}: {done:,} of {total:,}")

            yield show

    @contextlib.contextmanager
    def epoch(self, progress: checkpoint.Progress, optim: OptimConfig, updates: int) -> Iterator[None]:
        """Show a bar for an epoch, or for what is left of it."""
        self._hard = f", {hard:.0%} hard" if (hard := progress.statistics.get("hard_negatives")) is not None else ""
        self._passes = "" if optim.max_epoch is None else f"/{optim.max_epoch}"
        with _bar() as bar:
            shown = bar.add_task(f"epoch {progress.epoch + 1}{self._passes}", total=updates)
            self._left, self._said = updates, time.monotonic()
            self._advance = lambda told: bar.update(shown, advance=1, description=told)
            self._console = err if err.is_terminal and out.is_terminal else out  # above the bar, not into it
            yield
        self._advance, self._console = lambda told: None, out

    def tell(self, line: Mapping[str, Any]) -> None:
        """Take a line of the log."""
        super().tell(line)
        if line["kind"] == "update":
            self._show_update(line)
        elif line["kind"] == "overflow":
            self._left -= 1
            self._advance(None)
            self._say(f"update {line['update'] + 1:,}: fp16 overflows, and the batch is left out")
        elif line["kind"] == "epoch":
            self._say(f"epoch {line['epoch']}{self._passes}: {self._speed()}training {losses(line)}")
        elif line["kind"] == "valid":
            self._say(f"update {line['update']:,}: validation {losses(line)}")
        elif line["kind"] == "plan":
            self._say(
                f"epoch {line['epoch']}: {line['clusters']:,.0f} clusters of retrieved videos, "
                f"{line['hard_negatives']:.0%} of the negatives hard; {line['seconds']:.1f} s"
            )

    def _show_update(self, line: Mapping[str, Any]) -> None:
        for name in ("loss", "pairs_per_second"):
            now = float(line[name])
            self._shown[name] = SMOOTH * self._shown.get(name, now) + (1 - SMOOTH) * now
        told = f"loss {self._shown['loss']:.3f}, {self._shown['pairs_per_second']:,.0f} pairs/s{self._hard}"
        self._left -= 1
        self._advance(f"epoch {line['epoch']}{self._passes} {told}")
        if self._is_due(line["update"] % self.log.interval == 0):
            left = f"epoch {line['epoch']}{self._passes}, {self._left:,} to go in it"
            self._say(f"update {line['update']:,}, {left}: {told}")

    def _is_due(self, asked: bool) -> bool:
        """Whether a line is to tell how far it is, as no bar does."""
        now = time.monotonic()
        if err.is_terminal or not (asked or now - self._said > PAUSE):
            return False
        self._said = now
        return True

    def _speed(self) -> str:
        speed = self._shown.get("pairs_per_second")
        return "" if speed is None else f"{speed:,.0f} pairs/s, "

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)


def _bar() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=err, transient=True, disable=not err.is_terminal, expand=True)


def losses(line: Mapping[str, Any]) -> str:
    """Write the losses of a line.

    Args:
        line: of the log.

    Returns:
        For example ``"loss 3.214 (t2v 1.604, v2t 1.610)"``.
    """
    parts = [f"{k} {v:.3f}" for k, v in line.items() if isinstance(v, float) and k != "loss"]
    return f"loss {line['loss']:.3f}" + (f" ({', '.join(parts)})" if len(parts) > 1 else "")
