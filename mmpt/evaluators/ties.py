"""Scores that differ by rounding only are equal.

A mean over five equal seconds and one over seven differ in the last bit, and so do sums in another order on another
processor. A model that says the same of everything is at chance only where its scores then count as equal.
"""

from itertools import pairwise

import numpy as np

# In units of float32's last place, of the size that a score could have. Means over up to 32 equal seconds and their dot
# products differ by up to about 8; that is 1e-6, by which also the same model's vectors differ between two machines.
ROUNDING_UNITS = 16


def rounding_of(texts: np.ndarray, videos: np.ndarray) -> np.ndarray:
    """By how much dot products may differ by rounding: (N, D), (M, D) -> float32 (N, 1), one for each text."""
    longest = np.linalg.norm(videos, axis=-1).max(initial=0)
    return _rounding(np.linalg.norm(texts, axis=-1) * longest)[:, None]


def rounding_of_scores(scores: np.ndarray) -> np.ndarray:
    """The same where only scores are known: (..., M) -> (..., 1), by the largest score of a row."""
    return _rounding(np.abs(scores).max(axis=-1, keepdims=True, initial=0))


def ranked(scores: np.ndarray) -> list[int]:
    """The places of scores, (M,), the best first; those that differ by rounding only in their own order."""
    order = np.argsort(-scores, kind="stable")
    margin = float(_rounding(np.abs(scores).max(initial=0)))
    group, groups = 0, np.zeros(len(scores), int)
    for above, below in pairwise(order):
        group += scores[above] - scores[below] > margin
        groups[below] = group
    return np.argsort(groups, kind="stable").tolist()


def _rounding(size: np.ndarray) -> np.ndarray:
    return (ROUNDING_UNITS * np.finfo(np.float32).eps * size).astype(np.float32)
