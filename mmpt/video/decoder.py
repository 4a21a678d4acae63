"""One video stream through libav: decoded, placed in time, scaled and cropped.

This is the only module that decodes with PyAV. It follows the rules of the ffmpeg command line where they decide which
frame is shown when: the choice of the stream, where time begins, missing timestamps, the end of the last frame.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from av.container import InputContainer
from av.error import EOFError as DecoderEmptyError
from av.error import FFmpegError
from av.filter import Graph
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mmpt.video.damage import DamageLog
from mmpt.video.errors import VideoError, unreadable
from mmpt.video.geometry import crop_start, scaled_size, upright_filters
from mmpt.video.timing import MICROSECONDS, PresentationClock, nearest

TIMESTAMPS_MAY_JUMP = 0x0200  # AVFMT_TS_DISCONT: set for formats like MPEG-TS, whose timestamps may begin anew part-way
GENERATE_TIMESTAMPS = 1  # AVFMT_FLAG_GENPTS: PyAV sets it, ffmpeg does not, and what it invents for AVI is out of order
DEFAULT_BONUS = 5_000_000  # pixels; how much ffmpeg favours a stream that is marked as the default one
SEEK_BACK = (0, 2, 10, 60)  # seconds before the wanted one, tried in turn until a usable key frame is found
PEEK_PACKETS = 64  # at most so many are read to learn when each stream begins
UNKNOWN_RATE = 25  # frames per second where a file does not say, as libav takes it
CUT_OFF = 1.0  # seconds; a file that ends so much earlier than it says has been cut off
# Formats whose header holds the duration, and "formats" that are text, a picture or a list of other files.
SAYS_ITS_LENGTH = ("matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "avi", "asf", "flv")
NOT_VIDEO = ("tty", "bin", "xbin", "adf", "idf", "image2", "concat", "hls", "dash", "ffmetadata")


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
        self.origin = 0  # tick of second 0; the caller sets it once the first frame is known
        self._path = path
        self._rate = rate
        self._damage = damage
        self._open()

    def _open(self, threads: str = "AUTO") -> None:
        self._container, self._stream = open_video(self._path)
        self._stream.thread_type = self._threads = threads
        self._time_base = self._stream.time_base or Fraction(1, MICROSECONDS)
        self._ticks = self._time_base * self._rate  # a timestamp times this is a time in ticks
        average = self._stream.average_rate or self._stream.guessed_rate or UNKNOWN_RATE
        self._usual_duration = max(1, nearest(1 / (average * self._time_base)))
        packets = self._container.demux()
        peeked, begins = peek(self._container, self._stream, packets)
        self._offset = nearest(-begins / self._time_base)  # time begins with the earliest stream
        self._begin_stretch(itertools.chain(peeked, packets))

    def _begin_stretch(self, packets: Iterator[Packet]) -> None:
        self._packets = packets
        second = nearest(1 / self._time_base)
        self._clock = PresentationClock(self._usual_duration, second, may_jump=may_jump(self._container))
        self._cut: str | None = None  # why the container could not be read to its end
        self._last_shown = self._shown_until = self._offset  # begin and end of the last frame; units of the time base
        self._promised = self._offset  # the latest time at which a packet said it would be shown
        self._reached = 0.0  # seconds into the file up to which there was anything at all
        self._timed = True  # every packet had a timestamp
        self._reordered = False  # packets come in another order than they are shown

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    @property
    def streams(self) -> int:
        """How many streams the file has, of any kind."""
        return len(self._container.streams)

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
        if stream.duration is not None:
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
            shown = self._clock.shown_time(frame.pts, frame.dts, frame.duration) + self._offset
            until = shown + (frame.duration or self._usual_duration)
            self._damage.end(self._second(shown))
            if frame.is_corrupt:
                self._note_damage(shown, "parts of a frame are missing")
                self._damage.end(self._second(until))
            self._last_shown, self._shown_until = shown, until
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
            self._begin_stretch(self._container.demux())
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
        claimed = self._claimed_seconds()
        if self._promised >= end or self._cut is not None:
            reason = self._cut or "the last frames could not be decoded"
        if claimed - self._reached > CUT_OFF:
            reason = f"the file says it lasts {claimed:.1f} s but ends there"
        if reason:
            self._note_damage(end, reason)
        elif "mp4" in self._container.format.name and not self._reordered and self._stream.duration is not None:
            end = max(self._stream.duration + self._offset, self._last_shown)  # an edit list may move the end
        promised = self._second(self._promised + self._usual_duration)
        self._damage.end(max(claimed if reason else 0.0, promised, self._second(end)))
        return self._tick(end)

    def nothing_decoded(self) -> VideoError:
        """Make the error for a stream without a single frame."""
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

    def _own_packets(self) -> Iterator[Packet | None]:
        """Yield the stream's packets with decoding timestamps, then None, which makes the decoder hand out the rest."""
        try:
            for packet in self._packets:
                if not packet.size:  # PyAV ends with one empty packet for each stream
                    continue
                self._note_reached(packet)
                if packet.stream_index == self._stream.index:
                    self._timed &= packet.pts is not None or packet.dts is not None
                    packet.pts, packet.dts = self._clock.packet_times(packet.pts, packet.dts, packet.duration)
                    self._note(packet)
                    yield packet
        except FFmpegError as error:
            self._cut = error.strerror
        yield None

    def _note_damage(self, shown: int, reason: object) -> None:
        self._damage.begin(self._second(shown), float(self._usual_duration * self._time_base), reason)

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

    def _claimed_seconds(self) -> float:
        """Give the time at which the file says that it ends, or 0 where it does not say."""
        duration = self._container.duration
        if duration is None or self._container.format.name not in SAYS_ITS_LENGTH:
            return 0.0
        return ((self._container.start_time or 0) + duration) / MICROSECONDS

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
        self._target: tuple[int, int] | None = None  # of the first frame: a later change of resolution keeps to it
        self._redrawn = Redrawn(self._steps)

    def __call__(self, frame: VideoFrame) -> np.ndarray:
        return self._redrawn(frame).to_ndarray()

    def _steps(self, frame: VideoFrame) -> list[tuple[str, str]]:
        size = self._size
        self._target = self._target or scaled_size(*_upright_size(frame), size)
        width, height = self._target
        x, y = crop_start(width, height, size)
        return [("scale", f"{width}:{height}"), ("crop", f"{size}:{size}:{x}:{y}"), ("format", "pix_fmts=rgb24")]


def draw(frame: VideoFrame, width: int, height: int) -> np.ndarray:
    """Turn a decoded frame into an upright picture: uint8 (height, width, 3)."""
    try:
        return Redrawn(lambda _: [("scale", f"{width}:{height}"), ("format", "pix_fmts=rgb24")])(frame).to_ndarray()
    except FFmpegError as error:
        size = f"{frame.width} x {frame.height}"
        raise VideoError(f"a frame of {size} in {frame.format.name} cannot be drawn ({error.strerror})") from error


def open_video(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a file, and choose the stream that a viewer would see.

    Args:
        path: the file, known to exist.

    Returns:
        The open file and its stream.

    Raises:
        VideoError: it is not a video.
    """
    try:
        # Only files: what claims to be a video must not make us read from a network.
        container = av.open(f"file:{path}", container_options={"protocol_whitelist": "file"})
    except PermissionError as error:
        raise VideoError(f"{path} may not be read by this user (permission denied); change its permissions") from error
    except FFmpegError as error:
        raise _refusal(path, error) from error
    except OSError as error:
        raise VideoError(f"{path} cannot be opened ({error.strerror or error})") from error
    name = container.format.name
    if name in NOT_VIDEO or name.endswith("_pipe"):
        container.close()
        raise VideoError(f"{path} is not a video: it reads as {container.format.long_name or name}; give a video file")
    container.flags &= ~GENERATE_TIMESTAMPS
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        kinds = {"a cover picture" if stream.type == "video" else stream.type for stream in container.streams}
        container.close()
        found = " and ".join(sorted(kinds)) or "a header"
        raise VideoError(f"{path} has no video stream, only {found}; give a file with moving pictures")
    stream = max(streams, key=_stream_score)
    if stream.codec_context is None:
        container.close()
        raise VideoError(f"{path} is coded in a way that PyAV cannot decode; convert it, for example to H.264")
    return container, stream


def _refusal(path: Path, error: FFmpegError) -> VideoError:
    try:
        return unreadable(path, error.strerror)
    except OSError as failure:  # a disk or a network that gives nothing
        return VideoError(f"{path} cannot be read ({failure.strerror or failure}); try again, or copy it elsewhere")


def _stream_score(stream: VideoStream) -> int:
    """Rank the video streams of a file as the ffmpeg command does: the largest, or the one marked as default."""
    area = stream.width * stream.height if stream.codec_context else -1
    return area + DEFAULT_BONUS * bool(stream.disposition & Disposition.default)


def may_jump(container: InputContainer) -> bool:
    """Say whether a file is of a format in which timestamps may begin anew part-way."""
    return bool(container.format.flags & TIMESTAMPS_MAY_JUMP)


def peek(container: InputContainer, stream: VideoStream, packets: Iterator[Packet]) -> tuple[list[Packet], Fraction]:
    """Read on until the time at which second 0 lies is known; give what was read and that time in seconds."""
    begins = Fraction(container.start_time or 0, MICROSECONDS)
    peeked: list[Packet] = []
    if may_jump(container) and stream.start_time is not None and stream.time_base:
        begins = max(begins, stream.start_time * stream.time_base)  # here ffmpeg looks at the chosen stream alone
    if "matroska" not in container.format.name:
        return peeked, begins
    # The lead-in of an audio codec counts in Matroska, and libav's start_time leaves it out.
    waiting = {audio.index for audio in container.streams.audio}
    while waiting and len(peeked) < PEEK_PACKETS:
        packet = next(packets, None)
        if packet is None:
            break
        peeked.append(packet)
        if packet.stream_index in waiting and packet.pts is not None:
            waiting.remove(packet.stream_index)
            begins = min(begins, packet.pts * packet.time_base)
    return peeked, begins


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
