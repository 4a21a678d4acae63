"""What the log tells of a plan: whether retrieval finds harder negatives, and what it leaves out."""

from collections.abc import Sequence

import numpy as np
import torch

from mmpt.retrieval.clusters import Drawn

PAIRS = 1024  # random pairs of videos, which say how far apart two are in general


class RetriMeter:
    """Statistics of the clusters of an epoch.

    Args:
        vectors: float32 (N, D) of all videos.
        rng: draws the pairs that the neighbours are compared with.
    """

    def __init__(self, vectors: torch.Tensor, rng: np.random.Generator) -> None:
        self.vectors, self.rng = vectors, rng

    def __call__(self, drawn: Sequence[Drawn]) -> dict[str, float]:
        """Measure.

        Args:
            drawn: the clusters; their videos are rows of the vectors.

        Returns:
            `clusters`, and by name:

            - `hard_negatives`: share of a query's company that are its neighbours; the rest was drawn of all videos.
            - `neighbour_distance`: mean L2 distance from a query to those neighbours.
            - `random_distance`: mean L2 distance between two videos drawn of all.
            - `distinct_videos`: how many videos come up at all; `distinct_share`: of all that there are.
            - `most_often`: how often the video comes up that comes up most often.
        """
        videos = np.concatenate([part.videos for part in drawn])
        company = np.concatenate([part.distance for part in drawn])[:, 1:]
        times = np.bincount(videos.ravel(), minlength=len(self.vectors))
        near = company[np.isfinite(company)]
        return {
            "clusters": float(len(videos)),
            "hard_negatives": float(np.isfinite(company).mean()) if company.size else 0.0,
            "neighbour_distance": float(near.mean(dtype=np.float64)) if near.size else 0.0,
            "random_distance": self._random_distance(),
            "distinct_videos": float((times > 0).sum()),
            "distinct_share": float((times > 0).mean()),
            "most_often": float(times.max()),
        }

    def _random_distance(self) -> float:
        count = len(self.vectors)
        if count < 2:
            return 0.0
        one = self.rng.integers(count, size=PAIRS)
        other = (one + self.rng.integers(1, count, size=PAIRS)) % count  # never itself
        apart = self.vectors[torch.from_numpy(one)] - self.vectors[torch.from_numpy(other)]
        return float(apart.square().sum(dim=1).sqrt().mean())
