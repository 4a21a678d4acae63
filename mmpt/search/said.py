"""What is said: captions that hold a query's words, brought together to places, on the scale of all scores."""

from collections import defaultdict
from collections.abc import Collection

from mmpt.search.calibration import DEFAULT_THRESHOLD
from mmpt.search.fusion import Spoken
from mmpt.search.store import CaptionHit, Store
from mmpt.search.words import Word, coverage, query_words

CAPTIONS = 200  # of all, the best, that are looked at
GAP = 2.0  # seconds between captions of one place
LONGEST = 30.0  # seconds of a place
ENOUGH_WORDS = 2 / 3  # of a query's words, that take a place to the default threshold
NO_WORDS = 1 / 3  # likewise to 0, where nothing stands out


def find_said(store: Store, text: str, ids: Collection[str] | None) -> list[Spoken]:
    """Find where a query's words are said.

    Args:
        store: the library.
        text: the query.
        ids: only in these videos.

    Returns:
        Places, best first: those where more of the words are said, then those of the better BM25 score, then by video
        and time.
    """
    asked = query_words(text, store.languages())
    by_video: dict[str, list[CaptionHit]] = defaultdict(list)
    for hit in store.full_text(text, CAPTIONS, ids):
        by_video[hit.video].append(hit)
    places = [_place(video, group, asked) for video, hits in by_video.items() for group in _together(hits)]
    return sorted(places, key=lambda spoken: (-spoken.coverage, -spoken.relevance, spoken.video, spoken.start))


def said_score(part: float) -> float:
    """Put the part of a query's words that is said on the scale of calibrated scores.

    Args:
        part: from 0 to 1.

    Returns:
        DEFAULT_THRESHOLD for two thirds of the words, twice that for all, 0 for one third, less below.
    """
    return DEFAULT_THRESHOLD * (part - NO_WORDS) / (ENOUGH_WORDS - NO_WORDS)


def _together(hits: list[CaptionHit]) -> list[list[CaptionHit]]:
    """Bring captions together that follow one another, up to LONGEST seconds."""
    groups: list[list[CaptionHit]] = []
    for hit in sorted(hits, key=lambda hit: (hit.caption.start, hit.caption.end, hit.caption.text)):
        caption, last = hit.caption, groups[-1] if groups else []
        end = max((other.caption.end for other in last), default=0.0)
        if last and caption.start - end <= GAP and max(end, caption.end) - last[0].caption.start <= LONGEST:
            last.append(hit)
        else:
            groups.append([hit])
    return groups


def _place(video: str, hits: list[CaptionHit], asked: list[Word]) -> Spoken:
    best = max(hits, key=lambda hit: hit.score)  # the first of equal ones
    heard = {term for hit in hits for term in hit.terms}
    captions = tuple(hit.caption for hit in hits)
    return Spoken(video, captions, coverage(asked, heard), best.score, best.caption)
