"""What a library holds, and what a search in it finds."""

from dataclasses import dataclass
from typing import Literal

Why = Literal["seen", "said", "both"]


@dataclass(frozen=True)
class VideoRecord:
    """A video of a library.

    Attributes:
        id: the first 16 hexadecimal digits of the SHA-256 of the file's bytes; a renamed file is the same video.
        path: absolute, where the file was last seen.
        modified: when the file was last changed, as Unix time in seconds.
        added: when the video came into the library, as Unix time in seconds.
        seconds: length of its features, one row for each started second.
        windows: how many windows of it are searched.
        captions: how many captions it has.
        damage: what could not be read of the file, one sentence each; empty for a whole one.
        subtitles: the digest of the subtitle file that its captions come from, and of its language if that is not
            English; empty without one.
        stamp: identifies the file that was read at `path`, see `mmpt.utils.content.file_stamp`; empty in libraries of
            earlier versions, as are the following.
        real_path: where `path` led, with all links resolved.
        depth: number of components of `path` below the indexed folder; 1 for a file indexed by itself, 0 if unknown.
        copies: other paths at which the same content was found.
        captions_from: the one of the paths that the subtitle file belongs to; empty without one.
    """

    id: str
    path: str
    modified: float
    added: float
    seconds: int
    windows: int
    captions: int
    damage: tuple[str, ...] = ()
    subtitles: str = ""
    stamp: str = ""
    real_path: str = ""
    depth: int = 0
    copies: tuple[str, ...] = ()
    captions_from: str = ""

    @property
    def paths(self) -> tuple[str, ...]:
        """All paths of the video: `path`, then its copies."""
        return (self.path, *self.copies)


@dataclass(frozen=True)
class Caption:
    """What is said in a video.

    Attributes:
        start: in seconds.
        end: in seconds.
        text: the words.
        language: the tag in its subtitle file's name, such as ``"fr"``; empty without one.
    """

    start: float
    end: float
    text: str
    language: str = ""


@dataclass(frozen=True)
class Moment:
    """A part of a video that a search found.

    Attributes:
        video: the video.
        start: in seconds.
        end: in seconds, later than `start`.
        best: the second that fits best, as where a player is to begin.
        score: how far the moment stands out, on one scale for all queries (see mmpt.search.calibration).
        seen: the dot product of the query with what is seen there; None where only words were searched.
        said: the captions there that the query's words were found in; None where there are none.
        why: what speaks for the moment.
    """

    video: VideoRecord
    start: float
    end: float
    best: float
    score: float
    seen: float | None
    said: str | None
    why: Why
