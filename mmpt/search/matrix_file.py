"""The file of a library's vectors that is mapped into memory: a copy of what the store holds, made again at any time.

It begins with the vectors, float16 (N, D), row after row; then come the windows, int32 (N, 2), and a JSON text that
says whose they are; its last bytes say how long the text is, so that a file that was cut off is known as such.
"""

import json
import logging
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from mmpt.search.store_tables import NUMBERS, WINDOWS
from mmpt.utils.files import atomic_path

MAGIC = b"mmptwin1"
END = struct.Struct("<Q8s")  # length of the text, MAGIC
BLOCK = 4096  # rows that are measured at a time

logger = logging.getLogger(__name__)


class Key(NamedTuple):
    """What a video's vectors are known by: an id that was taken out and came again counts as another video.

    Attributes:
        id: of the video.
        added: when it came into the library.
        windows: how many it has.
    """

    id: str
    added: float
    windows: int


@dataclass(frozen=True, eq=False)
class Block:
    """The windows of some videos.

    Attributes:
        keys: the videos, in the order of their rows.
        windows: int32 (N, 2), first second and the second after the last.
        vectors: float16 (N, D), in memory or mapped into it.
        longest: no vector is longer than this.
    """

    keys: list[Key]
    windows: np.ndarray
    vectors: np.ndarray
    longest: float

    @property
    def counts(self) -> list[int]:
        """How many windows each video has."""
        return [key.windows for key in self.keys]

    def parts(self) -> Iterator[tuple[Key, np.ndarray, np.ndarray]]:
        """Give each video with its windows and vectors, which are views."""
        ends = np.cumsum(self.counts, dtype=np.int64)
        for key, end in zip(self.keys, ends, strict=True):
            yield key, self.windows[end - key.windows : end], self.vectors[end - key.windows : end]


def join(parts: Iterable[tuple[Key, np.ndarray, np.ndarray]], dim: int) -> Block:
    """Make a block in memory of videos.

    Args:
        parts: each video's key, windows and vectors.
        dim: width of the vectors.

    Returns:
        The block; empty without videos.
    """
    listed = list(parts)
    windows = np.concatenate([np.zeros((0, 2), np.int32), *(part[1] for part in listed)])
    vectors = np.concatenate([np.zeros((0, dim), np.float16), *(part[2] for part in listed)])
    return Block([part[0] for part in listed], windows, vectors, longest_of(vectors))


def longest_of(vectors: np.ndarray) -> float:
    """Bound the lengths of vectors.

    Args:
        vectors: float16 (N, D).

    Returns:
        The length of the longest, or a hair more; 0 where there are none.
    """
    longest = 0.0
    for start in range(0, len(vectors), BLOCK):
        part = vectors[start : start + BLOCK].astype(np.float32)
        longest = max(longest, float(np.sqrt(np.einsum("nd,nd->n", part, part, dtype=np.float32).max())))
    return longest * 1.001  # more than what float32 can have lost of it


def write(path: Path, about: dict[str, Any], parts: Iterable[tuple[Key, np.ndarray, np.ndarray]]) -> None:
    """Write the file, at once for those who look for it; whoever has mapped the one before keeps that.

    Args:
        path: of the file.
        about: of the library.
        parts: each video's key, windows and vectors; only one at a time is held in memory.
    """
    keys: list[Key] = []
    windows: list[np.ndarray] = []
    longest = 0.0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for key, places, vectors in parts:
            file.write(vectors.astype(NUMBERS, copy=False).tobytes())
            keys.append(key)
            windows.append(places.astype(WINDOWS))
            longest = max(longest, longest_of(vectors))
        file.write(b"".join(part.tobytes() for part in windows))
        file.write(ending({"about": about, "longest": longest, "videos": keys}, MAGIC))


def ending(told: dict[str, Any], magic: bytes) -> bytes:
    """Write what a file holds as its last bytes.

    Args:
        told: `about`, the library's, `videos`, and what else there is to say.
        magic: 8 bytes that say which kind of file it is.

    Returns:
        A JSON text, its length, and those bytes.
    """
    text = json.dumps(told).encode()
    return text + END.pack(len(text), magic)


def read_ending(file: BinaryIO, magic: bytes, about: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Read what a file says of itself.

    Args:
        file: open for reading.
        magic: of this kind of file.
        about: of the library.

    Returns:
        What `ending` was told, and how many bytes come before it.

    Raises:
        ValueError: the file is cut off, of another kind, or another library's.
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - END.size))
    tail = file.read()
    length, found = END.unpack(tail) if len(tail) == END.size else (0, b"")
    if found != magic:
        raise ValueError("it is cut off, or another kind of file")
    begin = size - END.size - length
    file.seek(begin)
    told = json.loads(file.read(length))
    if told["about"] != about:
        raise ValueError("it is of another library")
    return told, begin


def read(path: Path, about: dict[str, Any]) -> Block | None:
    """Map the file into memory.

    Args:
        path: of the file.
        about: of the library.

    Returns:
        What it holds; None where there is no file, or it is damaged or another library's.
    """
    try:
        with path.open("rb") as file:
            return _read(file, about)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError) as error:
        logger.info("%s is made again: %s", path, error)
        return None


def _read(file: BinaryIO, about: dict[str, Any]) -> Block:
    text, held = read_ending(file, MAGIC, about)
    keys = [Key(*key) for key in text["videos"]]
    count, dim = sum(key.windows for key in keys), int(about["dim"])
    split = count * dim * NUMBERS.itemsize
    if split + count * 2 * WINDOWS.itemsize != held:
        raise ValueError("its size is not what it says")
    file.seek(split)
    windows = np.frombuffer(file.read(count * 2 * WINDOWS.itemsize), WINDOWS).astype(np.int32).reshape(-1, 2)
    # "c": nothing is written, but torch warns of arrays that it could not write into
    vectors = np.memmap(file, NUMBERS, "c", shape=(count, dim)) if split else np.zeros((0, dim), np.float16)
    return Block(keys, windows, vectors.view(np.ndarray), float(text["longest"]))
