"""When a frame is shown: the timestamps a file carries -> ticks of an even grid.

ffmpeg's command line decides which frame stands for which moment, and the published features were made with it; the
rules here are the ones it follows, so that the same frames come out in the same places.
"""

import math
import os
from fractions import Fraction

MICROSECONDS = 1_000_000  # per second; the unit of a container's own times
LARGEST_RATE_TERM = 1_001_000  # numerator and denominator of a frame rate, as ffmpeg limits them
JUMP = 10  # seconds; in a format that allows for it, a larger step, or one back in time, means that time begins anew
NONSENSE = 30 * 3600  # seconds; a larger step elsewhere is a damaged timestamp
MAX_GAP_S = 3600.0  # for which one picture may be repeated; a slide that is talked about may well be shown for long
MAX_GAP_VARIABLE = "MMPT_MAX_GAP"
MOST_EARLY_TICKS = -2  # ffmpeg drops frames earlier than this before the start, and keeps the others


def nearest(value: Fraction) -> int:
    """Round to the nearest whole number.

    Args:
        value: an exact number.

    Returns:
        The nearest integer; halves go away from zero.
    """
    whole = (2 * abs(value.numerator) + value.denominator) // (2 * value.denominator)
    return whole if value >= 0 else -whole


def grid_rate(fps: float) -> Fraction:
    """Make a frame rate exact.

    Args:
        fps: frames per second, above 0.

    Returns:
        The simple fraction that is meant, for example 2997/100 for 29.97.
    """
    return Fraction(fps).limit_denominator(LARGEST_RATE_TERM)


def grid_origin(first_tick: int, *, streams: int) -> int:
    """Find the tick of the first frame that is put out.

    A file with one stream begins with its first frame. With several, time begins with the earliest of them, and a
    video that starts later shows its first frame from the beginning on.

    Args:
        first_tick: the tick of the first decoded frame.
        streams: how many streams the file has.

    Returns:
        The tick that becomes second 0.
    """
    if streams > 1:
        first_tick = min(first_tick, 0)
    return max(first_tick, MOST_EARLY_TICKS)


def default_max_gap() -> float:
    """The default number of seconds for which one picture may be repeated.

    Returns:
        What the environment variable MMPT_MAX_GAP says, or MAX_GAP_S.

    Raises:
        ValueError: the variable holds no number above 0.
    """
    said = os.environ.get(MAX_GAP_VARIABLE) or str(MAX_GAP_S)
    try:
        bound = float(said)
    except ValueError:
        bound = math.nan
    if not bound > 0:
        raise ValueError(f"{MAX_GAP_VARIABLE} is {said!r}; it must be seconds above 0, or inf for no limit")
    return bound


class PresentationClock:
    """Tells when each decoded frame is shown, also where the file's timestamps are missing, wrong or out of order."""

    def __init__(self, usual_duration: int, second: int, *, may_jump: bool) -> None:
        """Begin at the start of a stretch of packets.

        Args:
            usual_duration: how long a frame lasts where the file does not say, in units of the time base.
            second: one second in units of the time base.
            may_jump: the format is one of those, like MPEG-TS, in which timestamps may begin anew part-way.
        """
        self._usual_duration = usual_duration
        self._second = second
        self._largest_step = (JUMP if may_jump else NONSENSE) * second
        self._may_jump = may_jump
        self._shift = 0  # added to timestamps since the last jump
        self._next_decode: int | None = None
        self._before = 0  # the decoding time before that
        self._last_decode: int | None = None
        self._last_shown: int | None = None
        self.next_shown = 0  # when a frame is shown of which nothing says it
        self._decode_faults = 0  # times that the decoding timestamps did not increase
        self._shown_faults = 0  # times that the presentation timestamps did not

    def packet_times(self, pts: int | None, dts: int | None, duration: int | None) -> tuple[int | None, int | None]:
        """Mend a packet's timestamps.

        Args:
            pts: when its frame is to be shown, if it says so.
            dts: when it is to be decoded, if it says so.
            duration: of its frame, if it is known.

        Returns:
            The two times to go by: a jump is closed, nonsense is left out, and a missing decoding time continues those
            before.
        """
        if dts is not None and self._next_decode is not None:
            step = dts + self._shift - self._next_decode
            back = -step > self._usual_duration + self._second // 10
            goes_on = step < 0 and dts + self._shift > self._before  # only the packet before claimed to last longer
            if (abs(step) > self._largest_step or (back and self._may_jump)) and not goes_on:
                pts, dts = self._mend(pts, dts, step)
        pts = None if pts is None else pts + self._shift
        dts = self._next_decode if dts is None else dts + self._shift
        if dts is not None:
            self._before = dts
            self._next_decode = dts + (duration or self._usual_duration)
        return pts, dts

    def _mend(self, pts: int | None, dts: int, step: int) -> tuple[int | None, int | None]:
        if self._may_jump:
            self._shift -= step
            return pts, dts
        return None, None

    def shown_time(self, pts: int | None, dts: int | None, duration: int) -> int:
        """Give a frame's presentation timestamp.

        The one that has been wrong less often is believed: the frame's own, or the decoding timestamp of the packet
        that completed it.

        Args:
            pts: the presentation timestamp that came with the frame.
            dts: the decoding timestamp that came with it; None for the frames a decoder holds back until the end.
            duration: of the frame; 0 when it is not known.

        Returns:
            The timestamp to use; where the file has none, frames follow one another from 0.
        """
        if dts is not None:
            self._decode_faults += self._last_decode is not None and dts <= self._last_decode
            self._last_decode = dts
        if pts is not None:
            self._shown_faults += self._last_shown is not None and pts <= self._last_shown
            self._last_shown = pts
        elif dts is not None:
            self._last_shown = dts
        if pts is None or (dts is not None and self._shown_faults > self._decode_faults):
            pts = dts if dts is not None else self.next_shown
        self.next_shown = pts + (duration or self._usual_duration)
        return pts
