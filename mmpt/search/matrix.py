"""All windows of a library as one matrix that is searched exactly, and follows the library.

The vectors lie in a file that is mapped into memory, so that they are shared by all processes and are no memory of
their own. What came into the library since the file was written is read from the store into a tail; what left it is
passed over. A file is written anew when the tail or what is passed over has grown large.
"""

import logging
import os
import threading
from collections.abc import Collection, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from mmpt.search import matrix_file
from mmpt.search.matrix_codes import IndexFile
from mmpt.search.matrix_file import Block, Key, join
from mmpt.search.matrix_scores import Hits
from mmpt.search.matrix_snapshot import SAMPLE, Snapshot
from mmpt.search.records import VideoRecord
from mmpt.search.store import Store
from mmpt.utils.files import cache_dir

FILE, INDEX = "windows.bin", "codes.faiss"
TAIL = 4096  # rows that may be lacking in the file, or be there in vain; more in a large library
LARGEST_TAIL = 65536  # rows

logger = logging.getLogger(__name__)


class WindowMatrix:
    """The windows of a library that may change: searches the state of the last `refresh`. Made by `open`.

    Several threads may use one. A search and the look at `ids`, `video`, `start` and `end` after it belong to one state
    only where they are done on one `snapshot`.

    Args:
        store: of the library.
        path: of the file that is mapped into memory.
    """

    def __init__(self, store: Store, path: Path) -> None:
        self.path = path
        self._store = store
        self._lock = threading.Lock()
        self._seen: int | None = None  # version of the store
        self._file: Block | None = None
        self._index: IndexFile | None = None
        self._index_seen: tuple[int, int] | None = None  # state of its file
        self._tail = join([], store.dim)
        self._now = Snapshot([self._tail], set())

    @classmethod
    def open(cls, store: Store, folder: str | os.PathLike[str]) -> "WindowMatrix":
        """Open the matrix of a library, as the library is now.

        Args:
            store: of the library.
            folder: for the file; where nothing can be written there, as on a read-only disk, a folder in the user's
                cache takes its place.

        Returns:
            The matrix.

        Raises:
            OSError: the file cannot be written.
        """
        matrix = cls(store, _writable(Path(folder), str(store.folder or store.address)) / FILE)
        matrix.refresh()
        return matrix

    def snapshot(self) -> Snapshot:
        """Give the state of the last `refresh`, which stays as it is."""
        return self._now

    def refresh(self) -> bool:
        """Follow the library; costs next to nothing where it has not changed.

        Returns:
            Whether the library, or its approximate index, has changed.

        Raises:
            OSError: the file cannot be written.
        """
        with self._lock:
            version, index = self._store.version(), _state(self.index_path)
            if version == self._seen and index == self._index_seen:
                return False
            if index != self._index_seen:
                self._index = None if index is None else IndexFile(self.index_path, self._store.about)
                self._index_seen = index
            self._follow(self._store.videos())
            self._seen = version
            return True

    @property
    def about(self) -> dict[str, Any]:
        """What the library is, as its store says."""
        return self._store.about

    @property
    def index_path(self) -> Path:
        """Path of the approximate index."""
        return self.path.with_name(INDEX)

    def __len__(self) -> int:
        """How many windows are searched."""
        return len(self._now)

    @property
    def ids(self) -> list[str]:
        """The videos' ids."""
        return self._now.ids

    @property
    def video(self) -> np.ndarray:
        """int32 (N,), each row's video, an index into `ids`; -1 for a row that left the library."""
        return self._now.video

    @property
    def start(self) -> np.ndarray:
        """int32 (N,), each row's first second."""
        return self._now.start

    @property
    def end(self) -> np.ndarray:
        """int32 (N,), the second after each row's last."""
        return self._now.end

    def search(
        self, queries: np.ndarray, count: int, ids: Collection[str] | None = None, *, approximate: bool = False
    ) -> Hits:
        """Search the present snapshot: see `Snapshot.search`."""
        return self._now.search(queries, count, ids, approximate=approximate)

    def sample(self, queries: np.ndarray, count: int = SAMPLE) -> np.ndarray:
        """Sample the present snapshot: see `Snapshot.sample`."""
        return self._now.sample(queries, count)

    def _follow(self, records: dict[str, VideoRecord]) -> None:
        live = {Key(record.id, record.added, record.windows): None for record in records.values()}
        if self._is_far_from(live):
            self._file = matrix_file.read(self.path, self._store.about)  # another process may have written it
        if self._is_far_from(live):
            matrix_file.write(self.path, self._store.about, self._all_of(live))
            self._file = matrix_file.read(self.path, self._store.about)
        kept = set(self._file.keys) if self._file is not None else set()
        parts = [part for part in self._tail.parts() if part[0] in live and part[0] not in kept]
        lacking = live.keys() - kept - {part[0] for part in parts}
        parts += self._read(lacking)
        self._tail = join(parts, self._store.dim)
        blocks = [self._file, self._tail] if self._file is not None else [self._tail]
        self._now = Snapshot(blocks, live, self._index)

    def _is_far_from(self, live: Collection[Key]) -> bool:
        """Whether the file lacks many of these windows, or has many others; then a new one pays."""
        kept = set(self._file.keys) if self._file is not None else set()
        lacking = sum(key.windows for key in live if key not in kept)
        vain = sum(key.windows for key in kept if key not in live)
        total = sum(key.windows for key in live)
        return lacking > min(max(TAIL, total // 8), LARGEST_TAIL) or vain > max(TAIL, total // 4)

    def _all_of(self, live: Collection[Key]) -> Iterator[tuple[Key, np.ndarray, np.ndarray]]:
        """Give what is at hand of these videos, then the others from the store."""
        given: set[Key] = set()
        for block in (self._file, self._tail):
            for part in block.parts() if block is not None else ():
                if part[0] in live and part[0] not in given:
                    given.add(part[0])
                    yield part
        yield from self._read({key for key in live if key not in given})

    def _read(self, keys: Collection[Key]) -> Iterator[tuple[Key, np.ndarray, np.ndarray]]:
        """Read videos from the store; one that another process has changed meanwhile comes with the next refresh."""
        wanted = {key.id: key for key in keys}
        if not wanted:
            return
        for video_id, windows, vectors in self._store.vectors(wanted.keys()):
            if len(windows) == wanted[video_id].windows:
                yield wanted[video_id], windows, vectors


def _writable(folder: Path, address: str) -> Path:
    """The folder, or one in the user's cache where nothing can be written into it."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    if os.access(there, os.W_OK):
        return folder
    name = blake2b(address.encode(), digest_size=8).hexdigest()
    logger.info("%s cannot be written to; the matrix lies in the user's cache", folder)
    return cache_dir() / "libraries" / name / "matrix"


def _state(path: Path) -> tuple[int, int] | None:
    """What tells one state of a file from another; None where there is none."""
    try:
        about = path.stat()
    except FileNotFoundError:
        return None
    return about.st_ino, about.st_mtime_ns
