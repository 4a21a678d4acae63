"""The bytes of an upload: what is taken, and what is refused without a trace."""

import asyncio
import errno
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import ClientDisconnect

from mmpt.server import receiving
from mmpt.server.errors import ProblemError
from mmpt.server.receiving import receive, shown_name, suffix_of

MP4 = b"\x00\x00\x00\x20ftypisom" + bytes(100)


async def _parts(content: bytes, size: int = 7) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def take(content: bytes, folder: Path, *, announced: int | None = None, most: int = 1000) -> receiving.Received:
    return asyncio.run(receive(_parts(content), folder, announced=announced, most=most))


@pytest.mark.parametrize(
    ("head", "suffix"),
    [
        (MP4[:64], ".mp4"),
        (b"\x00\x00\x00\x14ftypqt  ", ".mov"),
        (b"\x00\x00\x00\x08wide\x00\x00\x00\x00mdat", ".mov"),
        (b"\x1a\x45\xdf\xa3\x01\x00\x42\x82\x84webm", ".webm"),
        (b"\x1a\x45\xdf\xa3\x01\x00\x42\x82\x88matroska", ".mkv"),
        (b"RIFF\x00\x00\x00\x00AVI LIST", ".avi"),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None),
        (b"\x7fELF", None),
        (b"<!doctype html><script>", None),
        (b"#EXTM3U\nfile:///etc/passwd", None),  # a playlist would make the decoder open other files
        (b"ffconcat version 1.0", None),
        (b"", None),
    ],
)
def test_a_file_is_known_by_how_it_begins(head: bytes, suffix: str | None):
    assert suffix_of(head) == suffix


def test_a_video_comes_whole_under_a_name_of_ours(tmp_path: Path):
    found = take(MP4, tmp_path / "new", announced=len(MP4))
    assert found.path.read_bytes() == MP4
    assert found.path.parent == tmp_path / "new"
    assert (found.id, found.suffix, found.size) == (hashlib.sha256(MP4).hexdigest()[:16], ".mp4", len(MP4))
    assert found.path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("content", "announced", "status"),
    [
        (MP4 + bytes(2000), None, 413),  # says nothing of its size
        (MP4, 10_000, 413),
        (MP4 + bytes(2000), 5, 413),  # lies about it
        (b"", None, 400),
        (b"GIF89a" + bytes(200), None, 415),
        (b"short", None, 415),
    ],
)
def test_what_is_refused_leaves_nothing(tmp_path: Path, content: bytes, announced: int | None, status: int):
    with pytest.raises(ProblemError) as caught:
        take(content, tmp_path, announced=announced)
    assert caught.value.status == status
    assert caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_non_video_is_refused_after_its_first_bytes(tmp_path: Path):
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 64
            yield bytes(64)

    with pytest.raises(ProblemError) as caught:
        asyncio.run(receive(endless(), tmp_path, announced=None, most=1 << 40))
    assert (caught.value.status, sent) == (415, 64)


def test_a_client_that_falls_silent_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(receiving, "SILENCE", 0.05)

    async def silent() -> AsyncIterator[bytes]:
        yield MP4
        await asyncio.sleep(60)

    with pytest.raises(ProblemError) as caught:
        asyncio.run(receive(silent(), tmp_path, announced=None, most=1000))
    assert caught.value.status == 400
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(receiving, "SPARE", 1 << 60)
    with pytest.raises(ProblemError) as caught:
        take(MP4, tmp_path)
    assert caught.value.status == 507
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    free = iter([1 << 40, 0])  # enough when the first byte comes, nothing later
    monkeypatch.setattr(receiving.shutil, "disk_usage", lambda _: SimpleNamespace(free=next(free)))
    monkeypatch.setattr(receiving, "STRIDE", 50)
    with pytest.raises(ProblemError) as caught:
        take(MP4, tmp_path)
    assert caught.value.status == 507
    assert list(tmp_path.iterdir()) == []


def test_a_write_for_which_there_is_no_room_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(_) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(receiving, "_flush", full)
    with pytest.raises(ProblemError) as caught:
        take(MP4, tmp_path)
    assert caught.value.status == 507
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_only_trickles_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(receiving, "SILENCE", 0.2)

    async def trickle() -> AsyncIterator[bytes]:
        yield MP4
        for _ in range(1000):
            await asyncio.sleep(0.02)
            yield b"x"

    with pytest.raises(ProblemError, match="a second came") as caught:
        asyncio.run(receive(trickle(), tmp_path, announced=None, most=1 << 40))
    assert caught.value.status == 400
    assert list(tmp_path.iterdir()) == []


def test_a_client_that_leaves_leaves_nothing(tmp_path: Path):
    async def leaves() -> AsyncIterator[bytes]:
        yield MP4
        raise ClientDisconnect

    with pytest.raises(ProblemError) as caught:
        asyncio.run(receive(leaves(), tmp_path, announced=None, most=1 << 40))
    assert caught.value.status == 400
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("clip.mp4", "clip.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ann\\clip.mp4", "clip.mp4"),
        ("a\x00b\nc\u202e.mp4", "a b c .mp4"),
        ("", "upload"),
        ("///", "upload"),
        ("é" * 500, "é" * 120),
    ],
)
def test_a_name_is_only_shown(name: str, shown: str):
    assert shown_name(name) == shown


@given(st.text())
def test_a_shown_name_is_one_short_line(name: str):
    found = shown_name(name)
    assert found and len(found) <= 120 and "/" not in found and found.isprintable()
