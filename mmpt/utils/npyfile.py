"""The arrays of a .npy file, read or memory-mapped, where the file holds all that its header announces."""

import functools
import io
import math
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

_PREFIX = 10  # bytes: magic, version and the header's length, in version 1.0


class Header(NamedTuple):
    """What a .npy header says.

    Attributes:
        shape: of the array.
        fortran: columns first.
        dtype: of its numbers.
        start: byte, from the header's first one on, where the numbers begin.
    """

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int

    @property
    def size(self) -> int:
        """Bytes of the numbers."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_header(file: BinaryIO) -> Header:
    """Read a header; the file stands at the array's first byte afterwards.

    Args:
        file: positioned at the header.

    Returns:
        What it says.

    Raises:
        ValueError: it is no .npy header, or announces Python objects, which are never unpickled.
    """
    begin = file.read(_PREFIX)
    if begin[:8] == b"\x93NUMPY\x01\x00" and len(begin) == _PREFIX:
        begin += file.read(int.from_bytes(begin[8:], "little"))
        return _parse(begin)
    return _parse_any(file, begin)


@functools.lru_cache(maxsize=4096)  # many videos have the same length, and numpy takes 50 us to parse one
def _parse(raw: bytes) -> Header:
    return _parse_any(io.BytesIO(raw), b"")


def _parse_any(file: BinaryIO, begin: bytes) -> Header:
    if begin:
        file.seek(-len(begin), io.SEEK_CUR)
    where = file.tell()
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"its format is {version}, and (1, 0) or (2, 0) is expected")
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    return Header(shape, fortran, dtype, file.tell() - where)


def read_array(file: BinaryIO, header: Header) -> np.ndarray:
    """Read the numbers.

    Args:
        file: positioned behind the header.
        header: what it said.

    Returns:
        An array of one's own.

    Raises:
        ValueError: the file ends before the numbers do.
    """
    flat = np.empty(math.prod(header.shape), header.dtype)
    got = file.readinto(flat.view(np.uint8)) if flat.size else 0  # pyright: ignore[reportAttributeAccessIssue]
    if got != header.size:
        raise ValueError(f"it holds {got:,} bytes of the {header.size:,} that it announces")
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


def open_array(path: Path, *, mmap: bool) -> np.ndarray:
    """Open a .npy file that holds one array and nothing else.

    Args:
        path: the file.
        mmap: map it into memory, read-only, instead of reading it.

    Returns:
        The array; a plain ndarray also where it is a map, because a memmap is slower to cut.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a .npy file, or longer or shorter than its header says.
    """
    with path.open("rb") as file:
        try:
            header = read_header(file)
        except (ValueError, EOFError) as error:
            raise ValueError(f"{path} is not a numpy file ({error})") from error
        got, announced = path.stat().st_size, header.start + header.size
        if got != announced:
            what = "cut off" if got < announced else "longer than it should be"
            raise ValueError(f"{path} is {what}: it has {got:,} bytes, and its header announces {announced:,}")
        if not mmap or not header.size:
            return read_array(file, header)
        order = "F" if header.fortran else "C"
        mapped = np.memmap(file, header.dtype, "r", offset=header.start, shape=header.shape, order=order)
        return mapped.view(np.ndarray)


def raw_bytes(array: np.ndarray) -> memoryview:
    """Give the bytes of an array, without a copy where it lies in one piece, row after row.

    Args:
        array: of any dtype and shape.

    Returns:
        uint8 (bytes,).
    """
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def header_bytes(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    """Make the header that numpy.save writes.

    Args:
        shape: of the array.
        dtype: of its numbers.

    Returns:
        The bytes before the numbers. Their count does not depend on the first dimension: numpy leaves room for growth.
    """
    made = io.BytesIO()
    about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(made, about)
    return made.getvalue()
