"""The videos nearest to a video, by the L2 distance of their vectors. Shapes: N videos, Q queries, D width."""

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch

from mmpt.utils.registry import register

QUERIES = 256  # at a time
BLOCK = 8192  # vectors that they are compared with at a time; the distances take 8 MB
NOBODY = -1  # the index of a neighbour that there is not


class Neighbours(NamedTuple):
    """The nearest videos of some videos, without themselves.

    Attributes:
        index: int64 (Q, k), nearest first; -1 where there are no more.
        distance: float32 (Q, k), L2; infinite where there are no more.
    """

    index: torch.Tensor
    distance: torch.Tensor


class Retriever(ABC):
    """Finds the neighbours of videos; YAML files name one as `retriever_cls`."""

    @abstractmethod
    def search(
        self, vectors: torch.Tensor, queries: torch.Tensor, count: int, *, device: torch.device | str = "cpu"
    ) -> Neighbours:
        """Find neighbours.

        Args:
            vectors: float32 (N, D), on the CPU.
            queries: int64 (Q,), which of these look for neighbours.
            count: how many neighbours each is to find.
            device: where to compute.

        Returns:
            `count` places each, on the CPU.
        """


@register("retriever", "VectorRetriever", "VectorRetrieverDM")
class VectorRetriever(Retriever):
    """Compares with every vector: exact, on any device, in memory that does not grow with the number of queries.

    The original's two classes of these names differ only in where they keep the vectors. Both look approximately, as
    `FaissRetriever` does.
    """

    def search(
        self, vectors: torch.Tensor, queries: torch.Tensor, count: int, *, device: torch.device | str = "cpu"
    ) -> Neighbours:
        """Find the nearest; of equally near ones any, sorted by index."""
        chunks = queries.split(QUERIES)
        # What all vectors have in common would cost the distances digits, and the mean is no part of a distance.
        mean = vectors.mean(dim=0)
        best: list[Neighbours | None] = [None] * len(chunks)
        for start in range(0, len(vectors), BLOCK):
            block = (vectors[start : start + BLOCK] - mean).to(device)  # (b, D)
            squares = torch.linalg.vector_norm(block, dim=1).square()
            for number, rows in enumerate(chunks):
                asked = (vectors[rows] - mean).to(device)  # (q, D)
                squared = torch.addmm(squares, asked, block.T, alpha=-2)  # (q, b), less the query's own square
                inside = (rows >= start) & (rows < start + len(block))
                squared[inside.nonzero()[:, 0].to(device), (rows[inside] - start).to(device)] = torch.inf  # itself
                best[number] = _nearest(best[number], squared, start, count)
        found = [_sorted(vectors, rows, near.index, count) for rows, near in zip(chunks, best, strict=True) if near]
        return Neighbours(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def _nearest(before: Neighbours | None, squared: torch.Tensor, start: int, count: int) -> Neighbours:
    """Join the nearest of a block, (q, b), to those of the blocks before it: (q, up to count) each."""
    best = squared.topk(min(count, squared.shape[1]), largest=False)
    near, index = best.values, best.indices + start
    if before is not None:
        near, index = torch.cat([before.distance, near], dim=1), torch.cat([before.index, index], dim=1)
        near, places = near.topk(min(count, near.shape[1]), largest=False)
        index = index.gather(1, places)
    return Neighbours(index, near)


def _sorted(vectors: torch.Tensor, rows: torch.Tensor, index: torch.Tensor, count: int) -> Neighbours:
    """Measure distances without rounding by a product, and sort by them: (q, k) -> (q, count) each."""
    index = index.cpu()
    if index.shape[1] == len(vectors):  # of so few videos the query itself is among the nearest
        index = index[index != rows[:, None]].unflatten(0, (len(rows), -1))
    index = index.sort(dim=1).values
    distance = torch.cdist(vectors[rows, None], vectors[index], compute_mode="donot_use_mm_for_euclid_dist")[:, 0]
    distance, order = distance.sort(dim=1, stable=True)
    lacking = (0, count - index.shape[1])
    return Neighbours(
        torch.nn.functional.pad(index.gather(1, order), lacking, value=NOBODY),
        torch.nn.functional.pad(distance, lacking, value=torch.inf),
    )
