"""Many videos through one backbone: decoding runs ahead in a thread, and batches run across videos.

    decoding thread:  next video -> its seconds, one by one -> bounded queue
    caller's thread:  queue -> batch of seconds, of one video or of several -> backbone -> rows, by video

A batch is filled up with the next video's first seconds. What waits in the queue is bounded, so memory does not grow
with the length of a video; its rows, 2 kB a second, are all that is kept of it.
"""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch.nn.functional as F

from mmpt.video.backbones.base import Backbone

AHEAD = 8  # seconds that may wait for the backbone, or a batch where that is more
STOPPING = 5.0  # seconds for the thread to end; it may be reading a large file for its hash
PATIENCE = 0.2  # seconds between looks at whether the other thread has stopped


class Source(Protocol):
    """A video to read."""

    def seconds(self, on_damage: Callable[[str], None]) -> Iterator[np.ndarray]:
        """Read the video.

        Args:
            on_damage: to be told what could not be read.

        Returns:
            Its seconds, (fps, size, size, 3) uint8 each.
        """
        ...


@dataclass(eq=False)
class Rows:
    """What is computed of one video.

    Attributes:
        source: the video.
        parts: (n, dim) float32 each, in order.
        damage: what could not be read of it.
        error: why it could not be read at all; None when it could.
        done: how many of its seconds are computed.
        finished: all of it is.
    """

    source: Any
    parts: list[np.ndarray] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)
    error: Exception | None = None
    done: int = 0
    finished: bool = False

    def array(self, dim: int) -> np.ndarray:
        """Join the parts.

        Args:
            dim: their width.

        Returns:
            (seconds, dim) float32.
        """
        return np.concatenate(self.parts) if self.parts else np.empty((0, dim), np.float32)


@dataclass
class Meter:
    """Where the time of a stream goes.

    Attributes:
        computing: seconds inside the backbone.
        waiting: seconds in which the backbone had nothing to do because no frames were ready, the first of all apart.
        starting: seconds before the first frames.
    """

    computing: float = 0.0
    waiting: float = 0.0
    starting: float = 0.0

    def add(self, other: "Meter") -> None:
        """Take in another stream's figures."""
        self.computing += other.computing
        self.waiting += other.waiting
        self.starting += other.starting


def stream(
    sources: Iterable[Source | None], backbone: Backbone, *, l2_normalize: bool, meter: Meter | None = None
) -> Generator[Rows, None, None]:
    """Compute the rows of videos.

    The videos are asked for, and read, in a thread of their own; close the iterator to end it early.

    Args:
        sources: the videos; None where there is none at the moment, so that a part of a batch need not wait for more.
        backbone: what turns seconds into vectors.
        l2_normalize: scale each row to unit length.
        meter: takes down where the time goes.

    Yields:
        A video's rows each time that some are added, `finished` with the last. A video that cannot be read comes once
        more with its `error`.

    Raises:
        Exception: what `sources` or the backbone raise.
    """
    capacity = max(AHEAD, backbone.batch_seconds)
    reader = _Reader(sources, capacity)
    reader.start()
    try:
        yield from _compute(reader, backbone, l2_normalize, meter or Meter())
    finally:
        reader.stop()


def _compute(reader: "_Reader", backbone: Backbone, l2_normalize: bool, meter: Meter) -> Iterator[Rows]:
    batch: list[tuple[Rows, np.ndarray]] = []
    ended: list[Rows] = []  # read to their end, with seconds still in the batch
    while True:
        rows, second = reader.next(meter)
        idle = rows is None
        if rows is not None and second is not None:
            batch.append((rows, second))
        elif rows is not None:
            ended.append(rows)
        if len(batch) >= backbone.batch_seconds or (idle and batch):
            yield from _run(batch, backbone, l2_normalize, meter)
            batch = []
        waiting = {id(rows) for rows, _ in batch}
        for rows in [rows for rows in ended if id(rows) not in waiting]:
            ended.remove(rows)
            rows.finished = True
            yield rows
        if idle and reader.exhausted:
            return


def _run(batch: list[tuple[Rows, np.ndarray]], backbone: Backbone, l2_normalize: bool, meter: Meter) -> Iterator[Rows]:
    begin = time.perf_counter()
    frames = batch[0][1][None] if len(batch) == 1 else np.stack([second for _, second in batch])
    vectors = backbone(frames).float()  # (n, fps, size, size, 3) uint8 -> (n, dim)
    vectors = (F.normalize(vectors, dim=1) if l2_normalize else vectors).cpu().numpy()
    meter.computing += time.perf_counter() - begin
    start = 0
    while start < len(batch):
        rows, end = batch[start][0], start
        while end < len(batch) and batch[end][0] is rows:
            end += 1
        rows.parts.append(vectors[start:end])
        rows.done += end - start
        start = end
        yield rows


class _Reader(threading.Thread):
    """Reads videos into a queue of (rows, second); (rows, None) ends a video, (None, None) says that there is none."""

    def __init__(self, sources: Iterable[Source | None], capacity: int) -> None:
        super().__init__(name="mmpt-decoding", daemon=True)
        self._sources = sources
        self._queue: queue.Queue[tuple[Rows | None, np.ndarray | None]] = queue.Queue(capacity)
        self._stopped = threading.Event()
        self._error: BaseException | None = None
        self._begun = False
        self.exhausted = False

    def run(self) -> None:
        """Read all videos."""
        try:
            for source in self._sources:
                wanted = self._put(None, None) if source is None else self._read(Rows(source))
                if not wanted:
                    return
        except BaseException as error:  # it is raised again where the rows are wanted
            self._error = error
        finally:
            self.exhausted = True
            self._put(None, None)

    def _read(self, rows: Rows) -> bool:
        """Read a video; False when nobody wants it any more."""
        try:
            for second in rows.source.seconds(rows.damage.append):
                if not self._put(rows, second):
                    return False
        except Exception as error:  # of this video: it cannot be read, or not so far; the others can
            rows.error = error
        return self._put(rows, None)

    def _put(self, rows: Rows | None, second: np.ndarray | None) -> bool:
        while not self._stopped.is_set():
            try:
                self._queue.put((rows, second), timeout=PATIENCE)
                return True
            except queue.Full:
                continue
        return False

    def next(self, meter: Meter) -> tuple[Rows | None, np.ndarray | None]:
        """Take what was read, waiting for it where need be.

        Args:
            meter: takes down how long.

        Returns:
            A video's rows and a second of it; the rows alone at its end; neither when there is no video at the moment.
        """
        begin = time.perf_counter()
        rows, second = self._queue.get()
        waited = time.perf_counter() - begin
        if not self._begun:
            meter.starting += waited
        elif second is not None:
            meter.waiting += waited
        self._begun = self._begun or second is not None
        if self._error is not None and rows is None and self.exhausted:
            raise self._error
        return rows, second

    def stop(self) -> None:
        """End the thread, and give it time to let go of its file."""
        self._stopped.set()
        self.join(STOPPING)
