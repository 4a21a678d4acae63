"""Aligners of narrated videos; their distributions are held to the recorded ones in tests/parity."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mmpt.processors.aligner import Aligner, BatchItems
from mmpt.processors.how2_aligners import (
    FixedLenAligner,
    How2MILNCEAligner,
    MFMMLMAligner,
    OverlappedAligner,
    StartClipAligner,
    VariedLenAligner,
    VideoRetriAligner,
    VideoRetriOverlappedAligner,
)
from mmpt.utils.seeding import generator
from tests.processors.narrated import SPECIAL, narrated

LENGTHS = {"sampled_min_len": 8, "sampled_max_len": 20, "sampled_video_min_len": 2, "sampled_video_max_len": 8}
MASKS = {"mfm_probability": 0.15, "mlm_probability": 0.15, "lazy_vfeat_mask": True, "mm_prob": 0.5}
WITH_CLIPS = [FixedLenAligner, VariedLenAligner, StartClipAligner, OverlappedAligner, MFMMLMAligner]
FEATURES = np.arange(30, dtype=np.float16)[:, None].repeat(4, axis=1)
CAPTIONS = {
    "start": [0.4, 3.0, 7.5, 12.0, 29.0, 40.0],
    "end": [3.2, 6.9, 11.0, 20.0, 33.0, 44.0],
    "cap": [[10, 11, 12], [], [20, 21], [30, 31, 32, 33, 34, 35, 36], [40], [50, 51]],
}


def make(cls: type[Aligner], golden_dir: Path, **more: Any) -> Aligner:
    bert = str(golden_dir / "common" / "tiny-bert")
    return cls(narrated({"bert_name": bert, **LENGTHS, **MASKS}, **more), special=SPECIAL)


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
        for key, value in one.items()
    )


@pytest.mark.parametrize("cls", [*WITH_CLIPS, How2MILNCEAligner, VideoRetriAligner, VideoRetriOverlappedAligner])
def test_an_item_depends_on_its_generator_only(cls: type[Aligner], golden_dir: Path) -> None:
    aligner = make(cls, golden_dir, clip_per_video=3)
    for index in range(10):
        item, again = (aligner("v", FEATURES, CAPTIONS, generator(1, 2, index)) for _ in range(2))
        assert same(item, again)


@pytest.mark.parametrize("cls", [*WITH_CLIPS, VideoRetriAligner, VideoRetriOverlappedAligner])
def test_a_batch_is_its_items(cls: type[Aligner], golden_dir: Path) -> None:
    aligner = make(cls, golden_dir, clip_per_video=4, subsampling=4)
    videos = [FEATURES, FEATURES[:9], FEATURES[:1]]
    names = ["a", "b", "c"]
    rngs = [generator(1, 0, row) for row in range(3)]
    items = aligner.align_all(names, videos, [CAPTIONS] * 3, rngs)
    assert isinstance(items, BatchItems) and len(items) == 3
    for row, (name, video) in enumerate(zip(names, videos, strict=True)):
        assert same(items[row], aligner(name, video, CAPTIONS, generator(1, 0, row)))
        assert items[row]["vfeats"].shape == (4, 8, 4) and items[row]["caps"].shape == (4, 16)


@pytest.mark.parametrize("cls", WITH_CLIPS)
def test_one_clip_has_no_dimension_of_clips(cls: type[Aligner], golden_dir: Path) -> None:
    for subsampling in (None, 1):
        item = make(cls, golden_dir, subsampling=subsampling)("v", FEATURES, CAPTIONS, generator(0))
        assert item["caps"].shape == (16,) and item["vfeats"].shape == (8, 4) and item["video_start"].shape == ()


@pytest.mark.parametrize("cls", [*WITH_CLIPS, VideoRetriOverlappedAligner, How2MILNCEAligner])
def test_nothing_that_is_given_is_changed(cls: type[Aligner], golden_dir: Path) -> None:
    features = FEATURES.copy()
    item = make(cls, golden_dir, clip_per_video=2)("v", features, CAPTIONS, generator(0))
    item["vfeats"].fill_(-1)
    assert (features == FEATURES).all() and CAPTIONS["cap"][0] == [10, 11, 12]


def test_a_clip_behind_the_video_is_empty(golden_dir: Path) -> None:
    late = {"start": [40.0], "end": [44.0], "cap": [[10]]}
    for cls in (FixedLenAligner, VariedLenAligner):
        item = make(cls, golden_dir)("v", FEATURES, late, generator(0))
        assert not item["vmasks"].any() and not item["vfeats"].any() and int(item["video_start"]) == 30
    item = make(OverlappedAligner, golden_dir)("v", FEATURES, late, generator(0))
    assert item["vmasks"].any() and int(item["video_end"]) == 30


def test_a_video_of_no_seconds_and_captions_of_no_words(golden_dir: Path) -> None:
    captions = {"start": [0.0], "end": [1.0], "cap": [[]]}
    for cls in (*WITH_CLIPS, How2MILNCEAligner):
        item = make(cls, golden_dir)("v", FEATURES[:0], captions, generator(0))
        assert not item["vmasks"].any() and item["caps"].reshape(-1, 16)[0, :4].tolist() == [2, 3, 3, 0]


@pytest.mark.parametrize(
    "times",
    [([5.0, 9.0], [3.0, 4.0]), ([20.0, 3.0], [22.0, 6.0]), ([-2.0, -1.0], [-1.5, 3.0]), ([99.0, 98.0], [2.0, 1.0])],
    ids=["end before start", "falling", "negative", "all wrong"],
)
def test_times_that_make_no_sense_give_short_clips_within_the_video(times: tuple, golden_dir: Path) -> None:
    captions = {"start": times[0], "end": times[1], "cap": [[10], [11, 12]]}
    for cls in (*WITH_CLIPS, How2MILNCEAligner, VideoRetriOverlappedAligner):
        aligner = make(cls, golden_dir, clip_per_video=2)
        for index in range(20):
            item = aligner("v", FEATURES, captions, generator(0, 0, index))
            start, end = torch.as_tensor(item["video_start"]), torch.as_tensor(item["video_end"])
            assert (start >= 0).all() and (start <= end).all()
            assert (item["vmasks"].sum(-1) == (torch.clamp(end, max=30) - start).clamp(0, 8)).all()


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        ({"start": [], "end": [], "cap": []}, "v has 0 starts, 0 ends and 0 captions"),
        ({"start": [1.0], "end": [], "cap": [[1]]}, "v has 1 starts, 0 ends and 1 captions"),
        ({"start": [float("nan")], "end": [1.0], "cap": [[1]]}, "v has captions whose time is NaN"),
    ],
)
def test_captions_that_cannot_be_used_are_told(captions: dict, message: str, golden_dir: Path) -> None:
    for cls in (FixedLenAligner, How2MILNCEAligner):
        with pytest.raises(ValueError, match=message):
            make(cls, golden_dir)("v", FEATURES, captions, generator(0))


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_broken_features_are_told_with_their_video(broken: float, golden_dir: Path) -> None:
    features = np.ones((5, 4), np.float16)
    features[1, 2] = broken
    with pytest.raises(ValueError, match="features of v hold NaN or infinity between second 0 and 5"):
        make(StartClipAligner, golden_dir)("v", features, CAPTIONS, generator(0))


def test_features_of_two_widths_make_no_batch(golden_dir: Path) -> None:
    videos = [FEATURES, FEATURES[:, :2]]
    with pytest.raises(ValueError, match="one width for all videos; got"):
        make(FixedLenAligner, golden_dir).align_all(["a", "b"], videos, [CAPTIONS] * 2, [generator(0)] * 2)


@pytest.mark.parametrize("key", ["sampled_min_len", "sampled_max_len", "sampled_video_min_len"])
def test_lengths_that_are_not_set_are_told(key: str, golden_dir: Path) -> None:
    with pytest.raises(ValueError, match=rf"dataset.{key} is None"):
        make(OverlappedAligner, golden_dir, **{key: None})("v", FEATURES, CAPTIONS, generator(0))


def test_lengths_the_wrong_way_round_are_told(golden_dir: Path) -> None:
    with pytest.raises(ValueError, match=r"sampled_min_len is 30 and dataset.sampled_max_len is 20"):
        make(VariedLenAligner, golden_dir, sampled_min_len=30)("v", FEATURES, CAPTIONS, generator(0))


def test_a_cluster_takes_its_number_of_clips(golden_dir: Path) -> None:
    aligner = make(VideoRetriOverlappedAligner, golden_dir, clip_per_video=1, subsampling=7)
    assert aligner("v", FEATURES, CAPTIONS, generator(0))["caps"].shape == (1, 16)
    with pytest.raises(ValueError, match=r"dataset.clip_per_video is None; VideoRetriOverlappedAligner takes"):
        make(VideoRetriOverlappedAligner, golden_dir)("v", FEATURES, CAPTIONS, generator(0))


def test_masked_training_leaves_the_frames_to_the_model(golden_dir: Path) -> None:
    with pytest.raises(ValueError, match="MFMMLMAligner takes true"):
        make(MFMMLMAligner, golden_dir, lazy_vfeat_mask=False)


def test_candidates_at_a_videos_ends(golden_dir: Path) -> None:
    aligner = make(How2MILNCEAligner, golden_dir)
    short = {"start": [0.0, 2.0], "end": [1.0, 3.0], "cap": [[10], [11]]}
    rows = {tuple(aligner("v", FEATURES, short, generator(0, 0, i))["caps"][:, 2].tolist()) for i in range(20)}
    assert rows == {(10, 11, 11, 11), (10, 10, 10, 11)}


COUNT_THREADS = """
import os, sys
import numpy as np, torch
from mmpt.processors.how2_aligners import VideoRetriOverlappedAligner
from mmpt.utils.seeding import generator
from tests.processors.narrated import SPECIAL, narrated

torch.set_num_threads(4)
lengths = dict(sampled_min_len=8, sampled_max_len=20, sampled_video_min_len=2, sampled_video_max_len=8)
aligner = VideoRetriOverlappedAligner(narrated(dict(bert_name="", **lengths), clip_per_video=16), special=SPECIAL)
captions = {"start": np.arange(300.0), "end": np.arange(300.0) + 1.5, "cap": [[10, 11, 12]] * 300}
features = np.ones((300, 512), np.float16)
before = len(os.listdir("/proc/self/task"))
aligner.align_all(["a", "b"], [features] * 2, [captions] * 2, [generator(1, 0, row) for row in range(2)])
after = len(os.listdir("/proc/self/task"))
torch.ones(1000, 1000) + 1  # what a parallel region looks like from here
print(after - before, len(os.listdir("/proc/self/task")) - after)
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="threads are counted in /proc")
def test_laying_out_a_batch_waits_for_no_threads_of_torch() -> None:
    """They wait for one another at each video, which takes a hundred times as long where others use the cores."""
    done = subprocess.run([sys.executable, "-c", COUNT_THREADS], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "3"]
