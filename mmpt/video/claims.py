"""Who works on what: a file for each name in hand, so that many processes and machines share one folder.

A claim is a file `<name>.<generation>`, made only where there is none (O_EXCL). It says who made it, and its time of
change is renewed as long as its maker lives. A claim that was left behind is not removed but outbid: the next
generation's file is made, again only where there is none, so that of several who find it one wins. Whoever made it
looks once more whether all lower ones are still there and left behind: else the name was given back meanwhile, and may
have been claimed anew from the lowest generation on. A finished claim's file is removed last, after the lower ones that
are left behind.
"""

import contextlib
import json
import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

BEAT = 15.0  # seconds between two renewals of a claim
STALE = 8 * BEAT  # seconds without a renewal, after which whoever made a claim is taken for dead
UNTOLD = 10.0  # seconds after which a claim that says nothing is taken for one whose maker died while making it
GENERATIONS = 10_000  # of one name; as many makers would have to die over it
TRIES = 3  # at a name that is given back while it is being claimed
START_TIME = 19  # place of a process's start time in /proc/PID/stat, counted behind the name in brackets


@dataclass(frozen=True)
class Claim:
    """A name in one's own hand.

    Args:
        folder: of the claims.
        name: the name.
        generation: of its file.
    """

    folder: Path
    name: str
    generation: int

    @property
    def path(self) -> Path:
        """Its file."""
        return self._file(self.generation)

    @property
    def lower(self) -> list[Path]:
        """The files of the generations below it."""
        return [self._file(generation) for generation in range(self.generation)]

    @property
    def next(self) -> Path:
        """The file of whoever outbids it."""
        return self._file(self.generation + 1)

    def _file(self, generation: int) -> Path:
        return self.folder / f"{self.name}.{generation}"


class Claims:
    """The claims of one process in a folder; a context manager that gives all of them back.

    Args:
        folder: where claims lie; made at the first one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: set[Claim] = set()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._beating: threading.Thread | None = None

    def take(self, name: str) -> Claim | None:
        """Claim a name.

        Args:
            name: what is to be worked on.

        Returns:
            The claim; None where somebody else who lives has it.

        Raises:
            OSError: a claim cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for _ in range(TRIES):
            claim = self._bid(name)
            if claim is None:
                return None
            if all(_left_behind(lower) for lower in claim.lower):
                with self._lock:
                    self._held.add(claim)
                self._beat()
                return claim
            claim.path.unlink(missing_ok=True)
        return None

    def _bid(self, name: str) -> Claim | None:
        """Make the file of the first generation that has none, where all below it are left behind."""
        for generation in range(GENERATIONS):
            claim = Claim(self.folder, name, generation)
            if _make(claim.path):
                return claim
            if not _left_behind(claim.path):
                return None
        return None

    def is_free(self, name: str) -> bool:
        """Whether nobody who lives works on a name.

        Args:
            name: the name.

        Returns:
            False where there is a claim of somebody who lives.
        """
        for generation in range(GENERATIONS):
            path = self.folder / f"{name}.{generation}"
            if not path.exists():
                return True
            if not _left_behind(path):
                return False
        return True

    def release(self, claim: Claim) -> None:
        """Give a claim back.

        Args:
            claim: one that `take` gave; nothing happens when it was given back before.
        """
        with self._lock:
            if claim not in self._held:
                return
            self._held.remove(claim)
        with contextlib.suppress(OSError):
            _remove(claim)

    def __enter__(self) -> "Claims":
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        for claim in list(self._held):
            self.release(claim)
        if self._beating is not None:
            self._beating.join()
        with contextlib.suppress(OSError):  # others still have claims, or there never was one
            self.folder.rmdir()

    def _beat(self) -> None:
        if self._beating is None:
            self._beating = threading.Thread(target=self._renew, name="mmpt-claims", daemon=True)
            self._beating.start()

    def _renew(self) -> None:
        while not self._closed.wait(BEAT):
            with self._lock:
                held = list(self._held)
            for claim in held:
                with contextlib.suppress(OSError):  # given back meanwhile
                    os.utime(claim.path)


def _make(path: Path) -> bool:
    """Make a claim's file; False where there is one."""
    for _ in range(3):
        try:
            file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            break
        except FileExistsError:
            return False
        except FileNotFoundError:  # somebody who was done removed the empty folder
            path.parent.mkdir(parents=True, exist_ok=True)
    else:
        raise FileNotFoundError(f"{path.parent} is removed again and again")
    try:
        with os.fdopen(file, "w", encoding="utf-8") as opened:
            json.dump(
                {**_place(), "pid": os.getpid(), "started": _start_time(os.getpid()), "since": time.time()}, opened
            )
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return True


def _remove(claim: Claim) -> None:
    """Remove a claim's file, after those below it; but not from under somebody who took its maker for dead."""
    os.utime(claim.path)  # from here on nobody newly takes it for left behind
    if claim.next.exists():
        os.truncate(claim.path, 0)  # says nothing: left behind in a moment, and for its outbidder to remove
        return
    for lower in filter(_left_behind, claim.lower):
        with contextlib.suppress(OSError):
            lower.unlink()
    claim.path.unlink()


def _left_behind(path: Path) -> bool:
    """Whether a claim's maker is dead, or has not been heard of for long."""
    try:
        age = _clock(path.parent) - path.stat().st_mtime
        told = _read(path)
    except OSError:  # given back at this moment, or not to be looked at: as good as somebody's
        return False
    if told is None:
        return age > UNTOLD
    if {key: told.get(key) for key in _place()} == _place() and isinstance(told.get("pid"), int):
        return not _lives(told["pid"], told.get("started"))
    return age > STALE


def _read(path: Path) -> dict[str, Any] | None:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _clock(folder: Path) -> float:
    """The time as the folder's file system tells it, which may be another machine's."""
    path = folder / f".clock-{uuid4().hex}"
    try:
        path.touch()
        return path.stat().st_mtime
    finally:
        path.unlink(missing_ok=True)


def _place() -> dict[str, str]:
    """Where process numbers mean something: the machine since it started, and the container on it."""
    place = {"host": socket.gethostname(), "boot": "", "space": ""}
    with contextlib.suppress(OSError):  # Linux only
        place["boot"] = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        place["space"] = os.readlink("/proc/self/ns/pid")
    return place


def _lives(pid: int, started: Any) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's process
        pass
    now = _start_time(pid)
    return started is None or now is None or now == started  # else the number is another process's now


def _start_time(pid: int) -> str | None:
    """When a process began, in the system's ticks; None where the system does not say, "" for one that has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return "" if fields[0] == "Z" else fields[START_TIME]
    except (OSError, IndexError):
        return None
