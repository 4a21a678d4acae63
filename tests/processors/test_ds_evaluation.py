"""The data of whole evaluation runs goes through the readers and aligners, as each run's own YAML file says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from mmpt.cli.main import main
from mmpt.config import load_config
from mmpt.datasets import build_dataset, build_loader
from mmpt.processors.didemo import DiDeMoMetaProcessor
from tests.conftest import SHARED

RUNS = {
    "test_vtt": 10,
    "test_vtt_zs": 10,
    "test_vttqa": 10,
    "test_vttqa_zs": 10,
    "test_youcook_zs": 20,
    "test_youcookcap": 8,
    "test_crosstask": 4,
    "test_crosstask_zs_videoclip": 4,
    "test_coin": 10,
    "test_coin_videoclip": 10,
    "test_coin_zs": 10,
    "test_didemo_zs": 7,
}


@pytest.fixture
def runs(golden_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = next((f / "14_eval" for f in (golden_dir, SHARED / "golden") if (f / "14_eval").is_dir()), None)
    if folder is None:
        pytest.skip(f"14_eval is neither in {golden_dir} nor in {SHARED / 'golden'}: it holds the recorded evaluations")
    (tmp_path / "data").symlink_to(folder / "data")
    (tmp_path / "tiny-bert").symlink_to(golden_dir / "common" / "tiny-bert")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    return folder


def items_of(path: Path) -> tuple[Any, list[dict[str, Any]], list[Any]]:
    """The meta processor, and of all items what the data set gives and the text ids."""
    config = load_config(path)
    dataset = build_dataset(config.dataset)
    loader = build_loader(dataset, config.raw["fairseq"]["dataset"]["batch_size"], shuffle=False)
    batches = list(loader)
    assert sum(len(batch["vfeats"]) for batch in batches) == len(dataset)
    items = [dataset[index] for index in range(len(dataset))]
    assert torch.equal(batches[0]["vfeats"][0], items[0]["vfeats"])
    assert [video for batch in batches for video in batch["video_id"]] == [item["video_id"] for item in items]
    return dataset.meta, items, [dataset.meta[index][1] for index in range(len(dataset))]


@pytest.mark.parametrize("name", RUNS)
def test_items_are_those_of_the_run(name: str, runs: Path) -> None:
    recorded = json.loads((runs / "eval.json").read_text())["runs"][name]
    tensors = load_file(runs / "eval.safetensors")
    meta, items, texts = items_of(runs / "configs" / f"{name}.yaml")
    assert len(items) == recorded["n_examples"] == RUNS[name]
    assert not meta.faults
    if "texts" in recorded:
        assert texts == recorded["texts"]
    if name.startswith("test_vttqa"):
        assert [item["answers"].tolist() for item in items] == recorded["targets"]
    if name == "test_youcookcap":
        assert [item["ref"] for item in items] == recorded["targets"][0]
    if name.startswith("test_coin"):
        assert [item["video_id"] for item in items] == recorded["order_of_videos"]
        seconds = torch.cat([item["video_targets"] for item in items])
        assert torch.equal(seconds, tensors[f"{name}/out/targets"])
    if name.startswith("test_crosstask"):
        made: dict[str, dict[str, tuple[int, int]]] = {}
        for item in items:
            made.setdefault(item["task"], {})[item["video_id"]] = (item["video_len"], item["targets"].shape[1])
        outputs = recorded["outputs"]
        assert made == {t: {v: (o["T"], o["K"]) for v, o in videos.items()} for t, videos in outputs.items()}
    if isinstance(meta, DiDeMoMetaProcessor):
        assert len(meta.times) == len(items)
        assert meta.times[0] == ((0, 0), (3, 4), (3, 3))


def test_every_run_is_checked(runs: Path) -> None:
    assert set(json.loads((runs / "eval.json").read_text())["runs"]) == set(RUNS)
    assert {path.stem for path in (runs / "configs").iterdir()} == set(RUNS)


def test_a_run_of_ones_own_data(golden_dir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same without the recorded runs: a YAML file, a table and features made here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    (tmp_path / "tiny-bert").symlink_to(golden_dir / "common" / "tiny-bert")
    (tmp_path / "feat").mkdir()
    for index, seconds in enumerate((5, 40)):
        np.save(tmp_path / "feat" / f"v{index}.npy", np.full((seconds, 16), index + 1, np.float16))
    (tmp_path / "test.csv").write_text("video_id,sentence\nv0,chop the onion\nv1,people dancing\nv2,bake\n")
    (tmp_path / "run.yaml").write_text(
        "dataset:\n  bert_name: tiny-bert\n  split: test\n  vfeat_dir: feat\n  test_path: test.csv\n"
        "  meta_processor: MSRVTTMetaProcessor\n  video_processor: VideoProcessor\n"
        "  text_processor: MSRVTTTextProcessor\n  aligner: DSAligner\nmodel:\n  model_cls: MMFusionSeparate\n"
        "fairseq:\n  dataset:\n    batch_size: 2\n"
    )
    meta, items, texts = items_of(tmp_path / "run.yaml")
    assert texts == ["chop the onion", "people dancing"]
    assert meta.missing == ("v2",)
    assert [int(item["vmasks"].sum()) for item in items] == [5, 32]  # 40 seconds are cut to max_video_len
    assert [float(item["vfeats"].sum()) for item in items] == [5 * 16, 2 * 32 * 16]
    assert items[0]["caps"].tolist()[:6] == [2, 3, 280, 119, 349, 3]


def batch_of(video: Path, path: Path, monkeypatch: pytest.MonkeyPatch, golden_dir: Path) -> dict[str, Any]:
    """`mmpt extract` on a video that a DiDeMo file names, then the data set's only batch."""
    monkeypatch.chdir(path)
    monkeypatch.delenv("MMPT_HOME", raising=False)
    (path / "tiny-bert").symlink_to(golden_dir / "common" / "tiny-bert")
    assert main(["extract", str(video), "-o", "feat", "--backbone", "grid"]) == 0
    listed = [{"video": name, "description": "chop the onion", "times": [[0, 0]]} for name in (video.name, "no.mov")]
    (path / "test_data.json").write_text(json.dumps(listed))
    (path / "run.yaml").write_text(
        "dataset:\n  bert_name: tiny-bert\n  split: test\n  vfeat_dir: feat\n  test_path: test_data.json\n"
        "  backbone: grid\n  meta_processor: DiDeMoMetaProcessor\n  video_processor: VideoProcessor\n"
        "  text_processor: DiDeMoTextProcessor\n  aligner: DiDeMoAligner\nmodel:\n  model_cls: MMFusionSeparate\n"
    )
    dataset = build_dataset(load_config("run.yaml").dataset)
    assert dataset.missing == ("no.mov",)
    (batch,) = build_loader(dataset, 1, shuffle=False)
    return batch


def test_from_a_rendered_video_to_a_batch(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden_dir: Path
) -> None:
    batch = batch_of(clip, tmp_path, monkeypatch, golden_dir)
    assert batch["vmasks"].sum() == 3  # two and a half seconds
    assert torch.allclose(batch["vfeats"][0, :3].norm(dim=1), torch.ones(3), atol=1e-3)


def test_from_a_real_video_to_a_batch(
    real_videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, golden_dir: Path
) -> None:
    batch = batch_of(real_videos / "dog.mp4", tmp_path, monkeypatch, golden_dir)
    assert batch["vmasks"].sum() == 5 and batch["video_id"] == ["dog.mp4"]
    assert torch.allclose(batch["vfeats"][0, :5].norm(dim=1), torch.ones(5), atol=1e-3)
