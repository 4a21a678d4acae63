"""The bytes of an upload into a file: bounded in size and time, and of a kind that is known by how it begins."""

import asyncio
import contextlib
import errno
import hashlib
import os
import shutil
import time
import unicodedata
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from anyio import to_thread
from starlette.requests import ClientDisconnect

from mmpt.server.claims import UploadClaim, claim
from mmpt.server.errors import ProblemError

HEAD = 64  # bytes that say what a file is
SILENCE = 30.0  # seconds without a byte after which a client is given up
SLOWEST = 16 << 10  # bytes a second, over time; who is slower is given up, for others wait for the place
SPARE = 256 << 20  # bytes of disk that stay free
STRIDE = 16 << 20  # bytes after which the disk is looked at again
PART = ".part"  # ending of a file that is being received
ID_LETTERS = 16
KINDS = "mp4, mov, mkv, webm or avi"
MAX_NAME = 120  # letters of a name that is shown


@dataclass(frozen=True)
class Received:
    """A file that came whole.

    Attributes:
        path: where it lies, under a name of ours.
        id: the first 16 digits of its SHA-256, the id that a library gives it.
        suffix: that its content has.
        size: in bytes.
        claim: keeps other servers of the folder from removing it as a leftover; the caller releases it.
    """

    path: Path
    id: str
    suffix: str
    size: int
    claim: UploadClaim


def suffix_of(head: bytes) -> str | None:
    """Say what a file is by its first bytes.

    Args:
        head: 64 of them.

    Returns:
        A suffix, or None where it is no video of the kinds that may be uploaded.
    """
    if head[4:8] == b"ftyp":
        return ".mov" if head[8:12] == b"qt  " else ".mp4"
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return ".webm" if b"webm" in head else ".mkv"
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return ".avi"
    return ".mov" if head[4:8] in (b"moov", b"mdat", b"wide") else None


def shown_name(name: str) -> str:
    """Make of a client's file name one that may be shown; it never becomes a path."""
    last = name.replace("\\", "/").rpartition("/")[2]
    letters = (" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in last)
    return " ".join("".join(letters).split())[:MAX_NAME] or "upload"


async def receive(body: AsyncIterator[bytes], folder: Path, *, announced: int | None, most: int) -> Received:
    """Write what comes to a file.

    Args:
        body: the bytes.
        folder: where to.
        announced: how many will come, where the client says it.
        most: how many may come.

    Returns:
        The file; nothing of it is left where an error is raised.

    Raises:
        ProblemError: 413, too large; 415, no video; 400, empty, or the client left or is slow; 507, the disk is full.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if announced is not None and announced > most:
        raise _too_large(most)
    _check_disk(folder, announced or 0)
    while (part := claim(folder / f"{uuid4().hex}{PART}", create=True)) is None:
        pass  # another server removed it as a leftover just before it was locked
    try:
        return await _write(body, part, most)
    except BaseException as error:
        part.path.unlink(missing_ok=True)
        part.release()
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise _full_disk() from None
        raise


async def _write(body: AsyncIterator[bytes], claim: UploadClaim, most: int) -> Received:
    digest, size, head, suffix = hashlib.sha256(), 0, b"", None
    begin = time.monotonic()
    parts = aiter(body)
    with claim.path.open("r+b") as file:
        with contextlib.suppress(StopAsyncIteration):
            while True:
                part = await _next(parts)
                size += len(part)
                if size > most:
                    raise _too_large(most)
                if size < SLOWEST * (time.monotonic() - begin - SILENCE):
                    raise ProblemError(400, f"less than {SLOWEST >> 10} KiB a second came", "use a faster connection")
                if size % STRIDE < len(part):
                    _check_disk(claim.path.parent, 0)
                if len(head) < HEAD:
                    head = (head + part)[:HEAD]
                    suffix = _known(head) if len(head) == HEAD else None
                await to_thread.run_sync(file.write, part)
                digest.update(part)
        suffix = suffix or _known(head)
        await to_thread.run_sync(_flush, file)
    return Received(claim.path, digest.hexdigest()[:ID_LETTERS], suffix, size, claim)


async def _next(parts: AsyncIterator[bytes]) -> bytes:
    try:
        return await asyncio.wait_for(anext(parts), SILENCE)
    except TimeoutError:
        raise ProblemError(400, f"no byte came for {SILENCE:g} s", "send the file again") from None
    except ClientDisconnect:
        raise ProblemError(400, "the client left", "send the file again") from None  # which nobody but our log reads


def _known(head: bytes) -> str:
    if not head:
        raise ProblemError(400, "the file is empty", "choose a file with a video in it")
    suffix = suffix_of(head)
    if suffix is None:
        raise ProblemError(415, "the file does not begin like a video", f"upload {KINDS} files")
    return suffix


def _flush(file) -> None:
    file.flush()
    os.fsync(file.fileno())


def _check_disk(folder: Path, coming: int) -> None:
    if shutil.disk_usage(folder).free < coming + SPARE:
        raise _full_disk()


def _full_disk() -> ProblemError:
    return ProblemError(507, "the server's disk is nearly full", "free some space there and try again")


def _too_large(most: int) -> ProblemError:
    limit = f"{most / (1 << 30):.3g} GiB" if most >= 1 << 30 else f"{most / (1 << 20):.3g} MiB"
    return ProblemError(
        413, f"the file is larger than {limit}", "cut it, or index it on the server's machine: mmpt index"
    )
