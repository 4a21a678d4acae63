"""What stands in `<prefix>_index.json` beside a shard, and whether the shard is that."""

import hashlib
import itertools
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from mmpt.utils.npyfile import raw_bytes

FORMAT = "mmpt-shard-1"
EDGE = 1 << 16  # bytes at either end of the rows that are compared whenever a shard is opened


@dataclass(frozen=True)
class ShardIndex:
    """What a shard must be.

    Attributes:
        items: how many arrays it holds.
        shape: of the rows, (rows, ...).
        dtype: of the rows, as numpy writes it, for example ``<f2``.
        edges_sha256: of the first and last 65,536 bytes of the rows.
        starts_sha256: of the starts' bytes.
        crc32: of the bytes of each array, so that it can be told which one is damaged.
        ids: of the arrays; empty where they have none.
        about: what the rows are: backbone, l2_normalized and so on.
        inputs: a hash of what the shard was made from, by which its maker knows whether it is up to date.
        failures: what should be in the shard and is not, as its maker notes it.
    """

    items: int
    shape: tuple[int, ...]
    dtype: str
    edges_sha256: str
    starts_sha256: str
    crc32: Sequence[int]
    ids: Sequence[str] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    inputs: str = ""
    failures: Sequence[Mapping[str, str]] = ()

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps({"format": FORMAT, **asdict(self)}), encoding="utf-8")


def shard_files(prefix: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Name a shard's files.

    Args:
        prefix: their common beginning.

    Returns:
        Those of the rows and of the starts.
    """
    return Path(f"{os.fspath(prefix)}_data.npy"), Path(f"{os.fspath(prefix)}_starts.npy")


def index_path(prefix: str | os.PathLike[str]) -> Path:
    """Name a shard's index file."""
    return Path(f"{os.fspath(prefix)}_index.json")


def read_index(prefix: str | os.PathLike[str]) -> ShardIndex | None:
    """Read a shard's index.

    Args:
        prefix: the beginning of the shard's files.

    Returns:
        The index; None where there is no such file.

    Raises:
        ValueError: the file is damaged, or of a kind that this version does not know.
    """
    path = index_path(prefix)
    try:
        told = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}); write the shard again") from error
    known = {entry.name for entry in fields(ShardIndex)}
    if not isinstance(told, dict) or told.pop("format", None) != FORMAT or not set(told) <= known:
        raise ValueError(f"{path} is not an index of the format {FORMAT}; write the shard again, or update mmpt")
    try:
        return ShardIndex(**{**told, "shape": tuple(told["shape"])})
    except (TypeError, KeyError) as error:
        raise ValueError(f"{path} is incomplete ({error}); write the shard again") from error


def check_shard(prefix: str, index: ShardIndex, data: np.ndarray, starts: np.ndarray, *, everything: bool) -> None:
    """Compare a shard with its index.

    Args:
        prefix: the beginning of the shard's files.
        index: what it must be.
        data: its rows.
        starts: its starts.
        everything: compare the checksum of every array; else the two ends of the rows only.

    Raises:
        ValueError: it is something else; the message names the file.
    """
    if (tuple(data.shape), data.dtype.str) != (tuple(index.shape), index.dtype):
        raise ValueError(
            f"{prefix}_data.npy holds {data.dtype.str} of shape {tuple(data.shape)}, and its index says {index.dtype} "
            f"of shape {tuple(index.shape)}: the files come from different shards, or one was cut off; write the shard "
            "again"
        )
    counts = {len(starts) - 1, len(index.crc32), len(index.ids) or index.items}
    if counts != {index.items} or hashlib.sha256(starts.tobytes()).hexdigest() != index.starts_sha256:
        raise ValueError(f"{prefix}_starts.npy is not the file that its index describes; write the shard again")
    raw = raw_bytes(data)
    if edges_hash(raw[:EDGE], raw[-EDGE:]) != index.edges_sha256:
        raise ValueError(f"{prefix}_data.npy holds other numbers than its index says; write the shard again")
    if everything:
        _check_arrays(prefix, index, data, starts)


def _check_arrays(prefix: str, index: ShardIndex, data: np.ndarray, starts: np.ndarray) -> None:
    for number, (begin, end) in enumerate(itertools.pairwise(starts.tolist())):
        if zlib.crc32(raw_bytes(data[begin:end])) != index.crc32[number]:
            name = f" ({index.ids[number]})" if index.ids else ""
            raise ValueError(
                f"{prefix}_data.npy is damaged: the checksum of item {number}{name} is not the index's; write the "
                "shard again"
            )


def edges_hash(head: memoryview | bytes, tail: memoryview | bytes) -> str:
    """Hash the two ends of the rows.

    Args:
        head: the first bytes, EDGE of them or all.
        tail: the last bytes, EDGE of them or all.

    Returns:
        SHA-256 in hexadecimal digits.
    """
    digest = hashlib.sha256(head)
    digest.update(tail)
    return digest.hexdigest()
