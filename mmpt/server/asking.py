"""What a client asks for -> the library's own terms."""

from datetime import date
from typing import Any

import numpy as np

from mmpt.search.query import Filter, Query, Results
from mmpt.server.errors import ProblemError
from mmpt.server.hall import Hall
from mmpt.server.schemas import CurveAsked, SearchAsked, Which

EARLIEST, LATEST = date(1970, 1, 2), date(9998, 12, 31)  # days that files have, and that a clock can count to


def search(place: Hall, asked: SearchAsked) -> Results:
    """Search.

    Args:
        place: the server's state.
        asked: for what.

    Returns:
        The moments, best first.

    Raises:
        ProblemError: 404, the video that is given as an example is not there; 422, the query holds nothing to look for.
    """
    options: dict[str, Any] = {"mode": asked.mode, "limit": asked.limit, "where": where(asked)}
    if asked.threshold is not None:
        options["threshold"] = None if asked.threshold == "none" else asked.threshold
    if asked.like is not None:
        options |= {"vector": place.example(asked.like, asked.start, asked.end), "mode": "seen"}
    query = Query(text=asked.q, **options)
    if not place.snapshot().videos:
        return Results(query=query, moments=[], threshold=None, searched=0, seconds_taken=0.0)
    try:
        return place.library.search_many([query])[0]
    except ValueError as error:
        raise ProblemError(422, str(error), "ask for something else") from None


def curve(place: Hall, asked: CurveAsked) -> np.ndarray:
    """Say second by second how well a video fits.

    Args:
        place: the server's state.
        asked: which video, and for what.

    Returns:
        float32 (seconds,).

    Raises:
        ProblemError: 404, there is no such video; 422, as for `search`.
    """
    record = place.record(asked.video)
    try:
        if asked.q is not None:
            return place.library.curve(record.id, asked.q)
        assert asked.like is not None
        example = place.example(asked.like, asked.start, asked.end)
        return place.library.store.tokens(record.id).astype(np.float32) @ example
    except ValueError as error:
        raise ProblemError(422, str(error), "ask for something else") from None


def where(asked: Which) -> Filter:
    """Make a filter."""
    return Filter(
        folder=asked.folder or None,
        after=_day(asked.after),
        before=_day(asked.before),
        min_seconds=asked.min_seconds,
        max_seconds=asked.max_seconds,
    )


def _day(day: date | None) -> date | None:
    return None if day is None else min(max(day, EARLIEST), LATEST)
