"""A library of 10,000 videos of random vectors, through the real store."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mmpt.search.matrix import WindowMatrix
from mmpt.search.matrix_file import Block
from mmpt.search.store import Store
from tests.search.entries import about_store, random_entry

DIM, VIDEOS, WINDOWS = 64, 10_000, 4
QUERIES = np.random.default_rng(5).normal(size=(5, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.create(tmp_path_factory.mktemp("simulated") / "library", about_store(DIM))
    entries = [random_entry(number, dim=DIM, windows=WINDOWS, captions=0) for number in range(VIDEOS)]
    for start in range(0, VIDEOS, 2000):
        store.put_many(entries[start : start + 2000])
    return store


def test_ten_thousand_videos_are_searched_as_brute_force_does(store: Store, tmp_path: Path) -> None:
    matrix = WindowMatrix.open(store, tmp_path / "side")
    assert len(matrix) == VIDEOS * WINDOWS and len(matrix.ids) == VIDEOS
    vectors = np.concatenate([vectors for _, _, vectors in store.vectors()]).astype(np.float64)
    for query, rows, scores in zip(QUERIES, *matrix.search(QUERIES, 50), strict=True):
        wanted = (vectors * query.astype(np.float64)).sum(axis=1).astype(np.float32)
        order = np.lexsort((np.arange(len(wanted)), -wanted))[:50]
        assert rows.tolist() == order.tolist() and scores.tolist() == wanted[order].tolist()
        assert [matrix.ids[matrix.video[row]] for row in rows] == [f"{row // WINDOWS:016x}" for row in order]
    assert isinstance(matrix.snapshot().blocks[0], Block) and not matrix.snapshot().blocks[0].vectors.flags.owndata


def test_readers_see_whole_videos_while_others_add_and_remove(store: Store, tmp_path: Path) -> None:
    matrix, stop, problems = WindowMatrix.open(store, tmp_path / "side"), threading.Event(), []

    def write(first: int) -> None:
        other = Store.open(store.address)
        for number in range(first, first + 10):
            other.put_many([random_entry(number, dim=DIM, windows=WINDOWS, captions=0)])
            other.delete([f"{number - 100_000:016x}"])

    def read() -> None:
        while not stop.is_set():
            matrix.refresh()
            now = matrix.snapshot()
            rows = now.rows_of(None)
            counts = np.bincount(now.video if rows is None else now.video[rows], minlength=len(now.ids))
            if set(counts.tolist()) != {WINDOWS}:
                problems.append(counts)
            time.sleep(0.01)

    writers = [threading.Thread(target=write, args=(first,)) for first in (100_000, 100_100)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in [*writers, *readers]:
        thread.start()
    for thread in writers:
        thread.join(60)
    stop.set()
    for thread in readers:
        thread.join(60)
    matrix.refresh()
    assert not problems and not any(thread.is_alive() for thread in [*writers, *readers])
    assert len(matrix.ids) == VIDEOS and set(matrix.ids) == set(store.videos())
    new = random_entry(100_109, dim=DIM, windows=WINDOWS)
    hits = matrix.search(new.vectors[2].astype(np.float32)[None] * 100, 1, {new.record.id})
    assert matrix.ids[matrix.video[hits.rows[0, 0]]] == new.record.id and matrix.start[hits.rows[0, 0]] == 2
