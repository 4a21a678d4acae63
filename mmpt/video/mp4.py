"""The end time of a track in the header of an mp4 or mov file, which libav does not report."""

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

MAX_BOXES = 10_000  # that are looked at on one level; a fragmented file has two for each fragment
UNKNOWN_LENGTH = (0, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF)


def shown_until(path: Path, track: int) -> Fraction | None:
    """Read when a track ends.

    libav gives the sum of the durations in decoding order, which is another number where frames of uneven length are
    reordered.

    Args:
        path: the file.
        track: its id, `av.stream.Stream.id`.

    Returns:
        Seconds of the file's own clock; None where the header does not say it.
    """
    try:
        with path.open("rb") as file:
            return _shown_until(file, path.stat().st_size, track)
    except (OSError, struct.error, ZeroDivisionError):
        return None


def _shown_until(file: BinaryIO, size: int, track: int) -> Fraction | None:
    timescale = 0
    for begin, end in _boxes(file, 0, size, b"moov"):
        for header, _ in _boxes(file, begin, end, b"mvhd"):
            timescale, _ = _fields(file, header, ">II", ">IQ")
        for inner, inner_end in _boxes(file, begin, end, b"trak"):
            for header, _ in _boxes(file, inner, inner_end, b"tkhd"):
                number, length = _fields(file, header, ">I4xI", ">I4xQ")
                if number == track and length not in UNKNOWN_LENGTH:
                    return Fraction(length, timescale)
    return None


def _fields(file: BinaryIO, begin: int, narrow: str, wide: str) -> tuple[int, int]:
    """Read the two numbers after the dates of a header, whose width depends on its version."""
    file.seek(begin)
    version = file.read(4)[:1]
    layout, dates = (wide, 16) if version == b"\1" else (narrow, 8)
    file.seek(begin + 4 + dates)
    first, second = struct.unpack(layout, file.read(struct.calcsize(layout)))
    return first, second


def _boxes(file: BinaryIO, begin: int, end: int, kind: bytes) -> Iterator[tuple[int, int]]:
    """Yield where the contents of the boxes of a kind begin and end."""
    for _ in range(MAX_BOXES):
        if begin + 8 > end:
            return
        file.seek(begin)
        size, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            (size,), head = struct.unpack(">Q", file.read(8)), 16
        size = size or end - begin  # 0: to the end
        if size < head:
            return
        if name == kind:
            yield begin + head, min(begin + size, end)
        begin += size
