"""A library's tables: what is put in comes out, whole, whatever other processes do."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmpt.search import store as store_module
from mmpt.search import store_database
from mmpt.search.records import Caption
from mmpt.search.store import Store
from mmpt.search.store_database import Database, one_of, persistent
from mmpt.search.store_tables import Entry, Source
from tests.search.entries import about_store, random_entry


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "library", about_store())


def same(store: Store, entry: Entry) -> None:
    """The store has exactly this."""
    record = store.videos()[entry.record.id]
    assert record == entry.record
    [(video_id, windows, vectors)] = store.vectors([entry.record.id])
    assert video_id == entry.record.id
    assert windows.dtype == np.int32 and np.array_equal(windows, entry.windows)
    assert vectors.dtype == np.float16 and np.array_equal(vectors, entry.vectors)
    assert np.array_equal(store.tokens(video_id), entry.tokens)
    assert store.captions(video_id) == entry.captions


def test_what_is_put_in_comes_out_bit_by_bit(store: Store) -> None:
    whole = random_entry(1)
    damaged = random_entry(2, captions=0)
    damaged = replace(damaged, record=replace(damaged.record, damage=("a", "b"), subtitles="x" * 16))
    store.put(whole.record, whole.windows, whole.vectors, whole.tokens, whole.captions)
    store.put_many([damaged])
    same(store, whole)
    same(store, damaged)
    assert list(store.videos()) == [whole.record.id, damaged.record.id]
    assert [video_id for video_id, _, _ in store.vectors()] == [whole.record.id, damaged.record.id]


def test_a_library_opens_again_and_says_what_it_is(store: Store) -> None:
    store.put_many([random_entry(1)])
    opened = Store.open(store.address)
    assert opened.about == {"format": "mmpt-library-1", **about_store()}
    assert opened.dim == 8
    same(opened, random_entry(1))


def test_a_home_of_nobody_is_a_folder_like_any_other() -> None:
    with pytest.raises(FileNotFoundError, match="there is no library at ~nobody-has-this-name/films"):
        Store.open("~nobody-has-this-name/films")


def test_all_that_is_kept_of_videos_is_read_together(store: Store) -> None:
    entries = [random_entry(1), random_entry(2, captions=0), random_entry(3)]
    store.put_many(entries)
    store._database.drop("vectors", "revision", [store._revision(entries[2].record.id)])
    for found, put in zip(store.entries(), entries[:2], strict=True):
        assert (found.record, found.captions) == (put.record, put.captions)
        for name in ("windows", "vectors", "tokens"):
            assert np.array_equal(getattr(found, name), getattr(put, name))
    assert [entry.record.id for entry in store.entries([entries[1].record.id])] == [entries[1].record.id]
    assert store.video(entries[0].record.id) == entries[0].record and store.video("unknown") is None


def test_version_grows_with_commits_of_any_process_and_costs_little(store: Store) -> None:
    other = Store.open(store.address)
    before = other.version()
    store.put_many([random_entry(1)])
    added = other.version()
    store.change([replace(random_entry(1).record, path="/elsewhere.mp4")])
    changed = other.version()
    store.delete([random_entry(1).record.id])
    assert before < added < changed < other.version()


def test_a_video_put_in_anew_takes_the_old_ones_place(store: Store) -> None:
    old = random_entry(1)
    store.put_many([old, random_entry(2)])
    new = replace(random_entry(9), record=replace(random_entry(9).record, id=old.record.id, path=old.record.path))
    store.put_many([new])
    same(store, new)
    same(store, random_entry(2))
    assert store.orphans(older_than=-1) == []
    assert not store.full_text("word1", 5)
    assert len(store.full_text("word9", 5)) == 2


def test_a_change_touches_what_the_record_says_only(store: Store) -> None:
    entry = random_entry(1)
    store.put_many([entry, random_entry(2)])
    moved = replace(entry, record=replace(entry.record, path="/new/place's.mp4"))
    store.change([moved.record, random_entry(7).record])
    same(store, moved)
    assert len(store.videos()) == 2  # an unknown one is not added


def test_deleted_videos_are_gone_in_all_ways(store: Store) -> None:
    store.put_many([random_entry(number) for number in range(4)])
    ids = [random_entry(number).record.id for number in range(4)]
    assert store.delete([ids[1], ids[3], "unknown", "it's"]) == 2
    assert list(store.videos()) == [ids[0], ids[2]]
    assert [video_id for video_id, _, _ in store.vectors()] == [ids[0], ids[2]]
    assert {hit[0] for hit in store.full_text("pancake", 50)} == {ids[0], ids[2]}
    for read in (store.tokens, store.captions):
        with pytest.raises(ValueError, match="has no video"):
            read(ids[1])
    assert store.orphans(older_than=-1) == []


def test_only_some_videos_vectors(store: Store) -> None:
    store.put_many([random_entry(number) for number in range(5)])
    wanted = {random_entry(3).record.id, random_entry(1).record.id, "unknown"}
    assert [video_id for video_id, _, _ in store.vectors(wanted)] == sorted(wanted - {"unknown"})
    assert list(store.vectors(set())) == []


def test_vectors_are_read_in_bounded_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put_many([random_entry(number) for number in range(20)])
    sizes: list[int] = []
    read = Database.read

    def counting(self, name, column, values, columns=None):
        sizes.append(len(values))
        return read(self, name, column, values, columns)

    monkeypatch.setattr(Database, "read", counting)
    monkeypatch.setattr(store_module, "PORTION", 3 * 8 * 2 * 4)  # four videos of three windows, and one goes over
    assert len(list(store.vectors())) == 20
    assert sizes == [5, 5, 5, 5]


def test_words_are_found_in_other_forms_and_before_any_index_knows_them(store: Store) -> None:
    first = replace(random_entry(1, captions=1), captions=[Caption(0, 1, "She flips the pancakes")])
    store.put_many([first])
    store.tidy(force=True)
    second = replace(random_entry(2, captions=1), captions=[Caption(3, 4, "flipping one PANCAKE, then a crêpe")])
    store.put_many([second])
    hits = store.full_text("flip a pancake", 10)
    assert {hit[0] for hit in hits} == {first.record.id, second.record.id}
    assert all(hit.score > 0 for hit in hits)
    assert [hit[1] for hit in store.full_text("crepe", 10)] == second.captions
    assert [hit[0] for hit in store.full_text("flip", 10, ids={second.record.id})] == [second.record.id]
    assert store.full_text("flip", 10, ids=set()) == []
    assert len(store.full_text("flip", 1)) == 1


def test_the_best_captions_come_first(store: Store) -> None:
    texts = ["a pan", "a pancake in a pan", "water"]
    entry = random_entry(1, captions=3)
    store.put_many([replace(entry, captions=[Caption(n, n + 1, text) for n, text in enumerate(texts)])])
    hits = store.full_text("pancake pan", 10)
    assert [hit[1].text for hit in hits] == [texts[1], texts[0]]
    assert hits[0][2] > hits[1][2]


@pytest.mark.parametrize(
    "words",
    ['"', "pancake AND (", "'; DROP TABLE captions; --", "<b>", "\N{GRINNING FACE}", "a" * 10_000, "*:^~", "  "],
)
def test_no_sign_is_read_as_a_language_of_queries(store: Store, words: str) -> None:
    store.put_many([random_entry(1)])
    hits = store.full_text(words, 5)
    assert len(hits) == (2 if "pancake" in words else 0)


def test_hits_of_what_is_not_committed_do_not_crowd_out_others(store: Store) -> None:
    entry = random_entry(1, captions=40)
    store.put_many([replace(entry, captions=[Caption(n, n + 1, "pancake") for n in range(40)])])
    store._database.drop("videos", "id", [entry.record.id])  # as if killed before the row came
    store.put_many([random_entry(2)])
    assert {hit[0] for hit in store.full_text("pancake", 2)} == {random_entry(2).record.id}


def test_what_a_killed_process_left_is_not_read_and_swept_when_it_is_old(store: Store) -> None:
    store.put_many([random_entry(1), random_entry(2)])
    store._database.drop("videos", "id", [random_entry(1).record.id])
    assert list(store.videos()) == [random_entry(2).record.id]
    assert [video_id for video_id, _, _ in store.vectors()] == [random_entry(2).record.id]
    assert store.orphans() == [] and store.tidy() == 0  # may be another process's, at work right now
    assert len(store.orphans(older_than=-1)) == 1
    assert store.tidy(older_than=-1) == 1
    assert store.orphans(older_than=-1) == []
    same(store, random_entry(2))


def test_a_video_that_two_processes_put_in_at_once_is_read_once(store: Store) -> None:
    entry = random_entry(1)
    append = Database.append

    def late(self, name, rows):
        if name == "videos":
            Database.append = append
            Store.open(store.address).put_many([entry])  # another process is done first
        append(self, name, rows)

    Database.append = late
    try:
        store.put_many([entry])
    finally:
        Database.append = append
    assert store.doubles() == [entry.record.id]
    same(store, entry)
    assert len(list(store.vectors())) == 1 and len(store.full_text("pancake", 10)) == 2
    assert store.tidy() == 1
    assert store.doubles() == []
    same(store, entry)
    assert store.delete([entry.record.id]) == 1 and store.videos() == {}


def test_a_video_replaced_while_it_is_read_is_read_anew(store: Store) -> None:
    entries = [random_entry(number) for number in range(3)]
    store.put_many(entries)
    other = Store.open(store.address)
    new = replace(random_entry(9), record=replace(random_entry(9).record, id=entries[1].record.id))
    read = Database.read

    def late(self, name, column, values, columns=None):
        if name == "vectors":
            Database.read = read
            other.put_many([new])
            other.delete([entries[2].record.id])
        return read(self, name, column, values, columns)

    Database.read = late
    try:
        found = {video_id: vectors for video_id, _, vectors in store.vectors()}
    finally:
        Database.read = read
    assert set(found) == {entries[0].record.id, new.record.id}
    assert np.array_equal(found[new.record.id], new.vectors)


def test_compaction_keeps_everything_and_makes_few_pieces(store: Store) -> None:
    entries = [random_entry(number) for number in range(12)]
    for entry in entries:
        store.put_many([entry])
    store.delete([entries[3].record.id])
    store.tidy(force=True)
    for entry in entries[:3] + entries[4:]:
        same(store, entry)
    assert store._database._table("vectors").stats()["fragment_stats"]["num_fragments"] == 1
    assert len(store.full_text("pancake", 100)) == 22


def test_a_table_of_many_pieces_is_compacted_when_it_pays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_database, "MIN_PIECES", 5)

    def pieces() -> int:
        return store._database._table("vectors").stats()["fragment_stats"]["num_fragments"]

    for number in range(5):
        store.put_many([random_entry(number)])
    store.tidy()
    assert pieces() == 5
    store.put_many([random_entry(5)])
    store.tidy()
    assert pieces() == 1
    store.put_many([random_entry(number) for number in range(6, 100)])
    for number in range(100, 107):
        store.put_many([random_entry(number)])
    store.tidy()
    assert pieces() == 9  # of a hundred rows: to copy them all for nine pieces does not pay


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"vectors": np.zeros((3, 9), np.float16)}, r"vectors are float16 \(3, 9\)"),
        ({"vectors": np.zeros((3, 8), np.float32)}, "vectors are float32"),
        ({"windows": np.zeros((2, 2), np.int32)}, "windows are int32"),
        ({"tokens": np.zeros((4, 8), np.float16)}, "tokens are float16"),
        ({"vectors": np.full((3, 8), np.inf, np.float16)}, "not finite"),
        ({"tokens": np.full((5, 8), np.nan, np.float16)}, "not finite"),
        ({"windows": np.array([[0, 2], [1, 1], [2, 4]], np.int32)}, "empty or lies outside"),
        ({"windows": np.array([[0, 2], [1, 3], [2, 6]], np.int32)}, "empty or lies outside"),
        ({"windows": np.array([[-1, 2], [1, 3], [2, 4]], np.int32)}, "empty or lies outside"),
        ({"captions": []}, "2 captions; 0 were given"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused_and_nothing_is_written(store: Store, change, told: str) -> None:
    store.put_many([random_entry(2)])
    version = store.version()
    with pytest.raises(ValueError, match=told):
        store.put_many([random_entry(3), replace(random_entry(1), **change)])
    assert store.version() == version and list(store.videos()) == [random_entry(2).record.id]
    assert store.orphans(older_than=-1) == []


def test_a_video_given_twice_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="is given twice"):
        store.put_many([random_entry(1), random_entry(1)])


def test_nothing_put_in_or_changed_is_no_commit(store: Store) -> None:
    version = store.version()
    store.put_many([])
    store.change([])
    store.change([random_entry(1).record])
    assert store.delete([]) == 0
    assert store.version() == version


def test_sources_are_remembered_once_with_what_was_said_last(store: Store) -> None:
    first = Source("/b", captions="/subs", language="de", encoding="cp1252")
    store.remember([first, Source("/a", excluded=True), Source("/a")])
    store.remember([Source("/a", excluded=True)])
    assert store.sources() == [Source("/a", excluded=True), first]
    store.forget(["/b", "/unknown"])
    assert [source.path for source in store.sources()] == ["/a"]


def test_a_library_that_is_made_twice_is_made_once(store: Store) -> None:
    store.put_many([random_entry(1)])
    again = Store.create(store.address, {**about_store(), "dim": 99})
    assert again.about["dim"] == 8
    same(again, random_entry(1))


def test_a_library_half_made_is_none_and_can_be_made(tmp_path: Path) -> None:
    full = Store.create(tmp_path / "library", about_store())
    full._database._connection.drop_table("about")
    with pytest.raises(FileNotFoundError, match="mmpt index VIDEOS"):
        Store.open(tmp_path / "library")
    Store.create(tmp_path / "library", about_store()).put_many([random_entry(1)])


def test_no_library_a_file_and_a_foreign_format_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is no library at"):
        Store.open(tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match="is a file; a library is a folder"):
        Store.open(tmp_path / "file")
    with pytest.raises(ValueError, match="index the videos again into another folder"):
        Store.create(tmp_path / "old", about_store() | {"format": "mmpt-library-0"})
    with pytest.raises(ValueError, match="has the format 'mmpt-library-0'"):
        Store.open(tmp_path / "old")


def test_a_write_is_tried_again_where_another_came_between() -> None:
    left = [RuntimeError("Commit conflict for version 4"), OSError("Too many concurrent writers")]

    def write() -> str:
        if left:
            raise left.pop()
        return "written"

    assert persistent(write) == "written"
    with pytest.raises(OSError, match="No space left"):
        persistent(lambda: (_ for _ in ()).throw(OSError("No space left on device")))


def test_a_condition_takes_any_text() -> None:
    assert one_of("id", ["a", "it's"]) == "id IN ('a', 'it''s')"
    assert one_of("id", []) == "false"
