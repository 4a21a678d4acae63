"""Timestamps that the rest of a file contradicts, found before time is filled with made-up frames.

Decoding times never go back in a right file, and presentation times only as far as a codec reorders its pictures. So a
jump that later packets take back is an error of the packets in between, and a jump past the end that the header names
is one as well. Packets are read ahead only at the beginning and at a jump: nothing changes for other files.
"""

from collections import deque
from collections.abc import Iterator

from av.packet import Packet

from mmpt.video.timing import JUMP

SUSPICIOUS_S = 1  # seconds off what the packet before makes likely, from which on the packets that follow are asked
MAX_REORDERED = 16  # packets that a codec stores after others, and shows before them
AHEAD_PACKETS = 1024  # the most that are read ahead: a whole cluster of Matroska
AHEAD_BYTES = 32 * 2**20  # of these
AHEAD_WHERE_TIME_MAY_JUMP = 64  # packets; what stays away for longer is another recording, joined to this one
FIRST_PACKETS = 5  # of a stretch; the first of them may be the one that is wrong
SPREAD = 4  # usual durations that a packet may last


class TimestampRepair:
    """Passes one stream's packets on, and replaces the timestamps that others contradict.

    Args:
        packets: of the stream, in the order of the file.
        usual_duration: of a frame, in units of the time base.
        second: one second in units of the time base.
        may_jump: the format is one of those, like MPEG-TS, in which timestamps may restart part-way.
        claimed_end: where the header says that the file ends, in units of the time base; None where it does not.
    """

    def __init__(
        self, packets: Iterator[Packet], usual_duration: int, second: int, *, may_jump: bool, claimed_end: int | None
    ) -> None:
        self._packets = packets
        self._usual_duration = usual_duration
        self._suspicious = SUSPICIOUS_S * second
        self._jump = JUMP * second
        self._may_jump = may_jump
        self._latest = None if claimed_end is None else claimed_end + self._suspicious
        self._duration = min(usual_duration, self._suspicious)  # of a packet, lately
        self._ahead: deque[Packet] = deque()
        self._next_dts: int | None = None  # where the packet before ends, by its decoding time
        self._next_pts: int | None = None  # where the latest packet so far ends, by its presentation time
        self.first_was_off = self._mend_first()  # in units; 0 for nearly all

    def __iter__(self) -> Iterator[tuple[Packet, int]]:
        """Yield packets, each with the units by which its time was off; 0 for nearly all."""
        off = self.first_was_off
        while self._read_ahead(1):
            packet = self._ahead.popleft()
            off = off or self._mend(packet)
            # In mp4 a packet's duration is the time to the next one, however far that is; then go by one before.
            if packet.duration and packet.duration <= self._suspicious:
                self._duration = packet.duration
            duration = self._duration
            if packet.dts is not None:
                if self._next_dts is not None and abs(packet.dts - self._next_dts) > self._suspicious:
                    self._next_pts = None  # timestamps continue from another time
                self._next_dts = packet.dts + duration
            if packet.pts is not None:
                until = packet.pts + duration
                self._next_pts = until if self._next_pts is None else max(until, self._next_pts)
            yield packet, off
            off = 0

    def first_time(self) -> int | None:
        """When the first packet is shown; None where nothing says it."""
        if not self._ahead:
            return None
        return self._ahead[0].dts if self._ahead[0].pts is None else self._ahead[0].pts

    def _read_ahead(self, count: int) -> bool:
        while len(self._ahead) < count:
            packet = next(self._packets, None)
            if packet is None:
                return False
            self._ahead.append(packet)
        return True

    def _following(self) -> Iterator[Packet]:
        total = 0
        for number in range(AHEAD_WHERE_TIME_MAY_JUMP if self._may_jump else AHEAD_PACKETS):
            if total > AHEAD_BYTES or not self._read_ahead(number + 1):
                return
            total += self._ahead[number].size
            yield self._ahead[number]

    def _mend_first(self) -> int:
        """Bring a first packet that lies after all that follow it before them."""
        if not self._read_ahead(FIRST_PACKETS):
            return 0
        first, *others = self._ahead
        off = 0
        for name in ("dts", "pts"):
            time, times = getattr(first, name), [getattr(packet, name) for packet in others]
            if time is None or None in times or time - max(times) <= self._suspicious:
                continue
            mended = min(times) - self._usual_duration
            setattr(first, name, mended)
            off = time - mended
        return off

    def _mend(self, packet: Packet) -> int:
        pts, dts = packet.pts, packet.dts
        if self._may_jump and pts is not None and dts is not None and abs(pts - dts) > self._jump:
            return self._leave_one_out(packet, pts, dts)
        if packet.dts is not None and self._next_dts is not None:
            off = packet.dts - self._next_dts
            if abs(off) > self._suspicious:
                if not self._following_contradict(packet.dts, off):
                    return 0 if off > 0 or self._may_jump else off  # back for good: it stays, and is told
                packet.dts = self._next_dts
                if packet.pts is not None and abs(packet.pts - off - self._next_dts) < abs(off) // 2:
                    packet.pts -= off
                return off
        if packet.pts is None or self._next_pts is None:
            return 0
        off = packet.pts - self._next_pts
        if not self._is_shown_wrongly(packet.pts, packet.dts, off):
            return 0
        packet.pts = None
        return off

    def _leave_one_out(self, packet: Packet, pts: int, dts: int) -> int:
        """Of two times that lie far apart, leave out the one that is farther from those of the other packets."""
        expected = self._next_dts
        if expected is None:
            times = sorted(other.dts for other in self._ahead if other.dts is not None)
            expected = times[len(times) // 2] if times else dts
        if abs(dts - expected) <= abs(pts - expected):
            packet.pts = None
            return pts - expected
        packet.dts = None
        return dts - expected

    def _following_contradict(self, dts: int, off: int) -> bool:
        """True if the packets that follow continue from before a jump in the decoding times."""
        if self._latest is not None and off > 0 and dts > self._latest:
            return True
        expected, before, number = dts - off, dts, 0
        for number, packet in enumerate(self._following(), 1):
            time = packet.dts
            if time is None:
                continue
            goes_on = time >= expected - self._usual_duration and abs(time - before) > self._suspicious
            if self._may_jump:
                goes_on &= time <= expected + number * SPREAD * self._usual_duration + self._suspicious
            elif off > 0:
                goes_on = time < expected + off // 2 or (goes_on and expected < time < dts)
            if goes_on:
                return True
            before = time
        # Back for good, but only for the few packets that are left.
        return off < 0 and not self._may_jump and number <= MAX_REORDERED and not self._read_ahead(number + 1)

    def _is_shown_wrongly(self, pts: int, dts: int | None, off: int) -> bool:
        """True if a presentation time is wrong and the decoding time is not."""
        reordering = self._suspicious + MAX_REORDERED * self._usual_duration
        if off < -reordering:
            return dts is not None and pts < dts - reordering
        if off <= self._suspicious:
            return False
        if self._latest is not None and pts > self._latest:
            return True
        earlier, ended = 0, True
        for number, packet in enumerate(self._following(), 1):
            earlier += packet.pts is not None and packet.pts < pts - off // 2
            if earlier > MAX_REORDERED:
                return True
            ended = number == len(self._ahead)
        ended = ended and not self._read_ahead(len(self._ahead) + 1)
        return ended and self._latest is None and dts is not None and pts - dts > self._jump
