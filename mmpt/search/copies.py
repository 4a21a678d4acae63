"""Copies of one file: a video at several paths has the subtitles of whichever path has some."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from pathlib import Path

from mmpt.search.identity import with_file
from mmpt.search.narration import Found
from mmpt.search.records import VideoRecord
from mmpt.search.sources import SourceLookup, depth_below, is_below
from mmpt.utils.content import FileContent, open_at_once, read_content, remembered_hash

UNKNOWN = Found(problem="the place of its subtitles is unknown")


@dataclass
class VideoCopies:
    """The paths at which a video was found in one pass over the files, and their subtitles.

    Attributes:
        paths: all paths of the video.
        subtitles: the first of all subtitle files: its rank, the path of the video that it belongs to, and its digest.
        unreadable: some subtitle files cannot be read, or were not looked for.
        lost: the path that its captions belong to is another video's now.
    """

    paths: set[str] = field(default_factory=set)
    subtitles: tuple[tuple[int, str], str, str] | None = None
    unreadable: bool = False
    lost: bool = False

    @classmethod
    def elsewhere(cls, record: VideoRecord, path: str, sources: SourceLookup) -> "VideoCopies":
        """Collect the other paths of a record that still hold the video."""
        seen = cls()
        for other in sorted({*record.paths, record.captions_from} - {"", path}):
            source = sources.source(other)
            if source is None and other != record.path:
                continue
            held = _held_hash(other)
            if held.startswith(record.id):
                seen.add(other, UNKNOWN if source is None else sources.finder(source).find(Path(other)))
            else:
                seen.lost |= bool(held) and other == (record.captions_from or record.path)
        return seen

    def add(self, path: str, found: Found) -> None:
        """Add a path and the subtitles found for it."""
        self.paths.add(path)
        self.unreadable |= bool(found.problem)
        if found.digest:
            subtitles = (found.order, path, found.digest)
            self.subtitles = min(self.subtitles or subtitles, subtitles)

    def captioned(self, record: VideoRecord) -> tuple[str, str] | None:
        """The subtitles that a video should have.

        Args:
            record: the video, as it was before this pass.

        Returns:
            The path that they belong to and their digest, both empty for none. None to keep the present ones, also if
            the path that they belong to is gone, or some cannot be read.
        """
        if self.subtitles is not None:
            _, path, digest = self.subtitles
            return None if digest == record.subtitles else (path, digest)
        lost = self.lost or (record.captions_from or record.path) in self.paths
        return ("", "") if record.subtitles and lost and not self.unreadable else None

    def applied(self, record: VideoRecord) -> VideoRecord:
        """Return the record with the paths of this pass."""
        copies = tuple(sorted(self.paths - {record.path}))
        belongs = self.subtitles is not None and self.subtitles[2] == record.subtitles
        path = self.subtitles[1] if belongs and self.subtitles is not None else record.captions_from
        return replace(record, copies=copies, captions_from=path)


def holds(path: str, video_id: str) -> bool:
    """True if a path holds a video's content."""
    return _held_hash(path).startswith(video_id)


def _held_hash(path: str) -> str:
    """The hash of a file; empty where none can be read."""
    try:
        return remembered_hash(path)
    except OSError:
        return ""


def at_a_copy(record: VideoRecord, sources: SourceLookup, but: Collection[str] = ()) -> VideoRecord | None:
    """Find another path for a video whose own path is no longer valid.

    Args:
        record: the video.
        sources: what was indexed; copies that were removed, or lie outside, are ignored.
        but: other paths to ignore.

    Returns:
        The record with the path of an existing copy; None without one.
    """
    left = [path for path in record.copies if path not in but]
    for path in left:
        source = sources.source(path)
        content = None if source is None else _content(path)
        if source is not None and content is not None and content.sha256.startswith(record.id):
            others = tuple(other for other in left if other != path)
            return with_file(replace(record, copies=others), path, content, depth_below(path, source))
    return None


def without(record: VideoRecord, paths: Collection[str], sources: SourceLookup) -> VideoRecord | None:
    """Remove paths from a video; None if no path is left."""
    if record.path in paths:
        return at_a_copy(record, sources, paths)
    return replace(record, copies=tuple(path for path in record.copies if path not in paths))


def lies_below(record: VideoRecord, folder: str) -> str | None:
    """The path at which a video lies below a folder, its own path first; None if there is none."""
    return next((path for path in record.paths if is_below(path, folder)), None)


def _content(path: str) -> FileContent | None:
    try:
        with open_at_once(path) as file:
            return read_content(file.fileno(), path)
    except OSError:
        return None
