"""From a query to moments: what is seen and what is said, merged, refined to the second, and judged."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, get_args

import numpy as np

from mmpt.models.scorer import Scorer
from mmpt.search.calibration import CHANCE, DEFAULT_THRESHOLD, Background, location
from mmpt.search.fusion import Candidate, fuse
from mmpt.search.matrix import Snapshot, WindowMatrix
from mmpt.search.moments import Core, free_span, merge_windows, refine
from mmpt.search.records import Moment, VideoRecord
from mmpt.search.said import find_said, said_score
from mmpt.search.sources import absolute, is_below
from mmpt.search.store import Store

Mode = Literal["seen", "said", "both"]
MOST = 1000  # moments of a search
HALF = 0.5  # of a query's words: with fewer, a place is not both seen and said
SPAN = 0.001  # seconds; a moment is not shorter

Day = float | date
Span = tuple[float, float]


@dataclass(frozen=True)
class Filter:
    """Which videos are searched.

    Attributes:
        folder: only files below this one.
        after: only files last changed at this time or later: Unix time in seconds, a datetime, or a date for its first
            moment.
        before: only files last changed before this time.
        min_seconds: only videos at least this long.
        max_seconds: only videos at most this long.
    """

    folder: str | None = None
    after: Day | None = None
    before: Day | None = None
    min_seconds: float | None = None
    max_seconds: float | None = None

    def accepts(self, record: VideoRecord) -> bool:
        """Whether a video is searched."""
        if self.folder is not None and not is_below(record.path, str(absolute(self.folder))):
            return False
        if self.after is not None and record.modified < unix_time(self.after):
            return False
        if self.before is not None and record.modified >= unix_time(self.before):
            return False
        if self.min_seconds is not None and record.seconds < self.min_seconds:
            return False
        return self.max_seconds is None or record.seconds <= self.max_seconds


@dataclass(frozen=True)
class Query:
    """What to look for.

    Attributes:
        text: a sentence; None for a vector.
        vector: float (D,), for example of a clip (see `mmpt.search.example`), in place of a text.
        mode: whether it is looked for in what is seen, in what is said, or in both; a vector only in what is seen.
        limit: how many moments at most.
        where: which videos are searched.
        threshold: the score that a moment needs; None gives the best ones, whatever they are worth.
    """

    text: str | None = None
    vector: Any = field(default=None, compare=False, repr=False)
    mode: Mode = "both"
    limit: int = 10
    where: Filter = Filter()
    threshold: float | None = DEFAULT_THRESHOLD

    @property
    def encodes(self) -> bool:
        """Whether the model is needed, to encode the text."""
        return self.vector is None and self.mode != "said"

    def check(self, dim: int | None = None) -> None:
        """Refuse a query that asks for nothing, or for what there is not.

        Args:
            dim: width of the library's vectors, where a vector is to be held to it.

        Raises:
            ValueError: says what is wrong.
        """
        if (self.text is None) == (self.vector is None):
            raise ValueError("a query is a text or a vector (of a clip, say); give one of the two")
        if self.text is not None and not self.text.strip():
            raise ValueError('the query is empty; say what to look for, for example "a woman flips a pancake"')
        if self.mode not in get_args(Mode):
            raise ValueError(f"mode is {self.mode!r}; it is one of {', '.join(get_args(Mode))}")
        if not 1 <= self.limit <= MOST:
            raise ValueError(f"limit is {self.limit}; a search gives from 1 to {MOST} moments")
        if self.threshold is not None and not np.isfinite(self.threshold):
            raise ValueError(f"threshold is {self.threshold}; it is a number, or None for no threshold")
        if self.vector is None:
            return
        if self.mode == "said":
            raise ValueError("mode is 'said', and a clip has no words to look for; take 'seen'")
        vector = np.asarray(self.vector, np.float32)
        if vector.shape != (vector.size if dim is None else dim,) or not np.isfinite(vector).all():
            raise ValueError(f"the query's vector is {vector.shape}; it takes ({dim or 'D'},) finite numbers")


@dataclass(frozen=True)
class Results:
    """What a search found.

    Attributes:
        query: what was looked for.
        moments: those that reach the threshold, best first; an empty list says that nothing stands out.
        threshold: what was asked for.
        searched: how many windows were searched.
        seconds_taken: by all queries that were searched together.
        below: the best moment that does not reach the threshold, where none does.
        judged: whether what is seen could be put against a background. Where it could not, as in a library of a few
            windows, the best of what is seen is given, whatever it is worth.
    """

    query: Query
    moments: list[Moment]
    threshold: float | None
    searched: int
    seconds_taken: float
    below: Moment | None = None
    judged: bool = True


def search(
    store: Store, matrix: WindowMatrix, scorer: Scorer | Callable[[], Scorer], queries: Sequence[Query]
) -> list[Results]:
    """Search a library.

    Args:
        store: the library.
        matrix: its windows.
        scorer: its model, or what gives it where a text has to be encoded.
        queries: what to look for.

    Returns:
        One result for each query, in order.

    Raises:
        ValueError: a query asks for nothing, or for what there is not.
    """
    began = time.perf_counter()
    for query in queries:
        query.check(store.about["dim"])
    vectors = _encode(scorer, queries)
    records, windows = store.videos(), matrix.snapshot()
    tokens = _Tokens(store)
    found = [
        _search_one(store, windows, records, tokens, query, vector)
        for query, vector in zip(queries, vectors, strict=True)
    ]
    taken = time.perf_counter() - began
    return [Results(**{**result.__dict__, "seconds_taken": taken}) for result in found]


def unix_time(day: Day) -> float:
    """Give a time as Unix time in seconds; of a date its first moment, where this machine is."""
    if isinstance(day, datetime):
        return day.timestamp()
    if isinstance(day, date):
        return datetime.combine(day, datetime.min.time()).timestamp()
    return float(day)


class _Tokens:
    """The vectors of videos' seconds, each video's read once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[str, np.ndarray | None] = {}

    def curve(self, video: str, vector: np.ndarray) -> np.ndarray | None:
        """Score a video's seconds; None for a video that was taken out meanwhile."""
        if video not in self._read:
            try:
                self._read[video] = self._store.tokens(video).astype(np.float32)
            except ValueError:
                self._read[video] = None
        tokens = self._read[video]
        return None if tokens is None else tokens @ vector


def _encode(scorer: Scorer | Callable[[], Scorer], queries: Sequence[Query]) -> list[np.ndarray | None]:
    """Give each query's vector; None where only words are looked for."""
    texts = [query.text for query in queries if query.text is not None and query.encodes]
    encoded = iter(())
    if texts:
        model = scorer if isinstance(scorer, Scorer) else scorer()
        encoded = iter(model.encode_text(texts).numpy())
    vectors: list[np.ndarray | None] = []
    for query in queries:
        if query.vector is not None:
            vectors.append(np.asarray(query.vector, np.float32))
        else:
            vectors.append(next(encoded) if query.encodes else None)
    return vectors


def _search_one(
    store: Store,
    windows: Snapshot,
    records: dict[str, VideoRecord],
    tokens: _Tokens,
    query: Query,
    vector: np.ndarray | None,
) -> Results:
    accepted = {video: record for video, record in records.items() if query.where.accepts(record)}
    ids = None if len(accepted) == len(records) else set(accepted)
    searched = sum(record.windows for record in accepted.values())
    look = _Look(accepted, tokens, vector, _background(windows, vector, searched))
    said = [] if query.text is None or query.mode == "seen" else find_said(store, query.text, ids)
    said = [spoken for spoken in said if spoken.video in accepted]
    firm_said = sum(spoken.coverage >= HALF for spoken in said)
    wanted = 2 * query.limit + 10  # places, some of which others swallow
    while True:
        seen, complete = ([], True) if vector is None else _find_seen(windows, look, ids, wanted)
        firm_seen = sum(look.passes(core.score, CHANCE) for _, core in seen)
        candidates = fuse(seen, said, firm_seen=firm_seen, firm_said=firm_said)
        moments, below = look.choose(candidates, query.limit, query.threshold)
        if complete or len(moments) == query.limit or not (seen and look.passes(seen[-1][1].score, query.threshold)):
            break
        wanted *= 4
    judged = vector is None or look.ground.judges
    return Results(query, moments, query.threshold, searched, 0.0, below, judged=judged)


def _background(windows: Snapshot, vector: np.ndarray | None, searched: int) -> Background:
    if vector is None or not len(windows):
        return Background(0.0, 0.0, 0, searched)
    sample = windows.sample(vector[None])[0]
    deviation = float(np.linalg.norm(vector)) * windows.spread
    return Background(location(sample), deviation, len(sample), searched)


def _find_seen(
    windows: Snapshot, look: "_Look", ids: Collection[str] | None, wanted: int
) -> tuple[list[tuple[str, Core]], bool]:
    """Find the places that are seen, best first, and say whether these are all."""
    assert look.vector is not None
    count, total = 16 * wanted, len(windows)
    while total:
        hits = windows.search(look.vector[None], min(count, total), None if ids is None else set(ids))
        rows, names = hits.rows[0], windows.ids
        places = windows.video[rows], windows.start[rows], windows.end[rows]
        cores = merge_windows(*places, hits.scores[0], base=look.ground.location, limit=wanted)
        if len(cores) == wanted or len(rows) < count:
            seen = [(names[core.video], core) for core in cores if names[core.video] in look.records]
            return seen, len(cores) < wanted
        count *= 8
    return [], True


@dataclass(frozen=True)
class _Look:
    """One query at work.

    Attributes:
        records: the videos that are searched.
        tokens: their seconds.
        vector: float32 (D,), the query; None where only words are looked for.
        ground: what it scores by chance.
    """

    records: dict[str, VideoRecord]
    tokens: _Tokens
    vector: np.ndarray | None
    ground: Background

    def choose(
        self, candidates: Sequence[Candidate], limit: int, threshold: float | None
    ) -> tuple[list[Moment], Moment | None]:
        """Make moments of candidates.

        Args:
            candidates: best first.
            limit: how many moments at most.
            threshold: the score that they need.

        Returns:
            Moments that share no second, best first; and where there are none, the best of the others.
        """
        taken: dict[str, list[Span]] = {}
        moments: list[Moment] = []
        scored = [(self._score(candidate), candidate) for candidate in candidates]
        for score, candidate in scored:
            if len(moments) == limit:
                break
            if threshold is not None and score < threshold and (candidate.core is None or self.ground.judges):
                continue
            moment = self._moment(candidate, score, taken.setdefault(candidate.video, []))
            if moment is not None:
                moments.append(moment)
                taken[candidate.video].append((moment.start, moment.end))
        if moments or not scored:
            return moments, None
        score, candidate = max(scored, key=lambda row: row[0])
        return [], self._moment(candidate, score, [])

    def passes(self, seen: float, threshold: float | None) -> bool:
        """Whether a dot product reaches the threshold, or nothing can be said of it."""
        return threshold is None or not self.ground.judges or self.ground.calibrate(seen) >= threshold

    def _score(self, candidate: Candidate) -> float:
        scores = []
        if candidate.core is not None:
            scores.append(self.ground.calibrate(candidate.core.score))
        if candidate.spoken is not None:
            scores.append(said_score(candidate.spoken.coverage))
        return max(scores)

    def _moment(self, candidate: Candidate, score: float, taken: list[Span]) -> Moment | None:
        """Refine a candidate; None when other moments have its place, or the video was taken out meanwhile."""
        core, spoken, record = candidate.core, candidate.spoken, self.records[candidate.video]
        span: Span | None = None
        best = 0.0
        if core is not None:
            assert self.vector is not None
            curve = self.tokens.curve(candidate.video, self.vector)
            found = None if curve is None else refine(core, curve, base=self.ground.location, taken=taken)
            if found is None:
                return None
            span, best = (float(found[0]), float(found[1])), float(found[2])
        if spoken is not None:
            span, best = _with_words(span, best, spoken.start, max(spoken.end, spoken.start + SPAN), taken)
        if span is None:
            return None
        return Moment(
            video=record,
            start=span[0],
            end=span[1],
            best=best if core is not None else min(max(best, span[0]), span[1]),
            score=score,
            seen=None if core is None else core.score,
            said=None if spoken is None else " ".join(caption.text for caption in spoken.captions),
            why="both" if core is not None and spoken is not None else "seen" if core is not None else "said",
        )


def _with_words(
    span: Span | None, best: float, start: float, end: float, taken: list[Span]
) -> tuple[Span | None, float]:
    """Widen what is seen by what is said there, or take that alone, as far as nobody has it."""
    if span is None:
        return free_span(start, end, taken), start
    low = max([min(span[0], start), *(last for _, last in taken if last <= span[0])])
    high = min([max(span[1], end), *(first for first, _ in taken if first >= span[1])])
    return (low, high), best
