"""Lists and shards of narrated videos."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmpt.processors.base import MetaProcessor
from mmpt.processors.how2 import (
    ShardedHow2MetaProcessor,
    ShardedHow2VideoRetriMetaProcessor,
    ShardedTextProcessor,
    ShardedVideoProcessor,
    ShardKey,
)
from mmpt.processors.how2_plain import How2MetaProcessor, How2TextProcessor, How2VideoProcessor
from mmpt.utils.seeding import generator
from mmpt.utils.shardedtensor import ShardedTensor, forget, write_meta
from tests.processors.narrated import narrated, write_narrated


@pytest.fixture
def keys(tmp_path: Path) -> dict:
    return write_narrated(tmp_path, [5, 6, 7, 8], per_shard=3)


def add_to_list(folder: Path, *lines: str) -> None:
    with (folder / "train.lst").open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


def ids(meta: MetaProcessor) -> list[str]:
    return [meta[index][0].video_id for index in range(len(meta))]


def test_items_come_in_the_order_of_the_shards(keys: dict, tmp_path: Path) -> None:
    (tmp_path / "train.lst").write_text("v3\nv1\n")
    meta = ShardedHow2MetaProcessor(narrated(keys))
    assert [meta[0], meta[1]] == [(ShardKey("v1", 0, 0, 1),) * 2, (ShardKey("v3", 1, 1, 0),) * 2]
    assert meta[-1] == meta[1] and meta.listing.items[0:2] == [meta[0], meta[1]]
    with pytest.raises(IndexError):
        meta[2]
    assert ShardedHow2VideoRetriMetaProcessor(narrated(keys))[1][0] == ShardKey("v3", -1, 1, 0)


def test_listed_but_in_no_shard_is_missing(keys: dict, tmp_path: Path) -> None:
    add_to_list(tmp_path, "gone", "", "also gone")
    meta = ShardedHow2MetaProcessor(narrated(keys))
    assert meta.missing == ("gone", "also gone") and ids(meta) == ["v0", "v1", "v2", "v3"] and not meta.faults


def test_an_id_that_stands_twice_is_told_with_its_line(keys: dict, tmp_path: Path) -> None:
    add_to_list(tmp_path, "v2")
    meta = ShardedHow2MetaProcessor(narrated(keys))
    assert ids(meta) == ["v0", "v1", "v2", "v3"]
    assert meta.faults == (f"{tmp_path / 'train.lst'}:5: v2 stands there already",)


def test_shards_of_two_networks_do_not_mix(keys: dict, tmp_path: Path) -> None:
    for shard, network in enumerate(("frame_vit/vit", "frame_vit/vitb")):
        index = tmp_path / f"train_{shard}_index.json"
        told = json.loads(index.read_text())
        index.write_text(json.dumps({**told, "about": {"backbone": network, "l2_normalized": True}}))
    with pytest.raises(ValueError, match=r"train_1_data\.npy holds .* 'frame_vit/vitb', and .*train_0_data\.npy of"):
        ShardedHow2MetaProcessor(replace(narrated(keys), backbone="frame_vit")).read()


def test_a_list_that_windows_wrote_keeps_its_first_id(keys: dict, tmp_path: Path) -> None:
    (tmp_path / "train.lst").write_bytes(b"\xef\xbb\xbfv0\r\n\r\nv1\r\n")
    meta = ShardedHow2MetaProcessor(narrated(keys))
    assert ids(meta) == ["v0", "v1"] and not meta.missing and not meta.faults


def test_a_video_in_two_shards_is_told(keys: dict, tmp_path: Path) -> None:
    for path in tmp_path.glob("*_index.json"):
        path.unlink()
    write_meta(tmp_path / "train_meta.pkl", {0: ["v0", "v1", "v2"], 1: ["v1"]})
    meta = ShardedHow2MetaProcessor(narrated(keys))
    assert meta[1][0] == ShardKey("v1", 1, 0, 1) and meta.missing == ("v3",)
    assert meta.faults == (f"{tmp_path / 'train_meta.pkl'}: v1 is there twice; its first place counts",)


def test_a_video_without_captions_is_left_out_and_told(tmp_path: Path) -> None:
    meta = ShardedHow2MetaProcessor(narrated(write_narrated(tmp_path, [5, 6, 7, 8], silent=["v1"])))
    assert ids(meta) == ["v0", "v2", "v3"] and not meta.missing
    assert meta.faults == ("v1 has no captions in shard train_0, and is left out",)


def test_shards_of_other_videos_are_refused(keys: dict, tmp_path: Path) -> None:
    write_meta(tmp_path / "train_meta.pkl", {0: ["v1", "v0", "v2"], 1: ["v3"]})
    with pytest.raises(ValueError, match=r"train_0_index.json names other videos"):
        len(ShardedHow2MetaProcessor(narrated(keys)))


def test_captions_of_another_run_are_refused(keys: dict, tmp_path: Path) -> None:
    times = ShardedTensor.load(tmp_path / "caption.train_0.startends", mmap=False)
    ShardedTensor(times.data, times.starts[[0, 1, 3]]).save(tmp_path / "caption.train_0.startends")
    with pytest.raises(ValueError, match=r"startends_starts.npy has 2 videos.*names 3"):
        len(ShardedHow2MetaProcessor(narrated(keys)))


def test_none_of_the_list_says_where_it_looked(keys: dict, tmp_path: Path) -> None:
    (tmp_path / "train.lst").write_text("gone\n")
    with pytest.raises(ValueError, match=r"train.lst with .*train_meta.pkl .*none of the 1 videos.*looked for gone"):
        len(ShardedHow2MetaProcessor(narrated(keys)))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "gives no item for the split"), (b"\xff\xfe\x00", "is not UTF-8 text")],
)
def test_a_list_of_nothing(keys: dict, tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "train.lst").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        len(ShardedHow2MetaProcessor(narrated(keys)))


class Trap:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("trapped"),))


def test_a_list_of_shards_that_names_code_is_refused(keys: dict, tmp_path: Path) -> None:
    (tmp_path / "train_meta.pkl").write_bytes(pickle.dumps({0: [Trap()]}))
    with pytest.raises(ValueError, match=r"train_meta.pkl"):
        len(ShardedHow2MetaProcessor(narrated(keys)))
    assert not Path("trapped").exists()


def test_features_and_captions_of_an_item(keys: dict, tmp_path: Path) -> None:
    config = narrated(keys)
    key, _ = ShardedHow2MetaProcessor(config)[3]
    features = ShardedVideoProcessor(config)(key)
    assert features.shape == (8, 6) and features.dtype == np.float16 and not features.flags.writeable
    captions = ShardedTextProcessor(config)(key, generator(0))
    assert captions["start"].tolist() == list(range(7)) and captions["end"][0] == 1.5
    rows = np.load(tmp_path / "caption.train_1.caps_ids_data.npy")
    assert list(captions["cap"]) == [[token for token in row if token != -1] for row in rows.tolist()]


def test_a_folder_of_captions_may_end_with_a_slash(keys: dict, tmp_path: Path) -> None:
    (tmp_path / "tokens").mkdir()
    for path in tmp_path.glob("caption.*"):
        path.rename(tmp_path / "tokens" / path.name.removeprefix("caption."))
    config = narrated(keys, tfeat_dir=f"{tmp_path}/tokens/")
    assert len(ShardedTextProcessor(config)(ShardKey("v0", 0, 0, 0), generator(0))["cap"]) == 4


def test_a_shard_with_fewer_videos_is_refused(keys: dict) -> None:
    with pytest.raises(ValueError, match=r"train_1_starts.npy has 1 videos, and v9 is number 4"):
        ShardedVideoProcessor(narrated(keys))(ShardKey("v9", 0, 1, 4))


def test_a_shard_that_is_cut_off_is_refused(keys: dict, tmp_path: Path) -> None:
    path = tmp_path / "train_0_data.npy"
    path.write_bytes(path.read_bytes()[:-6])
    forget()
    with pytest.raises(ValueError, match=r"train_0_data.npy"):
        ShardedVideoProcessor(narrated(keys))(ShardKey("v0", 0, 0, 0))


def test_rows_that_are_no_features_are_refused(keys: dict, tmp_path: Path) -> None:
    ShardedTensor(np.zeros((4, 6), np.int16), np.array([0, 4])).save(tmp_path / "train_0")
    with pytest.raises(ValueError, match=r"holds int16 of shape \(4, 6\) for v0"):
        ShardedVideoProcessor(narrated(keys))(ShardKey("v0", 0, 0, 0))


def test_times_and_tokens_of_different_number_are_refused(keys: dict, tmp_path: Path) -> None:
    ShardedTensor(np.zeros((4, 2), np.float32), np.array([0, 3, 4])).save(tmp_path / "caption.train_0.startends")
    with pytest.raises(ValueError, match=r"v0 has times of shape \(3, 2\) and token ids of shape \(4, 32\)"):
        ShardedTextProcessor(narrated(keys))(ShardKey("v0", 0, 0, 0), generator(0))


def test_without_a_folder_of_captions(keys: dict) -> None:
    with pytest.raises(ValueError, match=r"dataset.tfeat_dir is not set"):
        ShardedTextProcessor(narrated({**keys, "tfeat_dir": None}))(ShardKey("v0", 0, 0, 0), generator(0))
    assert len(ShardedHow2VideoRetriMetaProcessor(narrated({**keys, "tfeat_dir": None}))) == 4


def test_the_test_split_reads_the_shards_of_validation(keys: dict, tmp_path: Path) -> None:
    for path in list(tmp_path.glob("*train_*")):
        path.rename(tmp_path / path.name.replace("train_", "val_"))
    forget()
    meta = ShardedHow2MetaProcessor(narrated(keys, split="test", test_path=keys["train_path"]))
    assert ids(meta) == ["v0", "v1", "v2", "v3"]


class TestPlain:
    @pytest.fixture
    def plain(self, tmp_path: Path) -> dict:
        (tmp_path / "train.lst").write_text("a\nb\n")
        np.save(tmp_path / "a.npy", np.ones((3, 6), np.float16))
        captions = {"a": {"start": [0, 1], "end": [1, 2], "cap": [[7, 8, -1, -1], []]}}
        (tmp_path / "captions.pkl").write_bytes(pickle.dumps(captions))
        extra = {"caption_pkl_path": str(tmp_path / "captions.pkl")}
        return {"train_path": str(tmp_path / "train.lst"), "vfeat_dir": str(tmp_path), "extra": extra}

    def test_an_item(self, plain: dict) -> None:
        config = narrated(plain)
        meta = How2MetaProcessor(config)
        assert list(meta.listing.items) == [("a", "a")] and meta.missing == ("b",)
        assert How2VideoProcessor(config)("a").shape == (3, 6)
        captions = How2TextProcessor(config)("a", generator(0))
        assert list(captions["cap"]) == [[7, 8], []] and captions["end"].tolist() == [1, 2]

    def test_a_video_without_captions_is_told(self, plain: dict) -> None:
        with pytest.raises(ValueError, match=r"captions.pkl has no captions of b"):
            How2TextProcessor(narrated(plain))("b", generator(0))

    @pytest.mark.parametrize(
        ("value", "message"),
        [
            ({"start": [0], "end": [1]}, "no lists of start, end and cap or text"),
            ("{", "no lists of start, end and cap or text"),
            ({"start": [0], "end": [1, 2], "cap": [[1]]}, "1 starts, 2 ends and 1 captions"),
        ],
    )
    def test_broken_captions_are_told(self, plain: dict, tmp_path: Path, value: object, message: str) -> None:
        (tmp_path / "captions.pkl").write_bytes(pickle.dumps({"a": value}))
        with pytest.raises(ValueError, match=message):
            How2TextProcessor(narrated(plain))("a", generator(0))

    def test_a_pickle_that_names_code_is_refused(self, plain: dict, tmp_path: Path) -> None:
        (tmp_path / "captions.pkl").write_bytes(pickle.dumps({"a": Trap()}))
        with pytest.raises(ValueError, match=r"captions.pkl"):
            How2TextProcessor(narrated(plain))("a", generator(0))
        assert not Path("trapped").exists()

    def test_a_pickle_of_another_kind_is_refused(self, plain: dict, tmp_path: Path) -> None:
        (tmp_path / "captions.pkl").write_bytes(pickle.dumps([1]))
        with pytest.raises(ValueError, match="holds a list; it takes a dict"):
            How2TextProcessor(narrated(plain))("a", generator(0))
