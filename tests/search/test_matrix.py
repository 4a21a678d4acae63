"""The matrix of all windows: exact against brute force, and one with the library whatever happens to it."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmpt.search import matrix as matrix_module
from mmpt.search import matrix_file, matrix_scores
from mmpt.search.matrix import Snapshot, WindowMatrix
from mmpt.search.matrix_file import Key, join
from mmpt.search.store import Store
from tests.search.entries import about_store, random_entry

DIM = 8
QUERIES = np.random.default_rng(5).normal(size=(3, DIM)).astype(np.float32)
Found = list[list[tuple[str, int, int, float]]]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.create(tmp_path / "library", about_store())
    store.put_many([random_entry(number) for number in range(6)])
    return store


@pytest.fixture
def small_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is written from a few windows on."""
    monkeypatch.setattr(matrix_module, "TAIL", 10)


def make_snapshot(*blocks: np.ndarray) -> Snapshot:
    """Make a snapshot of vectors, one video a block."""
    parts = [join([(Key(f"{n}", 0.0, len(v)), spans(len(v)), v)], v.shape[1]) for n, v in enumerate(blocks)]
    return Snapshot(parts, {key for part in parts for key in part.keys})


def spans(count: int) -> np.ndarray:
    starts = np.arange(count, dtype=np.int32)
    return np.stack([starts, starts + 4], axis=1)


def brute_force(vectors: np.ndarray, query: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All rows and scores, best first, equal ones by row."""
    scores = np.array([(row.astype(np.float64) * query.astype(np.float64)).sum() for row in vectors]).astype(np.float32)
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    return np.array(order, np.int64), scores[order]


def found(matrix: WindowMatrix | Snapshot, count: int = 1000, ids: set[str] | None = None) -> Found:
    """What a search for QUERIES finds, in words that do not depend on rows."""
    hits = matrix.search(QUERIES, count, ids)
    return [
        sorted(
            (matrix.ids[matrix.video[row]], int(matrix.start[row]), int(matrix.end[row]), float(score))
            for row, score in zip(rows, scores, strict=True)
        )
        for rows, scores in zip(hits.rows, hits.scores, strict=True)
    ]


def expected(numbers: Iterable[int]) -> Found:
    """What it ought to find in a library of these videos."""
    entries = [random_entry(number) for number in numbers]
    listed = [(e.record.id, *map(int, w), v) for e in entries for w, v in zip(e.windows, e.vectors, strict=True)]
    wide = QUERIES.astype(np.float64)
    return [
        sorted((i, s, e, float(np.float32((v.astype(np.float64) * q).sum()))) for i, s, e, v in listed) for q in wide
    ]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=3),
    dim=st.sampled_from([1, 3, 16, 64]),
    count=st.integers(1, 60),
    scale=st.sampled_from([1e-3, 1.0, 100.0]),
    levels=st.sampled_from([2, 5, 1000]),
)
def test_a_search_is_brute_force_with_ties_by_row(
    seed: int, sizes: list[int], dim: int, count: int, scale: float, levels: int
) -> None:
    draws = np.random.default_rng(seed)
    blocks = [(draws.integers(-levels, levels, (size, dim)) * scale / levels).astype(np.float16) for size in sizes]
    queries = draws.normal(size=(4, dim)).astype(np.float32)
    hits = make_snapshot(*blocks).search(queries, count)
    for query, rows, scores in zip(queries, hits.rows, hits.scores, strict=True):
        wanted, right = brute_force(np.concatenate(blocks), query)
        assert rows.tolist() == wanted[:count].tolist()
        assert scores.tolist() == right[:count].tolist()


def test_what_float32_cannot_tell_apart_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_scores, "ROWS", 16)
    draws = np.random.default_rng(1)
    base = draws.normal(size=300) * 60
    vectors = (base + draws.normal(size=(500, 300)) * 1e-2).astype(np.float16)
    query = draws.normal(size=300)
    query = (query - base * (query @ base) / (base @ base)).astype(np.float32)  # large terms that cancel out
    rows, scores = brute_force(vectors, query)
    rounding = np.finfo(np.float32).eps * np.abs(vectors.astype(np.float64) * query).sum(axis=1).min()
    assert -np.diff(scores[:50]).max() < rounding  # in whichever order a processor sums, float32 may swap neighbours
    hits = make_snapshot(vectors).search(query[None], 50)
    assert hits.rows[0].tolist() == rows[:50].tolist() and hits.scores[0].tolist() == scores[:50].tolist()


def test_equal_windows_are_found_by_row_wherever_they_stand() -> None:
    one = np.random.default_rng(2).normal(size=(1, 37)).astype(np.float16)
    snapshot = make_snapshot(np.repeat(one, 5000, axis=0), np.repeat(one, 3, axis=0))
    hits = snapshot.search(one.astype(np.float32), 4000)
    assert hits.rows[0].tolist() == list(range(4000))
    assert len(set(hits.scores[0].tolist())) == 1


def test_many_queries_at_once_are_each_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix_scores, "SCORES", 100)  # a few at a time
    draws = np.random.default_rng(3)
    snapshot = make_snapshot(draws.normal(size=(40, 16)).astype(np.float16))
    queries = draws.normal(size=(11, 16)).astype(np.float32)
    hits = snapshot.search(queries, 5)
    for number, query in enumerate(queries):
        alone = snapshot.search(query[None], 5)
        assert alone.rows[0].tolist() == hits.rows[number].tolist()
        assert alone.scores[0].tolist() == hits.scores[number].tolist()


def test_bad_queries_are_refused() -> None:
    snapshot = make_snapshot(np.ones((2, 4), np.float16))
    with pytest.raises(ValueError, match=r"\(1, 3\); \(queries, 4\) is expected"):
        snapshot.search(np.ones((1, 3), np.float32), 1)
    with pytest.raises(ValueError, match="not finite"):
        snapshot.sample(np.full((1, 4), np.nan, np.float32))
    with pytest.raises(ValueError, match="count is 0"):
        snapshot.search(np.ones((1, 4), np.float32), 0)


def test_searching_leaves_torch_its_threads() -> None:
    before = torch.get_num_threads()
    make_snapshot(np.ones((2, 4), np.float16)).search(np.ones((1, 4), np.float32), 1)
    assert torch.get_num_threads() == before
    with ThreadPoolExecutor(1) as new:
        assert new.submit(torch.get_num_threads).result() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
def test_a_forked_process_can_search_too() -> None:
    code = """
import os, numpy as np
from tests.search.test_matrix import make_snapshot
search = lambda: make_snapshot(np.ones((2, 4), np.float16)).search(np.ones((1, 4), np.float32), 1).rows.tolist()
search()
if child := os.fork():
    raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
os._exit(7 if search() == [[0]] else 1)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 7


def test_an_empty_library_has_nothing_to_find(tmp_path: Path) -> None:
    matrix = WindowMatrix.open(Store.create(tmp_path / "library", about_store()), tmp_path / "side")
    assert len(matrix) == 0 and matrix.ids == []
    assert matrix.search(QUERIES, 5).rows.shape == (3, 0) and matrix.sample(QUERIES).shape == (3, 0)
    assert not (tmp_path / "side").exists()


def test_windows_of_some_videos_only(store: Store, tmp_path: Path) -> None:
    matrix = WindowMatrix.open(store, tmp_path / "side")
    two = {random_entry(2).record.id, random_entry(4).record.id}
    assert found(matrix, ids=two | {"unknown"}) == expected([2, 4])
    assert matrix.search(QUERIES, 4, two).rows.shape == (3, 4)
    assert found(matrix, ids=set()) == [[], [], []]


def test_the_matrix_follows_the_library(store: Store, tmp_path: Path, small_tail: None) -> None:
    matrix = WindowMatrix.open(store, tmp_path / "side")
    assert not matrix.refresh()
    assert found(matrix) == expected(range(6)) and (tmp_path / "side" / "windows.bin").exists()
    before, written = matrix.snapshot(), (tmp_path / "side" / "windows.bin").stat().st_mtime_ns
    store.put_many([random_entry(7), random_entry(8)])
    store.delete([random_entry(0).record.id])
    assert matrix.refresh() and not matrix.refresh()
    assert found(matrix) == expected([1, 2, 3, 4, 5, 7, 8]) and len(matrix) == 21
    assert sorted(matrix.ids) == sorted(random_entry(n).record.id for n in [1, 2, 3, 4, 5, 7, 8])
    assert (tmp_path / "side" / "windows.bin").stat().st_mtime_ns == written  # these were few
    store.put_many([random_entry(number) for number in range(10, 14)])
    assert matrix.refresh() and found(matrix) == expected([1, 2, 3, 4, 5, 7, 8, 10, 11, 12, 13])
    assert (tmp_path / "side" / "windows.bin").stat().st_mtime_ns > written
    store.delete([random_entry(number).record.id for number in range(1, 11)])
    assert matrix.refresh() and found(matrix) == expected([11, 12, 13])
    assert len(matrix.video) == len(matrix) == 9  # what left is no longer in the file
    assert found(before) == expected(range(6))  # whoever still searches it sees nothing of all this
    assert found(WindowMatrix.open(store, tmp_path / "side")) == expected([11, 12, 13])
    assert [path.name for path in (tmp_path / "side").iterdir()] == ["windows.bin"]


def test_a_video_that_comes_back_is_read_anew(store: Store, tmp_path: Path, small_tail: None) -> None:
    matrix = WindowMatrix.open(store, tmp_path / "side")
    old, other = random_entry(3), random_entry(9)
    store.delete([old.record.id])
    record = type(old.record)(**{**old.record.__dict__, "added": old.record.added + 1})
    store.put(record, other.windows, other.vectors, other.tokens, old.captions)
    assert matrix.refresh() and matrix.ids.count(record.id) == 1
    [scores] = [[hit[3] for hit in hits] for hits in found(matrix, ids={record.id})[:1]]
    assert sorted(scores) == sorted(hit[3] for hit in expected([9])[0])


def test_what_a_library_says_of_a_video_changes_nothing(store: Store, tmp_path: Path) -> None:
    matrix = WindowMatrix.open(store, tmp_path / "side")
    record = random_entry(3).record
    store.change([type(record)(**{**record.__dict__, "path": "/elsewhere.mp4"})])
    assert matrix.refresh() and found(matrix) == expected(range(6))


@pytest.mark.parametrize("harm", ["cut", "empty", "other", "longer", "text", "library"])
def test_a_file_that_does_not_fit_is_made_again(store: Store, tmp_path: Path, small_tail: None, harm: str) -> None:
    WindowMatrix.open(store, tmp_path / "side")
    path = tmp_path / "side" / "windows.bin"
    raw = path.read_bytes()
    harmed = {
        "cut": raw[:-5],
        "empty": b"",
        "other": b"hello" * 99,
        "longer": bytes(16) + raw,
        "text": raw.replace(b'{"about"', b'?"about"'),
        "library": raw.replace(b'"random"', b'"others"'),
    }[harm]
    assert harmed != raw
    path.write_bytes(harmed)
    assert found(WindowMatrix.open(store, tmp_path / "side")) == expected(range(6))
    assert path.read_bytes() == raw


def test_a_file_that_cannot_be_replaced_harms_nothing(store: Store, tmp_path: Path, small_tail: None) -> None:
    matrix = WindowMatrix.open(store, tmp_path / "side")
    (tmp_path / "side" / "windows.bin").unlink()
    (tmp_path / "side" / "windows.bin").mkdir()
    store.put_many([random_entry(number) for number in range(10, 20)])
    with pytest.raises(OSError):
        matrix.refresh()
    assert found(matrix) == expected(range(6))
    (tmp_path / "side" / "windows.bin").rmdir()
    assert matrix.refresh() and found(matrix) == expected([*range(6), *range(10, 20)])


def test_on_a_read_only_disk_it_lies_in_the_cache(
    store: Store, tmp_path: Path, small_tail: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    real = os.access
    folder = tmp_path / "library" / "side"
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder.parent and real(path, mode))
    matrix = WindowMatrix.open(store, folder)
    assert found(matrix) == expected(range(6))
    assert matrix.path.is_relative_to(tmp_path / "cache") and matrix.path.exists() and not folder.exists()


def test_the_sample_is_that_of_the_videos_alone(store: Store, tmp_path: Path, small_tail: None) -> None:
    store.put_many([random_entry(number) for number in range(6, 60)])
    matrix = WindowMatrix.open(store, tmp_path / "side")
    store.put_many([random_entry(number) for number in range(60, 70)])
    store.delete([random_entry(1).record.id])
    matrix.refresh()
    reversed_store = Store.create(tmp_path / "reversed", about_store())
    reversed_store.put_many([random_entry(number) for number in range(69, -1, -1) if number != 1])
    other = WindowMatrix.open(reversed_store, tmp_path / "other")
    assert matrix.sample(QUERIES, 50).shape == (3, 50)
    assert matrix.sample(QUERIES, 50).tolist() == other.sample(QUERIES, 50).tolist()
    assert matrix.snapshot().spread == other.snapshot().spread > 0
    everything = {hit[3] for hit in expected(range(70))[0]}
    assert np.abs(matrix.sample(QUERIES)[0][:, None] - np.array(list(everything))).min(axis=1).max() < 1e-5
    assert matrix.sample(QUERIES).shape == (3, len(matrix))


def test_a_sample_hardly_changes_with_the_library(store: Store, tmp_path: Path) -> None:
    store.put_many([random_entry(number) for number in range(6, 100)])
    matrix = WindowMatrix.open(store, tmp_path / "side")
    before = set(matrix.sample(QUERIES, 60)[0].tolist())
    store.put_many([random_entry(number) for number in range(100, 110)])
    matrix.refresh()
    assert len(before & set(matrix.sample(QUERIES, 60)[0].tolist())) >= 45


def test_two_may_refresh_at_once(store: Store, tmp_path: Path, small_tail: None) -> None:
    matrices = [WindowMatrix.open(store, tmp_path / "side") for _ in range(2)]
    go, problems = threading.Barrier(3), []

    def follow(matrix: WindowMatrix) -> None:
        go.wait()
        while len(matrix) < 3 * 46:
            matrix.refresh()
            if len(found(matrix)[0]) % 3:
                problems.append("a part of a video")

    threads = [threading.Thread(target=follow, args=(matrix,)) for matrix in matrices]
    for thread in threads:
        thread.start()
    go.wait()
    for first in range(6, 46, 5):
        store.put_many([random_entry(number) for number in range(first, first + 5)])
    for thread in threads:
        thread.join(60)
    assert not problems and not any(thread.is_alive() for thread in threads)
    assert [found(matrix) for matrix in matrices] == [expected(range(46))] * 2
    held = matrix_file.read(tmp_path / "side" / "windows.bin", store.about)
    assert held is not None and len(held.vectors) >= 3 * 46 - 17


def test_a_snapshot_stays_one_while_another_thread_refreshes(store: Store, tmp_path: Path, small_tail: None) -> None:
    matrix = WindowMatrix.open(store, tmp_path / "side")
    stop = threading.Event()

    def churn() -> None:
        for number in range(10, 30):
            store.put_many([random_entry(number)])
            store.delete([random_entry(number - 10).record.id])
            matrix.refresh()
        stop.set()

    thread = threading.Thread(target=churn)
    thread.start()
    while not stop.is_set():
        now = matrix.snapshot()
        numbers = sorted(int(name, 16) for name in now.ids)
        assert found(now) == expected(numbers)
    thread.join()
    assert found(matrix) == expected(range(20, 30))
