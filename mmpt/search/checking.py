"""Whether a library is sound, what is in it, and all of it as plain files."""

import contextlib
import json
import os
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from mmpt.search.sources import is_there
from mmpt.search.store import Store
from mmpt.search.store_tables import NUMBERS, WINDOWS, Entry
from mmpt.search.store_upkeep import ORPHAN_AGE
from mmpt.utils.files import atomic_path
from mmpt.utils.leftovers import TEMPORARY
from mmpt.utils.npyfile import header_bytes

Fault = Literal["missing file", "lost vectors", "bad vectors", "bad windows", "captions", "leftover", "double"]
REPAIRS: dict[Fault, str] = {
    "missing file": "",  # a disk may just not be plugged in: mmpt index update --prune takes such videos out
    "lost vectors": "taken out",
    "bad vectors": "taken out",
    "bad windows": "taken out",
    "captions": "taken out",
    "leftover": "removed",
    "double": "removed",
}


@dataclass(frozen=True)
class Problem:
    """Something that is not as it ought to be.

    Attributes:
        kind: what kind of thing.
        video: id of the video; empty where it is none's.
        path: the video's file; empty likewise.
        detail: what is wrong, and what mends it.
        repaired: whether it was mended.
    """

    kind: Fault
    video: str
    path: str
    detail: str
    repaired: bool = False


def check(store: Store, *, repair: bool = False, on_video: Callable[[int, int], None] | None = None) -> list[Problem]:
    """Look at everything in a library.

    Args:
        store: the library.
        repair: take out what cannot be used, so that `mmpt index update` brings it back, and remove leftovers.
        on_video: told how many videos are looked at, and of how many.

    Returns:
        What is not as it ought to be; nothing when all is well.
    """
    records = store.videos()
    files = leftover_files(store.folder)
    problems = [Problem("leftover", "", str(path), "half-written by a process that was killed") for path in files]
    problems += [Problem("leftover", "", "", f"rows of a process that was killed ({name})") for name in store.orphans()]
    problems += [Problem("double", video_id, "", "is stored twice") for video_id in store.doubles()]
    problems += [
        Problem(
            "missing file", record.id, record.path, "its file is gone; mmpt index update finds it where it was moved"
        )
        for record in records.values()
        if not is_there(record.path)
    ]
    problems += [
        Problem("lost vectors", video_id, records[video_id].path, "its vectors are gone; index it again")
        for video_id in store.lost()
        if video_id in records
    ]
    for number, entry in enumerate(store.entries(), 1):
        problems += [Problem(kind, entry.record.id, entry.record.path, told) for kind, told in _faults(entry)]
        if on_video is not None:
            on_video(number, max(number, len(records)))
    if not repair:
        return problems
    store.delete({problem.video for problem in problems if REPAIRS[problem.kind] == "taken out"})
    store.tidy(force=True)
    for path in files:
        path.unlink(missing_ok=True)
    return [replace(problem, repaired=bool(REPAIRS[problem.kind])) for problem in problems]


def leftover_files(folder: Path | None, older_than: float = ORPHAN_AGE) -> list[Path]:
    """Find files that a killed process left: LanceDB's, which it never reads again, and our own in `side`.

    Args:
        folder: the library's; None for an object store, which has no such files.
        older_than: seconds without a write; younger files may belong to a running process.

    Returns:
        The files.
    """
    if folder is None:
        return []
    found = [*folder.glob("*.lance/**/.tmp*"), *(folder / "side").glob("claims/*")]
    found += [path for path in (folder / "side").rglob(".*") if TEMPORARY.fullmatch(path.name)]
    return sorted(path for path in found if _is_idle(path, older_than))


def _is_idle(path: Path, seconds: float) -> bool:
    """True if a file still exists and was not written to for some time."""
    try:
        about = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(about.st_mode) and time.time() - about.st_mtime > seconds


def _faults(entry: Entry) -> Iterator[tuple[Fault, str]]:
    """What is wrong with a video."""
    record, windows = entry.record, entry.windows
    if not (np.isfinite(entry.vectors).all() and np.isfinite(entry.tokens).all()):
        yield "bad vectors", "its vectors hold numbers that are not finite; index it again"
    bounds = (
        len(windows)
        and windows.min() >= 0
        and windows.max() <= record.seconds
        and (windows[:, 0] < windows[:, 1]).all()
    )
    counts = (len(windows), len(entry.vectors), len(entry.tokens))
    if not bounds or counts != (record.windows, record.windows, record.seconds):
        yield "bad windows", "it has no windows, or others than its record says; index it again"
    if len(entry.captions) != record.captions:
        yield "captions", f"its record says {record.captions} captions, others are there; index it again"


def stats(store: Store) -> dict[str, Any]:
    """Sum up what is in a library.

    Args:
        store: the library.

    Returns:
        videos, seconds, windows, captions, with_captions, damaged, missing (files), bytes (on disk; None for an object
        store), version, sources (folders and files that `update` looks at), and what `about` says.
    """
    records = list(store.videos().values())
    return {
        "address": store.address,
        "videos": len(records),
        "seconds": sum(record.seconds for record in records),
        "windows": sum(record.windows for record in records),
        "captions": sum(record.captions for record in records),
        "with_captions": sum(record.captions > 0 for record in records),
        "damaged": sum(bool(record.damage) for record in records),
        "missing": sum(not is_there(record.path) for record in records),
        "bytes": None if store.folder is None else _size(store.folder),
        "version": store.version(),
        "sources": [source.path for source in store.sources() if not source.excluded],
        "about": store.about,
    }


def export(store: Store, folder: str | os.PathLike[str], *, on_video: Callable[[int, int], None] | None = None) -> int:
    """Write a library as plain files that need no LanceDB.

    Args:
        store: the library.
        folder: where they go. ``about.json`` says what the library is; ``videos.jsonl`` has a line for each video, with
            its captions and the rows that it has in the other files; ``windows.npy``, int32 (N, 2), and
            ``vectors.npy``, float16 (N, D), hold its windows; ``tokens.npy``, float16 (S, D), its seconds.
        on_video: told how many videos are written, and of how many.

    Returns:
        How many videos.

    Raises:
        ValueError: the folder holds an export already, or other files by these names.
    """
    target = Path(folder)
    names = ("about.json", "videos.jsonl", *(f"{name}.npy" for name, _ in _kinds(store)))
    if there := [name for name in names if (target / name).exists()]:
        raise ValueError(
            f"{target} holds an export already, or another {there[0]}; name another folder, or remove it first"
        )
    total = len(store.videos())
    target.mkdir(parents=True, exist_ok=True)
    count = 0
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context(_rows_file(target / f"{name}.npy", *kind)) for name, kind in _kinds(store)}
        lines = stack.enter_context(
            stack.enter_context(atomic_path(target / "videos.jsonl")).open("w", encoding="utf-8")
        )
        for count, entry in enumerate(store.entries(), 1):
            rows = {"first_window": files["windows"].rows, "first_second": files["tokens"].rows}
            for name, file in files.items():
                file.append(getattr(entry, name))
            said = [asdict(caption) for caption in entry.captions]
            lines.write(json.dumps({**asdict(entry.record), **rows, "said": said}, ensure_ascii=False) + "\n")
            if on_video is not None:
                on_video(count, max(count, total))
    with atomic_path(target / "about.json") as path:  # the last: without it the export is not whole
        path.write_text(json.dumps(store.about, indent=1) + "\n", encoding="utf-8")
    return count


class _Rows:
    """Rows of a .npy file whose number is not known before the last one."""

    def __init__(self, file: BinaryIO, width: int, kind: np.dtype) -> None:
        self.rows, self._file, self._width, self._kind = 0, file, width, kind
        file.write(self._header())

    def append(self, array: np.ndarray) -> None:
        """Write rows, (n, width)."""
        self._file.write(np.ascontiguousarray(array, self._kind).data)
        self.rows += len(array)

    def close(self) -> None:
        """Say how many there are."""
        self._file.seek(0)
        self._file.write(self._header())  # as long as the first one was

    def _header(self) -> bytes:
        return header_bytes((self.rows, self._width), self._kind)


@contextlib.contextmanager
def _rows_file(target: Path, width: int, kind: np.dtype) -> Iterator[_Rows]:
    with atomic_path(target) as path, path.open("wb") as file:
        rows = _Rows(file, width, kind)
        yield rows
        rows.close()


def _kinds(store: Store) -> list[tuple[str, tuple[int, np.dtype]]]:
    """The export's arrays: width and type."""
    return [("windows", (2, WINDOWS)), ("vectors", (store.dim, NUMBERS)), ("tokens", (store.dim, NUMBERS))]


def _size(folder: Path) -> int:
    """Bytes of all files below a folder; those that go away meanwhile count nothing."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += os.stat(os.path.join(place, name)).st_size
    return total
