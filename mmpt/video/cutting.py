"""A part of a video as a file of its own: packets copied as they are where that can be, encoded anew otherwise."""

import contextlib
import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import CodecContext
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mmpt.utils.files import atomic_path
from mmpt.video.damage import DamageLog
from mmpt.video.decoder import SEEK_BACK, UNKNOWN_RATE, Redrawn, VideoDecoder
from mmpt.video.errors import VideoError, check_file, video_errors
from mmpt.video.opening import ENCRYPTED, is_encrypted, may_jump, open_video, packets_of, peek
from mmpt.video.timing import JUMP

ENCODERS = {  # of video and of sound, where packets cannot be copied
    ".mp4": ("libx264", "aac"),
    ".m4v": ("libx264", "aac"),
    ".mov": ("libx264", "aac"),
    ".mkv": ("libx264", "aac"),
    ".webm": ("libvpx-vp9", "libopus"),
}
OPTIONS = {"libx264": {"crf": "20", "preset": "veryfast"}, "libvpx-vp9": {"crf": "32", "b": "0", "cpu-used": "6"}}
COLOURS = ("color_range", "colorspace", "color_primaries", "color_trc")  # of a frame, and of its stream
TICKS = 90_000  # per second; the clock of what is encoded anew
AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # samples per second
USUAL_RATE = 48_000  # samples per second; the only one of these that every Opus encoder takes
MOST_REORDERED = 16  # packets that come before the first one with a decoding time, in any codec
EARLIEST = 30  # seconds that a copy may begin before its moment; most videos have a key frame every ten
SOUND_LEAD = 1  # second; sound is decoded from so much before the clip on


class _CannotCopyError(Exception):
    """The packets cannot be put into the wanted file as they are."""


def cut_clip(path: str | Path, start: float, end: float, target: str | Path) -> tuple[float, float]:
    """Write a part of a video, with its sound, as a file of its own.

    Nothing is encoded anew where the target's container can hold what the video has. Then the clip begins with the
    last key frame at or before `start`, which may be seconds earlier, up to EARLIEST. Otherwise the clip is exact, and
    takes longer.

    Args:
        path: the video file.
        start: first second, as `mmpt.video.reader.read_frames` counts.
        end: second to stop before.
        target: the file to write; its ending says the container. It is whole or absent.

    Returns:
        The seconds of the video, first and last, that the clip really holds.

    Raises:
        FileNotFoundError: there is no such video.
        VideoError: it is not a video, or has nothing at that time that can be read.
        ValueError: the times are not in order, or the target is no kind of file that clips are written as.
    """
    path, target = Path(path), Path(target)
    if not (math.isfinite(start) and math.isfinite(end) and 0 <= start < end):
        raise ValueError(f"the clip is to run from {start} to {end}; give seconds from 0 on, the end after the start")
    if target.suffix.lower() not in ENCODERS:
        raise ValueError(f"{target} is no kind of file that clips are written as; name it {' or '.join(ENCODERS)}")
    check_file(path)
    if target.exists() and target.samefile(path):
        raise ValueError(f"the clip would take the place of the video it is cut from, {path}; name another file")
    with atomic_path(target) as temporary, video_errors(path):
        try:
            return _copy(path, Fraction(start), Fraction(end), temporary)
        except VideoError:
            raise
        except Exception:
            pass  # what cannot be read will be told when it is decoded
        try:
            return _encode(path, Fraction(start), Fraction(end), temporary)
        except FFmpegError as error:
            raise VideoError(f"no clip can be cut from {path} ({error.strerror}); {target} is not written") from error


def _copy(path: Path, start: Fraction, end: Fraction, target: Path) -> tuple[float, float]:
    container, video = open_video(path)
    with container:
        sound = container.streams.best("audio", related=video)
        streams = [video, *([sound] if isinstance(sound, AudioStream) else [])]
        _, zero = peek(container, video, packets_of(container))
        packets = _from_key_frame(path, container, streams, start + zero, end + zero)
        first = next(packets)
        begin = _time(first)
        if begin < start + zero - EARLIEST:
            raise _CannotCopyError
        if is_encrypted(first):
            raise VideoError(ENCRYPTED.format(path))
        if _decoded_size(video, first) != (video.width, video.height):
            raise _CannotCopyError  # the resolution changes part-way, and the header holds that of the beginning
        ends = [begin]
        with _opened(target) as output:
            copies = {stream.index: _template(output, stream) for stream in streams}
            for packet in itertools.chain([first], packets):
                if packet.stream_index == video.index:
                    if packet.has_sidedata("new_extradata") or is_encrypted(packet):
                        raise _CannotCopyError  # the coding changes part-way
                    ends.append(_time(packet) + _duration(packet, video))
                _mux(output, packet, copies[packet.stream_index], begin)
    if max(ends) <= start + zero:
        raise VideoError(f"{path} ends at {float(max(ends) - zero):.1f} s, before the clip from {float(start):g} s on")
    return float(begin - zero), float(max(ends) - zero)


def _decoded_size(video: VideoStream, key_frame: Packet) -> tuple[int, int] | None:
    """The width and height of a key frame; None where it cannot be decoded alone."""
    decoder = CodecContext.create(video.codec_context.codec.name, "r")
    decoder.extradata = video.codec_context.extradata
    assert isinstance(decoder, VideoCodecContext)
    pictures = [picture for packet in (key_frame, None) for picture in decoder.decode(packet)]
    return (pictures[0].width, pictures[0].height) if pictures else None


def _from_key_frame(
    path: Path, container: InputContainer, streams: list[Stream], start: Fraction, end: Fraction
) -> Iterator[Packet]:
    """Yield the packets from the last key frame at or before `start` on, the key frame first, to `end`.

    Packets go by decoding time at the end, so that none is missing that another one there refers to.
    """
    video = streams[0]
    for back in SEEK_BACK if not may_jump(container) else ():
        try:
            container.seek(math.floor((start - back) / (video.time_base or 1)), stream=video)
        except FFmpegError:
            break
        held, rest = _lead(_dated(packets_of(container, streams)), video, start)
        if held and _time(held[0]) <= start:
            yield from _until(held, rest, streams, end)
            return
    again, _ = open_video(path)
    with again:
        streams = [again.streams[stream.index] for stream in streams]
        held, rest = _lead(_dated(packets_of(again, streams)), streams[0], start)
        if not held or _time(held[0]) >= end:
            raise _CannotCopyError
        yield from _until(held, rest, streams, end)


def _dated(packets: Iterator[Packet]) -> Iterator[Packet]:
    """Fill in the decoding times that Matroska leaves out at the start of a stretch: they count back from the next."""
    waiting: dict[int, list[Packet]] = {}
    for packet in packets:
        held = waiting.setdefault(packet.stream_index, [])
        if packet.dts is None:
            held.append(packet)
            if len(held) > MOST_REORDERED:
                raise _CannotCopyError
            continue
        for number, earlier in enumerate(held):
            earlier.dts = packet.dts - (len(held) - number) * (packet.duration or 1)
        yield from held
        held.clear()
        yield packet
    if any(waiting.values()):
        raise _CannotCopyError


def _lead(packets: Iterator[Packet], video: Stream, start: Fraction) -> tuple[list[Packet], Iterator[Packet]]:
    """Read on to the last key frame at or before `start`, or the first one; give what belongs with it, and the rest."""
    held: list[Packet] = []
    for packet in packets:
        own = packet.stream_index == video.index
        if own and packet.is_keyframe and (not held or _time(packet) <= start):
            # Sound that is stored before its picture belongs to it as well.
            sound = [kept for kept in held if kept.stream_index != video.index and _time(kept) >= _time(packet)]
            held = [packet, *sound]
        elif held:
            held.append(packet)
        if held and own and _decoded(packet) > start:
            break
    return held, packets


def _until(held: list[Packet], rest: Iterator[Packet], streams: list[Stream], end: Fraction) -> Iterator[Packet]:
    begin, open_ones = _time(held[0]), {stream.index for stream in streams}
    last: dict[int, Fraction] = {}
    for packet in itertools.chain(held, rest):
        if packet.stream_index not in open_ones:
            continue
        decoded = _decoded(packet)
        step = decoded - last.get(packet.stream_index, decoded)
        if step < 0 or step > JUMP or abs(_time(packet) - decoded) > JUMP:
            raise _CannotCopyError  # timestamps restart part-way, are missing for a while, or are wrong
        last[packet.stream_index] = decoded
        if decoded >= end:
            open_ones.discard(packet.stream_index)
        elif _time(packet) >= begin:  # pictures shown before the key frame need others that are not there
            yield packet
        if not open_ones:
            return


def _mux(output: OutputContainer, packet: Packet, stream: Stream, begin: Fraction) -> None:
    shift = round(begin / packet.time_base)
    assert packet.pts is not None and packet.dts is not None
    packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
    packet.stream = stream
    try:
        output.mux(packet)
    except (FFmpegError, ValueError) as error:
        raise _CannotCopyError from error


def _template(output: OutputContainer, stream: Stream) -> Stream:
    try:
        return output.add_stream_from_template(stream, opaque=True)
    except (FFmpegError, ValueError) as error:
        raise _CannotCopyError from error


@contextlib.contextmanager
def _opened(target: Path) -> Iterator[OutputContainer]:
    """A file to mux into; what goes wrong only when it is ended means that copies do not fit either."""
    output = av.open(str(target), "w")
    try:
        yield output
    except BaseException:
        with contextlib.suppress(FFmpegError, ValueError):
            output.close()
        raise
    try:
        output.close()
    except FFmpegError as error:
        raise _CannotCopyError from error


def _time(packet: Packet) -> Fraction:
    """When a packet is shown, in seconds of the file's own clock."""
    if packet.pts is None:
        raise _CannotCopyError
    return packet.pts * packet.time_base


def _decoded(packet: Packet) -> Fraction:
    assert packet.dts is not None
    return packet.dts * packet.time_base


def _duration(packet: Packet, video: VideoStream) -> Fraction:
    if packet.duration:
        return packet.duration * packet.time_base
    return 1 / Fraction(video.average_rate or video.guessed_rate or UNKNOWN_RATE)


def _encode(path: Path, start: Fraction, end: Fraction, target: Path) -> tuple[float, float]:
    of_video, of_sound = ENCODERS[target.suffix.lower()]
    with VideoDecoder(path, Fraction(TICKS), DamageLog(path, float(start))) as video, _opened(target) as output:
        (_, opening), _ = video.begin()
        frames = _frames(video, start, end)
        first = next(frames, None)
        if first is None:
            raise VideoError(f"{path} ends before the clip, which is to run from {float(start):g} s on")
        # Most encoders take even sizes only.
        wide, high = (max(2, side // 2 * 2) for side in video.upright_size(opening))
        redrawn = Redrawn(lambda _: [("scale", f"{wide}:{high}"), ("format", "pix_fmts=yuv420p")])
        stream = output.add_stream(of_video, rate=UNKNOWN_RATE, options=OPTIONS[of_video])
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = wide, high, "yuv420p"
        drawn = first[0], redrawn(first[1])
        for name in COLOURS:
            setattr(stream.codec_context, name, getattr(drawn[1], name))
        stream.codec_context.time_base = Fraction(1, TICKS)
        with _sound_of(path) as (sound, zero):
            copy = None if sound is None else _sound_stream(output, of_sound, sound)
            for tick, picture in itertools.chain([drawn], ((tick, redrawn(frame)) for tick, frame in frames)):
                picture.pts, picture.time_base = tick, Fraction(1, TICKS)
                output.mux(stream.encode(picture))
            output.mux(stream.encode(None))
            if sound is not None and copy is not None:
                for piece in itertools.chain(_sounding(sound, zero + start, end - start), [None]):
                    output.mux(copy.encode(piece))
        shown = Fraction(video.finish() - video.origin, TICKS)
    return float(start), float(min(end, max(shown, start)))


def _frames(video: VideoDecoder, start: Fraction, end: Fraction) -> Iterator[tuple[int, VideoFrame]]:
    """Yield what a video shows from `start` to `end`, each frame with the tick after `start` from which it is shown."""
    first, last = video.origin + round(start * TICKS), video.origin + round(end * TICKS)
    held: VideoFrame | None = None
    after = 0  # of the held one; the first is shown from the beginning on
    for tick, frame in video.frames_around(first):
        if held is not None and tick > first:
            yield after, held
            after = tick - first
        if tick >= last:
            return
        held = frame
    if held is not None and video.finish() > first:
        yield after, held


@contextlib.contextmanager
def _sound_of(path: Path) -> Iterator[tuple[AudioStream | None, Fraction]]:
    """The sound that goes with a video, None where there is none, and the time on its clock of the video's second 0."""
    container, video = open_video(path)
    with container:
        sound = container.streams.best("audio", related=video)
        _, zero = peek(container, video, packets_of(container))
        yield sound if isinstance(sound, AudioStream) else None, zero


def _sound_stream(output: OutputContainer, encoder: str, sound: AudioStream) -> AudioStream:
    rate = sound.rate if encoder == "aac" and sound.rate in AAC_RATES else USUAL_RATE
    stream = output.add_stream(encoder, rate=rate, layout="mono" if sound.channels == 1 else "stereo")
    assert isinstance(stream, AudioStream)
    return stream


def _sounding(sound: AudioStream, begin: Fraction, length: Fraction) -> Iterator[AudioFrame]:
    """Yield the sound of so many seconds from a time on the file's clock on, as far as it can be decoded."""
    container = sound.container
    assert isinstance(container, InputContainer)
    # To the beginning where a seek by time would lead astray; from there on the sound before `begin` is passed over.
    earliest = sound.start_time or 0
    target = earliest if may_jump(container) else math.floor((begin - SOUND_LEAD) / (sound.time_base or 1))
    with contextlib.suppress(FFmpegError):
        container.seek(max(earliest, target), stream=sound)
        packets = packets_of(container, [sound])
        for piece in itertools.chain.from_iterable(map(sound.codec_context.decode, itertools.chain(packets, [None]))):
            if piece.pts is None or piece.time_base is None:
                return
            after = piece.pts * piece.time_base - begin
            if after >= length:
                return
            if after >= 0:
                piece.pts, piece.time_base = round(after * piece.sample_rate), Fraction(1, piece.sample_rate)
                yield piece
