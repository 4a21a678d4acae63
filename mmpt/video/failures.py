"""`failures.jsonl`: the videos that could not be extracted, and why; one that later can disappears from it."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmpt.utils.failures import FAILURES, failure_line, read_failures
from mmpt.utils.files import atomic_path
from mmpt.video.claims import Claims

LOCK = ".failures"  # the claim under which the file is rewritten
EVERY = 2.0  # seconds between two writings
WAIT = 20.0  # seconds to wait for another writer at the end


class SharedFailures:
    """Failures of one run, merged into the file that all runs on a folder share.

    Args:
        folder: the folder of features.
        claims: the run's claims.
        clock: gives seconds.
    """

    def __init__(self, folder: Path, claims: Claims, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = folder / FAILURES
        self._claims = claims
        self._clock = clock
        self._failed: dict[str, dict[str, str]] = {}
        self._well: set[str] = set()
        self._written = clock()
        self._listed = set(read_failures(self.path))

    def failed(self, video: str, path: Path, reason: str) -> None:
        """Note that a video could not be extracted."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        self._failed[video] = {"video": video, "path": str(path), "reason": reason, "time": now}
        self._perhaps_write()

    def succeeded(self, video: str) -> None:
        """Note that a video has its features."""
        if self._failed.pop(video, None) is not None or video in self._listed:
            self._well.add(video)
            self._perhaps_write()

    def _perhaps_write(self) -> None:
        if self._clock() - self._written >= EVERY:
            self.write(wait=0)

    def write(self, *, wait: float = WAIT) -> None:
        """Merge what was noted into the file.

        Args:
            wait: seconds to wait for another writer; after them the file is left for later.

        Raises:
            OSError: it cannot be written.
        """
        if not self._failed and not self._well:
            return
        until = self._clock() + wait
        while (claim := self._claims.take(LOCK)) is None:
            if self._clock() >= until:
                return
            time.sleep(0.05)
        try:
            self._merge()
        finally:
            self._claims.release(claim)
        self._written = self._clock()
        self._listed |= set(self._failed)
        self._listed -= self._well
        self._failed, self._well = {}, set()  # told once: what another run finds out later is not to be undone

    def _merge(self) -> None:
        entries: dict[str, dict[str, Any]] = {**read_failures(self.path), **self._failed}
        for video in self._well:
            entries.pop(video, None)
        if not entries:
            self.path.unlink(missing_ok=True)
            return
        lines = "".join(failure_line(entry) for _, entry in sorted(entries.items()))
        with atomic_path(self.path) as temporary:
            temporary.write_text(lines, encoding="utf-8")
