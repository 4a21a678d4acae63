"""Neighbours: exact against the plain form, and approximate ones."""

from importlib import import_module

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmpt.retrieval import VectorRetriever, neighbours
from mmpt.retrieval.faiss_index import FaissRetriever
from mmpt.utils.registry import lookup


def points(count: int, width: int = 8, *, seed: int = 0, offset: float = 0.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((count, width), np.float32)) + offset


def plain(vectors: torch.Tensor, query: int, count: int) -> list[int]:
    """Sorted by distance in double precision."""
    apart = (vectors.double() - vectors[query].double()).norm(dim=1)
    return [row for row in apart.argsort(stable=True).tolist() if row != query][:count]


@given(st.integers(2, 40), st.integers(1, 45), st.integers(0, 5))
def test_the_nearest_first_and_never_the_query(videos: int, count: int, seed: int) -> None:
    vectors = points(videos, seed=seed)
    near = VectorRetriever().search(vectors, torch.arange(videos), count)
    assert near.index.shape == near.distance.shape == (videos, count)
    for query, (index, distance) in enumerate(zip(near.index, near.distance, strict=True)):
        found = plain(vectors, query, count)
        assert index.tolist() == found + [-1] * (count - len(found))
        expected = (vectors[found] - vectors[query]).norm(dim=1)
        assert torch.allclose(distance[: len(found)], expected, rtol=1e-5)
        assert distance[len(found) :].isinf().all()


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, queries = points(101), torch.tensor([100, 0, 7, 50, 7])
    whole = VectorRetriever().search(vectors, queries, 9)
    monkeypatch.setattr(neighbours, "QUERIES", 2)
    monkeypatch.setattr(neighbours, "BLOCK", 4)
    blocks = VectorRetriever().search(vectors, queries, 9)
    assert torch.equal(whole.index, blocks.index) and torch.equal(whole.distance, blocks.distance)
    assert torch.equal(vectors, points(101))


def test_what_all_vectors_have_in_common_costs_no_digits() -> None:
    near, far = points(200), points(200, offset=1000.0)
    found = VectorRetriever().search(far, torch.arange(200), 5)
    assert found.index.tolist() == [plain(far, query, 5) for query in range(200)]
    assert torch.allclose(found.distance, VectorRetriever().search(near, torch.arange(200), 5).distance, rtol=1e-3)


def test_a_twin_is_the_nearest_and_the_query_is_not() -> None:
    vectors = points(20)
    vectors[13] = vectors[4]
    near = VectorRetriever().search(vectors, torch.tensor([4, 13]), 2)
    assert near.index[:, 0].tolist() == [13, 4] and near.distance[:, 0].tolist() == [0, 0]


def test_no_query_and_no_neighbour() -> None:
    assert VectorRetriever().search(points(5), torch.tensor([], dtype=torch.int64), 3).index.shape == (0, 3)
    assert VectorRetriever().search(points(5), torch.tensor([2]), 0).index.shape == (1, 0)


def test_faiss_agrees_where_it_looks_everywhere() -> None:
    pytest.importorskip("faiss", reason="FAISS is not installed (pip install 'mmpt[retrieval]')")
    vectors, queries = points(300), torch.arange(0, 300, 7)
    exact = VectorRetriever().search(vectors, queries, 10)
    found = FaissRetriever(cells=6, probes=6).search(vectors, queries, 10)
    assert torch.equal(found.index, exact.index)
    assert torch.allclose(found.distance, exact.distance, rtol=1e-3)


def test_faiss_finds_few_in_a_small_cell() -> None:
    pytest.importorskip("faiss", reason="FAISS is not installed (pip install 'mmpt[retrieval]')")
    vectors = torch.cat([points(4), points(60, offset=50.0)])
    near = FaissRetriever(cells=2, probes=1).search(vectors, torch.tensor([0, 63]), 10)
    assert sorted(near.index[0, :3].tolist()) == [1, 2, 3]
    assert (near.index[0, 3:] == -1).all() and near.distance[0, 3:].isinf().all()
    assert 63 not in near.index[1] and (near.index[1] >= 4).all()


def test_faiss_takes_no_more_cells_than_videos() -> None:
    pytest.importorskip("faiss", reason="FAISS is not installed (pip install 'mmpt[retrieval]')")
    with pytest.raises(ValueError, match="cells is 9 for 8 videos"):
        FaissRetriever(cells=9).search(points(8), torch.tensor([0]), 2)


def test_without_faiss_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str):
        if name == "faiss":
            raise ModuleNotFoundError("No module named 'faiss'", name="faiss")
        return import_module(name)

    monkeypatch.setattr("mmpt.utils.optional.import_module", missing)
    with pytest.raises(ModuleNotFoundError, match=r"faiss is not installed.*pip install 'mmpt\[retrieval\]'"):
        FaissRetriever().search(points(5), torch.tensor([0]), 2)
    assert VectorRetriever().search(points(5), torch.tensor([0]), 2).index.shape == (1, 2)


def test_the_names_that_files_use() -> None:
    assert lookup("retriever", "VectorRetriever") is lookup("retriever", "VectorRetrieverDM") is VectorRetriever
    assert lookup("retriever", "FaissRetriever") is FaissRetriever
