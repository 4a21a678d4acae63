"""Videos over HTTP, whole or in ranges, as players ask for them (RFC 9110, section 14)."""

import asyncio
import hashlib
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from pathlib import Path

from anyio import to_thread
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mmpt.search.identity import same_file
from mmpt.search.records import VideoRecord
from mmpt.server.errors import ProblemError
from mmpt.server.limits import Gate

BLOCK = 256 << 10  # bytes sent at a time
TYPES = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/mp4",  # the same family of containers; browsers refuse to try video/quicktime
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".avi": "video/x-msvideo",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
    ".ts": "video/mp2t",
    ".flv": "video/x-flv",
    ".wmv": "video/x-ms-wmv",
    ".3gp": "video/3gpp",
    ".ogv": "video/ogg",
}
HEAD_ONLY = "mmpt.head"  # key of a request's scope: only the headers are to be sent
UNIT = "bytes="
RANGE = re.compile(r"([0-9]*)-([0-9]*)")
MAX_DIGITS = 18  # of a position in a file; a longer number is cut to the largest of this length
ENTITY_TAG = re.compile(r'(W/)?("[^"]*")')


@dataclass(frozen=True)
class Part:
    """Which bytes of a file are sent.

    Attributes:
        first: the first one.
        count: how many.
        whole: nothing less was asked for.
    """

    first: int
    count: int
    whole: bool


def choose(asked: str | None, size: int) -> Part:
    """Read a Range header.

    Args:
        asked: the header, or None.
        size: of the file, in bytes.

    Returns:
        The part to send. Other units, malformed ranges and several ranges inside the file are ignored, as the standard
        allows: the whole file is sent.

    Raises:
        ProblemError: 416, every range lies outside the file.
    """
    text = (asked or "").replace(" ", "").replace("\t", "").lower()
    whole = Part(0, size, whole=True)
    specs = [spec for spec in text.removeprefix(UNIT).split(",") if spec]  # lists may have empty elements
    if not text.startswith(UNIT) or not specs:
        return whole
    parts = []
    for spec in specs:
        match = RANGE.fullmatch(spec)
        if match is None or match.groups() == ("", ""):
            return whole
        first, last = (_place(digits) for digits in match.groups())
        if first is not None and last is not None and last < first:
            return whole
        if first is None:  # a suffix: the number of bytes at the end
            first, last = max(0, size - (last or 0)), size - 1
        count = min(size - 1 if last is None else last, size - 1) + 1 - first
        if count > 0:
            parts.append(Part(first, count, whole=False))
    if not parts:
        raise ProblemError(
            416,
            f"{asked!r} lies outside the file's {size} bytes",
            "ask for a range inside it",
            {"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"},
        )
    return parts[0] if len(parts) == 1 else whole


def _place(digits: str) -> int | None:
    digits = digits.lstrip("0") or digits[:1]
    return int(digits if len(digits) <= MAX_DIGITS else "9" * MAX_DIGITS) if digits else None


def precondition(asked: Headers, tag: str, changed: float | None = None) -> int:
    """The status of an answer that would be 200, after the conditions of a GET or HEAD (RFC 9110, section 13).

    Args:
        asked: the request's headers.
        tag: the content's entity tag, a strong one.
        changed: when it was last changed, Unix time, if the answer says so.

    Returns:
        200, 304 (the client has it), or 412 (the client wants only an earlier version).
    """
    if "if-match" in asked:
        if not _names(asked.getlist("if-match"), tag, strong=True):
            return 412
    elif changed is not None and (day := _date(asked.get("if-unmodified-since"))) is not None and int(changed) > day:
        return 412
    if "if-none-match" in asked:
        return 304 if _names(asked.getlist("if-none-match"), tag, strong=False) else 200
    day = _date(asked.get("if-modified-since"))
    return 304 if changed is not None and day is not None and int(changed) <= day else 200


def conditional(asked: Headers, content: bytes, media_type: str, cache: str) -> Response:
    """Answer with content that is in memory, or with what the conditions of the request make of it."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {"Cache-Control": cache, "ETag": tag}
    status = precondition(asked, tag)
    if status != 200:
        return Response(status_code=status, headers=headers)
    return Response(content, media_type=media_type, headers=headers)


def _names(lines: list[str], tag: str, *, strong: bool) -> bool:
    """True if lists of entity tags contain a tag, or are "*", which matches any."""
    listed = ",".join(lines).strip()
    return listed == "*" or any(opaque == tag and not (weak and strong) for weak, opaque in ENTITY_TAG.findall(listed))


def _date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp() if text else None
    except (ValueError, OverflowError):  # not a date: ignored
        return None


def open_video(record: VideoRecord) -> int:
    """Open the file of a video, if it is still the one that was indexed.

    Args:
        record: the video, from the library's own table.

    Returns:
        A file descriptor.

    Raises:
        ProblemError: 404, the file is gone; 409, it is another file, or a link on its path leads elsewhere now.
    """
    try:
        file = os.open(record.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe would block for ever
    except OSError:
        raise ProblemError(
            404,
            "the video's file cannot be read where it was indexed",
            "run on the server's machine: mmpt index update",
        ) from None
    try:
        same = same_file(file, record)
    except OSError:
        same = False
    if not same:
        os.close(file)
        raise ProblemError(
            409,
            "the video's file has changed since it was indexed",
            "run on the server's machine: mmpt index update",
        )
    return file


class VideoResponse(Response):
    """Sends a video's file.

    Args:
        record: the video.
        gate: how many are sent at a time.
        opened: opens its file, as `open_video` does.
    """

    def __init__(self, record: VideoRecord, gate: Gate, opened: Callable[[VideoRecord], Awaitable[int]]) -> None:
        super().__init__(media_type=TYPES.get(Path(record.path).suffix.lower(), "application/octet-stream"))
        self._record = record
        self._gate = gate
        self._opened = opened

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; raises ProblemError before anything is sent."""
        async with self._gate.slot():
            file = await self._opened(self._record)
            gone = asyncio.create_task(_until_gone(receive))  # what is sent to one who left is lost without an error
            try:
                await self._answer(file, scope, send, gone)
            finally:
                gone.cancel()
                os.close(file)

    async def _answer(self, file: int, scope: Scope, send: Send, gone: asyncio.Task[None]) -> None:
        about = os.fstat(file)
        asked = Headers(scope=scope)
        tag, changed = f'"{self._record.id}"', formatdate(int(about.st_mtime), usegmt=True)
        headers = {"ETag": tag, "Last-Modified": changed, "Cache-Control": "private, no-cache"}
        status = precondition(asked, tag, about.st_mtime)
        if status != 200:
            await _begin(send, status, headers)
            await send({"type": "http.response.body"})
            return
        head = scope.get(HEAD_ONLY, False)
        ranged = not head and asked.get("if-range", tag) in (tag, changed)  # only GET has ranges
        part = choose(asked.get("range") if ranged else None, about.st_size)
        headers |= {"Accept-Ranges": "bytes", "Content-Type": self.media_type or "application/octet-stream"}
        headers["Content-Length"] = str(part.count)
        if not part.whole:
            headers["Content-Range"] = f"bytes {part.first}-{part.first + part.count - 1}/{about.st_size}"
        await _begin(send, 200 if part.whole else 206, headers)
        left = 0 if head else part.count
        place = part.first
        while left and not gone.done():
            block = await to_thread.run_sync(os.pread, file, min(BLOCK, left), place)
            now = os.fstat(file)
            if not block or (now.st_size, now.st_mtime_ns) != (about.st_size, about.st_mtime_ns):
                # The file is being overwritten: end the connection, since the promised content no longer exists.
                raise OSError(f"{self._record.path} changed while it was sent")
            place, left = place + len(block), left - len(block)
            message = {"type": "http.response.body", "body": block, "more_body": left > 0}
            await send(message)
        if head or not part.count:
            await send({"type": "http.response.body"})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _begin(send: Send, status: int, headers: dict[str, str]) -> None:
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
