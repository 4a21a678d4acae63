"""What is said in a video: the subtitle file that belongs to it, and its captions."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmpt.search.records import Caption
from mmpt.search.words import stemmers
from mmpt.text.captions import Captions
from mmpt.text.dedup import dedup, video_generator
from mmpt.text.languages import short_tag
from mmpt.text.subtitles import (
    SUFFIXES,
    SubtitleFile,
    Subtitles,
    beginnings,
    best_files,
    file_of,
    file_rank,
    read_subtitles,
    unclear_reason,
)
from mmpt.utils.names import normal_name
from mmpt.utils.walking import walk_files
from mmpt.video.finding import ends_like_video

DIGITS = 16  # of a subtitle file's hash
AUTOMATIC = 0.5  # the part of captions that begin before the one before them ends, from which on no person wrote them
MIN_CAPTION_S = 0.1  # some programs write captions that end when they begin
SEED = 0


@dataclass(frozen=True)
class Found:
    """The subtitles of a video.

    Attributes:
        digest: 16 hexadecimal digits of a SHA-256 of the file, and of its language if that changes the stemming; empty
            without a usable file.
        subtitles: the captions; None without a usable file.
        problem: why the file cannot be used; empty if it can.
        notes: one sentence each about lines and files that were left out.
        order: the file's rank; of several files of one video the first is used. Empty without a file.
        language: the tag in the file's name, such as ``"fr"``, or the requested one; empty without either.
    """

    digest: str = ""
    subtitles: Subtitles | None = None
    problem: str = ""
    notes: tuple[str, ...] = ()
    order: tuple[Any, ...] = ()
    language: str = ""

    def captions(self, video_id: str, seconds: int) -> list[Caption]:
        """Give the captions, automatic ones without what they say twice.

        Args:
            video_id: of the video, which fixes the draws of the cleaning.
            seconds: of the video; what is later is left out.

        Returns:
            Those with words, in the file's order.
        """
        if self.subtitles is None:
            return []
        captions = self.subtitles.captions
        if self.subtitles.carried or _overlap(captions):
            captions, _ = dedup(captions, video_generator(SEED, video_id))
        listed = zip(captions.start, captions.end, captions.text, strict=True)
        return [
            Caption(float(start), float(min(max(end, start + MIN_CAPTION_S), seconds)), text.strip(), self.language)
            for start, end, text in listed
            if text and text.strip() and start < seconds
        ]


class CaptionFinder:
    """Finds the subtitle files of videos: beside them, or in a folder.

    A video clip.mp4 has clip.srt, clip.vtt, clip.en.srt or the like; `best_files` chooses among several.

    Args:
        folder: where to look, with the folders below it; None for beside each video.
        language: to prefer if a video has several files, for example ``"en"``.
        encoding: of files whose encoding cannot be recognised.
    """

    def __init__(self, folder: Path | None = None, *, language: str = "", encoding: str = "") -> None:
        self._folder, self._language, self._encoding = folder, language, encoding
        self._listed: dict[Path, dict[str, list[Path]]] = {}
        self._videos: dict[Path, frozenset[str]] = {}

    def find(self, video: Path) -> Found:
        """Find and read the subtitles of a video.

        Args:
            video: its file.

        Returns:
            What was found; nothing of it is raised.
        """
        files, unclear = self._files(video)
        notes = (unclear_reason(video.stem, unclear),) if unclear else ()
        chosen = best_files(files, self._language)
        if not chosen:
            return Found(notes=notes)
        path = chosen[0].path
        try:
            subtitles = read_subtitles(path, encoding=self._encoding or None)
        except (OSError, ValueError) as error:
            reason = str(error) if str(path) in str(error) else f"{path}: {error}"
            return Found(problem=f"its subtitles are left out: {reason}", notes=notes)
        notes += (subtitles.stray,) if subtitles.stray else ()
        order = *(file_rank(chosen[0], self._language) or ()), str(path)
        language = short_tag(chosen[0].language or self._language)
        digest = subtitles.digest
        if stemmers((language,)) != stemmers(("",)):  # so that `mmpt index update` indexes the captions again
            digest = hashlib.sha256(f"{digest} {language}".encode()).hexdigest()
        return Found(digest[:DIGITS], subtitles, notes=notes, order=order, language=language)

    def _files(self, video: Path) -> tuple[list[SubtitleFile], list[Path]]:
        """A video's files, and possible ones; those with the longer name of another video are left out."""
        place, name = self._folder or video.parent, normal_name(video.stem)
        if place not in self._listed:
            self._listed[place] = _list(place, deep=self._folder is not None)
        if video.parent not in self._videos:
            self._videos[video.parent] = _names_of_videos(video.parent)
        known = self._videos[video.parent]
        files: list[SubtitleFile] = []
        unclear: list[Path] = []
        for path in self._listed[place].get(name, []):
            if next(found for found in beginnings(path) if found == name or found in known) != name:
                continue
            if file := file_of(path, name):
                files.append(file)
            else:
                unclear.append(path)
        same_form = [
            file for file in files if file.path.stem.startswith(video.stem)
        ]  # if two videos have names that look the same
        return same_form or files, unclear


def _names_of_videos(folder: Path) -> frozenset[str]:
    try:
        paths = [path for path in folder.iterdir() if ends_like_video(path.name)]
    except OSError:
        return frozenset()
    return frozenset(normal_name(path.stem) for path in paths)


def _list(folder: Path, *, deep: bool) -> dict[str, list[Path]]:
    """The subtitle files of a folder by the names of the videos that they may belong to."""
    paths: Iterable[Path]
    try:
        paths = walk_files(folder, lambda error: None) if deep else list(folder.iterdir())
    except OSError:
        return {}
    found: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(paths):
        if path.name.lower().endswith(SUFFIXES) and not path.name.startswith("."):
            for name in beginnings(path):
                found[name].append(path)
    return dict(found)


def _overlap(captions: Captions) -> bool:
    pairs = list(zip(captions.start[1:], captions.end[:-1], strict=True))
    return len(pairs) > 1 and sum(start < end for start, end in pairs) >= AUTOMATIC * len(pairs)
