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
        # What all vectors have in common would cost the distances digits, and the mean is no part of a distance.
        mean = vectors.mean(dim=0)
        found = [self._search(vectors, rows, count, mean, torch.device(device)) for rows in queries.split(QUERIES)]
        if not found:
            return Neighbours(queries.new_empty(0, count), vectors.new_empty(0, count))
        return Neighbours(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def _search(
        self, vectors: torch.Tensor, rows: torch.Tensor, count: int, mean: torch.Tensor, device: torch.device
    ) -> Neighbours:
        asked = (vectors[rows] - mean).to(device)  # (Q, D)
        near = asked.new_empty(len(rows), 0)
        index = torch.empty(len(rows), 0, dtype=torch.int64, device=device)
        for start in range(0, len(vectors), BLOCK):
            block = (vectors[start : start + BLOCK] - mean).to(device)
            squared = block.square().sum(dim=1) - 2 * asked @ block.T  # (Q, BLOCK), less the query's own square
            inside = (rows >= start) & (rows < start + len(block))
            squared[inside.nonzero()[:, 0].to(device), (rows[inside] - start).to(device)] = torch.inf  # itself
            best = squared.topk(min(count, len(block)), largest=False)
            near, index = torch.cat([near, best.values], dim=1), torch.cat([index, best.indices + start], dim=1)
            kept = near.topk(min(count, near.shape[1]), largest=False)
            near, index = kept.values, index.gather(1, kept.indices)
        index = index[:, : len(vectors) - 1].cpu().sort(dim=1).values  # a pool of few videos: not the query itself
        distance = (vectors[index] - vectors[rows, None]).square().sum(dim=2).sqrt()  # (Q, k, D) -> (Q, k)
        distance, order = distance.sort(dim=1, stable=True)
        lacking = (0, count - index.shape[1])
        return Neighbours(
            torch.nn.functional.pad(index.gather(1, order), lacking, value=NOBODY),
            torch.nn.functional.pad(distance, lacking, value=torch.inf),
        )
