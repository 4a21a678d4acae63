"""Work for several processes."""

import itertools
import os
import signal
from collections.abc import Iterator

import pytest

from mmpt.utils import parallel
from mmpt.utils.parallel import ordered_map


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
