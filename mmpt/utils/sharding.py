"""From one .npy file a video to shards of a few thousand videos, with lists of what is in each.

A shard holds a fixed part of its split's list, so that a video that cannot be stored, or is mended later, changes its
own shard only. A shard's index remembers what it was made from; one that is still the same is kept, so that a run that
was stopped goes on where it was.
"""

import contextlib
import hashlib
import json
import os
import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmpt.utils.disk import disk_full_told
from mmpt.utils.failures import FAILURES, FailureLog, failure_log
from mmpt.utils.featurefile import read_features, read_head
from mmpt.utils.folderlock import only_writer
from mmpt.utils.leftovers import half_written
from mmpt.utils.names import name_forms
from mmpt.utils.shardedtensor import ShardWriter, forget, open_shard, read_meta, write_meta
from mmpt.utils.shardindex import ShardIndex, index_path, read_index, shard_files

SHARD_SIZE = 4096  # videos; the size of the published shards
SAMPLE = 200  # feature files whose majority decides which features belong into the shards
PUBLISHED = {"backbone": "s3d", "l2_normalized": True}  # what files that do not say it are taken for
_OF_ONE_VIDEO = {"format", "source", "file", "damage", "crc32"}  # keys of `about` that say nothing of a shard
_SPLIT = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*")

READERS = 2  # threads; on a disk with long ways, a file's way is then hidden behind another's
AHEAD = 16  # videos that may be read and not yet written
TICK = 0.1  # seconds between two calls of on_progress

Progress = Callable[[int, int], None]


@dataclass
class ShardingReport:
    """What came of it.

    Attributes:
        written: shards that were made.
        kept: shards that were there already.
        videos: split -> how many of its videos are stored.
        rows: split -> seconds of video that are stored.
        failures: how many videos are not stored; FAILURES in the shards' folder lists them.
        first: the first few of them, for messages.
        shared: ids that stand in the lists of several splits.
    """

    written: int = 0
    kept: int = 0
    videos: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    failures: int = 0
    first: list[str] = field(default_factory=list)
    shared: int = 0


@dataclass(frozen=True)
class Kind:
    """What features must be to stand in one store."""

    backbone: str
    l2_normalized: bool
    width: int
    version: str = ""  # of the backbone; empty where the file does not say, which goes with any

    @classmethod
    def of(cls, shape: tuple[int, ...], about: Mapping[str, Any]) -> "Kind":
        """Say what kind the features of a file are, from its shape and what it says of itself."""
        told = {key: about.get(key, value) for key, value in PUBLISHED.items()}
        return cls(str(told["backbone"]), bool(told["l2_normalized"]), shape[1], str(about.get("version", "")))

    def takes(self, other: "Kind") -> bool:
        """Whether features of another kind may stand beside these."""
        alike = replace(other, version="") == replace(self, version="")
        return alike and (not self.version or other.version in ("", self.version))

    def __str__(self) -> str:
        length = "unit length" if self.l2_normalized else "not normalised"
        version = f", version {self.version}" if self.version else ""
        return f"{self.backbone}, {length}, {self.width} columns{version}"


def write_shards(
    features: Path,
    target: Path,
    lists: Mapping[str, Sequence[str]],
    *,
    shard_size: int = SHARD_SIZE,
    on_progress: Progress | None = None,
) -> ShardingReport:
    """Write the shards and the lists of every split; keep the shards that are up to date.

    Args:
        features: folder of `<video id>.npy`.
        target: folder of `<split>_<n>_{data,starts}.npy`, `<split>_<n>_index.json` and `<split>_meta.pkl`.
        lists: split -> ids of its videos, in order.
        shard_size: videos of a list that go into one shard.
        on_progress: called now and then with the videos that are done, and all of them.

    Returns:
        What came of it. Videos that cannot be stored are listed in `failures.jsonl`, with the reason.

    Raises:
        FileNotFoundError: there is no folder of features.
        ValueError: nothing is listed, nothing that is listed has features, or the folder holds shards of other making.
        DiskFullError: there is no room. Whole shards are kept; the same call goes on with the rest.
    """
    unique = {split: list(dict.fromkeys(ids)) for split, ids in lists.items()}
    _check_request(features, target, unique, shard_size)
    everything = [video for ids in unique.values() for video in ids]
    kind = find_kind(features, everything)
    report = ShardingReport(shared=len(everything) - len(set(everything)))
    target.mkdir(parents=True, exist_ok=True)
    with disk_full_told(target), contextlib.ExitStack() as stack:
        stack.enter_context(only_writer(target, "shards"))
        _sweep(target, unique)
        failures = stack.enter_context(failure_log(target / FAILURES))
        sharder = _Sharder(features, target, kind, report, failures, len(everything), on_progress)
        for split, ids in unique.items():
            for video, count in Counter(lists[split]).items():
                if count > 1:
                    failures.add(video, f"is listed {count} times; it is stored once", split=split)
            sharder.write_split(split, [ids[begin : begin + shard_size] for begin in range(0, len(ids), shard_size)])
        report.failures, report.first = failures.count, failures.first
    return report


def find_kind(features: Path, ids: Sequence[str]) -> Kind:
    """Find what most of the features are, by a sample.

    Args:
        features: folder of `<video id>.npy`.
        ids: the videos.

    Returns:
        The commonest kind.

    Raises:
        ValueError: no video has readable features.
    """
    sample = ids[:: max(1, len(ids) // SAMPLE)]
    kinds = [kind for video in sample if (kind := _kind(features, video))]
    if not kinds:
        kinds = [next((kind for video in ids if (kind := _kind(features, video))), None)]
    found = Counter(kind and replace(kind, version="") for kind in kinds).most_common(1)[0][0]
    if found is None:
        raise ValueError(
            f"none of the {len(ids):,} listed videos has a readable feature file in {features.absolute()}, for example "
            f"{ids[0]}.npy; check the folder and the lists, or make the files with `mmpt extract VIDEOS -o {features}`"
        )
    versions = Counter(kind.version for kind in kinds if kind and kind.version and found.takes(kind))
    return replace(found, version=versions.most_common(1)[0][0]) if versions else found


def _kind(features: Path, video: str) -> Kind | None:
    try:
        return Kind.of(*read_head(_feature_file(features, video)))
    except (ValueError, OSError):
        return None


def _check_request(features: Path, target: Path, lists: Mapping[str, Sequence[str]], shard_size: int) -> None:
    """Refuse before any work what cannot end well."""
    if not features.is_dir():
        raise FileNotFoundError(f"there is no folder {features.absolute()}; give the one that holds the feature files")
    if shard_size < 1:
        raise ValueError(f"a shard takes 1 or more videos, and {shard_size} were asked for")
    if not any(lists.values()):
        raise ValueError("no video is listed; give a list with one video id a line")
    for split, ids in lists.items():
        if not _SPLIT.fullmatch(split):
            raise ValueError(f"the split {split!r} gives no file names; use letters, digits, dots and hyphens")
        for number in range(-(-len(ids) // shard_size)):
            data_path = shard_files(target / f"{split}_{number}")[0]
            if data_path.exists() and not index_path(target / f"{split}_{number}").exists():
                raise ValueError(
                    f"{data_path} has no index beside it, so `mmpt shard` did not make it and does not replace it; "
                    "choose another folder, or move it away"
                )


class _Sharder:
    """Writes the shards of one call."""

    def __init__(
        self,
        features: Path,
        target: Path,
        kind: Kind,
        report: ShardingReport,
        failures: FailureLog,
        total: int,
        on_progress: Progress | None,
    ) -> None:
        self._features, self._target, self._kind = features, target, kind
        self._report, self._failures = report, failures
        self._total, self._on_progress = total, on_progress
        self._done, self._told = 0, 0.0

    def write_split(self, split: str, parts: Sequence[Sequence[str]]) -> None:
        """Write a split's shards, and its list at last.

        A list that lies there already is removed before the first shard changes: it must never name the videos of
        shards that hold others.
        """
        meta_path = self._target / f"{split}_meta.pkl"
        meta: dict[int, list[str]] = {}
        for number, ids in enumerate(parts):
            prefix, inputs = self._target / f"{split}_{number}", self._hash_inputs(ids)
            index = _up_to_date(prefix, inputs)
            if index is not None:
                self._report.kept += 1
                self._advance(len(ids))
            else:
                meta_path.unlink(missing_ok=True)
                index = self._write_shard(prefix, ids, inputs)
                self._report.written += bool(index.items)
            for failure in index.failures:
                self._failures.add(failure["video"], failure["reason"], split=split)
            if index.items:
                meta[number] = list(index.ids)
            self._report.videos[split] += index.items
            self._report.rows[split] += index.shape[0]
        if not meta_path.exists() or read_meta(meta_path) != meta:
            write_meta(meta_path, meta)
        _remove_surplus(self._target, split, len(parts))

    def _hash_inputs(self, ids: Sequence[str]) -> str:
        """Hash what a shard is made from, by the files' sizes and times."""
        stamps = [str(self._kind), *([video, *_stamp(_feature_file(self._features, video))] for video in ids)]
        return hashlib.sha256(json.dumps(stamps).encode()).hexdigest()

    def _write_shard(self, prefix: Path, ids: Sequence[str], inputs: str) -> ShardIndex:
        with ShardWriter(prefix, row_shape=(self._kind.width,), inputs=inputs) as writer:
            for video, reading in self._read_ahead(ids):
                try:
                    array, about = reading.result()
                except (ValueError, OSError) as error:
                    writer.failures.append({"video": video, "reason": str(error)})
                    if isinstance(error, OSError) and not isinstance(error, FileNotFoundError):
                        writer.inputs = ""  # it may pass without a trace at the file: the next run tries again
                else:
                    writer.about = _common(writer.about if writer.ids else about, about)
                    writer.append(array, video, crc32=about.get("crc32"))
                self._advance(1)
        index = read_index(prefix)
        assert index is not None, f"{prefix} was written without an index"
        if not index.items:
            _remove(prefix)
        return index

    def _read_ahead(self, ids: Sequence[str]) -> Iterator[tuple[str, "Future[tuple[np.ndarray, Mapping[str, Any]]]"]]:
        """Read in threads, in order and a few videos ahead, while what came before is written."""
        waiting = deque()
        with ThreadPoolExecutor(READERS) as pool:
            try:
                for video in ids:
                    waiting.append((video, pool.submit(self._read, video)))
                    if len(waiting) > AHEAD:
                        yield waiting.popleft()
                yield from waiting
            finally:
                pool.shutdown(cancel_futures=True)

    def _read(self, video: str) -> tuple[np.ndarray, Mapping[str, Any]]:
        """Read a video's features as float16, or say why they cannot stand in the store."""
        path = Path(_feature_file(self._features, video))
        if path.name not in {f"{form}.npy" for form in name_forms(video)}:
            raise ValueError(f"{video!r} is not a video id: it would be a path")
        found = read_features(path)
        if not self._kind.takes(kind := Kind.of(found.array.shape, found.about)):
            raise ValueError(f"{path} holds features of another kind ({kind}) than most ({self._kind})")
        if not len(found.array):
            raise ValueError(f"{path} holds no second; extract the video again")
        if found.array.dtype == np.float16:
            return found.array, found.about
        with np.errstate(over="ignore"):
            half = found.array.astype(np.float16)
        if not np.isfinite(half).all():
            raise ValueError(f"{path} holds {float(np.abs(found.array).max()):.3g}, which float16 does not")
        return half, {key: value for key, value in found.about.items() if key != "crc32"}  # it is of other bytes

    def _advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if self._on_progress is not None and now - self._told >= TICK:
            self._on_progress(self._done, self._total)
            self._told = now


def _feature_file(features: Path, video: str) -> str:
    """The path of a video's feature file, in the form that its name has there."""
    paths = [f"{features}{os.sep}{form}.npy" for form in name_forms(video)]
    return next((path for path in paths[1:] if os.path.exists(path) and not os.path.exists(paths[0])), paths[0])


def _stamp(path: str) -> tuple[int, int] | tuple[()]:
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return ()
    return found.st_size, found.st_mtime_ns


def _common(one: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    shared = {key: value for key, value in one.items() if key in other and other[key] == value}
    return {key: value for key, value in shared.items() if key not in _OF_ONE_VIDEO}


def _up_to_date(prefix: Path, inputs: str) -> ShardIndex | None:
    """Give the index of a shard that is whole and made from the same."""
    try:
        index = read_index(prefix)
        if index is None or index.inputs != inputs:
            return None
        open_shard(prefix)
    except (ValueError, FileNotFoundError):
        return None
    return index


def _remove(prefix: Path) -> None:
    for path in (*shard_files(prefix), index_path(prefix)):
        path.unlink(missing_ok=True)
    forget()


def _sweep(target: Path, splits: Iterable[str]) -> None:
    """Remove what a killed run left half-written."""
    names = "|".join(map(re.escape, splits))
    ours = re.compile(rf"(?:{names})_(?:\d+_(?:data|starts|index)|meta)|{Path(FAILURES).stem}")
    for path, stem in half_written(target):
        if ours.fullmatch(stem):
            path.unlink(missing_ok=True)


def _remove_surplus(target: Path, split: str, count: int) -> None:
    """Remove our shards of a longer list."""
    index = re.compile(rf"({re.escape(split)}_(\d+))_index\.json")
    for path in list(target.iterdir()):
        if (found := index.fullmatch(path.name)) and int(found[2]) >= count:
            _remove(target / found[1])
