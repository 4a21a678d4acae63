"""What all data sets share: which videos have features, what is told, how videos are cut."""

import logging
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch

from mmpt.processors.base import Listing, MetaProcessor, VideoProcessor, stored_names
from mmpt.processors.ds import DSAligner, DSNLGAligner, NLGTextProcessor, covered_seconds, cut_windows
from mmpt.utils.featurefile import write_features as write_feature_file
from mmpt.utils.seeding import generator
from tests.processors.recipes import SPECIAL, config, write_features


class Listed(MetaProcessor):
    """Lists what it is given."""

    videos: tuple[str, ...] = ("a.mov", "b", "c.mov", "gone", "gone")
    told: tuple[str, ...] = ()

    def read(self) -> Listing:
        kept, missing = self.keep_available(self.videos, str)
        return Listing([(video, video) for video in kept], "list.csv", missing, self.told)


def test_features_lie_under_the_id_with_its_ending_or_without(tmp_path: Path) -> None:
    folder = write_features(tmp_path / "feat", **{"a": 3, "b": 4, "c.mov": 5, "c": 6})
    listed = Listed(config(vfeat_dir=folder))
    assert [listed[index][0] for index in range(len(listed))] == ["a.mov", "b", "c.mov"]
    assert listed.missing == ("gone",)
    video = VideoProcessor(config(vfeat_dir=folder))
    assert [len(video(name)) for name in ("a.mov", "b", "c.mov")] == [3, 4, 5]
    with pytest.raises(FileNotFoundError, match=r"gone\.npy"):
        video("gone")


@pytest.mark.parametrize(
    ("video", "names"),
    [
        ("v.mp4", ("v.mp4", "v")),
        ("v.MOV", ("v.MOV", "v")),
        ("v.", ("v.", "v")),
        ("v", ("v",)),
        ("a.b", ("a.b",)),
        (".mp4", (".mp4",)),
    ],
)
def test_names(video: str, names: tuple[str, ...]) -> None:
    assert stored_names(video) == names


def test_without_a_folder_of_features_nothing_is_missing() -> None:
    assert len(Listed(config())) == 5 and Listed(config()).missing == ()


def test_an_empty_data_set_says_which_folder_held_no_match(tmp_path: Path) -> None:
    folder = write_features(tmp_path / "feat", other=3)
    with pytest.raises(ValueError) as error:
        len(Listed(config(vfeat_dir=folder)))
    assert str(error.value) == (
        "list.csv gives no item for the split 'test': nothing that it lists can be used; 4 videos have no features in "
        f"{folder} (looked for a.mov.npy or a.npy, for example): extract them, or point dataset.vfeat_dir at them"
    )


def test_faults_are_told_once_and_kept_whole(caplog: pytest.LogCaptureFixture) -> None:
    listed = Listed(config())
    listed.told = tuple(f"list.csv:{line} is wrong" for line in range(2, 10))
    with caplog.at_level(logging.WARNING):
        assert len(listed) == len(listed) == 5
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().splitlines() == [
        "8 faults:",
        *(f"  list.csv:{line} is wrong" for line in range(2, 7)),
        "  and 3 more",
    ]
    assert len(listed.faults) == 8
    listed = Listed(config())
    listed.videos, listed.told = (), ("list.csv:2 is wrong",)
    with pytest.raises(ValueError, match=r"(?s)nothing that it lists can be used; 1 fault.*list\.csv:2 is wrong"):
        len(listed)


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "feat").write_text("")
    with pytest.raises(ValueError, match="cannot be read as a folder"):
        len(Listed(config(vfeat_dir=str(tmp_path / "feat"))))


def test_a_folder_that_may_not_be_read() -> None:
    with tempfile.TemporaryDirectory() as top:
        folder = Path(top) / "feat"
        folder.mkdir(mode=0o000)
        os.chmod(top, 0o755)
        root = os.geteuid() == 0
        if root:
            os.seteuid(65534)  # root may read everything
        try:
            with pytest.raises(ValueError, match=r"cannot be read as a folder \(Permission denied\)"):
                len(Listed(config(vfeat_dir=str(folder))))
        finally:
            if root:
                os.seteuid(0)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((3, 4), np.nan, np.float16), "second 0 hold NaN or infinity"),
        (np.zeros(12, np.float16), "features are floats of shape"),
        (np.zeros((3, 4), np.int64), "features are floats of shape"),
    ],
)
def test_features_that_are_none(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "v.npy", array)
    with pytest.raises(ValueError, match=message) as error:
        VideoProcessor(config(vfeat_dir=str(tmp_path)))("v")
    assert str(tmp_path / "v.npy") in str(error.value)


def test_features_that_lost_rows(tmp_path: Path) -> None:
    write_feature_file(tmp_path / "v.npy", np.ones((9, 4)), {})
    os.truncate(tmp_path / "v.npy", 150)
    with pytest.raises(ValueError, match=r"v\.npy is not a whole feature file .*extract it again"):
        VideoProcessor(config(vfeat_dir=str(tmp_path)))("v")


@pytest.mark.parametrize("seconds", [0, 1, 8, 9, 30])
def test_what_fits_of_a_clip(seconds: int) -> None:
    features = np.arange(seconds, dtype=np.float32)[:, None].repeat(4, axis=1) + 1
    item = DSAligner(config(), special=SPECIAL)("v", features, [7, 8], generator(0))
    kept = min(seconds, 8)
    assert item["vmasks"].tolist() == [True] * kept + [False] * (8 - kept)
    assert torch.equal(item["vfeats"][:kept], torch.from_numpy(features[:8]))
    assert item["caps"].tolist()[:5] == [2, 3, 7, 8, 3]


def test_a_reference_reads_as_it_was_written(golden_dir: Path) -> None:
    keys = config(bert_name=str(golden_dir / "common" / "tiny-bert"), max_len=40)
    caption = NLGTextProcessor(keys)("don't cook it, bake it", generator(0))
    item = DSNLGAligner(keys)("v", np.ones((3, 4), np.float16), caption, generator(0))
    assert item["ref"] == "don't cook it, bake it"


def test_windows_are_as_the_configuration_says() -> None:
    assert cut_windows(config(), 20, "v") == [(0, 8), (8, 16), (16, 20)]
    assert cut_windows(config(sliding_window=4, sliding_window_size=8), 12, "v") == [(0, 8), (4, 12)]
    with pytest.raises(ValueError, match="the features of v have no second"):
        cut_windows(config(), 0, "v")
    with pytest.raises(ValueError, match="stride is 9"):
        cut_windows(config(sliding_window=9), 20, "v")


@pytest.mark.parametrize(
    ("start", "end", "places"),
    [(0.2, 1.2, [0, 1]), (3.9, 4.0, [3]), (8, 99, [8, 9]), (9.9, 9.9, [9]), (4, 4, []), (0, 0.1, [0])],
)
def test_seconds_of_an_annotation(start: float, end: float, places: list[int], caplog) -> None:
    assert list(range(10))[covered_seconds(start, end, 10, "v")] == places
    assert not caplog.records


def test_an_annotation_beyond_the_video_covers_nothing_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert list(range(10))[covered_seconds(10, 12, 10, "v7")] == []
    assert "v7: the step from 10 to 12 s begins after the video's 10 s of features" in caplog.text
