"""Video files -> frames: put on an even time grid, scaled and cropped as the published features were made.

Everything runs inside this process, in libav through PyAV, a chunk at a time: no system ffmpeg, no temporary files, and
memory that does not grow with the length of the video. The pixels are those of

    ffmpeg -i FILE -filter:v fps=fps=FPS,scale=W:H,crop=SIZE:SIZE:X:Y -f rawvideo -pix_fmt rgb24 pipe:

where the shorter side of the upright picture becomes SIZE, the other is cut to whole pixels, and X and Y are the
integer halves of what is left over.
"""

import itertools
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from mmpt.video.damage import DamageLog
from mmpt.video.decoder import Shrinker, VideoDecoder
from mmpt.video.errors import VideoDamageWarning, VideoError, check_file, video_errors
from mmpt.video.timing import MAX_GAP_VARIABLE, default_max_gap, grid_rate

SEEK_FROM = 2.0  # seconds; what begins earlier is reached sooner by decoding than by seeking
LONG_GAP_S = 10.0  # from which on gaps are added up
LEAST_BYTES = 100  # of a file for a second of long gaps; fewer are no video but a few timestamps
SAME_MOMENT = 1e-6  # places of the grid; a start or end this close to one means that one


@dataclass(frozen=True)
class VideoInfo:
    """What a video file says of itself.

    Attributes:
        duration: seconds, or None where the file does not say.
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
        fps: frames per second on average, or None where the file does not say.
        frames: how many, or None where the file does not say.
        codec: name of the video's format, for example ``"h264"``.
        rotation: degrees counter-clockwise by which the stored picture is turned to be upright.
    """

    duration: float | None
    width: int
    height: int
    fps: float | None
    frames: int | None
    codec: str
    rotation: int


def read_frames(
    path: str | Path,
    fps: float = 30,
    size: int = 224,
    start: float | None = None,
    end: float | None = None,
    *,
    strict: bool = False,
    chunk_seconds: float = 1,
    on_damage: Callable[[str], None] | None = None,
    max_gap: float | None = None,
) -> Iterator[np.ndarray]:
    """Read a video as a stream of small square frames.

    Frame k of a video is what is shown k / fps seconds after its beginning; a part read with `start` and `end` holds
    the frames with start <= k / fps < end, the same ones that a full read gives for that time.

    Args:
        path: the video file.
        fps: frames per second to give; the source's are repeated or left out, never blended.
        size: side of the square frames, in pixels.
        start: first second to read; from the beginning by default. Past the video's end, nothing is given.
        end: second to stop before; to the video's end by default.
        strict: raise where part of the video cannot be decoded, instead of warning after the readable seconds.
        chunk_seconds: length of a chunk, in seconds.
        on_damage: told what could not be decoded, in place of the warning: threads share what becomes of warnings.
        max_gap: seconds for which one picture may be repeated because the next one is so much later; where one would
            stand still for longer, reading ends as at the end of a file that is cut off. All that last over ten seconds
            may take as long together, and a second for every 100 bytes of the file. An hour by default, or what the
            environment variable MMPT_MAX_GAP says.

    Returns:
        An iterator over chunks (T, size, size, 3) of uint8 in the order red, green, blue; T = round(fps *
        chunk_seconds), less in the last. Each chunk is an array of its own.

    Raises:
        FileNotFoundError: there is no such file.
        VideoError: it is not a video, holds no picture that can be decoded, or (strict) is damaged. What only decoding
            can tell is raised by the iterator.
        ValueError: a number is out of range.

    Warns:
        VideoDamageWarning: after the last chunk, when part of what was asked for could not be decoded.
    """
    path = Path(path)
    check_file(path)
    _check_numbers(fps, size, start, end, chunk_seconds)
    if max_gap is not None and not max_gap > 0:
        raise ValueError(f"max_gap is {max_gap}; the longest time that a picture may be held must be above 0 seconds")
    rate = grid_rate(fps)
    first = _place(start or 0.0, rate)
    stop = None if end is None or math.isinf(end) else _place(end, rate)
    length = max(1, round(rate * Fraction(chunk_seconds)))
    bound = default_max_gap() if max_gap is None else max_gap
    return _chunks(path, rate, size, first, stop, strict, length, on_damage or _warn, bound)


def read_seconds(
    path: str | Path,
    fps: int = 30,
    size: int = 224,
    start: float | None = None,
    end: float | None = None,
    strict: bool = False,
    on_damage: Callable[[str], None] | None = None,
    max_gap: float | None = None,
) -> Iterator[np.ndarray]:
    """Read a video second by second, every started second whole.

    Args:
        path: the video file.
        fps: frames per second to give, a whole number.
        size: side of the square frames, in pixels.
        start: first second to read; from the beginning by default.
        end: second to stop before; to the video's end by default.
        strict: raise where part of the video cannot be decoded, instead of warning after the readable seconds.
        on_damage: told what could not be decoded, in place of the warning.
        max_gap: seconds for which one picture may be repeated, as in `read_frames`.

    Returns:
        An iterator over blocks (fps, size, size, 3) of uint8, one for each started second after `start`; the last is
        filled up with black.

    Raises:
        FileNotFoundError: there is no such file.
        VideoError: it is not a video, holds no picture that can be decoded, or (strict) is damaged.
        ValueError: a number is out of range, or fps is not whole.
    """
    if fps != int(fps):
        raise ValueError(f"fps is {fps}; seconds of equal length need a whole number of frames per second")
    frames = read_frames(path, int(fps), size, start, end, strict=strict, on_damage=on_damage, max_gap=max_gap)
    return (_fill_up(chunk, int(fps)) for chunk in frames)


def probe(path: str | Path) -> VideoInfo:
    """Look at a video's header and first frame.

    Args:
        path: the video file.

    Returns:
        What it says of itself.

    Raises:
        FileNotFoundError: there is no such file.
        VideoError: it is not a video, or holds no picture that can be decoded.
    """
    path = Path(path)
    check_file(path)
    with video_errors(path), VideoDecoder(path, grid_rate(1), DamageLog(path, 0)) as video:
        (_, frame), _ = video.begin()
        return VideoInfo(**video.describe(frame))


def _check_numbers(fps: float, size: int, start: float | None, end: float | None, chunk_seconds: float) -> None:
    if not (math.isfinite(fps) and fps > 0):
        raise ValueError(f"fps is {fps}; frames per second must be above 0")
    if size < 1:
        raise ValueError(f"size is {size}; give the side of the frames in pixels, at least 1")
    if start is not None and not (math.isfinite(start) and start >= 0):
        raise ValueError(f"start is {start}; give seconds from the video's beginning, 0 or more")
    if end is not None and not end > (start or 0):
        raise ValueError(f"end is {end} and start is {start or 0}; the end must come after the start")
    if not (math.isfinite(chunk_seconds) and chunk_seconds > 0):
        raise ValueError(f"chunk_seconds is {chunk_seconds}; the length of a chunk must be above 0 seconds")


def _chunks(
    path: Path,
    rate: Fraction,
    size: int,
    first: int,
    stop: int | None,
    strict: bool,
    length: int,
    on_damage: Callable[[str], None],
    max_gap: float,
) -> Iterator[np.ndarray]:
    damage = DamageLog(path, float(first / rate))
    shrink = Shrinker(size)
    chunk, filled, given = np.empty((length, size, size, 3), np.uint8), 0, 0
    with video_errors(path):
        for frame, repeats in _shown(path, rate, first, stop, damage, shrink, max_gap):
            if strict and damage:
                break
            picture = shrink(frame)  # (size, size, 3)
            while repeats:
                count = min(repeats, length - filled)
                chunk[filled : filled + count] = picture
                filled, repeats, given = filled + count, repeats - count, given + count
                if filled == length:
                    yield chunk
                    chunk, filled = np.empty((length, size, size, 3), np.uint8), 0
        if strict and damage:
            raise VideoError(damage.refusal())
        if filled:
            yield chunk[:filled]
    if damage:
        on_damage(damage.message(float((first + given) / rate)))


def _warn(message: str) -> None:
    warnings.warn(message, VideoDamageWarning, stacklevel=3)


def _shown(
    path: Path, rate: Fraction, first: int, stop: int | None, damage: DamageLog, shrink: Shrinker, max_gap: float
) -> Iterator[tuple]:
    """Yield the decoded frames that appear on the grid, each with the number of places that it takes there."""
    with VideoDecoder(path, rate, damage) as video:
        opening, frames = video.begin()
        shrink.aim(opening[1])
        place = video.origin + first  # the next one to fill
        last = math.inf if stop is None else video.origin + stop
        frames = itertools.chain([opening], frames)
        if place - opening[0] > SEEK_FROM * rate:
            frames = video.frames_around(place)
        gaps = _Gaps(rate, max_gap, max_gap + path.stat().st_size / LEAST_BYTES, damage, video.origin)
        held, since = None, video.origin  # the frame that is shown, and the tick from which on
        for tick, frame in frames:
            repeats = int(min(tick, last)) - place
            if held is not None and repeats > 0 and tick > opening[0]:
                if gaps.are_too_long(since, tick):
                    repeats = since + 1 - place
                    if repeats > 0:
                        yield held, repeats
                    return
                yield held, repeats
                place += repeats
            if place >= last:
                return
            since = tick if held is not None or tick > opening[0] else since
            held = frame
        until = max(video.finish(), opening[0] + 1)  # a video shorter than half a place of the grid still has a frame
        repeats = int(min(until, last)) - place
        if held is not None and repeats > 0:
            yield held, min(repeats, since + 1 - place) if gaps.are_too_long(since, until) else repeats


class _Gaps:
    """Sees that no picture is repeated for hours, only because a few timestamps say so."""

    def __init__(self, rate: Fraction, max_gap: float, max_total: float, damage: DamageLog, origin: int) -> None:
        self._rate = rate
        self._max_gap = max_gap
        self._max_total = max_total
        self._damage = damage
        self._origin = origin
        self._total = 0.0  # seconds of long gaps

    def are_too_long(self, since: int, until: int) -> bool:
        """True if a picture shown from one tick to another is shown for too long; logs the damage."""
        seconds = float((until - since) / self._rate)
        self._total += seconds if seconds > LONG_GAP_S else 0.0
        if seconds <= self._max_gap and self._total <= self._max_total:
            return False
        length = f"for {seconds:,.0f} s, longer than the {self._max_gap:,.0f} s"
        if seconds <= self._max_gap:
            length = f"for {self._total:,.0f} s in several places, longer than the {self._max_total:,.0f} s"
        reason = f"a picture would stand still {length} that are allowed; --max-gap or {MAX_GAP_VARIABLE} raises that"
        begin, end = (float((tick - self._origin) / self._rate) for tick in (since + 1, until))
        self._damage.begin(begin, end - begin, reason)
        self._damage.end(end)
        return True


def _place(second: float, rate: Fraction) -> int:
    """Find the first place of the grid that is not before a second."""
    return math.ceil(second * rate - SAME_MOMENT)


def _fill_up(chunk: np.ndarray, length: int) -> np.ndarray:
    missing = length - len(chunk)
    return np.pad(chunk, ((0, missing), (0, 0), (0, 0), (0, 0))) if missing else chunk
