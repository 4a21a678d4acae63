"""One query at work: the places that are seen, and the moments that come of all places."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmpt.search.calibration import CHANCE, Background
from mmpt.search.fusion import Candidate, Seen, Spoken, fuse
from mmpt.search.matrix_scores import Hits
from mmpt.search.matrix_snapshot import Snapshot
from mmpt.search.moments import free_span, merge_windows, refine
from mmpt.search.records import Moment, VideoRecord
from mmpt.search.said import said_score
from mmpt.search.store import Store

HALF = 0.5  # of a query's words: with fewer, a place is not both seen and said
SPARE = 10  # places more than moments are asked for: some fall together
WINDOWS = 16  # for each place, of those that are looked at
SHORTEST = 0.001  # seconds; a moment is not shorter
MOST_KEPT = 256 << 20  # bytes of tokens that one call keeps for its further queries

Span = tuple[float, float]
Search = Callable[[int], Hits]


class Tokens:
    """The vectors of videos' seconds, read several videos at a time, and kept as far as memory allows.

    Args:
        store: the library.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[str, np.ndarray] = {}
        self._bytes = 0

    def curves(self, videos: Collection[str], vector: np.ndarray) -> dict[str, np.ndarray]:
        """Score the seconds of videos.

        Args:
            videos: their ids.
            vector: float32 (D,), the query.

        Returns:
            For each video float32 (seconds,); one that was taken out meanwhile is left out.
        """
        found = {video: self._kept[video].astype(np.float32) @ vector for video in videos if video in self._kept}
        lacking = {video for video in videos if video not in found}
        for video, tokens in self._store.tokens_of(lacking) if lacking else ():
            found[video] = tokens.astype(np.float32) @ vector
            if self._bytes + tokens.nbytes <= MOST_KEPT:
                self._kept[video] = tokens
                self._bytes += tokens.nbytes
        return found


@dataclass(frozen=True)
class Look:
    """One query at work.

    Attributes:
        records: the videos that are searched.
        windows: their windows.
        tokens: their seconds.
        vector: float32 (D,), the query; None where only words are looked for.
        ground: what it scores by chance.
        said: places where its words are said, best first.
        hits: gives the windows that score best, so many.
    """

    records: dict[str, VideoRecord]
    windows: Snapshot
    tokens: Tokens
    vector: np.ndarray | None
    ground: Background
    said: Sequence[Spoken]
    hits: Search
    _curves: dict[str, np.ndarray] = field(default_factory=dict)

    def find(self, limit: int, threshold: float | None) -> tuple[list[Moment], Moment | None]:
        """Find moments.

        Args:
            limit: how many at most.
            threshold: the score that they need.

        Returns:
            Moments that share no second, best first; and where there are none, the best of the others.
        """
        firm_said = sum(spoken.coverage >= HALF for spoken in self.said)
        wanted = limit + SPARE
        while True:
            seen, goes_on = self._places(wanted)
            firm_seen = sum(self._is_more_than(CHANCE, place.dot) for place in seen)
            candidates = fuse(seen, self.said, firm_seen=firm_seen, firm_said=firm_said)
            moments, below = self._choose(candidates, limit, threshold)
            if len(moments) == limit or not goes_on or (threshold is not None and firm_seen < len(seen)):
                return moments, below
            wanted *= 4

    def _places(self, wanted: int) -> tuple[list[Seen], bool]:
        """Places that are seen, best first, and whether there are more."""
        if self.vector is None or not len(self.windows):
            return [], False
        count, names = WINDOWS * wanted, self.windows.ids
        while True:
            hits = self.hits(count)
            rows = hits.rows[0]
            at = self.windows.video[rows], self.windows.start[rows], self.windows.end[rows]
            cores = merge_windows(*at, hits.scores[0], base=self.ground.location, limit=wanted)
            if len(cores) == wanted or len(rows) < count:
                break
            count *= 8
        there = [(names[core.video], core) for core in cores if names[core.video] in self.records]
        self._read({video for video, _ in there})
        places = []
        for video, core in there:
            curve = self._curves.get(video)
            found = None if curve is None else refine(core, curve, base=self.ground.location)
            if curve is not None and found is not None:
                start, end, _ = found
                # the window is a good judge of what happens, the seconds of where: together they rank best
                dot = (core.score + float(curve[start:end].mean())) / 2
                places.append(Seen(video, core, curve, float(start), float(end), dot))
        return sorted(places, key=lambda place: -place.dot), len(cores) == wanted

    def _read(self, videos: set[str]) -> None:
        lacking = videos - self._curves.keys()
        if lacking and self.vector is not None:
            self._curves.update(self.tokens.curves(lacking, self.vector))

    def _is_more_than(self, score: float, dot: float) -> bool:
        """Whether a dot product is worth more than a score, or nothing can be said of it."""
        return not self.ground.judges or self.ground.calibrate(dot) >= score

    def _choose(
        self, candidates: Sequence[Candidate], limit: int, threshold: float | None
    ) -> tuple[list[Moment], Moment | None]:
        taken: dict[str, list[Span]] = {}
        moments: list[Moment] = []
        scored = [(self._score(candidate), candidate) for candidate in candidates]
        for score, candidate in scored:
            if len(moments) == limit:
                break
            if threshold is not None and score < threshold and (candidate.seen is None or self.ground.judges):
                continue
            moment = self._moment(candidate, score, taken.setdefault(candidate.video, []))
            if moment is not None:
                moments.append(moment)
                taken[candidate.video].append((moment.start, moment.end))
        if moments or not scored:
            return moments, None
        score, candidate = max(scored, key=lambda row: row[0])
        return [], self._moment(candidate, score, [])

    def _score(self, candidate: Candidate) -> float:
        scores = []
        if candidate.seen is not None:
            scores.append(self.ground.calibrate(candidate.seen.dot))
        if candidate.spoken is not None:
            scores.append(said_score(candidate.spoken.coverage))
        return max(scores)

    def _moment(self, candidate: Candidate, score: float, taken: list[Span]) -> Moment | None:
        """Make a moment of a place; None where other moments have it."""
        seen, spoken = candidate.seen, candidate.spoken
        span: Span | None = None
        best = 0.0
        if seen is not None:
            found = refine(seen.core, seen.curve, base=self.ground.location, taken=taken)
            if found is None:
                return None
            span, best = (float(found[0]), float(found[1])), float(found[2])
        if spoken is not None:
            end = max(spoken.end, spoken.start + SHORTEST)
            span = _widened(span, spoken.start, end, taken) if span else free_span(spoken.start, end, taken)
            if span is None:
                return None
        assert span is not None
        if seen is None and spoken is not None:
            best = min(max(spoken.best.start, span[0]), span[1])
        return Moment(
            video=self.records[candidate.video],
            start=span[0],
            end=span[1],
            best=best,
            score=score,
            seen=None if seen is None else seen.dot,
            said=None if spoken is None else " ".join(caption.text for caption in spoken.captions),
            why="said" if seen is None else "seen" if spoken is None else "both",
        )


def _widened(span: Span, start: float, end: float, taken: list[Span]) -> Span:
    """What is seen together with what is said there, as far as nobody has it."""
    low = max([min(span[0], start), *(last for _, last in taken if last <= span[0])])
    high = min([max(span[1], end), *(first for first, _ in taken if first >= span[1])])
    return low, high
