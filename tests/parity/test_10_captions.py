"""Captions cut into word pieces: the very bytes that the original wrote."""

import json
import pickle
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from mmpt.cli.main import main

COVERS = "10_shards"
NAME = "raw_caption_dedup.tiny-bert"


class Case(NamedTuple):
    folder: Path
    file: str

    def __str__(self) -> str:
        return self.file

    @property
    def recorded(self) -> bytes:
        return (self.folder / "shards" / self.file).read_bytes()


def list_cases(folder: Path) -> list[Case]:
    return [Case(folder, path.name) for path in sorted((folder / "shards").glob(f"{NAME}.*.npy"))]


@pytest.fixture(scope="module")
def written(golden_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command line makes of the recorded captions and meta files, by the original's YAML file."""
    folder = tmp_path_factory.mktemp("captions")
    (folder / "shards").mkdir()
    (folder / "how2").mkdir()
    for meta in (golden_dir / COVERS / "shards").glob("*_meta.pkl"):
        shutil.copy(meta, folder / "shards")
    shutil.copy(golden_dir / COVERS / "how2" / "raw_caption_dedup.pkl", folder / "how2")
    shutil.copytree(golden_dir / "common" / "tiny-bert", folder / "tiny-bert")
    recorded = (golden_dir / COVERS / "shards.json").read_text()
    (folder / "pretokenization.yaml").write_text(json.loads(recorded)["pretokenization_yaml"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["captions", "tokenize", "--config", "pretokenization.yaml"]) == 0
    return folder


def test_shards_are_the_originals_byte_for_byte(case: Case, written: Path) -> None:
    assert (written / "shards" / case.file).read_bytes() == case.recorded


def test_no_other_arrays_are_written(golden_dir: Path, written: Path) -> None:
    expected = {case.file for case in list_cases(golden_dir / COVERS)}
    assert expected and {path.name for path in (written / "shards").glob("*.npy")} == expected


def test_the_pickle_of_all_videos_is_the_originals(golden_dir: Path, written: Path) -> None:
    recorded = pickle.loads((golden_dir / COVERS / "how2" / f"{NAME}.pkl").read_bytes())
    assert pickle.loads((written / "how2" / f"{NAME}.pkl").read_bytes()) == recorded
