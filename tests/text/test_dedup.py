"""Cleaning captions: what holds for any captions, and what is counted."""

import copy

from hypothesis import given
from hypothesis import strategies as st

from mmpt.text.captions import Captions, parse_captions
from mmpt.text.dedup import dedup, shared_letters, video_generator

ROWS = st.lists(
    st.tuples(st.floats(0, 1e5), st.floats(0, 1e4), st.one_of(st.none(), st.text(alphabet="ab \n", max_size=6)))
)


@given(ROWS, st.text())
def test_whatever_comes(rows: list[tuple[float, float, str | None]], video_id: str) -> None:
    starts, texts = [row[0] for row in rows], [row[2] for row in rows]
    captions = parse_captions({"start": starts, "end": [row[0] + row[1] for row in rows], "text": texts})
    before = copy.deepcopy(captions)
    clean, tally = dedup(captions, video_generator(3, video_id))
    assert captions == before
    assert (clean, tally) == dedup(captions, video_generator(3, video_id))
    assert tally.captions == len(captions) == tally.kept + tally.merged + tally.dropped
    assert tally.kept == len(clean) == len(clean.start) == len(clean.end)
    assert tally.trimmed <= max(tally.kept - 1, 0)
    assert all(text and text == text.strip() and "\n" not in text for text in clean.text)
    said = {text.replace("\n", " ").strip() for text in texts if text}
    assert all(any(text in whole for whole in said) for text in clean.text if text), "a text that nobody said"


def test_order_and_overlap_are_counted() -> None:
    captions = Captions([0.0, 5.0, 4.0, 20.0], [6.0, 7.0, 5.0, 21.0], ["One", "Two", "Six", "Ten"])
    _, tally = dedup(captions, video_generator(0, "a"))
    assert (tally.overlapping, tally.disordered) == (2, 1)


def test_shared_letters_are_the_fewest() -> None:
    assert shared_letters("add the butter", "the butter melts") == len("the butter")
    assert shared_letters("banana", "anaconda") == 1
    assert shared_letters("one", "two") == 0


def test_draws_depend_on_the_video_and_the_seed_only() -> None:
    first = [video_generator(0, f"v{number}").random() for number in range(50)]
    again = [video_generator(0, f"v{number}").random() for number in reversed(range(50))]
    assert first == again[::-1] and len(set(first)) == 50
    assert video_generator(1, "v0").random() != first[0]
