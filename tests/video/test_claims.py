"""Claims: one holder at a time, whoever dies."""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mmpt.video import claims as claims_module
from mmpt.video.claims import STALE, Claims, _place


def left_behind(folder: Path, name: str, **told: object) -> Path:
    """A claim of somebody who is not there any more."""
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(json.dumps({**_place(), "pid": int(done.stdout), "started": "1", **told}))
    return path


def age(path: Path, seconds: float) -> None:
    os.utime(path, (time.time() - seconds, time.time() - seconds))


def test_one_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "claims"
    with Claims(folder) as mine, Claims(folder) as theirs:
        claim = mine.take("a")
        assert claim is not None and theirs.take("a") is None and mine.take("a") is None
        assert not theirs.is_free("a") and theirs.is_free("b")
        other = theirs.take("b")
        assert other is not None
        mine.release(claim)
        mine.release(claim)
        assert theirs.take("a") is not None
        mine.release(other)  # not one's own: nothing happens
        assert mine.take("b") is None
    assert not folder.exists()


def test_a_dead_process_loses_its_claim_at_once(tmp_path: Path) -> None:
    old = left_behind(tmp_path, "a.0")
    with Claims(tmp_path) as claims:
        assert claims.is_free("a")
        claim = claims.take("a")
        assert claim is not None and claim.generation == 1
        assert Claims(tmp_path).take("a") is None
        claims.release(claim)
        assert not old.exists() and not claim.path.exists()


def test_a_process_number_that_is_another_process_now(tmp_path: Path) -> None:
    left_behind(tmp_path, "a.0", pid=os.getpid(), started="1")
    if not Path("/proc/self/stat").exists():
        pytest.skip("this system does not say when a process began")
    assert Claims(tmp_path).is_free("a")


@pytest.mark.parametrize("seconds, free", [(STALE - 20, False), (STALE + 20, True)])
def test_another_machine_is_given_time(tmp_path: Path, seconds: float, free: bool) -> None:
    age(left_behind(tmp_path, "a.0", host="elsewhere"), seconds)
    with Claims(tmp_path) as claims:
        assert claims.is_free("a") == free
        assert (claims.take("a") is not None) == free


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_a_claim_that_says_nothing(tmp_path: Path, content: str) -> None:
    """Its maker may be about to write it, or has died before it could."""
    (tmp_path / "a.0").write_text(content)
    with Claims(tmp_path) as claims:
        assert claims.take("a") is None
        age(tmp_path / "a.0", 60)
        assert claims.take("a") is not None


def test_of_many_who_find_a_dead_claim_one_wins(tmp_path: Path) -> None:
    for round in range(20):
        left_behind_name = f"v{round}"
        path = tmp_path / f"{left_behind_name}.0"
        path.write_text(json.dumps({**_place(), "pid": 2**22 + 1, "started": "1"}))
        everybody = [Claims(tmp_path) for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            taken = list(pool.map(lambda claims, name=left_behind_name: claims.take(name), everybody))
        assert sum(claim is not None for claim in taken) == 1


def test_a_name_that_is_given_back_while_it_is_claimed_goes_to_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One finds the dead claim; before it outbids it, the name is given back, and later claimed by a third."""
    left_behind(tmp_path, "a.0")
    first, second, third = (Claims(tmp_path) for _ in range(3))
    claim = first.take("a")
    assert claim is not None and claim.generation == 1
    make = claims_module._make

    def slowly(path: Path) -> bool:
        if path.name == "a.1":
            first.release(claim)
        return make(path)

    monkeypatch.setattr(claims_module, "_make", slowly)
    taken = second.take("a")
    monkeypatch.undo()
    assert taken is not None and third.take("a") is None
    second.release(taken)
    assert not list(tmp_path.iterdir())


def test_a_name_that_a_third_claims_meanwhile_is_not_taken_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left_behind(tmp_path, "a.0")
    first, second, third = (Claims(tmp_path) for _ in range(3))
    claim = first.take("a")
    assert claim is not None
    make, theirs = claims_module._make, []

    def slowly(path: Path) -> bool:
        if path.name == "a.1" and not theirs:
            first.release(claim)
            theirs.append(None)
            theirs.append(third.take("a"))
        return make(path)

    monkeypatch.setattr(claims_module, "_make", slowly)
    assert second.take("a") is None and theirs[1] is not None
    assert [path.name for path in tmp_path.iterdir()] == ["a.0"]


def test_who_was_taken_for_dead_does_not_give_back_what_another_has(tmp_path: Path) -> None:
    """A machine that slept: its claim grew old, was outbid, and is given back after all."""
    sleeper, outbidder, third = (Claims(tmp_path) for _ in range(3))
    claim = sleeper.take("a")
    assert claim is not None
    told = json.loads(claim.path.read_text())
    claim.path.write_text(json.dumps({**told, "host": "elsewhere"}))
    age(claim.path, 2 * STALE)
    other = outbidder.take("a")
    assert other is not None and other.generation == 1
    sleeper.release(claim)
    assert third.take("a") is None
    age(claim.path, 60)
    outbidder.release(other)
    assert not list(tmp_path.iterdir()) and third.take("a") is not None


def test_who_outbid_one_that_lives_after_all_leaves_its_claim(tmp_path: Path) -> None:
    sleeper, outbidder, third = (Claims(tmp_path) for _ in range(3))
    claim = sleeper.take("a")
    assert claim is not None
    age(left_behind(tmp_path, "a.0", host="elsewhere"), 2 * STALE)
    other = outbidder.take("a")
    assert other is not None
    os.utime(claim.path)  # it is awake again
    outbidder.release(other)
    assert third.take("a") is None


def test_a_claim_is_renewed_as_long_as_its_holder_lives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims_module, "BEAT", 0.02)
    with Claims(tmp_path) as claims:
        claim = claims.take("a")
        assert claim is not None
        age(claim.path, 1000)
        until = time.monotonic() + 10
        while time.time() - claim.path.stat().st_mtime > 500 and time.monotonic() < until:
            time.sleep(0.01)
        assert time.time() - claim.path.stat().st_mtime < 500


def test_a_claim_that_cannot_be_written_is_not_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(claims_module.json, "dump", full)
    with pytest.raises(OSError, match="No space left"):
        Claims(tmp_path).take("a")
    assert list(tmp_path.iterdir()) == []
