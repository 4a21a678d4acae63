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

FORMAT = "mmpt-feature-1"


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
    _check(half, Path(path), width=None)
    told = {"format": FORMAT, **about, "crc32": zlib.crc32(half.tobytes())}
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
    if not file.is_file():
        raise FileNotFoundError(f"there is no feature file {file}; make it with `mmpt extract VIDEO -o {file.parent}`")
    with file.open("rb") as opened:
        try:
            header = _header(opened)
            start = opened.tell()
            size = int(np.prod(header[0])) * header[2].itemsize
            if file.stat().st_size < start + size:
                raise ValueError(f"it holds {file.stat().st_size - start:,} bytes of the {size:,} that it announces")
            opened.seek(start + size)
            about = _about(opened)
            opened.seek(0)
            array = _map(file, header, start) if mmap else np.load(opened, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(f"{file} is not a whole feature file ({error}); extract it again") from error
    if mmap or not verify:
        _check_shape(array, file, width)
        return FeatureFile(array, about)
    _check(array, file, width)
    if "crc32" in about and zlib.crc32(np.ascontiguousarray(array).tobytes()) != about["crc32"]:
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
    return read_features(path, mmap=True).about


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"its format is {version}")
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are never unpickled")
    return shape, fortran, dtype


def _map(file: Path, header: tuple[tuple[int, ...], bool, np.dtype], start: int) -> np.ndarray:
    shape, fortran, dtype = header
    if not np.prod(shape):
        return np.empty(shape, dtype)
    return np.memmap(file, dtype, "r", offset=start, shape=shape, order="F" if fortran else "C")


def _about(file: BinaryIO) -> Mapping[str, Any]:
    if not file.peek(1):  # pyright: ignore[reportAttributeAccessIssue]
        return {}
    told = json.loads(np.load(file, allow_pickle=False).tobytes())
    return told if isinstance(told, dict) else {}


def _check(array: np.ndarray, file: Path, width: int | None) -> None:
    _check_shape(array, file, width)
    if not np.isfinite(array).all():
        second = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ValueError(f"{file}: the features of second {second} hold NaN or infinity; extract the video again")


def _check_shape(array: np.ndarray, file: Path, width: int | None) -> None:
    if array.ndim != 2 or not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"{file} holds {array.dtype} of shape {array.shape}; features are floats of shape (seconds, width)"
        )
    if width is not None and array.shape[1] != width:
        raise ValueError(
            f"{file} has {array.shape[1]} columns, and {width} are expected; it comes from another backbone: extract "
            "the video with the one that the model was trained on, or set model.video_dim"
        )
