"""Progress bars on the error stream, gone when the work is done."""

import contextlib
import math
from collections.abc import Iterator

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from mmpt.cli.console import err


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
        label = name if count == 1 else f"{number}/{count} {name}"
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
