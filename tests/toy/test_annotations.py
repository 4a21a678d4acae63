"""Every annotation file is read by its adapter, which lists what the world shows."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmpt.processors.coin import COINActionSegmentationMetaProcessor
from mmpt.processors.crosstask import CrossTaskMetaProcessor, read_annotation
from mmpt.processors.didemo import DiDeMoMetaProcessor
from mmpt.processors.msrvtt import MSRVTTMetaProcessor, MSRVTTQAMetaProcessor, read_sentences
from mmpt.processors.youcook2 import YoucookMetaProcessor, YoucookNLGMetaProcessor
from mmpt.toy.words import ACTIONS
from mmpt.utils.featurefile import read_features
from tests.processors.recipes import config

Record = dict[str, Any]


def steps(record: Record, held_out: bool) -> list[tuple[str, dict[str, Any]]]:
    return [(name, step) for name, video in record.items() if video["heldout"] == held_out for step in video["steps"]]


def listed(processor: type, features: Path, **keys: Any) -> Any:
    """The adapter, after it read its files without a fault."""
    values = {key: str(value) if isinstance(value, Path) else value for key, value in keys.items()}
    meta = processor(config(vfeat_dir=str(features), **values))
    assert meta.listing.missing == () and meta.listing.faults == ()
    return meta


def test_features_are_as_long_as_the_record_says(tiny_features: Path, tiny_record: Record) -> None:
    for name, video in tiny_record.items():
        assert len(read_features(tiny_features / f"{name}.npy").array) == video["seconds"]
        for step in video["steps"]:
            seconds = len(read_features(tiny_features / f"{step['clip']}.npy").array)
            assert abs(seconds - (step["end"] - step["start"])) < 1


def test_msrvtt_tests_the_held_out_clips_and_trains_on_others(
    tiny_world: Path, tiny_features: Path, tiny_record: Record
) -> None:
    folder = tiny_world / "msrvtt"
    for name in ("MSRVTT_JSFUSION_test.csv", "MSRVTT_FULL_test.csv"):
        tested = listed(MSRVTTMetaProcessor, tiny_features, test_path=folder / name)
        assert tested.listing.items == [(step["clip"], step["text"]) for _, step in steps(tiny_record, True)]
    keys = {"train_path": folder / "MSRVTT_train.csv", "json_path": folder / "MSRVTT_data.json", "split": "train"}
    keys |= {"full_test_path": folder / "MSRVTT_FULL_test.csv", "jsfusion_path": folder / "MSRVTT_JSFUSION_test.csv"}
    learned = listed(MSRVTTMetaProcessor, tiny_features, **keys)
    clips = [step["clip"] for _, step in steps(tiny_record, False)]
    assert learned.listing.items == [(clip, clip) for clip in clips]
    sentences, _ = read_sentences(folder / "MSRVTT_data.json")
    assert all(len(sentences[clip]) == 5 for clip in clips)


def test_questions_have_one_right_sentence_of_five_at_any_place(
    tiny_world: Path, tiny_features: Path, tiny_record: Record
) -> None:
    meta = listed(MSRVTTQAMetaProcessor, tiny_features, test_path=tiny_world / "msrvtt-qa" / "MSR_MC_test.csv")
    texts = {step["clip"]: step["text"] for _, step in steps(tiny_record, True)}
    assert [clip for clip, _ in meta.listing.items] == list(texts)
    for clip, (answer, choices) in meta.listing.items:
        assert len(set(choices)) == 5 and choices[answer] == texts[clip]
        assert set(choices) <= set(texts.values())
    assert len({answer for _, (answer, _) in meta.listing.items}) > 1


@pytest.mark.parametrize(("split", "held_out"), [("train", False), ("val", True)])
def test_youcook_lists_the_steps_for_retrieval_and_for_captions(
    tiny_world: Path, tiny_features: Path, tiny_record: Record, split: str, held_out: bool
) -> None:
    folder = tiny_world / "youcook"
    wanted = [((n, round(s["start"]), round(s["end"])), s["text"]) for n, s in steps(tiny_record, held_out)]
    annotations = {"trainval_annotation": folder / "youcookii_annotations_trainval.json"}
    clips = listed(YoucookMetaProcessor, tiny_features, test_path=folder / f"youcook_{split}.pkl", **annotations)
    assert clips.listing.items == wanted
    captions = listed(YoucookNLGMetaProcessor, tiny_features, test_path=folder / f"{split}_list.txt", **annotations)
    assert captions.listing.items == wanted


def test_didemo_tells_moments_that_cover_the_steps(tiny_world: Path, tiny_features: Path, tiny_record: Record) -> None:
    meta = listed(DiDeMoMetaProcessor, tiny_features, test_path=tiny_world / "didemo" / "test_data.json")
    early = [(n, s) for n, s in steps(tiny_record, True) if s["end"] <= 30]
    assert meta.listing.items == [(f"{name}.mp4", step["text"]) for name, step in early]
    assert len(early) >= 6
    for (_, step), times in zip(early, meta.times, strict=True):
        (first, last) = times[0]
        assert times == (times[0],) * 4
        common = min(step["end"], 5 * last + 5) - max(step["start"], 5 * first)
        assert common > 0.5 * (step["end"] - step["start"])


@pytest.mark.parametrize(("split", "held_out"), [("train", False), ("test", True)])
def test_coin_labels_actions(
    tiny_world: Path, tiny_features: Path, tiny_record: Record, split: str, held_out: bool
) -> None:
    path = tiny_world / "coin" / "COIN.json"
    meta = listed(COINActionSegmentationMetaProcessor, tiny_features, split=split, train_path=path, test_path=path)
    names = [name for name, video in tiny_record.items() if video["heldout"] == held_out]
    assert [video for video, _ in meta.listing.items] == names
    actions = list(ACTIONS)
    for name, segments in meta.listing.items:
        shown = tiny_record[name]["steps"]
        assert segments["start"] == [step["start"] for step in shown]
        assert segments["end"] == [step["end"] for step in shown]
        assert [actions[label - 1] for label in segments["label"]] == [step["action"] for step in shown]
    assert len(meta.text_labels) == len(ACTIONS)  # two held-out videos show each action once


@pytest.mark.parametrize(("split", "held_out"), [("train", False), ("test", True)])
def test_crosstask_tests_held_out_videos_of_tasks_that_no_training_video_shows(
    tiny_world: Path, tiny_features: Path, tiny_record: Record, split: str, held_out: bool
) -> None:
    release = tiny_world / "crosstask" / "crosstask_release"
    keys = {"train_csv_path": release / "videos.csv", "val_csv_path": release / "videos_val.csv"}
    keys |= {"primary_path": release / "tasks_primary.txt", "related_path": release / "tasks_related.txt"}
    meta = listed(
        CrossTaskMetaProcessor, tiny_features, split=split, annotation_path=release / "annotations", n_train=0, **keys
    )
    shown = {item.video: item for item, _ in meta.listing.items}
    assert set(shown) == {name for name, video in tiny_record.items() if video["heldout"] == held_out}
    for name, item in shown.items():
        rows, faults = read_annotation(release / "annotations", item.task, name, item.n_steps)
        assert not faults
        told = [(item.steps[step - 1], start, end) for step, start, end in rows]
        record = tiny_record[name]["steps"]
        assert [(start, end) for _, start, end in told] == [(step["start"], step["end"]) for step in record]
        assert [text for text, _, _ in told] == [ACTIONS[step["action"]][0].format("it") for step in record]


def test_how2_lists_training_videos_and_their_noisy_captions(tiny_world: Path, tiny_record: Record) -> None:
    folder = tiny_world / "how2"
    train, val = ((folder / f"how2_s3d_{name}.lst").read_text().split() for name in ("train", "val"))
    training = [name for name, video in tiny_record.items() if not video["heldout"]]
    assert sorted(train + val) == training and len(val) == 1
    captions = json.loads((folder / "raw_caption.json").read_text())
    assert list(captions) == training
    for name, told in captions.items():
        lines = tiny_record[name]["narration"]
        assert len(told["text"]) > len(lines)
        for line in lines:
            assert any(line["text"] in text for text in told["text"])
        assert np.diff(told["start"]).min() >= 0
