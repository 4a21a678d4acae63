"""Paired timing: two or more forms of one computation in turn, so that a drifting machine slows all alike."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Timed:
    """One form's figures.

    Args:
        name: what it is.
        seconds: median of its runs.
        ratio: median over the runs of (the first form's time / this form's time in the same turn).
        result: what its last run returned.
    """

    name: str
    seconds: float
    ratio: float
    result: Any


def run_paired(forms: Mapping[str, Callable[[], Any]], *, turns: int = 7, warmup: int = 1) -> list[Timed]:
    """Time forms in turn: A B C, A B C, ...

    Args:
        forms: name -> what to time; ratios are against the first.
        turns: counted turns.
        warmup: turns that are not counted.

    Returns:
        One entry a form, in order.
    """
    times: dict[str, list[float]] = {name: [] for name in forms}
    results: dict[str, Any] = {}
    for turn in range(warmup + turns):
        for name, form in forms.items():
            begin = time.perf_counter()
            results[name] = form()
            if turn >= warmup:
                times[name].append(time.perf_counter() - begin)
    plain = next(iter(times.values()))
    return [
        Timed(
            name=name,
            seconds=statistics.median(own),
            ratio=statistics.median(a / b for a, b in zip(plain, own, strict=True)),
            result=results[name],
        )
        for name, own in times.items()
    ]


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table of figures.

    Args:
        title: above it.
        header: names of the columns.
        rows: the cells.
    """
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    for index, name in enumerate(header):
        table.add_column(name, justify="left" if index == 0 else "right")
    for row in rows:
        table.add_row(*row)
    Console(width=100).print(table)
