"""Content hashes that are remembered, so that a large file is read for its hash only once."""

import contextlib
import errno
import hashlib
import json
import logging
import os
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mmpt.utils.files import atomic_path, cache_dir, content_hash

SETTLED = 2.0  # seconds; a file changed more recently could change again within one tick of its clock, unseen

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FileContent:
    """The content of an open file, and a stamp that shows later, without reading it, that it is unchanged.

    Attributes:
        sha256: of its bytes, 64 hexadecimal digits.
        stamp: as of `file_stamp`; its times are 0, which no later stamp has, where it changed too recently to be sure.
        real_path: where it lies, behind all links.
        modified: when it was last changed, as Unix time in seconds.
    """

    sha256: str
    stamp: str
    real_path: str
    modified: float


def remembered_hash(path: str | os.PathLike[str]) -> str:
    """Hash a file's bytes, or recall the hash when the file has not changed since.

    Args:
        path: the file.

    Returns:
        The same as `content_hash`. Unchanged means: same path, size, inode and times of last change.

    Raises:
        OSError: the file cannot be read.
    """
    with open_at_once(path) as file:
        return read_content(file.fileno(), path).sha256


def open_at_once(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a file, without waiting where it is a pipe that nobody writes into, which `read_content` refuses."""
    wait_for_none = getattr(os, "O_NONBLOCK", 0)
    return open(path, "rb", opener=lambda name, flags: os.open(name, flags | wait_for_none))


def read_content(file: int, path: str | os.PathLike[str]) -> FileContent:
    """Hash an open file, or recall the hash, as `remembered_hash` does for a path.

    Args:
        file: its descriptor, whose position is moved.
        path: by which it was opened.

    Returns:
        What it holds. All of it is said of the open file, whatever lies at the path meanwhile.

    Raises:
        OSError: the file cannot be read, or is not a regular file.
    """
    about, real = os.fstat(file), opened_path(file, path)
    if not stat.S_ISREG(about.st_mode):
        raise OSError(errno.EINVAL, "not an ordinary file", os.fspath(path))
    key = [real, about.st_size, about.st_ino, about.st_mtime_ns, about.st_ctime_ns]  # a device's number may change
    note = cache_dir() / "hashes" / f"{hashlib.sha256(os.fsencode(real)).hexdigest()[:32]}.json"
    known = _read(note)
    settled = time.time() - max(about.st_mtime, about.st_ctime) > SETTLED
    if known.get("stamp") == key and isinstance(known.get("sha256"), str):
        digest = known["sha256"]
    else:
        digest = content_hash(file)
        settled = settled and file_stamp(os.fstat(file)) == file_stamp(about)
        if settled:
            _write(note, {"stamp": key, "sha256": digest})
    return FileContent(digest, file_stamp(about, settled=settled), real, about.st_mtime)


def file_stamp(about: os.stat_result, *, settled: bool = True) -> str:
    """Identify a file and its state: the stamp changes if the file is replaced or written to.

    Args:
        about: the file, as of os.fstat.
        settled: False leaves the times out, so that no later stamp equals this one.

    Returns:
        Device, inode, size, time of last change and of last change to the inode (ns), with colons between.
    """
    times = (about.st_mtime_ns, about.st_ctime_ns) if settled else (0, 0)
    return ":".join(map(str, (about.st_dev, about.st_ino, about.st_size, *times)))


def stamped_size(stamp: str) -> int:
    """The size in bytes that a file had when it was stamped."""
    return int(stamp.split(":")[2])


def opened_path(file: int, path: str | os.PathLike[str]) -> str:
    """The path of an open file, with all links resolved.

    Args:
        file: its descriptor.
        path: by which it was opened.

    Returns:
        The system's own answer, which no exchange of links after the opening can change, where it gives one.
    """
    with contextlib.suppress(OSError):
        if sys.platform == "darwin":
            import fcntl

            return os.fsdecode(fcntl.fcntl(file, fcntl.F_GETPATH, bytes(1024)).rstrip(b"\0"))
        return os.readlink(f"/proc/self/fd/{file}")
    return os.path.realpath(path)


def _read(note: Path) -> dict:
    try:
        known = json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _write(note: Path, content: dict) -> None:
    try:
        with atomic_path(note) as path:
            path.write_text(json.dumps(content), encoding="utf-8")
    except OSError as error:
        logger.info("cannot remember a hash in %s (%s); it is computed again next time", note.parent, error)
