"""One writer in a folder at a time."""

import contextlib
import logging
import os
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two writers of one folder are not noticed there
    fcntl = None

NAME = ".lock"
_held: set[int] = set()  # open lock files of this process

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def only_writer(folder: Path, what: str) -> Iterator[None]:
    """See that no other process writes into a folder; where a disk knows no locks, say so and go on.

    Args:
        folder: the folder. While it is locked a file NAME lies in it: a network's disk locks no folders, and only
            files that are open for writing.
        what: is being written, for the message.

    Raises:
        ValueError: another process writes there.
    """
    if fcntl is None:
        yield
        return
    file = _lock(folder / NAME, what)
    _held.add(file)
    try:
        yield
    finally:
        if file in _held:  # and this is not a process that was forked meanwhile
            (folder / NAME).unlink(missing_ok=True)
            _held.remove(file)
            os.close(file)


def _lock(path: Path, what: str) -> int:
    assert fcntl is not None
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(file)
            message = f"another process is writing {what} into {path.parent} right now; wait for its end"
            raise ValueError(message) from error
        except OSError as error:
            logger.warning(
                "cannot lock here: %s (%s); see yourself that only one process writes there", path.parent, error
            )
            return file
        if is_file_at(path, file):
            return file
        os.close(file)  # whoever had it removed it between the two calls


def is_file_at(path: Path, file: int) -> bool:
    """True if a path still leads to an open file, and not to another one or nowhere."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file))
    except FileNotFoundError:
        return False


def _let_go() -> None:
    """A forked process holds no lock: else one that outlives its killed parent would keep the folder locked."""
    while _held:
        os.close(_held.pop())


if fcntl is not None:
    os.register_at_fork(after_in_child=_let_go)
