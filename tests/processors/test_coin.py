"""COIN: videos of a subset, labels in words, and the label of each second."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmpt.processors.coin import COINActionSegmentationAligner, COINActionSegmentationMetaProcessor
from mmpt.utils.seeding import generator
from tests.processors.recipes import SPECIAL, config, one_fault, write, write_features, write_json


def step(label: Any, start: Any = 1.0, end: Any = 2.0) -> dict[str, Any]:
    return {"id": label, "segment": [start, end], "label": f"step {label}"}


def coin(path: Path, **videos: tuple[str, Any]) -> str:
    database = {video: {"subset": subset, "annotation": steps} for video, (subset, steps) in videos.items()}
    return write_json(path / "COIN.json", {"database": database})


@pytest.mark.parametrize(("split", "videos"), [("train", ["a"]), ("valid", ["b", "d"]), ("test", ["b", "d"])])
def test_splits_are_the_two_subsets(tmp_path: Path, split: str, videos: list[str]) -> None:
    path = coin(
        tmp_path,
        a=("training", [step(2)]),
        b=("testing", [step("1")]),
        c=("testing", [step(2)]),
        d=("testing", []),
    )
    keys = {f"{key}_path": path for key in ("train", "val", "test")}
    folder = write_features(tmp_path / "feat", a=3, b=3, d=3)
    meta = COINActionSegmentationMetaProcessor(config(split=split, vfeat_dir=folder, **keys))
    assert [video for video, _ in meta.listing.items] == videos
    assert meta.missing == (() if split == "train" else ("c",))
    assert meta.text_labels == ["step 1", "step 2"]  # c counts, though its features are missing


def test_labels_without_words_are_told_when_they_are_asked_for(tmp_path: Path) -> None:
    path = coin(tmp_path, a=("testing", [step(1), step(4)]), b=("training", [step(2)]))
    meta = COINActionSegmentationMetaProcessor(config(test_path=path))
    assert len(meta) == 1
    with pytest.raises(ValueError, match=r"label 4, but none for 2 labels below it, 2 for one.*the whole COIN\.json"):
        _ = meta.text_labels


@pytest.mark.parametrize("label", [0, 779, -1, "x", None, 1.5, "1.0"])
def test_a_video_with_an_unknown_label_is_left_out(tmp_path: Path, label: Any) -> None:
    path = coin(tmp_path, a=("testing", [step(1), step(label)]), b=("testing", [step(778)]))
    meta = COINActionSegmentationMetaProcessor(config(test_path=path))
    assert [video for video, _ in meta.listing.items] == ["b"]
    one_fault(meta.faults, f"{path}, a, annotation[1]", f"has the id {label!r}; labels go from 1 to 778", "left out")


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        ([5, 2], "ends at 2 s, before its beginning at 5 s"),
        ([-1, 2], "begins at -1 s, before the video"),
        (["a", 2], "has the time 'a'"),
        ([1], "has no segment"),
    ],
)
def test_a_step_with_bad_times_is_left_out(tmp_path: Path, segment: Any, message: str) -> None:
    path = coin(tmp_path, a=("testing", [{"id": 3, "segment": segment, "label": "x"}, step(4, 0, 1)]))
    meta = COINActionSegmentationMetaProcessor(config(test_path=path))
    assert list(meta.listing.items) == [("a", {"start": [0], "end": [1], "label": [4]})]
    one_fault(meta.faults, f"{path}, a, annotation[0]", message, "left out")


def test_a_video_without_a_list_is_left_out(tmp_path: Path) -> None:
    path = coin(tmp_path, a=("testing", None), b=("testing", [step(1)]))
    meta = COINActionSegmentationMetaProcessor(config(test_path=path))
    assert len(meta) == 1 and meta.text_labels == ["step 1"]
    one_fault(meta.faults, f"{path}, a has no list 'annotation'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"database": {"a": {}}}', r"COIN\.json, a has no 'subset'"),
        ('{"a": {}}', "has no object under 'database', and its keys are: 'a'"),
        ('{"database": {"a": 1,}}', r"COIN\.json:1, column \d+: it is not valid JSON"),
        ('{"database": {"a": 1, "a": 2}}', "the key 'a' stands twice"),
    ],
)
def test_what_cannot_be_read_at_all(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "COIN.json", text)
    with pytest.raises(ValueError, match=message):
        COINActionSegmentationMetaProcessor(config(test_path=path)).read()


def test_every_second_has_the_last_label_that_covers_it() -> None:
    aligner = COINActionSegmentationAligner(config(sliding_window=4, sliding_window_size=8), special=SPECIAL)
    steps = {"start": [0.9, 3.0, 20], "end": [4.1, 6, 30], "label": [7, 778, 9]}
    features = np.arange(10, dtype=np.float16)[:, None].repeat(4, axis=1)
    item = aligner("v", features, steps, generator(0))
    labels = [7, 7, 7, 778, 778, 778, 0, 0, 0, 0]
    assert item["video_targets"].tolist() == labels
    assert item["targets"].tolist() == [labels[:8], labels[4:] + [-100] * 2]
    assert item["vfeats"][1, :, 0].tolist() == [4, 5, 6, 7, 8, 9, 0, 0]
    assert item["vmasks"].sum(1).tolist() == [8, 6] and item["video_len"] == 10


def test_no_seconds_no_windows() -> None:
    aligner = COINActionSegmentationAligner(config(), special=SPECIAL)
    with pytest.raises(ValueError, match="the features of v have no second"):
        aligner("v", np.zeros((0, 4)), {"start": [], "end": [], "label": []}, generator(0))
