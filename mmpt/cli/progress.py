"""Progress bars on the error stream, gone when the work is done."""

import contextlib
import math
from collections.abc import Callable, Iterator

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from mmpt.cli.console import err
from mmpt.utils.legible import one_line


class SecondBar:
    """Counts the seconds of a video that are done.

    Args:
        progress: the display.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, start=True)

    def begin(self, name: str, number: int, count: int, seconds: float | None) -> None:
        """Start on a video.

        Args:
            name: the video.
            number: which one it is, from 1 on.
            count: of how many.
            seconds: its duration, when it is known.
        """
        label = one_line(name) if count == 1 else f"{number}/{count} {one_line(name)}"
        self._progress.reset(self._task, description=label, total=None if seconds is None else math.ceil(seconds))

    def advance(self, done: int) -> None:
        """Say how many seconds are done."""
        self._progress.update(self._task, completed=done)


@contextlib.contextmanager
def second_bar() -> Iterator[SecondBar]:
    """Show a bar in seconds of video.

    Yields:
        The bar.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("s of video"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        yield SecondBar(progress)


class PartBar:
    """Shows which part of a file is done, and how many items that is.

    Args:
        progress: the display.
        unit: what the items are.
    """

    def __init__(self, progress: Progress, unit: str) -> None:
        self._progress = progress
        self._unit = unit
        self._task = progress.add_task(f"0 {unit}", total=1.0)

    def advance(self, items: int, part: float) -> None:
        """Say how many items are done, and which part, from 0 to 1."""
        self._progress.update(self._task, completed=part, description=f"{items:,} {self._unit}")


@contextlib.contextmanager
def part_bar(unit: str) -> Iterator[PartBar]:
    """Show a bar for a file whose number of items is not known beforehand.

    Args:
        unit: what the items are, for example ``"videos"``.

    Yields:
        The bar.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        yield PartBar(progress, unit)


@contextlib.contextmanager
def count_bar(label: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar in items.

    Args:
        label: what is done.
        total: how many items there are.

    Yields:
        A function that takes the number of items done.
    """
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.update(task, completed=done)
