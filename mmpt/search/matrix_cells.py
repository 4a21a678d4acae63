"""Windows sorted into cells, so that a search can look only into those that promise most. Shapes: C cells, D width.

A cell is what lies nearer to its centre than to any other. The vectors themselves stay where they are: the index holds
the centres and each window's cell, video by video, so that it still fits when the file of vectors is written anew.
"""

import json
import logging
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmpt.search.matrix_file import Block, Key
from mmpt.utils.files import atomic_path
from mmpt.utils.seeding import generator

ROWS = 4096  # compared with all centres at a time
TRAINED = 32  # windows for each cell that find the centres
ROUNDS = 8
NO_CELL = -1
FORMAT = "mmpt-cells-1"

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Cells:
    """An approximate index.

    Attributes:
        centres: float32 (C, D).
        assigned: for each video the cells of its windows, int32.
        probes: how many cells a search looks into.
    """

    centres: np.ndarray
    assigned: dict[Key, np.ndarray]
    probes: int

    def of(self, block: Block) -> "CellRows":
        """Sort the rows of a block by cell."""
        unknown = [np.full(key.windows, NO_CELL, np.int32) for key in block.keys if key not in self.assigned]
        absent = iter(unknown)
        listed = [self.assigned[key] if key in self.assigned else next(absent) for key in block.keys]
        return CellRows(self, block, np.concatenate([np.zeros(0, np.int32), *listed]))


class CellRows:
    """Which rows of a block lie in which cell; those of videos that the index does not know lie in none.

    Args:
        cells: the index.
        block: the rows.
        cell: int32 (N,), each row's.
    """

    def __init__(self, cells: Cells, block: Block, cell: np.ndarray) -> None:
        self.cells, self.block = cells, block
        self._order = np.argsort(cell, kind="stable")
        self._starts = np.searchsorted(cell[self._order], np.arange(len(cells.centres) + 1))
        self.known = len(cell) - int(self._starts[0])

    def ranked(self, query: np.ndarray) -> np.ndarray:
        """Put the cells in the order in which they promise high scores.

        Args:
            query: float32 (D,).

        Returns:
            int64 (C,).
        """
        return np.argsort(-(self.cells.centres @ query), kind="stable")

    def rows(self, cells: np.ndarray) -> np.ndarray:
        """Give the rows in some cells.

        Args:
            cells: int64, which.

        Returns:
            int64, in no order.
        """
        return np.concatenate(
            [np.zeros(0, np.int64), *(self._order[self._starts[n] : self._starts[n + 1]] for n in cells)]
        )

    def rest(self) -> np.ndarray:
        """Give the rows that lie in no cell, int64."""
        return self._order[: self._starts[0]]


def cell_count(windows: int) -> int:
    """Say how many cells so many windows are sorted into: 2 sqrt(windows)."""
    return max(1, int(2 * math.sqrt(windows)))


def train(sample: np.ndarray, count: int, seed: int, progress: Progress) -> np.ndarray:
    """Find centres with Lloyd's k-means.

    Args:
        sample: float16 (n, D), some of the windows, in random order.
        count: of centres; at most n.
        seed: of the draws.
        progress: told rounds done and in all.

    Returns:
        float32 (C, D).
    """
    centres = torch.from_numpy(sample[:count].astype(np.float32))
    for number in range(ROUNDS):
        progress(number, ROUNDS)
        sums, sizes = torch.zeros_like(centres), torch.zeros(count)
        for start in range(0, len(sample), ROWS):
            block = torch.from_numpy(sample[start : start + ROWS].astype(np.float32))
            nearest = _nearest(block, centres)
            sums.index_add_(0, nearest, block)
            sizes.index_add_(0, nearest, torch.ones(len(block)))
        empty = (sizes == 0).nonzero()[:, 0]
        draws = generator(seed, epoch=number).choice(len(sample), len(empty), replace=False)
        sums[empty] = torch.from_numpy(sample[draws].astype(np.float32))  # they begin elsewhere
        centres = sums / sizes.clamp(min=1)[:, None]
    progress(ROUNDS, ROUNDS)
    return centres.numpy()


def assign(blocks: list[Block], live: set[Key], centres: np.ndarray, progress: Progress) -> dict[Key, np.ndarray]:
    """Sort windows into cells.

    Args:
        blocks: the windows; they are read a bounded part at a time.
        live: the videos to take.
        centres: float32 (C, D).
        progress: told windows done and in all.

    Returns:
        Each video's cells, int32 (windows,).
    """
    wide, done, total = torch.from_numpy(centres), 0, sum(key.windows for key in live)
    assigned: dict[Key, np.ndarray] = {}
    for keys, vectors in _together(blocks, live):
        progress(done, total)
        near = [_nearest(torch.from_numpy(part.astype(np.float32)), wide) for part in _pieces(vectors)]
        cells = torch.cat(near).to(torch.int32).numpy() if near else np.zeros(0, np.int32)
        ends = np.cumsum([key.windows for key in keys])
        assigned.update(zip(keys, np.split(cells, ends[:-1]), strict=True))
        done += len(vectors)
    progress(total, total)
    return assigned


def save(path: Path, about: dict[str, Any], cells: Cells) -> None:
    """Write an index, as a whole or not at all.

    Args:
        path: of the file, which ends in .npz.
        about: of the library.
        cells: the index.
    """
    kind = np.uint16 if len(cells.centres) <= 1 << 16 else np.int32
    text = json.dumps({"format": FORMAT, "about": about, "probes": cells.probes, "videos": list(cells.assigned)})
    with atomic_path(path) as temporary:
        np.savez(
            temporary,
            about=np.frombuffer(text.encode(), np.uint8),
            centres=cells.centres,
            cells=np.concatenate(list(cells.assigned.values())).astype(kind),
        )


def load(path: Path, about: dict[str, Any]) -> Cells | None:
    """Read an index.

    Args:
        path: of the file.
        about: of the library.

    Returns:
        The index; None where there is none, or it is damaged or another library's.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            text, centres, cells = json.loads(file["about"].tobytes()), file["centres"], file["cells"].astype(np.int32)
        keys = [Key(*key) for key in text["videos"]]
        sizes = [key.windows for key in keys]
        if text["format"] != FORMAT or text["about"] != about or sum(sizes) != len(cells):
            raise ValueError("it is of another library, or of another version of this program")
        if centres.shape[1] != about["dim"] or (len(cells) and not 0 <= cells.min() <= cells.max() < len(centres)):
            raise ValueError("its parts do not fit each other")
        listed = np.split(cells, np.cumsum(sizes)[:-1]) if keys else []
        return Cells(np.ascontiguousarray(centres, np.float32), dict(zip(keys, listed, strict=True)), text["probes"])
    except FileNotFoundError:
        return None
    except Exception as error:  # of whatever a damaged zip file makes numpy raise
        logger.warning("the approximate index %s cannot be used (%s); make it again: mmpt index optimize", path, error)
        return None


def _nearest(block: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """The centre nearest to each vector, int64 (n,): the one with the largest x c - c c / 2."""
    half = centres.square().sum(dim=1) / -2
    return torch.addmm(half, block, centres.T).argmax(dim=1)


def _together(blocks: list[Block], live: set[Key]) -> Iterator[tuple[list[Key], np.ndarray]]:
    """Give videos some at a time, so that products are large: one by one their windows are few."""
    keys: list[Key] = []
    held: list[np.ndarray] = []
    for block in blocks:
        for key, _, vectors in block.parts():
            if key not in live:
                continue
            keys.append(key)
            held.append(vectors)
            if sum(map(len, held)) >= ROWS:
                yield keys, np.concatenate(held)
                keys, held = [], []
    if keys:
        yield keys, np.concatenate(held)


def _pieces(vectors: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(vectors), ROWS):
        yield vectors[start : start + ROWS]
