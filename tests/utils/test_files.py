"""Files that are whole or absent."""

import hashlib
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmpt.utils import files
from mmpt.utils.files import atomic_path, cache_dir, content_hash


def test_the_file_appears_whole_and_in_a_new_folder(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "weights.safetensors"
    with atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.suffix == target.suffix, "libraries choose a format by it"
        temporary.write_bytes(b"half")
        assert not target.exists()
        temporary.write_bytes(b"whole")
    assert target.read_bytes() == b"whole"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_exception_the_old_file_is_untouched(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "x.json"
    target.write_text("old")
    with pytest.raises(error), atomic_path(target) as temporary:
        temporary.write_text("new, half")
        raise error
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_the_block_may_replace_the_temporary_file_itself(tmp_path: Path) -> None:
    with atomic_path(tmp_path / "x") as temporary:
        temporary.unlink()
        temporary.write_text("made anew")
    assert (tmp_path / "x").read_text() == "made anew"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        with atomic_path(tmp_path / "x") as temporary:
            temporary.write_text("x")
        assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o666 & ~mask
        (tmp_path / "y").touch()
        assert (tmp_path / "x").stat().st_mode == (tmp_path / "y").stat().st_mode
    finally:
        os.umask(before)


def test_long_names_and_strange_ones(tmp_path: Path) -> None:
    for name in ("n" * 240 + ".npy", ".hidden", "no suffix", "a.b.c.pt", "späß.pt"):
        with atomic_path(tmp_path / name) as temporary:
            temporary.write_text(name)
        assert (tmp_path / name).read_text() == name


def test_writers_at_the_same_time_leave_one_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "x"

    def write(letter: str) -> None:
        with atomic_path(str(target)) as temporary:
            temporary.write_text(letter * 100_000)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, "abcdefgh" * 5))
    text = target.read_text()
    assert len(text) == 100_000
    assert len(set(text)) == 1
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("size", [0, 1, files.HASH_BLOCK - 1, files.HASH_BLOCK, files.HASH_BLOCK + 1])
def test_content_hash(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "x").write_bytes(content)
    (tmp_path / "renamed").write_bytes(content)
    assert content_hash(tmp_path / "x") == hashlib.sha256(content).hexdigest()
    assert content_hash(str(tmp_path / "renamed")) == content_hash(tmp_path / "x")


def test_cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMPT_CACHE", str(tmp_path))
    assert cache_dir() == tmp_path
    monkeypatch.delenv("MMPT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir() == tmp_path / "xdg" / "mmpt"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert cache_dir() == tmp_path / "me" / ".cache" / "mmpt"
    assert not (tmp_path / "me").exists(), "asking makes no folder"
