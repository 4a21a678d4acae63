"""Whether the file at a video's path is still the one that was indexed."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mmpt.search.identity import same_file, with_file
from mmpt.search.records import VideoRecord
from mmpt.utils import content
from mmpt.utils.content import read_content


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "SETTLED", -1)  # a test has no time to let a file settle


def indexed(path: Path, depth: int = 1) -> VideoRecord:
    with path.open("rb") as file:
        found = read_content(file.fileno(), path)
    return with_file(VideoRecord(found.sha256[:16], "", 0.0, 0.0, 1, 1, 0), str(path), found, depth)


def is_same(record: VideoRecord) -> bool:
    file = os.open(record.path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return same_file(file, record)
    finally:
        os.close(file)


def video(folder: Path, name: str = "clip.mp4", data: bytes = b"frames") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return folder / name


def take_times(path: Path, other: Path) -> None:
    about = path.stat()
    os.utime(other, ns=(about.st_atime_ns, about.st_mtime_ns))


def link(path: Path, other: Path) -> None:
    path.unlink()
    path.symlink_to(other)


def hard_link(path: Path, other: Path) -> None:
    path.unlink()
    path.hardlink_to(other)


def write_over(path: Path, other: Path) -> None:
    about = path.stat()
    path.write_bytes(other.read_bytes())
    os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))


def link_folder(path: Path, other: Path) -> None:
    shutil.rmtree(path.parent)
    path.parent.symlink_to(other.parent)


@pytest.mark.parametrize("swap", [link, hard_link, write_over, link_folder, lambda path, other: other.replace(path)])
@pytest.mark.parametrize("secret", [b"secret", b"longer secret"])
def test_a_file_replaced_by_another_with_the_same_time_is_not_the_video(
    tmp_path: Path, swap: Callable[[Path, Path], object], secret: bytes
) -> None:
    path, other = video(tmp_path / "shown" / "deep"), video(tmp_path / "secret", data=secret)
    record = indexed(path, depth=2)
    take_times(path, other)
    assert is_same(record)
    swap(path, other)
    assert not is_same(record)
    assert not is_same(replace(record, stamp="", real_path="", depth=0))  # as an earlier version kept it


def test_a_file_that_did_not_change_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = indexed(video(tmp_path))
    monkeypatch.setattr("mmpt.search.identity.read_content", lambda *args: pytest.fail("read"))
    assert is_same(record)
    Path(record.path).write_bytes(b"of another size")
    assert not is_same(record)


def test_a_file_that_was_touched_or_copied_is_the_video(tmp_path: Path) -> None:
    path = video(tmp_path)
    record = indexed(path)
    os.utime(path, (1, 1))
    assert is_same(record)
    shutil.copy(path, tmp_path / "copy.mp4")
    (tmp_path / "copy.mp4").replace(path)
    assert is_same(record)


def test_a_link_leads_where_it_led_when_it_was_indexed_or_nowhere(tmp_path: Path) -> None:
    path, copy = video(tmp_path / "disk"), video(tmp_path / "elsewhere")
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "clip.mp4").symlink_to(path)
    record = indexed(shown / "clip.mp4")
    assert is_same(record)
    (shown / "clip.mp4").unlink()
    (shown / "clip.mp4").symlink_to(copy)
    assert not is_same(record)  # though its bytes are the same: whoever set the link may change them at will
    (shown / "clip.mp4").unlink()
    shutil.copy(path, shown / "clip.mp4")
    assert is_same(record)  # no link, and the same bytes


def test_the_indexed_folder_may_move_behind_a_link(tmp_path: Path) -> None:
    record = indexed(video(tmp_path / "shown" / "deep"), depth=2)
    (tmp_path / "shown").rename(tmp_path / "disk")
    (tmp_path / "shown").symlink_to(tmp_path / "disk")
    assert is_same(record)
    (tmp_path / "disk" / "deep").rename(tmp_path / "elsewhere")
    (tmp_path / "disk" / "deep").symlink_to(tmp_path / "elsewhere")
    assert not is_same(record)


def test_the_open_file_is_looked_at_and_not_what_lies_at_the_path_meanwhile(tmp_path: Path) -> None:
    path, other = video(tmp_path / "shown"), video(tmp_path / "secret", data=b"secret")
    record = replace(indexed(path), stamp="", real_path="")
    with other.open("rb") as file:
        assert not same_file(file.fileno(), record)


def test_what_is_no_file_is_not_the_video(tmp_path: Path) -> None:
    record = indexed(video(tmp_path))
    Path(record.path).unlink()
    os.mkfifo(record.path)
    assert not is_same(record)


def test_a_file_behind_a_link_to_a_name_that_is_not_utf8_is_kept_as_text(tmp_path: Path) -> None:
    real = tmp_path / os.fsdecode(b"clip\xe9.mp4")
    real.write_bytes(b"frames")
    (tmp_path / "clip.mp4").symlink_to(real)
    record = indexed(tmp_path / "clip.mp4")
    assert record.real_path.encode() and is_same(record)
