"""From a query to moments: what is seen and what is said, merged, refined to the second, and judged."""

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Literal, get_args

import numpy as np

from mmpt.models.scorer import Scorer
from mmpt.search.calibration import DEFAULT_THRESHOLD, Background, location
from mmpt.search.copies import lies_below
from mmpt.search.looking import SPARE, WINDOWS, Look, Tokens
from mmpt.search.matrix import WindowMatrix
from mmpt.search.matrix_scores import Hits
from mmpt.search.matrix_snapshot import Snapshot
from mmpt.search.records import Moment, VideoRecord
from mmpt.search.said import find_said
from mmpt.search.sources import absolute
from mmpt.search.store import Store

Mode = Literal["seen", "said", "both"]
MOST = 1000  # moments of a search

Day = float | date


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
        """True if a video is searched; one with a copy in the folder is."""
        if self.folder is not None and lies_below(record, str(absolute(self.folder))) is None:
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
        approximate: look only where the library's approximate index (`mmpt index optimize`) promises most.
    """

    text: str | None = None
    vector: Any = field(default=None, compare=False, repr=False)
    mode: Mode = "both"
    limit: int = 10
    where: Filter = Filter()
    threshold: float | None = DEFAULT_THRESHOLD
    approximate: bool = False

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

    @property
    def match(self) -> bool | None:
        """Whether anything matches; None where what is seen cannot be judged, and nothing else matches."""
        verdicts = [self.is_match(moment) for moment in self.moments]
        return True if True in verdicts else None if None in verdicts else False

    def is_match(self, moment: Moment) -> bool | None:
        """Say whether one of the moments is a match.

        Args:
            moment: of `moments`, or `below`.

        Returns:
            Whether it reaches the threshold, the default one where none was asked for; None where that says nothing,
            since it is only seen, and what is seen could not be judged.
        """
        if moment.why == "seen" and not self.judged:
            return None
        return moment.score >= (DEFAULT_THRESHOLD if self.threshold is None else self.threshold)


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
    records, windows, tokens = store.videos(), matrix.snapshot(), Tokens(store)
    scopes = {where: _scope(records, where) for where in {query.where for query in queries}}
    hits = _search_together(windows, queries, vectors, scopes)
    found = [
        _find(store, windows, tokens, scopes[query.where], query, vectors[number], hits.get(number))
        for number, query in enumerate(queries)
    ]
    taken = time.perf_counter() - began
    return [replace(result, seconds_taken=taken) for result in found]


def unix_time(day: Day) -> float:
    """Give a time as Unix time in seconds; of a date its first moment, where this machine is."""
    if isinstance(day, datetime):
        return day.timestamp()
    if isinstance(day, date):
        return datetime.combine(day, datetime.min.time()).timestamp()
    return float(day)


@dataclass(frozen=True)
class _Scope:
    """What a filter lets through.

    Attributes:
        records: the videos.
        ids: theirs; None where these are all.
        windows: how many they have.
    """

    records: dict[str, VideoRecord]
    ids: set[str] | None
    windows: int


def _scope(records: dict[str, VideoRecord], where: Filter) -> _Scope:
    accepted = {video: record for video, record in records.items() if where.accepts(record)}
    if where.folder is not None:  # show the copy in the requested folder
        folder = str(absolute(where.folder))
        accepted = {video: replace(r, path=lies_below(r, folder) or r.path) for video, r in accepted.items()}
    ids = None if len(accepted) == len(records) else set(accepted)
    return _Scope(accepted, ids, sum(record.windows for record in accepted.values()))


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


def _search_together(
    windows: Snapshot, queries: Sequence[Query], vectors: Sequence[np.ndarray | None], scopes: Mapping[Filter, _Scope]
) -> dict[int, Hits]:
    """Search for all queries that look at the same videos in one go; gives the best windows by number of the query."""
    if not len(windows):
        return {}
    groups: dict[tuple[Filter, bool], list[int]] = defaultdict(list)
    for number, query in enumerate(queries):
        if vectors[number] is not None:
            groups[query.where, query.approximate].append(number)
    found: dict[int, Hits] = {}
    for (where, approximate), numbers in groups.items():
        several = np.stack([vector for number in numbers if (vector := vectors[number]) is not None])
        count = WINDOWS * (SPARE + max(queries[number].limit for number in numbers))
        hits = windows.search(several, count, scopes[where].ids, approximate=approximate)
        found |= {number: Hits(hits.rows[[row]], hits.scores[[row]]) for row, number in enumerate(numbers)}
    return found


def _find(
    store: Store,
    windows: Snapshot,
    tokens: Tokens,
    scope: _Scope,
    query: Query,
    vector: np.ndarray | None,
    first: Hits | None,
) -> Results:
    def hits(count: int) -> Hits:
        assert vector is not None
        if first is not None and first.rows.shape[1] >= count:
            return Hits(first.rows[:, :count], first.scores[:, :count])
        return windows.search(vector[None], count, scope.ids, approximate=query.approximate)

    ground = _background(windows, vector, scope.windows)
    said = [] if query.text is None or query.mode == "seen" else find_said(store, query.text, scope.ids)
    said = [spoken for spoken in said if spoken.video in scope.records]
    look = Look(scope.records, windows, tokens, vector, ground, said, hits)
    moments, below = look.find(query.limit, query.threshold)
    judged = vector is None or ground.judges
    return Results(query, moments, query.threshold, scope.windows, 0.0, below, judged=judged)


def _background(windows: Snapshot, vector: np.ndarray | None, searched: int) -> Background:
    if vector is None or not len(windows):
        return Background(0.0, 0.0, 0, searched)
    sample = windows.sample(vector[None])[0]
    deviation = float(np.linalg.norm(vector)) * windows.spread
    return Background(location(sample), deviation, len(sample), searched)
