"""The approximate index: measured truly, kept where it pays, and at one with a library that changes."""

from pathlib import Path

import numpy as np
import pytest

from mmpt.search import approximate, matrix_codes, matrix_snapshot
from mmpt.search import matrix as matrix_module
from mmpt.search.approximate import Outcome, optimize
from mmpt.search.matrix import WindowMatrix
from mmpt.search.store import Store
from tests.search.entries import about_store, random_entry

pytest.importorskip("faiss", reason="FAISS is not installed (pip install 'mmpt[search]')")

DIM, VIDEOS, WINDOWS = 16, 60, 50
QUERIES = np.random.default_rng(5).normal(size=(20, DIM)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(matrix_module, "TAIL", 500)
    monkeypatch.setattr(approximate, "CANDIDATES", (5, 20, 80, 320))
    monkeypatch.setattr(approximate, "PAYS", 1e9)  # in so small a library it does not
    store = Store.create(tmp_path / "library", about_store(DIM))
    store.put_many([random_entry(number, dim=DIM, windows=WINDOWS) for number in range(VIDEOS)])
    return store


@pytest.fixture
def matrix(store: Store, tmp_path: Path) -> WindowMatrix:
    return WindowMatrix.open(store, tmp_path / "side")


def made(matrix: WindowMatrix, recall: float = 0.95) -> Outcome:
    outcome = optimize(matrix, recall, queries=QUERIES, least=0)
    assert outcome.chosen is not None, outcome
    return outcome


def recall(matrix: WindowMatrix) -> float:
    """Of the ten best, with QUERIES."""
    exact = matrix.search(QUERIES, 10)
    found = matrix.search(QUERIES, 10, approximate=True)
    return float((found.scores >= exact.scores[:, -1:]).mean())


def test_the_index_that_is_kept_finds_what_was_asked_for(matrix: WindowMatrix) -> None:
    stages: list[tuple[str, int, int]] = []
    outcome = optimize(matrix, 0.9, queries=QUERIES, least=0, on_progress=lambda *told: stages.append(told))
    assert outcome.windows == VIDEOS * WINDOWS and outcome.reason == ""
    *less, chosen = outcome.settings
    assert chosen == outcome.chosen and chosen.recall >= 0.9 and all(setting.recall < 0.9 for setting in less)
    assert recall(matrix) == pytest.approx(chosen.recall) and chosen.recall < 1.0
    assert {stage for stage, _, _ in stages} == {"encoding windows", "measuring"}
    assert all(0 < done <= total for _, done, total in stages)


def test_more_recall_takes_more_candidates_and_its_scores_are_exact(matrix: WindowMatrix) -> None:
    low, high = made(matrix, 0.5).chosen, made(matrix, 0.99).chosen
    assert low is not None and high is not None and low.candidates < high.candidates
    exact, found = matrix.search(QUERIES, 3000), matrix.search(QUERIES, 10, approximate=True)
    for number in range(len(QUERIES)):
        scores = dict(zip(exact.rows[number].tolist(), exact.scores[number].tolist(), strict=True))
        assert [scores[row] for row in found.rows[number].tolist()] == found.scores[number].tolist()


def test_queries_of_its_own_are_the_same_each_time(matrix: WindowMatrix) -> None:
    first, second = (optimize(matrix, least=0) for _ in range(2))
    assert [s.recall for s in first.settings] == [s.recall for s in second.settings]


def test_a_small_library_is_left_as_it_is(matrix: WindowMatrix) -> None:
    outcome = optimize(matrix)
    assert outcome.chosen is None and "3,000 windows" in outcome.reason and not matrix.index_path.exists()
    with pytest.raises(ValueError, match="no approximate index; make one with: mmpt index optimize"):
        matrix.search(QUERIES, 10, approximate=True)


def test_an_index_that_does_not_pay_is_not_kept(matrix: WindowMatrix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(approximate, "PAYS", 0.0)
    outcome = optimize(matrix, queries=QUERIES, least=0)
    assert outcome.chosen is None and "no setting finds 95%" in outcome.reason and outcome.settings
    assert not matrix.index_path.exists() and not matrix.snapshot().optimized
    matrix.index_path.write_bytes(b"one made before")
    for again in (optimize(matrix, queries=QUERIES, least=0), optimize(matrix)):
        assert again.chosen is None and again.reason.endswith("; the one made before stays")
    assert matrix.index_path.read_bytes() == b"one made before"


def test_a_query_that_no_code_stands_out_for_finds_each_window_once(matrix: WindowMatrix) -> None:
    made(matrix)
    query = np.zeros((1, DIM), np.float32)  # FAISS finds nothing for it
    hits = matrix.search(query, 10, approximate=True)
    assert hits.rows.tolist() == matrix.search(query, 10).rows.tolist() == [list(range(10))]


@pytest.mark.parametrize("asked", [0.0, 1.01])
def test_a_recall_out_of_range_is_refused(matrix: WindowMatrix, asked: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        optimize(matrix, asked)


def test_new_videos_are_found_and_removed_ones_are_not(store: Store, matrix: WindowMatrix) -> None:
    running = WindowMatrix.open(store, matrix.path.parent)
    made(matrix)
    assert running.refresh() and not running.refresh() and running.snapshot().optimized  # takes up the index
    best = running.ids[running.video[running.search(QUERIES[:1], 1).rows[0, 0]]]
    store.delete([best])
    for number in range(100, 106):  # some in the tail, then all in a file that is written anew
        store.put_many([random_entry(number, dim=DIM, windows=WINDOWS * 2)])
        assert running.refresh() and best not in running.ids
        new = random_entry(number, dim=DIM, windows=WINDOWS * 2)
        query = new.vectors[7].astype(np.float32)[None] * 10
        hits = running.search(query, 1, approximate=True)
        assert running.ids[running.video[hits.rows[0, 0]]] == new.record.id and running.start[hits.rows[0, 0]] == 7
        assert recall(running) >= 0.9
    assert len(running.snapshot().blocks[0].vectors) > VIDEOS * WINDOWS - WINDOWS  # it was
    reopened = WindowMatrix.open(store, matrix.path.parent)
    assert reopened.snapshot().optimized and recall(reopened) >= 0.9


def test_filters_hold_and_all_that_is_asked_for_comes(matrix: WindowMatrix, monkeypatch: pytest.MonkeyPatch) -> None:
    made(matrix)
    most, few = set(matrix.ids[:40]), set(matrix.ids[:2])
    for ids in (most, few):
        hits = matrix.search(QUERIES, 30, ids, approximate=True)
        assert hits.rows.shape == (20, 30)
        assert {matrix.ids[number] for number in matrix.video[hits.rows].ravel()} <= ids
    assert matrix.search(QUERIES, 2900, approximate=True).rows.tolist() == matrix.search(QUERIES, 2900).rows.tolist()
    monkeypatch.setattr(matrix_snapshot, "FEW", 0.01)  # the worst case: all candidates are others than the allowed
    hits, exact = matrix.search(QUERIES, 60, few, approximate=True), matrix.search(QUERIES, 60, few)
    assert hits.rows.shape == exact.rows.shape


@pytest.mark.parametrize("harm", ["cut", "empty", "codes", "library", "text"])
def test_a_damaged_index_is_told_and_harms_nothing(
    store: Store, matrix: WindowMatrix, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    made(matrix)
    raw = matrix.index_path.read_bytes()
    changed = {
        "cut": raw[:-3],
        "empty": b"",
        "codes": b"xxxx" + raw[4:],
        "library": raw.replace(b'"random"', b'"others"'),
        "text": raw.replace(b'{"about"', b'?"about"'),
    }[harm]
    assert changed != raw
    matrix.index_path.write_bytes(changed)
    other = WindowMatrix.open(store, matrix.path.parent)
    with pytest.raises(ValueError, match="no approximate index"):
        other.search(QUERIES, 10, approximate=True)
    assert "make it again: mmpt index optimize" in caplog.text
    assert other.search(QUERIES, 10).rows.tolist() == matrix.search(QUERIES, 10).rows.tolist()


def test_codes_are_read_only_when_they_are_asked_for(store: Store, matrix: WindowMatrix) -> None:
    made(matrix)
    calls: list[Path] = []
    with pytest.MonkeyPatch.context() as patch:
        real = matrix_codes.load
        patch.setattr(matrix_codes, "load", lambda path, about: (calls.append(path), real(path, about))[1])
        other = WindowMatrix.open(store, matrix.path.parent)
        other.search(QUERIES, 10)
        assert not calls
        other.search(QUERIES, 10, approximate=True)
        store.put_many([random_entry(200, dim=DIM)])
        other.refresh()
        other.search(QUERIES, 10, approximate=True)
    assert calls == [matrix.index_path]
