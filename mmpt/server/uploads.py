"""Uploaded videos: received, kept under names of our own, and taken into the library by a process with limits."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from anyio import to_thread

from mmpt.search.records import VideoRecord
from mmpt.server.errors import BusyError
from mmpt.server.limits import Gate
from mmpt.server.pictures import package_environment
from mmpt.server.receiving import PART, receive, shown_name
from mmpt.server.settings import Settings
from mmpt.utils.files import atomic_path
from mmpt.utils.parallel import cores

MAX_WAITING = 8  # received videos whose turn is not yet
MAX_TOLD = 100  # uploads that are remembered
CUT_SHORT = "the process that read it ended, for want of time or memory or for damage in the video"
NAMES = ".json"  # ending of the file, beside a video, that holds its name

State = Literal["waiting", "working", "added", "known", "failed"]
logger = logging.getLogger(__name__)


@dataclass
class Upload:
    """An uploaded video and what becomes of it.

    Attributes:
        id: of the upload.
        name: as the client called the file.
        size: in bytes.
        state: where it is on its way.
        video: its id in the library, once it is there.
        seconds: of it that are worked through.
        detail: why it failed, or what is amiss with it.
    """

    id: str
    name: str
    size: int
    state: State = "waiting"
    video: str | None = None
    seconds: int = 0
    detail: str = ""


class Uploads:
    """Receives videos and has them indexed, one at a time.

    Args:
        folder: where they are kept.
        address: of the library.
        opening: keyword arguments that the library is opened with.
        settings: the limits.
        known: says which videos the library has.
        count: told how each upload ended.
    """

    def __init__(
        self,
        folder: Path,
        address: str,
        opening: Mapping[str, Any],
        settings: Settings,
        *,
        known: Callable[[], dict[str, VideoRecord]],
        count: Callable[[str], None],
    ) -> None:
        self._folder, self._address, self._settings = folder, address, settings
        self._opening = {**opening, "device": "cpu", "create": True}  # limits of memory and GPUs do not go together
        self._library, self._count = known, count
        self._receiving = Gate("uploads", running=2, waiting=0, patience=1)
        self._told: OrderedDict[str, Upload] = OrderedDict()
        self._queue: asyncio.Queue[tuple[Upload, Path]] = asyncio.Queue()
        self._worker: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to work; what an earlier server received and did not get to is taken up again."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for path in self._folder.glob(f"*{PART}"):
            path.unlink(missing_ok=True)
        known = self._library()
        for note in sorted(self._folder.glob(f"*{NAMES}")):
            name, file = _read(note)
            if file is None or note.stem in known:
                continue
            upload = Upload(uuid4().hex, name, file.stat().st_size)
            self._remember(upload)
            self._queue.put_nowait((upload, file))
        self._worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """End what is being done; it is taken up at the next start."""
        if self._worker is not None:
            self._worker.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._worker

    def name(self, record: VideoRecord) -> str | None:
        """Give the name that an uploaded video had, or None for one that was not uploaded."""
        path = Path(record.path)
        return _read(path.with_suffix(NAMES))[0] if path.parent == self._folder else None

    def list(self) -> list[Upload]:
        """Give the last uploads, the newest first."""
        return list(reversed(self._told.values()))

    def get(self, upload_id: str) -> Upload | None:
        """Give one of them."""
        return self._told.get(upload_id)

    async def take(self, name: str, body: AsyncIterator[bytes], announced: int | None) -> Upload:
        """Receive a video.

        Args:
            name: as the client calls it.
            body: its bytes.
            announced: how many, where the client says it.

        Returns:
            The upload, which waits for its turn.

        Raises:
            ProblemError: it is refused.
        """
        if self._queue.qsize() >= MAX_WAITING:
            raise BusyError(f"{MAX_WAITING} uploaded videos wait to be indexed", 30)
        async with self._receiving.slot():
            received = await receive(body, self._folder, announced=announced, most=self._settings.upload_bytes)
        upload = Upload(uuid4().hex, shown_name(name), received.size)
        if received.id in await to_thread.run_sync(self._library):
            received.path.unlink()
            upload.state, upload.video = "known", received.id
            self._count("known")
        else:
            path = self._folder / f"{received.id}{received.suffix}"
            with atomic_path(path.with_suffix(NAMES)) as note:
                note.write_text(json.dumps({"name": upload.name, "file": path.name}), encoding="utf-8")
            received.path.replace(path)
            self._queue.put_nowait((upload, path))
        self._remember(upload)
        return upload

    def _remember(self, upload: Upload) -> None:
        self._told[upload.id] = upload
        while len(self._told) > MAX_TOLD:
            self._told.popitem(last=False)

    async def _work(self) -> None:
        while True:
            upload, path = await self._queue.get()
            upload.state = "working"
            try:
                state, upload.detail = await self._index(upload, path)
            except Exception as error:  # whatever a process that read a hostile file says, the next video has its turn
                logger.error("an upload failed: %s", error, exc_info=error)
                state, upload.detail = "failed", "the server could not index it; its terminal says why"
            if state == "failed" and await to_thread.run_sync(self._has, path.stem):
                state, upload.detail = "added", ""  # it was ended between putting the video in and telling of it
            if state == "failed":
                path.unlink(missing_ok=True)
                path.with_suffix(NAMES).unlink(missing_ok=True)
            else:
                upload.video = path.stem
            upload.detail = upload.detail.replace(str(path), upload.name)  # where files lie is nobody's business
            upload.state = state  # last: it says that all the rest is done
            self._count(state)

    def _has(self, video_id: str) -> bool:
        """Whether a video is in the library; where that cannot be known, it may be, and its file must stay."""
        try:
            return video_id in self._library()
        except (OSError, ValueError) as error:
            logger.error("the library cannot be read: %s", error, exc_info=error)
            return True

    async def _index(self, upload: Upload, path: Path) -> tuple[State, str]:
        """Have a video indexed; gives how that ended, and what there is to say of it."""
        process = await self._start(path)
        try:
            return await asyncio.wait_for(_follow(process, upload), self._settings.upload_seconds)
        except TimeoutError:
            return "failed", f"it took more than the {self._settings.upload_seconds:g} s that the server allows"
        finally:
            await _end(process)

    async def _start(self, path: Path) -> Process:
        seconds = self._settings.upload_seconds
        order = {"address": self._address, "opening": self._opening, "path": str(path)}
        order |= {"memory": self._settings.upload_memory, "seconds": seconds * cores()}
        words = (sys.executable, "-m", "mmpt.server.upload_worker", str(os.getpid()))
        process = await asyncio.create_subprocess_exec(
            *words, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=package_environment(), start_new_session=True
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(order).encode() + b"\n")
        process.stdin.close()
        return process


async def _follow(process: Process, upload: Upload) -> tuple[State, str]:
    """Take over what the process tells, to its end."""
    assert process.stdout is not None
    ending: tuple[State, str] = ("failed", CUT_SHORT)
    async for line in process.stdout:
        told: dict[str, Any] = json.loads(line)
        if told.get("event") == "progress":
            upload.seconds = int(told["seconds"])
        if "result" in told:
            ending = told["result"], str(told["detail"])[:1000]
    await process.wait()
    return ending


async def _end(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()
        await process.wait()


def _read(note: Path) -> tuple[str, Path | None]:
    """A video's name, and its file where it is there."""
    try:
        about = json.loads(note.read_text(encoding="utf-8"))
        name, file = str(about["name"]), note.with_name(Path(about["file"]).name)
    except (OSError, ValueError, KeyError, TypeError):
        return note.stem, None
    return name, file if file.is_file() else None
