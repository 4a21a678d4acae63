"""Clusters drawn of neighbours. Shapes: C clusters, S videos of each, k neighbours."""

from typing import NamedTuple

import numpy as np

from mmpt.retrieval.neighbours import NOBODY


class Drawn(NamedTuple):
    """Clusters of a pool of videos.

    Attributes:
        videos: int64 (C, S), the query first; no video twice in a cluster.
        distance: float32 (C, S), to the query; NaN for a video that is no neighbour of it, but drawn of all.
    """

    videos: np.ndarray
    distance: np.ndarray


def draw_queries(videos: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Draw the videos that clusters gather around, each at most once: as many as give each video one place a pass.

    Args:
        videos: how many there are.
        size: videos of a cluster.
        rng: the draw's generator.

    Returns:
        int64 (videos // size,).
    """
    return rng.permutation(videos)[: videos // size]


def draw_clusters(
    queries: np.ndarray, index: np.ndarray, distance: np.ndarray, *, size: int, videos: int, rng: np.random.Generator
) -> Drawn:
    """Draw the company of each query out of its neighbours.

    Where it has too few, which only an approximate search leaves, others are drawn of all videos: every cluster is
    full, so that processes always have equal batches.

    Args:
        queries: int64 (C,).
        index: int64 (C, k), their neighbours; -1 for none.
        distance: float32 (C, k), how far each is.
        size: videos of a cluster, S; at most `videos`.
        videos: how many there are.
        rng: the draw's generator.

    Returns:
        The clusters.
    """
    # By index, not by distance: a last digit that differs between machines may swap two, and must not change the draw.
    order = index.argsort(axis=1, kind="stable")
    index, distance = (np.take_along_axis(part, order, axis=1) for part in (index, distance))
    keys = np.where(index == NOBODY, np.inf, rng.random(index.shape))
    chosen = keys.argsort(axis=1, kind="stable")[:, : size - 1]
    drawn = np.full((len(queries), size), NOBODY)
    apart = np.full(drawn.shape, np.nan, np.float32)
    drawn[:, 0], apart[:, 0] = queries, 0
    last = 1 + chosen.shape[1]
    drawn[:, 1:last] = np.take_along_axis(index, chosen, axis=1)
    apart[:, 1:last] = np.take_along_axis(distance, chosen, axis=1)
    apart[drawn == NOBODY] = np.nan
    for cluster, place in np.argwhere(drawn == NOBODY):
        other = rng.integers(videos)
        while other in drawn[cluster]:
            other = rng.integers(videos)
        drawn[cluster, place] = other
    return Drawn(drawn, apart)
