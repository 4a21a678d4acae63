"""Which features go into shards, and what is tried again."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmpt.utils import sharding
from mmpt.utils.featurefile import read_features, write_features
from mmpt.utils.shardedtensor import read_meta
from mmpt.utils.sharding import ShardingReport, write_shards

ABOUT = {"backbone": "s3d", "version": "1", "l2_normalized": True}
IDS = [f"v{number}" for number in range(6)]


@pytest.fixture
def feats(tmp_path: Path) -> Path:
    for video in IDS:
        write_features(tmp_path / "feats" / f"{video}.npy", np.ones((3, 8)), ABOUT)
    return tmp_path / "feats"


def write(feats: Path) -> ShardingReport:
    return write_shards(feats, feats.parent / "shards", {"train": IDS}, shard_size=3)


def test_a_failure_that_passes_is_tried_again(feats: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flaky(path: Path, **more: Any) -> Any:
        if path.stem == "v4":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return read_features(path, **more)

    (feats / "v1.npy").write_text("no array")
    monkeypatch.setattr(sharding, "read_features", flaky)
    report = write(feats)
    assert report.failures == 2 and "Input/output error" in report.first[1]
    monkeypatch.undo()
    report = write(feats)
    assert (report.written, report.kept) == (1, 1)  # a damaged file is not tried again before it changes
    assert report.failures == 1 and report.first[0].startswith("v1: ")
    assert read_meta(feats.parent / "shards/train_meta.pkl") == {0: ["v0", "v2"], 1: ["v3", "v4", "v5"]}
    assert write(feats).kept == 2


def test_features_of_another_version_are_left_out(feats: Path) -> None:
    """Files that do not say it, as the published ones, go with any."""
    write_features(feats / "v1.npy", np.ones((3, 8)), {**ABOUT, "version": "2"})
    np.save(feats / "v2.npy", np.ones((3, 8), np.float16))
    report = write(feats)
    assert report.failures == 1 and report.first[0].startswith("v1: ") and "version 2) than most" in report.first[0]
