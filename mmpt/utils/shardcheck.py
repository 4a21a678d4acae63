"""Verify a folder of shards: every byte against the checksums, and the lists against the shards."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mmpt.utils.shardedtensor import ShardedTensor, open_shard, read_meta
from mmpt.utils.shardindex import read_index, shard_files

_META = re.compile(r"(.+)_meta\.pkl")

Progress = Callable[[int, float], None]


@dataclass
class Verified:
    """What was found in a folder of shards.

    Attributes:
        whole: shards that match their index.
        unindexed: shards without an index, of which sizes and starts alone can be checked.
        items: arrays in all of them.
        problems: what is wrong, one sentence each, with the file's name.
    """

    whole: int = 0
    unindexed: int = 0
    items: int = 0
    problems: list[str] = field(default_factory=list)


def verify_shards(folder: Path, *, on_progress: Progress | None = None) -> Verified:
    """Read every shard of a folder and compare it with its index; compare the lists with the shards.

    Args:
        folder: of shards.
        on_progress: called with the bytes that are done, and which part of all that is.

    Returns:
        What was found.

    Raises:
        FileNotFoundError: there is no such folder, or no shard in it.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder.absolute()}; give the one that holds the shards")
    prefixes = sorted(_prefixes(folder), key=_numeric)
    metas = {found[1]: path for path in sorted(folder.iterdir()) if (found := _META.fullmatch(path.name))}
    if not prefixes and not metas:
        raise FileNotFoundError(f"there is no shard (*_data.npy) in {folder.absolute()}; check the folder")
    found, done, sizes = Verified(), 0, [_size(folder / name) for name in prefixes]
    for name, size in zip(prefixes, sizes, strict=True):
        _verify_one(folder / name, found)
        done += size
        if on_progress is not None:
            on_progress(done, done / max(1, sum(sizes)))
    for split, path in metas.items():
        _verify_meta(folder, split, path, found)
    return found


def _prefixes(folder: Path) -> set[str]:
    """Name the shards by any of their files, so that one that misses a file is noticed."""
    parts = (re.fullmatch(r"([^.].*)_(?:data\.npy|starts\.npy|index\.json)", path.name) for path in folder.iterdir())
    return {part[1] for part in parts if part}


def _numeric(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _size(prefix: Path) -> int:
    path = shard_files(prefix)[0]
    return path.stat().st_size if path.is_file() else 0


def _verify_one(prefix: Path, found: Verified) -> None:
    try:
        if read_index(prefix) is None:
            found.items += len(ShardedTensor.load(prefix))
            found.unindexed += 1
        else:
            found.items += len(open_shard(prefix, verify=True))
            found.whole += 1
    except (ValueError, OSError) as error:
        found.problems.append(str(error))


def _verify_meta(folder: Path, split: str, path: Path, found: Verified) -> None:
    """Compare a split's list with the ids and the number of items of its shards."""
    try:
        meta = read_meta(path)
    except (ValueError, OSError) as error:
        found.problems.append(str(error))
        return
    for number, ids in meta.items():
        prefix = folder / f"{split}_{number}"
        if not shard_files(prefix)[0].is_file():
            found.problems.append(f"{path} lists the videos of {prefix.name}_data.npy, which is not there")
            continue
        try:
            items, index = len(ShardedTensor.load(prefix)), read_index(prefix)
        except (ValueError, OSError):
            continue  # told already
        if items != len(ids) or (index is not None and index.ids and list(index.ids) != ids):
            found.problems.append(
                f"{path} lists other videos than {prefix.name} holds: {len(ids):,} and {items:,}; write both again"
            )
