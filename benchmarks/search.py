"""Search over many windows: python -m benchmarks.search [exact|adding|approximate ...] [--folder DIR].

exact: 200,000 windows of 768 numbers; the library's matrix (float16, mapped into memory) and numpy's float32 product
with a sort of the best ten, in turn, one query at a time. All best tens are compared.

adding: 1,000 windows put into that library, and how long another process's matrix takes to find them.

approximate: 1,000,000 windows; the index is made, tuned and measured as `mmpt index optimize` does, then measured again
with queries that it has not seen. Exact search and the index take turns.

The vectors are those of invented videos: each has one of some thousand topics and strays from it, its windows
stray from the video; lengths vary by 20 %. Queries stray from a topic. The store and the file of 1,000,000 windows
take 4.7 GB of disk, and are removed at the end. Memory is what is a process's own (RssAnon), not pages of mapped files.
"""

import argparse
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.bars import against
from benchmarks.paired import run_paired, show
from mmpt.search.approximate import Outcome, optimize
from mmpt.search.matrix import WindowMatrix
from mmpt.search.records import VideoRecord
from mmpt.search.store import Store
from mmpt.search.store_tables import Entry

DIM = 768
TOPICS = 4000
WINDOWS = 100  # of a video
BATCH = 200  # videos that are put into the store at a time
BEST = 10
EXACT_MS, APPROXIMATE_MS, RECALL = 60, 20, 0.95  # bars on two cores: of a query, exact and by the index, and of recall
ADDING_S, SEEING_S = 1, 2  # bars for 1,000 windows: put in, and known to another process


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help="exact, adding, approximate; all by default")
    parser.add_argument("--windows", type=int, help="instead of 200,000 and 1,000,000")
    parser.add_argument("--folder", type=Path, help="on the disk to use (the system's for temporary files)")
    args = parser.parse_args()
    parts = args.parts or ["exact", "adding", "approximate"]
    if "exact" in parts or "adding" in parts:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            store = make_store(Path(folder) / "library", args.windows or 200_000)
            if "exact" in parts:
                measure_exact(store, Path(folder) / "side")
            if "adding" in parts:
                measure_adding(store, Path(folder) / "side")
    if "approximate" in parts:
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            store = make_store(Path(folder) / "library", args.windows or 1_000_000)
            measure_approximate(store, Path(folder) / "side")


def topics() -> np.ndarray:
    """Make the topics, float32 (TOPICS, DIM)."""
    return np.random.default_rng(0).standard_normal((TOPICS, DIM), np.float32)


def make_entries(first: int, count: int, centres: np.ndarray) -> list[Entry]:
    """Make videos of WINDOWS windows each.

    Args:
        first: number of the first one.
        count: how many.
        centres: the topics.

    Returns:
        The videos; the same numbers make the same ones.
    """
    draws = np.random.default_rng([1, first])
    places = np.stack([np.arange(WINDOWS), np.arange(WINDOWS) + 4], axis=1).astype(np.int32)
    tokens = np.zeros((WINDOWS + 4, DIM), np.float16)
    entries = []
    for number in range(first, first + count):
        # few topics have many videos, and many have few
        video = centres[int(len(centres) * draws.random() ** 2)] + 0.7 * draws.standard_normal(DIM, np.float32)
        windows = video + 0.5 * draws.standard_normal((WINDOWS, DIM), np.float32)
        windows *= draws.uniform(0.8, 1.2, (WINDOWS, 1)).astype(np.float32)
        record = VideoRecord(f"{number:016x}", f"/videos/{number}.mp4", 0.0, float(number), WINDOWS + 4, WINDOWS, 0)
        entries.append(Entry(record, places, windows.astype(np.float16), tokens, []))
    return entries


def make_queries(seed: int, count: int) -> np.ndarray:
    """Make queries, float32 (count, DIM)."""
    draws, centres = np.random.default_rng([2, seed]), topics()
    chosen = (len(centres) * draws.random(count) ** 2).astype(int)
    return centres[chosen] + 0.7 * draws.standard_normal((count, DIM), np.float32)


def make_store(folder: Path, windows: int) -> Store:
    """Make a library of invented videos.

    Args:
        folder: for it.
        windows: how many there are to be.

    Returns:
        Its store.
    """
    model = {"name": "none", "sha256": ""}
    about = {"model": model, "backbone": "none", "version": "1", "l2_normalized": True, "dim": DIM, "windows": [4]}
    store, centres = Store.create(folder, about), topics()
    for first in range(0, windows // WINDOWS, BATCH):
        store.put_many(make_entries(first, min(BATCH, windows // WINDOWS - first), centres))
    return store


def all_vectors(store: Store) -> Iterator[np.ndarray]:
    """Give each video's vectors, in the order of the matrix's rows."""
    for _, _, vectors in store.vectors():
        yield vectors


def own_memory() -> float:
    """Give this process's own memory in MB; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))


class Watch:
    """Watches how much memory of its own the process takes while a block runs."""

    def __enter__(self) -> "Watch":
        self.before, self.most, self._stop = own_memory(), 0.0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def taken(self) -> str:
        """In words."""
        return f"{max(0.0, self.most - self.before):,.0f} MB"

    def _look(self) -> None:
        while not self._stop.wait(0.01):
            self.most = max(self.most, own_memory())


def measure_exact(store: Store, side: Path) -> None:
    """Compare with brute force, which has the same numbers as float32 in memory."""
    with Watch() as opening:
        begin = time.perf_counter()
        matrix = WindowMatrix.open(store, side)
        seconds = time.perf_counter() - begin
    queries = make_queries(1, 40)
    with Watch() as searching:
        ours = [matrix.search(query[None], BEST) for query in queries]
    wide = np.concatenate(list(all_vectors(store))).astype(np.float32)

    def brute_force(query: np.ndarray) -> np.ndarray:
        scores = wide @ query
        best = np.argpartition(-scores, BEST)[:BEST]
        return best[np.lexsort((best, -scores[best]))]

    same = sum(np.array_equal(brute_force(query), hits.rows[0]) for query, hits in zip(queries, ours, strict=True))
    each = iter(np.tile(queries, (3, 1)))
    turn: list[np.ndarray] = []

    def plain() -> np.ndarray:
        turn[:] = [next(each)]
        return brute_force(turn[0])

    forms = {"numpy, float32": plain, "the library's matrix": lambda: matrix.search(turn[0][None], BEST)}
    timed = run_paired(forms, turns=41, warmup=3)
    rows = [[entry.name, f"{entry.seconds * 1000:.1f} ms", f"{entry.ratio:.2f}", ""] for entry in timed]
    rows[-1][-1] = against(timed[-1].seconds * 1000, EXACT_MS, "ms")
    show(f"Exact search over {len(matrix):,} x {DIM}, one query", ["form", "p50", "times as fast", "bar"], rows)
    rows = [
        ["best tens equal to brute force", f"{same} of {len(queries)}", against(same, len(queries), least=True)],
        ["first opening, which writes the file", f"{seconds:.1f} s, {opening.taken}", ""],
        ["searching", searching.taken, ""],
    ]
    show("Beside it", ["what", "figure", "bar"], rows)


def measure_adding(store: Store, side: Path) -> None:
    """Time 1,000 windows from the store to another matrix's results."""
    matrix = WindowMatrix.open(store, side)
    centres, query = topics(), make_queries(3, 1)
    matrix.search(query, BEST)
    adding, seeing, unchanged = [], [], []
    for turn in range(7):
        entries = make_entries(10_000_000 + 100 * turn, 1000 // WINDOWS, centres)
        begin = time.perf_counter()
        store.put_many(entries)
        put = time.perf_counter()
        matrix.refresh()
        matrix.search(query, BEST)
        matrix.sample(query)
        seen = time.perf_counter()
        matrix.refresh()
        adding.append(put - begin)
        seeing.append(seen - put)
        unchanged.append(time.perf_counter() - seen)
        assert entries[-1].record.id in matrix.ids
    put, seen = statistics.median(adding), statistics.median(seeing)
    rows = [
        ["put into the store", f"{put:.3f} s", against(put, ADDING_S, "s")],
        ["taken in by another matrix, searched and sampled", f"{seen:.3f} s", against(seen, SEEING_S, "s")],
        ["a look whether anything has changed", f"{statistics.median(unchanged) * 1000:.2f} ms", ""],
    ]
    show(f"1,000 windows more, in a library of {len(matrix):,}", ["what", "p50", "bar"], rows)


def measure_approximate(store: Store, side: Path) -> None:
    """Make the index, show its curve, and measure the setting that it chose with other queries."""
    matrix = WindowMatrix.open(store, side)
    with Watch() as making:
        begin = time.perf_counter()
        outcome = optimize(matrix)
        seconds = time.perf_counter() - begin
    size = matrix.index_path.stat().st_size / 1e6 if outcome.chosen else 0
    show_curve(outcome, f"{seconds:.0f} s, {making.taken}, {size:.0f} MB of disk")
    if outcome.chosen is None:
        return
    queries = make_queries(4, 200)
    best = matrix.search(queries, BEST).scores[:, -1:]
    found = np.concatenate([matrix.search(query[None], BEST, approximate=True).scores for query in queries])
    recall = float((found >= best).mean())
    each = iter(queries)
    turn: list[np.ndarray] = []

    def exact() -> object:
        turn[:] = [next(each)[None]]
        return matrix.search(turn[0], BEST)

    forms = {"exact": exact, "approximate": lambda: matrix.search(turn[0], BEST, approximate=True)}
    with Watch() as searching:
        timed = run_paired(forms, turns=41, warmup=3)
    rows = [[entry.name, f"{entry.seconds * 1000:.1f} ms", f"{entry.ratio:.2f}"] for entry in timed]
    rows[0] += ["1.000", ""]
    rows[1] += [f"{recall:.3f}", f"{against(timed[1].seconds * 1000, APPROXIMATE_MS, 'ms')}, "]
    rows[1][-1] += against(recall, RECALL, least=True)
    title = f"{len(matrix):,} x {DIM}, queries about topics; searching takes {searching.taken}"
    show(title, ["form", "p50", "times as fast", "recall@10", "bars"], rows)


def show_curve(outcome: Outcome, cost: str) -> None:
    """Print what optimize measured."""
    rows = [
        [f"{setting.candidates}", f"{setting.recall:.3f}", f"{setting.seconds * 1000:.1f} ms"]
        for setting in outcome.settings
    ]
    rows.append(["exact", "1.000", f"{outcome.exact * 1000:.1f} ms"])
    chosen = f"chosen: {outcome.chosen.candidates}" if outcome.chosen else outcome.reason
    title = f"{outcome.windows:,} windows, made in {cost}; {chosen}"
    show(title, ["candidates", "recall@10", "p50"], rows)


if __name__ == "__main__":
    main()
