"""Two rankings become one, and words find the pictures that they are said over."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpt.search.calibration import DEFAULT_THRESHOLD
from mmpt.search.fusion import Candidate, Seen, Spoken
from mmpt.search.fusion import fuse as fuse_some
from mmpt.search.moments import Core
from mmpt.search.records import Caption
from mmpt.search.said import LONGEST, find_said, said_score
from mmpt.search.store import Store
from mmpt.search.words import MAX_QUERY_WORDS, coverage, index_terms, query_words
from tests.search.entries import about_store, random_entry


def place(video: str, start: int, end: int, score: float = 1.0) -> Seen:
    return Seen(video, Core(0, start, end, score, start, end), np.zeros(end), start, end, score)


def spoken(video: str, start: float, end: float) -> Spoken:
    caption = Caption(start, end, "words")
    return Spoken(video, (caption,), 1.0, 1.0, caption)


def fuse(seen, said) -> list[Candidate]:
    """All are more than chance."""
    return fuse_some(seen, said, firm_seen=len(seen), firm_said=len(said))


def test_what_is_chance_joins_nothing() -> None:
    seen, said = [place("a", 0, 4)], [spoken("a", 0, 4)]
    assert len(fuse(seen, said)) == 1
    assert len(fuse_some(seen, said, firm_seen=0, firm_said=1)) == 2
    assert len(fuse_some(seen, said, firm_seen=1, firm_said=0)) == 2


def test_what_is_chance_comes_after_what_is_not() -> None:
    seen, said = [place("a", 0, 4), place("b", 0, 4)], [spoken("c", 0, 4), spoken("d", 0, 4)]
    found = fuse_some(seen, said, firm_seen=0, firm_said=1)
    assert [candidate.video for candidate in found] == ["c", "a", "b", "d"]
    assert [candidate.video for candidate in fuse_some(seen, said, firm_seen=2, firm_said=0)] == ["a", "b", "c", "d"]


def test_what_is_seen_and_said_comes_first():
    seen = [place("a", 0, 4), place("b", 0, 4), place("c", 10, 14)]
    said = [spoken("d", 0, 2), spoken("c", 13, 15)]
    found = fuse(seen, said)
    assert [(c.video, c.seen is not None, c.spoken is not None) for c in found] == [
        ("c", True, True),
        ("a", True, False),
        ("d", False, True),
        ("b", True, False),
    ]


@pytest.mark.parametrize(("start", "together"), [(5.9, True), (6.1, False), (0.0, True)])
def test_words_belong_to_what_they_nearly_touch(start, together):
    found = fuse([place("a", 0, 4)], [spoken("a", start, start + 1)])
    assert len(found) == (1 if together else 2)
    assert fuse([place("a", 0, 4)], [spoken("b", start, start + 1)])[0].spoken is None


def test_nothing_gives_nothing():
    assert fuse([], []) == []


PLACES = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.integers(1, 9)), max_size=12)


@given(PLACES, PLACES)
def test_every_place_is_in_one_candidate(seen_at, said_at):
    seen = [place(video, start, start + length, -rank) for rank, (video, start, length) in enumerate(seen_at)]
    said = [spoken(video, start + rank / 100, start + length) for rank, (video, start, length) in enumerate(said_at)]
    found = fuse(seen, said)
    assert sorted(id(c.seen) for c in found if c.seen) == sorted(map(id, seen))
    assert sorted(id(c.spoken) for c in found if c.spoken) == sorted(map(id, said))
    for one in found:
        assert one.spoken is None or one.spoken.video == one.video
    only_seen = [c.seen.dot for c in found if c.seen and c.spoken is None]
    assert only_seen == sorted(only_seen, reverse=True)
    again = fuse(seen, said)
    assert [(c.seen, c.spoken) for c in found] == [(c.seen, c.spoken) for c in again]


def test_every_word_of_a_caption_finds_it(tmp_path) -> None:
    line = Caption(
        0, 9, "Boil the water, stir the berries; bakers were running and tasted glasses happily in the kitchen."
    )
    store = make_store(tmp_path, [line])
    for word, *_ in query_words(line.text):
        assert [place.coverage for place in find_said(store, word, None)] == [1.0], word


@pytest.mark.parametrize(
    ("asked", "said", "part"),
    [
        ("flip the pancake", "Now we're FLIPPING pancakes!", 1.0),
        ("flip the pancake", "a pancake", 0.5),
        ("the cafés", "cafe", 1.0),
        ("a dog runs", "the dogs were running", 1.0),
        ("to be or not to be", "to be", 0.5),  # has no other words
        ("boxes", "box", 1.0),
        ("berries", "a berry", 1.0),
        ("glass", "glasses", 1.0),
        ("bake", "baking baked bakes", 1.0),
        ("zebra", "pancake", 0.0),
        ("🥞", "🥞", 0.0),  # no word
        ("собака", "Собака бежит", 1.0),
    ],
)
def test_which_part_of_the_words_is_said(asked, said, part):
    assert coverage(query_words(asked), index_terms(said)) == part


def test_words_are_bounded_and_each_counts_once():
    assert len(query_words(" ".join(f"word{number}" for number in range(10_000)))) == MAX_QUERY_WORDS
    assert query_words("Flips flip the Pan FLIPPING") == [("flips", "flip"), ("pan",)]
    assert query_words("<b>&'\"--> ;DROP") == [("b",), ("drop",)]


def test_the_scale_of_words():
    assert said_score(1.0) == pytest.approx(2 * DEFAULT_THRESHOLD)
    assert said_score(2 / 3) == pytest.approx(DEFAULT_THRESHOLD)
    assert said_score(2 / 3) >= DEFAULT_THRESHOLD > said_score(0.5)


def make_store(tmp_path, captions: list[Caption]) -> Store:
    entry = random_entry(1, captions=len(captions))
    store = Store.create(tmp_path / "library", about_store())
    entry.captions[:] = captions
    store.put(entry.record, entry.windows, entry.vectors, entry.tokens, captions)
    return store


def test_captions_that_follow_one_another_are_one_place(tmp_path):
    lines = [
        Caption(0, 2, "now flip"),
        Caption(2.5, 4, "the pancake"),
        Caption(40, 41, "a pancake"),
        Caption(90, 91, "soup"),
    ]
    places = find_said(make_store(tmp_path, lines), "flip the pancake", None)
    assert [(place.start, place.end, place.coverage) for place in places] == [(0, 4, 1.0), (40, 41, 0.5)]


def test_one_place_is_not_endless(tmp_path):
    lines = [Caption(second, second + 1.0, "pancake") for second in range(100)]
    places = find_said(make_store(tmp_path, lines), "pancake", None)
    assert all(place.end - place.start <= LONGEST for place in places)
    assert sum(len(place.captions) for place in places) == 100
