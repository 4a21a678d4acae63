"""The rules by which a file's timestamps become places of the grid."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmpt.video.timing import PresentationClock, grid_origin, grid_rate, nearest


@given(st.fractions(-1000, 1000, max_denominator=1000))
def test_nearest_rounds_halves_away_from_zero(value: Fraction) -> None:
    whole = nearest(value)
    assert abs(whole - value) <= Fraction(1, 2)
    if abs(whole - value) == Fraction(1, 2):
        assert abs(whole) > abs(value)


@pytest.mark.parametrize(("fps", "exact"), [(30, 30), (29.97, Fraction(2997, 100)), (0.1, Fraction(1, 10))])
def test_rates_are_the_fractions_that_are_meant(fps: float, exact: Fraction) -> None:
    assert grid_rate(fps) == exact


@pytest.mark.parametrize(
    ("first", "streams", "origin"), [(0, 1, 0), (7, 1, 7), (7, 2, 0), (-1, 2, -1), (-9, 1, -2), (-9, 3, -2)]
)
def test_second_zero(first: int, streams: int, origin: int) -> None:
    assert grid_origin(first, streams=streams) == origin


def clock(*, may_jump: bool) -> PresentationClock:
    return PresentationClock(usual_duration=10, second=100, may_jump=may_jump)


def test_missing_decoding_times_continue_those_before() -> None:
    times = clock(may_jump=False)
    assert times.packet_times(None, None, None) == (None, None)  # nothing to go by yet
    assert times.packet_times(50, 40, 10) == (50, 40)
    assert times.packet_times(None, None, 20) == (None, 50)
    assert times.packet_times(None, None, None) == (None, 70)


def test_time_that_begins_anew_is_joined() -> None:
    times = clock(may_jump=True)
    times.packet_times(5010, 5000, 10)
    assert times.packet_times(20, 10, 10) == (5020, 5010)
    assert times.packet_times(30, 20, 10) == (5030, 5020)
    assert times.packet_times(90_000, 90_000, 10) == (5030, 5030)  # a jump ahead
    assert times.packet_times(90_110, 90_110, 10) == (5140, 5140)  # a pause, which is kept


def test_packet_that_claims_to_last_too_long_moves_nothing() -> None:
    """A damaged frame rate in the stream's own header makes every packet claim half a minute."""
    times = clock(may_jump=True)
    assert [times.packet_times(dts + 10, dts, 2850) for dts in (0, 10, 20)] == [(10, 0), (20, 10), (30, 20)]


def test_absurd_timestamp_is_left_out_and_time_goes_on() -> None:
    times = clock(may_jump=False)
    times.packet_times(0, 0, 10)
    assert times.packet_times(10**12, 10**12, 10) == (None, 10)
    assert times.packet_times(20, 20, 10) == (20, 20)


def test_the_timestamps_that_are_wrong_less_often_are_believed() -> None:
    times = clock(may_jump=False)
    shown = [times.shown_time(pts, dts, 10) for pts, dts in [(10, 0), (0, 10), (30, 20), (20, 30), (50, 40)]]
    assert shown == [10, 10, 20, 30, 40]
    times = clock(may_jump=False)
    assert [times.shown_time(pts, dts, 10) for pts, dts in [(0, 5), (10, 5), (20, 5)]] == [0, 10, 20]


def test_frames_without_any_time_follow_one_another() -> None:
    times = clock(may_jump=False)
    assert [times.shown_time(None, None, 0) for _ in range(3)] == [0, 10, 20]
    assert times.shown_time(100, 90, 25) == 100
    assert times.shown_time(None, None, 10) == 125
