"""Whether a library is sound, what is in it, and all of it as plain files."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np

from mmpt.search.records import VideoRecord
from mmpt.search.store import Store
from mmpt.search.store_tables import NUMBERS, WINDOWS
from mmpt.utils.files import atomic_path
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
    problems = [Problem("leftover", "", "", f"rows of a process that was stopped ({name})") for name in store.orphans()]
    problems += [Problem("double", video_id, "", "stands there twice") for video_id in store.doubles()]
    lost = set(store.lost())
    for number, record in enumerate(records.values(), 1):
        problems += _check_video(store, record, lost=record.id in lost)
        if on_video is not None:
            on_video(number, len(records))
    if not repair:
        return problems
    mended = [problem for problem in problems if REPAIRS[problem.kind]]
    store.delete({problem.video for problem in mended if REPAIRS[problem.kind] == "taken out"})
    store.tidy(force=True)
    return [Problem(**{**asdict(p), "repaired": bool(REPAIRS[p.kind])}) for p in problems]


def _check_video(store: Store, record: VideoRecord, *, lost: bool) -> list[Problem]:
    def problem(kind: Fault, detail: str) -> Problem:
        return Problem(kind, record.id, record.path, detail)

    found = []
    if not Path(record.path).is_file():
        found.append(problem("missing file", "its file is gone; mmpt index update finds it where it was moved to"))
    if lost:
        return [*found, problem("lost vectors", "its vectors are gone; index it again")]
    kept = next(store.vectors([record.id]), None)
    if kept is None:  # taken out meanwhile
        return found
    _, windows, vectors = kept
    tokens = store.tokens(record.id)
    if not (np.isfinite(vectors).all() and np.isfinite(tokens).all()):
        found.append(problem("bad vectors", "its vectors hold numbers that are not finite; index it again"))
    bounds = (
        len(windows)
        and windows.min() >= 0
        and windows.max() <= record.seconds
        and (windows[:, 0] < windows[:, 1]).all()
    )
    if not bounds or len(windows) != record.windows or len(vectors) != len(windows) or len(tokens) != record.seconds:
        found.append(problem("bad windows", "it has no windows, or others than its record says; index it again"))
    if len(store.captions(record.id)) != record.captions:
        found.append(
            problem("captions", f"its record says {record.captions} captions, others are there; index it again")
        )
    return found


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
        "missing": sum(not Path(record.path).is_file() for record in records),
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
        ValueError: the folder holds an export already, or files of other kinds by these names.
    """
    target = Path(folder)
    if (target / "about.json").exists():
        raise ValueError(f"{target} holds an export already; name another folder, or remove it first")
    records = store.videos()
    target.mkdir(parents=True, exist_ok=True)
    count = 0
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context(_rows_file(target / f"{name}.npy", *kind)) for name, kind in _kinds(store)}
        lines = stack.enter_context(
            stack.enter_context(atomic_path(target / "videos.jsonl")).open("w", encoding="utf-8")
        )
        for video_id, windows, vectors in store.vectors(set(records)):
            tokens, record = store.tokens(video_id), records[video_id]
            rows = {"first_window": files["windows"].rows, "first_second": files["tokens"].rows}
            for name, array in (("windows", windows), ("vectors", vectors), ("tokens", tokens)):
                files[name].append(array)
            said = [asdict(caption) for caption in store.captions(video_id)]
            lines.write(json.dumps({**asdict(record), **rows, "said": said}, ensure_ascii=False) + "\n")
            count += 1
            if on_video is not None:
                on_video(count, len(records))
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
