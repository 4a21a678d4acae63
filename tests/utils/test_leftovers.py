"""What killed runs left half-written."""

import os
import time
from pathlib import Path

from mmpt.utils.files import atomic_path
from mmpt.utils.leftovers import SCRATCH, STALE, half_written, sweep


def age(path: Path) -> None:
    before = time.time() - STALE - 1
    os.utime(path, (before, before))


def test_only_old_files_of_the_same_beginning_are_removed(tmp_path: Path) -> None:
    names = []
    for target in ("clean.pkl", "clean.failures.jsonl", "other.pkl"):
        for _ in range(2):
            with atomic_path(tmp_path / target) as temporary:
                names.append(temporary.name)
    for name in names:
        (tmp_path / name).touch()
    for name in names[::2]:
        age(tmp_path / name)
    (tmp_path / ".clean.txt").touch()
    age(tmp_path / ".clean.txt")
    sweep(tmp_path, "clean")
    left = {path.name for path in tmp_path.glob(".*")}
    assert left == {".clean.txt", names[1], names[3], names[4], names[5]}
    assert (tmp_path / "clean.pkl").exists()


def test_a_folder_in_use_is_kept(tmp_path: Path) -> None:
    for name, old in (("a", True), ("b", False)):
        folder = tmp_path / f"{SCRATCH}{name}"
        folder.mkdir()
        (folder / "captions.pkl").touch()
        age(folder)
        if old:
            age(folder / "captions.pkl")
    sweep(tmp_path, "clean")
    assert [path.name for path in tmp_path.iterdir()] == [f"{SCRATCH}b"]
    sweep(tmp_path / "none", "clean")


def test_what_is_half_written_says_what_it_was_to_become(tmp_path: Path) -> None:
    for name in ("plain.npy", ".hidden.npy", ".lock"):
        (tmp_path / name).touch()
    with atomic_path(tmp_path / "v.0.npy") as one, atomic_path(tmp_path / "two\nlines.json") as other:
        assert sorted(half_written(tmp_path)) == sorted([(one, "v.0"), (other, "two\nlines")])
