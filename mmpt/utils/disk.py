"""The disk: told when it is full, and kept busy while more is made for it."""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # no space, no quota, larger than the file system's files
SYNC_EVERY = 1 << 26  # bytes after which the disk is asked to take what was written


class DiskFullError(OSError):
    """There is no room for what was to be written."""


@contextlib.contextmanager
def disk_full_told(
    target: str | os.PathLike[str], hint: str = "make room, then give the same command again"
) -> Iterator[None]:
    """Say which disk is full when a write in the block fails for want of room.

    Args:
        target: what is written.
        hint: what the user can do.

    Raises:
        DiskFullError: in the place of the system's error.
    """
    try:
        yield
    except DiskFullError:
        raise
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise DiskFullError(
            f"no room for {target} ({error.strerror}): {_free(Path(target))}; nothing half-written is left; {hint}"
        ) from error


def _free(target: Path) -> str:
    folder = next((parent for parent in target.absolute().parents if parent.is_dir()), Path("/"))
    try:
        return f"the disk of {folder} has {shutil.disk_usage(folder).free:,} bytes free"
    except OSError:
        return f"the disk of {folder} is full"


class SteadySync:
    """Lets the disk take what was written while more is made, so that the time of both does not add up.

    Args:
        file: the open file; the block ends before it is closed.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._pool = ThreadPoolExecutor(1)
        self._going: Future[None] | None = None
        self._waiting = 0

    def __enter__(self) -> "SteadySync":
        return self

    def wrote(self, count: int) -> None:
        """Say that bytes were written. Waits where the disk is two portions behind, so that memory stays bounded."""
        self._waiting += count
        if self._waiting < SYNC_EVERY:
            return
        self._file.flush()
        if self._going is not None:
            self._going.result()
        self._going = self._pool.submit(os.fsync, self._file.fileno())
        self._waiting = 0

    def __exit__(self, kind: type[BaseException] | None, *_: Any) -> None:
        self._pool.shutdown(wait=True)
        if kind is None and self._going is not None:
            self._going.result()
