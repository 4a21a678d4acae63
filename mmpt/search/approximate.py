"""An approximate index on request: made, measured against exact search, and kept only where it pays.

Exact search reads all vectors, so that its time grows with the library. The index sorts the windows into cells; a
search then looks only into those cells whose centres promise most, and scores what lies there exactly. It holds no
copies of vectors: 4 bytes a number for each centre, and 2 bytes for each window.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmpt.search.matrix import Snapshot, WindowMatrix
from mmpt.search.matrix_cells import TRAINED, Cells, assign, cell_count, save, train
from mmpt.search.matrix_scores import Hits
from mmpt.utils.seeding import generator

LEAST = 50_000  # windows below which exact search takes some milliseconds
RECALL = 0.95
BEST = 10  # of which recall is measured
QUERIES = 200  # that measure it
TIMED_EXACTLY = 15  # of them, since each takes long
PAYS = 0.7  # of exact search's time at most
SEED = 7

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Setting:
    """What looking into so many cells gives.

    Attributes:
        probes: how many cells are looked into.
        recall: share of the ten best windows that are found.
        seconds: median time of a search.
    """

    probes: int
    recall: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What `optimize` found.

    Attributes:
        windows: in the library.
        cells: they were sorted into; 0 where it was not tried.
        exact: median time of an exact search in seconds; 0 where it was not measured.
        settings: what was measured, the fewest probes first.
        chosen: the setting that searches have from now on; None where no index was kept.
        reason: why none was kept, as a sentence; empty where one was.
    """

    windows: int
    cells: int
    exact: float
    settings: list[Setting]
    chosen: Setting | None
    reason: str


def optimize(
    matrix: WindowMatrix,
    recall: float = RECALL,
    *,
    queries: np.ndarray | None = None,
    least: int = LEAST,
    on_progress: Progress | None = None,
) -> Outcome:
    """Make the approximate index of a library, with the fewest probes that reach a recall; an older one is replaced.

    Memory: the windows that find the centres, 32 for each cell in float16, and some megabytes.

    Args:
        matrix: of the library; the index lies beside its file, and every process's matrix takes it up with its next
            `refresh`.
        recall: share of the ten best windows that a search is to find on average, above 0 and at most 1.
        queries: float32 (Q, D), what to measure with: encoded sentences, best of all. By default windows of the library
            that are moved away at random, as far as windows lie from their mean.
        least: a library with fewer windows is left as it is.
        on_progress: told what is done, how much of it, and of how much.

    Returns:
        What was measured, and chosen.

    Raises:
        ValueError: `recall` is out of range, or the queries do not fit.
        OSError: the index cannot be written.
    """
    if not 0 < recall <= 1:
        raise ValueError(f"recall is {recall}; it is above 0 and at most 1, such as 0.95")
    tell = on_progress or (lambda stage, done, total: None)
    matrix.refresh()
    now = matrix.snapshot()
    if len(now) < least:
        reason = f"the library has {len(now):,} windows, and exact search is quick up to {least:,}; nothing is to gain"
        return Outcome(len(now), 0, 0.0, [], None, reason)
    cells = _build(now, tell)
    sorted_in = Snapshot(now.blocks, now.keys, cells.of(now.blocks[0]))
    asked = queries if queries is not None else _moved_windows(now)
    exact, best = _search_exactly(now, asked)
    settings: list[Setting] = []
    for setting in _measure(sorted_in, asked, best, cells):
        settings.append(setting)
        tell("measuring", len(settings), len(_steps(len(cells.centres))))
        if setting.recall >= recall:
            break
    enough = [setting for setting in settings if setting.recall >= recall and setting.seconds <= PAYS * exact]
    chosen = enough[0] if enough else None
    reason = ""
    if chosen is None:
        reason = f"no setting finds {recall:.0%} of what exact search finds in {PAYS:.0%} of its time or less"
    else:
        save(matrix.cells_path, matrix.about, replace(cells, probes=chosen.probes))
        matrix.refresh()
    return Outcome(len(now), len(cells.centres), exact, settings, chosen, reason)


def _build(now: Snapshot, tell: Progress) -> Cells:
    rows = now.rows_of(None)
    count = cell_count(len(now))
    size = min(len(now), TRAINED * count)
    drawn = generator(SEED).permutation(len(now))[:size]
    sample = now.take(drawn if rows is None else rows[drawn])
    centres = train(sample, count, SEED, lambda done, total: tell("finding centres", done, total))
    told = assign(now.blocks, now.keys, centres, lambda done, total: tell("sorting windows", done, total))
    return Cells(centres, told, 1)


def _moved_windows(now: Snapshot) -> np.ndarray:
    """Make queries, float32 (Q, D), of windows: where a sentence would lie is not known, but it is nobody's place."""
    draws = generator(SEED, epoch=1)
    rows = now.rows_of(None)
    drawn = draws.integers(0, len(now), QUERIES)
    windows = now.take(drawn if rows is None else rows[drawn]).astype(np.float32)
    away = draws.standard_normal(windows.shape, np.float32)
    return windows + away * now.spread


def _search_exactly(now: Snapshot, queries: np.ndarray) -> tuple[float, np.ndarray]:
    """Give the median time of a search, and the least of each query's ten best scores."""
    best = now.search(queries, BEST).scores[:, -1]
    times = [_timed(now.search, query[None], BEST)[0] for query in queries[:TIMED_EXACTLY]]
    return statistics.median(times), best


def _measure(now: Snapshot, queries: np.ndarray, best: np.ndarray, cells: Cells) -> Iterator[Setting]:
    allowed = now.rows_of(None)
    for probes in _steps(len(cells.centres)):
        times, found = [], 0
        for query, least in zip(queries, best, strict=True):
            seconds, hits = _timed(now.probe, query[None], BEST, allowed, probes)
            times.append(seconds)
            found += int((hits.scores >= least).sum())
        yield Setting(probes, found / (len(queries) * min(BEST, len(now))), statistics.median(times))


def _steps(cells: int) -> list[int]:
    """Numbers of probes to try: 1, 2, 3, 4, 6, 8, 12 and so on up to half of the cells."""
    tried = sorted({number for power in range(16) for number in (1 << power, 3 << power >> 1)})
    return [number for number in tried if number <= max(1, cells // 2)]


def _timed(search: Callable[..., Hits], *given: Any) -> tuple[float, Hits]:
    begin = time.perf_counter()
    found = search(*given)
    return time.perf_counter() - begin, found
