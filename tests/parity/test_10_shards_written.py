"""`mmpt shard` writes the very bytes that the original's script wrote."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from mmpt.cli.main import main
from mmpt.utils.featurefile import write_features
from mmpt.utils.shardedtensor import ShardedTensor, ShardWriter, open_shard, read_meta

COVERS = "10_shards"
SHARD_SIZE = 3  # of the recorded shards


class Case(NamedTuple):
    folder: Path
    file: str

    def __str__(self) -> str:
        return self.file

    @property
    def recorded(self) -> bytes:
        return (self.folder / "shards" / self.file).read_bytes()


def list_cases(folder: Path) -> list[Case]:
    names = sorted(path.name for split in ("train", "val") for path in (folder / "shards").glob(f"{split}_*"))
    return [Case(folder, name) for name in names]


@pytest.fixture(scope="module")
def written(golden_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command line makes of the recorded features, one file a video, and the recorded lists."""
    recorded, folder = golden_dir / COVERS, tmp_path_factory.mktemp("shards")
    for meta in (recorded / "shards").glob("*_meta.pkl"):
        for number, ids in read_meta(meta).items():
            shard = open_shard(recorded / "shards" / f"{meta.name.removesuffix('_meta.pkl')}_{number}")
            for video, array in zip(ids, shard, strict=True):
                write_features(folder / "feats" / f"{video}.npy", array, {"backbone": "s3d", "l2_normalized": True})
    lists = [
        f"--{split}={recorded / 'how2' / f'how2_s3d_{split}.lst'}"
        for split in ("train", "val")
        if (recorded / "how2" / f"how2_s3d_{split}.lst").is_file()
    ]
    target = folder / "shards"
    assert main(["shard", str(folder / "feats"), "-o", str(target), *lists, f"--shard-size={SHARD_SIZE}"]) == 0
    return target


def test_command_line_writes_the_recorded_bytes(case: Case, written: Path) -> None:
    assert (written / case.file).read_bytes() == case.recorded


def test_nothing_else_is_written_but_the_indexes(golden_dir: Path, written: Path) -> None:
    recorded = {case.file for case in list_cases(golden_dir / COVERS)}
    indexes = {name.replace("_data.npy", "_index.json") for name in recorded if name.endswith("_data.npy")}
    assert {path.name for path in written.iterdir()} == recorded | indexes


def test_every_recorded_shard_survives_reading_and_writing(golden_dir: Path, tmp_path: Path) -> None:
    prefixes = [str(path)[: -len("_data.npy")] for path in (golden_dir / COVERS / "shards").glob("*_data.npy")]
    assert prefixes
    for prefix in prefixes:
        shard = open_shard(prefix)
        ShardedTensor.from_list(list(shard)).save(tmp_path / "saved")
        with ShardWriter(tmp_path / "streamed", dtype=shard.data.dtype) as writer:
            for array in shard:
                writer.append(array)
        for ending in ("_data.npy", "_starts.npy"):
            recorded = Path(prefix + ending).read_bytes()
            assert (tmp_path / f"saved{ending}").read_bytes() == recorded, prefix
            assert (tmp_path / f"streamed{ending}").read_bytes() == recorded, prefix
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
