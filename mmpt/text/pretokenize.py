"""Captions -> word pieces in files, so that training reads numbers only.

    clip's text -> its first 96 characters -> token ids without special tokens
    <name>.<split>_<n>.caps_ids    int32 (clips, 32): the first 32 ids of each clip, -1 behind them
    <name>.<split>_<n>.startends   float32 (clips, 2): seconds
    <name>.pkl                     id -> {"start", "end", "cap"}, all ids

Shards follow `<split>_meta.pkl` of the feature shards: video i of shard n is the same one in both.
"""

import contextlib
import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import yaml

from mmpt.config.typed import fill
from mmpt.text.captionfiles import read_entries
from mmpt.text.captions import Captions, parse_captions
from mmpt.text.picklestream import PickleWriter, StringDict
from mmpt.text.wordpieces import FORMAT, MAX_CHARS, MAX_TOKENS, Encoder, padded
from mmpt.utils.disk import disk_full_told
from mmpt.utils.failures import FailureLog, failure_log
from mmpt.utils.files import atomic_path
from mmpt.utils.leftovers import SCRATCH, sweep
from mmpt.utils.names import same_name
from mmpt.utils.shardedtensor import ShardWriter, open_shard
from mmpt.utils.shardindex import read_index

BATCH = 4096  # clips that are cut at a time
META = "_meta.pkl"
EMPTY_PLACE = "its place in the shard is kept, empty; take it off the lists, for training needs captions"


@dataclass
class Tokenized:
    """What was made.

    Attributes:
        videos: in the files.
        clips: in the files that were written now.
        backwards: of those, how many end before they start.
        files: written now: prefixes of shards, and a pickle.
        kept: that were there and are up to date.
        failed: videos without captions; the failures file says why.
        failures: the first few of them.
        unlisted: videos with captions that no shard names.
        beginning: of the shards' paths, as `dataset.tfeat_dir` takes it.
    """

    videos: int = 0
    clips: int = 0
    backwards: int = 0
    files: list[Path] = field(default_factory=list)
    kept: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    unlisted: int = 0
    beginning: str = ""


Tokens = TypeVar("Tokens", list[list[int]], np.ndarray)


class Store(NamedTuple):
    """A caption file in which videos are looked up.

    Attributes:
        entries: video id -> its captions, as for `parse_captions`.
        source: the file.
        twice: ids that the file holds twice; the first place counts.
    """

    entries: "Mapping[str, Any] | StringDict"
    source: Path
    twice: tuple[str, ...]


@dataclass(frozen=True)
class OriginalConfig:
    """What the original's YAML file of this step says under `dataset:`.

    Attributes:
        bert_name: hub name or folder.
        caption_pkl_path: the captions.
        target_dir: the folder of the shards.
        use_fast: which of two tokenizers is used; the ids are the same.
    """

    bert_name: str
    caption_pkl_path: str
    target_dir: str
    use_fast: bool = True


def read_original_config(path: Path) -> OriginalConfig:
    """Read the original's YAML file of this step.

    Args:
        path: the file.

    Returns:
        What it says.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no YAML, or a key is missing, unknown or of the wrong type.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no YAML file {path}")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML: {error}") from error
    block = tree.get("dataset") if isinstance(tree, dict) else None
    problems: list[str] = []
    if not isinstance(block, dict):
        raise ValueError(f"{path} has no block dataset: with bert_name, caption_pkl_path and target_dir")
    config = fill(OriginalConfig, block, "dataset", problems)
    if config is None:
        raise ValueError(f"{path} cannot be used: {'; '.join(problems)}")
    return config


@contextlib.contextmanager
def open_store(source: Path, scratch: Path) -> Iterator[Store]:
    """Look videos up in a caption file, without its texts in memory.

    Args:
        source: .pkl or .json. A pickle whose values are no texts is read whole.
        scratch: a folder for a temporary copy of a .json file, which is as large as the file.

    Yields:
        The file's videos.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged.
    """
    if source.is_dir():
        raise ValueError(f"{source} is a folder; clean its captions first: mmpt captions dedup {source} -o {scratch}")
    if source.suffix in (".pkl", ".pickle") and source.is_file():
        texts = StringDict.scan(source)
        if texts is None:
            yield Store({entry.video_id: entry.value for entry in read_entries(source)}, source, ())
            return
        with texts:
            yield Store(texts, source, ())
        return
    entries = read_entries(source)
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=scratch) as folder:
        copy = Path(folder) / "captions.pkl"
        with disk_full_told(copy):
            twice = _copy(entries, copy)
        texts = StringDict.scan(copy)
        assert texts is not None
        with texts:
            yield Store(texts, source, twice)


def write_shards(
    store: Store,
    metas: Mapping[str, Mapping[int, Sequence[str]]],
    folder: Path,
    encoder: Encoder,
    *,
    overwrite: bool = False,
    on_progress: Callable[[int, float], None] = lambda videos, done: None,
) -> Tokenized:
    """Write the shards of captions that belong to shards of features.

    A video without captions has its place in the shard, an empty one, so that the others stay at theirs.

    Args:
        store: the captions.
        metas: split -> number of the shard -> ids of its videos, in order.
        folder: where the shards of the features are.
        encoder: cuts the texts.
        overwrite: write what is there and up to date again.
        on_progress: is told how many videos are done, and which part of all.

    Returns:
        What was made. Failures are in `<name>.failures.jsonl` in the folder.

    Raises:
        OSError: a shard cannot be written; those before it are whole.
    """
    prefix = f"{store.source.stem}.{encoder.name}"
    made = Tokenized(beginning=str(folder / f"{prefix}."))
    total = sum(len(ids) for meta in metas.values() for ids in meta.values())
    listed: set[str] = set()
    sweep(folder, prefix)
    with failure_log(folder / f"{prefix}.failures.jsonl") as log:
        _tell_twice(store, log)
        for split, number, ids in _shards(metas):
            place = folder / f"{prefix}.{split}_{number}"
            inputs = _hash_inputs(store, ids, encoder)
            known = None if overwrite else _up_to_date(place, inputs)
            if known is None:
                known = _write_shard(store, ids, place, encoder, inputs, made)
                made.files.append(place)
            else:
                made.kept += 1
            for failure in known:
                log.add(failure["video"], failure["reason"], shard=place.name)
            listed.update(ids)
            made.videos += len(ids)
            on_progress(made.videos, made.videos / max(total, 1))
        made.failed, made.failures = log.count, log.first
    made.unlisted = sum(same_name(video_id, listed) is None for video_id in store.entries)
    return made


def write_pickle(
    store: Store,
    target: Path,
    encoder: Encoder,
    *,
    on_progress: Callable[[int, float], None] = lambda videos, done: None,
) -> Tokenized:
    """Write the token ids of all videos into one pickle.

    Args:
        store: the captions.
        target: the file.
        encoder: cuts the texts.
        on_progress: is told how many videos are done, and which part of all.

    Returns:
        What was made. Failures are in `<name>.failures.jsonl` beside the file.

    Raises:
        OSError: it cannot be written; a file that was there before is as it was.
    """
    made = Tokenized(files=[target])
    sweep(target.parent, target.stem)
    with contextlib.ExitStack() as stack:
        stack.enter_context(disk_full_told(target))
        log = stack.enter_context(failure_log(target.with_name(f"{target.stem}.failures.jsonl")))
        file = stack.enter_context(stack.enter_context(atomic_path(target)).open("wb"))
        writer = stack.enter_context(PickleWriter(file))
        _tell_twice(store, log)
        for number, (video_id, captions, ids) in enumerate(_tokenized(store, store.entries, encoder), 1):
            if isinstance(captions, str):
                log.add(video_id, captions)
            else:
                writer.add(video_id, {"start": captions.start, "end": captions.end, "cap": ids})
                made.videos += 1
                made.clips += len(captions)
                made.backwards += sum(end < start for start, end in zip(captions.start, captions.end, strict=True))
            on_progress(number, number / len(store.entries))
        made.failed, made.failures = log.count, log.first
    return made


def _copy(entries: Iterable[Any], target: Path) -> tuple[str, ...]:
    seen: set[str] = set()
    twice: list[str] = []
    with target.open("wb") as file, PickleWriter(file) as writer:
        for entry in entries:
            if entry.video_id in seen:
                twice.append(entry.video_id)
                continue
            seen.add(entry.video_id)
            writer.add(entry.video_id, entry.value)
    return tuple(twice)


def _shards(metas: Mapping[str, Mapping[int, Sequence[str]]]) -> Iterator[tuple[str, int, list[str]]]:
    for split, meta in metas.items():
        for number in sorted(meta):
            yield split, number, list(meta[number])


def _tell_twice(store: Store, log: FailureLog) -> None:
    for video_id in store.twice:
        log.add(video_id, f"its id stands twice in {store.source}; the captions of the first place are used")


def _hash_inputs(store: Store, ids: Sequence[str], encoder: Encoder) -> str:
    """Hash what a shard is made from: the captions of its own videos, so that others may come and go."""
    digest = hashlib.sha256(encoder.digest.encode())
    for video_id in ids:
        key = same_name(video_id, store.entries)
        captions = [] if key is None else [store.entries[key]]
        digest.update(repr((video_id, captions)).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def _up_to_date(place: Path, inputs: str) -> Sequence[Mapping[str, str]] | None:
    """Give the failures that are noted in a shard that need not be made again."""
    failures: Sequence[Mapping[str, str]] = ()
    for kind in ("caps_ids", "startends"):
        try:
            index = read_index(f"{place}.{kind}")
            if index is None or index.inputs != inputs:
                return None
            open_shard(f"{place}.{kind}")
            failures = index.failures
        except (OSError, ValueError):  # damaged or half there
            return None
    return failures


def _write_shard(
    store: Store, ids: Sequence[str], place: Path, encoder: Encoder, inputs: str, made: Tokenized
) -> list[dict[str, str]]:
    """Write a shard's two parts; gives the failures."""
    about = {"format": FORMAT, "bert_name": encoder.name, "max_chars": MAX_CHARS, "source": store.source.name}
    failures: list[dict[str, str]] = []
    common: dict[str, Any] = {"about": about, "inputs": inputs}
    with (
        ShardWriter(f"{place}.startends", dtype=np.float32, row_shape=(2,), **common) as times,
        ShardWriter(f"{place}.caps_ids", dtype=np.int32, row_shape=(MAX_TOKENS,), **common) as caps,
    ):
        for video_id, captions, rows in _tokenized(store, ids, lambda texts: padded(encoder(texts))):
            if isinstance(captions, str):
                failures.append({"video": video_id, "reason": f"{captions}; {EMPTY_PLACE}"})
                captions = Captions([], [], [])
            spans = np.array([captions.start, captions.end], np.float32).T  # (clips, 2)
            times.append(spans, video_id)
            caps.append(rows, video_id)
            made.clips += len(spans)
            made.backwards += int((spans[:, 1] < spans[:, 0]).sum())
        times.failures, caps.failures = failures, failures
    return failures


def _tokenized(
    store: Store, ids: Iterable[str], cut: Callable[[list[str | None]], Tokens]
) -> Iterator[tuple[str, Captions | str, Tokens]]:
    """Give each video's captions, or why it has none, and its token ids; a batch is cut while the one before is used.

    Args:
        store: the captions.
        ids: of the videos.
        cut: gives the token ids of texts, in a form of which slices can be taken.
    """
    with ThreadPoolExecutor(1) as pool:
        waiting: tuple[list[tuple[str, Captions | str]], Future[Tokens]] | None = None
        for batch in _batches(store, ids):
            texts = [text for _, captions in batch if not isinstance(captions, str) for text in captions.text]
            begun = batch, pool.submit(cut, texts)
            if waiting is not None:
                yield from _shared_out(waiting[0], waiting[1].result())
            waiting = begun
        if waiting is not None:
            yield from _shared_out(waiting[0], waiting[1].result())


def _batches(store: Store, ids: Iterable[str]) -> Iterator[list[tuple[str, Captions | str]]]:
    batch: list[tuple[str, Captions | str]] = []
    clips = 0
    for video_id in ids:
        captions = _look_up(store, video_id)
        batch.append((video_id, captions))
        clips += len(captions) if isinstance(captions, Captions) else 1
        if clips >= BATCH:
            yield batch
            batch, clips = [], 0
    if batch:
        yield batch


def _look_up(store: Store, video_id: str) -> Captions | str:
    key = same_name(video_id, store.entries)
    if key is None:
        return f"it has no captions in {store.source}"
    try:
        captions = parse_captions(store.entries[key], backwards=True)
    except ValueError as error:
        return str(error)
    return captions if len(captions) else "none of its captions says anything"


def _shared_out(
    batch: list[tuple[str, Captions | str]], tokens: Tokens
) -> Iterator[tuple[str, Captions | str, Tokens]]:
    at = 0
    for video_id, captions in batch:
        count = 0 if isinstance(captions, str) else len(captions)
        yield video_id, captions, tokens[at : at + count]
        at += count
