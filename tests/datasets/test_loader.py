"""Batches, whatever the number of workers."""

import logging
import random
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmpt.config.schema import DatasetConfig
from mmpt.datasets import build_dataset, build_loader
from mmpt.datasets.threads import ThreadLoader
from tests.processors.narrated import narrated, write_narrated

SHARDED = {
    "meta_processor": "ShardedHow2MetaProcessor",
    "video_processor": "ShardedVideoProcessor",
    "text_processor": "ShardedTextProcessor",
}


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> DatasetConfig:
    bert = request.getfixturevalue("golden_dir") / "common" / "tiny-bert"
    keys = write_narrated(tmp_path_factory.mktemp("narrated") / "shards", [5, 16, 27, 8, 9, 30, 11])
    return narrated({**keys, **SHARDED, "bert_name": str(bert), "aligner": "OverlappedAligner"})


@pytest.fixture
def clusters(config: DatasetConfig) -> DatasetConfig:
    return replace(config, aligner="VideoRetriOverlappedAligner", clip_per_video=3, num_video_per_batch=2)


def masked(config: DatasetConfig) -> DatasetConfig:
    masks = {"mfm_probability": 0.15, "mlm_probability": 0.15, "mm_prob": 0.5, "lazy_vfeat_mask": True}
    return replace(config, aligner="MFMMLMAligner", subsampling=2, **masks)


def batches(loader: Any, epochs: int = 2) -> list[dict[str, Any]]:
    drawn = []
    for epoch in range(epochs):
        loader.batch_sampler.set_epoch(epoch)
        drawn += list(loader)
    return drawn


def same(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return len(one) == len(other) and all(
        torch.equal(value, b[key]) if isinstance(value, torch.Tensor) else value == b[key]
        for a, b in zip(one, other, strict=True)
        for key, value in a.items()
    )


@pytest.mark.parametrize("start_method", ["thread", "fork", "spawn"])
def test_the_same_batches_whatever_the_number_of_workers(clusters: DatasetConfig, start_method: str) -> None:
    dataset = build_dataset(clusters, seed=3)
    told = batches(build_loader(dataset, 1, seed=3))
    assert len(told) == 6 and told[0]["caps"].shape == (2, 3, 16)
    counts = (2,) if start_method == "spawn" else (1, 2)
    for workers in counts:
        loader = build_loader(dataset, seed=3, num_workers=workers, start_method=start_method)
        assert same(batches(loader), told)


@pytest.mark.parametrize("start_method", ["thread", "fork"])
def test_masks_too_are_the_same_with_workers(config: DatasetConfig, start_method: str) -> None:
    dataset = build_dataset(masked(config), seed=3)
    told = batches(build_loader(dataset, 4, seed=3))
    assert same(batches(build_loader(dataset, 4, seed=3, num_workers=2, start_method=start_method)), told)
    assert "video_label" in told[0] and told[0]["text_label"].shape == (2, 2, 16)


def test_whole_batches_come_from_threads_by_default(clusters: DatasetConfig) -> None:
    assert isinstance(build_loader(build_dataset(clusters), num_workers=2), ThreadLoader)
    assert not isinstance(build_loader(build_dataset(clusters)), ThreadLoader)


def test_threads_end_with_the_one_who_asked(clusters: DatasetConfig) -> None:
    def running() -> int:
        return sum(thread.name.startswith("mmpt-loader") for thread in threading.enumerate())

    iterator = iter(build_loader(build_dataset(clusters), num_workers=2))
    next(iterator)
    assert running() > 0
    iterator.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert running() == 0


@pytest.mark.parametrize("start_method", ["thread", "fork"])
def test_an_error_in_a_worker_says_what_is_wrong(clusters: DatasetConfig, start_method: str) -> None:
    dataset = build_dataset(replace(clusters, sampled_min_len=None))
    with pytest.raises(ValueError, match=r"dataset.sampled_min_len is None"):
        list(build_loader(dataset, num_workers=1, start_method=start_method))


def test_epochs_and_seeds_differ(clusters: DatasetConfig) -> None:
    dataset = build_dataset(clusters, seed=3)
    drawn = batches(build_loader(dataset, seed=3), epochs=2)
    assert not same(drawn[:3], drawn[3:])
    assert same(batches(build_loader(dataset, seed=3)), drawn)
    assert not same(batches(build_loader(build_dataset(clusters, seed=4), seed=3)), drawn)


def test_no_global_random_state_is_touched(clusters: DatasetConfig) -> None:
    def states() -> tuple:
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # pyright: ignore

    before = states()
    for workers, start_method in ((0, None), (1, "fork"), (2, "thread")):
        batches(build_loader(build_dataset(clusters), num_workers=workers, start_method=start_method), epochs=1)
    assert states() == before


def test_the_batch_size_counts_examples(config: DatasetConfig) -> None:
    dataset = build_dataset(replace(config, subsampling=2))
    assert [len(batch["video_id"]) for batch in build_loader(dataset, 5)] == [2, 2, 2]
    with pytest.raises(ValueError, match="batch size is 1 examples, and an item holds 2"):
        build_loader(dataset, 1)
    with pytest.raises(ValueError, match="batch size is None examples"):
        build_loader(dataset)


def test_validation_leaves_out_nothing(config: DatasetConfig) -> None:
    loader = build_loader(build_dataset(config), 3, shuffle=False)
    assert [batch["video_id"] for batch in loader] == [["v0", "v1", "v2"], ["v3", "v4", "v5"], ["v6"]]


def test_what_training_leaves_out_is_counted(config: DatasetConfig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        loader = build_loader(build_dataset(config), 3)
    assert len(loader) == 2 and "1 of 7 items of an epoch come in no batch" in caplog.text


def test_no_batch_is_told(config: DatasetConfig, clusters: DatasetConfig) -> None:
    with pytest.raises(ValueError, match="7 items give no batch of 8 for each of 1 processes"):
        build_loader(build_dataset(config), 8)
    with pytest.raises(ValueError, match=r"7 videos give no cluster of 9 .* at most 7"):
        build_loader(build_dataset(replace(clusters, num_video_per_batch=9)))


def test_clusters_that_are_given(clusters: DatasetConfig) -> None:
    loader = build_loader(build_dataset(clusters), clusters=[[6, 0, 1]])
    (batch,) = loader
    assert batch["video_id"] == ["v6", "v0", "v1"] and batch["vfeats"].shape == (3, 3, 8, 6)


def test_validation_with_clusters_leaves_out_nothing(clusters: DatasetConfig) -> None:
    dataset = build_dataset(replace(clusters, num_video_per_batch=4))
    assert [len(batch["video_id"]) for batch in build_loader(dataset, shuffle=False)] == [4, 3]
    dataset = build_dataset(replace(clusters, num_video_per_batch=32))
    assert [len(batch["video_id"]) for batch in build_loader(dataset, shuffle=False)] == [7]
    shares = [list(build_loader(dataset, shuffle=False, rank=rank, world=2)) for rank in range(2)]
    assert [[batch["video_id"] for batch in share] for share in shares] == [[["v0", "v1", "v2"]], [["v3", "v4", "v5"]]]


def test_ranks_get_different_clusters(clusters: DatasetConfig) -> None:
    dataset = build_dataset(clusters)
    loaders = [build_loader(dataset, rank=rank, world=3) for rank in range(3)]
    names = [name for loader in loaders for batch in loader for name in batch["video_id"]]
    assert sorted(names) == ["v0", "v1", "v2", "v3", "v4", "v5"]


def test_the_real_yaml_file(config: DatasetConfig, golden_dir: Path) -> None:
    """projects/retri/videoclip/how2.yaml, with the paths of this test's data: from the file to a batch."""
    from mmpt.config import load_config
    from mmpt.config.load import find_project_file

    paths = {key: getattr(config, key) for key in ("train_path", "vfeat_dir", "tfeat_dir", "bert_name")}
    overrides = [f"dataset.{key}={value}" for key, value in paths.items()]
    run = load_config(find_project_file("retri/videoclip/how2.yaml"), [*overrides, "dataset.num_video_per_batch=7"])
    (batch,) = build_loader(build_dataset(run.dataset))
    assert batch["vfeats"].shape == (7, 16, 32, 6) and batch["caps"].shape == (7, 16, 64)
    assert batch["vmasks"].any(dim=2).all()
