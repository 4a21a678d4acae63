"""Neighbours among millions of videos, through FAISS. Shapes: N videos, Q queries, D width."""

import torch

from mmpt.retrieval.neighbours import NOBODY, Neighbours, Retriever
from mmpt.utils.optional import require
from mmpt.utils.registry import register

VIDEOS_PER_CELL = 1024
TRAINED_PER_CELL = 64  # vectors that find a cell's centre


@register("retriever")
class FaissRetriever(Retriever):
    """Looks only in the cells (inverted lists) whose centres are nearest: fast, and approximate.

    With `probes` = 1 it finds what the original finds: the neighbours within the query's own cell, which may be few.

    Args:
        cells: how many there are; None for one for every 1,024 videos.
        probes: cells that are looked into.
        trained_per_cell: the first `cells` times as many vectors find the centres.
    """

    def __init__(self, *, cells: int | None = None, probes: int = 8, trained_per_cell: int = TRAINED_PER_CELL) -> None:
        self.cells, self.probes, self.trained_per_cell = cells, probes, trained_per_cell

    def search(
        self, vectors: torch.Tensor, queries: torch.Tensor, count: int, *, device: torch.device | str = "cpu"
    ) -> Neighbours:
        """Find near ones, on the CPU whatever the device; fewer than `count` where the cells hold no more.

        Raises:
            ModuleNotFoundError: FAISS is not installed.
            ValueError: there are more cells than videos.
        """
        faiss = require("faiss", extra="retrieval")
        data = vectors.numpy()
        cells = self.cells or max(1, len(data) // VIDEOS_PER_CELL)
        if cells > len(data):
            raise ValueError(f"cells is {cells} for {len(data):,} videos; it takes at most one for each")
        width = data.shape[1]
        index = faiss.IndexIVFFlat(faiss.IndexFlatL2(width), width, cells)
        index.cp.min_points_per_centroid = 1  # else it prints a warning, and does the same
        index.nprobe = self.probes
        index.train(data[: cells * self.trained_per_cell])
        index.add(data)
        squared, found = (torch.from_numpy(part) for part in index.search(data[queries.numpy()], count + 1))
        other = (found == queries[:, None]).int().argsort(dim=1, stable=True)[:, :count]  # itself goes to the end
        found, squared = found.gather(1, other), squared.gather(1, other)
        return Neighbours(found, squared.clamp(min=0).sqrt().masked_fill(found == NOBODY, torch.inf))
