"""Files that are either whole or absent, and content hashes that name them."""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

HASH_BLOCK = 1 << 20  # bytes read at a time


def check_writable(target: Path, what: str) -> None:
    """Refuse, before any work, a file that could not be written after it. Nothing is made.

    Args:
        target: the file to write.
        what: what it is, in words.

    Raises:
        ValueError: it is a folder, or lies where this user can write no file.
    """
    if target.is_dir():
        raise ValueError(f"{target} is a folder; name a file for {what}")
    folder = next(parent for parent in target.absolute().parents if parent.exists())  # what is missing is made
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        why = "you may not write there" if folder.is_dir() else "that is no folder"
        raise ValueError(f"{target} cannot be written: {why} ({folder}); name another place for {what}")


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
    stem = target.stem.encode("utf-8", "replace")[:100].decode("utf-8", "ignore")  # a name takes 255 bytes, not letters
    temporary = target.with_name(f".{stem}.{uuid4().hex[:12]}{target.suffix}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # an ordinary file, as the umask says
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def content_hash(path: str | os.PathLike[str] | int) -> str:
    """Hash a file's bytes.

    Args:
        path: the file, or the descriptor of an open one, whose position is moved.

    Returns:
        Its SHA-256 as 64 hexadecimal digits; the same for a renamed or copied file.
    """
    digest = hashlib.sha256()
    with open(path, "rb", closefd=not isinstance(path, int)) as file:
        file.seek(0)
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
