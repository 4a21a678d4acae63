"""Ranges as players ask for them."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from mmpt.search.records import VideoRecord
from mmpt.server.errors import ProblemError
from mmpt.server.limits import Gate
from mmpt.server.streaming import BLOCK, Part, VideoResponse, choose, open_video, precondition
from mmpt.utils.content import file_stamp

SIZE = 1000
TAG = '"0123456789abcdef"'


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        (None, Part(0, SIZE, whole=True)),
        ("bytes=0-", Part(0, SIZE, whole=False)),
        ("bytes=0-0", Part(0, 1, whole=False)),
        ("bytes=10-19", Part(10, 10, whole=False)),
        ("bytes=990-5000", Part(990, 10, whole=False)),
        ("bytes=-10", Part(990, 10, whole=False)),
        ("bytes=-5000", Part(0, SIZE, whole=False)),
        (" bytes = 10 - 19 ", Part(10, 10, whole=False)),
        ("bytes=5-4", Part(0, SIZE, whole=True)),  # no range at all, so that it is passed over
        ("bytes=0-1,5-6", Part(0, SIZE, whole=True)),
        ("items=0-1", Part(0, SIZE, whole=True)),
        ("bytes=-", Part(0, SIZE, whole=True)),
        ("bytes=٣-٤", Part(0, SIZE, whole=True)),
        ("BYTES=10-19", Part(10, 10, whole=False)),
        ("Bytes=-010", Part(990, 10, whole=False)),
        ("bytes=10-" + "9" * 5000, Part(10, 990, whole=False)),
        ("bytes=-" + "9" * 40, Part(0, SIZE, whole=False)),
        ("bytes=,10-19 ,\t,", Part(10, 10, whole=False)),  # a list of one
        ("bytes=10-19,5000-", Part(10, 10, whole=False)),  # of which one lies inside
        ("bytes=10-19,x", Part(0, SIZE, whole=True)),
        ("bytes=10-19,5-4", Part(0, SIZE, whole=True)),
        ("bytes=", Part(0, SIZE, whole=True)),
        ("bytes", Part(0, SIZE, whole=True)),
        ("bytes=--5", Part(0, SIZE, whole=True)),
        ("bytes=1-2-3", Part(0, SIZE, whole=True)),
    ],
)
def test_a_range_is_read_as_the_standard_says(asked: str | None, part: Part):
    assert choose(asked, SIZE) == part


@pytest.mark.parametrize(
    "asked",
    ["bytes=1000-", "bytes=5000-6000", "bytes=-0", "bytes=" + "9" * 40 + "-", "bytes=1000-,-0", "BYTES=1000-1001"],
)
def test_a_range_outside_the_file_is_416_and_says_the_size(asked: str):
    with pytest.raises(ProblemError) as caught:
        choose(asked, SIZE)
    assert (caught.value.status, caught.value.headers["Content-Range"]) == (416, f"bytes */{SIZE}")


@given(st.text(max_size=30) | st.from_regex(r"bytes=\d{0,5}-\d{0,5}", fullmatch=True), st.integers(0, 2000))
def test_what_is_sent_lies_in_the_file_whatever_is_asked(asked: str, size: int):
    try:
        part = choose(asked, size)
    except ProblemError as problem:
        assert problem.status == 416
        return
    assert part.first >= 0 and part.first + part.count <= size
    assert part.count == size if part.whole else part.count > 0


EARLIER, LATER = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"
WHEN = 1_600_000_000.5  # of the last change


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({}, 200),
        ({"If-None-Match": TAG}, 304),
        ({"If-None-Match": f"W/{TAG}"}, 304),  # the comparison is weak
        ({"If-None-Match": "*"}, 304),
        ({"If-None-Match": f'"a,b", W/"c" ,, {TAG}'}, 304),
        ({"If-None-Match": '"other"'}, 200),
        ({"If-None-Match": TAG.strip('"')}, 200),  # no entity tag
        ({"If-None-Match": '"other"', "If-Modified-Since": LATER}, 200),  # a tag counts alone
        ({"If-Modified-Since": LATER}, 304),
        ({"If-Modified-Since": "Sun, 13 Sep 2020 12:26:40 GMT"}, 304),
        ({"If-Modified-Since": EARLIER}, 200),
        ({"If-Modified-Since": "yesterday"}, 200),
        ({"If-Match": TAG}, 200),
        ({"If-Match": "*"}, 200),
        ({"If-Match": f"W/{TAG}"}, 412),  # the comparison is strong
        ({"If-Match": '"other"'}, 412),
        ({"If-Match": '"other"', "If-None-Match": TAG}, 412),
        ({"If-Unmodified-Since": EARLIER}, 412),
        ({"If-Unmodified-Since": LATER}, 200),
        ({"If-Unmodified-Since": EARLIER, "If-Match": TAG}, 200),
    ],
)
def test_conditions_are_read_as_the_standard_says(asked: dict[str, str], status: int):
    assert precondition(Headers(asked), TAG, WHEN) == status


def record(path: Path) -> VideoRecord:
    return VideoRecord("a" * 16, str(path), path.stat().st_mtime, 0.0, 1, 1, 0, stamp=file_stamp(path.stat()))


def test_a_pipe_in_a_videos_place_is_refused_and_blocks_nobody(tmp_path: Path):
    path = tmp_path / "video.mp4"
    os.mkfifo(path)
    with pytest.raises(ProblemError) as caught:
        open_video(record(path))
    assert caught.value.status == 409


def test_a_file_that_was_only_touched_is_still_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from mmpt.utils.files import content_hash

    monkeypatch.setenv("MMPT_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "video.mp4"
    path.write_bytes(b"frames")
    known = VideoRecord(content_hash(path)[:16], str(path), path.stat().st_mtime, 0.0, 1, 1, 0)
    os.utime(path, (1, 1))
    os.close(open_video(known))
    path.write_bytes(b"secret")
    os.utime(path, (2, 2))
    with pytest.raises(ProblemError) as caught:
        open_video(known)
    assert caught.value.status == 409
    path.unlink()
    with pytest.raises(ProblemError) as caught:
        open_video(known)
    assert caught.value.status == 404


def test_nothing_more_is_read_for_one_who_left(tmp_path: Path):
    path = tmp_path / "video.mp4"
    with path.open("wb") as file:
        file.truncate(1000 * BLOCK)
    gate, gone, sent = Gate("videos", running=1, waiting=0, patience=1), asyncio.Event(), []

    async def receive() -> dict:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message) -> None:
        sent.append(message)
        if len(sent) == 4:
            gone.set()  # a server throws away what is sent from here on, and says nothing
        await asyncio.sleep(0)

    async def opened(video: VideoRecord) -> int:
        return open_video(video)

    scope = {"type": "http", "method": "GET", "headers": []}
    asyncio.run(VideoResponse(record(path), gate, opened)(scope, receive, send))
    assert 4 <= len(sent) < 10
    assert gate.running == 0


def test_a_video_that_is_overwritten_while_it_is_sent_is_broken_off(tmp_path: Path):
    path = tmp_path / "video.mp4"
    path.write_bytes(bytes(2 * BLOCK))
    sent = []

    async def receive() -> dict:
        await asyncio.sleep(60)
        return {}

    async def send(message) -> None:
        sent.append(message)
        if len(sent) == 2:
            path.write_bytes(b"x" * 2 * BLOCK)
            os.utime(path, (1, 1))

    async def opened(video: VideoRecord) -> int:
        return open_video(video)

    scope = {"type": "http", "method": "GET", "headers": []}
    with pytest.raises(OSError, match="while it was sent"):
        asyncio.run(
            VideoResponse(record(path), Gate("videos", running=1, waiting=0, patience=1), opened)(scope, receive, send)
        )
    assert all(b"x" not in message.get("body", b"") for message in sent)
