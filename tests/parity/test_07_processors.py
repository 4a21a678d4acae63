"""What the readers and aligners of the annotated data sets give."""

import csv
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmpt.config import parse_config
from mmpt.config.schema import DatasetConfig
from mmpt.processors.aligner import Aligner
from mmpt.processors.base import TextProcessor
from mmpt.processors.coin import COINActionSegmentationMetaProcessor
from mmpt.processors.crosstask import CrossTaskMetaProcessor, CrossTaskTextProcessor, Item
from mmpt.processors.msrvtt import MSRVTTTextProcessor
from mmpt.processors.youcook2 import YoucookVideoProcessor
from mmpt.utils.registry import lookup
from mmpt.utils.seeding import generator
from tests.parity import test_07_sequences as sequences
from tests.parity.comparing import assert_close

COVERS = "07_processors"
FILES = ("meta_processors", "aligners_simple", "aligners_windows")  # test_07_sequences has the others
MODEL = "\nmodel:\n  model_cls: MMFusion\n"


class Case(NamedTuple):
    folder: Path
    file: str
    name: str

    def __str__(self) -> str:
        return f"{self.file}-{self.name}"

    @property
    def recorded(self) -> dict[str, Any]:
        return json.loads((self.folder / f"{self.file}.json").read_text())["cases"][self.name]

    @property
    def tensors(self) -> dict[str, torch.Tensor]:
        return load_file(self.folder / f"{self.file}.safetensors")

    @property
    def config(self) -> DatasetConfig:
        return parse_config(self.recorded["config_yaml"] + MODEL).dataset


def list_cases(folder: Path) -> list[Case]:
    return [
        Case(folder, file, name)
        for file in FILES
        for name in json.loads((folder / f"{file}.json").read_text())["cases"]
        if not name.startswith("textgen")  # the processors of masking
    ]


@pytest.fixture
def in_data(golden_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stand where the cases' paths begin, and where tiny-bert is a folder."""
    (tmp_path / "data").symlink_to(golden_dir / COVERS / "data")
    (tmp_path / "tiny-bert").symlink_to(golden_dir / "common" / "tiny-bert")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    return tmp_path


def test_every_case_belongs_to_a_module(golden_dir: Path) -> None:
    folder = golden_dir / COVERS
    names = {path.stem for path in folder.iterdir() if path.suffix == ".json"}
    cases = {(file, name) for file in names for name in json.loads((folder / f"{file}.json").read_text())["cases"]}
    assert cases == {(case.file, case.name) for case in [*list_cases(folder), *sequences.list_cases(folder)]}


def test_recorded(case: Case, in_data: Path) -> None:
    check = {"meta_processors": check_meta, "aligners_simple": check_simple, "aligners_windows": check_windows}
    check[case.file](case)


def check_meta(case: Case) -> None:
    recorded = case.recorded
    config = case.config
    before = np.random.get_state()[1].tolist()  # pyright: ignore[reportIndexIssue, reportCallIssue, reportArgumentType]
    meta = lookup("meta_processor", recorded["meta_processor"])(config)
    assert len(meta) == recorded.get("len", len(recorded["items"]))
    assert [plain(item) for item in (meta[index] for index in range(len(meta)))] == [
        plain(item) for item in recorded["items"]
    ]
    assert np.random.get_state()[1].tolist() == before  # pyright: ignore
    rng = generator(0)
    if "text_ids" in recorded:
        text = lookup("text_processor", recorded.get("text_processor", "TextProcessor"))(config)
        assert [text(meta[index][1], rng) for index in range(len(meta))] == recorded["text_ids"]
    if "text_out" in recorded:
        questions = recorded["meta_processor"] == "MSRVTTQAMetaProcessor"
        name = "MSRVTTQATextProcessor" if questions else recorded["text_processor"]
        text = lookup("text_processor", name)(config)
        assert [list(text(meta[index][1], rng)) for index in range(len(meta))] == recorded["text_out"]
    if "text_candidates_of_first" in recorded:
        text = MSRVTTTextProcessor(config)
        drawn = {json.dumps(text(meta[0][1], generator(0, 0, index))) for index in range(200)}
        assert drawn == set(recorded["text_candidates_of_first"])
    if "video_shape" in recorded:
        clips = [YoucookVideoProcessor(config)(meta[index][0]) for index in range(len(meta))]
        assert [list(clip.shape) for clip in clips] == recorded["video_shape"]
        sums = [float(clip.astype(np.float64).sum()) for clip in clips]
        assert sums == pytest.approx(recorded["video_sum"], abs=1e-3)  # recorded in the files' float16 or float32
    if isinstance(meta, COINActionSegmentationMetaProcessor):
        assert meta.text_labels == recorded["text_labels"]
        laid_out = meta.meta_text_labels()
        assert {name: tensor.tolist() for name, tensor in laid_out.items()} == recorded["meta_text_labels"]


def plain(item: Any) -> Any:
    """An item as JSON has it; where the record puts the two ids into one list, ours are put so too."""
    if isinstance(item, tuple) and isinstance(item[0], Item):
        return json.loads(json.dumps(item[0]))
    if isinstance(item, tuple) and isinstance(item[1], tuple):
        return json.loads(json.dumps([item[0], *item[1]]))
    return json.loads(json.dumps(item))


def check_simple(case: Case) -> None:
    recorded, tensors = case.recorded, case.tensors
    config = case.config
    aligner: Aligner = lookup("aligner", recorded["aligner"])(config)
    feature = tensors[recorded["feature"]].numpy()
    before = feature.copy()
    if "text" in recorded:
        ids = TextProcessor(config).tokenize(recorded["text"])
        assert ids == recorded["token_ids"]
        text = (ids, recorded["text"]) if recorded["aligner"] == "DSNLGAligner" else ids
    else:
        text = recorded["text_feature"]
    item = aligner(recorded.get("video_id", "vid"), feature, text, generator(0))
    assert set(item) == set(recorded["out_keys"])
    assert item["video_id"] == recorded.get("video_id", "vid")
    assert item.get("ref") == recorded.get("ref")
    assert np.array_equal(feature, before), "the caller's features were changed"
    compare(item, tensors, f"{case.name}/out/")


def check_windows(case: Case) -> None:
    recorded, tensors = case.recorded, case.tensors
    config = case.config
    folder = Path(config.extra["annotation_path"])
    folder.mkdir()
    feature = tensors[recorded["feature"]].numpy()
    if recorded["aligner"] == "CrossTaskAligner":
        (name, rows), *_ = recorded["annotation_csv"].items()
        with (folder / name).open("w", newline="") as file:
            csv.writer(file).writerows(rows)
        video = recorded["video_id"]
        text = CrossTaskTextProcessor(config)(video, generator(0))
    else:
        video, text = case.name, recorded["text_feature"]
    item = lookup("aligner", recorded["aligner"])(config)(video, feature, text, generator(0))
    assert item["video_len"] == recorded["video_len"]
    assert item.get("task") == recorded.get("task")
    assert len(item["vfeats"]) == recorded["num_windows"]
    assert float(item["vfeats"].double().abs().sum()) == pytest.approx(recorded["vfeats_sum_abs"], rel=1e-5)
    compare(item, tensors, f"{case.name}/out/")


def compare(item: dict[str, Any], tensors: dict[str, torch.Tensor], prefix: str) -> None:
    names = [name for name in tensors if name.startswith(prefix)]
    assert names, f"nothing is recorded for {prefix}"
    for name in names:
        ours = item[name.removeprefix(prefix)]
        assert ours.dtype == tensors[name].dtype, name
        assert_close(ours, tensors[name], name, absolute=0)


def test_crosstask_split_is_the_recorded_one_whatever_the_global_generator(in_data: Path, golden_dir: Path) -> None:
    case = Case(golden_dir / COVERS, "meta_processors", "crosstask_train")
    np.random.seed(1234)
    first = [item[0].video for item in CrossTaskMetaProcessor(case.config).listing.items]
    drawn = np.random.rand()
    np.random.seed(1234)
    assert np.random.rand() == drawn, "the split used the global generator"
    assert first == [item[1] for item in case.recorded["items"]]
