"""What is said in a video: the subtitle file that belongs to it, and its captions."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mmpt.search.records import Caption
from mmpt.search.words import stemmers
from mmpt.text.captions import Captions
from mmpt.text.dedup import dedup, video_generator
from mmpt.text.subtitles import SUFFIXES, Subtitles, read_subtitles, video_name
from mmpt.utils.walking import walk_files

DIGITS = 16  # of a subtitle file's hash
AUTOMATIC = 0.5  # the part of captions that begin before the one before them ends, from which on no person wrote them
SEED = 0


@dataclass(frozen=True)
class Found:
    """The subtitles of a video.

    Attributes:
        digest: 16 hexadecimal digits of a SHA-256 of the file, and of its language where that says how words are found;
            empty without a file, or with one of no use.
        subtitles: what it says; None likewise.
        problem: why the file is of no use; empty when it is.
        order: of several files of one video the first in this order is taken: how well its language fits, 0 best, and
            its path.
        language: the tag in the file's name, such as ``"fr"``, or the one that was asked for; empty without either.
    """

    digest: str = ""
    subtitles: Subtitles | None = None
    problem: str = ""
    order: tuple[int, str] = (0, "")
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
            Caption(float(start), float(min(end, seconds)), text.strip(), self.language)
            for start, end, text in listed
            if text and text.strip() and start < seconds and end > start
        ]


class CaptionFinder:
    """Finds the subtitle files of videos: beside them, or in a folder.

    A video clip.mp4 has clip.srt or clip.vtt, or clip.en.srt and the like.

    Args:
        folder: where to look, with the folders below it; None for beside each video.
        language: which to take where a video has several, for example ``"en"``; without it the one whose name says
            none, else the first by name.
        encoding: of files that are not in UTF-8.
    """

    def __init__(self, folder: Path | None = None, *, language: str = "", encoding: str = "") -> None:
        self._folder, self._language, self._encoding = folder, language, encoding
        self._listed: dict[Path, dict[str, list[tuple[str, Path]]]] = {}

    def find(self, video: Path) -> Found:
        """Find and read the subtitles of a video.

        Args:
            video: its file.

        Returns:
            What was found; nothing of it is raised.
        """
        place = video.parent if self._folder is None else self._folder
        if place not in self._listed:
            self._listed[place] = _list(place, deep=self._folder is not None)
        chosen = self._choose(self._listed[place].get(video.stem, []))
        if chosen is None:
            return Found()
        rank, path, spoken = chosen
        language = spoken or self._language
        try:
            # with the language, so that `mmpt index update` indexes it again, also where an earlier version did not
            mark = "" if stemmers((language,)) == stemmers(("",)) else f"\0{language}"
            digest = hashlib.sha256(path.read_bytes() + mark.encode()).hexdigest()[:DIGITS]
            subtitles = read_subtitles(path, encoding=self._encoding or None)
            return Found(digest, subtitles, order=(rank, str(path)), language=language)
        except (OSError, ValueError) as error:
            reason = str(error) if str(path) in str(error) else f"{path}: {error}"
            return Found(problem=f"its subtitles are left out: {reason}")

    def _choose(self, files: list[tuple[str, Path]]) -> tuple[int, Path, str] | None:
        wanted = self._language
        if wanted:
            ranks = {wanted: 0, "": 2}
            ranked = [
                (ranks.get(spoken, 1), path, spoken)
                for spoken, path in files
                if spoken in ranks or _main(spoken) == wanted
            ]
        else:
            ranked = [(0 if not spoken else 1, path, spoken) for spoken, path in files]
        return min(ranked, default=None)


def _list(folder: Path, *, deep: bool) -> dict[str, list[tuple[str, Path]]]:
    """The subtitle files of a folder by the names of videos that they may belong to, with their languages."""
    paths: Iterable[Path]
    try:
        paths = walk_files(folder, lambda error: None) if deep else list(folder.iterdir())
    except OSError:
        return {}
    found: dict[str, list[tuple[str, Path]]] = {}
    for path in paths:
        if not path.name.lower().endswith(SUFFIXES) or path.name.startswith("."):
            continue
        names = {path.stem: ""}  # "talk.en.mp4" may have a file "talk.en.srt" that is just its own
        name, spoken = video_name(path.stem)
        names[name] = spoken
        for name, spoken in names.items():
            found.setdefault(name, []).append((spoken, path))
    return found


def _main(language: str) -> str:
    return re.split("[-_]", language)[0]


def _overlap(captions: Captions) -> bool:
    pairs = list(zip(captions.start[1:], captions.end[:-1], strict=True))
    return len(pairs) > 1 and sum(start < end for start, end in pairs) >= AUTOMATIC * len(pairs)
