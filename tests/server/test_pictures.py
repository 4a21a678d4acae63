"""Thumbnails come from processes that may hang or die, and nothing else suffers."""

import asyncio
import contextlib
import os
from pathlib import Path

import pytest

from mmpt.server import picture_worker
from mmpt.server.pictures import PictureError, Pictures, package_environment
from mmpt.utils.content import file_stamp


async def picture(pictures: Pictures, path: Path, second: float) -> bytes:
    stamp = file_stamp(path.stat()) if path.exists() else "none"
    return await pictures.get("id", str(path), stamp, second, 160)


def test_a_picture_is_made_once(videos: Path):
    async def play() -> None:
        pictures = Pictures(processes=1)
        path = videos / "kitchen" / "soup.mp4"
        first, same = await asyncio.gather(*(picture(pictures, path, 2.0) for _ in range(2)))
        assert first[:2] == b"\xff\xd8" and first is same
        await pictures.close()
        assert await picture(pictures, path, 2.0) is first  # kept, without any process

    asyncio.run(play())


def test_a_process_that_died_is_replaced(videos: Path):
    async def play() -> None:
        pictures = Pictures(processes=1)
        path = videos / "kitchen" / "soup.mp4"
        await picture(pictures, path, 0.0)
        (process,) = pictures._idle
        process.kill()
        await process.wait()
        with pytest.raises(PictureError, match="ended"):
            await picture(pictures, path, 1.0)
        assert await picture(pictures, path, 1.0)
        await pictures.close()

    asyncio.run(play())


def test_a_decoder_that_takes_too_long_is_ended(videos: Path):
    async def play() -> None:
        pictures = Pictures(processes=1, seconds=1e-4)
        with pytest.raises(PictureError, match="given up"):
            await picture(pictures, videos / "kitchen" / "soup.mp4", 0.0)
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
                await picture(pictures, path, 0.0)
        (process,) = pictures._idle
        assert await picture(pictures, videos / "kitchen" / "soup.mp4", 0.0)
        assert pictures._idle == [process]
        await pictures.close()

    asyncio.run(play())


def test_no_picture_is_made_of_what_takes_the_files_place_after_the_look_at_it(videos: Path, tmp_path: Path):
    path, other = tmp_path / "clip.mp4", videos / "kitchen" / "pancake.mp4"
    path.write_bytes((videos / "kitchen" / "soup.mp4").read_bytes())
    os.utime(path, (other.stat().st_atime, other.stat().st_mtime))
    stamp = file_stamp(path.stat())
    path.unlink()
    path.symlink_to(other)

    async def play() -> None:
        pictures = Pictures(processes=1)
        with pytest.raises(PictureError, match="another file"):
            await pictures.get("id", str(path), stamp, 0.0, 160)
        await pictures.close()

    asyncio.run(play())


@pytest.mark.parametrize("by_descriptor", [True, False])
def test_what_is_read_is_the_file_that_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_descriptor: bool
):
    if by_descriptor and not Path("/proc/self/fd").exists():
        pytest.skip("this system names no open files in /proc")
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"the video")
    stamp = file_stamp(path.stat())
    if not by_descriptor:
        monkeypatch.setattr(picture_worker.os.path, "exists", lambda _: False)
    outcome = contextlib.nullcontext() if by_descriptor else pytest.raises(ValueError, match="another file")
    with outcome, picture_worker.opened_if_same(str(path), stamp) as source:
        path.rename(tmp_path / "moved.mp4")
        path.write_bytes(b"something else")
        assert Path(source).read_bytes() == (b"the video" if by_descriptor else b"something else")


def test_what_is_kept_is_bounded(videos: Path, monkeypatch: pytest.MonkeyPatch):
    async def play() -> None:
        pictures = Pictures(processes=1)
        for second in range(5):
            await picture(pictures, videos / "kitchen" / "soup.mp4", float(second))
        await pictures.close()
        assert len(pictures._kept) == 1

    monkeypatch.setattr("mmpt.server.pictures.KEPT", 10)
    asyncio.run(play())


def test_child_processes_do_not_get_the_token(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MMPT_TOKEN", "secret-secret-secret")
    assert "MMPT_TOKEN" not in package_environment()
    assert package_environment()["PATH"]
