"""The approximate index of a library: short codes of its windows, and whose they are.

The codes stand in an order of their own, video by video, so that an index still fits when the file of vectors is
written anew. The file begins with the codes, as FAISS writes them; then comes a JSON text, and at the end its length.
"""

import logging
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmpt.retrieval.faiss_codes import Codes
from mmpt.search.matrix_file import Key, ending, read_ending
from mmpt.utils.files import atomic_path

MAGIC = b"mmptcod1"

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class CodedWindows:
    """An approximate index.

    Attributes:
        keys: the videos, in the order of their codes.
        codes: one for each window.
        candidates: how many windows a search looks at with all their digits.
    """

    keys: list[Key]
    codes: Codes
    candidates: int


class CodeRows:
    """Which rows of a matrix the codes belong to.

    Args:
        coded: the index.
        keys: the matrix's videos, in the order of their rows; those that left the library stand for nothing.
        live: the videos that the library has.
    """

    def __init__(self, coded: CodedWindows, keys: Iterable[Key], live: set[Key]) -> None:
        self.coded = coded
        firsts: dict[Key, int] = {}
        end = 0
        for key in keys:
            if key in live:
                firsts[key] = end
            end += key.windows
        sizes = [key.windows for key in coded.keys]
        starts = np.array([firsts.get(key, -1) for key in coded.keys], np.int64)
        numbers = np.arange(sum(sizes)) - np.repeat(np.cumsum([0, *sizes])[:-1], sizes)
        start = np.repeat(starts, sizes)
        self._row = np.where(start < 0, -1, start + numbers)
        known = set(coded.keys)
        spans = [np.arange(first, first + key.windows) for key, first in firsts.items() if key not in known]
        self.rest = np.concatenate([np.zeros(0, np.int64), *spans])  # rows without a code

    def nearest(self, query: np.ndarray, count: int) -> np.ndarray:
        """Give the rows whose codes promise most.

        Args:
            query: float32 (D,).
            count: how many codes to take at most.

        Returns:
            int64, in no order; fewer than `count` where codes belong to windows that left, or are all alike.
        """
        found = self.coded.codes.search(query[None], min(count, len(self._row)))[0]
        rows = self._row[found[found >= 0]]
        return rows[rows >= 0]


class IndexFile:
    """The file of an index, which is read when it is first asked for.

    Args:
        path: of the file.
        about: of the library.
    """

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path, self.about = path, about
        self._lock = threading.Lock()
        self._read = False
        self._coded: CodedWindows | None = None

    def get(self) -> CodedWindows | None:
        """Give the index; None where there is none, or it is damaged or another library's."""
        with self._lock:
            if not self._read:
                self._coded, self._read = load(self.path, self.about), True
            return self._coded


def save(path: Path, about: dict[str, Any], coded: CodedWindows) -> None:
    """Write an index, as a whole or not at all.

    Args:
        path: of the file.
        about: of the library.
        coded: the index.
    """
    told = {"about": about, "candidates": coded.candidates, "videos": coded.keys}
    with atomic_path(path) as temporary:
        coded.codes.write(temporary)
        with temporary.open("ab") as file:
            file.write(ending(told, MAGIC))


def load(path: Path, about: dict[str, Any]) -> CodedWindows | None:
    """Read an index.

    Args:
        path: of the file.
        about: of the library.

    Returns:
        The index; None where there is none, or it is damaged or another library's.

    Raises:
        ModuleNotFoundError: FAISS is not installed.
    """
    try:
        with path.open("rb") as file:
            text, _ = read_ending(file, MAGIC, about)
        keys = [Key(*key) for key in text["videos"]]
        codes = Codes.read(path)
        if len(codes) != sum(key.windows for key in keys) or codes.dim != about["dim"]:
            raise ValueError("its parts do not fit each other")
        return CodedWindows(keys, codes, int(text["candidates"]))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, OSError) as error:
        logger.warning("the approximate index %s cannot be used (%s); make it again: mmpt index optimize", path, error)
        return None
