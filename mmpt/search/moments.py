"""From windows that overlap to moments that do not: merged over places and lengths, then refined by the second."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

SMOOTHING = 3  # seconds over which a curve is averaged before its borders are looked for
MOST_TAKEN = 0.25  # of a core that other moments may have: more, and it stands out because of them
HEIGHT = 0.5  # of the way from the background to the peak: what lies above belongs to the moment
SUPPORT = 0.5  # likewise for windows, from the background to the best one


@dataclass(frozen=True)
class Core:
    """A place of a video where a window stands out.

    Attributes:
        video: number of the video.
        start: first second of the window.
        end: the second after its last.
        score: of the window.
        first: first second of all windows that speak for the same.
        last: the second after their last.
    """

    video: int
    start: int
    end: int
    score: float
    first: int
    last: int


def merge_windows(
    videos: np.ndarray, starts: np.ndarray, ends: np.ndarray, scores: np.ndarray, *, base: float, limit: int
) -> list[Core]:
    """Merge windows of all lengths that are about one place.

    The best window is a core. Windows that stand out at least half as far, and overlap it or one another in a chain
    from it, say how far the moment may reach. Of the windows that do not overlap a core the best is the next one, and
    so on.

    Args:
        videos: int (n,), the number of each window's video.
        starts: int (n,), first second.
        ends: int (n,), the second after the last.
        scores: float (n,).
        base: score of the background.
        limit: how many cores at most.

    Returns:
        Cores that do not overlap, best first; of equal ones the earlier video, the earlier and the shorter window.
    """
    order = np.lexsort((ends - starts, starts, videos, -scores))
    rows = {video: order[videos[order] == video] for video in np.unique(videos).tolist()}
    free = np.ones(len(order), bool)
    cores: list[Core] = []
    for index in order.tolist():
        if len(cores) == limit:
            break
        if not free[index]:
            continue
        of_video = rows[int(videos[index])]
        start, end, score = int(starts[index]), int(ends[index]), float(scores[index])
        low, high = starts[of_video], ends[of_video]
        free[of_video[(low < end) & (high > start)]] = False
        speaking = scores[of_video] >= base + SUPPORT * (score - base)
        reach = _reach(start, end, low[speaking], high[speaking])
        cores.append(Core(int(videos[index]), start, end, score, *reach))
    return cores


def _reach(start: int, end: int, starts: np.ndarray, ends: np.ndarray) -> tuple[int, int]:
    """How far windows lead from one, each of which overlaps what the others before it cover."""
    while True:
        touching = (starts < end) & (ends > start)
        first, last = int(starts[touching].min(initial=start)), int(ends[touching].max(initial=end))
        if (first, last) == (start, end):
            return start, end
        start, end = first, last


def refine(
    core: Core, curve: np.ndarray, *, base: float, taken: Sequence[tuple[float, float]] = ()
) -> tuple[int, int, int] | None:
    """Find where a moment begins and ends, and its best second.

    From the peak of the curve within the core it reaches as far, within what the core's windows cover, as the seconds
    lie on the whole above the middle between background and peak. A core whose seconds all lie below the background
    stays as it is.

    Args:
        core: the place.
        curve: float (seconds,), the score of each second of the video.
        base: score of the background.
        taken: spans of the video that other moments have.

    Returns:
        First second, the second after the last, and the one that fits best; None when others have more than a quarter
        of the core, which stands out because of them.
    """
    free = np.ones(len(curve), bool)
    for start, end in taken:
        free[math.floor(start) : math.ceil(end)] = False
    free[: core.first], free[core.last :] = False, False
    own = np.flatnonzero(free[core.start : core.end]) + core.start
    if len(own) < (1 - MOST_TAKEN) * (core.end - core.start):
        return None
    smooth = smoothed(curve)
    peak = int(own[np.argmax(smooth[own])])
    blocked = np.flatnonzero(~free)
    low = int(blocked[blocked < peak].max(initial=-1)) + 1
    high = int(blocked[blocked > peak].min(initial=len(curve)))
    if smooth[peak] <= base:
        low, high = max(low, core.start), min(high, core.end)
    else:
        gain = smooth - (base + HEIGHT * (smooth[peak] - base))
        low = peak - int(np.argmax(np.cumsum(gain[low : peak + 1][::-1])))
        high = peak + int(np.argmax(np.cumsum(gain[peak:high]))) + 1
    return low, high, low + int(np.argmax(curve[low:high]))


def smoothed(curve: np.ndarray) -> np.ndarray:
    """Average a curve over SMOOTHING seconds, at its ends over those that there are.

    Args:
        curve: float (seconds,).

    Returns:
        float64 (seconds,).
    """
    sums = np.concatenate([[0.0], np.cumsum(curve, dtype=np.float64)])
    places, half = np.arange(len(curve)), SMOOTHING // 2
    low, high = np.maximum(places - half, 0), np.minimum(places + half + 1, len(curve))
    return (sums[high] - sums[low]) / (high - low)


def free_span(start: float, end: float, taken: Iterable[tuple[float, float]]) -> tuple[float, float] | None:
    """Give the longest part of a span that nobody has.

    Args:
        start: of the span, in seconds.
        end: likewise.
        taken: spans that others have.

    Returns:
        (start, end), the earlier of two as long; None when it is less than half of the span.
    """
    parts = [(start, end)]
    for first, last in taken:
        cuts = [((low, min(high, first)), (max(low, last), high)) for low, high in parts]
        parts = [(low, high) for pair in cuts for low, high in pair if low < high]
    if not parts:
        return None
    low, high = max(parts, key=lambda part: (part[1] - part[0], -part[0]))
    return (low, high) if 2 * (high - low) >= end - start else None
