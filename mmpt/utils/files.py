"""Files that are either whole or absent, and content hashes that name them."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

HASH_BLOCK = 1 << 20  # bytes read at a time


@contextlib.contextmanager
def atomic_path(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside `target` that takes its place when the block ends well.

    Args:
        target: the file to write; its folder is made when absent.

    Yields:
        A path in the same folder, with the same suffix. After an exception it is removed and `target` is untouched.
    """
    target = Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.stem}.", suffix=target.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # mkstemp makes private files; the result is an ordinary one
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def content_hash(path: str | os.PathLike[str]) -> str:
    """Hash a file's bytes.

    Args:
        path: the file.

    Returns:
        Its SHA-256 as 64 hexadecimal digits; the same for a renamed or copied file.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(HASH_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def cache_dir() -> Path:
    """Give the folder for what can be computed again: $MMPT_CACHE, or mmpt/ in the user's cache folder.

    Returns:
        The path; the folder may not exist yet.
    """
    if chosen := os.environ.get("MMPT_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "mmpt"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
