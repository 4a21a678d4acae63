"""All windows of a library as they are at one time, and the searches in them."""

from collections.abc import Collection
from functools import cached_property
from hashlib import blake2b

import numpy as np

from mmpt.search.matrix_codes import CodedWindows, CodeRows, IndexFile
from mmpt.search.matrix_file import Block, Key
from mmpt.search.matrix_scores import Hits, Part, rough_scores, search, take

SAMPLE = 4096  # windows
SPARE = 2  # candidates more for each window that is asked for
FEW = 0.2  # share of the windows up to which exact search is as good


class Snapshot:
    """The windows as they are at one time; never changes, and can be used by several threads.

    Args:
        blocks: the vectors, one block after the other.
        live: the videos that the library has.
        index: for approximate searches; None where there is none.

    Attributes:
        ids: the videos' ids.
        video: int32 (N,), each row's video, an index into `ids`; -1 for a row that left the library.
        start: int32 (N,), first second.
        end: int32 (N,), the second after the last.
    """

    def __init__(self, blocks: list[Block], live: Collection[Key], index: IndexFile | None = None) -> None:
        keys = [key for block in blocks for key in block.keys]
        there = np.array([key in live for key in keys], bool)
        places = np.where(there, np.cumsum(there) - 1, -1).astype(np.int32)
        windows = np.concatenate([block.windows for block in blocks])
        firsts = np.cumsum([0, *(len(block.vectors) for block in blocks)]).tolist()
        self.blocks = blocks
        self.keys = {key for key in keys if key in live}
        self._index = index
        self.ids: list[str] = [key.id for key in keys if key in live]
        self.video = np.repeat(places, [key.windows for key in keys])
        self.start, self.end = np.ascontiguousarray(windows[:, 0]), np.ascontiguousarray(windows[:, 1])
        self._parts = [Part(first, block.vectors, block.longest) for first, block in zip(firsts, blocks, strict=False)]
        self._live = None if there.all() else np.flatnonzero(self.video >= 0)

    def __len__(self) -> int:
        """How many windows are searched."""
        return len(self.video) if self._live is None else len(self._live)

    def search(
        self, queries: np.ndarray, count: int, ids: Collection[str] | None = None, *, approximate: bool = False
    ) -> Hits:
        """Find the windows with the largest dot products.

        Args:
            queries: float32 (Q, D).
            count: how many windows for each query.
            ids: videos to look at; all by default.
            approximate: let the index that `approximate.optimize` made choose candidates among what it knows, and look
                at all that came since. The scores are exact, but some of the best windows may be lacking.

        Returns:
            Rows and scores, best first, equal ones by row; k is the lesser of `count` and the windows there are.

        Raises:
            ModuleNotFoundError: `approximate`, and FAISS is not installed.
            ValueError: the queries have another width or are not finite, `count` is less than 1, or there is no
                approximate index.
        """
        if count < 1:
            raise ValueError(f"count is {count}; it is to be at least 1")
        asked, allowed = self._checked(queries), self.rows_of(ids)
        if not approximate:
            return search(self._parts, asked, count, allowed)
        if self._coded is None:
            raise ValueError("the library has no approximate index; make one with: mmpt index optimize")
        return self.search_among(self._coded, asked, count, allowed, self._coded.coded.candidates)

    @property
    def optimized(self) -> bool:
        """Whether there is an approximate index."""
        return self._coded is not None

    def search_among(
        self, coded: CodeRows, queries: np.ndarray, count: int, allowed: np.ndarray | None, candidates: int
    ) -> Hits:
        """Search among candidates: see `search`.

        Args:
            coded: codes of these rows.
            queries: float32 (Q, D).
            count: how many windows for each query.
            allowed: int64, the rows to look at, in order; None for all.
            candidates: how many to look at beside `count`.

        Returns:
            Rows and scores.
        """
        total = len(self.video) if allowed is None else len(allowed)
        share = total / max(1, len(self.video))
        wanted = int((candidates + SPARE * count) / max(share, FEW))  # so many, of which this share will do
        if share < FEW or wanted > total * FEW or not len(queries):
            return search(self._parts, queries, count, allowed)  # as fast, and exact
        inside = None
        if allowed is not None:
            inside = np.zeros(len(self.video), bool)
            inside[allowed] = True
        found: list[Hits] = []
        for query in queries:
            rows = np.concatenate([coded.nearest(query, wanted), coded.rest])
            rows = np.sort(rows if inside is None else rows[inside[rows]])
            enough = len(rows) >= min(count, total)  # not where others fit best, or all codes are alike
            found.append(search(self._parts, query[None], count, rows if enough else allowed))
        return Hits(*(np.concatenate(parts) for parts in zip(*found, strict=True)))

    def sample(self, queries: np.ndarray, count: int = SAMPLE) -> np.ndarray:
        """Score a fixed choice of the windows: a query's background.

        Which windows are chosen depends on the videos alone, not on their order or on the process; a library that
        changes a little changes the choice a little.

        Args:
            queries: float32 (Q, D).
            count: how many windows.

        Returns:
            float32 (Q, k); k is the lesser of `count` and the windows there are.

        Raises:
            ValueError: the queries have another width or are not finite.
        """
        asked = self._checked(queries)
        chosen = self._chosen if count == SAMPLE else self._choose(count)
        return rough_scores([Part(0, chosen, 0.0)], asked).numpy()

    @cached_property
    def mean(self) -> np.ndarray:
        """float32 (D,), of the windows of `sample`; zeros for none."""
        return self._chosen.astype(np.float32).sum(axis=0) / max(1, len(self._chosen))

    @cached_property
    def spread(self) -> float:
        """By how much the windows of `sample` differ: root of the mean variance of their coordinates; 0 for none."""
        if not len(self):
            return 0.0
        return float(np.sqrt(self._chosen.astype(np.float32).var(axis=0).mean()))

    def take(self, rows: np.ndarray) -> np.ndarray:
        """Copy windows' vectors: int64 (n,) -> float16 (n, D)."""
        return take(self._parts, rows)

    def rows_of(self, ids: Collection[str] | None) -> np.ndarray | None:
        """List the rows of some videos.

        Args:
            ids: the videos; unknown ones are passed over, None stands for all.

        Returns:
            int64, in order; None for all rows that there are.
        """
        if ids is None:
            return self._live
        wanted = set(ids)
        chosen = np.array([*(name in wanted for name in self.ids), False], bool)  # the last is for rows that left
        return np.flatnonzero(chosen[self.video])

    @cached_property
    def _coded(self) -> CodeRows | None:
        coded = None if self._index is None else self._index.get()
        return None if coded is None else self.rows_coded(coded)

    def rows_coded(self, coded: CodedWindows) -> CodeRows:
        """Say which rows an index's codes belong to."""
        return CodeRows(coded, [key for block in self.blocks for key in block.keys], self.keys)

    @cached_property
    def _chosen(self) -> np.ndarray:
        return self._choose(SAMPLE)

    def _choose(self, count: int) -> np.ndarray:
        """Give the vectors, float16, of the windows with the least hashes."""
        rows = np.arange(len(self.video)) if self._live is None else self._live
        names = [int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "little") for name in self.ids]
        places = self.start[rows].astype(np.uint64) << np.uint64(32) | self.end[rows].astype(np.uint64)
        hashes = _mixed(np.array(names, np.uint64)[self.video[rows]] ^ _mixed(places))
        return self.take(rows[np.argsort(hashes, kind="stable")[:count]])

    def _checked(self, queries: np.ndarray) -> np.ndarray:
        asked, dim = np.asarray(queries, np.float32), self._parts[0].vectors.shape[1]
        if asked.ndim != 2 or asked.shape[1] != dim:
            raise ValueError(f"queries have the shape {asked.shape}; (queries, {dim}) is expected")
        if not np.isfinite(asked).all():
            raise ValueError("a query holds numbers that are not finite")
        return asked


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Hash uint64 numbers: the finisher of SplitMix64."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)  # wraps around, as it is to
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return mixed ^ mixed >> np.uint64(31)
