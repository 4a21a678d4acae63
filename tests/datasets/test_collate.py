"""Items to batches, and clips to rows."""

import numpy as np
import pytest
import torch
from torch.utils.data import default_collate

from mmpt.datasets import collate, flatten_clips
from mmpt.processors.aligner import BatchItems


def test_every_kind_of_value() -> None:
    items = [
        {"t": torch.ones(2), "a": np.full(3, n, np.float16), "i": n, "f": 0.5, "b": True, "s": "x", "n": None, "l": [n]}
        for n in range(2)
    ]
    batch = collate(items)
    assert batch["t"].shape == (2, 2) and batch["a"].dtype == torch.float16 and batch["a"][1].tolist() == [1, 1, 1]
    assert batch["i"].tolist() == [0, 1] and batch["i"].dtype == torch.int64 and batch["b"].dtype == torch.bool
    assert batch["s"] == ["x", "x"] and batch["n"] == [None, None] and batch["l"] == [[0], [1]]


def test_other_shapes_are_told() -> None:
    with pytest.raises(ValueError, match=r"'vfeats' have the shapes \[\(2,\), \(3,\)\].*batch size of 1"):
        collate([{"vfeats": torch.ones(2)}, {"vfeats": torch.ones(3)}])


def test_other_keys_are_told() -> None:
    with pytest.raises(ValueError, match=r"an item has \['a'\], another \['b'\]"):
        collate([{"a": 1}, {"b": 1}])


def test_parts_of_a_batch_are_not_copied() -> None:
    batch = {"x": torch.arange(6).reshape(3, 2), "id": ["a", "b", "c"]}
    items = BatchItems(batch, 3)
    assert collate(items) is batch and items[1]["id"] == "b" and items[1]["x"].tolist() == [2, 3]
    assert items[1]["x"].data_ptr() == batch["x"][1].data_ptr()
    assert torch.equal(collate(list(items))["x"], batch["x"])
    assert torch.equal(default_collate(items)["x"], batch["x"])


def test_clips_become_rows() -> None:
    batch = {"caps": torch.arange(12).reshape(2, 3, 2), "whole": torch.arange(2), "id": ["a", "b"]}
    flat = flatten_clips(batch, 3)
    assert flat["caps"].shape == (6, 2) and flat["whole"].shape == (2,) and flat["id"] == ["a", "b"]
    assert flat["caps"].data_ptr() == batch["caps"].data_ptr()
    assert batch["caps"].shape == (2, 3, 2)


def test_what_belongs_to_a_whole_video_stays() -> None:
    flat = flatten_clips({"whole": torch.zeros(2, 7)}, 4)
    assert flat["whole"].shape == (2, 7)


def test_an_unknown_order_is_told() -> None:
    with pytest.raises(ValueError, match="'odd_first'; it takes clips, even_first, cluster"):
        flatten_clips({}, 2, order="odd_first")


def test_an_odd_number_makes_no_pairs() -> None:
    with pytest.raises(ValueError, match="3 clips"):
        flatten_clips({"x": torch.zeros(2, 3)}, 3, order="even_first")
