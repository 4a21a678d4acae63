"""One video stream through libav: decoded, placed in time, scaled and cropped.

This is the only module that decodes with PyAV. It follows the rules of the ffmpeg command line where they decide which
frame is shown when: the choice of the stream, where time begins, missing timestamps, the end of the last frame.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from av.error import EOFError as DecoderEmptyError
from av.error import FFmpegError
from av.filter import Graph
from av.packet import Packet
from av.video.frame import VideoFrame

from mmpt.video.damage import DamageLog
from mmpt.video.errors import VideoError
from mmpt.video.geometry import crop_start, middle, scaled_size, upright_filters
from mmpt.video.mp4 import shown_until
from mmpt.video.opening import ENCRYPTED, is_encrypted, may_jump, open_video, packets_of, peek
from mmpt.video.repair import TimestampRepair
from mmpt.video.timing import MICROSECONDS, PresentationClock, grid_origin, nearest

SEEK_BACK = (0, 2, 10, 60)  # seconds before the wanted one, tried in turn until a usable key frame is found
UNKNOWN_RATE = 25  # frames per second where a file does not say, as libav takes it
CUT_OFF = 1.0  # seconds; a file that ends so much earlier than it says has been cut off
HEADER_ROUNDING_S = 0.1  # by so much a last frame may be shown after the end that the header names
MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
# Formats whose header holds a duration. It counts from where the file begins in mp4, in flv some programs count so.
SAYS_ITS_LENGTH = (MP4, "matroska,webm", "avi", "asf", "flv")
COUNTS_FROM_0 = ("matroska,webm", "asf")
ELONGATED = 16  # times as long as wide; of a longer picture the middle is cut out before it is scaled, not after
WRONG_TIME = "a timestamp is off by {:,.1f} s from those around it"
FAR_TIME = "the timestamps jump by more than 30 hours"


class VideoDecoder:
    """One open video stream: decodes it, and puts its frames on a grid of ticks."""

    def __init__(self, path: Path, rate: Fraction, damage: DamageLog) -> None:
        """Open a file.

        Args:
            path: the file, known to exist.
            rate: ticks per second.
            damage: takes note of what cannot be decoded.

        Raises:
            VideoError: it is not a video.
        """
        self.origin = 0  # tick of second 0, once the first frame is known
        self._path = path
        self._rate = rate
        self._damage = damage
        self._open()

    def _open(self, threads: str = "AUTO") -> None:
        self._container, self._stream = open_video(self._path)
        self._stream.thread_type = self._threads = threads
        self._time_base = self._stream.time_base or Fraction(1, MICROSECONDS)
        self._ticks = self._time_base * self._rate  # a timestamp times this is a time in ticks
        self._second_units = nearest(1 / self._time_base)  # one second in units of the time base
        average = self._stream.average_rate or self._stream.guessed_rate or UNKNOWN_RATE
        self._usual_duration = max(1, nearest(1 / (average * self._time_base)))
        packets = packets_of(self._container)
        peeked, begins = peek(self._container, self._stream, packets)
        self._begins = begins  # when the earliest stream does, in seconds of the file's own clock
        self._begin_stretch(itertools.chain(peeked, packets))
        first = self._repair.first_time()
        if self._repair.first_was_off and first is not None:  # libav was misled by that packet
            others = [] if may_jump(self._container) else self._beginnings_of_others()
            self._begins = min([first * self._time_base, *others])
        self._offset = nearest(-self._begins / self._time_base)  # what is added to the file's timestamps

    def _beginnings_of_others(self) -> list[Fraction]:
        others = [stream for stream in self._container.streams if stream.index != self._stream.index]
        return [
            stream.start_time * Fraction(stream.time_base or 0) for stream in others if stream.start_time is not None
        ]

    def _begin_stretch(self, packets: Iterator[Packet]) -> None:
        jumps = may_jump(self._container)
        claimed = self._claimed_ends
        self._cut: str | None = None  # why the container could not be read to its end
        self._encrypted = False  # there were packets that cannot be decoded without a key
        self._reached = 0.0  # seconds of the file's own clock up to which there was anything at all
        self._clock = PresentationClock(self._usual_duration, self._second_units, may_jump=jumps)
        self._repair = TimestampRepair(
            self._of_stream(packets),
            self._usual_duration,
            self._second_units,
            may_jump=jumps,
            claimed_end=None if claimed is None else nearest(claimed[1] / self._time_base),
        )
        self._any_shown = False
        self._last_shown = self._shown_until = 0  # begin and end of the last frame; units of the time base
        self._promised = 0  # the latest time at which a packet said it would be shown
        self._some_were_off = False  # timestamps were contradicted by others
        self._timed = True  # every packet had a timestamp
        self._reordered = False  # packets come in another order than they are shown

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def upright_size(self, frame: VideoFrame) -> tuple[int, int]:
        """Give the width and height, in square pixels, of the upright picture that a frame is shown as."""
        aspect = self._stream.sample_aspect_ratio or 1  # of a stored pixel
        return _upright_size(frame, max(1, round(frame.width * aspect)))

    def describe(self, frame: VideoFrame) -> dict[str, Any]:
        """Say what the file says of its video.

        Args:
            frame: the first one.

        Returns:
            The fields of `mmpt.video.reader.VideoInfo`.
        """
        stream, container = self._stream, self._container
        width, height = _upright_size(frame)
        duration = None if container.duration is None else container.duration / MICROSECONDS
        if container.format.name == MP4 and (until := shown_until(self._path, stream.id)):
            duration = float(until - self._begins)
        elif container.format.name in COUNTS_FROM_0 and duration is not None:
            duration = float(Fraction(container.duration or 0, MICROSECONDS) - self._begins)
        elif stream.duration is not None:
            duration = float(stream.duration * self._time_base)
        rate = stream.average_rate or stream.guessed_rate
        return {
            "duration": duration,
            "width": width,
            "height": height,
            "fps": float(rate) if rate else None,
            "frames": stream.frames or None,
            "codec": stream.codec_context.codec.canonical_name,
            "rotation": frame.rotation,
        }

    def begin(self) -> tuple[tuple[int, VideoFrame], Iterator[tuple[int, VideoFrame]]]:
        """Decode the first frame, and learn from it where second 0 lies.

        Returns:
            Its tick and itself; and what follows it.

        Raises:
            VideoError: no frame can be decoded.
        """
        frames = self.frames()
        opening = next(frames, None)
        if opening is None:
            raise self._nothing_decoded()
        self.origin = grid_origin(opening[0], streams=len(self._container.streams))
        return opening, frames

    def frames(self) -> Iterator[tuple[int, VideoFrame]]:
        """Yield (tick, frame) in the order of showing, from where the file stands to its end."""
        yield from self._timed_frames()
        last = self._shown_until
        if self._promised >= last and self._threads != "NONE":
            # PyAV drops what several decoding threads still hold when one of the last packets is damaged.
            self._container.close()
            self._open(threads="NONE")
            for tick, frame in self.frames_around(self._tick(last)):
                if self._shown_until > last:
                    yield tick, frame

    def _timed_frames(self) -> Iterator[tuple[int, VideoFrame]]:
        for frame in self._decoded():
            pts, duration = frame.pts, frame.duration
            if self._some_were_off:  # then libav's durations are too, which are averages or differences
                duration = min(duration or self._usual_duration, self._second_units)
                if pts is None and self._any_shown:
                    pts = min(self._clock.next_shown, self._last_shown - self._offset + duration)
            shown = self._clock.shown_time(pts, frame.dts, duration) + self._offset
            until = shown + (duration or self._usual_duration)
            self._damage.end(self._second(shown))
            if frame.is_corrupt:
                self._note_damage(shown, "parts of a frame are missing")
                self._damage.end(self._second(until))
            self._last_shown, self._shown_until, self._any_shown = shown, until, True
            yield self._tick(shown), frame

    def frames_around(self, tick: int) -> Iterator[tuple[int, VideoFrame]]:
        """Yield (tick, frame) as `frames` does, from a key frame at or before `tick` on."""
        second = float((tick - self.origin) / self._rate)
        self._damage.restart(second)
        for back in SEEK_BACK if self._timed and not may_jump(self._container) else ():
            target = (tick / self._rate - back) / self._time_base - self._offset
            try:
                self._container.seek(math.floor(target), stream=self._stream)
            except FFmpegError:
                break
            self._begin_stretch(packets_of(self._container))
            frames = itertools.dropwhile(lambda shown: not shown[1].key_frame, self.frames())
            landed = next(frames, None)
            if landed is not None and landed[0] <= tick:
                return itertools.chain([landed], frames)
            self._damage.restart(second)
        self._container.close()
        self._open(self._threads)
        return self.frames()

    def finish(self) -> int:
        """Note what is missing at the end of the file, and give the tick at which the last frame stops being shown."""
        end, reason = self._shown_until, ""
        claimed = None if self._claimed_ends is None else self._claimed_ends[0]
        if self._encrypted and self._promised >= end:
            reason = "the pictures are encrypted"
        elif self._promised >= end or self._cut is not None:
            reason = self._cut or "the last frames could not be decoded"
        if claimed is not None and claimed - self._reached > CUT_OFF:
            length = float(claimed - self._begins - self.origin / self._rate)
            reason = f"the file says it lasts {length:.1f} s but ends there"
        if reason:
            self._note_damage(end, reason)
        else:
            end = self._held_until()
        claimed_length = 0.0 if claimed is None else self._second(nearest((claimed - self._begins) / self._time_base))
        promised = self._second(self._promised + self._usual_duration)
        self._damage.end(max(claimed_length if reason else 0.0, promised, self._second(end)))
        return self._tick(end)

    def _held_until(self) -> int:
        """When the last frame stops being shown: not after the end that the file names, whatever its packet says."""
        end, stream = self._shown_until, self._stream
        if self._container.format.name == MP4 and not self._reordered and stream.duration is not None:
            named = (stream.start_time or 0) + stream.duration + self._offset
            return max(named, self._last_shown)  # an edit list may move the end
        if self._claimed_ends is None:
            return end
        # A frame's duration is that of its packet, and of reordered packets it is the time to the one stored next.
        named = nearest((self._claimed_ends[1] - self._begins) / self._time_base)
        past = (end - named) * self._time_base > HEADER_ROUNDING_S
        return max(named, self._last_shown + math.ceil(1 / self._ticks)) if past else end  # one place at the least

    def _nothing_decoded(self) -> VideoError:
        """Make the error for a stream without a single frame."""
        if self._encrypted:
            return VideoError(ENCRYPTED.format(self._path))
        return VideoError(
            f"{self._path} has a video stream ({self._stream.codec_context.name}) but no frame of it can be decoded"
            f"{f' ({self._cut})' if self._cut else ''}; the file is cut off or damaged: fetch or copy it again"
        )

    def _decoded(self) -> Iterator[VideoFrame]:
        context = self._stream.codec_context
        for packet in self._own_packets():
            try:
                yield from context.decode(packet)
            except DecoderEmptyError:
                return
            except FFmpegError as error:
                self._note_damage(self._shown_until, error.strerror)

    def _of_stream(self, packets: Iterator[Packet]) -> Iterator[Packet]:
        try:
            for packet in packets:
                if packet.stream_index == self._stream.index:
                    yield packet
                else:
                    self._note_reached(packet)
        except FFmpegError as error:
            self._cut = error.strerror

    def _own_packets(self) -> Iterator[Packet | None]:
        """Yield the stream's packets with decoding timestamps, then None, which makes the decoder hand out the rest."""
        was_off = False
        for packet, off in self._repair:
            self._timed &= packet.pts is not None or packet.dts is not None
            said = packet.pts
            self._some_were_off |= bool(off)
            packet.pts, packet.dts = self._clock.packet_times(said, packet.dts, packet.duration)
            nonsense = said is not None and packet.pts is None
            if (off or nonsense) and not was_off:
                self._note_damage(
                    self._shown_until, WRONG_TIME.format(float(abs(off) * self._time_base)) if off else FAR_TIME
                )
            was_off = bool(off or nonsense)
            if off > 0:
                self._reached = 0.0  # in mp4 the packet before lasted up to the wrong time
            self._note_reached(packet)
            self._note(packet)
            if is_encrypted(packet):
                self._encrypted = True
                self._note_damage(self._shown_until, "the pictures are encrypted")
            else:
                yield packet
        yield None

    def _note_damage(self, shown: int, reason: object) -> None:
        frame = min(float(self._usual_duration * self._time_base), 1.0)  # an average; one wrong timestamp moves it
        self._damage.begin(self._second(shown), frame, reason)

    def _note(self, packet: Packet) -> None:
        self._reordered |= packet.pts != packet.dts
        if packet.pts is not None and not packet.is_discard:
            self._promised = max(self._promised, packet.pts + self._offset)
        if packet.is_corrupt:
            self._note_damage(self._shown_until, "parts of the file are missing")

    def _note_reached(self, packet: Packet) -> None:
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None and packet.time_base:
            self._reached = max(self._reached, float((time + (packet.duration or 0)) * packet.time_base))

    @cached_property
    def _claimed_ends(self) -> tuple[Fraction, Fraction] | None:
        """The earliest and the latest time of the file's own clock at which its header may say that it ends."""
        container = self._container
        name = container.format.name
        if container.duration is None or name not in SAYS_ITS_LENGTH:
            return None
        begins = Fraction(container.start_time or 0, MICROSECONDS)
        length = Fraction(container.duration, MICROSECONDS)
        if name == MP4:
            return begins + length, max(begins + length, shown_until(self._path, self._stream.id) or Fraction(0))
        return length, begins + length if name == "flv" else length

    def _tick(self, shown: int) -> int:
        return nearest(shown * self._ticks)

    def _second(self, shown: int) -> float:
        return float(shown * self._time_base - self.origin / self._rate)


class Redrawn:
    """Puts decoded frames through filters, with one filter graph as long as the frames stay alike.

    Args:
        steps: gives the filters for a frame, names and arguments.
    """

    def __init__(self, steps: Callable[[VideoFrame], list[tuple[str, str]]]) -> None:
        self._steps = steps
        self._alike: tuple[int, int, str, int] | None = None

    def __call__(self, frame: VideoFrame) -> VideoFrame:
        alike = (frame.width, frame.height, frame.format.name, frame.rotation)
        if alike != self._alike:
            self._build(frame)
            self._alike = alike
        self._source.push(frame)
        redrawn = self._sink.pull()
        assert isinstance(redrawn, VideoFrame)
        return redrawn

    def _build(self, frame: VideoFrame) -> None:
        self._graph = Graph()
        self._source = self._graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=Fraction(1, MICROSECONDS)
        )
        steps = [*upright_filters(_display_matrix(frame)), *self._steps(frame), ("buffersink", "")]
        nodes = [self._graph.add(name, arguments or None) for name, arguments in steps]
        self._graph.link_nodes(self._source, *nodes).configure()
        self._sink = nodes[-1]


class Shrinker:
    """Turns decoded frames into small square pictures."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._redrawn = Redrawn(self._steps)

    def aim(self, opening: VideoFrame) -> None:
        """Take the shape from a video's first frame; where the resolution changes later, pictures keep to it."""
        self._shape = _upright_size(opening)

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        return self._redrawn(frame).to_ndarray()

    def _steps(self, frame: VideoFrame) -> list[tuple[str, str]]:
        size = self._size
        width, height = scaled_size(*self._shape, size)
        stored = _upright_size(frame)
        cut: list[tuple[str, str]] = []
        if width > ELONGATED * size:
            kept, width = middle(stored[0], width, size)
            cut = [("crop", f"{kept}:{stored[1]}")]
        elif height > ELONGATED * size:
            kept, height = middle(stored[1], height, size)
            cut = [("crop", f"{stored[0]}:{kept}")]
        x, y = crop_start(width, height, size)
        scale = ("scale", f"{width}:{height}")
        return [*cut, scale, ("crop", f"{size}:{size}:{x}:{y}"), ("format", "pix_fmts=rgb24")]


def draw(frame: VideoFrame, width: int, height: int) -> np.ndarray:
    """Turn a decoded frame into an upright picture: uint8 (height, width, 3)."""
    try:
        return Redrawn(lambda _: [("scale", f"{width}:{height}"), ("format", "pix_fmts=rgb24")])(frame).to_ndarray()
    except FFmpegError as error:
        size = f"{frame.width} x {frame.height}"
        raise VideoError(f"a frame of {size} in {frame.format.name} cannot be drawn ({error.strerror})") from error


def _upright_size(frame: VideoFrame, wide: int | None = None) -> tuple[int, int]:
    wide = wide or frame.width  # of the stored picture, once its pixels are square
    turned = any(name == "transpose" for name, _ in upright_filters(_display_matrix(frame)))
    return (frame.height, wide) if turned else (wide, frame.height)


def _display_matrix(frame: VideoFrame) -> list[int]:
    try:
        data = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # a kind of side data that PyAV has no name for
        data = None
    return [1, 0, 0, 0, 1, 0, 0, 0, 1] if data is None else np.frombuffer(bytes(data), np.int32).tolist()
