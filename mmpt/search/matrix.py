"""All windows of a library as one matrix that is searched exactly, and follows the library.

The vectors lie in a file that is mapped into memory, so that they are shared by all processes and are no memory of
their own. What came into the library since the file was written is read from the store into a tail; what left it is
passed over. A file is written anew when the tail or what is passed over has grown large.
"""

import logging
import os
import threading
from collections.abc import Collection, Iterator
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from mmpt.search import matrix_cells, matrix_file
from mmpt.search.matrix_cells import CellRows, Cells
from mmpt.search.matrix_file import Block, Key, join
from mmpt.search.matrix_scores import Hits, Part, rough_scores, search, take
from mmpt.search.records import VideoRecord
from mmpt.search.store import Store
from mmpt.utils.files import cache_dir

FILE, CELLS = "windows.bin", "cells.npz"
TAIL = 4096  # rows that may be lacking in the file, or be there in vain; more in a large library
LARGEST_TAIL = 65536  # rows
SAMPLE = 4096  # windows

logger = logging.getLogger(__name__)


class Snapshot:
    """The windows as they are at one time; never changes, and can be used by several threads.

    Args:
        blocks: the vectors, one block after the other.
        live: the videos that the library has.
        cells: the cells of the first block's rows, for approximate searches; None without an index.

    Attributes:
        ids: the videos' ids.
        video: int32 (N,), each row's video, an index into `ids`; -1 for a row that left the library.
        start: int32 (N,), first second.
        end: int32 (N,), the second after the last.
    """

    def __init__(self, blocks: list[Block], live: Collection[Key], cells: CellRows | None = None) -> None:
        keys = [key for block in blocks for key in block.keys]
        there = np.array([key in live for key in keys], bool)
        places = np.where(there, np.cumsum(there) - 1, -1).astype(np.int32)
        windows = np.concatenate([block.windows for block in blocks])
        firsts = np.cumsum([0, *(len(block.vectors) for block in blocks)]).tolist()
        self.blocks, self.cells = blocks, cells
        self.keys = {key for key in keys if key in live}
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
            approximate: look only where the index that `approximate.optimize` made promises most, and at all that came
                after it was made. The scores are exact, but some of the best windows may be lacking.

        Returns:
            Rows and scores, best first, equal ones by row; k is the lesser of `count` and the windows there are.

        Raises:
            ValueError: the queries have another width or are not finite, `count` is less than 1, or there is no
                approximate index.
        """
        if count < 1:
            raise ValueError(f"count is {count}; it is to be at least 1")
        asked, allowed = self._checked(queries), self.rows_of(ids)
        if not approximate:
            return search(self._parts, asked, count, allowed)
        if self.cells is None:
            raise ValueError("the library has no approximate index; make one with: mmpt index optimize")
        return self.probe(asked, count, allowed, self.cells.cells.probes)

    def probe(self, queries: np.ndarray, count: int, allowed: np.ndarray | None, probes: int) -> Hits:
        """Search approximately: see `search`.

        Args:
            queries: float32 (Q, D).
            count: how many windows for each query.
            allowed: int64, the rows to look at, in order; None for all.
            probes: how many cells to look into; where they hold fewer than `count` rows, as many more as it takes.

        Returns:
            Rows and scores.
        """
        assert self.cells is not None
        total = len(self.video) if allowed is None else len(allowed)
        inside = None
        if allowed is not None:
            inside = np.zeros(len(self.video), bool)
            inside[allowed] = True
        always = np.concatenate([self.cells.rest(), np.arange(len(self.blocks[0].vectors), len(self.video))])
        found: list[Hits] = []
        for query in queries:
            ranked, number = self.cells.ranked(query), probes
            while True:
                rows = np.concatenate([self.cells.rows(ranked[:number]), always])
                rows = rows if inside is None else rows[inside[rows]]
                if len(rows) >= min(count, total):
                    break
                number *= 2
            found.append(search(self._parts, query[None], count, np.sort(rows)))
        if not found:
            return search(self._parts, queries, count, allowed)
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


class WindowMatrix:
    """The windows of a library that may change: searches the state of the last `refresh`. Made by `open`.

    Several threads may use one. A search and the look at `ids`, `video`, `start` and `end` after it belong to one state
    only where they are done on one `snapshot`.

    Args:
        store: of the library.
        path: of the file that is mapped into memory.
    """

    def __init__(self, store: Store, path: Path) -> None:
        self.path = path
        self._store = store
        self._lock = threading.Lock()
        self._seen: int | None = None  # version of the store
        self._file: Block | None = None
        self._cells: Cells | None = None
        self._cells_seen: tuple[int, int] | None = None
        self._cell_rows: CellRows | None = None
        self._tail = join([], store.dim)
        self._now = Snapshot([self._tail], set())

    @classmethod
    def open(cls, store: Store, folder: str | os.PathLike[str]) -> "WindowMatrix":
        """Open the matrix of a library, as the library is now.

        Args:
            store: of the library.
            folder: for the file; where nothing can be written there, as on a read-only disk, a folder in the user's
                cache takes its place.

        Returns:
            The matrix.

        Raises:
            OSError: the file cannot be written.
        """
        matrix = cls(store, _writable(Path(folder), store.address) / FILE)
        matrix.refresh()
        return matrix

    def snapshot(self) -> Snapshot:
        """Give the state of the last `refresh`, which stays as it is."""
        return self._now

    def refresh(self) -> bool:
        """Follow the library; costs next to nothing where it has not changed.

        Returns:
            Whether the library, or its approximate index, has changed.

        Raises:
            OSError: the file cannot be written.
        """
        with self._lock:
            version, index = self._store.version(), _state(self.cells_path)
            if version == self._seen and index == self._cells_seen:
                return False
            if index != self._cells_seen:
                self._cells, self._cell_rows = matrix_cells.load(self.cells_path, self._store.about), None
                self._cells_seen = index
            self._follow(self._store.videos())
            self._seen = version
            return True

    @property
    def about(self) -> dict[str, Any]:
        """What the library is, as its store says."""
        return self._store.about

    @property
    def cells_path(self) -> Path:
        """Path of the approximate index."""
        return self.path.with_name(CELLS)

    def __len__(self) -> int:
        """How many windows are searched."""
        return len(self._now)

    @property
    def ids(self) -> list[str]:
        """The videos' ids."""
        return self._now.ids

    @property
    def video(self) -> np.ndarray:
        """int32 (N,), each row's video, an index into `ids`; -1 for a row that left the library."""
        return self._now.video

    @property
    def start(self) -> np.ndarray:
        """int32 (N,), each row's first second."""
        return self._now.start

    @property
    def end(self) -> np.ndarray:
        """int32 (N,), the second after each row's last."""
        return self._now.end

    def search(
        self, queries: np.ndarray, count: int, ids: Collection[str] | None = None, *, approximate: bool = False
    ) -> Hits:
        """Search the present snapshot: see `Snapshot.search`."""
        return self._now.search(queries, count, ids, approximate=approximate)

    def sample(self, queries: np.ndarray, count: int = SAMPLE) -> np.ndarray:
        """Sample the present snapshot: see `Snapshot.sample`."""
        return self._now.sample(queries, count)

    def _follow(self, records: dict[str, VideoRecord]) -> None:
        live = {Key(record.id, record.added, record.windows): None for record in records.values()}
        if self._is_far_from(live):
            self._file = matrix_file.read(self.path, self._store.about)  # another process may have written it
        if self._is_far_from(live):
            matrix_file.write(self.path, self._store.about, self._all_of(live))
            self._file = matrix_file.read(self.path, self._store.about)
        kept = set(self._file.keys) if self._file is not None else set()
        parts = [part for part in self._tail.parts() if part[0] in live and part[0] not in kept]
        lacking = live.keys() - kept - {part[0] for part in parts}
        parts += self._read(lacking)
        self._tail = join(parts, self._store.dim)
        blocks = [self._file, self._tail] if self._file is not None else [self._tail]
        if self._cells is None or self._file is None:
            self._cell_rows = None
        elif self._cell_rows is None or self._cell_rows.block is not self._file:
            self._cell_rows = self._cells.of(self._file)
        self._now = Snapshot(blocks, live, self._cell_rows)

    def _is_far_from(self, live: Collection[Key]) -> bool:
        """Whether the file lacks many of these windows, or has many others; then a new one pays."""
        kept = set(self._file.keys) if self._file is not None else set()
        lacking = sum(key.windows for key in live if key not in kept)
        vain = sum(key.windows for key in kept if key not in live)
        total = sum(key.windows for key in live)
        return lacking > min(max(TAIL, total // 8), LARGEST_TAIL) or vain > max(TAIL, total // 4)

    def _all_of(self, live: Collection[Key]) -> Iterator[tuple[Key, np.ndarray, np.ndarray]]:
        """Give what is at hand of these videos, then the others from the store."""
        given: set[Key] = set()
        for block in (self._file, self._tail):
            for part in block.parts() if block is not None else ():
                if part[0] in live and part[0] not in given:
                    given.add(part[0])
                    yield part
        yield from self._read({key for key in live if key not in given})

    def _read(self, keys: Collection[Key]) -> Iterator[tuple[Key, np.ndarray, np.ndarray]]:
        """Read videos from the store; one that another process has changed meanwhile comes with the next refresh."""
        wanted = {key.id: key for key in keys}
        if not wanted:
            return
        for video_id, windows, vectors in self._store.vectors(wanted.keys()):
            if len(windows) == wanted[video_id].windows:
                yield wanted[video_id], windows, vectors


def _writable(folder: Path, address: str) -> Path:
    """The folder, or one in the user's cache where nothing can be written into it."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if os.access(there, os.W_OK):
        return folder
    name = blake2b(address.encode(), digest_size=8).hexdigest()
    logger.info("%s cannot be written to; the matrix lies in the user's cache", folder)
    return cache_dir() / "libraries" / name / "matrix"


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Hash uint64 numbers: the finisher of SplitMix64."""
    mixed = numbers + np.uint64(0x9E3779B97F4A7C15)  # wraps around, as it is to
    mixed = (mixed ^ mixed >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ mixed >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return mixed ^ mixed >> np.uint64(31)


def _state(path: Path) -> tuple[int, int] | None:
    """What tells one state of a file from another; None where there is none."""
    try:
        about = path.stat()
    except FileNotFoundError:
        return None
    return about.st_ino, about.st_mtime_ns
