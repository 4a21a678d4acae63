"""Pictures of trainings: losses, learning rate, gradient, speed, by update."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mmpt.cli.plots import COLOURS, FAINT, INK, hide_frame, write_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Lines = Sequence[Mapping[str, Any]]
POINTS = 60  # of a curve; of more, neighbours are averaged, and all are drawn faintly
DOTS = 40  # validations; of more, none has a dot
PANELS = {  # key of an update's line -> its title
    "lr": "learning rate",
    "grad_norm": "length of the gradient",
    "pairs_per_second": "pairs a second",
}


def draw_training(runs: Mapping[str, Lines], title: str) -> "Figure":
    """Draw the logs of runs, each in a colour of its own.

    Args:
        runs: name -> lines of its log.
        title: of the picture.

    Returns:
        The picture.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.5), facecolor="white")
    write_title(figure, title, 0.75)
    upper = figure.add_axes((0.068, 0.43, 0.91, 0.49))
    _frame(upper, "loss")
    for number, (name, lines) in enumerate(runs.items()):
        _draw_losses(upper, name, lines, COLOURS[number % len(COLOURS)])
    upper.legend(frameon=False, fontsize=9.5, labelcolor=INK, ncols=2)
    for place, (key, what) in enumerate(PANELS.items()):
        axes = figure.add_axes((0.068 + 0.315 * place, 0.08, 0.27, 0.25))
        for number, lines in enumerate(runs.values()):
            axes.plot(*_averaged(*series(lines, "update", key)), color=COLOURS[number % len(COLOURS)], linewidth=1.4)
        _frame(axes, "")
        axes.set_title(what, loc="left", size=10, color=INK)
        axes.set_xlabel("update", color=INK)
    return figure


def series(lines: Lines, kind: str, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Take a curve out of a log.

    Args:
        lines: of the log.
        kind: of lines.
        key: of the number.

    Returns:
        float (N,) updates, and float (N,) numbers.
    """
    found = [(line["update"], line[key]) for line in lines if line["kind"] == kind and key in line]
    taken = np.array(found, dtype=np.float64).reshape(-1, 2)
    return taken[:, 0], taken[:, 1]


def _draw_losses(axes: "Axes", name: str, lines: Lines, colour: str) -> None:
    from matplotlib.patheffects import withStroke

    updates, losses = series(lines, "update", "loss")
    if len(updates) > POINTS:
        axes.plot(updates, losses, color=colour, linewidth=0.6, alpha=0.25)
    axes.plot(*_averaged(updates, losses), color=colour, linewidth=1.8, label=f"{name}: training")
    updates, losses = series(lines, "valid", "loss")
    if np.isfinite(losses).any():
        dot = "o" if len(updates) <= DOTS else None
        axes.plot(updates, losses, "--", marker=dot, color=colour, linewidth=1.4, ms=5, label=f"{name}: validation")
        best = int(np.nanargmin(losses))
        axes.annotate(
            f"{losses[best]:.3f}",
            (updates[best], losses[best]),
            xytext=(0, -15),
            textcoords="offset points",
            ha="center",
            size=9,
            weight="bold",
            color=colour,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )
        axes.plot(updates[best], losses[best], "o", color=colour, ms=8, mec="white", mew=1.5, zorder=5)


def _averaged(updates: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Average neighbours, as many in each group, so that at most `POINTS` are left."""
    width = -(-len(values) // POINTS)
    if width <= 1:
        return updates, values
    starts = np.arange(0, len(values), width)
    counts = np.diff(np.append(starts, len(values)))
    return np.add.reduceat(updates, starts) / counts, np.add.reduceat(values, starts) / counts


def _frame(axes: "Axes", what: str) -> None:
    axes.set_ylabel(what, color=INK)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.margins(x=0.02, y=0.12)
    axes.tick_params(colors=INK, length=0)
    hide_frame(axes)
