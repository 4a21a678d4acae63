"""Pictures of videos over time: truth against what a model says, over a strip of the video.

Shapes: T seconds, K steps.
"""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mmpt.cli.plots import (
    AXIS,
    COLOURS,
    CURVES,
    FAINT,
    GAP,
    INK,
    LEFT,
    LEGEND_LINE,
    MARGIN,
    RIGHT,
    STYLES,
    TITLE,
    WIDTH,
    draw_strip,
    hide_frame,
    mark_time,
    write_title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Thumbnails = Sequence[np.ndarray]  # uint8 (height, width, 3), from the middles of equal parts of the time

HATCHES = ("", "///", "...", "xxx")  # one for each round through the colours
OTHER = "#b0b0b0"  # a label that the video does not have
TRUTH, RIGHT_DOT, WRONG_DOT, BEST = "#9ecae1", "#009e73", "#d55e00", "#e69f00"
NARROW = 0.25  # inches; shorter segments have no number
NAME_LENGTH = 34  # letters of a step's name in one line
LEGEND_LENGTH = 62  # letters of a label in the legend
# Heights, and the place that names take at the left, in inches.
LANE, STEP, ANNOTATOR, MOMENT, SENTENCE, BESIDE = 0.5, 0.36, 0.11, 0.2, 0.3, 2.75
STRIP, MOMENT_STRIP = 0.98, 0.8  # heights of thumbnails


@dataclass(frozen=True, eq=False)
class RankedMoments:
    """What a picture shows of a sentence.

    Attributes:
        sentence: the text.
        video: its id.
        marked: (first second, second after the last) of each annotator's moment.
        best: the model's.
        rank: where the annotators' moments stand.
        thumbnails: of the time that moments are in; may be empty.
    """

    sentence: str
    video: str
    marked: Sequence[tuple[int, int]]
    best: tuple[int, int]
    rank: float
    thumbnails: Thumbnails = ()


def draw_labels(
    true: np.ndarray, found: np.ndarray, names: Mapping[int, str], title: str, thumbnails: Thumbnails = ()
) -> "Figure":
    """Draw the labels of a video's seconds.

    Args:
        true: int (T,), 0 for none.
        found: int (T,), what the model says.
        names: label -> its text.
        title: of the picture.
        thumbnails: of the video; may be empty.

    Returns:
        The picture.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    order = [label for label in dict.fromkeys(true.tolist()) if label]
    looks = {
        label: (COLOURS[n % len(COLOURS)], HATCHES[n // len(COLOURS) % len(HATCHES)]) for n, label in enumerate(order)
    }
    numbers = {label: str(n) for n, label in enumerate(order, 1)}
    entries = [
        (
            Patch(facecolor=colour, hatch=hatch, edgecolor="white"),
            f"{numbers[label]}  {_short(names.get(label, str(label)))}",
        )
        for label, (colour, hatch) in looks.items()
    ]
    entries.append((Patch(facecolor=OTHER), "a step that the video does not show"))
    lines = -(-len(entries) // 2)
    legend = LEGEND_LINE * lines + MARGIN
    strip = STRIP if len(thumbnails) else 0.0
    height = TITLE + legend + 2 * LANE + 2 * GAP + strip + AXIS
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    write_title(figure, title, LEFT)
    _legend(figure, entries, LEFT, columns=2)
    inner = WIDTH - 1.0 - RIGHT
    bottom = AXIS + strip + GAP
    lanes = figure.add_axes((1.0 / WIDTH, bottom / height, inner / WIDTH, (2 * LANE + GAP) / height))
    for place, labels in ((1, true), (0, found)):
        _draw_lane(lanes, place, labels, looks, numbers, inner / max(1, len(true)))
    lanes.set_yticks([0, 1], ["model", "truth"], size=10)
    lanes.set_ylim(-0.46, 1.46)
    _finish(figure, lanes, thumbnails, len(true), left=1.0, strip=strip)
    return figure


def draw_parts(
    parts: Sequence[tuple[int, int, int]],
    names: Sequence[str],
    title: str,
    seconds: float,
    thumbnails: Thumbnails = (),
    *,
    curves: np.ndarray | None = None,
    level: float | None = None,
) -> "Figure":
    """Draw a video's parts in a row, and the curves that they come from above.

    Args:
        parts: (first second, second after the last, number of the name) of each; -1 for none.
        names: of the parts.
        title: of the picture.
        seconds: length of the video.
        thumbnails: of the video; may be empty.
        curves: float (T, names), as far as they are to be drawn.
        level: below which no name fits.

    Returns:
        The picture.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    looks = [(COLOURS[n % len(COLOURS)], HATCHES[n // len(COLOURS) % len(HATCHES)]) for n in range(len(names))]
    entries = [
        (Patch(facecolor=colour, hatch=hatch, edgecolor="white"), f"{number}  {_short(name)}")
        for number, ((colour, hatch), name) in enumerate(zip(looks, names, strict=True), 1)
    ]
    legend = LEGEND_LINE * -(-len(entries) // 2) + MARGIN
    strip = STRIP if len(thumbnails) else 0.0
    above = CURVES + GAP if curves is not None else 0.0
    height = TITLE + legend + above + LANE + 2 * GAP + strip + AXIS
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    write_title(figure, title, LEFT)
    _legend(figure, entries, LEFT, columns=2)
    inner, bottom = WIDTH - LEFT - RIGHT, AXIS + strip + GAP
    lane = figure.add_axes((LEFT / WIDTH, bottom / height, inner / WIDTH, LANE / height))
    labels = np.zeros(max(end for _, end, _ in parts), np.int64)
    for begin, end, number in parts:
        labels[begin:end] = number + 1
    _draw_lane(
        lane, 0, labels, dict(enumerate(looks, 1)), {n: str(n) for n in range(1, len(names) + 1)}, inner / seconds
    )
    lane.set_yticks([])
    lane.set_ylim(-0.46, 0.46)
    _finish(figure, lane, thumbnails, seconds, left=LEFT, strip=strip)
    if curves is not None:
        place = (LEFT / WIDTH, (bottom + LANE + GAP) / height, inner / WIDTH, CURVES / height)
        _draw_scores(figure.add_axes(place), curves, level, seconds)
    return figure


def _draw_scores(axes: "Axes", curves: np.ndarray, level: float | None, seconds: float) -> None:
    middles = np.arange(len(curves)) + 0.5
    middles[-1] = (len(curves) - 1 + seconds) / 2  # the last second may be a short one
    for number, curve in enumerate(curves.T):
        style = STYLES[number // len(COLOURS) % len(STYLES)]
        axes.plot(middles, curve, style, color=COLOURS[number % len(COLOURS)], linewidth=1.6)
    if level is not None:
        axes.axhline(level, color="#8a8a8a", linewidth=1, linestyle=(0, (4, 3)))
        note = axes.text(seconds, level, "none below ", size=8.5, color="#6a6a6a", ha="right", va="bottom")
        note.set_parse_math(False)
    axes.set_xlim(0, seconds)
    axes.set_ylabel("stands out by (deviations)", color=INK)
    axes.grid(axis="y", color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelbottom=False, length=0, colors=INK)
    hide_frame(axes)


def draw_steps(
    true: np.ndarray, found: np.ndarray, names: Sequence[str], title: str, thumbnails: Thumbnails = ()
) -> "Figure":
    """Draw where the steps of a task happen, and where a model puts them.

    Args:
        true: bool (T, K).
        found: bool (T, K), True at one second of each step.
        names: of the steps.
        title: of the picture.
        thumbnails: of the video; may be empty.

    Returns:
        The picture.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    seconds, steps = true.shape
    strip = STRIP if len(thumbnails) else 0.0
    legend = LEGEND_LINE + MARGIN
    height = TITLE + legend + STEP * steps + GAP + strip + AXIS
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    write_title(figure, title, MARGIN)
    dots = {
        "inside": ("o", RIGHT_DOT),
        "outside": ("X", WRONG_DOT),
        "of a step that does not happen": ("X", OTHER),
    }
    entries = [(Patch(facecolor=TRUTH), "truth")]
    entries += [
        (
            Line2D([], [], marker=mark, color=colour, linestyle="", markersize=8, markeredgecolor="white"),
            f"model, {name}",
        )
        for name, (mark, colour) in dots.items()
    ]
    _legend(figure, entries, MARGIN, columns=4)
    inner = WIDTH - BESIDE - RIGHT
    box = (BESIDE / WIDTH, (AXIS + strip + GAP) / height, inner / WIDTH, STEP * steps / height)
    axes = figure.add_axes(box)
    for step in range(steps):
        for begin, end in _runs(true[:, step]):
            axes.barh(step, end - begin, left=begin, height=0.72, color=TRUTH)
        for second in np.flatnonzero(found[:, step]):
            kinds = list(dots.values())
            mark, colour = kinds[0 if true[second, step] else 1 if true[:, step].any() else 2]
            axes.plot(second + 0.5, step, mark, color=colour, markersize=10, markeredgecolor="white", clip_on=False)
    wrapped = ["\n".join(textwrap.wrap(_short(name, 2 * NAME_LENGTH), NAME_LENGTH)[:2]) for name in names]
    axes.set_yticks(range(steps), wrapped, size=8.5)
    axes.set_ylim(steps - 0.5, -0.5)
    axes.hlines(np.arange(steps + 1) - 0.5, 0, seconds, color=FAINT, linewidth=0.7)
    _finish(figure, axes, thumbnails, seconds, left=BESIDE, strip=strip)
    for label, column in zip(axes.get_yticklabels(), true.T, strict=True):
        label.set_color(INK if column.any() else "#8a8a8a")  # what does not happen in this video
    return figure


def draw_moments(ranked: Sequence[RankedMoments], seconds: int) -> "Figure":
    """Draw the moments of some sentences, those of the annotators and the model's best.

    Args:
        ranked: the sentences.
        seconds: that moments are in.

    Returns:
        The picture, the sentences one below the other.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    heights = [_moment_height(entry) for entry in ranked]
    height = TITLE + LEGEND_LINE + MARGIN + sum(heights) + AXIS
    figure = Figure(figsize=(WIDTH, height), facecolor="white")
    write_title(figure, "Moments: what annotators marked, and the model's best", LEFT)
    marks = [(Patch(facecolor=COLOURS[0]), "annotators"), (Patch(facecolor=BEST), "the model's best of the moments")]
    _legend(figure, marks, LEFT, columns=2)
    top = height - TITLE - LEGEND_LINE - MARGIN
    inner = WIDTH - LEFT - RIGHT
    axes = None
    for entry, tall in zip(ranked, heights, strict=True):
        top -= tall
        strip = MOMENT_STRIP if len(entry.thumbnails) else 0.0
        lanes = ANNOTATOR * len(entry.marked) + MOMENT
        told = f"rank {entry.rank:.3g}" if np.isfinite(entry.rank) else "not ranked"
        place = (LEFT / WIDTH, (top + lanes + strip + 0.05 + MARGIN) / height)
        figure.text(*place, _short(entry.sentence, 78), size=10, weight="bold", color=INK, parse_math=False)
        where = (1 - RIGHT / WIDTH, place[1])
        figure.text(*where, f"{_short(entry.video, 26)}, {told}", size=9, color=INK, ha="right", parse_math=False)
        if strip:
            box = (LEFT / WIDTH, (top + lanes + MARGIN) / height, inner / WIDTH, strip / height)
            above = figure.add_axes(box)
            draw_strip(above, entry.thumbnails, seconds, share=strip / inner)
            above.set_xticks([])
        axes = figure.add_axes((LEFT / WIDTH, (top + MARGIN) / height, inner / WIDTH, lanes / height))
        _draw_moment(axes, entry, seconds)
    assert axes is not None, "there is a sentence"
    axes.tick_params(labelbottom=True, length=3, colors=INK)
    mark_time(axes, axes, seconds)
    return figure


def _draw_moment(axes: "Axes", entry: RankedMoments, seconds: int) -> None:
    for number, (begin, end) in enumerate(entry.marked):
        bottom = MOMENT + ANNOTATOR * number
        axes.bar(begin, ANNOTATOR * 0.8, end - begin, bottom, align="edge", color=COLOURS[0])
    begin, end = entry.best
    axes.bar(begin, MOMENT * 0.8, end - begin, 0.0, align="edge", color=BEST)
    axes.set_xlim(0, seconds)
    axes.set_ylim(0, MOMENT + ANNOTATOR * len(entry.marked))
    axes.set_xticks(np.arange(0, seconds + 1, 5))
    axes.set_yticks([])
    axes.grid(axis="x", color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelbottom=False, length=0)
    hide_frame(axes)


def _moment_height(entry: RankedMoments) -> float:
    strip = MOMENT_STRIP if len(entry.thumbnails) else 0.0
    return SENTENCE + strip + ANNOTATOR * len(entry.marked) + MOMENT + MARGIN


def _draw_lane(
    axes: "Axes",
    place: int,
    labels: np.ndarray,
    looks: Mapping[int, tuple[str, str]],
    numbers: Mapping[int, str],
    inches: float,
) -> None:
    """Draw a row of segments; a second is so many inches long."""
    from matplotlib.patheffects import withStroke

    axes.barh(place, len(labels), height=0.8, color="#f4f4f4")
    for label in (label for label in dict.fromkeys(labels.tolist()) if label):
        colour, hatch = looks.get(label, (OTHER, ""))
        for begin, end in _runs(labels == label):
            axes.barh(place, end - begin, left=begin, height=0.8, color=colour, hatch=hatch, edgecolor="white", lw=0.6)
            if label in numbers and (end - begin) * inches >= NARROW:
                axes.text(
                    (begin + end) / 2,
                    place,
                    numbers[label],
                    ha="center",
                    va="center",
                    size=10,
                    weight="bold",
                    color=INK,
                    path_effects=[withStroke(linewidth=3, foreground="white")],
                )


def _finish(
    figure: "Figure", upper: "Axes", thumbnails: Thumbnails, seconds: float, *, left: float, strip: float
) -> None:
    """Put the strip of thumbnails below, and the time axis below that."""
    wide, high = figure.get_size_inches()
    inner = wide - left - RIGHT
    lower = upper
    if strip:
        lower = figure.add_axes((left / wide, AXIS / high, inner / wide, strip / high))
        draw_strip(lower, thumbnails, seconds, share=strip / inner)
        upper.tick_params(labelbottom=False)
    upper.set_xlim(0, seconds)
    upper.tick_params(axis="both", length=0, colors=INK)
    hide_frame(upper)
    mark_time(upper, lower, seconds)
    for label in upper.get_yticklabels():
        label.set_parse_math(False)


def _legend(figure: "Figure", entries: Sequence[tuple], left: float, *, columns: int) -> None:
    wide, high = figure.get_size_inches()
    shown = figure.legend(
        [mark for mark, _ in entries],
        [text for _, text in entries],
        loc="upper left",
        bbox_to_anchor=(left / wide, 1 - TITLE / high),
        ncols=columns,
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        handlelength=1.6,
        labelspacing=0.25,
        columnspacing=2.5,
        fontsize=9.5,
        labelcolor=INK,
    )
    for text in shown.get_texts():
        text.set_parse_math(False)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """(first second, second after the last) of each run of True."""
    edges = np.flatnonzero(np.diff(np.r_[False, flags, False].astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]


def _short(text: str, length: int = LEGEND_LENGTH) -> str:
    words = " ".join(text.split())
    return words if len(words) <= length else f"{words[: length - 1]}\N{HORIZONTAL ELLIPSIS}"
