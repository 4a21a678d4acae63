"""Rows that are kept, and rows of like length that are computed together, each distinct one once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmpt.evaluators.encoding import Once, by_length, seconds_by_length
from mmpt.evaluators.predicting import read_rows, write_rows

CPU = torch.device("cpu")


def rows() -> list[dict[str, Any]]:
    return [
        {"id": "café 1-2", "found": np.arange(3), "score": np.array([[0.1, np.inf]], np.float32)},
        {"id": "b", "found": np.zeros(0, int), "truth": [[0, 1]], "nothing": None},
    ]


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    write_rows(tmp_path / "part.npz", rows())
    back = read_rows(tmp_path / "part.npz", 2)
    assert back is not None
    for ours, theirs in zip(back, rows(), strict=True):
        assert set(ours) == set(theirs)
        for key, value in theirs.items():
            assert np.array_equal(ours[key], value) if isinstance(value, np.ndarray) else ours[key] == value
            assert not isinstance(value, np.ndarray) or ours[key].dtype == value.dtype


def test_a_file_that_is_not_whole_counts_as_absent(tmp_path: Path) -> None:
    part = tmp_path / "part.npz"
    assert read_rows(part, 2) is None
    write_rows(part, rows())
    assert read_rows(part, 3) is None
    whole = part.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"no zip", whole[:100] + b"\0" * 50 + whole[150:]):
        part.write_bytes(content)
        assert read_rows(part, 2) is None, content[:20]
    part.write_bytes(whole)
    assert read_rows(part, 2) is not None


def _lengths(count: int = 150) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.from_numpy(np.random.default_rng(0).integers(1, 12, size=count))
    return torch.arange(11) < lengths[:, None], lengths


def test_rows_of_like_length_go_together_and_come_back_in_order() -> None:
    real, lengths = _lengths()
    widths: list[list[int]] = []

    def compute(numbers: torch.Tensor) -> torch.Tensor:
        widths.append(lengths[numbers].tolist())
        return numbers[:, None].double() * 2

    found = by_length(compute, real, (torch.arange(150),), CPU)
    assert found.dtype == np.float32 and np.array_equal(found[:, 0], np.arange(150) * 2)
    assert [w for part in widths for w in part] == sorted(lengths.tolist(), reverse=True)
    assert max(map(len, widths)) <= 32


def test_padding_behind_the_longest_window_is_cut_and_put_back() -> None:
    real, _ = _lengths()
    feats = torch.randn(150, 11, 3)
    seen: list[int] = []

    def compute(features: torch.Tensor, masks: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        seen.append(features.shape[1])
        assert masks.any(dim=0).all() and len(texts) == len(features)
        return features + texts[:, None, None]

    found = seconds_by_length(compute, feats, real, (torch.arange(150),), CPU)
    assert seen == sorted(seen, reverse=True) and seen[-1] < 11
    expected = (feats + torch.arange(150)[:, None, None]).numpy()
    assert np.array_equal(found[real.numpy()], expected[real.numpy()])


def test_the_same_row_is_computed_once() -> None:
    asked: list[int] = []

    def compute(values: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        asked.extend(values[:, 0].tolist())
        return values.float()

    once = Once(compute, remembered=4)
    beside = torch.zeros(3, 1)
    real = torch.ones(3, 2, dtype=torch.bool)

    def ask(*values: int) -> list[float]:
        columns = (torch.tensor(values)[:, None].repeat(1, 2), beside)
        return [row[0] for row in once(real, columns, CPU)]

    assert ask(1, 2, 1) == [1, 2, 1] and sorted(asked) == [1, 2]
    assert ask(2, 1, 3) == [2, 1, 3] and sorted(asked) == [1, 2, 3]
    assert ask(4, 5, 6) == [4, 5, 6]  # which pushes out the oldest, 1 and 2
    assert ask(5, 6, 1) == [5, 6, 1] and sorted(asked) == [1, 1, 2, 3, 4, 5, 6]
    beside = torch.ones(3, 1)  # another video beside the same text is another row
    assert ask(1, 1, 1) == [1, 1, 1] and sorted(asked).count(1) == 3


@pytest.mark.parametrize("count", [1, 31, 32, 33])
def test_any_number_of_rows(count: int) -> None:
    real = torch.ones(count, 2, dtype=torch.bool)
    assert by_length(lambda x: x.float(), real, (torch.arange(count),), CPU).tolist() == list(range(count))
