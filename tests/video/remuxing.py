"""Packets of a rendered clip, changed and written to another file: what no encoder would make."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
from av.packet import Packet
from av.video.stream import VideoStream

from tests.video.rendering import Track, render

Change = Callable[[int, Packet], None]


def remux(source: Path, target: Path, change: Change, format: str | None = None, **options: str) -> Path:
    """Copy a clip's video, with each packet changed on the way: its number and itself are given.

    Packets are written as they are, in their order; use a container that takes any time for those out of order.
    """
    with av.open(str(source)) as before, av.open(str(target), "w", format=format, options=options) as after:
        stream = before.streams.video[0]
        copy = after.add_stream_from_template(stream)
        for number, packet in enumerate(packet for packet in before.demux(stream) if packet.size):
            packet.stream = copy
            change(number, packet)
            after.mux(packet)
    return target


def packet_times(path: Path) -> list[tuple[float | None, float | None]]:
    """When each packet of a clip's video is shown and decoded, in seconds."""

    def seconds(time: int | None, base: Fraction) -> float | None:
        return None if time is None else float(time * base)

    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return [
            (seconds(packet.pts, packet.time_base), seconds(packet.dts, packet.time_base))
            for packet in container.demux(stream)
            if packet.size
        ]


def joined(target: Path, *tracks: Track, format: str = "webm", codec: str = "libvpx") -> Path:
    """Write one stream whose parts are encoded apart, so that its pictures may change size part-way."""
    parts = [render(target.with_name(f"{number}-{target.name}"), track) for number, track in enumerate(tracks)]
    with av.open(str(target), "w", format=format) as after:
        begin, copy = Fraction(0), None
        for part in parts:
            with av.open(str(part)) as before:
                stream = before.streams.video[0]
                if copy is None:
                    copy = after.add_stream_from_template(stream)
                    assert isinstance(copy, VideoStream)
                end = begin
                for packet in before.demux(stream):
                    if not packet.size:
                        continue
                    assert packet.pts is not None and packet.dts is not None
                    shift = round(begin / packet.time_base)
                    packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                    end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
                    packet.stream = copy
                    after.mux(packet)
                begin = end
    return target


def move_times(path: Path, target: Path, which: range, seconds: float) -> Path:
    """Copy a file with some of its timestamps moved, both the decoding and the presentation time, byte by byte.

    Args:
        path: an .flv, .ts or .mkv file with one video stream.
        target: the copy.
        which: the numbers of the packets that are moved; of .mkv, of the clusters.
        seconds: by how much; of .flv and .mkv, times below 0 become 0.
    """
    data = bytearray(path.read_bytes())
    places = {".flv": _flv_times, ".ts": _ts_times, ".mkv": _mkv_times}[path.suffix](data)
    for number, (read_time, write_time, per_second) in enumerate(places):
        if number in which:
            write_time(read_time() + round(seconds * per_second))
    target.write_bytes(data)
    return target


Place = tuple[Callable[[], int], Callable[[int], None], int]


def _flv_times(data: bytearray) -> list[Place]:
    found: list[Place] = []
    at = 13
    while at + 15 <= len(data):
        size = int.from_bytes(data[at + 1 : at + 4], "big")

        def read_time(at: int = at) -> int:
            return data[at + 7] << 24 | int.from_bytes(data[at + 4 : at + 7], "big")

        def write_time(time: int, at: int = at) -> None:
            raw = max(0, time).to_bytes(4, "big")
            data[at + 4 : at + 8] = raw[1:] + raw[:1]

        if data[at] == 9 and data[at + 12] == 1:  # a picture, not the codec's header
            found.append((read_time, write_time, 1000))
        at += 11 + size + 4
    return found


def _ts_times(data: bytearray) -> list[Place]:
    found: list[Place] = []
    for packet in range(0, len(data), 188):
        start = packet + 4 + (1 + data[packet + 4] if data[packet + 3] & 0x20 else 0)
        if not data[packet + 1] & 0x40 or data[start : start + 4] != b"\0\0\1\xe0":
            continue
        places = [start + 9, start + 14][: 2 if data[start + 7] & 0x40 else 1]

        def read_time(places: list[int] = places) -> int:
            return _ts_time(data, places[-1])

        def write_time(time: int, places: list[int] = places) -> None:
            by = time - _ts_time(data, places[-1])
            for place in places:
                value = (_ts_time(data, place) + by) % 2**33
                data[place] = data[place] & 0xF1 | value >> 29 & 0x0E
                data[place + 1 : place + 3] = (value >> 14 & 0xFFFE | 1).to_bytes(2, "big")
                data[place + 3 : place + 5] = (value << 1 & 0xFFFE | 1).to_bytes(2, "big")

        found.append((read_time, write_time, 90_000))
    return found


def _ts_time(data: bytearray, place: int) -> int:
    high, middle, low = data[place] >> 1 & 7, data[place + 1 : place + 3], data[place + 3 : place + 5]
    return high << 30 | int.from_bytes(middle, "big") >> 1 << 15 | int.from_bytes(low, "big") >> 1


def _mkv_times(data: bytearray) -> list[Place]:
    """The times of clusters; a void element behind one, which makes room for a longer number, is not needed."""
    found: list[Place] = []
    at = data.find(b"\x1f\x43\xb6\x75")
    while at >= 0:
        place = data.index(b"\xe7", at + 5)
        width = data[place + 1] & 0x7F

        def read_time(place: int = place, width: int = width) -> int:
            return int.from_bytes(data[place + 2 : place + 2 + width], "big")

        def write_time(time: int, place: int = place, width: int = width) -> None:
            data[place + 2 : place + 2 + width] = max(0, min(time, 256**width - 1)).to_bytes(width, "big")

        found.append((read_time, write_time, 1000))
        at = data.find(b"\x1f\x43\xb6\x75", at + 4)
    return found
