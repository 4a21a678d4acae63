"""Chapters of a video, in the formats that players and video sites read."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

YOUTUBE_LENGTH = 10  # seconds that a chapter takes at least there
YOUTUBE_COUNT = 3  # chapters that a video has at least there


@dataclass(frozen=True)
class Chapter:
    """A named part of a video.

    Attributes:
        start: in seconds.
        end: in seconds, later than `start`.
        title: what it is called.
    """

    start: float
    end: float
    title: str


def webvtt(chapters: Sequence[Chapter]) -> str:
    """Write chapters as WebVTT, which browsers and players read as a track of the kind "chapters".

    Args:
        chapters: in order of time.

    Returns:
        The file's text. Titles are one line each; what would be markup is escaped.
    """
    blocks = ["WEBVTT"]
    for number, chapter in enumerate(chapters, 1):
        title = html.escape(" ".join(chapter.title.split()), quote=False)
        blocks.append(f"{number}\n{_clock(chapter.start)} --> {_clock(chapter.end)}\n{title or number}")
    return "\n\n".join(blocks) + "\n"


def youtube(chapters: Sequence[Chapter]) -> str:
    """Write chapters as lines for the description of a video on YouTube, ``0:00 title`` each.

    Args:
        chapters: in order of time.

    Returns:
        The lines. The first one is at 0:00, for otherwise YouTube shows no chapters at all.
    """
    lines = []
    for number, chapter in enumerate(chapters):
        title = " ".join(chapter.title.split()).replace("<", "(").replace(">", ")")  # not allowed in descriptions
        whole = int(chapter.start) if number else 0
        hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
        lines.append(f"{f'{hours}:{minutes:02}' if hours else minutes}:{seconds:02} {title or number + 1}")
    return "\n".join(lines) + "\n"


def youtube_faults(chapters: Sequence[Chapter]) -> list[str]:
    """Say why YouTube would show no chapters.

    Args:
        chapters: in order of time.

    Returns:
        One sentence for each rule that they break; none when all is well.
    """
    faults = []
    if len(chapters) < YOUTUBE_COUNT:
        faults.append(f"YouTube shows chapters from {YOUTUBE_COUNT} on, and there are {len(chapters)}")
    short = [chapter.title for chapter in chapters if chapter.end - chapter.start < YOUTUBE_LENGTH]
    if short:
        which = f"{short[0]!r} is" if len(short) == 1 else f"{len(short)} are, {short[0]!r} for one"
        faults.append(f"YouTube shows no chapters where one is shorter than {YOUTUBE_LENGTH} s, and {which}")
    return faults


def _clock(seconds: float) -> str:
    thousandths = round(seconds * 1000)
    whole, rest = divmod(thousandths, 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.{rest:03}"
