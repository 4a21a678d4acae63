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
from typing import Any, Literal, NamedTuple
from uuid import uuid4

from anyio import to_thread

from mmpt.search.records import VideoRecord
from mmpt.server.claims import UploadClaim, claim
from mmpt.server.errors import BusyError
from mmpt.server.limits import Gate
from mmpt.server.pictures import package_environment
from mmpt.server.receiving import PART, Received, receive, shown_name
from mmpt.server.settings import Settings
from mmpt.utils.files import atomic_path
from mmpt.utils.parallel import cores

MAX_WAITING = 8  # received videos whose turn is not yet
MAX_TOLD = 100  # uploads that are remembered
CUT_SHORT = "the process that read it ended, for want of time or memory or for damage in the video"
NAMES = ".json"  # ending of the file, beside a video, that holds its name
PENDING = ".pending"  # ending of a file that exists until the video is indexed, locked by the server that indexes it
MARKED = "marked"  # key of a note whose video has a file PENDING for as long as it is pending
RESCAN_INTERVAL_S = 5.0  # between searches for what another server of the folder left behind
CLAIM_RETRIES, CLAIM_RETRY_S = 3, 0.05
ELSEWHERE = "another upload of the same video could not be indexed"

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


class PendingUpload(NamedTuple):
    """An uploaded video that this server is to index."""

    upload: Upload
    path: Path
    pending: UploadClaim


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
        known: Callable[[], Mapping[str, VideoRecord]],
        count: Callable[[str], None],
    ) -> None:
        self._folder, self._address, self._settings = folder, address, settings
        self._opening = {**opening, "device": "cpu", "create": True}  # limits of memory and GPUs do not go together
        self._library, self._count = known, count
        self._receiving = Gate("uploads", running=2, waiting=0, patience=1)
        self._told: OrderedDict[str, Upload] = OrderedDict()
        self._queue: asyncio.Queue[PendingUpload] = asyncio.Queue()
        self._claims: set[UploadClaim] = set()  # of videos that are queued or being indexed
        self._elsewhere: list[tuple[Upload, str]] = []  # uploads whose content, of that id, is being indexed already
        self._ended = asyncio.Event()  # set when an upload has ended, for others of the same content
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start indexing; videos that an earlier server received and did not index are queued again."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._queue, self._ended = asyncio.Queue(), asyncio.Event()  # what was queued before a stop is a leftover
        self._take_up(self._leftovers(at_start=True))
        self._tasks = [asyncio.create_task(self._work()), asyncio.create_task(self._rescan())]

    async def stop(self) -> None:
        """Stop; unfinished videos are indexed after the next start, or by another server of the folder."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        while self._claims:
            self._claims.pop().release()

    def name(self, record: VideoRecord) -> str | None:
        """Give the name that an uploaded video had, or None for one that was not uploaded."""
        path = Path(record.path)
        return _read(path.with_suffix(NAMES))[0] if path.parent == self._folder else None

    def recent(self) -> list[Upload]:
        """Return the last uploads, the newest first."""
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
        try:
            await self._keep(upload, received)
        finally:
            received.path.unlink(missing_ok=True)
            received.claim.release()
        self._remember(upload)
        return upload

    async def _keep(self, upload: Upload, received: Received) -> None:
        """Queue a received video, unless it is in the library or being indexed."""
        pending = self._claim(received.id, create=True)
        for _ in range(CLAIM_RETRIES):
            if pending is not None:
                break
            await asyncio.sleep(CLAIM_RETRY_S)  # another server may only be checking whether it is a leftover
            pending = self._claim(received.id, create=True)
        path = self._folder / f"{received.id}{received.suffix}"
        note = path.with_suffix(NAMES)
        try:
            if received.id in await to_thread.run_sync(self._library):
                upload.state, upload.video = "known", received.id
                self._count("known")
            elif pending is None:
                self._elsewhere.append((upload, received.id))
            else:
                _write(note, upload.name, path.name)
                received.path.replace(path)
                self._queue.put_nowait(PendingUpload(upload, path, pending))
                pending = None
        finally:
            if pending is not None:
                self._done(pending)

    def _claim(self, video_id: str, *, create: bool) -> UploadClaim | None:
        """Claim the indexing of a video; None if another server, or an earlier upload, has claimed it."""
        found = claim(self._folder / f"{video_id}{PENDING}", create=create)
        if found is not None:
            self._claims.add(found)
        return found

    def _done(self, pending: UploadClaim) -> None:
        self._claims.discard(pending)
        pending.path.unlink(missing_ok=True)
        pending.release()

    def _leftovers(self, *, at_start: bool) -> list[PendingUpload]:
        """Claim the videos that stopped servers left, and remove their unfinished uploads.

        Args:
            at_start: claim also videos of a server of an earlier version, which did not mark them as pending.
        """
        known = self._library() if at_start else {}
        ids, earlier = {}, []  # a dict, which keeps the order of names
        for entry in sorted(self._folder.iterdir()):
            if entry.suffix == PART and (part := claim(entry)) is not None:
                entry.unlink(missing_ok=True)
                part.release()
            elif entry.suffix == PENDING:
                ids[entry.stem] = None
            elif at_start and entry.suffix == NAMES and _is_unmarked(entry):
                earlier.append(entry)
                ids |= {} if entry.stem in known else {entry.stem: None}
        claimed = [found for video_id in ids if (found := self._claim(video_id, create=at_start)) is not None]
        try:
            for note in earlier:  # once: a video that is removed from the library later is not pending
                name, file = _read(note)
                if file is not None:
                    _write(note, name, file.name)
            known = self._library()  # read again: now nobody else works on them
            jobs = []
            for pending in claimed:
                name, file = _read(pending.path.with_suffix(NAMES))
                if file is None or pending.path.stem in known:
                    self._done(pending)
                else:
                    jobs.append(PendingUpload(Upload(uuid4().hex, name, file.stat().st_size), file, pending))
            return jobs
        except BaseException:
            for pending in self._claims.intersection(claimed):
                self._claims.discard(pending)
                pending.release()
            raise

    def _take_up(self, jobs: list[PendingUpload]) -> None:
        for job in jobs:
            followers = [upload for upload, video_id in self._elsewhere if video_id == job.path.stem]
            if followers:  # they waited for the server that stopped
                self._elsewhere.remove((followers[0], job.path.stem))
                job = PendingUpload(followers[0], job.path, job.pending)
            else:
                self._remember(job.upload)
            self._queue.put_nowait(job)

    async def _rescan(self) -> None:
        """Queue what other servers of the folder leave behind, and settle uploads that wait for them."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), RESCAN_INTERVAL_S)
            self._ended.clear()
            try:
                self._take_up(await to_thread.run_sync(lambda: self._leftovers(at_start=False)))
                if self._elsewhere:
                    await self._settle()
            except Exception as error:  # after an unexpected error, too, the folder is scanned again
                logger.error("the folder of uploads cannot be scanned: %s", error, exc_info=error)

    async def _settle(self) -> None:
        """Finish the uploads whose content another server, or an earlier upload, has finished indexing."""
        waiting = [(upload, video_id, self._folder / f"{video_id}{PENDING}") for upload, video_id in self._elsewhere]
        gone = {video_id for _, video_id, pending in waiting if not pending.exists()}  # before the library is read
        known = await to_thread.run_sync(self._library)
        for upload, video_id, _ in waiting:
            if video_id in known:
                upload.video, upload.state = video_id, "added"
            elif video_id in gone:
                upload.detail, upload.state = ELSEWHERE, "failed"
            else:
                continue
            self._elsewhere.remove((upload, video_id))
            self._count(upload.state)

    def _remember(self, upload: Upload) -> None:
        self._told[upload.id] = upload
        while len(self._told) > MAX_TOLD:
            self._told.popitem(last=False)

    async def _work(self) -> None:
        while True:
            upload, path, pending = await self._queue.get()
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
            self._done(pending)
            upload.state = state  # last: it says that all the rest is done
            self._count(state)
            self._ended.set()

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


def _write(note: Path, name: str, file: str) -> None:
    with atomic_path(note) as temporary:
        temporary.write_text(json.dumps({"name": name, "file": file, MARKED: True}), encoding="utf-8")


def _is_unmarked(note: Path) -> bool:
    """True if a server of an earlier version wrote a note, which does not tell whether its video is pending."""
    try:
        return MARKED not in json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _read(note: Path) -> tuple[str, Path | None]:
    """A video's name, and its file where it is there."""
    try:
        about = json.loads(note.read_text(encoding="utf-8"))
        name, file = str(about["name"]), note.with_name(Path(about["file"]).name)
    except (OSError, ValueError, KeyError, TypeError):
        return note.stem, None
    return name, file if file.is_file() else None
