"""DiDeMo: sentences, and the moments that annotators chose."""

from pathlib import Path
from typing import Any

import pytest

from mmpt.processors.didemo import DiDeMoMetaProcessor
from tests.conftest import SHARED
from tests.processors.recipes import config, one_fault, write, write_features, write_json

GOOD = {"video": "a_1.mov", "description": "a dog runs", "times": [[0, 1], [2, 2]], "annotation_id": 3}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (GOOD, "is the same as entry 0"),
        ({**GOOD, "description": " "}, "(a_1.mov) has an empty description"),
        ({"description": "x", "times": [[0, 1]]}, "has no 'video' and 'description'"),
        ("a_1.mov", "has no 'video' and 'description'"),
        ({**GOOD, "times": []}, "(a_1.mov) has no times"),
        ({**GOOD, "times": 3}, "(a_1.mov) has no times"),
        ({**GOOD, "times": [[3, 2]]}, "has the time [3, 2]; steps go from 0 to 5, the first one first"),
        ({**GOOD, "times": [[-1, 2]]}, "has the time [-1, 2]"),
        ({**GOOD, "times": [[0, 6]]}, "has the time [0, 6]"),
        ({**GOOD, "times": [[0.5, 2]]}, "must be [first step, last step]"),
        ({**GOOD, "times": [[0]]}, "must be [first step, last step]"),
    ],
)
def test_a_bad_entry_does_not_lose_the_others(tmp_path: Path, entry: Any, message: str) -> None:
    path = write_json(tmp_path / "test_data.json", [GOOD, entry])
    meta = DiDeMoMetaProcessor(config(test_path=path))
    assert list(meta.listing.items) == [("a_1.mov", "a dog runs")]
    one_fault(meta.faults, f"{path}, entry 1", message, "left out")


def test_times_stay_beside_their_items_where_videos_are_missing(tmp_path: Path) -> None:
    entries = [
        {**GOOD, "video": "gone.avi"},
        {**GOOD, "video": "b.", "times": [[4, 5]]},
        GOOD,
        {**GOOD, "description": "another", "times": [[3, 3]]},
    ]
    folder = write_features(tmp_path / "feat", b=30, **{"a_1.mov": 25})
    meta = DiDeMoMetaProcessor(config(test_path=write_json(tmp_path / "t.json", entries), vfeat_dir=folder))
    assert [video for video, _ in meta.listing.items] == ["b.", "a_1.mov", "a_1.mov"]
    assert meta.times == (((4, 5),), ((0, 1), (2, 2)), ((3, 3),))
    assert meta.missing == ("gone.avi",)


@pytest.mark.parametrize(
    ("text", "message"),
    [('{"a": 1}', "holds a dict; DiDeMo's files are lists"), ("[{]", r":1, column 3: it is not valid JSON")],
)
def test_another_file(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "t.json", text)
    with pytest.raises(ValueError, match=message):
        DiDeMoMetaProcessor(config(test_path=path)).read()


def test_the_published_test_set() -> None:
    path = SHARED / "data" / "annotations" / "didemo_test_data.json"
    if not path.is_file():
        pytest.skip(f"{path} is absent: it is the published set, which is not part of the repository")
    meta = DiDeMoMetaProcessor(config(test_path=str(path)))
    assert len(meta) == len(meta.times) == 4021 and not meta.faults
    assert len({video for video, _ in meta.listing.items}) == 1004  # 33 of them are named with two endings
    assert len(DiDeMoMetaProcessor(config(test_path=str(path), paragraphs=True))) == 1004
    assert meta.times[0] == ((4, 4), (4, 4), (0, 0), (4, 4), (0, 0), (0, 0), (4, 4))


def entries_of(*videos: str, **more: Any) -> list[dict[str, Any]]:
    return [{**GOOD, "video": name, "description": f"sentence {n}", **more} for n, name in enumerate(videos)]


def test_a_video_under_two_endings_is_one(tmp_path: Path) -> None:
    entries = entries_of("a_1.mov", "a_1.mp4", "a_1.", dl_link="https://example.org/1")
    path = write_json(tmp_path / "t.json", [*entries, {**GOOD, "video": "b_2.mov", "dl_link": "https://example.org/2"}])
    assert {video for video, _ in DiDeMoMetaProcessor(config(test_path=path)).listing.items} == {"a_1.mov", "b_2.mov"}
    folder = write_features(tmp_path / "feat", **{"a_1.mp4": 25, "b_2.mov": 25})
    meta = DiDeMoMetaProcessor(config(test_path=path, vfeat_dir=folder))
    assert [video for video, _ in meta.listing.items] == ["a_1.mp4"] * 3 + ["b_2.mov"] and not meta.missing


def test_the_same_sentence_under_two_endings_stands_once(tmp_path: Path) -> None:
    entries = [{**GOOD, "video": name, "dl_link": "x"} for name in ("a_1.mov", "a_1.mp4")]
    path = write_json(tmp_path / "t.json", entries)
    meta = DiDeMoMetaProcessor(config(test_path=path))
    assert len(meta.listing.items) == 1
    one_fault(meta.faults, f"{path}, entry 1", "is the same as entry 0")


def test_paragraphs_are_one_item_a_video(tmp_path: Path) -> None:
    one, other, again = entries_of("a_1.mov", "b_2.mov", "a_1.mp4")
    path = write_json(tmp_path / "t.json", [{**one, "dl_link": "1"}, other, {**again, "dl_link": "1"}])
    meta = DiDeMoMetaProcessor(config(test_path=path, paragraphs=True))
    assert list(meta.listing.items) == [("a_1.mov", "sentence 0 sentence 2"), ("b_2.mov", "sentence 1")]
    with pytest.raises(ValueError, match=r"dataset\.paragraphs joins all sentences"):
        _ = meta.times
