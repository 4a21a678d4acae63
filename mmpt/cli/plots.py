"""Pictures of results: curves of relevance over a strip of the video, and what all pictures share."""

import textwrap
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmpt.cli.timecode import timecode
from mmpt.utils.files import atomic_path, check_writable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # told apart by colour-blind people too
STYLES = ("-", "--", ":")  # one for each round through the colours
INK, FAINT = "#222222", "#dddddd"
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)  # seconds between marks of the time axis
MOST_MARKS = 9  # on the time axis
DENSE = 400  # points; longer curves are smoothed, and drawn faintly as they are
MARKED = 60  # points; shorter curves have a dot for each
LINE_LENGTH = 100  # letters of a sentence in one line of the legend
TITLE_LENGTH = 85  # letters; of longer names the middle is left out
DOT, LABEL, LETTER = 9.0, 13.0, 6.5  # points: a highest moment's dot, its time's height, a letter's width
# All further lengths in inches.
WIDTH, LEFT, RIGHT = 11.0, 0.75, 0.4
TITLE, LEGEND_LINE, CURVES, GAP, MOST_STRIP, AXIS, MARGIN = 0.42, 0.185, 2.9, 0.08, 1.7, 0.55, 0.12


def plot_curves(
    target: Path, curves: Mapping[str, np.ndarray], thumbnails: Sequence[np.ndarray], seconds: float, title: str
) -> None:
    """Draw how relevant each second of a video is to each sentence.

    Args:
        target: the PNG file to write; it is whole or absent.
        curves: sentence -> float (seconds,), one value for each started second.
        thumbnails: uint8 (height, width, 3) frames from the middles of equal parts of the video, in order; may be
            empty.
        seconds: the video's length.
        title: the video's name.

    Raises:
        ValueError: the target cannot be written, see `check_target`, or there is nothing to draw.
    """
    target = Path(target)
    check_target(target)
    if not curves or seconds <= 0 or any(np.ndim(curve) != 1 or len(curve) == 0 for curve in curves.values()):
        shapes = {sentence: np.shape(curve) for sentence, curve in curves.items()}
        raise ValueError(
            f"nothing to draw: {seconds} seconds, curves of shapes {shapes}; give one value for each second"
        )
    save_figure(target, _draw(curves, thumbnails, seconds, title))


def save_figure(target: Path, figure: "Figure") -> None:
    """Write a picture.

    Args:
        target: the PNG file; it is whole or absent.
        figure: what to write.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")  # shown as boxes; no reason to stop
        with atomic_path(target) as temporary:
            figure.savefig(temporary, format="png", dpi=120)


def check_target(target: Path) -> None:
    """Refuse, before any work, a picture that could not be written after it. Nothing is made.

    Args:
        target: the file to write.

    Raises:
        ValueError: it does not end in .png, is a folder, or lies where this user can write no file.
    """
    if target.suffix.lower() != ".png":
        raise ValueError(f"{target} does not end in .png; plots are written as PNG, so name the file accordingly")
    check_writable(target, "the plot")


def thumbnails(path: Path, count: int, size: int, *, seconds: float | None = None) -> list[tuple[float, np.ndarray]]:
    """Take evenly spaced frames of a video, without decoding what lies between them.

    Args:
        path: the video file.
        count: how many.
        size: side of the square frames, in pixels.
        seconds: how much of the video, from its start on; all of it by default.

    Returns:
        (second, uint8 (size, size, 3)) from the middle of each of `count` equal parts; where the video ends before, or
        cannot be read to its end, the last that can be read stands in.

    Raises:
        FileNotFoundError: there is no such file.
        VideoError: it cannot be read as a video.
    """
    from mmpt.video.errors import VideoDamageWarning
    from mmpt.video.reader import probe, read_frames

    rate = 30  # frames per second of the grid that the moments lie on
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VideoDamageWarning)  # reading for the score has told of it already
        if seconds is None:
            seconds = probe(path).duration
        if not seconds:
            seconds = sum(len(chunk) for chunk in read_frames(path, rate, 16)) / rate
        taken: list[tuple[float, np.ndarray]] = []
        for part in range(count):
            moment = int((part + 0.5) * seconds / count * rate) / rate
            chunk = next(read_frames(path, rate, size, moment, moment + 1 / rate), None)
            if chunk is not None:
                taken.append((moment, chunk[0]))
            elif taken:
                taken.append((moment, taken[-1][1]))
    return taken


def _draw(curves: Mapping[str, np.ndarray], strip: Sequence[np.ndarray], seconds: float, title: str) -> "Figure":
    from matplotlib.figure import Figure

    entries = [_legend_entry(sentence, curve) for sentence, curve in curves.items()]
    legend = LEGEND_LINE * sum(entry.count("\n") + 1 for entry in entries) + MARGIN
    inner = WIDTH - LEFT - RIGHT
    strip_height = min(MOST_STRIP, inner / len(strip)) if strip else 0.0
    height = TITLE + legend + CURVES + GAP + strip_height + AXIS
    figure = Figure(figsize=(WIDTH, height), facecolor="white")

    def axes_at(bottom: float, tall: float) -> "Axes":
        return figure.add_axes((LEFT / WIDTH, bottom / height, inner / WIDTH, tall / height))

    upper = axes_at(AXIS + strip_height + GAP, CURVES)
    lines = _draw_curves(upper, curves, seconds)
    lower = upper
    if strip:
        lower = axes_at(AXIS, strip_height)
        draw_strip(lower, strip, seconds, share=strip_height / inner)
        upper.tick_params(labelbottom=False, bottom=False)
    mark_time(upper, lower, seconds)
    write_title(figure, title, LEFT)
    shown = figure.legend(
        lines,
        entries,
        loc="upper left",
        bbox_to_anchor=(LEFT / WIDTH, 1 - TITLE / height),
        frameon=False,
        borderpad=0,
        borderaxespad=0,
        handlelength=1.6,
        labelspacing=0.25,
        fontsize=9.5,
        labelcolor=INK,
    )
    for text in shown.get_texts():
        text.set_parse_math(False)
    return figure


def write_title(figure: "Figure", title: str, left: float) -> None:
    """Write a title at the top of a picture, `left` inches from its side; of a long one the middle is left out."""
    if len(title) > TITLE_LENGTH:
        half = TITLE_LENGTH // 2
        title = f"{title[:half]} \N{HORIZONTAL ELLIPSIS} {title[-half:]}"
    wide, high = figure.get_size_inches()
    place = (left / wide, 1 - MARGIN / high)
    figure.text(*place, title, va="top", size=13, weight="bold", color=INK, parse_math=False)


def _legend_entry(sentence: str, curve: np.ndarray) -> str:
    best = f"highest at {timecode(_best(curve))}"
    return "\n".join(textwrap.wrap(f"{' '.join(sentence.split())}  \N{EM DASH}  {best}", LINE_LENGTH))


def _best(curve: np.ndarray) -> int:
    known = np.where(np.isnan(curve), -np.inf, curve)
    return int(known.argmax())


def _draw_curves(axes: "Axes", curves: Mapping[str, np.ndarray], seconds: float) -> list:
    lines, best = [], []
    for number, curve in enumerate(curves.values()):
        curve = np.asarray(curve, np.float64)
        begins = np.arange(len(curve), dtype=np.float64)
        end = seconds if len(curve) - 1 < seconds else len(curve)  # the last second may be a short one
        middles = (begins + np.minimum(begins + 1, end)) / 2
        colour = COLOURS[number % len(COLOURS)]
        style = STYLES[number // len(COLOURS) % len(STYLES)]
        dot = "o" if len(curve) <= MARKED else None
        if len(curve) > DENSE:
            axes.plot(middles, curve, color=colour, linewidth=0.6, alpha=0.25)
        lines += axes.plot(middles, _smooth(curve), style, color=colour, linewidth=1.8, marker=dot, markersize=3)
        second = _best(curve)
        best.append((middles[second], curve[second], timecode(second), colour))
    axes.set_xlim(0, seconds)
    axes.margins(y=0.18)  # room for the times of the highest moments
    axes.set_ylabel("relevance (dot product)", color=INK)
    axes.grid(color=FAINT, linewidth=0.7)
    axes.set_axisbelow(True)
    hide_frame(axes)
    axes.tick_params(colors=INK, length=0)
    _label_best(axes, best)
    return lines


def _smooth(curve: np.ndarray) -> np.ndarray:
    """Average a long curve over so many neighbours that about `DENSE` / 2 separate values are left."""
    if len(curve) <= DENSE:
        return curve
    width = 2 * (len(curve) // DENSE) + 1
    padded = np.pad(curve, width // 2, mode="edge")
    return np.convolve(padded, np.full(width, 1 / width), mode="valid")


def _label_best(axes: "Axes", best: list[tuple[float, float, str, str]]) -> None:
    """Put a dot on each curve's highest moment, and its time above it, higher where something else is in the way."""
    from matplotlib.patheffects import withStroke

    scale = 72 / axes.figure.dpi
    left, right = (edge * scale for edge in axes.get_window_extent().intervalx)
    spots = [axes.transData.transform((x, y)) * scale for x, y, _, _ in best]
    taken = [(across, up, DOT, DOT) for across, up in spots]  # middles and sizes, in points
    for (x, y, label, colour), (across, up) in sorted(zip(best, spots, strict=True), key=lambda item: item[1][1]):
        axes.plot([x], [y], "o", color=colour, ms=DOT, mec="white", mew=1.5, zorder=5, clip_on=False)
        wide = LETTER * len(label)
        middle = min(max(across, left + wide / 2), right - wide / 2)
        lift = (DOT + LABEL) / 2 + 2
        while any(abs(middle - a) < (wide + w) / 2 and abs(up + lift - u) < (LABEL + h) / 2 for a, u, w, h in taken):
            lift += LABEL / 4
        taken.append((middle, up + lift, wide, LABEL))
        axes.annotate(
            label,
            (x, y),
            xytext=(middle - across, lift),
            textcoords="offset points",
            ha="center",
            va="center",
            size=9,
            weight="bold",
            color=colour,
            zorder=6,
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )


def draw_strip(axes: "Axes", strip: Sequence[np.ndarray], seconds: float, *, share: float) -> None:
    """Show each thumbnail in the middle of its part of the time, as a square whose side is `share` of the width."""
    half = share * seconds / 2 * 0.985  # a thin gap between two
    for number, picture in enumerate(strip):
        middle = (number + 0.5) * seconds / len(strip)
        axes.imshow(picture, extent=(middle - half, middle + half, 0, 1), aspect="auto", interpolation="lanczos")
    axes.set_xlim(0, seconds)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    hide_frame(axes)


def hide_frame(axes: "Axes") -> None:
    """Take the four lines around a drawing away."""
    axes.spines[:].set_visible(False)


def mark_time(upper: "Axes", lower: "Axes", seconds: float) -> None:
    """Mark time codes at round distances below `lower`, and lines at the same places in `upper`."""
    step = next((step for step in STEPS if seconds / step <= MOST_MARKS), STEPS[-1])
    while seconds / step > MOST_MARKS:
        step *= 2
    marks = np.arange(0, seconds + 1e-9, step)
    upper.set_xticks(marks)
    lower.set_xticks(marks, [timecode(mark) for mark in marks])
    lower.set_xlabel("time", color=INK)
    lower.tick_params(axis="x", colors=INK, length=3)
