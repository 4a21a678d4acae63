"""Short codes of vectors, half a byte for two numbers, that are compared with a query very fast. Shapes: N, Q, D.

The vectors are cut into pairs of numbers (a product quantizer), and each pair is named by one of 16 typical ones. All
codes are looked at, so that nothing depends on how vectors cluster; what is lost is digits. So one takes more
candidates than are wanted, and compares their vectors themselves.
"""

import os
from typing import Any

import numpy as np

from mmpt.utils.optional import require

BITS = 4
TRAINED = 8192  # vectors that typical pairs are found with; FAISS takes no more than a part of them


class Codes:
    """Codes of vectors. Made by `train` and `read`.

    Args:
        index: FAISS's.
    """

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def train(cls, sample: np.ndarray) -> "Codes":
        """Find the typical pairs.

        Args:
            sample: (n, D), some of the vectors, `TRAINED` of them or fewer.

        Returns:
            Codes of no vectors yet.

        Raises:
            ModuleNotFoundError: FAISS is not installed.
        """
        faiss = require("faiss", extra="search")
        dim = sample.shape[1]
        parts = dim // 2 if dim % 2 == 0 else dim
        index = faiss.IndexPQFastScan(dim, parts, BITS, faiss.METRIC_INNER_PRODUCT)
        index.pq.cp.min_points_per_centroid = 1  # else it prints a warning, and does the same
        index.train(np.ascontiguousarray(sample, np.float32))
        return cls(index)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Codes":
        """Read codes from a file; what follows them in it does no harm.

        Args:
            path: of the file.

        Returns:
            The codes.

        Raises:
            ModuleNotFoundError: FAISS is not installed.
            ValueError: the file holds none.
        """
        faiss = require("faiss", extra="search")
        try:
            index = faiss.read_index(os.fspath(path))
        except RuntimeError as error:
            raise ValueError(f"{path} holds no codes ({error})") from error
        if not isinstance(index, faiss.IndexPQFastScan):
            raise ValueError(f"{path} holds an index of another kind, {type(index).__name__}")
        return cls(index)

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write the codes into a file."""
        require("faiss", extra="search").write_index(self._index, os.fspath(path))

    def __len__(self) -> int:
        """How many vectors there are."""
        return self._index.ntotal

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return self._index.d

    def add(self, vectors: np.ndarray) -> None:
        """Add vectors, (n, D)."""
        self._index.add(np.ascontiguousarray(vectors, np.float32))

    def search(self, queries: np.ndarray, count: int) -> np.ndarray:
        """Find the vectors whose products with queries are about the largest.

        Args:
            queries: float32 (Q, D).
            count: how many for each; at most N.

        Returns:
            int64 (Q, count): numbers of vectors, the largest first; -1 in place of those that FAISS cannot tell from
            the worst, as all are for a query of zeros.
        """
        return self._index.search(np.ascontiguousarray(queries, np.float32), count)[1]
