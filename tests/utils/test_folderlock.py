"""One writer in a folder at a time."""

import errno
import logging
import os
from pathlib import Path

import pytest

from mmpt.utils import folderlock
from mmpt.utils.folderlock import NAME, only_writer

fcntl = pytest.importorskip("fcntl")


def test_a_second_writer_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with only_writer(tmp_path, "shards"):
        with pytest.raises(ValueError, match="another process is writing shards into"), only_writer(tmp_path, "shards"):
            pass
        assert (tmp_path / NAME).exists()
    with only_writer(tmp_path, "shards"):
        pass
    assert not list(tmp_path.iterdir())


def test_what_a_killed_writer_left_locks_nobody_out(tmp_path: Path) -> None:
    (tmp_path / NAME).touch()
    with only_writer(tmp_path, "shards"):
        pass


def test_a_lock_on_a_file_that_is_gone_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever had it removes it between another one's opening and locking it."""
    lock, calls = fcntl.flock, []

    def late(file: int, how: int) -> None:
        if not calls:
            (tmp_path / NAME).unlink()
        calls.append(file)
        lock(file, how)

    monkeypatch.setattr(folderlock.fcntl, "flock", late)
    with only_writer(tmp_path, "shards"), pytest.raises(ValueError, match="another"), only_writer(tmp_path, "shards"):
        pass
    assert len(calls) == 3


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF])
def test_a_disk_without_locks_is_told_and_used(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(file: int, how: int) -> None:
        assert fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDWR
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(folderlock.fcntl, "flock", none)
    with caplog.at_level(logging.WARNING), only_writer(tmp_path, "shards"):
        (tmp_path / "work").touch()
    assert "cannot lock here" in caplog.text and [path.name for path in tmp_path.iterdir()] == ["work"]
