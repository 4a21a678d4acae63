"""One frame of a video as a small picture, without decoding what lies before its key frame."""

import math
from fractions import Fraction
from pathlib import Path

from mmpt.video.damage import DamageLog
from mmpt.video.decoder import VideoDecoder, draw
from mmpt.video.errors import check_file, video_errors
from mmpt.video.writer import encode_jpeg

RATE = Fraction(1000)  # places a second on which frames are looked for
NARROWEST, WIDEST = 16, 3840  # pixels
TALLEST = 4  # times as high as wide; of a picture that would be higher the width is less


def thumbnail(path: str | Path, second: float, width: int = 320) -> bytes:
    """Draw the frame that is shown at a moment.

    Args:
        path: the video file.
        second: from the video's beginning, as `mmpt.video.reader.read_frames` counts. After the end, or where nothing
            can be decoded, the last readable frame before it is drawn.
        width: of the picture, in pixels; the height follows from the video as it is shown.

    Returns:
        A JPEG file.

    Raises:
        FileNotFoundError: there is no such file.
        VideoError: it is not a video, or no frame of it can be decoded.
        ValueError: `second` or `width` is out of range.
    """
    path = Path(path)
    if not (math.isfinite(second) and second >= 0):
        raise ValueError(f"second is {second}; give seconds from the video's beginning, 0 or more")
    if not NARROWEST <= width <= WIDEST:
        raise ValueError(f"width is {width}; a thumbnail takes from {NARROWEST} to {WIDEST} pixels")
    check_file(path)
    with video_errors(path), VideoDecoder(path, RATE, DamageLog(path, second)) as video:
        (begin, opening), _ = video.begin()
        place = video.origin + math.floor(second * RATE)
        frame = opening
        if place > begin:
            for tick, later in video.frames_around(place):
                if tick > place:
                    break
                frame = later
        # Where the resolution changes part-way, all pictures of a video keep the shape of its first.
        return encode_jpeg(draw(frame, *_fitting(*video.upright_size(opening), width)))


def _fitting(wide: int, high: int, width: int) -> tuple[int, int]:
    """The size of a picture of a shape, `width` wide, or less where it would be taller than it may be."""
    height = max(1, round(high * width / wide))
    if height <= TALLEST * width:
        return width, height
    return max(1, round(TALLEST * width * wide / high)), TALLEST * width
