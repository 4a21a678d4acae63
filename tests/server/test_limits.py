"""Bounds answer at once."""

import asyncio
import time

import pytest

from mmpt.server.errors import BusyError
from mmpt.server.limits import MAX_CLIENTS, Gate, Pace


async def _hold(gate: Gate, free: asyncio.Event) -> None:
    async with gate.slot():
        await free.wait()


def test_a_gate_lets_some_run_and_some_wait_and_turns_the_others_away_at_once():
    async def play() -> None:
        gate, free = Gate("searches", running=2, waiting=1, patience=30), asyncio.Event()
        tasks = [asyncio.create_task(_hold(gate, free)) for _ in range(3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert gate.running == 2
        begin = time.monotonic()
        with pytest.raises(BusyError) as caught:
            await _hold(gate, free)
        assert time.monotonic() - begin < 1
        assert (caught.value.status, caught.value.headers["Retry-After"]) == (429, "1")
        free.set()
        await asyncio.gather(*tasks)
        assert gate.running == 0
        async with gate.slot():  # all places are free again
            pass

    asyncio.run(play())


def test_one_who_waits_too_long_is_turned_away_and_one_who_leaves_takes_no_place():
    async def play() -> None:
        gate, free = Gate("searches", running=1, waiting=5, patience=0.05), asyncio.Event()
        holder = asyncio.create_task(_hold(gate, free))
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await _hold(gate, free)
        leaver = asyncio.create_task(_hold(gate, free))
        await asyncio.sleep(0)
        leaver.cancel()
        free.set()
        await holder
        async with asyncio.timeout(1), gate.slot():
            assert gate.running == 1

    asyncio.run(play())


def test_a_pace_lets_a_burst_through_and_then_so_many_a_second():
    now = [0.0]
    pace = Pace("searches", per_second=2, burst=3, clock=lambda: now[0])
    for _ in range(3):
        pace.take("ann")
    with pytest.raises(BusyError) as caught:
        pace.take("ann")
    assert caught.value.headers["Retry-After"] == "1"
    pace.take("bob")  # others are not held back
    now[0] = 0.5
    pace.take("ann")
    with pytest.raises(BusyError):
        pace.take("ann")


def test_a_pace_remembers_a_bounded_number_of_clients():
    pace = Pace("searches", per_second=1, burst=1, clock=lambda: 0.0)
    for number in range(MAX_CLIENTS + 10):
        pace.take(str(number))
    with pytest.raises(BusyError):
        pace.take(str(MAX_CLIENTS + 9))
    assert len(pace._clients) == MAX_CLIENTS
