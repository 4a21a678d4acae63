"""Counting what becomes of many videos, and showing it while they are extracted."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from mmpt.cli.console import err

if TYPE_CHECKING:
    from mmpt.video.jobs import Event

PLAIN_EVERY = 30.0  # seconds between two lines where no bar can be shown


@dataclass
class Tally:
    """What became of the videos so far.

    Attributes:
        sizes: bytes of each video that is to be done, by id.
        began: when the first video that had to be computed was begun.
    """

    sizes: dict[str, int]
    done: int = 0
    skipped: int = 0
    kept: int = 0
    left: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    seconds: int = 0
    began: float | None = None
    computed: float = 0.0  # bytes of videos that were computed
    todo: float = 0.0  # bytes of videos of which nothing is known yet
    lengths: dict[str, int] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    busy: set[str] = field(default_factory=set)  # in the hands of other extractors

    def __post_init__(self) -> None:
        self.todo = float(sum(self.sizes.values()))

    @property
    def settled(self) -> int:
        """Videos with which nothing more is to be done."""
        return self.done + self.skipped + self.kept + self.left + len(self.failed)

    @property
    def seconds_now(self) -> int:
        """Seconds of video that are computed, those of unfinished videos included."""
        return self.seconds + sum(self.running.values())

    @property
    def rate(self) -> float:
        """Seconds of video for each second on the clock."""
        return self.seconds_now / max(time.monotonic() - self.began, 1e-3) if self.began is not None else 0.0

    @property
    def remaining(self) -> float | None:
        """Seconds on the clock until all is done, by the bytes that are done; None where too little is known."""
        if self.began is None:
            return None
        partly = sum(self.sizes[name] * self._part(name) for name in self.running)
        if not self.computed + partly:
            return None
        return (self.todo - partly) * (time.monotonic() - self.began) / (self.computed + partly)

    def _part(self, name: str) -> float:
        length = self.lengths.get(name, 0)
        return min(1.0, self.running[name] / length) if length else 0.0

    def take(self, event: "Event") -> None:
        """Count what became of a video."""
        name = event.video.id
        if event.kind == "begin":
            self.busy.discard(name)
            self.began = time.monotonic() if self.began is None else self.began
            self.lengths[name], self.running[name] = event.seconds, 0
        elif event.kind == "progress":
            self.running[name] = event.seconds
        elif event.kind == "busy":
            self.busy.add(name)
        else:
            self._settle(event)

    def _settle(self, event: "Event") -> None:
        name = event.video.id
        self.busy.discard(name)
        self.todo -= self.sizes[name]
        if self.running.pop(name, None) is not None:
            self.computed += self.sizes[name]
            self.seconds += event.seconds
        if event.kind == "failed":
            self.failed.append((str(event.video.path), event.reason))
        else:
            setattr(self, event.kind, getattr(self, event.kind) + 1)
        self.damaged.extend(event.damage)
        if event.replaced:
            self.replaced.append(f"{name}.npy, which was made of {event.replaced}")


@contextlib.contextmanager
def display(tally: Tally) -> Iterator[Callable[[], None]]:
    """Show a tally on the error stream: a bar that goes away, or a line now and then where that is no terminal.

    Args:
        tally: what is shown.

    Yields:
        What to call when it has changed.
    """
    if not err.is_terminal:
        yield _plain(tally)
        return
    columns = (
        SpinnerColumn(),
        BarColumn(bar_width=20),
        TextColumn("{task.completed}/{task.total} videos"),
        TextColumn("{task.fields[about]}"),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("", total=len(tally.sizes), about="")
        yield lambda: progress.update(task, completed=tally.settled, about=_about(tally))


def _plain(tally: Tally) -> Callable[[], None]:
    told = time.monotonic()

    def show() -> None:
        nonlocal told
        if time.monotonic() - told >= PLAIN_EVERY:
            told = time.monotonic()
            err.print(f"mmpt: {tally.settled}/{len(tally.sizes)} videos {_about(tally)}".rstrip(), soft_wrap=True)

    return show


def _about(tally: Tally) -> str:
    parts = []
    if tally.seconds_now:
        parts.append(f"{tally.rate:.1f} s of video/s")
    if tally.remaining is not None:
        parts.append(f"{spoken(tally.remaining)} left")
    if tally.failed:
        parts.append(f"{len(tally.failed)} failed")
    if tally.busy:
        parts.append(f"{len(tally.busy)} in other hands")
    return ", ".join(parts)


def spoken(seconds: float) -> str:
    """Write a span of time in one unit or two.

    Args:
        seconds: how long.

    Returns:
        For example ``"4.2 s"``, ``"3 min 20 s"``, ``"2 h 5 min"`` or ``"3 d 4 h"``.
    """
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    first = next(index for index, (_, length) in enumerate(units) if whole >= length)
    (large, length), (small, part) = units[first : first + 2]
    return f"{whole // length} {large} {whole % length // part} {small}"
