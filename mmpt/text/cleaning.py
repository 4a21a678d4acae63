"""A caption file, or a folder of subtitle files -> a clean caption file, in several processes and constant memory."""

import contextlib
import functools
import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mmpt.text.captionfiles import Entry, check_target, read_entries, write_entries
from mmpt.text.captions import parse_captions
from mmpt.text.dedup import Tally, dedup_entry
from mmpt.text.subtitles import find_subtitles, read_subtitles
from mmpt.utils.disk import disk_full_told
from mmpt.utils.failures import FailureLog, failure_log
from mmpt.utils.leftovers import sweep
from mmpt.utils.parallel import ordered_map

BATCH = 64  # videos that a process takes at a time


@dataclass
class Summary:
    """What became of the videos and their captions.

    Attributes:
        videos: read.
        written: with clean captions.
        wordless: of those written, without any caption left.
        failed: not written; the failures file says why.
        failures: the first few of them.
        noted: number of subtitle files with lines that were left out.
        notes: the first few of them.
        tally: of the captions of the videos that were written.
    """

    videos: int = 0
    written: int = 0
    wordless: int = 0
    failed: int = 0
    failures: list[str] = field(default_factory=list)
    noted: int = 0
    notes: list[str] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)


class _Cleaned(NamedTuple):
    video_id: str
    captions: str  # JSON text; empty for a failure
    tally: Tally | None
    reason: str = ""
    note: str = ""


def failures_path(target: Path) -> Path:
    """Name the file of failures that lies beside a caption file."""
    return target.with_name(f"{target.stem}.failures.jsonl")


def clean(
    entries: Iterable[Entry],
    targets: Sequence[Path],
    *,
    seed: int = 0,
    workers: int = 1,
    encoding: str | None = None,
    refused: Iterable[tuple[str, str]] = (),
    on_progress: Callable[[int, float], None] = lambda videos, done: None,
) -> Summary:
    """Clean captions and write them.

    Args:
        entries: the videos, as `read_entries` or `subtitle_entries` give them.
        targets: .pkl or .json files, all with the same content.
        seed: of the draws.
        workers: processes.
        encoding: of subtitle files that are not in UTF-8.
        refused: (video id, reason) of videos that are known to fail.
        on_progress: is told how many videos are done, and which part of the input.

    Returns:
        What became of them. Failures are in `failures_path(targets[0])`.

    Raises:
        ValueError: the input is damaged, or holds no video that can be used.
        OSError: a file cannot be read or written; no file is changed.
    """
    for target in targets:
        check_target(target)
        sweep(target.parent, target.stem)
    summary = Summary()
    work = functools.partial(_clean_batch, seed=seed, encoding=encoding)
    with contextlib.ExitStack() as stack:
        stack.enter_context(disk_full_told(targets[0]))
        log = stack.enter_context(failure_log(failures_path(targets[0])))
        writers = [stack.enter_context(write_entries(target)) for target in targets]
        for video_id, reason in refused:
            summary.videos += 1
            log.add(video_id, reason)
        for results in ordered_map(work, _batches(entries, log, summary), workers=workers):
            for result in results.cleaned:
                _record(result, writers, log, summary)
            on_progress(summary.written + log.count, results.done)
        summary.failed, summary.failures = log.count, log.first
        if not summary.videos:
            raise ValueError("the captions name no video")
        if not summary.written:
            raise ValueError(f"none of {log.count:,} videos has captions that can be used; {log.first[0]}")
    return summary


def subtitle_entries(files: dict[str, Path]) -> Iterator[Entry]:
    """Name subtitle files as entries; the processes that clean them read them.

    Args:
        files: video id -> file.

    Yields:
        The entries.
    """
    for number, (video_id, path) in enumerate(files.items(), 1):
        yield Entry(video_id, path, number / len(files))


def open_source(
    path: Path, *, language: str | None = None, videos: Collection[str] = ()
) -> tuple[Iterable[Entry], list[tuple[str, str]]]:
    """Take captions from a file or a folder.

    Args:
        path: raw_caption.json, raw_caption.pkl, or a folder of .srt and .vtt files.
        language: as for `find_subtitles`.
        videos: as for `find_subtitles`.

    Returns:
        The videos, and (id, reason) of those that are known to fail.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: it holds no captions.
    """
    if path.is_dir():
        files, refused = find_subtitles(path, language=language, videos=videos)
        return subtitle_entries(files), list(refused.items())
    return read_entries(path), []


class _Batch(NamedTuple):
    entries: list[tuple[str, Any]]
    done: float


class _Results(NamedTuple):
    cleaned: list[_Cleaned]
    done: float


def _batches(entries: Iterable[Entry], log: FailureLog, summary: Summary) -> Iterator[_Batch]:
    seen: set[str] = set()
    iterator = iter(entries)
    while taken := list(itertools.islice(iterator, BATCH)):
        batch = []
        for entry in taken:
            summary.videos += 1
            if entry.video_id in seen:
                log.add(entry.video_id, "its id stands there twice; the captions of the first place are kept")
                continue
            seen.add(entry.video_id)
            batch.append((entry.video_id, entry.value))
        yield _Batch(batch, taken[-1].done)


def _clean_batch(batch: _Batch, *, seed: int, encoding: str | None) -> _Results:
    return _Results([_clean_one(video_id, value, seed, encoding) for video_id, value in batch.entries], batch.done)


def _clean_one(video_id: str, value: Any, seed: int, encoding: str | None) -> _Cleaned:
    try:
        if not isinstance(value, Path):
            return _Cleaned(video_id, *dedup_entry(video_id, parse_captions(value), seed))
        subtitles = read_subtitles(value, encoding=encoding)
        captions, tally = dedup_entry(video_id, subtitles.captions, seed)
        tally.captions += subtitles.carried
        tally.merged += subtitles.carried
        return _Cleaned(video_id, captions, tally, note=subtitles.stray)
    except (ValueError, OSError) as error:
        return _Cleaned(video_id, "", None, str(error))


def _record(result: _Cleaned, writers: Sequence[Callable[[str, str], None]], log: FailureLog, summary: Summary) -> None:
    if result.tally is None:
        log.add(result.video_id, result.reason)
        return
    for write in writers:
        write(result.video_id, result.captions)
    if result.note:
        summary.noted += 1
        summary.notes += [result.note] if len(summary.notes) < FailureLog.SHOWN else []
    summary.written += 1
    summary.wordless += not result.tally.kept
    summary.tally.add(result.tally)
