"""MSR-VTT: its lists, the sentences that training draws, and its questions."""

import copy
from pathlib import Path

import numpy as np
import pytest

from mmpt.processors.msrvtt import (
    MSRVTTMetaProcessor,
    MSRVTTQAAligner,
    MSRVTTQAMetaProcessor,
    MSRVTTQATextProcessor,
    MSRVTTTextProcessor,
)
from mmpt.utils.seeding import generator
from tests.conftest import SHARED
from tests.processors.recipes import SPECIAL, assert_told, config, one_fault, write, write_features, write_json

QUESTIONS = "\tvid_key\ta1\ta2\ta3\tanswer\n0\tmsr7\tone\ttwo\tthree\t2\n"


@pytest.fixture
def sentences(tmp_path: Path) -> str:
    entries = [{"video_id": f"v{video}", "caption": f"{video} {n}"} for video in range(4) for n in range(5)]
    return write_json(tmp_path / "data.json", {"sentences": entries})


def test_a_test_list_keeps_its_order_and_tells_what_it_leaves_out(tmp_path: Path) -> None:
    folder = write_features(tmp_path / "feat", v0=3, v1=3)
    table = 'key,video_id,sentence\n0,v1,"one, two"\n1,v0,three\n2,v2,four\n3,v0,\n4,v1,"one, two"\n5,v1,other\n6\n'
    path = write(tmp_path / "test.csv", table)
    meta = MSRVTTMetaProcessor(config(test_path=path, vfeat_dir=folder))
    assert [meta[index] for index in range(len(meta))] == [
        ("v1", "one, two"),
        ("v0", "three"),
        ("v1", "one, two"),
        ("v1", "other"),
    ]
    assert meta.missing == ("v2",)
    assert list(meta.faults) == [
        f"{path}:8 has 1 of 3 cells; it is left out",
        f"{path}:5 has an empty sentence; it is left out",
        f"{path} says 1 items again, {path}:6 is the same as {path}:2 for one; each is an item",
    ]


def test_a_row_that_stands_twice_stays_twice_for_the_published_numbers_are_over_all_rows(tmp_path: Path) -> None:
    path = write(tmp_path / "test.csv", "video_id,sentence\nv0,a dog\nv0,a dog\nv1,a dog\nv0,a dog\n")
    meta = MSRVTTMetaProcessor(config(test_path=path))
    assert [meta[index] for index in range(len(meta))] == [("v0", "a dog")] * 2 + [("v1", "a dog"), ("v0", "a dog")]
    one_fault(meta.faults, "says 2 items again", f"{path}:3 is the same as {path}:2", "each is an item")


def test_training_goes_through_the_videos_as_often_as_asked(tmp_path: Path, sentences: str) -> None:
    path = write(tmp_path / "train.csv", "video_id\nv0\nv1\nv0\nv9\n")
    full = write(tmp_path / "full.csv", "video_id\nv2\nv3\nv1\n")
    held = write(tmp_path / "held.csv", "key,video_id,sentence\n0,v3,x\n")
    keys = {"split": "train", "train_path": path, "json_path": sentences}
    meta = MSRVTTMetaProcessor(config(**keys, dup=2, full_test_path=full, jsfusion_path=held))
    assert [video for video, _ in meta.listing.items] == ["v0", "v1", "v2"] * 2
    assert list(meta.faults) == [
        f"{path} lists 1 videos more than once, v0 for one; each counts once",
        f"{sentences} has no sentence for v9 of {path}; it is left out",
    ]


def test_a_sentence_is_drawn_by_the_items_generator_alone(sentences: str, golden_dir: Path) -> None:
    bert = str(golden_dir / "common" / "tiny-bert")
    text = MSRVTTTextProcessor(config(split="train", json_path=sentences, bert_name=bert))
    again = MSRVTTTextProcessor(config(split="train", json_path=sentences, bert_name=bert))
    before = np.random.get_state()[1].copy()  # pyright: ignore
    draws = [text("v2", generator(5, 1, index)) for index in range(200)]
    assert draws == [again("v2", generator(5, 1, index)) for index in range(200)]
    counts = [sum(draw == ids for draw in draws) for ids in (text.tokenize(f"2 {n}") for n in range(5))]
    assert sum(counts) == 200 and min(counts) > 20  # each of five with probability 1/5: 40 +- 6
    assert (np.random.get_state()[1] == before).all()  # pyright: ignore
    with pytest.raises(ValueError, match=r"data\.json has no sentence for the video 'v8'"):
        text("v8", generator(0))


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"json_path": None}, "dataset.json_path is not set"),
        ({"dup": 0}, "dataset.dup is 0; it takes 1 or more"),
        ({"dup": "many"}, "dataset.dup is 'many'; it takes int or null"),
        ({"full_test_path": "full.csv"}, "set both or neither"),
    ],
)
def test_keys_that_do_not_fit(tmp_path: Path, keys: dict, message: str) -> None:
    path = write(tmp_path / "train.csv", "video_id\nv0\n")
    with pytest.raises(ValueError, match=message):
        MSRVTTMetaProcessor(config(split="train", train_path=path, **keys)).read()


def test_entries_without_a_sentence_are_told_by_their_place(tmp_path: Path) -> None:
    entries = [{"video_id": "v0", "caption": "x"}, {"video_id": "v0"}, {"video_id": "v0", "caption": " "}, "v0"]
    data = write_json(tmp_path / "data.json", {"sentences": entries})
    path = write(tmp_path / "train.csv", "video_id\nv0\n")
    meta = MSRVTTMetaProcessor(config(split="train", train_path=path, json_path=data))
    assert len(meta) == 1 and len(meta.faults) == 3
    assert_told(meta.faults[0], data, "sentences[1]", "left out")


def test_a_question_keeps_its_answer_and_sentences(tmp_path: Path, golden_dir: Path) -> None:
    path = write(tmp_path / "qa.csv", QUESTIONS)
    keys = config(test_path=path, bert_name=str(golden_dir / "common" / "tiny-bert"))
    meta = MSRVTTQAMetaProcessor(keys)
    assert [meta[index] for index in range(len(meta))] == [("video7", (2, ("one", "two", "three")))]
    video, question = meta[0]
    before = copy.deepcopy(meta.listing.items)
    text = MSRVTTQATextProcessor(keys)
    feature = np.ones((20, 4), np.float16)
    for _ in range(2):  # the original edited the question, so that the second epoch read something else
        answer, ids = text(question, generator(0))
        item = MSRVTTQAAligner(keys, special=SPECIAL)(video, feature, (answer, ids), generator(0))
    assert meta.listing.items == before
    assert item["answers"].tolist() == [2] and item["caps"].shape == (3, 16) and item["vfeats"].shape == (8, 4)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("1\tmsr8\ta\tb\tc\t3", "has the answer '3'; it takes 0 to 2"),
        ("1\tmsr8\ta\tb\tc\t-1", "has the answer '-1'"),
        ("1\tmsr8\ta\tb\tc\tx", "has the answer 'x'"),
        ("1\tmsr8\ta\t\tc\t0", "has an empty sentence"),
        ("1\t\ta\tb\tc\t0", "has an empty vid_key"),
        ("1\tmsr8\ta\tb\t0", "has 5 of 6 cells"),
        ("1\tmsr7\tone\ttwo\tthree\t2", "is the same as"),
    ],
)
def test_a_bad_question_does_not_lose_the_others(tmp_path: Path, row: str, message: str) -> None:
    path = write(tmp_path / "qa.csv", QUESTIONS + row + "\n")
    meta = MSRVTTQAMetaProcessor(config(test_path=path))
    assert len(meta) == 1
    one_fault(meta.faults, f"{path}:3", message, "left out")


def test_questions_with_commas_between_are_another_file(tmp_path: Path) -> None:
    path = write(tmp_path / "qa.csv", QUESTIONS.replace("\t", ","))
    with pytest.raises(ValueError, match=r"has no column 'vid_key'; its columns are ',vid_key,a1"):
        MSRVTTQAMetaProcessor(config(test_path=path)).read()


def test_the_published_test_list() -> None:
    path = SHARED / "data" / "annotations" / "msrvtt_jsfusion_test.csv"
    if not path.is_file():
        pytest.skip(f"{path} is absent: it is the published list, which is not part of the repository")
    meta = MSRVTTMetaProcessor(config(test_path=str(path)))
    assert len(meta) == 1000 and not meta.faults
    assert meta[0] == ("video9770", "a person is connecting something to system")
