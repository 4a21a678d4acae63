"""What the readers of How2's shards give, and which clusters training begins with."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from mmpt.config import parse_config
from mmpt.config.schema import DatasetConfig
from mmpt.datasets import MMDataset, consecutive_clusters
from mmpt.processors.aligner import Aligner
from mmpt.processors.how2 import (
    ShardedHow2MetaProcessor,
    ShardedHow2VideoRetriMetaProcessor,
    ShardedTextProcessor,
    ShardedVideoProcessor,
    ShardKey,
)
from mmpt.processors.how2_plain import How2MetaProcessor, How2TextProcessor
from mmpt.utils.seeding import generator

COVERS = "10_shards"
SHARD_TOKENS = 32  # of a caption, as shards hold them


class Case(NamedTuple):
    folder: Path
    split: str
    index: int

    def __str__(self) -> str:
        return f"{self.split}-{self.index}"

    @property
    def config(self) -> DatasetConfig:
        return dataset_config(recorded(self.folder)["splits"][self.split]["config_yaml"])

    @property
    def item(self) -> dict:
        return recorded(self.folder)["splits"][self.split]["items"][self.index]


def recorded(folder: Path) -> dict:
    return json.loads((folder / "shards.json").read_text())


def dataset_config(text: str) -> DatasetConfig:
    return parse_config(f"{text}  bert_name: none\nmodel:\n  model_cls: MMFusion\n").dataset


def list_cases(folder: Path) -> list[Case]:
    splits = recorded(folder)["splits"]
    return [Case(folder, split, index) for split in splits for index in range(len(splits[split]["items"]))]


@pytest.fixture
def in_shards(golden_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = golden_dir / COVERS
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    return folder


def test_an_item_is_the_originals(case: Case, in_shards: Path) -> None:
    meta = ShardedHow2MetaProcessor(case.config)
    assert len(meta) == len(recorded(in_shards)["splits"][case.split]["items"]) and not meta.missing
    video_id, text_id = meta[case.index]
    assert list(video_id) == list(text_id) == case.item["meta"]
    features = ShardedVideoProcessor(case.config)(video_id)
    assert list(features.shape) == case.item["video"]["shape"] and features.dtype == case.item["video"]["dtype"]
    assert hashlib.sha256(features.tobytes()).hexdigest() == case.item["video"]["sha256"]
    captions = ShardedTextProcessor(case.config)(text_id, generator(0))
    assert captions["start"].tolist() == case.item["text"]["start"]
    assert captions["end"].tolist() == case.item["text"]["end"]
    assert list(captions["cap"]) == case.item["text"]["cap"]


def test_the_pickle_of_tokens_gives_the_same_but_is_not_cut(case: Case, in_shards: Path) -> None:
    extra = {"caption_pkl_path": "how2/raw_caption_dedup.tiny-bert.pkl"}
    config = DatasetConfig(bert_name="none", split=case.split, extra=extra)
    captions = How2TextProcessor(config)(case.item["meta"][0], generator(0))
    assert [ids[:SHARD_TOKENS] for ids in captions["cap"]] == case.item["text"]["cap"]
    assert np.float32(captions["start"]).tolist() == case.item["text"]["start"]


def test_the_pickle_of_texts_gives_the_same_but_is_not_cut(case: Case, in_shards: Path) -> None:
    extra = {"caption_pkl_path": "how2/raw_caption_dedup.pkl"}
    config = DatasetConfig(bert_name=str(in_shards.parent / "common" / "tiny-bert"), split=case.split, extra=extra)
    captions = How2TextProcessor(config)(case.item["meta"][0], generator(0))
    assert len(captions["cap"]) == len(case.item["text"]["cap"])
    for ids, cut in zip(captions["cap"], case.item["text"]["cap"], strict=True):
        assert ids == cut or len(ids) > len(cut)
    assert captions["end"].astype(np.float32).tolist() == case.item["text"]["end"]


def test_the_plain_list_names_the_same_videos(in_shards: Path) -> None:
    config = DatasetConfig(bert_name="none", train_path="how2/how2_s3d_train.lst")
    videos = [item["meta"][0] for item in recorded(in_shards)["splits"]["train"]["items"]]
    assert [video for video, _ in How2MetaProcessor(config).listing.items] == videos


def test_clusters_are_the_originals(in_shards: Path) -> None:
    told = recorded(in_shards)["retri_meta_processor"]
    config = dataset_config(told["config_yaml"])
    size = config.num_video_per_batch
    assert size is not None
    meta = ShardedHow2VideoRetriMetaProcessor(config)
    clusters = consecutive_clusters(len(meta), size)
    assert len(clusters) == told["len"] and [list(cluster) for cluster in clusters] == told["cands"]
    example = told["formula_example"]
    clusters = consecutive_clusters(example["n_videos"], example["num_video_per_batch"])
    assert len(clusters) == example["n_batches"]
    assert [list(cluster) for cluster in clusters[:2]] == [[0, 1], [2, 3]]
    video_ids, text_ids = told["getitem_after_set_candidates"]
    assert [[list(key) for key in pair] for pair in zip(meta[2], meta[3], strict=True)] == [video_ids, text_ids]


class Keys(Aligner):
    def __call__(self, video_id, video_feature, text_feature, rng) -> dict:
        return {"key": video_id, "seconds": len(video_feature), "captions": len(text_feature["cap"])}


def test_a_data_set_of_shards(in_shards: Path) -> None:
    split = recorded(in_shards)["splits"]["train"]
    config = dataset_config(split["config_yaml"])
    parts = (ShardedHow2MetaProcessor(config), ShardedVideoProcessor(config), ShardedTextProcessor(config))
    items = MMDataset(*parts, Keys(config)).__getitems__(range(len(split["items"])))
    assert [item["key"] for item in items] == [ShardKey(*item["meta"]) for item in split["items"]]
    assert [item["seconds"] for item in items] == [item["video"]["shape"][0] for item in split["items"]]
