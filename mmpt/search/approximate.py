"""An approximate index on request: made, measured against exact search, and kept only where it pays.

Exact search reads all vectors, so that its time grows with the library. The index holds a code for each window, an
eighth of its vector in size, and looks at all of them; the best candidates are then scored exactly. So nothing depends
on how the windows cluster, and how many candidates it takes to find what exact search finds is measured here.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmpt.retrieval.faiss_codes import TRAINED, Codes
from mmpt.search.matrix import WindowMatrix
from mmpt.search.matrix_codes import CodedWindows, save
from mmpt.search.matrix_file import Key
from mmpt.search.matrix_scores import Hits
from mmpt.search.matrix_snapshot import Snapshot
from mmpt.utils.seeding import generator

LEAST = 50_000  # windows below which exact search takes some milliseconds
RECALL = 0.95
BEST = 10  # of which recall is measured
QUERIES = 200  # that measure it
TIMED_EXACTLY = 15  # of them, since each takes long
PAYS = 0.7  # of exact search's time at most
CANDIDATES = (400, 800, 1600, 3200, 6400)  # fewer save 0.2 ms, and real queries may be harder than those that measure
TOGETHER = 8192  # windows that are encoded at a time
STRAY = 4.0
SEED = 7

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Setting:
    """What so many candidates give.

    Attributes:
        candidates: how many windows are scored exactly.
        recall: share of the ten best windows that are found.
        seconds: median time of a search.
    """

    candidates: int
    recall: float
    seconds: float


@dataclass(frozen=True)
class Outcome:
    """What `optimize` found.

    Attributes:
        windows: in the library.
        exact: median time of an exact search in seconds; 0 where it was not measured.
        settings: what was measured, the fewest candidates first.
        chosen: the setting that searches have from now on; None where no index was made.
        reason: why none was kept, as a sentence; empty where one was.
    """

    windows: int
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
    """Make the approximate index of a library, with as few candidates as reach a recall, in an older one's place.

    Memory: the codes, one byte for each four numbers, while it is made and in each process that searches with it.

    Args:
        matrix: of the library; the index lies beside its file, and every process's matrix takes it up with its next
            `refresh`.
        recall: share of the ten best windows that a search is to find on average, above 0 and at most 1.
        queries: float32 (Q, D), what to measure with: encoded sentences, best of all. By default windows of the library
            that are moved away at random, four times as far as windows lie from their mean: no nearer than sentences
            come to what they describe.
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
    stays = "; the one made before stays" if matrix.index_path.exists() else ""
    if len(now) < max(least, 1):
        reason = f"the library has {len(now):,} windows, and exact search is quick up to {least:,}{stays}"
        return Outcome(len(now), 0.0, [], None, reason)
    coded = _encode(now, tell)
    asked = queries if queries is not None else _moved_windows(now)
    exact, best = _search_exactly(now, asked)
    settings: list[Setting] = []
    for setting in _measure(now, coded, asked, best):
        settings.append(setting)
        tell("measuring", len(settings), len(CANDIDATES))
        if setting.recall >= recall:
            break
    enough = [setting for setting in settings if setting.recall >= recall and setting.seconds <= PAYS * exact]
    chosen = enough[0] if enough else None
    reason = ""
    if chosen is None:
        reason = f"no setting finds {recall:.0%} of what exact search finds in {PAYS:.0%} of its time or less{stays}"
    else:
        save(matrix.index_path, matrix.about, replace(coded, candidates=chosen.candidates))
        matrix.refresh()
    return Outcome(len(now), exact, settings, chosen, reason)


def _encode(now: Snapshot, tell: Progress) -> CodedWindows:
    rows = now.rows_of(None)
    drawn = generator(SEED).permutation(len(now))[:TRAINED]
    codes = Codes.train(now.take(drawn if rows is None else rows[drawn]))
    keys: list[Key] = []
    held: list[np.ndarray] = []
    for key, vectors in ((key, v) for block in now.blocks for key, _, v in block.parts() if key in now.keys):
        keys.append(key)
        held.append(vectors)
        if sum(map(len, held)) >= TOGETHER:
            codes.add(np.concatenate(held))
            held = []
            tell("encoding windows", len(codes), len(now))
    if held:
        codes.add(np.concatenate(held))
    tell("encoding windows", len(codes), len(now))
    return CodedWindows(keys, codes, 0)


def _moved_windows(now: Snapshot) -> np.ndarray:
    """Make queries, float32 (Q, D), of windows: where a sentence would lie is not known, but it is nobody's place."""
    draws = generator(SEED, epoch=1)
    rows = now.rows_of(None)
    drawn = draws.integers(0, len(now), QUERIES)
    windows = now.take(drawn if rows is None else rows[drawn]).astype(np.float32)
    away = draws.standard_normal(windows.shape, np.float32)
    return windows + STRAY * now.spread * away


def _search_exactly(now: Snapshot, queries: np.ndarray) -> tuple[float, np.ndarray]:
    """Give the median time of a search, and the least of each query's ten best scores."""
    best = now.search(queries, BEST).scores[:, -1]
    times = [_timed(now.search, query[None], BEST)[0] for query in queries[:TIMED_EXACTLY]]
    return statistics.median(times), best


def _measure(now: Snapshot, coded: CodedWindows, queries: np.ndarray, best: np.ndarray) -> Iterator[Setting]:
    allowed, rows = now.rows_of(None), now.rows_coded(coded)
    for candidates in CANDIDATES:
        times, found = [], 0
        for query, least in zip(queries, best, strict=True):
            seconds, hits = _timed(now.search_among, rows, query[None], BEST, allowed, candidates)
            times.append(seconds)
            found += int((hits.scores >= least).sum())
        yield Setting(candidates, found / (len(queries) * min(BEST, len(now))), statistics.median(times))


def _timed(search: Callable[..., Hits], *given: Any) -> tuple[float, Hits]:
    begin = time.perf_counter()
    found = search(*given)
    return time.perf_counter() - begin, found
