"""Features: what a backbone makes of each started second, and the cache that finds them again."""

import logging
import os
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file

from mmpt.utils.content import remembered_hash
from mmpt.utils.files import content_hash
from mmpt.video import features as features_module
from mmpt.video.backbones.base import Backbone
from mmpt.video.backbones.s3d import S3DBackbone
from mmpt.video.errors import VideoDamageWarning, VideoError
from mmpt.video.features import cached, extract
from mmpt.video.reader import read_seconds
from tests.video.rendering import lossless, moving, render, shades
from tests.video.small_s3d import as_clips, save_as_published, small_config, small_s3d

FPS, SIZE = 4, 8


class Colours:
    """A backbone that gives each second's mean colour, and its brightest value."""

    name = "colours"
    fps = FPS
    size = SIZE
    dim = 4

    def __init__(self, version: str = "1", precision: str = "fp32", batch_seconds: int = 2) -> None:
        self.version, self.precision, self.batch_seconds = version, precision, batch_seconds
        self.asked: list[int] = []  # seconds of each call

    def __call__(self, frames: np.ndarray | torch.Tensor) -> torch.Tensor:
        seconds = torch.as_tensor(frames)
        assert seconds.shape[1:] == (FPS, SIZE, SIZE, 3) and seconds.dtype == torch.uint8
        self.asked.append(len(seconds))
        values = seconds.float()
        return torch.cat([values.mean(dim=(1, 2, 3)), values.amax(dim=(1, 2, 3, 4))[:, None]], dim=1)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """3.5 seconds: each of one grey."""
    greys = [40] * FPS + [80] * FPS + [120] * FPS + [160] * (FPS // 2)
    return render(tmp_path / "clip.mkv", lossless(shades(greys), FPS))


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A clip with a stretch of bytes overwritten."""
    path = render(tmp_path / "damaged.mkv", lossless(moving(6 * FPS), FPS))
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = bytes(4000)
    path.write_bytes(content)
    return path


def kept_files(cache: Path) -> list[Path]:
    return sorted((cache / "features").rglob("*.safetensors"))


# --- extraction -------------------------------------------------------------------------------------------------------


def test_one_row_for_each_started_second(clip: Path) -> None:
    features = extract(clip, Colours(), l2_normalize=False)
    greys = np.array([40, 80, 120, 160 / 2])  # the last second is half black
    assert features.array.dtype == np.float32
    np.testing.assert_allclose(features.array[:, :3], np.repeat(greys[:, None], 3, axis=1), atol=1)
    np.testing.assert_allclose(features.array[:, 3], [40, 80, 120, 160], atol=1)
    assert features.seconds == 4
    assert (features.backbone, features.version, features.precision) == ("colours", "1", "fp32")
    assert not features.l2_normalized
    assert features.source == content_hash(clip)
    assert features.damage == ()


def test_rows_have_unit_length(clip: Path) -> None:
    raw = extract(clip, Colours(), l2_normalize=False).array
    features = extract(clip, Colours())
    assert features.l2_normalized
    np.testing.assert_allclose(features.array, raw / np.linalg.norm(raw, axis=1, keepdims=True), rtol=1e-6)


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_batches_change_nothing(clip: Path, batch: int) -> None:
    backbone = Colours(batch_seconds=batch)
    told: list[int] = []
    features = extract(clip, backbone, on_progress=told.append)
    assert np.array_equal(features.array, extract(clip, Colours()).array)
    assert max(backbone.asked) == min(batch, 4)
    assert told == list(np.cumsum(backbone.asked))


def test_s3d_features_of_a_clip(clip: Path) -> None:
    model = small_s3d()
    seconds = torch.from_numpy(np.stack(list(read_seconds(clip, 30, 224))))
    with torch.no_grad():
        expected = torch.nn.functional.normalize(model(as_clips(seconds)).video_embedding, dim=1).numpy()
    backbone: Backbone = S3DBackbone(model, precision="fp32")
    np.testing.assert_allclose(extract(clip, backbone).array, expected, atol=2e-6)


def test_a_damaged_clip_warns_and_says_so(damaged: Path) -> None:
    with pytest.warns(VideoDamageWarning, match=r"damaged\.mkv") as told:
        features = extract(damaged, Colours())
    assert len(told) == 1
    assert features.damage == (str(told[0].message),)
    assert features.seconds >= 1
    with pytest.raises(VideoError, match=r"damaged\.mkv"):
        extract(damaged, Colours(), strict=True)


@pytest.mark.parametrize("kind", [extract, cached])
def test_what_is_no_video(tmp_path: Path, kind, cache: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no video at"):
        kind(tmp_path / "absent.mp4", Colours())
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(VideoError, match="not a video"):
        kind(tmp_path / "text.mp4", Colours())
    with pytest.raises(VideoError, match="is a folder"):
        kind(tmp_path, Colours())
    assert kept_files(cache) == []


# --- the cache --------------------------------------------------------------------------------------------------------


def test_the_second_call_computes_nothing(clip: Path, cache: Path) -> None:
    first = cached(clip, Colours())
    backbone = Colours()
    told: list[int] = []
    again = cached(clip, backbone, on_progress=told.append)
    assert backbone.asked == [] and told == []
    assert np.array_equal(first.array, again.array) and first.array.dtype == again.array.dtype
    for name in ("backbone", "version", "precision", "l2_normalized", "source", "damage", "seconds"):
        assert getattr(first, name) == getattr(again, name)
    assert len(kept_files(cache)) == 1


def test_a_hit_loads_no_weights(clip: Path, tmp_path: Path) -> None:
    weights, _ = save_as_published(small_s3d(), tmp_path)
    settled(weights)
    first = cached(clip, S3DBackbone(weights, config=small_config()))
    backbone = S3DBackbone(weights, config=small_config())
    assert np.array_equal(cached(clip, backbone).array, first.array)
    assert "_network" not in vars(backbone)


def test_copies_are_found_and_changed_videos_are_not(clip: Path, tmp_path: Path) -> None:
    cached(clip, Colours())
    copy = tmp_path / "elsewhere" / "other name.mkv"
    copy.parent.mkdir()
    shutil.copy(clip, copy)
    backbone = Colours()
    cached(copy, backbone)
    assert backbone.asked == []
    render(copy, lossless(shades([200] * FPS), FPS))
    assert cached(copy, backbone).seconds == 1
    assert backbone.asked == [1]


@pytest.mark.parametrize(
    "other", [{"version": "2"}, {"precision": "bf16"}, {"l2_normalize": False}], ids=lambda other: next(iter(other))
)
def test_other_numbers_are_kept_apart(clip: Path, cache: Path, other: dict) -> None:
    cached(clip, Colours())
    l2_normalize = other.pop("l2_normalize", True)
    backbone = Colours(**other)
    features = cached(clip, backbone, l2_normalize=l2_normalize)
    assert backbone.asked
    assert features.l2_normalized == l2_normalize
    assert len(kept_files(cache)) == 2


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _change_a_number(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 0x40
    path.write_bytes(content)


def _drop_what_is_said(path: Path) -> None:
    with safe_open(path, framework="numpy") as opened:
        array = opened.get_tensor("features")
    save_file({"features": array}, path)


def _another_array(path: Path) -> None:
    save_file({"vectors": np.zeros(3)}, path)


@pytest.mark.parametrize("harm", [_cut, _empty, _change_a_number, _drop_what_is_said, _another_array])
def test_a_damaged_cache_file_is_computed_again(clip: Path, cache: Path, harm, caplog) -> None:
    first = cached(clip, Colours())
    (kept,) = kept_files(cache)
    harm(kept)
    backbone = Colours()
    with caplog.at_level(logging.WARNING):
        again = cached(clip, backbone)
    assert "computing them again" in caplog.text and str(kept) in caplog.text
    assert backbone.asked
    assert np.array_equal(first.array, again.array)
    backbone = Colours()
    cached(clip, backbone)
    assert backbone.asked == []  # mended


def test_damage_is_told_each_time(damaged: Path, tmp_path: Path) -> None:
    with pytest.warns(VideoDamageWarning, match=r"damaged\.mkv"):
        first = cached(damaged, Colours())
    moved = damaged.rename(tmp_path / "moved.mkv")
    backbone = Colours()
    with pytest.warns(VideoDamageWarning, match=r"moved\.mkv") as told:
        again = cached(moved, backbone)
    assert backbone.asked == []
    assert len(told) == 1
    assert np.array_equal(first.array, again.array)
    assert again.damage == (first.damage[0].replace("damaged.mkv", "moved.mkv"),)
    with pytest.raises(VideoError, match=r"moved\.mkv"):
        cached(moved, backbone, strict=True)


def test_a_strict_failure_keeps_nothing(damaged: Path, cache: Path) -> None:
    with pytest.raises(VideoError):
        cached(damaged, Colours(), strict=True)
    assert kept_files(cache) == []


def test_a_cache_that_cannot_be_written(clip: Path, tmp_path: Path, monkeypatch, caplog) -> None:
    (tmp_path / "blocked").write_text("a file where the cache folder should be")
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "blocked"))
    with caplog.at_level(logging.WARNING):
        features = cached(clip, Colours())
    assert features.seconds == 4
    assert "cannot keep features" in caplog.text


def test_an_interrupted_extraction_keeps_nothing(clip: Path, cache: Path) -> None:
    def stop(done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached(clip, Colours(), on_progress=stop)
    assert kept_files(cache) == []


def test_other_warnings_pass_through(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def grumbling(*args, **more):
        for second in read_seconds(*args, **more):
            warnings.warn("about something else", UserWarning, stacklevel=1)
            yield second

    monkeypatch.setattr(features_module, "read_seconds", grumbling)
    with pytest.warns(UserWarning, match="about something else"):
        assert extract(clip, Colours()).damage == ()


@pytest.mark.slow
def test_real_videos(real_videos: Path) -> None:
    """Every real video gives unit rows, and the damaged one says that it is."""
    backbone = S3DBackbone(small_s3d())
    for path in sorted(real_videos.iterdir()):
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            first = cached(path, backbone)
            again = cached(path, backbone)
        assert np.array_equal(first.array, again.array)
        np.testing.assert_allclose(np.linalg.norm(first.array, axis=1), 1, rtol=1e-5)
        assert bool(first.damage) == (path.name == "corrupted.mp4")
        assert len(told) == 2 * len(first.damage)


# --- remembered hashes ------------------------------------------------------------------------------------------------


def settled(path: Path) -> None:
    """Give a file an age."""
    os.utime(path, (path.stat().st_atime - 100, path.stat().st_mtime - 100))


def test_hashes(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mmpt.utils.content.SETTLED", -1)  # a test has no time to let a file settle
    file = tmp_path / "file"
    file.write_bytes(b"one")
    assert remembered_hash(file) == content_hash(file)
    monkeypatch.setattr("mmpt.utils.content.content_hash", lambda path: pytest.fail("read again"))
    assert remembered_hash(file) == content_hash(file)
    monkeypatch.setattr("mmpt.utils.content.content_hash", content_hash)
    file.write_bytes(b"two")
    assert remembered_hash(file) == content_hash(file)
    (note,) = (cache / "hashes").iterdir()
    for broken in (b"", b"[1]", b'{"stamp": 1}', b"\xff"):
        note.write_bytes(broken)
        assert remembered_hash(file) == content_hash(file)


def test_a_file_that_just_changed_is_not_remembered(tmp_path: Path, cache: Path) -> None:
    """It could change again within one tick of the clock, with no trace in its times."""
    file = tmp_path / "file"
    file.write_bytes(b"one")
    assert remembered_hash(file) == content_hash(file)
    assert not (cache / "hashes").exists()
