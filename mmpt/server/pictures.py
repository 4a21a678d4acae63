"""Thumbnails, made by a few processes of their own and kept for a while."""

import asyncio
import contextlib
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections import OrderedDict
from pathlib import Path

from mmpt.server.limits import Gate
from mmpt.server.picture_worker import READY

START_SECONDS = 60.0  # that a process may take to begin, on a busy machine
SECONDS = 10.0  # that a picture may take; a healthy file takes a hundredth of it
KEPT = 64 << 20  # bytes of pictures in memory
WAITING = 64  # pictures that may be waited for; a page shows a few dozen
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")  # more take memory and gain nothing
PATIENCE = 20.0  # seconds that a request waits for its turn


class PictureError(ValueError):
    """A picture that cannot be made; says why."""


class Pictures:
    """Makes thumbnails.

    Args:
        processes: how many work at a time.
        seconds: that one picture may take.
    """

    def __init__(self, *, processes: int, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._gate = Gate("thumbnails", running=processes, waiting=WAITING, patience=PATIENCE)
        self._idle: list[Process] = []
        self._kept: OrderedDict[tuple[str, str, float, int], bytes] = OrderedDict()
        self._size = 0

    async def get(self, video: str, path: str, stamp: str, second: float, width: int) -> bytes:
        """Give a picture.

        Args:
            video: id of the video.
            path: its file.
            stamp: of the file (mmpt.utils.content.file_stamp) when it was known to be the video's.
            second: of the frame.
            width: in pixels.

        Returns:
            A JPEG file.

        Raises:
            PictureError: the frame cannot be read, takes too long, or the path now holds another file.
            BusyError: too many are asked for.
        """
        key = (video, path, second, width)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        async with self._gate.slot():
            if key not in self._kept:
                self._keep(key, await self._make([path, stamp, second, width]))
        return self._kept[key]

    async def close(self) -> None:
        """End the processes."""
        while self._idle:
            await _end(self._idle.pop())

    def _keep(self, key: tuple[str, str, float, int], picture: bytes) -> None:
        self._kept[key] = picture
        self._size += len(picture)
        while self._size > KEPT and len(self._kept) > 1:
            self._size -= len(self._kept.popitem(last=False)[1])

    async def _make(self, order: list) -> bytes:
        try:
            process = self._idle.pop() if self._idle else await _start()
        except TimeoutError:
            raise PictureError("the process that reads videos does not start") from None
        try:
            answer = await asyncio.wait_for(_ask(process, order), self._seconds)
        except TimeoutError:
            await _end(process)
            raise PictureError(f"the picture took more than {self._seconds:g} s, and was given up") from None
        except (OSError, asyncio.IncompleteReadError, ValueError):
            await _end(process)
            raise PictureError("the process that reads the video ended; the file may be damaged") from None
        except BaseException:  # the client went away in the middle of an answer, which nobody could tell from the next
            await _end(process)
            raise
        self._idle.append(process)
        if isinstance(answer, str):
            raise PictureError(answer)
        return answer


async def _start() -> Process:
    environment = package_environment() | dict.fromkeys(ONE_THREAD, "1")
    words = (sys.executable, "-m", "mmpt.server.picture_worker", str(os.getpid()))
    process = await asyncio.create_subprocess_exec(
        *words, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment, start_new_session=True
    )
    assert process.stdout is not None
    try:
        ready = await asyncio.wait_for(process.stdout.readline(), START_SECONDS)
    except BaseException:
        await _end(process)
        raise
    if ready != READY:
        await _end(process)
        raise PictureError("the process that reads videos does not start")
    return process


def package_environment() -> dict[str, str]:
    """Give the environment in which a child process finds this package where this process did, without the token."""
    root = str(Path(__file__).resolve().parents[2])
    kept = {name: value for name, value in os.environ.items() if name != "MMPT_TOKEN"}
    return kept | {"PYTHONPATH": os.pathsep.join(filter(None, [root, kept.get("PYTHONPATH")]))}


async def _ask(process: Process, order: list) -> bytes | str:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(json.dumps(order).encode() + b"\n")
    await process.stdin.drain()
    line = (await process.stdout.readline()).decode()
    if line.startswith("!"):
        return line[1:].strip()
    return await process.stdout.readexactly(int(line))


async def _end(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
