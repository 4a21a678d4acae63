"""One process's part of extraction: videos in, feature files out."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmpt.utils.content import remembered_hash
from mmpt.utils.featurefile import read_about, write_features
from mmpt.video.backbones.base import Backbone
from mmpt.video.claims import Claim, Claims
from mmpt.video.errors import VideoError, check_file
from mmpt.video.features import PUBLISHED, VideoSource, features_of
from mmpt.video.jobs import CLAIMS, Event, OutputError, Plan, Report, Video, writing_to
from mmpt.video.reader import probe
from mmpt.video.streaming import Meter, Rows, stream
from mmpt.video.timing import MAX_GAP_S, default_max_gap

SHOWN = 0.2  # seconds between two words about one video's progress
CHOSEN = ("backbone", "precision", "l2_normalized")  # what a file says of how it was asked for; nobody loses those

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Job:
    """A video in hand; what `stream` reads."""

    video: Video
    reading: VideoSource
    claim: Claim
    source: str
    stamp: tuple[int, ...]
    replaces: str = ""
    told: float = 0.0

    def seconds(self, on_damage: Callable[[str], None]) -> Iterator[np.ndarray]:
        return self.reading.seconds(on_damage)


class Extractor:
    """One process's part: takes videos one after the other, and writes their features.

    Args:
        plan: how.
        backbone: what the plan's backbone is.
        report: told of each video; called from two threads.
    """

    def __init__(self, plan: Plan, backbone: Backbone, report: Report) -> None:
        self.plan = plan
        self.backbone = backbone
        self.report = report
        self.meter = Meter()
        self._claims = Claims(plan.out / CLAIMS)
        self._about = {
            "backbone": backbone.name,
            "version": backbone.version,
            "precision": backbone.precision,
            "l2_normalized": plan.l2_normalize,
            "fps": backbone.fps,
        }

    def run(self, videos: Iterable[Video | None]) -> None:
        """Extract videos.

        Args:
            videos: asked for as they are needed; None where there is none at the moment.

        Raises:
            OSError: features cannot be written; the message says what to do.
            Exception: what the backbone raises.
        """
        states = stream(self._jobs(videos), self.backbone, l2_normalize=self.plan.l2_normalize, meter=self.meter)
        with self._claims, contextlib.closing(states):
            for rows in states:
                if rows.finished:
                    self._finish(rows)
                else:
                    self._tell_progress(rows)

    def _jobs(self, videos: Iterable[Video | None]) -> Iterator[_Job | None]:
        """Take up the videos that there is something to do for. Runs in the decoding thread."""
        for video in videos:
            job = None
            if video is not None:
                try:
                    job = self._take_up(video)
                except OutputError:
                    raise
                except (ValueError, OSError) as error:
                    self.report(Event("failed", video, reason=str(error)))
            if job is not None or video is None:
                yield job

    def _take_up(self, video: Video) -> _Job | None:
        check_file(video.path)
        self._refuse_others(video)
        stamp = _stamp(video.path)
        source = remembered_hash(video.path)
        if self._is_settled(video, source):
            return None
        with writing_to(self.plan.out):
            claim = self._claims.take(video.id)
        if claim is None:
            self.report(Event("busy", video))
            return None
        if self._is_settled(video, source):  # by whoever had the claim a moment ago
            self._claims.release(claim)
            return None
        length = _duration(video.path) if self.plan.durations else 0
        self.report(Event("begin", video, seconds=length))
        reading = VideoSource(video.path, self.backbone.fps, self.backbone.size, self.plan.strict)
        return _Job(video, reading, claim, source, stamp, self._replaces(video, source))

    def _refuse_others(self, video: Video) -> None:
        """Raise where a file is there that was asked for otherwise: it is somebody's work."""
        about = self._told(video)
        there = {key: about[key] for key in CHOSEN if key in about}
        if self.plan.overwrite or all(self._about[key] == value for key, value in there.items()):
            return
        raise ValueError(
            f"{self.plan.target(video)} holds features of another kind ({_kind(there)}) than what is asked for "
            f"({_kind(self._about)}); choose another folder, or replace it with --overwrite"
        )

    def _replaces(self, video: Video, source: str) -> str:
        """Say what is lost when a video's file is written; nothing where it was asked for."""
        about = {} if self.plan.overwrite else self._told(video)
        if about.get("source", source) != source:
            before = about.get("file", video.path.name)
            return f"{before} with other content" if before == video.path.name else f"another video, {before}"
        same = all(about.get(key, self._about[key]) == self._about[key] for key in ("version", "fps"))
        return "" if same else "another version of the backbone"

    def _told(self, video: Video) -> Mapping[str, Any]:
        """What a video's file says of itself; nothing where there is none, or a damaged one."""
        try:
            return read_about(self.plan.target(video))
        except (FileNotFoundError, ValueError):
            return {}

    def _is_settled(self, video: Video, source: str) -> bool:
        """Whether nothing is to be done for a video; says so."""
        if self.plan.overwrite:
            return False
        target = self.plan.target(video)
        try:
            about = read_about(target)
        except FileNotFoundError:
            return False
        except ValueError as error:  # cut off or damaged: of no use to anybody
            logger.info("%s; doing it again", error)
            return False
        if not about:
            self.report(self._untold(video))
            return True
        if any(about.get(key) != value for key, value in {**self._about, "source": source}.items()):
            return False
        if about.get("damage") and (self.plan.strict or default_max_gap() > about.get("max_gap", MAX_GAP_S)):
            return False
        self._sweep_claim(video)
        self.report(Event("skipped", video))
        return True

    def _untold(self, video: Video) -> Event:
        """What becomes of a video whose file says nothing of itself, as the published ones: nobody's work is lost."""
        if (self.backbone.name, self.plan.l2_normalize) == PUBLISHED:
            return Event("kept", video)
        reason = (
            f"{self.plan.target(video)} is there and says nothing of itself, so it is taken for a published one (S3D, "
            "unit length); choose another folder, or replace it with --overwrite"
        )
        return Event("failed", video, reason=reason)

    def _sweep_claim(self, video: Video) -> None:
        """Remove the claim of somebody who was killed between writing a file and giving its claim back."""
        if (self.plan.out / CLAIMS / f"{video.id}.0").exists() and (claim := self._claims.take(video.id)):
            self._claims.release(claim)

    def _tell_progress(self, rows: Rows) -> None:
        job: _Job = rows.source
        if (now := time.monotonic()) - job.told >= SHOWN:
            job.told = now
            self.report(Event("progress", job.video, seconds=rows.done))

    def _finish(self, rows: Rows) -> None:
        job: _Job = rows.source
        try:
            self.report(self._outcome(job, rows))
        finally:
            self._claims.release(job.claim)

    def _outcome(self, job: _Job, rows: Rows) -> Event:
        """Write a video's features, or say why not."""
        try:
            features = features_of(rows, self.backbone, l2_normalize=self.plan.l2_normalize, source=job.source)
            if _stamp(job.video.path) != job.stamp:
                raise VideoError(f"{job.video.path} was changed while it was read; run again when it is whole")
        except Exception as error:
            reason = str(error) or type(error).__name__
            return Event("failed", job.video, seconds=rows.done, reason=reason)
        damage = [message.replace(str(job.video.path), job.video.path.name) for message in features.damage]
        about = {**self._about, "source": job.source, "file": job.video.path.name, "damage": damage}
        if default_max_gap() != MAX_GAP_S:
            about["max_gap"] = default_max_gap()
        try:
            with writing_to(self.plan.out):
                write_features(self.plan.target(job.video), features.array, about)
        except ValueError as error:  # NaN or infinity
            return Event("failed", job.video, seconds=rows.done, reason=str(error))
        return Event("done", job.video, seconds=features.seconds, damage=features.damage, replaced=job.replaces)


def _kind(about: Mapping[str, Any]) -> str:
    length = {True: "unit length", False: "not normalised"}
    return ", ".join(
        length.get(about[key], "?") if key == CHOSEN[2] else str(about[key]) for key in CHOSEN if key in about
    )


def _stamp(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _duration(path: Path) -> int:
    try:
        return int(probe(path).duration or 0)
    except (ValueError, OSError):  # told of when it is read
        return 0
