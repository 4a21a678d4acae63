"""What a library was asked to index: folders and files, and the videos that they are now."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from mmpt.search.narration import CaptionFinder
from mmpt.search.store_tables import Source
from mmpt.utils.names import normal_name
from mmpt.video.finding import no_video_in, videos_below

Listed = list[tuple[Path, Source]]


def absolute(path: str | os.PathLike[str]) -> Path:
    """Return an absolute path, in the disk's own spelling; links are kept, so that users see the names they gave."""
    return _as_spelled(Path(os.path.abspath(os.path.expanduser(path))))


def is_same_name(path: str, other: str) -> bool:
    """True if two paths are Unicode spellings of one name that the disk takes for the same file."""
    if path == other:
        return True
    try:
        return normal_name(path) == normal_name(other) and os.path.samefile(path, other)
    except OSError:
        return False


def _as_spelled(path: Path) -> Path:
    """The path under which the disk has a file, if its name is spelt otherwise there; else the path itself."""
    if str(path).isascii() or os.path.lexists(path):
        return path
    parent = _as_spelled(path.parent)
    try:
        names = [name for name in os.listdir(parent) if normal_name(name) == normal_name(path.name)]
    except OSError:
        names = []
    return parent / min(names, default=path.name)


def check_name(path: str | os.PathLike[str]) -> None:
    """Refuse a path that is no text, which a table cannot hold.

    Args:
        path: the path.

    Raises:
        ValueError: its bytes are not UTF-8.
    """
    try:
        os.fspath(path).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{os.fspath(path)}: the name is not in UTF-8; rename the file or folder to index it"
        ) from error


def is_below(path: str, folder: str) -> bool:
    """True if a path is a folder or lies below it, whatever the Unicode form of the names."""
    path, folder = normal_name(path), normal_name(folder)
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def is_there(path: str) -> bool:
    """Whether something is at a path; also where that cannot be seen, as below a folder that is barred."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def is_away(path: str) -> bool:
    """Whether a folder or file is not there, or holds nothing, as a folder does where a disk is to be plugged in."""
    try:
        with os.scandir(path) as found:
            return next(found, None) is None
    except NotADirectoryError:
        return False
    except OSError:
        return True


def list_videos(sources: Sequence[Source], *, strict: bool) -> tuple[Listed, list[str]]:
    """Find the video files of sources.

    Args:
        sources: folders and files.
        strict: tell of a folder without a video.

    Returns:
        The files, each once and with the source that it is of, the last one where it is of several; and what cannot be
        looked into, one sentence each.

    Raises:
        ValueError: (strict) the folders hold no video, and there is nothing else.
    """
    listed: dict[Path, Source] = {}
    unreadable: list[str] = []
    empty: list[str] = []
    for source in sources:
        path = Path(source.path)
        if not os.path.isdir(path):  # unlike pathlib's, False where nobody may look
            listed[path] = source
            continue
        found, barred = videos_below(path)
        if strict and not found and not barred:
            empty.append(no_video_in(path))
        listed.update(dict.fromkeys(found, source))
        unreadable += barred
    if empty and not listed and not unreadable:
        raise ValueError(empty[0])
    return list(listed.items()), unreadable + empty


def wanted_again(sources: Iterable[Source], listed: Listed) -> list[Source]:
    """Find videos that were taken out once and are asked for now.

    Args:
        sources: that the library knows.
        listed: the videos that are asked for.

    Returns:
        Sources of their own, no longer excluded.
    """
    excluded = {normal_name(source.path): source.path for source in sources if source.excluded}
    asked = [(excluded.get(normal_name(str(path))), source) for path, source in listed]
    return [replace(source, path=path) for path, source in asked if path is not None]


class SourceLookup:
    """Finds the source of a file, and the finder of its captions.

    Args:
        sources: all sources of the library.
    """

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = {normal_name(source.path): source for source in sources}
        self._finders: dict[Source, CaptionFinder] = {}

    def is_excluded(self, path: str) -> bool:
        """True if a file was removed from the library."""
        source = self._sources.get(normal_name(path))
        return source is not None and source.excluded

    def source(self, path: str) -> Source | None:
        """The source of a file: the innermost folder, or the file itself; None if it was removed or has no source."""
        place = Path(normal_name(path))
        found = next((self._sources[str(top)] for top in (place, *place.parents) if str(top) in self._sources), None)
        return None if found is None or found.excluded else found

    def finder(self, source: Source) -> CaptionFinder:
        """The caption finder of a source; sources with the same settings share one, so that folders are listed once."""
        how = replace(source, path="")
        if how not in self._finders:
            folder = Path(source.captions) if source.captions else None
            self._finders[how] = CaptionFinder(folder, language=source.language, encoding=source.encoding)
        return self._finders[how]


def depth_below(path: str, source: Source) -> int:
    """Count the components of a path below the folder of its source; 1 if the source is the file itself."""
    return max(len(Path(path).parts) - len(Path(source.path).parts), 1)
