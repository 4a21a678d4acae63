"""Short codes of vectors: the best by product are among the candidates, and they come back from a file."""

from pathlib import Path

import numpy as np
import pytest

from mmpt.retrieval.faiss_codes import Codes

pytest.importorskip("faiss", reason="FAISS is not installed (pip install 'mmpt[search]')")


@pytest.mark.parametrize("dim", [16, 5])
def test_the_best_are_among_the_candidates(dim: int, tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    vectors, queries = draws.normal(size=(2000, dim)).astype(np.float16), draws.normal(size=(9, dim)).astype(np.float32)
    codes = Codes.train(vectors[:1000])
    codes.add(vectors[:700])
    codes.add(vectors[700:])
    assert (len(codes), codes.dim) == (2000, dim)
    best = np.argsort(-(queries @ vectors.astype(np.float32).T), axis=1)[:, :10]
    found = codes.search(queries, 100)
    assert np.mean([len(set(b) & set(f)) / 10 for b, f in zip(best, found, strict=True)]) > 0.95
    codes.write(tmp_path / "codes.faiss")
    with (tmp_path / "codes.faiss").open("ab") as file:
        file.write(b"more")
    assert Codes.read(tmp_path / "codes.faiss").search(queries, 100).tolist() == found.tolist()


def test_a_file_without_codes_is_refused(tmp_path: Path) -> None:
    import faiss

    (tmp_path / "none").write_bytes(b"hello" * 20)
    with pytest.raises(ValueError, match="holds no codes"):
        Codes.read(tmp_path / "none")
    faiss.write_index(faiss.IndexFlatL2(4), str(tmp_path / "other"))
    with pytest.raises(ValueError, match="another kind, IndexFlatL2"):
        Codes.read(tmp_path / "other")
