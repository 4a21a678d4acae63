"""One .npy file a video: (seconds, width) float16, followed by what the numbers are.

The published features are plain .npy files. Ours have a second array behind the first, the bytes of a JSON text, as
`numpy.save` called twice on one open file leaves it: `numpy.load(path)`, with or without a memory map, gives the
features alone, and what they are travels with the file. Files without that text are read too.
"""

import json
import os
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmpt.utils.files import atomic_path
from mmpt.utils.npyfile import Header, raw_bytes, read_array, read_header

FORMAT = "mmpt-feature-1"
BUFFER = 1 << 16  # bytes read at a time
_MAGNITUDE, _INFINITY = np.uint16(0x7FFF), 0x7C00  # bits of a float16


@dataclass(frozen=True, eq=False)
class FeatureFile:
    """The features of a video as stored.

    Attributes:
        array: (seconds, width) in the file's dtype, float16 as a rule.
        about: what the numbers are: backbone, version, precision, l2_normalized, source and so on; empty for a file
            that does not say, as the published ones.
    """

    array: np.ndarray
    about: Mapping[str, Any]


def write_features(path: str | os.PathLike[str], array: np.ndarray, about: Mapping[str, Any]) -> None:
    """Write a feature file: whole, or not at all.

    Args:
        path: the file, `<video_id>.npy`.
        array: (seconds, width), finite; stored as float16.
        about: what the numbers are, as JSON takes it.

    Raises:
        ValueError: the array is not two-dimensional, or holds NaN or infinity, also after rounding to float16.
        OSError: it cannot be written; nothing is left.
    """
    with np.errstate(over="ignore"):
        half = np.ascontiguousarray(array, dtype=np.float16)
    _check_shape(half, Path(path), width=None)
    _check_finite(half, Path(path))
    told = {"format": FORMAT, **about, "crc32": zlib.crc32(raw_bytes(half))}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.save(file, half, allow_pickle=False)
        np.save(file, np.frombuffer(json.dumps(told).encode(), np.uint8), allow_pickle=False)


def read_features(
    path: str | os.PathLike[str], *, width: int | None = None, mmap: bool = False, verify: bool = True
) -> FeatureFile:
    """Read a feature file.

    Args:
        path: the file.
        width: columns that it must have; any by default.
        mmap: map the numbers instead of reading them; they are then not checked.
        verify: look for NaN and infinity, and compare with the checksum, where there is one.

    Returns:
        The features, and what they are.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or cut off, has another shape or width, or holds NaN or infinity.
    """
    file = Path(path)
    header, about, array = _read(file, load=not mmap)
    if array is None:
        array = _map(file, header)
    _check_shape(array, file, width)
    if verify and not mmap:
        _check_finite(array, file)
        if "crc32" in about and zlib.crc32(raw_bytes(array)) != about["crc32"]:
            raise ValueError(f"{file} does not match its checksum; extract it again")
    return FeatureFile(array, about)


def read_about(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    """Read what a feature file says of itself, without its numbers.

    Args:
        path: the file.

    Returns:
        As `FeatureFile.about`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or cut off.
    """
    return read_head(path)[1]


def read_head(path: str | os.PathLike[str]) -> tuple[tuple[int, ...], Mapping[str, Any]]:
    """Read what a feature file holds, without its numbers.

    Args:
        path: the file.

    Returns:
        The shape, (seconds, width), and what `read_about` gives.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged or cut off, or no array of features.
    """
    file = Path(path)
    header, about, _ = _read(file, load=False)
    _check_shape(header, file, None)
    return header.shape, about


def _read(file: Path, *, load: bool) -> tuple[Header, Mapping[str, Any], np.ndarray | None]:
    """Read a file's head, its JSON text, and its numbers where they are wanted."""
    try:
        opened = file.open("rb", buffering=BUFFER)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise FileNotFoundError(
            f"there is no feature file {file}; make it with `mmpt extract VIDEO -o {file.parent}`"
        ) from error
    with opened:
        try:
            header = read_header(opened)
            got = os.fstat(opened.fileno()).st_size - header.start
            if got < header.size:
                raise ValueError(f"it holds {got:,} bytes of the {header.size:,} that it announces")
            array = read_array(opened, header) if load else None
            if not load:
                opened.seek(header.size, os.SEEK_CUR)
            about = _about(opened) if got > header.size else {}
        except (ValueError, EOFError) as error:
            raise ValueError(f"{file} is not a whole feature file ({error}); extract it again") from error
    return header, about, array


def _map(file: Path, header: Header) -> np.ndarray:
    if not header.size:
        return np.empty(header.shape, header.dtype)
    order = "F" if header.fortran else "C"
    return np.memmap(file, header.dtype, "r", offset=header.start, shape=header.shape, order=order).view(np.ndarray)


def _about(file: BinaryIO) -> Mapping[str, Any]:
    told = json.loads(read_array(file, read_header(file)).tobytes())
    return told if isinstance(told, dict) else {}


def _check_finite(array: np.ndarray, file: Path) -> None:
    if array.dtype == np.float16:  # ten times as fast as isfinite: the exponent of NaN and infinity is all ones
        whole = not array.size or int((array.view(np.uint16) & _MAGNITUDE).max()) < _INFINITY
    else:
        whole = bool(np.isfinite(array).all())
    if not whole:
        second = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ValueError(f"{file}: the features of second {second} hold NaN or infinity; extract the video again")


def _check_shape(array: np.ndarray | Header, file: Path, width: int | None) -> None:
    if len(array.shape) != 2 or not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"{file} holds {array.dtype} of shape {array.shape}; features are floats of shape (seconds, width)"
        )
    if width is not None and array.shape[1] != width:
        raise ValueError(
            f"{file} has {array.shape[1]} columns, and {width} are expected; it comes from another backbone: extract "
            "the video with the one that the model was trained on, or set model.video_dim"
        )
