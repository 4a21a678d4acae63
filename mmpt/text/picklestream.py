"""Pickles of a dict that is larger than memory: written entry by entry, and read so where the values are texts.

Reading runs nothing: only the few instructions that such a dict is made of are known. Any other pickle is
`mmpt.utils.safepickle`'s matter.
"""

import io
import pickle
import struct
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

BATCH = 1000  # entries between two SETITEMS
HEAD = b"\x80\x03}"  # PROTO 3 (every Python 3 reads it, and it has no frames), EMPTY_DICT
MARK, SET_ITEMS, STOP = b"(", b"u", b"."
TEXT_LENGTHS = {0x58: 4, 0x8C: 1, 0x8D: 8}  # BINUNICODE, SHORT_BINUNICODE, BINUNICODE8 -> bytes of the length
# instruction -> bytes of its argument, for those that change nothing in such a dict:
# PROTO, FRAME, MARK, MEMOIZE, BINPUT, LONG_BINPUT
SKIPPED = {0x80: 1, 0x95: 8, 0x28: 0, 0x94: 0, 0x71: 1, 0x72: 4}
EMPTY_DICT, SETITEM, SETITEMS, END = 0x7D, 0x73, 0x75, 0x2E


class PickleWriter:
    """Writes a dict, entry by entry, in constant memory.

    Args:
        file: open for writing bytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._count = 0

    def __enter__(self) -> "PickleWriter":
        self._file.write(HEAD)
        return self

    def add(self, key: str, value: Any) -> None:
        """Write the next entry.

        Args:
            key: not yet in the dict.
            value: builtins.
        """
        if self._count % BATCH == 0:
            self._file.write(SET_ITEMS + MARK if self._count else MARK)
        self._file.write(_dumped(key) + _dumped(value))
        self._count += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._file.write(SET_ITEMS + STOP if self._count else STOP)


class StringDict:
    """A pickled dict of texts, of which only the keys are in memory.

    Args:
        path: the file.
        places: key -> (place of its value in the file, bytes).
    """

    def __init__(self, path: Path, places: dict[str, tuple[int, int]]) -> None:
        self._places = places
        self._file = path.open("rb")

    @classmethod
    def scan(cls, path: Path) -> "StringDict | None":
        """Look where a file's values are.

        Args:
            path: the file.

        Returns:
            The dict; None when the file is another kind of pickle, or none.
        """
        with path.open("rb") as file:
            places = _places(file)
        return None if places is None else cls(path, places)

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def __getitem__(self, key: str) -> str:
        place, length = self._places[key]
        self._file.seek(place)
        return self._file.read(length).decode("utf-8", "surrogatepass")

    def __enter__(self) -> "StringDict":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _dumped(value: Any) -> bytes:
    """Write a value's instructions, without a pickle's beginning and end."""
    if isinstance(value, str):
        encoded = value.encode("utf-8", "surrogatepass")
        return b"X" + struct.pack("<I", len(encoded)) + encoded
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=3)
    pickler.fast = True  # no references to earlier values, which would count from the file's beginning
    pickler.dump(value)
    return buffer.getvalue()[2:-1]


def _places(file: BinaryIO) -> dict[str, tuple[int, int]] | None:
    found: dict[str, tuple[int, int]] = {}
    key: str | None = None
    begun = False
    while code := file.read(1):
        instruction = code[0]
        if instruction in TEXT_LENGTHS and begun:
            length = int.from_bytes(file.read(TEXT_LENGTHS[instruction]), "little")
            if key is None:
                key = file.read(length).decode("utf-8", "surrogatepass")
            else:
                found[key] = (file.tell(), length)
                file.seek(length, io.SEEK_CUR)
                key = None
        elif instruction in SKIPPED:
            file.seek(SKIPPED[instruction], io.SEEK_CUR)
        elif instruction == EMPTY_DICT and not begun:
            begun = True
        elif instruction in (SETITEM, SETITEMS) and key is None:
            continue
        elif instruction == END and begun and key is None:
            return found
        else:
            return None
    return None
