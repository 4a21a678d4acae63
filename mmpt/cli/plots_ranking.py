"""Pictures of rankings and choices: ranks, similarities, confusions."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from mmpt.cli.plots import COLOURS, FAINT, INK, hide_frame, write_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

MATRIX = 500  # texts and videos that a similarity matrix shows; of more, so many are taken at equal distances
NAMED = 25  # rows and columns that are named one by one
SMALL = 60  # rows and columns that are named in small letters
SINGLE = 30  # candidates; up to so many each rank has a bar of its own
BOUNDS = (1, 2, 3, 4, 5, 6, 11, 21, 51, 101, 201, 501, 1001, 2001, 5001, 10001)  # first ranks of the other bars
Z = 1.96  # standard deviations on either side that hold 95 %
BLUE, ORANGE = COLOURS[0], COLOURS[1]
MAP = "viridis"  # its brightness rises evenly, also in print and for colour-blind people


def draw_ranks(
    ranks: np.ndarray, candidates: int, what: str, *, chance: bool, tied: np.ndarray | None = None
) -> "Figure":
    """Draw how often the right one has which rank, and which part is found among the first so many.

    Args:
        ranks: float (N,), 1 for the best; a mean rank where some are tied; above `candidates` where there is none.
        candidates: how many are ranked.
        what: what has a rank, for the title.
        chance: whether to show what random orders would give.
        tied: int (N,), how many have the right one's score, itself among them: the recall is the mean over their
            orders, as in a card. None where there is a rank and no more.

    Returns:
        The picture.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(11, 4.5), facecolor="white")
    left, right = figure.add_axes((0.068, 0.29, 0.42, 0.58)), figure.add_axes((0.56, 0.29, 0.42, 0.58))
    write_title(figure, f"{what}: {len(ranks):,} texts, {candidates:,} candidates, median {_plain(ranks)}", 0.75)
    bounds = _bounds(candidates)
    places = np.searchsorted(bounds, ranks, side="right") - 1  # the last one is for those without a rank
    unranked = int((places == len(bounds) - 1).sum())
    counts = np.bincount(places, minlength=len(bounds))[: len(bounds) if unranked else -1]
    left.bar(np.arange(len(counts)), counts, width=0.85, color=BLUE, label="model")
    if chance:
        expected = np.diff(bounds) / candidates * len(ranks)
        places = np.arange(len(expected))
        left.hlines(expected, places - 0.425, places + 0.425, color=ORANGE, linewidth=2.5, label="random order")
    left.set_xticks(np.arange(len(counts)), [*_bar_names(bounds), *(["none"] if unranked else [])])
    left.yaxis.set_major_locator(MaxNLocator(integer=True))
    if candidates > SINGLE:
        left.tick_params(axis="x", rotation=45)
        for label in left.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    _frame(left, "rank", "texts")
    _draw_recall(right, _recall(ranks, tied, candidates), chance)
    return figure


def _recall(ranks: np.ndarray, tied: np.ndarray | None, candidates: int) -> np.ndarray:
    """The part of the texts whose right one is among the first k, float (candidates,) from k = 1 on."""
    if tied is None:
        return np.searchsorted(np.sort(ranks), np.arange(1, candidates + 1), side="right") / max(1, len(ranks))
    better = np.rint(ranks - (tied + 1) / 2).astype(int)
    gains = np.zeros(candidates + 1)  # each of the tied places has a part of the text
    np.add.at(gains, better, 1 / tied)
    np.add.at(gains, better + tied, -1 / tied)
    return np.cumsum(np.cumsum(gains))[:-1] / max(1, len(ranks))


def _draw_recall(axes: "Axes", share: np.ndarray, chance: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    candidates = len(share)
    cuts, dot = np.arange(1, candidates + 1), "o" if candidates == 1 else None  # one point makes no line
    axes.plot(cuts, share, color=BLUE, linewidth=2, marker=dot, drawstyle="steps-post", label="model")
    if chance:
        axes.plot(cuts, cuts / candidates, "--", marker=dot, color=ORANGE, linewidth=2, label="random order")
    if candidates > SINGLE:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    else:
        axes.set_xlim(0.5, candidates + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(0, 1.02)
    _frame(axes, "among the first k", "part of the texts (recall at k)")
    axes.legend(frameon=False, loc="upper left" if chance else "lower right", labelcolor=INK)


def draw_similarity(texts: np.ndarray, videos: np.ndarray, ids: Sequence[str]) -> "Figure":
    """Draw how similar each text is to each video.

    Args:
        texts: float (N, D).
        videos: float (N, D), that of a text in its row.
        ids: of the videos.

    Returns:
        The picture; of many items, some at equal distances.
    """
    from matplotlib.figure import Figure

    count = len(texts)
    taken = np.linspace(0, count - 1, min(count, MATRIX)).round().astype(int)
    scores = texts[taken].astype(np.float64) @ videos[taken].astype(np.float64).T
    figure = Figure(figsize=(7.6, 7.4), facecolor="white")
    axes, beside = _square(figure, left=1.5, bottom=1.7, side=5.1)
    image = axes.imshow(scores, cmap=MAP, interpolation="nearest")
    part = f"{len(taken):,} of {count:,} pairs" if len(taken) < count else f"{count:,} pairs"
    write_title(figure, f"Similarity of texts and videos: {part}", 0.3)
    _frame(axes, "video", "text (that of the video on the diagonal)", grid=False)
    _name(axes, [str(ids[place]) for place in taken.tolist()] if ids else [])
    _explain(figure, image, beside, "dot product")
    return figure


def draw_choices(chosen: np.ndarray, right: np.ndarray, choices: int) -> "Figure":
    """Draw which place was chosen where which was right, and how often the choice was right.

    Args:
        chosen: int (N,), from 0 on.
        right: int (N,).
        choices: how many places there are.

    Returns:
        The picture.
    """
    from matplotlib.figure import Figure

    table = np.zeros((choices, choices))
    np.add.at(table, (right, chosen), 1)
    names = [str(place) for place in range(1, choices + 1)]
    figure = Figure(figsize=(11, 4.5), facecolor="white")
    accuracy = float((chosen == right).mean())
    write_title(figure, f"Choice among {choices} sentences: {len(chosen):,} videos, accuracy {accuracy:.3f}", 0.75)
    left, beside = _square(figure, left=0.75, bottom=0.72, side=3.2)
    axes = figure.add_axes((0.53, 0.16, 0.45, 0.711))
    _draw_shares(figure, left, beside, table)
    _frame(left, "chosen place", "place of the right sentence", grid=False)
    _name(left, names)
    totals = table.sum(axis=1)
    low, high = _wilson(table.diagonal(), totals)
    value = np.divide(table.diagonal(), totals, out=np.full(choices, np.nan), where=totals > 0)
    axes.bar(np.arange(choices), value, color=BLUE, width=0.7)
    errors = np.array([value - low, high - value]).clip(0)
    axes.errorbar(np.arange(choices), value, errors, fmt="none", ecolor=INK, capsize=4)
    axes.axhline(1 / choices, color=ORANGE, linestyle="--", linewidth=2, label="chance")
    axes.set_xticks(np.arange(choices), [f"{name}\nn = {int(n):,}" for name, n in zip(names, totals, strict=True)])
    axes.set_ylim(0, 1.02)
    _frame(axes, "place of the right sentence", "accuracy, with 95 % interval")
    axes.legend(frameon=False, labelcolor=INK)
    return figure


def draw_confusion(chosen: np.ndarray, right: np.ndarray, names: Sequence[str], which: str = "") -> "Figure":
    """Draw which name was given to videos of which.

    Args:
        chosen: int (N,), places in `names`.
        right: int (N,).
        names: of the classes.
        which: videos these are, for the title; such as "of all splits".

    Returns:
        The picture; each row adds to 1.
    """
    from matplotlib.figure import Figure

    count = len(names)
    table = np.zeros((count, count))
    np.add.at(table, (right, chosen), 1)
    figure = Figure(figsize=(10, 9.4), facecolor="white")
    axes, beside = _square(figure, left=1.5, bottom=1.45, side=7.4)
    accuracy = float((chosen == right).mean())
    videos = f"{len(right):,} videos {which}".strip()
    write_title(figure, f"What was said of {videos}, accuracy over all of them {accuracy:.3f}", 0.3)
    _draw_shares(figure, axes, beside, table, written=count <= 12)
    _frame(axes, "said", "shown", grid=False)
    _name(axes, names)
    return figure


def draw_moments_marked(best: Sequence[tuple[int, int]], truth: Sequence[tuple[int, int]]) -> "Figure":
    """Draw which moments models and annotators choose.

    Args:
        best: (first piece, last piece) of the best moment of each sentence.
        truth: of all that annotators marked.

    Returns:
        The picture: two triangles of the 21 moments.
    """
    from matplotlib.figure import Figure

    from mmpt.evaluators.moments import MOMENTS, PIECE, PIECES

    figure = Figure(figsize=(11, 4.9), facecolor="white")
    write_title(figure, "Which moments are chosen, by their first and last piece of five seconds", 0.75)
    chosen = {"annotators": truth, "model": best}
    tables = {name: _counted(moments, PIECES) / max(1, len(moments)) for name, moments in chosen.items()}
    most = max(float(table.max()) for table in tables.values())
    for number, (name, table) in enumerate(tables.items()):
        axes = figure.add_axes((0.07 + 0.5 * number, 0.13, 0.36, 0.7))
        shares = np.where(np.triu(np.ones_like(table)) > 0, table, np.nan)
        axes.imshow(shares, cmap=MAP, vmin=0, vmax=most)
        for first, last in MOMENTS:
            _write_share(axes, first, last, float(shares[first, last]), most)
        axes.set_title(f"{name}: {len(chosen[name]):,} moments", size=11, color=INK)
        _frame(axes, "last second", "first second", grid=False)
        axes.set_xticks(range(PIECES), [str((piece + 1) * PIECE) for piece in range(PIECES)])
        axes.set_yticks(range(PIECES), [str(piece * PIECE) for piece in range(PIECES)])
    return figure


def _counted(moments: Sequence[tuple[int, int]], pieces: int) -> np.ndarray:
    table = np.zeros((pieces, pieces))
    for first, last in moments:
        table[first, last] += 1
    return table


def _square(figure: "Figure", *, left: float, bottom: float, side: float) -> tuple["Axes", "Axes"]:
    """Make room for a matrix, and for the bar that explains its colours; lengths in inches."""
    wide, high = figure.get_size_inches()
    axes = figure.add_axes((left / wide, bottom / high, side / wide, side / high))
    return axes, figure.add_axes(((left + side + 0.15) / wide, bottom / high, 0.16 / wide, side / high))


def _explain(figure: "Figure", image: "AxesImage", beside: "Axes", meaning: str) -> None:
    bar = figure.colorbar(image, cax=beside)
    bar.set_label(meaning, color=INK)
    hide_frame(beside)


def _draw_shares(figure: "Figure", axes: "Axes", beside: "Axes", table: np.ndarray, *, written: bool = True) -> None:
    totals = table.sum(axis=1, keepdims=True)
    shares = np.divide(table, totals, out=np.full_like(table, np.nan), where=totals > 0)  # white without an example
    most = max(float(np.nanmax(shares)), 1e-9)
    image = axes.imshow(shares, cmap=MAP, vmin=0, vmax=most, interpolation="nearest")
    _explain(figure, image, beside, "part of the row")
    if written:
        for row, column in np.ndindex(table.shape):
            _write_share(axes, row, column, float(shares[row, column]), most)


def _write_share(axes: "Axes", row: int, column: int, share: float, most: float) -> None:
    from matplotlib import colormaps

    if np.isnan(share):
        return
    red, green, blue, _ = colormaps[MAP](share / most)
    light = 0.299 * red + 0.587 * green + 0.114 * blue > 0.5
    axes.text(column, row, f"{share:.2f}", ha="center", va="center", size=9, color=INK if light else "white")


def _bounds(candidates: int) -> np.ndarray:
    """First ranks of bars, and the one behind the last rank."""
    if candidates <= SINGLE:
        return np.arange(1, candidates + 2)
    return np.array([bound for bound in BOUNDS if bound <= candidates] + [candidates + 1])


def _bar_names(bounds: np.ndarray) -> list[str]:
    return [
        f"{first:,}" if first == behind - 1 else f"{first:,}\N{EN DASH}{behind - 1:,}"
        for first, behind in pairwise(bounds)
    ]


def _plain(ranks: np.ndarray) -> str:
    return f"{np.median(ranks):.1f}".removesuffix(".0")


def _wilson(hits: np.ndarray, totals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """95 % intervals of shares, sensible for few examples too (Wilson, 1927)."""
    count = np.maximum(totals, 1)
    share = hits / count
    middle = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    half = Z * np.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2)) / (1 + Z**2 / count)
    return middle - half, middle + half


def _frame(axes: "Axes", across: str, up: str, *, grid: bool = True) -> None:
    axes.set_xlabel(across, color=INK)
    axes.set_ylabel(up, color=INK)
    axes.tick_params(colors=INK, length=3)
    hide_frame(axes)
    if grid:
        axes.grid(axis="y", color=FAINT, linewidth=0.7)
        axes.set_axisbelow(True)


def _name(axes: "Axes", names: Sequence[str]) -> None:
    """Name rows and columns, where there are few enough."""
    if not names or len(names) > SMALL:
        return
    size = 8 if len(names) <= NAMED else 6
    short = [name if len(name) <= 18 else f"{name[:17]}\N{HORIZONTAL ELLIPSIS}" for name in names]
    turned = 0 if max(map(len, short)) <= 2 else 90
    axes.set_xticks(range(len(names)), short, size=size, rotation=turned)
    axes.set_yticks(range(len(names)), short, size=size)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)
