"""Thumbnails come from processes that may hang or die, and nothing else suffers."""

import asyncio
from pathlib import Path

import pytest

from mmpt.server.pictures import PictureError, Pictures, package_environment


def test_a_picture_is_made_once(videos: Path):
    async def play() -> None:
        pictures = Pictures(processes=1)
        path = str(videos / "kitchen" / "soup.mp4")
        first, same = await asyncio.gather(*(pictures.get("id", path, 2.0, 160) for _ in range(2)))
        assert first[:2] == b"\xff\xd8" and first is same
        await pictures.close()
        assert await pictures.get("id", path, 2.0, 160) is first  # kept, without any process

    asyncio.run(play())


def test_a_process_that_died_is_replaced(videos: Path):
    async def play() -> None:
        pictures = Pictures(processes=1)
        path = str(videos / "kitchen" / "soup.mp4")
        await pictures.get("id", path, 0.0, 160)
        (process,) = pictures._idle
        process.kill()
        await process.wait()
        with pytest.raises(PictureError, match="ended"):
            await pictures.get("id", path, 1.0, 160)
        assert await pictures.get("id", path, 1.0, 160)
        await pictures.close()

    asyncio.run(play())


def test_a_decoder_that_takes_too_long_is_ended(videos: Path):
    async def play() -> None:
        pictures = Pictures(processes=1, seconds=1e-4)
        with pytest.raises(PictureError, match="given up"):
            await pictures.get("id", str(videos / "kitchen" / "soup.mp4"), 0.0, 160)
        assert pictures._idle == []  # it is not asked again
        await pictures.close()

    asyncio.run(play())


def test_what_is_no_video_is_told_and_the_process_goes_on(videos: Path, tmp_path: Path):
    async def play() -> None:
        pictures = Pictures(processes=1)
        broken = tmp_path / "broken.mp4"
        broken.write_bytes(b"\x00\x00\x00\x20ftypisom" + bytes(5000))
        for path in (broken, tmp_path / "none.mp4", tmp_path):
            with pytest.raises(PictureError):
                await pictures.get("id", str(path), 0.0, 160)
        (process,) = pictures._idle
        assert await pictures.get("id", str(videos / "kitchen" / "soup.mp4"), 0.0, 160)
        assert pictures._idle == [process]
        await pictures.close()

    asyncio.run(play())


def test_what_is_kept_is_bounded(videos: Path, monkeypatch: pytest.MonkeyPatch):
    async def play() -> None:
        pictures = Pictures(processes=1)
        for second in range(5):
            await pictures.get("id", str(videos / "kitchen" / "soup.mp4"), float(second), 160)
        await pictures.close()
        assert len(pictures._kept) == 1

    monkeypatch.setattr("mmpt.server.pictures.KEPT", 10)
    asyncio.run(play())


def test_child_processes_do_not_get_the_token(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MMPT_TOKEN", "secret-secret-secret")
    assert "MMPT_TOKEN" not in package_environment()
    assert package_environment()["PATH"]
