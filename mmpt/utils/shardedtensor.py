"""Many arrays of different length in one file: rows one after the other, and where each array starts.

A shard is `<prefix>_data.npy`, (rows, width), and `<prefix>_starts.npy`, int64 (items + 1,): array i has the rows
`starts[i]:starts[i + 1]`. Beside the shards that are written here lies `<prefix>_index.json`, which says what both
files must be, so that a file that is cut off, damaged or another shard's is an error and not a wrong feature. Shards
without it, such as published ones, are read too.
"""

import contextlib
import functools
import hashlib
import os
import pickle
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mmpt.utils.disk import SteadySync, disk_full_told
from mmpt.utils.files import atomic_path
from mmpt.utils.npyfile import header_bytes, open_array, raw_bytes
from mmpt.utils.safepickle import read_pickle
from mmpt.utils.shardindex import EDGE, ShardIndex, check_shard, edges_hash, index_path, read_index, shard_files

try:
    import resource
except ImportError:  # Windows
    resource = None

MOST_OPEN = 4096  # shards that a process keeps open; fewer where the system allows fewer open files
META_PROTOCOL = 5  # of pickle; the published meta files have it


@dataclass(frozen=True, eq=False)
class ShardedTensor:
    """Many arrays as one.

    Attributes:
        data: (rows, ...), all arrays one after the other.
        starts: int64 (items + 1,), where each begins, and the number of rows at last.

    Raises:
        ValueError: the two do not belong together.
    """

    data: np.ndarray
    starts: np.ndarray

    def __post_init__(self) -> None:
        if problem := _problem(self.data, self.starts):
            raise ValueError(problem)

    @classmethod
    def from_list(cls, arrays: Sequence[np.ndarray]) -> "ShardedTensor":
        """Put arrays one after the other.

        Args:
            arrays: at least one; they differ in their first dimension only.

        Returns:
            All of them, copied.

        Raises:
            ValueError: there is none, or they differ in width or dtype.
        """
        kinds = {(array.shape[1:], array.dtype.str) for array in arrays}
        if len(kinds) != 1:
            raise ValueError(f"the arrays of a shard have one width and one dtype; got {sorted(map(str, kinds))}")
        return cls(np.concatenate(arrays), np.cumsum([0, *map(len, arrays)], dtype=np.int64))

    @classmethod
    def load(cls, prefix: str | os.PathLike[str], *, mmap: bool = True) -> "ShardedTensor":
        """Read a shard's two files, without looking at its index.

        Args:
            prefix: the files' common beginning, such as `shards/train_0`.
            mmap: map the rows into memory instead of reading them.

        Returns:
            The shard.

        Raises:
            FileNotFoundError: one of the files is not there.
            ValueError: one is damaged or cut off, or they do not belong together; the message names it.
        """
        data_path, starts_path = shard_files(prefix)
        for path in (data_path, starts_path):
            if not path.is_file():
                raise FileNotFoundError(f"there is no {path.absolute()}; a shard consists of both _data and _starts")
        data, starts = open_array(data_path, mmap=mmap), open_array(starts_path, mmap=False)
        if starts.dtype.kind in "iu":
            starts = starts.astype(np.int64, copy=False)
        if problem := _problem(data, starts):
            raise ValueError(f"{starts_path} does not belong to {data_path.name}: {problem}")
        return cls(data, starts)

    def save(self, prefix: str | os.PathLike[str]) -> None:
        """Write both files: each whole, or not at all.

        Args:
            prefix: the files' common beginning. An index that lies there already is removed; use `ShardWriter` to
                have one.
        """
        for path, array in zip(shard_files(prefix), (self.data, self.starts), strict=True):
            with atomic_path(path) as temporary, temporary.open("wb") as file:
                np.save(file, np.ascontiguousarray(array), allow_pickle=False)
        index_path(prefix).unlink(missing_ok=True)
        forget()

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, index: int) -> np.ndarray:
        """Give one array.

        Args:
            index: from 0 on; negative from the end.

        Returns:
            (rows, ...), a view.

        Raises:
            IndexError: there are fewer arrays.
        """
        count = len(self.starts) - 1
        if not -count <= index < count:
            raise IndexError(f"item {index} of a shard with {count:,} items")
        index %= count
        return self.data[self.starts[index] : self.starts[index + 1]]

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[index] for index in range(len(self)))


class ShardWriter:
    """Writes one shard; to be used in a `with` block.

    At the end of the block the index, the rows and the starts take their places, in this order, so that a shard whose
    writer was killed in between does not match its index. After an exception nothing is left, and what was there
    before is untouched.

    Args:
        prefix: the files' common beginning, such as `shards/train_0`.
        dtype: of the stored rows.
        row_shape: of one row, for example (512,); that of the first array by default.
        about: what the rows are; goes into the index. It may be filled until the block ends.
        inputs: goes into the index.

    Attributes:
        ids: of the arrays so far.
        failures: goes into the index: what should be in the shard and is not.
        rows: so far.

    Raises:
        DiskFullError: there is no room.
    """

    def __init__(
        self,
        prefix: str | os.PathLike[str],
        *,
        dtype: Any = np.float16,
        row_shape: tuple[int, ...] | None = None,
        about: Mapping[str, Any] | None = None,
        inputs: str = "",
    ) -> None:
        self.prefix = os.fspath(prefix)
        self.about = dict(about or {})
        self.ids: list[str] = []
        self.failures: list[dict[str, str]] = []
        self.rows = 0
        self._dtype = np.dtype(dtype)
        self._row_shape = row_shape
        self.inputs = inputs
        self._starts = [0]
        self._crc32: list[int] = []
        self._head, self._tail = b"", b""
        self._header_size = 0  # bytes
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "ShardWriter":
        data_path, starts_path = shard_files(self.prefix)
        with contextlib.ExitStack() as stack:
            stack.enter_context(disk_full_told(data_path))
            # The last that is entered takes its place first.
            self._starts_path = stack.enter_context(atomic_path(starts_path))
            self._data_path = stack.enter_context(atomic_path(data_path))
            self._index_path = stack.enter_context(atomic_path(index_path(self.prefix)))
            self._file: BinaryIO = stack.enter_context(self._data_path.open("wb"))
            self._sync = stack.enter_context(SteadySync(self._file))
            self._stack = stack.pop_all()
        return self

    def append(self, array: np.ndarray, name: str | None = None, *, crc32: int | None = None) -> None:
        """Add an array.

        Args:
            array: (rows, ...); stored in the shard's dtype.
            name: its id; all arrays of a shard have one, or none has.
            crc32: of its bytes as stored, where it is known already.

        Raises:
            ValueError: its rows have another shape than those before.
        """
        if self._row_shape is None:
            self._row_shape = array.shape[1:]
        if array.shape[1:] != self._row_shape or not array.ndim:
            raise ValueError(f"{array.shape} does not fit into {self.prefix}, whose rows have {self._row_shape}")
        if len(self._starts) == 1:
            self._header_size = self._file.write(header_bytes((0, *self._row_shape), self._dtype))
        raw = raw_bytes(array.astype(self._dtype, copy=False))
        self._file.write(raw)
        self._sync.wrote(len(raw))
        if len(self._head) < EDGE:
            self._head += raw[: EDGE - len(self._head)]
        self._tail = (self._tail + bytes(raw[-EDGE:]))[-EDGE:]
        self._crc32.append(zlib.crc32(raw) if crc32 is None else crc32)
        self.rows += len(array)
        self._starts.append(self.rows)
        if name is not None:
            self.ids.append(name)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._finish()
        forget()

    def _finish(self) -> None:
        if self._row_shape is None:
            raise ValueError(f"{self.prefix}: a shard needs an array, or row_shape, to know the shape of its rows")
        if self.ids and len(self.ids) != len(self._starts) - 1:
            raise ValueError(f"{self.prefix}: {len(self.ids)} of {len(self._starts) - 1} arrays have an id")
        shape, starts = (self.rows, *self._row_shape), np.array(self._starts, np.int64)
        self._file.seek(0)
        size = self._file.write(header_bytes(shape, self._dtype))
        assert self._header_size in (0, size), "the header of a .npy file leaves no room for the number of rows"
        with self._starts_path.open("wb") as file:
            np.save(file, starts, allow_pickle=False)
        index = ShardIndex(
            items=len(starts) - 1,
            shape=shape,
            dtype=self._dtype.str,
            edges_sha256=edges_hash(self._head, self._tail),
            starts_sha256=hashlib.sha256(starts.tobytes()).hexdigest(),
            crc32=self._crc32,
            ids=self.ids,
            about=self.about,
            inputs=self.inputs,
            failures=self.failures,
        )
        index.write(self._index_path)


def open_shard(prefix: str | os.PathLike[str], *, verify: bool = False) -> ShardedTensor:
    """Open a shard for reading, once a process: further calls give the same memory map.

    Args:
        prefix: the files' common beginning, such as `shards/train_0`.
        verify: compare all numbers with the index's checksums, which reads the whole shard; and do so again at each
            call. Otherwise sizes, shapes, starts and the two ends of the rows are compared, at the first call.

    Returns:
        The shard; its rows are read-only.

    Raises:
        FileNotFoundError: one of the files is not there.
        ValueError: one is damaged, cut off or another shard's; the message names it.
    """
    name = os.path.abspath(prefix)
    if verify:
        return _open_now(name, everything=True)
    return _opened()(name)


def forget() -> None:
    """Let `open_shard` open every shard anew, because files were written."""
    _opened().cache_clear()


@functools.lru_cache(maxsize=1)
def _opened() -> "functools._lru_cache_wrapper[ShardedTensor]":
    """Make the store of open shards; an open map holds a file open, of which a process has a limited number."""
    most = MOST_OPEN
    if resource is not None:
        allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = MOST_OPEN if allowed == resource.RLIM_INFINITY else min(MOST_OPEN, max(16, allowed // 2))
    return functools.lru_cache(maxsize=most)(_open_now)


def _open_now(prefix: str, *, everything: bool = False) -> ShardedTensor:
    shard = ShardedTensor.load(prefix)
    index = read_index(prefix)
    if index is not None:
        check_shard(prefix, index, shard.data, shard.starts, everything=everything)
    elif everything:
        raise ValueError(f"{prefix}_data.npy has no {Path(prefix).name}_index.json beside it, so it cannot be verified")
    return shard


def _problem(data: np.ndarray, starts: np.ndarray) -> str | None:
    """Say why starts and rows do not belong together."""
    if starts.dtype != np.int64 or starts.ndim != 1 or not len(starts):
        return f"starts are int64 of shape (items + 1,), and these are {starts.dtype} of shape {starts.shape}"
    if not data.ndim:
        return "the rows are a single number"
    if (steps := np.diff(starts)).size and steps.min() < 0:
        return f"starts never fall, and item {int(np.argmin(steps))} ends before it begins"
    if starts[0] != 0 or starts[-1] != len(data):
        return f"starts go from 0 to the {len(data):,} rows, and these go from {starts[0]:,} to {starts[-1]:,}"
    return None


def read_meta(path: str | os.PathLike[str]) -> dict[int, list[str]]:
    """Read which videos are in which shard.

    Args:
        path: `<split>_meta.pkl`.

    Returns:
        Number of the shard -> ids of its videos, in order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds anything else.
    """
    meta = read_pickle(path)
    if not isinstance(meta, dict) or not all(isinstance(key, int) and _is_ids(ids) for key, ids in meta.items()):
        raise ValueError(f"{path} is not a shard list: a dict of number -> list of video ids")
    return {key: list(ids) for key, ids in meta.items()}


def write_meta(path: str | os.PathLike[str], meta: Mapping[int, Iterable[str]]) -> None:
    """Write which videos are in which shard: whole, or not at all.

    Args:
        path: `<split>_meta.pkl`.
        meta: number of the shard -> ids of its videos, in order.
    """
    plain = {int(number): [str(video) for video in ids] for number, ids in meta.items()}
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        pickle.dump(plain, file, protocol=META_PROTOCOL)


def _is_ids(ids: object) -> bool:
    return isinstance(ids, list | tuple) and all(isinstance(video, str) for video in ids)
