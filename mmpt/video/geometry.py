"""Where the pixels of a stored picture go: upright, scaled, cropped."""

import math
from collections.abc import Sequence

SNAP = 1.0  # degrees; a rotation this close to a quarter turn is one, as in ffmpeg
MIXED = 8  # stored pixels to either side of a scaled one that may shine through
TRANSPOSED = {  # (x grows with the stored y, y grows with the stored x) -> how x and y change places
    (True, True): "cclock_flip",
    (False, True): "clock",
    (True, False): "cclock",
    (False, False): "clock_flip",
}


def scaled_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Scale the shorter side to a given length.

    Args:
        width: of the upright picture, in pixels.
        height: of the upright picture, in pixels.
        size: what the shorter side becomes.

    Returns:
        Width and height; the longer side is cut to a whole number, as in the extraction of the published features.
    """
    if height >= width:
        return size, height * size // width
    return width * size // height, size


def crop_start(width: int, height: int, size: int) -> tuple[int, int]:
    """Centre a square.

    Args:
        width: of the scaled picture, in pixels.
        height: of the scaled picture, in pixels.
        size: side of the square.

    Returns:
        The x and y of its upper left corner.
    """
    return (width - size) // 2, (height - size) // 2


def middle(stored: int, scaled: int, size: int) -> tuple[int, int]:
    """Find how much of a long side is needed for what is cut out of it once it is scaled.

    Scaled whole, a line of a few pixels would become thousands of times as large as the square that is kept.

    Args:
        stored: the length of the side, in pixels.
        scaled: what it would be scaled to.
        size: what is cut out of that, in its middle.

    Returns:
        How many stored pixels to keep, some more than are seen because scaling mixes neighbours; and what they are
        scaled to.
    """
    kept = min(stored, -(-size * stored // scaled) + 2 * MIXED)
    return kept, max(size, round(kept * scaled / stored))


def upright_filters(matrix: Sequence[int]) -> list[tuple[str, str]]:
    """Translate a display matrix into filters.

    Args:
        matrix: nine integers as containers store them, row by row; a stored point (x, y) is shown at
            (x * matrix[0] + y * matrix[3], x * matrix[1] + y * matrix[4]) up to a scale and a shift.

    Returns:
        Names and arguments of the libav filters that make the picture upright, in order; none when it already is.
    """
    x_from_x, y_from_x, x_from_y, y_from_y = matrix[0], matrix[1], matrix[3], matrix[4]
    x_scale, y_scale = math.hypot(x_from_x, x_from_y), math.hypot(y_from_x, y_from_y)
    if not (x_scale and y_scale):
        return []
    turned = math.degrees(math.atan2(y_from_x / y_scale, x_from_x / x_scale)) % 360  # clockwise
    quarter = round(turned / 90)
    if abs(turned - 90 * quarter) >= SNAP:
        return [("rotate", f"{turned:f}*PI/180")]
    if quarter % 2:  # x and y change places: one of the four ways to do it
        return [("transpose", TRANSPOSED[x_from_y > 0, y_from_x > 0])]
    flips = [("hflip", x_from_x < 0), ("vflip", y_from_y < 0)]
    return [(flip, "") for flip, wanted in flips if wanted]
