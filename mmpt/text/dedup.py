"""Automatic captions without what they say twice, as the original cleans them.

Speech recognition shows a line again and again while it grows. Each caption is compared with the one kept before it:

    it says nothing, or is no text            -> dropped
    it is part of the one before              -> that one lasts longer            (merged)
    the one before is part of it              -> it takes that one's place        (merged)
    it begins with the other's last letters   -> one of the two loses them: a coin decides which   (trimmed)
"""

import hashlib
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mmpt.text.captions import Captions
from mmpt.utils.seeding import generator


@dataclass
class Tally:
    """What became of captions. `captions` is always `kept + merged + dropped`.

    Attributes:
        captions: in all.
        kept: left over.
        merged: joined with the one before, because one of the two says it all.
        dropped: without text.
        trimmed: kept, but less the words that two neighbours share; one for each pair.
        disordered: begin before the one before them.
        overlapping: begin before the one before them ends.
    """

    captions: int = 0
    kept: int = 0
    merged: int = 0
    dropped: int = 0
    trimmed: int = 0
    disordered: int = 0
    overlapping: int = 0

    def add(self, other: "Tally") -> None:
        """Count another's captions too."""
        for entry in fields(self):
            setattr(self, entry.name, getattr(self, entry.name) + getattr(other, entry.name))


def dedup(captions: Captions, rng: np.random.Generator) -> tuple[Captions, Tally]:
    """Clean the captions of a video.

    Args:
        captions: as `parse_captions` gives them.
        rng: one draw for each pair of neighbours that share letters.

    Returns:
        The captions that are left, and what became of the others.
    """
    tally = Tally(captions=len(captions))
    kept: list[list[Any]] = []  # [start, end, text]
    before: tuple[float, float] | None = None
    for start, end, raw in zip(captions.start, captions.end, captions.text, strict=True):
        text = raw.replace("\n", " ").strip() if raw is not None else ""
        if not text:
            tally.dropped += 1
            continue
        if before is not None:
            tally.disordered += start < before[0]
            tally.overlapping += start < before[1]
        before = (start, end)
        if kept and (text in kept[-1][2] or kept[-1][2] in text):
            last = kept[-1]
            kept[-1] = [min(last[0], start), max(last[1], end), max(last[2], text, key=len)]
            tally.merged += 1
            continue
        new = [start, end, text]
        if kept and (shared := shared_letters(kept[-1][2], text)):
            _part(kept[-1], new, shared, from_new=bool(rng.random() < 0.5))
            tally.trimmed += 1
        kept.append(new)
    tally.kept = len(kept)
    starts, ends, texts = ([row[column] for row in kept] for column in range(3))
    return Captions(starts, ends, texts), tally


def shared_letters(first: str, second: str) -> int:
    """Count the letters with which one text ends and the next begins.

    Args:
        first: a text.
        second: the next, no part of the first and no whole of it.

    Returns:
        The smallest number of letters that fits, as in the original, however few; 0 for none.
    """
    place = first.rfind(second[0])
    while place >= 0:
        if second.startswith(first[place:]):
            return len(first) - place
        place = first.rfind(second[0], 0, place)
    return 0


def video_generator(seed: int, video_id: str) -> np.random.Generator:
    """Make the generator of a video's draws; it depends on nothing but the two arguments.

    Args:
        seed: of the run.
        video_id: the video.

    Returns:
        A generator of its own, whatever the order of the videos and the number of workers.
    """
    number = int.from_bytes(hashlib.sha256(video_id.encode("utf-8", "surrogatepass")).digest()[:8], "big")
    return generator(seed, 0, number)


def dedup_entry(video_id: str, captions: Captions, seed: int) -> tuple[str, Tally]:
    """Clean the captions of a video of a caption file.

    Args:
        video_id: the video.
        captions: its captions.
        seed: of the run.

    Returns:
        The clean captions as JSON text, and what became of the others.
    """
    clean, tally = dedup(captions, video_generator(seed, video_id))
    return clean.to_json(), tally


def _part(first: list[Any], second: list[Any], shared: int, *, from_new: bool) -> None:
    """Take the shared letters from one of two neighbours, and let the two meet in time."""
    if from_new:
        first[1] = max(first[1], second[0])
        second[0] = first[1]
        second[1] = max(second[1], second[0])
        second[2] = second[2][shared:].strip()
    else:
        first[1] = min(first[1], second[0])
        first[2] = first[2][:-shared].strip()
