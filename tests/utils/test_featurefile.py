"""Feature files: what is written is read, published files are read too, and damage is told."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as nps

from mmpt.utils.featurefile import read_about, read_features, read_head, write_features
from mmpt.utils.files import atomic_path

ABOUT = {"backbone": "s3d", "l2_normalized": True, "damage": ["the last second is black"]}
FLOATS = st.floats(-60000, 60000, width=16)


@pytest.fixture
def rows() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((7, 5)).astype(np.float16)


@given(array=nps.arrays(np.float16, nps.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=9), elements=FLOATS))
def test_what_is_written_is_read(array: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "video.npy"
    write_features(path, array, ABOUT)
    for mmap in (False, True):
        read = read_features(path, width=array.shape[1], mmap=mmap)
        np.testing.assert_array_equal(read.array, array)
        assert read.array.dtype == np.float16
        assert read.about.items() >= ABOUT.items()
    assert read_about(path) == read.about
    assert read_head(path) == (array.shape, read.about)
    np.testing.assert_array_equal(np.load(path), array)  # for everybody else it is a plain .npy file


def test_published_files_say_nothing_of_themselves(rows: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "video.npy", np.asfortranarray(rows.astype(np.float32)))
    for mmap in (False, True):
        read = read_features(tmp_path / "video.npy", mmap=mmap)
        np.testing.assert_array_equal(read.array, rows)
        assert (read.about, read.array.dtype) == ({}, np.float32)


def test_a_map_reads_nothing_before_it_is_used(rows: np.ndarray, tmp_path: Path) -> None:
    write_features(tmp_path / "video.npy", rows, {})
    mapped = read_features(tmp_path / "video.npy", mmap=True).array
    assert not mapped.flags.writeable and not mapped.flags.owndata


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_nan_and_infinity_are_placed(value: float, dtype: type, rows: np.ndarray, tmp_path: Path) -> None:
    bad = rows.astype(dtype)
    bad[3, 2] = value
    np.save(tmp_path / "video.npy", bad)
    with pytest.raises(ValueError, match=r"video\.npy: the features of second 3 hold NaN or infinity"):
        read_features(tmp_path / "video.npy")
    with pytest.raises(ValueError, match="second 3"):
        write_features(tmp_path / "other.npy", bad, {})
    assert not (tmp_path / "other.npy").exists()


def test_the_largest_numbers_are_no_infinity(tmp_path: Path) -> None:
    most = np.finfo(np.float16)
    extremes = np.array([[most.max, most.min, most.tiny, 0.0, -0.0]], np.float16)
    write_features(tmp_path / "video.npy", extremes, {})
    np.testing.assert_array_equal(read_features(tmp_path / "video.npy").array, extremes)
    with pytest.raises(ValueError, match="NaN or infinity"):
        write_features(tmp_path / "large.npy", np.full((2, 3), 70000.0, np.float32), {})


@pytest.mark.parametrize("keep", [0, 5, 60, 130, 150, -1])
def test_a_file_that_is_cut_off_is_told(keep: int, rows: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "video.npy"
    write_features(path, rows, ABOUT)
    path.write_bytes(path.read_bytes()[:keep])
    for read in (read_features, read_about):
        with pytest.raises(ValueError, match=r"video\.npy is not a whole feature file .*extract it again"):
            read(path)


def test_changed_numbers_are_told(rows: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "video.npy"
    write_features(path, rows, ABOUT)
    content = bytearray(path.read_bytes())
    content[140] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"video\.npy does not match its checksum"):
        read_features(path)
    assert read_features(path, verify=False).array.shape == rows.shape


@pytest.mark.parametrize(
    "array", [np.zeros(5, np.float16), np.zeros((2, 3, 4), np.float16), np.zeros((2, 3), np.int64), np.array(["a"])]
)
def test_what_is_no_table_of_floats_is_told(array: np.ndarray, tmp_path: Path) -> None:
    np.save(tmp_path / "video.npy", array)
    for read in (read_features, read_about):
        with pytest.raises(ValueError, match=r"video\.npy holds .* features are floats of shape \(seconds, width\)"):
            read(tmp_path / "video.npy")


def test_a_wrong_width_is_told(rows: np.ndarray, tmp_path: Path) -> None:
    write_features(tmp_path / "video.npy", rows, {})
    with pytest.raises(ValueError, match=r"has 5 columns, and 512 are expected"):
        read_features(tmp_path / "video.npy", width=512)


def test_python_objects_are_never_unpickled(tmp_path: Path) -> None:
    np.save(tmp_path / "video.npy", np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(ValueError, match="Python objects, which are never unpickled"):
        read_features(tmp_path / "video.npy")


def test_an_absent_file_is_told(tmp_path: Path) -> None:
    for place in (tmp_path / "absent.npy", tmp_path):
        with pytest.raises(FileNotFoundError, match="there is no feature file"):
            read_features(place)


def test_a_full_disk_leaves_what_was_there(rows: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_features(tmp_path / "video.npy", rows, {"turn": 1})

    def no_space(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(f"{atomic_path.__module__}.os.fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        write_features(tmp_path / "video.npy", rows * 2, {"turn": 2})
    assert read_about(tmp_path / "video.npy")["turn"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["video.npy"]
