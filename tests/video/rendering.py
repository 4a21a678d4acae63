"""Small clips of every kind, rendered with PyAV and read back, so that the tests of video need no other files."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from mmpt.video.reader import read_frames

AUDIO_RATE = 48_000  # samples per second
AUDIO_FRAME = 960  # samples; what the opus encoder takes at once
TICKS = 90_000  # of the encoder's clock, per second
QUICK_VP9 = {"cpu-used": "8", "deadline": "realtime"}
QUIET_HEVC = {"preset": "ultrafast", "x265-params": "log-level=none"}


def shades(values: Iterable[int], width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Pictures of one grey each, so that a picture tells which one it is."""
    return [np.full((height, width, 3), value, np.uint8) for value in values]


def moving(count: int, width: int = 64, height: int = 48) -> list[np.ndarray]:
    """Colourful pictures in which something moves and everything has detail."""
    y, x = np.mgrid[:height, :width]
    pictures = []
    for k in range(count):
        red = 128 + 100 * np.sin((x + 3 * k) / 7)
        green = 128 + 100 * np.cos((y - 2 * k) / 5)
        blue = (x * y + 11 * k) % 256
        pictures.append(np.stack([red, green, blue], axis=-1).astype(np.uint8))
    return pictures


@dataclass(frozen=True)
class Track:
    """One video stream of a clip.

    Attributes:
        pictures: (height, width, 3) of uint8 each.
        fps: frames per second.
        codec: the encoder.
        pix_fmt: the pixel format that is stored.
        times: when each picture is shown, in seconds, instead of evenly.
        options: of the encoder.
        turn: degrees, horizontal flip and vertical flip of the display matrix.
        setup: further attributes of the encoder, such as color_range.
        cover: this is a cover picture, not a video.
    """

    pictures: Sequence[np.ndarray]
    fps: float | Fraction = 25
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    times: Sequence[float | Fraction] | None = None
    options: dict[str, str] = field(default_factory=dict)
    turn: tuple[float, bool, bool] | None = None
    setup: dict[str, Any] = field(default_factory=dict)
    cover: bool = False


def lossless(pictures: Sequence[np.ndarray], fps: float | Fraction = 25, *, mov: bool = False, **more: Any) -> Track:
    """A track whose pixels come back exactly as they went in, for an .mkv file or for a .mov file."""
    codec, pix_fmt = ("png", "rgb24") if mov else ("ffv1", "bgr0")
    return Track(pictures, fps, codec, pix_fmt, **more)


def render(path: Path, *tracks: Track, audio: str | None = None, audio_seconds: float = 1.0, **options: str) -> Path:
    """Write a clip.

    Args:
        path: the file; its suffix chooses the container.
        tracks: the video streams, in order; without pictures a stream has a header only.
        audio: encoder of an audio stream of silence, which becomes the last stream.
        audio_seconds: its length.
        options: of the container.

    Returns:
        The path.
    """
    with av.open(str(path), "w", container_options=options) as container:
        streams = [_add_video(container, track) for track in tracks]
        sound = container.add_stream(audio, rate=AUDIO_RATE) if audio else None
        container.start_encoding()  # writes the header even where nothing follows
        for track, stream in zip(tracks, streams, strict=True):
            for k, picture in enumerate(track.pictures):
                frame = VideoFrame.from_ndarray(picture, format="rgb24")
                seconds = Fraction(k) / Fraction(track.fps) if track.times is None else Fraction(track.times[k])
                frame.time_base = Fraction(1, TICKS)
                frame.pts = round(seconds * TICKS)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        if isinstance(sound, AudioStream):
            _encode_silence(container, sound, audio_seconds)
    return path


def _add_video(container: OutputContainer, track: Track) -> VideoStream:
    stream = container.add_stream(track.codec, rate=Fraction(track.fps).limit_denominator(1001), options=track.options)
    assert isinstance(stream, VideoStream)
    stream.height, stream.width = track.pictures[0].shape[:2] if len(track.pictures) else (48, 64)
    stream.pix_fmt = track.pix_fmt
    if track.times is not None:
        stream.codec_context.time_base = Fraction(1, TICKS)
    for name, value in track.setup.items():
        setattr(stream.codec_context, name, value)
    if track.turn is not None:
        stream.set_display_rotation(track.turn[0], hflip=track.turn[1], vflip=track.turn[2])
    if track.cover:
        stream.disposition = Disposition.attached_pic
    return stream


def _encode_silence(container: OutputContainer, stream: AudioStream, seconds: float) -> None:
    for k in range(round(seconds * AUDIO_RATE / AUDIO_FRAME)):
        frame = AudioFrame.from_ndarray(np.zeros((1, 2 * AUDIO_FRAME), np.int16), format="s16", layout="stereo")
        frame.sample_rate = AUDIO_RATE
        frame.pts = k * AUDIO_FRAME
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def read(
    path: Path, fps: float = 30, size: int = 32, start: float | None = None, end: float | None = None
) -> np.ndarray:
    """All frames of a clip, or of a part of it, in one array."""
    chunks = list(read_frames(path, fps, size, start, end))
    return np.concatenate(chunks) if chunks else np.empty((0, size, size, 3), np.uint8)
