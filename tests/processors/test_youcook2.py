"""YouCook2: the pickle with its annotations, the table, the captioning list."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmpt.processors.youcook2 import YoucookMetaProcessor, YoucookNLGMetaProcessor, YoucookVideoProcessor
from tests.conftest import SHARED
from tests.processors.recipes import assert_told, config, one_fault, write, write_features, write_json


def annotated(path: Path, **changes: Any) -> str:
    database = {
        "a_b": {"annotations": [{"segment": [2, 5], "id": 0, "sentence": "chop, then stir."}]},
        "c": {
            "annotations": [
                {"segment": [0, 3], "id": 0, "sentence": "pour"},
                {"segment": [4, 9], "id": 1, "sentence": "bake"},
            ]
        },
        **changes,
    }
    return write_json(path / "annotations.json", {"database": database})


def pickled(path: Path, records: Any) -> str:
    (path / "val.pkl").write_bytes(pickle.dumps(records))
    return str(path / "val.pkl")


def meta_of(path: Path, records: Any, **keys: Any) -> YoucookMetaProcessor:
    folder = write_features(path / "feat", a_b=10, c=8)
    keys = {"trainval_annotation": annotated(path), "vfeat_dir": folder, **keys}
    return YoucookMetaProcessor(config(test_path=pickled(path, records), **keys))


def test_ids_with_underscores_and_the_arrays_of_the_published_pickle(tmp_path: Path) -> None:
    extra = {"2d": np.ones((3, 2048), np.float32), "start": np.int64(2), "end": np.int64(5)}
    records = [{"id": "c_1", "caption": "bake it"}, {"id": "a_b_0", "caption": "chop then stir", **extra}]
    meta = meta_of(tmp_path, records)
    assert list(meta.listing.items) == [(("c", 4, 9), "bake it"), (("a_b", 2, 5), "chop then stir")]
    meta = meta_of(tmp_path, records, use_annotation_text=True)
    assert list(meta.listing.items) == [(("c", 4, 9), "bake"), (("a_b", 2, 5), "chop, then stir.")]
    assert not meta.faults


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": "c_7", "caption": "x"}, "is the clip 'c_7', which"),
        ({"id": "c", "caption": "x"}, "is the clip 'c', which"),
        ({"id": "zzz_0", "caption": "x"}, "is the clip 'zzz_0', which"),
        ({"caption": "x"}, "is the clip None, which"),
        ("c_1", "is the clip 'c_1', which"),
        ({"id": "c_1", "caption": ""}, "has an empty text"),
        ({"id": "c_1"}, "has an empty text"),
        ({"id": "c_0", "caption": "pour"}, "is the same as"),
    ],
)
def test_a_bad_record_does_not_lose_the_others(tmp_path: Path, record: Any, message: str) -> None:
    meta = meta_of(tmp_path, [{"id": "c_0", "caption": "pour"}, record])
    assert [item[0] for item in meta.listing.items] == [("c", 0, 3)]
    one_fault(meta.faults, "val.pkl, entry 1", message, "left out")


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        ([9, 4], "ends at 4 s, before its beginning at 9 s"),
        ([-2, 4], "begins at -2 s, before the video"),
        ([4, 4], "is empty: it ends where it begins, at 4 s"),
        ([8, 12], "begins at 8 s, after the end of d, whose features have 8 s"),
        (["1", 4], "has the time '1'"),
        ([1], "has no segment"),
        (None, "has no segment"),
    ],
)
def test_a_bad_segment_does_not_lose_the_others(tmp_path: Path, segment: Any, message: str) -> None:
    entries = [{"segment": segment, "id": 0, "sentence": "x"}, {"segment": [1, 20], "id": 1, "sentence": "y"}]
    annotations = annotated(tmp_path, d={"annotations": entries})
    folder = write_features(tmp_path / "feat", d=8)
    keys = {"trainval_annotation": annotations, "vfeat_dir": folder}
    meta = YoucookNLGMetaProcessor(config(test_path=write(tmp_path / "list.txt", "101/d\n"), **keys))
    assert list(meta.listing.items) == [(("d", 1, 20), "y")]
    one_fault(meta.faults, "annotations.json, d, annotations[0]", message, "left out")
    assert len(YoucookVideoProcessor(config(**keys))(("d", 1, 20))) == 7  # the clip goes on, the features do not


@pytest.mark.parametrize("number", [[1], {"a": 1}, "1", 0.5, True, None])
def test_an_id_that_is_no_whole_number_is_told_and_does_not_lose_the_others(tmp_path: Path, number: Any) -> None:
    entries = [{"segment": [1, 2], "id": number, "sentence": "x"}, {"segment": [1, 20], "id": 1, "sentence": "y"}]
    annotations = annotated(tmp_path, d={"annotations": entries})
    meta = YoucookNLGMetaProcessor(config(test_path=write(tmp_path / "l.txt", "d\n"), trainval_annotation=annotations))
    assert list(meta.listing.items) == [(("d", 1, 20), "y")]
    one_fault(meta.faults, "d, annotations[0]", f"has the id {number!r}, which is no whole number", "left out")


def test_a_table_says_all_itself(tmp_path: Path) -> None:
    rows = "60,47,226,pick the ends off,xHr8\n5,1,226,,xHr8\n60,47,226,pick the ends off,xHr8\n9,8.5,1,stir,gone\n"
    path = write(tmp_path / "val.csv", "end,start,task,text,video_id\n" + rows + "12.1,3.9,1,mix,xHr8\nx,2,1,a,xHr8\n")
    folder = write_features(tmp_path / "feat", xHr8=70)
    meta = YoucookMetaProcessor(config(test_path=path, vfeat_dir=folder))
    assert list(meta.listing.items) == [(("xHr8", 47, 60), "pick the ends off"), (("xHr8", 3, 13), "mix")]
    assert meta.missing == ("gone",)
    assert [fault.removeprefix(path) for fault in meta.faults] == [
        ":3 has an empty text; it is left out",
        f":4 is the same as {path}:2; it is left out",
        ":7 has the time 'x', which is no number of seconds; it is left out",
    ]


def test_listed_videos_without_annotation_and_listed_twice(tmp_path: Path) -> None:
    path = write(tmp_path / "list.txt", "101/c\n\n102/gone\n101/c\n")
    annotations = annotated(tmp_path)
    meta = YoucookNLGMetaProcessor(config(test_path=path, trainval_annotation=annotations))
    assert [item[0] for item in meta.listing.items] == [("c", 0, 3), ("c", 4, 9)]
    assert list(meta.faults) == [
        f"{path}:3 lists gone, which {annotations} does not have; it is left out",
        f"{path}:4 lists c again, after {path}:1; it is left out",
    ]


def test_a_pickle_with_a_foreign_class_is_not_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"val\.pkl: it asks for pathlib\.\w+.*nothing of it was run"):
        meta_of(tmp_path, [{"id": "c_0", "caption": Path("x")}]).read()


@pytest.mark.parametrize(
    ("records", "keys", "message"),
    [
        ({"id": "c_0"}, {}, "holds a dict; YouCook2's pickles are lists of clips"),
        ([{"id": "c_0"}], {"trainval_annotation": None}, "dataset.trainval_annotation is not set"),
    ],
)
def test_what_cannot_be_read_at_all(tmp_path: Path, records: Any, keys: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        meta_of(tmp_path, records, **keys).read()


def test_a_damaged_feature_file_is_found_before_training(tmp_path: Path) -> None:
    meta = meta_of(tmp_path, [{"id": "c_0", "caption": "pour"}])
    (tmp_path / "feat" / "c.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match=r"c\.npy is not a whole feature file"):
        meta.read()


def test_a_clip_behind_the_end_is_no_empty_array(tmp_path: Path) -> None:
    video = YoucookVideoProcessor(config(vfeat_dir=write_features(tmp_path / "feat", c=8)))
    assert video(("c", 2, 4))[:, 0].tolist() == [2, 3]
    with pytest.raises(ValueError, match="the clip from 8 to 9 s of c begins after the end of its features, 8 s"):
        video(("c", 8, 9))


def test_the_published_table() -> None:
    path = SHARED / "data" / "annotations" / "youcook_validation.csv"
    if not path.is_file():
        pytest.skip(f"{path} is absent: it is the published table, which is not part of the repository")
    meta = YoucookMetaProcessor(config(test_path=str(path)))
    assert len(meta) == 3350 and not meta.faults
    assert meta[0] == (("xHr8X2Wpmno", 47, 60), "pick the ends off the verdalago")
    assert_told(meta.listing.source, "youcook_validation.csv")
