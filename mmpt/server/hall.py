"""What all requests share: the library as it is now, and the bounds on what is done at a time."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from anyio import to_thread
from fastapi import Request

from mmpt.search.example import example_vector
from mmpt.search.library import VideoLibrary
from mmpt.search.records import VideoRecord
from mmpt.server.errors import ProblemError
from mmpt.server.limits import Gate, Pace
from mmpt.server.metrics import Metrics
from mmpt.server.pictures import Pictures
from mmpt.server.settings import Settings
from mmpt.server.streaming import open_video
from mmpt.server.uploads import Uploads

SEARCHES_WAITING = 16  # searches and curves that wait for their turn
PATIENCE = 5.0  # seconds that one waits at most
MAX_FOLDERS = 500  # that are offered as filters
WARM = "a video of something that happens"


@dataclass(frozen=True)
class Snapshot:
    """A library at one of its versions.

    Attributes:
        version: of the library.
        videos: by id, in the order of their paths.
        folders: that videos lie in.
    """

    version: int
    videos: dict[str, VideoRecord] = field(default_factory=dict)
    folders: tuple[str, ...] = ()


class Hall:
    """The shared state of a server.

    Args:
        library: the library.
        settings: the server's.
        opening: keyword arguments that the library is opened with, for processes that open it anew.
    """

    def __init__(self, library: VideoLibrary, settings: Settings, opening: Mapping[str, Any] | None = None) -> None:
        self.library = library
        self.settings = settings
        self.metrics = Metrics()
        self.pictures = Pictures(processes=settings.decoders)
        self.searching = Gate("searches", running=settings.searches, waiting=SEARCHES_WAITING, patience=PATIENCE)
        self.reading = Gate("look-ups", running=4, waiting=64, patience=PATIENCE)
        self.opening = Gate("checks of files", running=2, waiting=64, patience=PATIENCE)
        self.streaming = Gate("videos", running=settings.streams, waiting=0, patience=1)
        self.pace = Pace("searches", per_second=settings.per_second, burst=settings.burst)
        self.wrong_tokens = Pace("wrong tokens", per_second=0.2, burst=5)
        self.uploads = self._uploads(opening or {})
        self._snapshot = Snapshot(-1)

    def _uploads(self, opening: Mapping[str, Any]) -> Uploads | None:
        if self.settings.uploads is None:
            return None
        return Uploads(
            self.settings.uploads,
            self.library.address,
            opening,
            self.settings,
            known=lambda: self.snapshot().videos,
            count=self.metrics.upload,
        )

    def snapshot(self) -> Snapshot:
        """Give the library as it is now; it is read again only when some process changed it."""
        try:
            version = self.library.store.version()
        except FileNotFoundError:  # nothing was put in yet
            return Snapshot(0)
        if version != self._snapshot.version:
            videos = {record.id: record for record in self.library.videos()}
            folders = sorted({str(Path(record.path).parent) for record in videos.values()})
            self._snapshot = Snapshot(version, videos, tuple(folders[:MAX_FOLDERS]))
        return self._snapshot

    def record(self, video_id: str) -> VideoRecord:
        """Give a video.

        Raises:
            ProblemError: 404, the library has none of that id.
        """
        record = self.snapshot().videos.get(video_id)
        if record is None:
            raise ProblemError(404, f"the library has no video {video_id}", "GET /api/videos lists them")
        return record

    async def open(self, record: VideoRecord) -> int:
        """Open a video's file; few at a time, since one whose time has changed is read whole to know it again.

        Returns:
            A file descriptor.

        Raises:
            ProblemError: as `open_video`, and 429 where others are being read.
        """
        async with self.opening.slot():
            return await to_thread.run_sync(open_video, record)

    def title(self, record: VideoRecord) -> str:
        """Give the name of a video: its file's, or the one that it was uploaded under."""
        given = self.uploads.name(record) if self.uploads is not None else None
        return given or Path(record.path).name

    def warm_up(self) -> None:
        """Load the model and the vectors, so that the first query is as fast as the others."""
        self.library.scorer.encode_text([WARM])
        if self.snapshot().videos:
            self.library.search(WARM, limit=1)

    def example(self, video_id: str, start: float, end: float | None) -> np.ndarray:
        """Give the vector of a part of a video of the library.

        Args:
            video_id: the video.
            start: in seconds.
            end: in seconds; by default the video's.

        Returns:
            float32 (D,).

        Raises:
            ProblemError: 404, the library has no such video; 422, the part lies behind its end.
        """
        self.record(video_id)
        try:
            return example_vector(self.library, video_id, start, end)
        except ValueError as error:
            raise ProblemError(422, str(error), "choose a part inside the video") from None


def hall(request: Request) -> Hall:
    """Give the shared state to a route."""
    return request.app.state.hall


def client(request: Request) -> str:
    """Give who asks, for limits."""
    return request.client.host if request.client is not None else "unknown"
