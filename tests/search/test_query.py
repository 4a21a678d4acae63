"""From a query to moments, through the real store and matrix."""

import dataclasses
import math
from datetime import date, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from mmpt.models.scorer import Scorer
from mmpt.search.calibration import CHANCE, DEFAULT_THRESHOLD
from mmpt.search.example import encode_part, example_vector
from mmpt.search.library import VideoLibrary
from mmpt.search.matrix import WindowMatrix
from mmpt.search.query import Filter, Query, Results, search, unix_time
from mmpt.search.records import Caption, Moment, VideoRecord
from mmpt.search.store import Store
from mmpt.search.windows import cut_all
from mmpt.utils.seeding import generator
from tests.search.entries import about_store

DIM, SECONDS, VIDEOS = 32, 40, 12
WANTED = np.eye(DIM, dtype=np.float32)[0]  # what is looked for
HOSTILE = ["<script>alert(1)</script>", "\"quoted\" 'words'", "a AND (b OR NOT c) -d*", "text:pan^2~", "x" * 10_000]


class Planted:
    """Videos of noise with things planted in them."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.create(folder / "library", about_store(DIM))
        self.folder = folder

    def put(
        self, number: int, things=(), captions=(), *, seconds: int = SECONDS, path: str = "", modified: float = 0.0
    ):
        """Put a video in: things are (start, end, strength along WANTED)."""
        tokens = generator(5, 0, number).normal(size=(seconds, DIM)) * 0.4
        tokens -= tokens.mean(axis=0)
        for start, end, strength in things:
            tokens[start:end] += strength * WANTED
        windows = np.array(cut_all(seconds, (4, 8, 16, 32)), np.int32)
        vectors = np.stack([tokens[start:end].mean(axis=0) for start, end in windows])
        record = VideoRecord(
            id=f"{number:016x}",
            path=path or f"/films/{number:03}.mp4",
            modified=modified,
            added=1e9 + number,
            seconds=seconds,
            windows=len(windows),
            captions=len(captions),
        )
        halves = vectors.astype(np.float16), tokens.astype(np.float16)
        self.store.put(record, windows, *halves, list(captions))
        return record

    def search(self, *queries: Query) -> list[Results]:
        matrix = WindowMatrix.open(self.store, self.folder / "matrix")
        return search(self.store, matrix, _no_model, queries)

    def one(self, **options) -> Results:
        return self.search(Query(**({"vector": WANTED} | options)))[0]


def _no_model() -> Scorer:
    raise AssertionError("the model is not needed")


@pytest.fixture
def planted(tmp_path: Path) -> Planted:
    """Twelve videos; one has something to be seen, one has it said, one both."""
    library = Planted(tmp_path)
    library.put(0, [(10, 16, 5.0)])
    library.put(1, captions=[Caption(20, 22.5, "Now flip the pancake."), Caption(30, 31, "It is flat as a pancake.")])
    library.put(2, [(24, 30, 5.5)], [Caption(25, 28, "flip it, flip the pancake")])
    for number in range(3, VIDEOS):
        library.put(number)
    return library


def places(moments: list[Moment]) -> list[tuple[int, float, float]]:
    return [(int(moment.video.id, 16), moment.start, moment.end) for moment in moments]


def test_finds_what_is_seen_to_the_second(planted: Planted) -> None:
    result = planted.one()
    assert places(result.moments) == [(2, 24, 30), (0, 10, 16)]
    first = result.moments[0]
    assert first.why == "seen" and first.said is None
    assert first.start <= first.best < first.end
    assert first.score > DEFAULT_THRESHOLD
    assert first.seen == pytest.approx(5.5, abs=1)
    assert result.searched == len(cut_all(SECONDS, (4, 8, 16, 32))) * VIDEOS
    assert result.judged and result.below is None and result.seconds_taken > 0


def test_what_is_not_there_is_no_match_and_the_nearest_is_told(planted: Planted) -> None:
    absent = np.eye(DIM, dtype=np.float32)[1]
    result = planted.one(vector=absent)
    assert result.moments == []
    assert result.below is not None and result.below.score < DEFAULT_THRESHOLD
    everything = planted.one(vector=absent, threshold=None, limit=5)
    assert len(everything.moments) == 5 and everything.below is None
    assert everything.moments[0] == result.below


def test_said_needs_no_model(planted: Planted) -> None:
    result = planted.search(Query("flip the pancake", mode="said"))[0]
    assert places(result.moments) == [(2, 25, 28), (1, 20, 22.5)] or places(result.moments) == [
        (1, 20, 22.5),
        (2, 25, 28),
    ]
    assert {moment.why for moment in result.moments} == {"said"}
    assert all(
        moment.seen is None and moment.score == pytest.approx(2 * DEFAULT_THRESHOLD) for moment in result.moments
    )
    assert result.moments[0].best == result.moments[0].start
    assert planted.search(Query("a zebra", mode="said"))[0].moments == []
    half = planted.search(Query("flat soup", mode="said"))[0]
    assert half.moments == [] and half.below is not None and half.below.said == "It is flat as a pancake."


def test_both_ranks_what_is_seen_and_said_first(planted: Planted, monkeypatch) -> None:
    monkeypatch.setattr("mmpt.search.query._encode", lambda scorer, queries: [WANTED for _ in queries])
    result = planted.search(Query("flip the pancake", mode="both"))[0]
    found = [(int(moment.video.id, 16), moment.why) for moment in result.moments]
    assert found[0] == (2, "both") and sorted(found[1:]) == [(0, "seen"), (1, "said")]
    both = result.moments[0]
    assert (both.start, both.end, both.said) == (24, 30, "flip it, flip the pancake")
    assert both.seen is not None


@pytest.mark.parametrize("limit", [1, 2, 7, 200])
def test_no_second_is_given_twice(planted: Planted, limit: int) -> None:
    result = planted.one(threshold=None, limit=limit)
    assert len(result.moments) == limit or (limit == 200 and len(result.moments) > 50)
    for one in result.moments:
        others = [other for other in result.moments if other is not one and other.video == one.video]
        assert all(one.end <= other.start or other.end <= one.start for other in others)
        assert 0 <= one.start < one.end <= one.video.seconds
    scores = [moment.score for moment in result.moments]
    assert scores == sorted(scores, reverse=True)


def test_a_long_video_that_fits_does_not_use_up_the_limit(planted: Planted) -> None:
    planted.put(50, [(100, 220, 6.0)], seconds=600)
    result = planted.one(limit=3)
    assert [int(moment.video.id, 16) for moment in result.moments] == [50, 2, 0]


def test_the_same_search_gives_the_same_again(planted: Planted, tmp_path: Path) -> None:
    first = planted.one(threshold=None, limit=30).moments
    again = planted.one(threshold=None, limit=30).moments
    assert first == again
    (turned := Planted(tmp_path / "turned")).folder.mkdir(exist_ok=True)
    for number in reversed(range(3, VIDEOS)):
        turned.put(number)
    straight = Planted(tmp_path / "straight")
    for number in range(3, VIDEOS):
        straight.put(number)
    assert _sorted(turned.one(threshold=None).moments) == _sorted(straight.one(threshold=None).moments)


def _sorted(moments: list[Moment]) -> list[tuple]:
    return sorted((moment.video.id, moment.start, moment.end, round(moment.score, 5)) for moment in moments)


def test_equal_videos_come_in_the_librarys_order(tmp_path: Path) -> None:
    library = Planted(tmp_path)
    tokens = np.zeros((8, DIM), np.float16)
    tokens[2:6, 0] = 4
    windows = np.array(cut_all(8, (4, 8)), np.int32)
    vectors = np.stack([tokens[a:b].astype(np.float32).mean(0) for a, b in windows]).astype(np.float16)
    for number in range(20):
        record = VideoRecord(f"{number:016x}", f"/{number}.mp4", 0.0, float(number), 8, len(windows), 0)
        library.store.put(record, windows, vectors, tokens, [])
    found = library.one(threshold=None, limit=5).moments
    assert [int(moment.video.id, 16) for moment in found] == [0, 1, 2, 3, 4]


def test_too_few_windows_to_judge_by_are_told(tmp_path: Path) -> None:
    library = Planted(tmp_path)
    library.put(0, [(2, 4, 5.0)], [Caption(0, 1, "pan")], seconds=9)
    result = library.one()
    assert not result.judged and result.moments and result.moments[0].start == 2
    assert library.search(Query("zebra pan pot", mode="said"))[0].moments == []  # words are judged all the same


def test_an_empty_library_has_no_match(tmp_path: Path) -> None:
    library = Planted(tmp_path)
    results = library.search(Query(vector=WANTED), Query("pan", mode="said"))
    assert [(r.moments, r.below, r.searched) for r in results] == [([], None, 0)] * 2


def test_a_video_that_is_taken_out_meanwhile_is_passed_over(planted: Planted, monkeypatch) -> None:
    matrix = WindowMatrix.open(planted.store, planted.folder / "matrix")
    planted.store.delete([f"{2:016x}"])
    assert places(search(planted.store, matrix, _no_model, [Query(vector=WANTED)])[0].moments) == [(0, 10, 16)]
    monkeypatch.setattr(planted.store, "tokens_of", lambda videos: iter(()))
    assert search(planted.store, matrix, _no_model, [Query(vector=WANTED)])[0].moments == []


def test_reads_the_seconds_of_a_few_videos_once(planted: Planted, monkeypatch) -> None:
    for number in range(100, 140):
        planted.put(number)
    read: list[str] = []
    tokens_of = planted.store.tokens_of
    monkeypatch.setattr(planted.store, "tokens_of", lambda videos: read.extend(videos) or tokens_of(videos))
    planted.search(Query(vector=WANTED), Query(vector=WANTED, limit=1))
    assert len(set(read)) == len(read) <= 20


@pytest.mark.parametrize(
    "text", [*HOSTILE, "🥞", "\N{RIGHT-TO-LEFT OVERRIDE}pan", "-->", "%_'; DROP TABLE captions; --"]
)
def test_hostile_words_are_words(planted: Planted, text: str) -> None:
    planted.put(30, captions=[Caption(0, 2, text)])
    result = planted.search(Query(text, mode="said", threshold=None))[0]
    assert all(isinstance(moment.said, str) for moment in result.moments)
    if text in HOSTILE[:4]:
        assert result.moments[0].said == text


def record(**changes) -> VideoRecord:
    base = VideoRecord("0" * 16, "/films/holiday/a.mp4", datetime(2026, 5, 31, 12).timestamp(), 0.0, 90, 1, 0)
    return dataclasses.replace(base, **changes)


@pytest.mark.parametrize(
    ("where", "accepted"),
    [
        (Filter(), True),
        (Filter(folder="/films"), True),
        (Filter(folder="/films/"), True),
        (Filter(folder="/films/holiday/a.mp4"), True),
        (Filter(folder="/film"), False),
        (Filter(folder="/films/hol"), False),
        (Filter(after=date(2026, 5, 31)), True),
        (Filter(after=date(2026, 6, 1)), False),
        (Filter(before=date(2026, 6, 1)), True),
        (Filter(before=date(2026, 5, 31)), False),
        (Filter(after=datetime(2026, 5, 31, 12), before=datetime(2026, 5, 31, 13)), True),
        (Filter(after=unix_time(date(2026, 1, 1)), before=unix_time(date(2027, 1, 1))), True),
        (Filter(min_seconds=90, max_seconds=90), True),
        (Filter(min_seconds=90.5), False),
        (Filter(max_seconds=89), False),
    ],
)
def test_filters(where: Filter, accepted: bool) -> None:
    assert where.accepts(record()) is accepted


def test_filters_come_before_the_search(planted: Planted) -> None:
    planted.put(40, [(5, 9, 9.0)], [Caption(5, 9, "flip the pancake")], path="/other/x.mp4", modified=5e9, seconds=20)
    assert places(planted.one(limit=1).moments)[0][0] == 40
    assert places(planted.one(limit=1, where=Filter(folder="/films")).moments)[0][0] == 2
    only = planted.one(where=Filter(after=4e9))
    assert places(only.moments)[0][0] == 40 and only.searched == len(cut_all(20, (4, 8, 16, 32)))
    said = planted.search(Query("flip the pancake", mode="said", where=Filter(max_seconds=30)))[0]
    assert {place[0] for place in places(said.moments)} == {40}
    none = planted.one(where=Filter(folder="/nowhere"))
    assert (none.moments, none.searched, none.below) == ([], 0, None)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        (Query(), "give one of the two"),
        (Query("a", vector=WANTED), "give one of the two"),
        (Query("  \n"), "the query is empty"),
        (Query("a", mode=cast(Any, "heard")), "mode is 'heard'; it is one of seen, said, both"),
        (Query("a", limit=0), "limit is 0"),
        (Query("a", limit=100_000), "limit is 100000"),
        (Query("a", threshold=math.nan), "threshold is nan"),
        (Query(vector=WANTED, mode="said"), "no words"),
        (Query(vector=WANTED[:3]), r"\(3,\); it takes \(32,\)"),
        (Query(vector=WANTED * np.nan), "finite"),
    ],
)
def test_queries_that_ask_for_nothing_are_refused(planted: Planted, query: Query, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        planted.search(query)


def test_many_queries_give_what_each_gives_alone(planted: Planted) -> None:
    queries = [Query(vector=vector, threshold=None, limit=3) for vector in np.eye(DIM, dtype=np.float32)]
    queries.append(dataclasses.replace(queries[0], where=Filter(folder="/films/003.mp4")))
    together = planted.search(*queries)
    for query, result in zip(queries, together, strict=True):
        alone = planted.search(query)[0]
        assert result.query is query
        assert _sorted(result.moments) == _sorted(alone.moments)


def test_by_text_through_a_library(built_library: Path, grid_scorer: Scorer) -> None:
    library = VideoLibrary(built_library, grid_scorer)
    result = library.search("flip the pancake", limit=3)
    best = result.moments[0]
    assert best.said == "Now flip the pancake." and best.why == "both"
    assert best.video.path.endswith("pancake.mp4")
    curve = library.curve(best.video.id, "flip the pancake")
    inside = curve[int(best.start) : math.ceil(best.end)]
    assert curve[int(best.best)] == inside.max() or best.start != int(best.start)


@pytest.mark.parametrize("text", [*HOSTILE, "🥞"])
def test_hostile_texts_are_encoded(built_library: Path, grid_scorer: Scorer, text: str) -> None:
    assert VideoLibrary(built_library, grid_scorer).search(text, threshold=None, mode="seen").moments


def test_a_part_of_a_video_finds_its_own_place(built_library: Path, rendered: Path, grid_scorer: Scorer) -> None:
    library = VideoLibrary(built_library, grid_scorer)
    video = rendered / "kitchen" / "pancake.mp4"
    vector = example_vector(library, video, 8, 12)
    found = library.search_many([Query(vector=vector, mode="seen", threshold=None)])[0].moments
    own = [moment for moment in found if moment.video.path == str(video) and moment.start < 12 and moment.end > 8]
    assert own and found[0].score > CHANCE
    assert (vector == example_vector(library, own[0].video.id, 8, 12)).all()
    mean = library.matrix.snapshot().mean
    assert vector + mean == pytest.approx(library.store.tokens(own[0].video.id)[8:12].mean(axis=0), abs=0.01)
    encoded = encode_part(grid_scorer, video, 8, 12)
    assert encoded.shape == vector.shape and np.isfinite(encoded).all()
    whole = encode_part(grid_scorer, video)
    assert whole == pytest.approx(grid_scorer.encode_video(video).vectors[0].numpy(), abs=1e-5)


def test_examples_that_cannot_be(built_library: Path, rendered: Path, grid_scorer: Scorer) -> None:
    library = VideoLibrary(built_library, grid_scorer)
    with pytest.raises(FileNotFoundError, match="neither a file nor the id"):
        example_vector(library, "nowhere.mp4")
    for start, end in [(5, 5), (8, 3), (100, None), (-1, 2), (math.nan, None)]:
        with pytest.raises(ValueError, match="is empty; the video has 3 s"):
            example_vector(library, rendered / "garden" / "dog.mp4", start, end)
