"""Exact products of queries with many float16 vectors, and their order. Shapes: N vectors, Q queries, D width.

A score is the dot product in float64, rounded to float32, and equal ones stand in the order of their rows. A fast
product in float32 finds the candidates: it is off by less than a bound that is known beforehand, so that none of the
best can be missing among them, in whatever order a processor sums.
"""

from typing import NamedTuple

import numpy as np
import torch

ROWS = 2048  # at a time: as float32 they stay in the processor's cache
SCORES = 1 << 24  # that are held at a time: 64 MB
EXACT = 1 << 20  # numbers in float64 that are held at a time: 8 MB


class Hits(NamedTuple):
    """What was found.

    Attributes:
        rows: int64 (Q, k), best first.
        scores: float32 (Q, k).
    """

    rows: np.ndarray
    scores: np.ndarray


class Part(NamedTuple):
    """Some of the vectors.

    Attributes:
        first: row of its first one.
        vectors: float16 (n, D).
        longest: no vector is longer than this.
    """

    first: int
    vectors: np.ndarray
    longest: float


def search(parts: list[Part], queries: np.ndarray, count: int, allowed: np.ndarray | None) -> Hits:
    """Find the best rows.

    Args:
        parts: all vectors, one part after the other.
        queries: float32 (Q, D), finite.
        count: how many rows each query gets, where there are so many.
        allowed: int64, the rows to look at, in their order; None for all.

    Returns:
        min(count, rows to look at) rows for each query.
    """
    total = sum(len(part.vectors) for part in parts) if allowed is None else len(allowed)
    count = min(count, total)
    rows = np.zeros((len(queries), count), np.int64)
    scores = np.zeros((len(queries), count), np.float32)
    step = max(1, SCORES // max(total, 1))
    for start in range(0, len(queries) if count else 0, step):
        asked = queries[start : start + step]
        roughly = rough_scores(parts, asked, allowed)
        margins = _margins(parts, asked)
        for number, margin in enumerate(margins, start):
            close = _candidates(roughly[number - start], count, margin)
            candidates = close if allowed is None else allowed[close]
            rows[number], scores[number] = rank(parts, queries[number], candidates, count)
    return Hits(rows, scores)


def rough_scores(parts: list[Part], queries: np.ndarray, allowed: np.ndarray | None) -> torch.Tensor:
    """Compute products in float32.

    Args:
        parts: all vectors.
        queries: float32 (Q, D).
        allowed: int64, the rows to look at; None for all.

    Returns:
        float32 (Q, N), or (Q, len(allowed)).
    """
    asked = torch.from_numpy(np.ascontiguousarray(queries.T))  # (D, Q)
    found: list[torch.Tensor] = []
    wide = torch.empty(ROWS, len(asked))
    for part in parts:
        end = part.first + len(part.vectors)
        inside = None
        if allowed is not None:
            inside = allowed[np.searchsorted(allowed, part.first) : np.searchsorted(allowed, end)] - part.first
        total = len(part.vectors) if inside is None else len(inside)
        scores = torch.empty(total, len(queries))
        for start in range(0, total, ROWS):
            cut = slice(start, min(start + ROWS, total))
            taken = part.vectors[cut if inside is None else inside[cut]]
            block = wide[: len(taken)].copy_(torch.from_numpy(taken))
            torch.mm(block, asked, out=scores[cut])
        found.append(scores)
    return torch.cat(found).T if len(found) != 1 else found[0].T


def rank(parts: list[Part], query: np.ndarray, rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Put rows in order by their exact scores.

    Args:
        parts: all vectors.
        query: float32 (D,).
        rows: int64, the candidates, in their order.
        count: how many to keep.

    Returns:
        The best rows, int64 (count,), and their scores, float32 (count,).
    """
    wide, scores = query.astype(np.float64), np.empty(len(rows), np.float32)
    step = max(1, EXACT // max(len(query), 1))
    for start in range(0, len(rows), step):
        # Not `@`: its sums depend on what stands beside a row, and equal rows would differ in the last digit.
        products = take(parts, rows[start : start + step]).astype(np.float64) * wide
        scores[start : start + step] = products.sum(axis=1)
    order = np.lexsort((rows, -scores))[:count]
    return rows[order], scores[order]


def take(parts: list[Part], rows: np.ndarray) -> np.ndarray:
    """Copy rows out of the parts.

    Args:
        parts: all vectors.
        rows: int64 (n,).

    Returns:
        float16 (n, D).
    """
    taken = np.empty((len(rows), parts[0].vectors.shape[1]), np.float16)
    for part in parts:
        inside = (rows >= part.first) & (rows < part.first + len(part.vectors))
        taken[inside] = part.vectors[rows[inside] - part.first]
    return taken


def _candidates(scores: torch.Tensor, count: int, margin: float) -> np.ndarray:
    """Give the places, in order, of all that can belong to the best."""
    if count == len(scores):
        return np.arange(count)
    least = scores.topk(count).values[-1]
    return (scores >= least - margin).nonzero()[:, 0].numpy()


def _margins(parts: list[Part], queries: np.ndarray) -> list[float]:
    """Say how much better than another one a row can be that float32 finds worse.

    A sum of D products, in whatever order, is off by at most D u / (1 - D u) of the sum of their sizes, which is no
    more than the product of the lengths; u is 2^-24. Two such sums are compared, and two more roundings are for the
    scores themselves.
    """
    steps = (queries.shape[1] + 2) * 2.0**-24
    longest = max(part.longest for part in parts)
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
    return (2 * steps / (1 - steps) * longest * lengths).tolist()
