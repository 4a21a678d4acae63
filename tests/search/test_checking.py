"""Whether a library is sound, what is in it, and all of it as plain files."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mmpt.search.checking import check, export, stats
from mmpt.search.library import VideoLibrary
from mmpt.search.store import Store
from mmpt.search.store_database import Database
from mmpt.search.store_tables import Entry, caption_rows, record_rows, vector_rows
from mmpt.search.store_upkeep import ORPHAN_AGE
from tests.search.entries import about_store, random_entry
from tests.search.tools import ids


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three videos whose files are there."""
    store = Store.create(tmp_path / "store", about_store())
    entries = [at(random_entry(number), tmp_path / f"{number}.mp4") for number in range(3)]
    store.put_many(entries)
    return store


def at(entry: Entry, path: Path) -> Entry:
    path.write_bytes(b"a video")
    return replace(entry, record=replace(entry.record, path=str(path)))


def spoil(store: Store, entry: Entry) -> None:
    """Write rows that `put` would refuse, as a faulty disk or a foreign hand may."""
    old = store._revision(entry.record.id)
    store._database.drop("vectors", "revision", [old])
    store._database.append("vectors", vector_rows([entry], [old]))


def kinds(store: Store, *, repair: bool = False) -> list[tuple[str, str, bool]]:
    return [(problem.kind, problem.video, problem.repaired) for problem in check(store, repair=repair)]


def test_a_sound_library_has_no_problem(store: Store, library: VideoLibrary) -> None:
    seen: list[tuple[int, int]] = []
    assert check(store, on_video=lambda done, count: seen.append((done, count))) == []
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert library.check() == []


def test_numbers_that_are_not_finite(store: Store) -> None:
    entry = at(random_entry(1), Path(store.videos()[random_entry(1).record.id].path))
    vectors = entry.vectors.copy()
    vectors[1, 2] = np.nan
    spoil(store, replace(entry, vectors=vectors))
    assert kinds(store) == [("bad vectors", entry.record.id, False)]
    tokens = entry.tokens.copy()
    tokens[0, 0] = np.inf
    spoil(store, replace(entry, tokens=tokens))
    assert kinds(store, repair=True) == [("bad vectors", entry.record.id, True)]
    assert entry.record.id not in store.videos() and kinds(store) == []


@pytest.mark.parametrize("rows", [slice(0, 0), slice(0, 2)])
def test_videos_without_the_windows_that_they_ought_to_have(store: Store, rows: slice) -> None:
    entry = random_entry(2)
    spoil(store, replace(entry, windows=entry.windows[rows], vectors=entry.vectors[rows]))
    assert kinds(store) == [("bad windows", entry.record.id, False)]


def test_vectors_and_captions_that_are_lost(store: Store) -> None:
    first, second = (random_entry(number).record.id for number in (0, 1))
    store._database.drop("vectors", "revision", [store._revision(first)])
    store._database.drop("captions", "revision", [store._revision(second)])
    assert sorted(kinds(store)) == [("captions", second, False), ("lost vectors", first, False)]
    with pytest.raises(ValueError, match="mmpt library check --repair"):
        store.tokens(first)
    assert [video_id for video_id, _, _ in store.vectors()] == [second, random_entry(2).record.id]
    check(store, repair=True)
    assert list(store.videos()) == [random_entry(2).record.id] and kinds(store) == []


def test_leftovers_and_doubles(store: Store) -> None:
    old = f"{int(1e9 * (1e9 - ORPHAN_AGE)):020d}-killed"
    store._database.append("vectors", vector_rows([random_entry(7)], [old]))
    record = store.videos()[random_entry(1).record.id]
    store._database.append("videos", record_rows([record], [store._revision(record.id) + "-later"]))
    entry = at(random_entry(1), Path(record.path))
    store._database.append("vectors", vector_rows([entry], [store._revision(record.id)]))
    store._database.append("captions", caption_rows([entry], [store._revision(record.id)]))
    found = kinds(store)
    assert ("leftover", "", False) in found and ("double", record.id, False) in found
    check(store, repair=True)
    assert store.doubles() == [] and store.orphans() == [] and len(store.videos()) == 3


def test_a_video_that_stands_there_twice_in_one_state_is_left_once(store: Store) -> None:
    entry = at(random_entry(1), Path(store.videos()[random_entry(1).record.id].path))
    revision = store._revision(entry.record.id)
    store._database.append("videos", record_rows([entry.record], [revision]))
    assert kinds(store) == [("double", entry.record.id, False)]
    assert kinds(store, repair=True) == [("double", entry.record.id, True)] and kinds(store) == []
    assert store.video(entry.record.id) == entry.record and len(store.captions(entry.record.id)) == 2


def test_a_check_reads_the_videos_a_few_times_however_many_there_are(store: Store, monkeypatch) -> None:
    store.put_many([random_entry(number) for number in range(10, 40)])
    reads: list[str] = []
    rows, read = Database.rows, Database.read
    monkeypatch.setattr(Database, "rows", lambda self, name, *rest: reads.append(name) or rows(self, name, *rest))
    monkeypatch.setattr(Database, "read", lambda self, name, *rest: reads.append(name) or read(self, name, *rest))
    assert {kind for kind, _, _ in kinds(store)} == {"missing file"}
    assert len(reads) < 15


def test_a_missing_file_is_told_and_its_video_kept(store: Store) -> None:
    record = store.videos()[random_entry(0).record.id]
    Path(record.path).unlink()
    assert kinds(store, repair=True) == [("missing file", record.id, False)]
    assert record.id in store.videos()


def test_what_is_repaired_comes_back_with_an_update(own: VideoLibrary) -> None:
    lost = ids(own)["pancake.mp4"]
    own.store._database.drop("vectors", "revision", [own.store._revision(lost)])
    assert [problem.repaired for problem in own.check(repair=True)] == [True]
    assert [record.id for record in own.update().added] == [lost]
    assert own.check() == [] and len(own.captions(lost)) == 3


def test_stats_sum_up(own: VideoLibrary, videos: Path) -> None:
    found = own.stats()
    assert (found["videos"], found["seconds"], found["captions"], found["with_captions"]) == (3, 34, 5, 2)
    assert found["windows"] == sum(record.windows for record in own.videos())
    assert (found["damaged"], found["missing"], found["sources"]) == (0, 0, [str(videos)])
    assert found["bytes"] > found["windows"] * 48 * 2
    (videos / "garden" / "dog.mp4").unlink()
    assert own.stats()["missing"] == 1


def test_an_export_has_everything_in_files_that_need_no_database(own: VideoLibrary, tmp_path: Path) -> None:
    target = tmp_path / "plain"
    assert own.export(target) == 3
    windows, vectors, tokens = (np.load(target / f"{name}.npy") for name in ("windows", "vectors", "tokens"))
    lines = [json.loads(line) for line in (target / "videos.jsonl").read_text().splitlines()]
    assert json.loads((target / "about.json").read_text()) == own.store.about
    assert len(windows) == len(vectors) == sum(line["windows"] for line in lines) and vectors.dtype == np.float16
    assert len(tokens) == sum(line["seconds"] for line in lines)
    for line in lines:
        [(_, of_windows, of_vectors)] = own.store.vectors([line["id"]])
        rows = slice(line["first_window"], line["first_window"] + line["windows"])
        assert np.array_equal(windows[rows], of_windows) and np.array_equal(vectors[rows], of_vectors)
        seconds = slice(line["first_second"], line["first_second"] + line["seconds"])
        assert np.array_equal(tokens[seconds], own.store.tokens(line["id"]))
        assert [caption["text"] for caption in line["said"]] == [c.text for c in own.captions(line["id"])]
    with pytest.raises(ValueError, match="holds an export already"):
        own.export(target)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "vectors.npy").write_text("somebody's")
    with pytest.raises(ValueError, match=r"or another vectors\.npy"):
        own.export(tmp_path / "other")
    assert (tmp_path / "other" / "vectors.npy").read_text() == "somebody's"


def test_an_empty_library_is_sound_and_exports_empty_files(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "library", about_store())
    assert check(store, repair=True) == [] and stats(store)["videos"] == 0
    assert export(store, tmp_path / "plain") == 0
    assert np.load(tmp_path / "plain" / "vectors.npy").shape == (0, 8)


def test_files_that_killed_commits_leave_are_found_and_removed_once_they_are_old(store: Store) -> None:
    assert store.folder is not None
    # seen after 70 processes that were killed while they put videos in and made tables
    names = ["data/.tmpMSdHKR", "_versions/.tmpwyK9gN", "_transactions/.tmpqsiLej", "_indices/e373f164/.tmpML8bHu"]
    left = [store.folder / "vectors.lance" / name for name in names]
    left += [store.folder / "side" / name for name in ("matrix/.windows.0123456789ab.bin", "claims/00ff.0")]
    kept = [store.folder / "side" / name for name in ("matrix/windows.bin", "matrix/.own", ".tmpfile")]
    young = store.folder / "videos.lance" / "data" / ".tmpAAAAAA"
    for path in (*left, *kept, young):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        if path != young:
            os.utime(path, (1, time.time() - ORPHAN_AGE - 10))
    found = check(store)
    assert sorted(problem.path for problem in found) == sorted(map(str, left))
    assert {(problem.kind, problem.repaired) for problem in found} == {("leftover", False)}
    assert all(problem.repaired for problem in check(store, repair=True)) and check(store) == []
    assert not any(path.exists() for path in left) and all(path.exists() for path in (*kept, young))
    assert len(store.videos()) == 3
