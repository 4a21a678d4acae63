"""HMDB51: the three splits, and actions in words."""

from pathlib import Path

import pytest

from mmpt.processors.hmdb51 import HMDB51MetaProcessor, readable
from tests.conftest import SHARED
from tests.processors.recipes import config, one_fault, write, write_features

TABLE = "video_id,label,split1,split2,split3\na.avi,brush_hair_test,1,2,0\nb.avi,wave_test,2,1,2\nc.avi,run,2,2,1\n"


@pytest.mark.parametrize(
    ("split", "number", "videos"),
    [
        ("test", None, ["b.avi", "c.avi"]),
        ("valid", 1, ["b.avi", "c.avi"]),
        ("test", 2, ["a.avi", "c.avi"]),
        ("train", 2, ["b.avi"]),
        ("train", 3, ["c.avi"]),
    ],
)
def test_splits(tmp_path: Path, split: str, number: int | None, videos: list[str]) -> None:
    path = write(tmp_path / "hmdb51.csv", TABLE)
    keys = {"train_path": path, "val_path": path, "test_path": path, "split": split}
    meta = HMDB51MetaProcessor(config(**keys, **({} if number is None else {"hmdb51_split": number})))
    assert [video for video, _ in meta.listing.items] == videos
    assert meta.labels == ("brush hair", "run", "wave")  # all there are, whatever the split


@pytest.mark.parametrize("number", [0, 4, "1", True])
def test_a_split_that_there_is_not(number: object) -> None:
    with pytest.raises(ValueError, match=r"dataset\.hmdb51_split is"):
        HMDB51MetaProcessor(config(hmdb51_split=number))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("b.avi,wave_test,2,1,2", "lists b.avi again"),
        ("d.avi,wave_test,3,1,2", "has '3' under split1"),
        ("d.avi,_test,2,1,2", "has an empty label"),
        ("d.avi,wave_test", "has 2 of 3 cells"),
    ],
)
def test_a_bad_row_does_not_lose_the_others(tmp_path: Path, row: str, message: str) -> None:
    path = write(tmp_path / "hmdb51.csv", TABLE + row + "\n")
    meta = HMDB51MetaProcessor(config(test_path=path))
    assert list(meta.listing.items) == [("b.avi", "wave"), ("c.avi", "run")]
    one_fault(meta.faults, f"{path}:5", message, "left out")


def test_all_splits_at_once(tmp_path: Path) -> None:
    path = write(tmp_path / "hmdb51.csv", TABLE + "d.avi,wave,0,1,0\n")
    meta = HMDB51MetaProcessor(config(test_path=path, hmdb51_split=None))
    assert list(meta.listing.items) == [("a.avi", "brush hair"), ("b.avi", "wave"), ("c.avi", "run")]
    assert meta.numbers == (1, 2, 3) and meta.marks == ((1, 2, 0), (2, 1, 2), (2, 2, 1))
    one = HMDB51MetaProcessor(config(test_path=path, hmdb51_split=3))
    assert one.numbers == (3,) and one.marks == ((2,),) and list(one.listing.items) == [("b.avi", "wave")]
    broken = HMDB51MetaProcessor(config(test_path=write(tmp_path / "h.csv", TABLE + "d.avi,wave,2,1,\n")))
    assert len(broken) == 3  # what split 3 says is not read


@pytest.mark.parametrize("template", ["a person", "{} and {}", "{name}"])
def test_a_sentence_without_a_place_for_the_name(template: str) -> None:
    with pytest.raises(ValueError, match=r"dataset\.label_template is"):
        HMDB51MetaProcessor(config(label_template=template))


def test_features_are_named_with_the_ending_or_without(tmp_path: Path) -> None:
    folder = write_features(tmp_path / "feat", b=3)
    meta = HMDB51MetaProcessor(config(test_path=write(tmp_path / "h.csv", TABLE), vfeat_dir=folder))
    assert list(meta.listing.items) == [("b.avi", "wave")] and meta.missing == ("c.avi",)


def test_words() -> None:
    assert [readable(label) for label in ("shoot_bow_test", "run", " flic_flac ")] == ["shoot bow", "run", "flic flac"]


def test_the_published_table() -> None:
    path = SHARED / "data" / "annotations" / "hmdb51.csv"
    if not path.is_file():
        pytest.skip(f"{path} is absent: it is the published table, which is not part of the repository")
    for number in (1, 2, 3):
        for split, count in (("train", 3570), ("test", 1530)):
            keys = {"train_path": str(path), "test_path": str(path), "split": split, "hmdb51_split": number}
            meta = HMDB51MetaProcessor(config(**keys))
            assert len(meta) == count and not meta.faults
            assert len(meta.labels) == 51 == len({label for _, label in meta.listing.items})
