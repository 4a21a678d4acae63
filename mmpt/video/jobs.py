"""Videos to extract: what they are called, how they are done, who does which, and what becomes of them."""

import contextlib
import errno
import hashlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mmpt.utils.content import remembered_hash
from mmpt.utils.leftovers import half_written
from mmpt.video.backbones.base import Backbone, build_backbone
from mmpt.video.claims import STALE, Claims

CLAIMS = ".claims"  # the folder of claims, inside the folder of features
POLL = 0.5  # seconds between looks at what other extractors have in hand
FULL = (errno.ENOSPC, errno.EDQUOT)
CUT_STEM = 80  # bytes; a longer stem may be cut in a temporary file's name


@dataclass(frozen=True)
class Video:
    """A video to extract.

    Args:
        id: the stem of its file, and of its feature file.
        path: the file.
    """

    id: str
    path: Path


@dataclass(frozen=True)
class Plan:
    """How videos are extracted; it travels to other processes.

    Args:
        out: folder of the feature files.
        backbone: registered name, or ``package.module:Class``.
        options: what its constructor is given.
        l2_normalize: scale each second to unit length.
        strict: count a video that is damaged in part as failed.
        overwrite: do again what is done.
        durations: look at each video's length first, for a display.
    """

    out: Path
    backbone: str = "s3d"
    options: Mapping[str, Any] = field(default_factory=dict)
    l2_normalize: bool = True
    strict: bool = False
    overwrite: bool = False
    durations: bool = False

    def target(self, video: Video) -> Path:
        """The feature file of a video."""
        return self.out / f"{video.id}.npy"

    def build(self) -> Backbone:
        """Make the backbone."""
        return build_backbone(self.backbone, **self.options)


EventKind = Literal["begin", "progress", "done", "skipped", "kept", "busy", "left", "failed"]


@dataclass(frozen=True)
class Event:
    """What became of a video.

    Attributes:
        kind: ``"begin"``; ``"progress"``; then one of ``"done"``; ``"skipped"``, done before; ``"kept"``, a file is
            there that says nothing of itself; ``"busy"``, somebody else has it now; ``"left"`` to somebody else for
            good; ``"failed"``.
        video: the video.
        seconds: of it: its length (begin; 0 for unknown), or how many are computed.
        reason: why it failed.
        damage: what could not be read of it.
        replaced: what its file was made of before, where that is lost now.
    """

    kind: EventKind
    video: Video
    seconds: int = 0
    reason: str = ""
    damage: tuple[str, ...] = ()
    replaced: str = ""


Report = Callable[[Event], None]


class Board:
    """Which videos are still to be given out; each is given to one extractor at a time.

    Args:
        videos: all of them.
        wait: for those that other extractors have in hand, until these are done or dead.
    """

    def __init__(self, videos: Sequence[Video], *, wait: bool = True) -> None:
        self._pending = deque(videos)
        self._busy: list[Video] = []
        self._again = 0.0
        self._wait = wait

    @property
    def empty(self) -> bool:
        """Whether no video is left to give out."""
        return not self._pending and not self._busy

    def next(self) -> Video | None:
        """Give out a video; None where there is none at the moment."""
        if not self._pending and self._busy and time.monotonic() >= self._again:
            self._pending.extend(self._busy)
            self._busy.clear()
            self._again = time.monotonic() + POLL
        return self._pending.popleft() if self._pending else None

    def settle(self, event: Event) -> Event:
        """Take note of what became of a video.

        Args:
            event: as an extractor tells it.

        Returns:
            The same; ``"left"`` for a busy one that is not waited for.
        """
        if event.kind != "busy":
            return event
        if not self._wait:
            return Event("left", event.video)
        self._busy.append(event.video)
        return event


def name_videos(paths: Iterable[Path]) -> list[Video]:
    """Name videos by the stems of their files.

    Args:
        paths: the files; one that comes twice counts once.

    Returns:
        The videos in the order given. Of several files with one stem and the same bytes, the first.

    Raises:
        ValueError: files with one stem differ.
    """
    by_stem: dict[str, dict[str, Path]] = {}
    for path in paths:
        by_stem.setdefault(_stem(path), {}).setdefault(os.path.realpath(path), path)
    groups = [list(places.values()) for places in by_stem.values()]
    clashes = [same for same in groups if len(same) > 1 and len(set(map(_content, same))) > 1]
    if clashes:
        lines = [f"  - {', '.join(map(str, same))}" for same in sorted(clashes)[:10]]
        more = [f"  - and {len(clashes) - 10} more"] if len(clashes) > 10 else []
        raise ValueError(
            "these videos share a name, so they would share a feature file; rename them, or give each folder of videos "
            "an output folder of its own:\n" + "\n".join(lines + more)
        )
    return [Video(_stem(same[0]), same[0]) for same in groups]


def _stem(path: Path) -> str:
    """A file's name without its ending; a dot at the end stays, so that `x.` and `x.3g2` are two videos everywhere.

    pathlib takes such a dot for an ending from Python 3.14 on.
    """
    return path.name if path.name.endswith(".") else path.stem


def _content(path: Path) -> str:
    try:
        return remembered_hash(path)
    except OSError:  # it will be told of when its turn comes; until then it is like no other
        return str(path)


def in_shard(video: Video, number: int, count: int) -> bool:
    """Whether a video belongs to a part of all videos.

    Args:
        video: the video; its id alone decides, on every machine alike.
        number: of the part, from 1 on.
        count: of parts.

    Returns:
        True for one of the `count` numbers.
    """
    digest = hashlib.sha256(os.fsencode(video.id)).digest()
    return int.from_bytes(digest[:8], "big") % count == number - 1


def prepare_folder(folder: Path) -> None:
    """Make a folder of features, and remove what killed extractors left half-written in it.

    Args:
        folder: the folder.

    Raises:
        OSError: it cannot be made, or not be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    claims = Claims(folder / CLAIMS)
    for path, stem in half_written(folder):
        if path.suffix != ".npy":
            continue
        if len(os.fsencode(stem)) >= CUT_STEM:
            dead = time.time() - path.stat().st_mtime > STALE
        else:
            dead = claims.is_free(stem)
        if dead:
            path.unlink(missing_ok=True)
    probe_file = folder / f".{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        probe_file.write_bytes(b"0")
    finally:
        probe_file.unlink(missing_ok=True)


class OutputError(OSError):
    """Features cannot be written, so that no video can be done."""


@contextlib.contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Say of an error in writing what to do about it.

    Args:
        folder: the folder of features.

    Raises:
        OutputError: in place of any OSError.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        again = "then give the same command again: what is written is whole, and is not done again"
        if error.errno in FULL:
            raise OutputError(f"no space is left for features in {folder} ({error}); free some, {again}") from error
        raise OutputError(
            f"features cannot be written to {folder} ({error}); make it a folder that you may write to, or choose "
            f"another, {again}"
        ) from error
