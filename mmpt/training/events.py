"""TensorBoard's event files, written without TensorBoard: numbers by name and step.

A file is a sequence of records (TFRecord: length, its checksum, bytes, their checksum), each a protocol buffer of the
message Event: 1 wall time (double), 2 step (int64), 3 file version (string), 5 summary, 7 session; a summary holds
values (1) of 1 tag (string) and 2 simple value (float). A session that starts (1 status, 1 for start) takes back what
older files tell from its step on.
"""

import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path

VERSION = b"brain.Event:2"
STARTS = b"\x08\x01"
POLYNOMIAL = 0x82F63B78  # CRC-32C, bits reversed
MASK = 0xA282EAD8  # added to a checksum that is stored beside what it is of


class EventFile:
    """Writes one file of a run.

    Args:
        folder: where TensorBoard looks; made at the first number.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = None
        self._first: int | None = None  # step from which older files count no more

    def rewind(self, updates: int) -> None:
        """Take back what older files tell of later steps.

        Args:
            updates: how many are done; all is taken back where none is.
        """
        if any(self._folder.glob("events.out.tfevents.*")):
            self._first = updates + 1 if updates else 0

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Write numbers.

        Args:
            values: name -> number.
            step: after how many updates.
        """
        if self._file is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            name = f"events.out.tfevents.{time.time_ns() // 10**9}.{socket.gethostname()}.{os.getpid()}"
            self._file = (self._folder / name).open("ab")
            self._write(_bytes(3, VERSION), self._first or 0)
            if self._first is not None:
                self._write(_bytes(7, STARTS), self._first)
        entries = b"".join(
            _bytes(1, _bytes(1, name.encode()) + b"\x15" + struct.pack("<f", value)) for name, value in values.items()
        )
        self._write(_bytes(5, entries), step)

    def _write(self, content: bytes, step: int) -> None:
        assert self._file is not None
        event = b"\x09" + struct.pack("<d", time.time()) + b"\x10" + _varint(step) + content
        length = struct.pack("<Q", len(event))
        self._file.write(length + _checksum(length) + event + _checksum(event))
        self._file.flush()

    def close(self) -> None:
        """End the file."""
        if self._file is not None:
            self._file.close()


def _bytes(field: int, content: bytes) -> bytes:
    """A field that holds bytes."""
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return table


TABLE = _table()


def _checksum(content: bytes) -> bytes:
    value = 0xFFFFFFFF
    for byte in content:
        value = TABLE[(value ^ byte) & 0xFF] ^ value >> 8
    value ^= 0xFFFFFFFF
    return struct.pack("<I", ((value >> 15 | value << 17) + MASK) & 0xFFFFFFFF)
