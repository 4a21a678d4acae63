"""Exact products of queries with many float16 vectors, and their order. Shapes: N vectors, Q queries, D width.

A score is the dot product in float64, rounded to float32, and equal ones stand in the order of their rows. A fast
product in float32 finds the candidates: it is off by less than a bound that is known beforehand, so that none of the
best can be missing among them, in whatever order a processor sums.
"""

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

ROWS = 512  # at a time: as float32 they stay in the processor's cache
SPAN = 16 * ROWS  # what a thread takes at a time
SCORES = 1 << 24  # that are held at a time: 64 MB
EXACT = 1 << 20  # numbers in float64 that are held at a time: 8 MB

_starting = threading.Lock()
_pool: ThreadPoolExecutor | None = None


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


def rough_scores(parts: list[Part], queries: np.ndarray, allowed: np.ndarray | None = None) -> torch.Tensor:
    """Compute products in float32.

    Args:
        parts: all vectors.
        queries: float32 (Q, D).
        allowed: int64, the rows to look at, in their order; None for all.

    Returns:
        float32 (Q, N), or (Q, len(allowed)).
    """
    asked = torch.from_numpy(np.ascontiguousarray(queries.T))  # (D, Q)
    jobs: list[tuple[torch.Tensor, torch.Tensor | None]] = []
    for part in parts:
        vectors, rows = torch.from_numpy(part.vectors), None
        if allowed is not None:
            first, end = np.searchsorted(allowed, [part.first, part.first + len(vectors)])
            rows = torch.from_numpy(allowed[first:end] - part.first)
        cut = (vectors if rows is None else rows).split(SPAN)
        jobs += [(piece, None) if rows is None else (vectors, piece) for piece in cut if len(piece)]
    found = list(_workers().map(lambda job: _products(job[0], job[1], asked), jobs))
    return torch.cat(found).T if found else torch.empty(len(queries), 0)


def _products(vectors: torch.Tensor, rows: torch.Tensor | None, asked: torch.Tensor) -> torch.Tensor:
    """Multiply vectors, float16 (n, D), or some rows of them, with queries (D, Q): float32 (n, Q)."""
    found = torch.empty(len(vectors if rows is None else rows), asked.shape[1])
    wide = torch.empty(min(ROWS, len(found)), len(asked))
    for start in range(0, len(found), ROWS):
        cut = slice(start, start + ROWS)
        taken = vectors[cut] if rows is None else vectors.index_select(0, rows[cut])
        torch.mm(wide[: len(taken)].copy_(taken), asked, out=found[cut])
    return found


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
    if torch.get_float32_matmul_precision() != "highest":  # torch may then round what it multiplies to bfloat16
        steps += 2.0**-7
    longest = max(part.longest for part in parts)
    lengths = np.linalg.norm(queries.astype(np.float64), axis=1)
    return (2 * steps / (1 - steps) * longest * lengths).tolist()


def _workers() -> ThreadPoolExecutor:
    """Threads that compute on one core each.

    Torch would share each small product among its own threads, which wait for each other every time: with another
    program at work beside, that takes a hundred times as long. These wait once for a search.
    """
    global _pool
    with _starting:
        if _pool is None:
            threads = torch.get_num_threads()
            _pool = ThreadPoolExecutor(threads, "mmpt-search", torch.set_num_threads, (1,))
            together = threading.Barrier(threads)
            list(_pool.map(lambda _: together.wait(), range(threads)))  # all have begun
            torch.set_num_threads(threads)  # else every thread to come would have one core too
        return _pool


def _forget() -> None:
    """A forked process has no threads but one."""
    global _pool, _starting
    _pool, _starting = None, threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
