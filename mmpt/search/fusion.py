"""One ranking out of two: what is seen and what is said."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmpt.search.moments import Core
from mmpt.search.records import Caption

DEPTH = 60  # reciprocal rank fusion's constant: how little the first ranks count above the later ones
NEAR = 2.0  # seconds between what is seen and what is said about it


@dataclass(frozen=True, eq=False)
class Seen:
    """A place of a video that looks like what is looked for.

    Attributes:
        video: id of the video.
        core: its best window.
        curve: float32 (seconds,), the dot product of each second of the video with the query.
        start: first second of what stands out.
        end: the second after its last.
        dot: the dot product of the query with the place.
    """

    video: str
    core: Core
    curve: np.ndarray
    start: float
    end: float
    dot: float


@dataclass(frozen=True)
class Spoken:
    """A place of a video where words are said.

    Attributes:
        video: id of the video.
        captions: those that hold the words, in order.
        coverage: which part of the query's words is said there, from 0 to 1.
        relevance: BM25 score of the best of the captions.
        best: the best of the captions.
    """

    video: str
    captions: tuple[Caption, ...]
    coverage: float
    relevance: float
    best: Caption

    @property
    def start(self) -> float:
        """In seconds."""
        return self.captions[0].start

    @property
    def end(self) -> float:
        """In seconds."""
        return max(caption.end for caption in self.captions)


@dataclass(frozen=True, eq=False)
class Candidate:
    """What may become a moment.

    Attributes:
        video: id of the video.
        seen: where it is seen; None where it is only said.
        spoken: where it is said; None where it is only seen.
    """

    video: str
    seen: Seen | None = None
    spoken: Spoken | None = None


def fuse(seen: Sequence[Seen], said: Sequence[Spoken], *, firm_seen: int, firm_said: int) -> list[Candidate]:
    """Fuse two rankings by their ranks, as their scores are of different kinds.

    A place's value is the sum of 1 / (DEPTH + rank) over the rankings that it stands in. What is said belongs to the
    best place of the same video, as seen, that it overlaps or nearly touches, provided that there is something to both.

    Args:
        seen: places, best first.
        said: places, best first.
        firm_seen: how many of `seen` are more than chance.
        firm_said: likewise of `said`.

    Returns:
        Each of the places in one candidate, best first: what is more than chance before what is not, whatever their
        ranks; of equal ones those that are seen come first, then by rank.
    """
    by_video: dict[str, list[int]] = defaultdict(list)
    for rank, place in enumerate(seen[:firm_seen]):
        by_video[place.video].append(rank)
    partner: dict[int, int] = {}
    for rank, spoken in enumerate(said[:firm_said]):
        free = (number for number in by_video[spoken.video] if number not in partner)
        near = next((number for number in free if _touch(seen[number], spoken)), None)
        if near is not None:
            partner[near] = rank
    ranked: list[tuple[bool, float, int, int, Candidate]] = []
    for rank, place in enumerate(seen):
        other = partner.get(rank)
        value = _value(rank) + (0.0 if other is None else _value(other))
        candidate = Candidate(place.video, place, None if other is None else said[other])
        ranked.append((rank >= firm_seen, -value, 0, rank, candidate))
    paired = set(partner.values())
    for rank, spoken in enumerate(said):
        if rank not in paired:
            ranked.append((rank >= firm_said, -_value(rank), 1, rank, Candidate(spoken.video, None, spoken)))
    return [candidate for *_, candidate in sorted(ranked, key=lambda row: row[:-1])]


def _value(rank: int) -> float:
    return 1.0 / (DEPTH + rank + 1)


def _touch(seen: Seen, spoken: Spoken) -> bool:
    return seen.start < spoken.end + NEAR and spoken.start < seen.end + NEAR
