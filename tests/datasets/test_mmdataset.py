"""Items by epoch and index, and data sets made of a configuration."""

import dataclasses
import logging
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmpt.config.schema import DatasetConfig
from mmpt.datasets import ItemKey, MMDataset, build_dataset, collate
from mmpt.processors.aligner import BatchItems
from tests.processors.narrated import narrated, write_narrated

CLASSES = {
    "meta_processor": "ShardedHow2VideoRetriMetaProcessor",
    "video_processor": "ShardedVideoRetriVideoProcessor",
    "text_processor": "ShardedVideoRetriTextProcessor",
    "aligner": "VideoRetriOverlappedAligner",
    "clip_per_video": 3,
}


@pytest.fixture
def config(tmp_path: Path, golden_dir: Path) -> DatasetConfig:
    keys = write_narrated(tmp_path / "shards", [5, 16, 27, 8, 9])
    return narrated({**keys, **CLASSES, "bert_name": str(golden_dir / "common" / "tiny-bert")})


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for key, value in one.items()
    )


def test_many_items_are_the_same_as_one_by_one(config: DatasetConfig) -> None:
    dataset = build_dataset(config, seed=5)
    keys = [ItemKey(3, index) for index in (4, 0, 2, 2)]
    items = dataset.__getitems__(keys)
    assert isinstance(items, BatchItems)
    assert all(same(item, dataset[key]) for item, key in zip(items, keys, strict=True))
    assert same(collate(items), collate([dataset[key] for key in keys]))
    assert collate(items) is items.batch


def test_an_item_depends_on_seed_epoch_and_index(config: DatasetConfig) -> None:
    dataset = build_dataset(config, seed=5)
    item = dataset[ItemKey(0, 2)]
    assert same(item, dataset[2]) and same(item, dataset[-3]) and same(item, build_dataset(config, seed=5)[2])
    others = [dataset[ItemKey(1, 2)], build_dataset(config, seed=6)[2]]
    assert not any(torch.equal(item["video_start"], other["video_start"]) for other in others)
    assert not torch.equal(dataset[ItemKey(1, 2)]["vfeats"], item["vfeats"])


def test_every_item_once(config: DatasetConfig) -> None:
    dataset = build_dataset(config)
    assert [item["video_id"] for item in dataset] == ["v0", "v1", "v2", "v3", "v4"]
    for index in (5, -6):
        with pytest.raises(IndexError, match="of a data set of 5"):
            dataset[index]


def test_it_never_changes(config: DatasetConfig) -> None:
    dataset = build_dataset(config)
    with pytest.raises(dataclasses.FrozenInstanceError):
        dataset.seed = 3  # pyright: ignore[reportAttributeAccessIssue]
    assert same(dataset[1], pickle.loads(pickle.dumps(dataset))[1])


def test_no_global_random_state_is_touched(config: DatasetConfig) -> None:
    def states() -> tuple:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # pyright: ignore

    before = states()
    dataset = build_dataset(config, seed=1)
    items = dataset.__getitems__([ItemKey(0, index) for index in range(5)])
    assert states() == before
    random.seed(9)
    np.random.seed(9)
    torch.manual_seed(9)
    assert all(same(item, dataset[index]) for index, item in enumerate(items))


def test_missing_videos_are_told_once(config: DatasetConfig, caplog: pytest.LogCaptureFixture) -> None:
    with Path(str(config.train_path)).open("a") as file:
        file.writelines(f"gone{number}\n" for number in range(7))
    with caplog.at_level(logging.WARNING):
        dataset = build_dataset(config)
    assert dataset.missing == tuple(f"gone{number}" for number in range(7)) and len(dataset) == 5
    told = [record.message for record in caplog.records if "have no features" in record.message]
    assert len(told) == 1
    assert "7 listed videos have no features" in told[0] and str(config.vfeat_dir) in told[0]
    assert "gone0, gone1, gone2, gone3, gone4, ...); 5 items remain" in told[0]


def test_a_misspelt_class_is_told(config: DatasetConfig) -> None:
    with pytest.raises(ValueError, match=r"dataset.aligner.*did you mean 'VideoRetriOverlappedAligner'"):
        build_dataset(dataclasses.replace(config, aligner="VideoRetriOverlapedAligner"))


def test_a_class_that_is_not_named_is_told(config: DatasetConfig) -> None:
    with pytest.raises(ValueError, match=r"dataset.text_processor is not set"):
        build_dataset(dataclasses.replace(config, text_processor=None))


def test_a_class_from_elsewhere(config: DatasetConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_own_aligner.py").write_text(
        "from mmpt.processors import Aligner\n\n\nclass Mine(Aligner):\n"
        "    def __call__(self, video_id, video_feature, text_feature, rng):\n"
        "        return {'number': rng.integers(100), 'name': video_id.video_id, 'none': None}\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    dataset = build_dataset(dataclasses.replace(config, aligner="my_own_aligner:Mine"))
    assert isinstance(dataset, MMDataset)
    batch = collate(dataset.__getitems__([0, 3]))
    assert batch["name"] == ["v0", "v3"] and batch["none"] == [None, None]
    assert batch["number"].tolist() == [dataset[0]["number"], dataset[3]["number"]]
