"""What `mmpt train` shows while it runs: a bar on the error stream, and a line for each epoch."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from mmpt.cli.console import err, out
from mmpt.config.training import OptimConfig
from mmpt.training import checkpoint
from mmpt.training.metrics_log import MetricsLog
from mmpt.training.telling import LogObserver

SMOOTH = 0.95  # part of the shown loss and speed that stays at an update


class ShownObserver(LogObserver):
    """Shows a training, and writes its log.

    Args:
        log: the run's.
    """

    def __init__(self, log: MetricsLog) -> None:
        super().__init__(log)
        self._advance: Callable[[str], None] = lambda told: None
        self._console = out
        self._passes = ""
        self._shown: dict[str, float] = {}  # loss and speed, smoothed
        self._hard = ""

    @contextlib.contextmanager
    def work(self, what: str) -> Iterator[Callable[[int, int], None]]:
        """Show a bar for work between updates."""
        with _bar() as bar:
            shown = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(shown, completed=done, total=total)

    @contextlib.contextmanager
    def epoch(self, progress: checkpoint.Progress, optim: OptimConfig, updates: int) -> Iterator[None]:
        """Show a bar for an epoch, or for what is left of it."""
        self._hard = f", {hard:.0%} hard" if (hard := progress.statistics.get("hard_negatives")) is not None else ""
        self._passes = "" if optim.max_epoch is None else f"/{optim.max_epoch}"
        with _bar() as bar:
            shown = bar.add_task(f"epoch {progress.epoch + 1}{self._passes}", total=updates)
            self._advance = lambda told: bar.update(shown, advance=1, description=told)
            self._console = err if err.is_terminal and out.is_terminal else out  # above the bar, not into it
            yield
        self._advance, self._console = lambda told: None, out

    def tell(self, line: Mapping[str, Any]) -> None:
        """Take a line of the log."""
        super().tell(line)
        if line["kind"] == "update":
            self._show_update(line)
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
        self._advance(f"epoch {line['epoch']}{self._passes} {told}")

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
