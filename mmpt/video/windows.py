"""Sliding windows over the seconds of a video: cut once, merged back once."""

from collections.abc import Sequence

import numpy as np


def cut(length: int, size: int, stride: int | None = None) -> list[tuple[int, int]]:
    """Cut a video into windows that a model can take.

    The windows begin at 0, stride, 2 * stride and so on, and end with the first that reaches the video's end: the last
    one is shorter than the others where it must be, never shifted back, so that the others do not depend on the length.

    Args:
        length: of the video, in seconds; 0 gives no window.
        size: of a window, in seconds.
        stride: seconds between the beginnings of two windows, at most `size`; by default `size`, so that windows follow
            one another without overlap.

    Returns:
        (first second, second after the last) of each window, in order; together they cover every second.

    Raises:
        ValueError: a number is out of range.
    """
    stride = size if stride is None else stride
    if length < 0:
        raise ValueError(f"length is {length}; a video has 0 seconds or more")
    if size < 1:
        raise ValueError(f"size is {size}; a window needs at least 1 second")
    if not 1 <= stride <= size:
        raise ValueError(
            f"stride is {stride}; it must be from 1 to the window's size, {size}, or seconds would be left out"
        )
    count = 0 if length == 0 else 1 + max(0, -(-(length - size) // stride))  # the last begins where it reaches the end
    return [(start, min(start + size, length)) for start in range(0, count * stride, stride)]


def merge(values: np.ndarray | Sequence[np.ndarray], windows: Sequence[tuple[int, int]], length: int) -> np.ndarray:
    """Put per-second values of windows together again.

    Args:
        values: for each window an array (seconds of the window, ...) of numbers, or one array (windows, size, ...) in
            which a shorter window is filled up; what lies beyond a window's end is ignored.
        windows: (first second, second after the last) of each, as `cut` gives them.
        length: of the video, in seconds.

    Returns:
        (length, ...) in the values' floating type (float64 for whole numbers): for each second, the mean over the
        windows that cover it.

    Raises:
        ValueError: values and windows do not belong together, or a second is not covered.
    """
    if len(values) != len(windows):
        raise ValueError(
            f"got values for {len(values)} windows and {len(windows)} windows; give one set for each window"
        )
    rows = [np.asarray(row) for row in values]
    shape = rows[0].shape[1:] if rows else ()
    total = np.zeros((length, *shape), np.float64)
    covering = np.zeros(length, np.int64)
    for row, (start, end) in zip(rows, windows, strict=True):
        if not 0 <= start < end <= length:
            raise ValueError(f"window ({start}, {end}) does not lie within the video's {length} seconds")
        if len(row) < end - start or row.shape[1:] != shape:
            raise ValueError(
                f"window ({start}, {end}) has values of shape {row.shape}; it needs {(end - start, *shape)} or more"
            )
        total[start:end] += row[: end - start]
        covering[start:end] += 1
    if not covering.all():
        raise ValueError(f"no window covers second {int(covering.argmin())}; cut the video with windows.cut")
    kind = rows[0].dtype if rows and np.issubdtype(rows[0].dtype, np.floating) else np.dtype(np.float64)
    return (total / covering.reshape(-1, *(1 for _ in shape))).astype(kind)
