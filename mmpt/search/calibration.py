"""What a score means: how far something stands out from what chance would bring.

A dot product says little by itself: one query scores all videos near 20, another near 3, and another model has another
scale. A calibrated score is a number without unit, on one scale for all queries, libraries and models:

    score = (dot - location) / (|q| * spread * best_by_chance(N))

    location   the middle of the query's own background: of its scores over a fixed sample of the library's windows
    |q|        length of the query's vector
    spread     by how much the library's windows differ, along an arbitrary direction: root of the mean variance of
               their coordinates
    N          how many windows are searched; the best of N draws of a normal distribution lies near
               `best_by_chance(N)` deviations above the middle

A text that has nothing to do with a library points anywhere, and scores the windows with a deviation of about
|q| * spread; the best of N then has a score of about 1, however many windows there are. So 1 is what chance brings, and
DEFAULT_THRESHOLD lies above it.

Measured against the query's own deviation instead, texts that mean nothing stand out as far as others do: their scores
are close together, and the best of them is far away in such deviations. docs/search.md has the figures.

Matches lie above the background. So that they do not hide themselves the location is a median from which what lies far
above, as told by the lower side, is taken out: up to a third of the library may fit. Where nearly all of it does,
nothing stands out, and that is the answer. Windows overlap, so that fewer than N are independent; that errs towards "no
match", by little.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

CHANCE = 1.0
DEFAULT_THRESHOLD = 1.3  # in the toy world 4 % of texts about nothing in it reach it, and 98 % of the others
ENOUGH = 30  # windows; with fewer, background and match cannot be told apart
LOWER = NormalDist().inv_cdf(0.75)  # half of what lies below the middle is within this many deviations of it
CLIP = 2.5  # deviations above the middle from which a window is no background
ROUNDS = 20  # of clipping, at most; it settles in a few


@dataclass(frozen=True)
class Background:
    """What a query's scores are held against.

    Attributes:
        location: the middle of its scores over the library.
        deviation: that of an arbitrary query of its length; 0 where the windows do not differ.
        count: how many windows were looked at.
        searched: how many are searched.
    """

    location: float
    deviation: float
    count: int
    searched: int

    @property
    def judges(self) -> bool:
        """Whether there is enough to tell a match from the rest."""
        return self.count >= ENOUGH and self.deviation > 0

    def calibrate(self, score: float) -> float:
        """Put a dot product on the scale that all queries share; 0 where there is nothing to measure by."""
        if self.deviation <= 0:
            return 0.0
        return (score - self.location) / (self.deviation * best_by_chance(max(self.searched, ENOUGH)))


def location(scores: np.ndarray) -> float:
    """Find the middle of a background, whatever matches lie above it.

    Args:
        scores: float (n,), of a query over windows from all over the library, matches among them.

    Returns:
        The median of those that are no outliers above; 0 for none.
    """
    ordered = np.sort(np.asarray(scores, np.float64))
    if not len(ordered):
        return 0.0
    kept = len(ordered)
    middle = 0.0
    for _ in range(ROUNDS):
        middle = float(np.median(ordered[:kept]))
        below = middle - ordered[ordered < middle]
        scale = float(np.median(below)) / LOWER if len(below) else 0.0
        clipped = int(np.searchsorted(ordered, middle + CLIP * scale, side="right"))
        if clipped == kept:
            break
        kept = clipped
    return middle


def best_by_chance(draws: int) -> float:
    """Say how far above the middle the best of some draws lies, in deviations.

    Args:
        draws: how many.

    Returns:
        About the expected maximum of that many independent draws of a normal distribution; 0 for one or none.
    """
    if draws < 2:
        return 0.0
    return NormalDist().inv_cdf((draws - math.pi / 8) / (draws - math.pi / 4 + 1))  # Blom's plotting position
