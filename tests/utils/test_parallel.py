"""Work for several processes."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mmpt.utils import parallel
from mmpt.utils.parallel import ordered_map
from tests.conftest import ROOT


def double(number: int) -> tuple[int, int]:
    return 2 * number, os.getpid()


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuse(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the processes after the first item."""
    monkeypatch.setattr(parallel, "ALONE", 0.0)


def test_results_come_in_order_from_several_processes() -> None:
    found = list(ordered_map(double, range(200), workers=2))
    assert [number for number, _ in found] == list(range(0, 400, 2))
    assert len({pid for _, pid in found}) == 3  # this one did the first


def test_one_worker_and_little_work_stay_in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {pid for _, pid in ordered_map(double, range(9), workers=1)} == {os.getpid()}
    monkeypatch.setattr(parallel, "ALONE", 60.0)
    assert {pid for _, pid in ordered_map(double, range(9), workers=2)} == {os.getpid()}


def test_items_are_read_only_as_far_as_needed() -> None:
    read = itertools.count()

    def items() -> Iterator[int]:
        while True:
            yield next(read)

    results = ordered_map(double, items(), workers=2)
    assert [next(results)[0] for _ in range(20)] == list(range(0, 40, 2))
    assert next(read) <= 20 + 2 * parallel.AHEAD + 1
    results.close()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_killed_process_is_told() -> None:
    with pytest.raises(OSError, match="one of 2 processes was ended from outside"):
        list(ordered_map(die, range(1, 20), workers=2))


def test_an_error_is_the_workers_own() -> None:
    with pytest.raises(ValueError, match="three"):
        list(ordered_map(refuse, range(20), workers=2))


def tell_and_work(target: str) -> int:
    Path(target).write_text(str(os.getpid()))
    time.sleep(120)
    return 0


def works(process: Path) -> bool:
    try:
        return "\nState:\tZ" not in (process / "status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="looks for processes in /proc")
def test_processes_end_with_the_one_that_was_killed(tmp_path: Path) -> None:
    targets = [str(tmp_path / name) for name in "ab"]
    code = (
        "from tests.utils.test_parallel import tell_and_work; from mmpt.utils.parallel import _in_pool; "
        f"list(_in_pool(tell_and_work, iter({targets}), 2))"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as parent:
        until = time.monotonic() + 60
        while not all(Path(target).exists() and Path(target).read_text() for target in targets):
            assert parent.poll() is None and time.monotonic() < until
            time.sleep(0.05)
        parent.kill()
    workers = [Path("/proc", Path(target).read_text()) for target in targets]
    while any(works(there) for there in workers):
        assert time.monotonic() < until, "they work for nobody"
        time.sleep(0.05)
