"""Files that one process at a time may work on; the lock of a killed process is released by itself."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from mmpt.utils.folderlock import is_file_at

try:
    import fcntl
except ImportError:  # Windows: only the age of a file tells whether another process uses it
    fcntl = None

STALE_AGE_S = 600.0  # without a write, after which a file counts as abandoned on a disk without locks


@dataclass(frozen=True)
class UploadClaim:
    """A file that this process has locked.

    Attributes:
        path: the file.
        descriptor: of the open file; it holds the lock.
    """

    path: Path
    descriptor: int

    def release(self) -> None:
        """Unlock the file."""
        os.close(self.descriptor)


def claim(path: Path, *, create: bool = False) -> UploadClaim | None:
    """Lock a file for this process.

    Args:
        path: the file.
        create: make it where it is missing.

    Returns:
        The claim; None if the file is locked already, also by this process, or is missing.
    """
    while True:
        created = False
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            if not create:
                return None
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_CREAT | os.O_EXCL, 0o600)
            except FileExistsError:
                continue
            created = True
        if not _lock(descriptor, created):
            os.close(descriptor)
            return None
        if is_file_at(path, descriptor):
            return UploadClaim(path, descriptor)
        os.close(descriptor)  # whoever had it removed it between the two calls


def _lock(descriptor: int, created: bool) -> bool:
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False
    except OSError:
        pass  # this disk has no locks
    return created or time.time() - os.fstat(descriptor).st_mtime > STALE_AGE_S
