"""One library and many processes: writers that are killed, writers and readers at the same time."""

import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mmpt.search.store import Store
from tests.processes import ROOT, ForkedProcess
from tests.search.entries import about_store, random_entry


def say(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def write(address: str, first: int, count: int, step: int) -> None:
    store = Store.open(address)
    say("ready")
    for number in range(first, first + count):
        store.put_many([random_entry(number)])
        say(number)
        if step and number % step == 0:
            store.put_many([random_entry(number)])  # anew
            store.delete([random_entry(number - 1).record.id])
            store.tidy(force=True)
    say("done")


def read(address: str, last: str) -> None:
    store, looks, seen = Store.open(address), 0, 0
    say("ready")
    while True:
        known = store.videos()
        for video_id, windows, vectors in store.vectors():
            entry = random_entry(int(video_id, 16))
            assert np.array_equal(windows, entry.windows) and np.array_equal(vectors, entry.vectors), video_id
        for video_id, caption, *_ in store.full_text("pancake", 5):
            assert caption in random_entry(int(video_id, 16)).captions, video_id
        for video_id in list(known)[-3:]:
            try:
                assert store.captions(video_id) == random_entry(int(video_id, 16)).captions, video_id
                assert np.array_equal(store.tokens(video_id), random_entry(int(video_id, 16)).tokens), video_id
            except ValueError as error:  # taken out meanwhile
                assert "has no video" in str(error), error
        looks, seen = looks + 1, max(seen, len(known))
        if last in known:
            break
    say(looks, seen)


def start(function: Callable[..., None], *arguments: object) -> ForkedProcess:
    return ForkedProcess(function, *arguments, cwd=ROOT)


def is_ready(process: ForkedProcess) -> None:
    assert process.stdout.readline() == "ready\n", process.communicate()[1]


def finish(process: ForkedProcess) -> list[str]:
    said, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return said.split()


@pytest.mark.parametrize("moment", [0.05, 0.11, 0.23, 0.4])
def test_after_a_kill_every_committed_video_is_whole_and_none_is_half_there(tmp_path: Path, moment: float) -> None:
    store = Store.create(tmp_path / "library", about_store())
    writer = start(write, store.address, 0, 5000, 0)
    is_ready(writer)
    time.sleep(moment)
    writer.send_signal(signal.SIGKILL)
    said = [int(line) for line in writer.stdout.read().split() if line.isdecimal()]
    writer.wait()

    opened = Store.open(store.address)
    known = opened.videos()
    committed = [random_entry(number).record.id for number in said]
    assert set(committed) <= set(known) and len(known) <= len(said) + 1
    for video_id, windows, vectors in opened.vectors():
        entry = random_entry(int(video_id, 16))
        assert known.pop(video_id) == entry.record
        assert np.array_equal(windows, entry.windows) and np.array_equal(vectors, entry.vectors)
        assert np.array_equal(opened.tokens(video_id), entry.tokens) and opened.captions(video_id) == entry.captions
        found = opened.full_text(f"word{entry.record.modified:.0f}", 5)
        assert {hit[0] for hit in found} == {video_id}
    assert not known
    assert opened.lost() == []

    opened.put_many([random_entry(len(said)), random_entry(len(said) + 1)])  # it goes on
    opened.tidy(older_than=-1)
    assert opened.orphans(older_than=-1) == [] and len(opened.videos()) in (len(said) + 1, len(said) + 2)


def test_writers_and_readers_at_the_same_time(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "library", about_store())
    last = random_entry(10_000).record.id
    readers = [start(read, store.address, last) for _ in range(2)]
    ranges = [(1, 16), (101, 16), (9, 16)]  # the first and the last share eight videos
    writers = [start(write, store.address, first, count, 8) for first, count in ranges]
    for process in [*readers, *writers]:
        is_ready(process)
    for writer in writers:
        assert finish(writer)[-1] == "done"
    store.put_many([random_entry(10_000)])
    for reader in readers:
        looks, seen = map(int, finish(reader))
        assert looks > 1 and seen > 10

    known = set(store.videos())
    written = {number for first, count in ranges for number in range(first, first + count)}
    taken_out = {number - 1 for number in written if number % 8 == 0}
    certain = {random_entry(number).record.id for number in written - taken_out}
    assert certain | {last} <= known <= {random_entry(number).record.id for number in written} | {last}
    assert len(list(store.vectors())) == len(known)
    store.tidy(older_than=-1, force=True)
    assert store.orphans(older_than=-1) == [] and store.doubles() == [] and store.lost() == []
    assert set(store.videos()) == known
