"""Videos into a library: features and windows of several lengths of what is new, and nothing of what is known."""

import logging
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mmpt.models.scorer import Scorer
from mmpt.search.copies import VideoCopies, at_a_copy, holds
from mmpt.search.identity import with_file
from mmpt.search.narration import Found
from mmpt.search.records import VideoRecord
from mmpt.search.sources import Listed, SourceLookup, check_name, depth_below, is_away, is_below, is_same_name, is_there
from mmpt.search.store import Store
from mmpt.search.store_tables import Entry, Source
from mmpt.search.windows import encode
from mmpt.utils.content import FileContent, open_at_once, read_content
from mmpt.video.claims import Claim, Claims
from mmpt.video.errors import VideoDamageWarning, check_file

ID_LETTERS = 16  # of a file's hash
LOOK = 0.5  # seconds between looks at whether another process is done with a video
TIDY_EVERY = 256  # videos

Kind = Literal["begin", "progress", "added", "changed", "renamed", "captions", "known", "warned", "failed", "gone"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """Something that happened while a library took in videos.

    Attributes:
        kind: ``"begin"`` of a video; ``"progress"``, seconds of features that are computed; what became of it:
            ``"added"``, ``"changed"`` (its file has another content now), ``"renamed"``, ``"captions"`` (new ones),
            ``"known"``, ``"failed"``; ``"warned"``, added all the same; ``"gone"``, its file is no longer there.
        path: the video's file.
        detail: why, for those that need a reason.
        number: which video it is, from 1 on; 0 where that says nothing.
        count: of how many.
        seconds: of features that are done.
    """

    kind: Kind
    path: str
    detail: str = ""
    number: int = 0
    count: int = 0
    seconds: int = 0


Listener = Callable[[Event], None]


@dataclass
class Report:
    """What became of the videos that a library was given.

    Attributes:
        added: new ones.
        changed: whose files have another content than before, in the old ones' place.
        renamed: whose files lie elsewhere now.
        captions: whose captions changed.
        known: how many were there already, as they are.
        failed: (path, reason) of those that could not be read.
        warned: (path, damage) of videos that could be read in part and are searchable.
        unread: (path, reason) of videos that are searchable without their captions, which could not be read.
        gone: whose files are no longer there.
        removed: how many were taken out.
    """

    added: list[VideoRecord] = field(default_factory=list)
    changed: list[VideoRecord] = field(default_factory=list)
    renamed: list[VideoRecord] = field(default_factory=list)
    captions: list[VideoRecord] = field(default_factory=list)
    known: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    warned: list[tuple[str, str]] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    gone: list[VideoRecord] = field(default_factory=list)
    removed: int = 0

    @property
    def seconds(self) -> int:
        """Seconds of video that came in."""
        return sum(record.seconds for record in [*self.added, *self.changed])


@dataclass(frozen=True)
class _File:
    """A video's file as it is now: content, depth below the indexed folder, and subtitles."""

    path: Path
    content: FileContent
    depth: int
    said: Found

    @property
    def id(self) -> str:
        return self.content.sha256[:ID_LETTERS]


class Ingest:
    """Takes videos into a store, one commit each.

    Several processes may do so with one library: who works on a video says so in a folder of claims.

    Attributes:
        report: the outcome for each video.
        taken: paths of the videos that are in the library now.

    Args:
        store: where they go.
        scorer: gives the loaded model when a video needs it.
        claims: folder of the claims.
        on_event: told what happens.
    """

    def __init__(
        self, store: Store, scorer: Callable[[], Scorer], claims: Path, on_event: Listener | None = None
    ) -> None:
        self.report = Report()
        self.taken: list[str] = []
        self._store, self._scorer, self._claims_folder = store, scorer, claims
        self._tell = on_event or (lambda event: None)
        self._version, self._records = -1, {}
        self._by_path: dict[str, list[str]] = {}
        self._sources = SourceLookup(store.sources())
        self._seen: dict[str, VideoCopies] = {}
        self._files: dict[str, _File] = {}
        self._since_tidy = 0
        self._written_over: set[str] = set()

    def take(self, listed: Listed) -> None:
        """Take videos in.

        Args:
            listed: the files, each with its source.

        Raises:
            FileNotFoundError: the video network's weights are missing, which no other video mends.
        """
        waiting: Listed = []
        with Claims(self._claims_folder) as claims:
            for number, (path, source) in enumerate(listed, 1):
                self._tell(Event("begin", str(path), number=number, count=len(listed)))
                if not self._take_one(claims, path, source):
                    waiting.append((path, source))
            while waiting:  # for other processes, which have these in hand
                path, source = waiting.pop(0)
                if not self._take_one(claims, path, source):
                    waiting.append((path, source))
                    time.sleep(LOOK)
        self._drop_written_over()
        self._remember_copies()
        if self._since_tidy:
            self._store.tidy()

    def unreadable(self, reasons: Iterable[str]) -> None:
        """Count folders that cannot be looked into as failed.

        Args:
            reasons: a sentence for each.
        """
        for reason in reasons:
            self._fail("", reason)

    def remember_files(self) -> None:
        """Store what `same_file` compares, for files whose content did not change."""
        records = self._current()
        self._change(
            with_file(records[key], records[key].path, file.content, file.depth)
            for key, file in self._files.items()
            if key in records and is_same_name(str(file.path), records[key].path)
        )

    def find_gone(self, sources: Iterable[Source], *, prune: bool) -> None:
        """Find videos whose files are no longer there.

        Args:
            sources: what was indexed. Videos below a folder that is itself not there, or is empty, are never taken out:
                its disk may just not be plugged in.
            prune: take the others out.
        """
        missing = [source.path for source in sources if is_away(source.path)]
        gone = self._moved_to_copies(record for record in self._current().values() if not is_there(record.path))
        for record in gone:
            self._tell(Event("gone", record.path))
        self.report.gone += gone
        if prune:
            lone = [r for r in gone if not any(r.path != top and is_below(r.path, top) for top in missing)]
            self._store.forget([record.path for record in lone])
            self.report.removed += self._store.delete([record.id for record in lone])

    def _take_one(self, claims: Claims, path: Path, source: Source) -> bool:
        """Take a video in, or say why not; False where another process works on it."""
        try:
            check_name(path)
            check_file(path)
            with open_at_once(path) as opened:
                content = read_content(opened.fileno(), path)
            said = self._sources.finder(source).find(path)
            file = _File(path, content, depth_below(str(path), source), said)
        except (OSError, ValueError) as error:  # VideoError is a ValueError
            self._fail(str(path), str(error))
            return True
        if file.id in self._current():
            self._known(file)
            return True
        claim = self._claim(claims, file.id)
        if claim is None:
            return False
        try:
            if file.id in self._current():  # by whoever had the claim before
                self._known(file)
            else:
                self._new(file)
        finally:
            if isinstance(claim, Claim):
                claims.release(claim)
        return True

    def _claim(self, claims: Claims, video_id: str) -> Claim | bool | None:
        """Claim a video; True where claims cannot be written, as on a disk that is only read."""
        try:
            return claims.take(video_id)
        except OSError as error:
            logger.info("cannot say in %s who works on what (%s)", self._claims_folder, error)
            return True

    def _new(self, file: _File) -> None:
        scorer = self._scorer()
        try:
            entry = self._encode(scorer, file)
        except FileNotFoundError as error:
            if file.path.exists():  # weights are missing, which no other video mends
                raise
            return self._fail(str(file.path), str(error))
        except (OSError, ValueError) as error:
            return self._fail(str(file.path), str(error))
        record, changed = entry.record, self._writes_over(file)
        self._store.put_many([entry])
        self.taken.append(record.path)
        self._seen.pop(record.id, None)
        kind, listed = ("changed", self.report.changed) if changed else ("added", self.report.added)
        listed.append(record)
        for message in (*record.damage, *file.said.notes):
            self._warn(record.path, message, self.report.warned)
        if file.said.problem:
            self._warn(record.path, file.said.problem, self.report.unread)
        self._tell(Event(kind, record.path))
        self._since_tidy += 1
        if self._since_tidy == TIDY_EVERY:
            self._store.tidy()
            self._since_tidy = 0

    def _encode(self, scorer: Scorer, file: _File) -> Entry:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VideoDamageWarning)  # the record says it
            features = scorer.features(file.path, on_progress=lambda done: self._progress(file.path, done))
        if features.source[:ID_LETTERS] != file.id:
            raise ValueError(f"{file.path} is being written to while it is read; index it when it is finished")
        encoded = encode(scorer, features.array, self._store.about["windows"])
        captions = file.said.captions(file.id, features.seconds)
        record = VideoRecord(
            id=file.id,
            path=str(file.path),
            modified=file.content.modified,
            added=time.time(),
            seconds=features.seconds,
            windows=len(encoded.windows),
            captions=len(captions),
            damage=features.damage,
            subtitles=file.said.digest,
            captions_from=str(file.path) if file.said.digest else "",
        )
        record = with_file(record, str(file.path), file.content, file.depth)
        entry = Entry(record, encoded.windows, encoded.vectors, encoded.tokens, captions)
        entry.check(self._store.dim)
        return entry

    def _known(self, file: _File) -> None:
        record, path, kind = self._current()[file.id], str(file.path), "known"
        path = record.path if is_same_name(path, record.path) else path
        for message in file.said.notes:
            self._warn(path, message, self.report.warned)
        self._writes_over(file)
        seen = self._seen.get(record.id) or VideoCopies.elsewhere(record, path, self._sources)
        seen.add(path, file.said)
        if len(seen.paths) > 1 or seen.applied(record) != record:
            self._seen[record.id] = seen
        wanted = seen.captioned(record)
        if record.path not in seen.paths:
            record = with_file(record, path, file.content, file.depth)
            self._store.change([record])
            self.report.renamed.append(record)
            kind = "renamed"
        elif record.path == path and with_file(record, path, file.content, file.depth) != record:
            self._files[record.id] = file
        if file.said.problem:
            self._warn(path, file.said.problem, self.report.unread)
        if wanted is not None and self._recaption(record, wanted[0], file.said if wanted[0] == path else None):
            kind = "captions"
        self.report.known += kind == "known"
        self.taken.append(str(file.path))
        self._tell(Event(kind, path, detail="" if record.path == path else f"a copy of {record.path}"))

    def _recaption(self, record: VideoRecord, path: str, said: Found | None) -> bool:
        """Store a video again with the captions of a path; False if another process removed it meanwhile."""
        if said is None:
            source = self._sources.source(path) if path else None
            said = Found() if source is None else self._sources.finder(source).find(Path(path))
        captions = said.captions(record.id, record.seconds)
        record = replace(record, captions=len(captions), subtitles=said.digest, captions_from=path)
        kept = next(self._store.entries([record.id]), None)
        if kept is None:
            return False
        self._store.put_many([replace(kept, record=record, captions=captions)])
        self.report.captions.append(record)
        return True

    def _writes_over(self, file: _File) -> bool:
        """True if this file replaced other videos at its path; they are remembered."""
        self._current()
        others = {key for key in self._by_path.get(str(file.path), ()) if key != file.id}
        self._written_over |= others
        return bool(others)

    def _drop_written_over(self) -> None:
        """Remove videos whose files were overwritten, except those that also exist under another name."""
        records = self._current()
        lost = [records[key] for key in self._written_over if key in records]
        lost = self._moved_to_copies(record for record in lost if not holds(record.path, record.id))
        self._store.delete([record.id for record in lost])

    def _moved_to_copies(self, lost: Iterable[VideoRecord]) -> list[VideoRecord]:
        """Move videos whose files are lost to the path of a copy; return those without one."""
        found = [(record, at_a_copy(record, self._sources)) for record in lost]
        moved = [copy for _, copy in found if copy is not None]
        self._store.change(moved)
        self.report.renamed += moved
        for record in moved:
            self._tell(Event("renamed", record.path))
        return [record for record, copy in found if copy is None]

    def _remember_copies(self) -> None:
        """Store the paths of copies, for later passes that do not look at all of them."""
        records = self._current()
        self._change(seen.applied(records[key]) for key, seen in self._seen.items() if key in records)

    def _change(self, records: Iterable[VideoRecord]) -> None:
        """Store the records that changed."""
        known = self._current()
        try:
            self._store.change([record for record in records if record != known[record.id]])
        except OSError as error:  # nothing is lost: the next pass finds it again
            logger.info("cannot store the paths of files (%s)", error)

    def _current(self) -> dict[str, VideoRecord]:
        """The library's videos, read again when any process changed them."""
        version = self._store.version()
        if version != self._version:
            self._records, self._version = self._store.videos(), version
            self._by_path = {}
            for record in self._records.values():
                self._by_path.setdefault(record.path, []).append(record.id)
        return self._records

    def _progress(self, path: Path, done: int) -> None:
        self._tell(Event("progress", str(path), seconds=done))

    def _warn(self, path: str, message: str, listed: list[tuple[str, str]]) -> None:
        listed.append((path, message))
        self._tell(Event("warned", path, detail=message))

    def _fail(self, path: str, reason: str) -> None:
        self.report.failed.append((path, reason))
        self._tell(Event("failed", path, detail=reason))
