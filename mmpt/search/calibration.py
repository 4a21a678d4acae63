"""What a score means: how far something stands out from what a library holds by chance.

A dot product says little by itself: one query scores all videos near 20, another near 3. So each query is put against
its own background, the scores of a fixed sample of the library's windows:

    z = (score - location) / scale        location, scale: of the background, from its lower part
    calibrated = z - best_by_chance(N)    N: how many windows are searched

The best of N draws of a normal distribution lies near `best_by_chance(N)`, so that 0 means "as good as the best that
chance alone would bring", however many windows there are, and a threshold means the same for every query and library.

It assumes that most windows do not fit the query, and that their scores are about normal. Matches lie above the
background and would widen it, so that only its lower side is used: location is a median from which outliers above were
taken out, scale the distance from it to what lies below. Up to a third of the library may fit; where nearly all of it
does, nothing stands out, and that is the answer. Windows overlap, so fewer than N are independent, which errs towards
"no match".
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

DEFAULT_THRESHOLD = 1.0
ENOUGH = 30  # windows; with fewer, background and match cannot be told apart
LOWER = NormalDist().inv_cdf(0.75)  # half of what lies below the middle is within this many deviations of it
CLIP = 2.5  # deviations above the middle from which a window is no background
ROUNDS = 20  # of clipping, at most; it settles in a few
SPARE = 1e-6  # a scale below this part of the largest score is rounding


@dataclass(frozen=True)
class Background:
    """How a query scores what it does not look for.

    Attributes:
        location: the middle of the scores.
        scale: their standard deviation; 0 where they are all the same.
        count: how many windows were looked at.
    """

    location: float
    scale: float
    count: int

    @property
    def judges(self) -> bool:
        """Whether there is enough to tell a match from the rest."""
        return self.count >= ENOUGH and self.scale > 0

    def calibrate(self, scores: np.ndarray | float, windows: int) -> np.ndarray:
        """Put scores on the scale that all queries share.

        Args:
            scores: dot products.
            windows: how many were searched.

        Returns:
            float64, of the same shape. Where the background has no width, all are that of the middle.
        """
        distance = np.asarray(scores, np.float64) - self.location
        z = distance / self.scale if self.scale > 0 else np.zeros_like(distance)
        return z - best_by_chance(windows)


def background(sample: np.ndarray) -> Background:
    """Measure a query's background.

    Args:
        sample: float (n,), scores of windows from all over the library, matches among them.

    Returns:
        What the lower side says of it.
    """
    scores = np.sort(np.asarray(sample, np.float64))
    if not len(scores):
        return Background(0.0, 0.0, 0)
    kept = len(scores)
    location = scale = 0.0
    for _ in range(ROUNDS):
        location = float(np.median(scores[:kept]))
        below = location - scores[scores < location]
        scale = float(np.median(below)) / LOWER if len(below) else 0.0
        clipped = int(np.searchsorted(scores, location + CLIP * scale, side="right"))
        if clipped == kept:
            break
        kept = max(1, clipped)
    rounding = SPARE * float(np.abs(scores).max())
    return Background(location, scale if scale > rounding else 0.0, len(scores))


def best_by_chance(windows: int) -> float:
    """Say how far above the middle the best of some draws lies, in deviations.

    Args:
        windows: how many draws.

    Returns:
        About the expected maximum of that many independent draws of a normal distribution; 0 for one or none.
    """
    if windows < 2:
        return 0.0
    return NormalDist().inv_cdf((windows - math.pi / 8) / (windows - math.pi / 4 + 1))  # Blom's plotting position


def false_alarm(score: float, windows: int) -> float:
    """Say how likely chance alone brings a score.

    Args:
        score: a calibrated one.
        windows: how many were searched.

    Returns:
        The probability that the best of that many independent draws of a normal distribution is at least as high.
    """
    below = NormalDist().cdf(score + best_by_chance(windows))
    return -math.expm1(max(1, windows) * math.log(below)) if below > 0 else 1.0
