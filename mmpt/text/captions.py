"""The captions of a video, as the original keeps them: three lists of one length, `start`, `end` and `text`.

Its files hold one such mapping a video, or the JSON text of one: `raw_caption.json` and `raw_caption*.pkl`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

KEYS = ("start", "end", "text")
LATEST = 1e6  # seconds, eleven days: a time behind that is in another unit, or a mistake
END_TOLERANCE_S = 0.001  # by which a caption may end before it starts, as in the original


@dataclass(frozen=True)
class Captions:
    """What is said in a video, and when.

    Attributes:
        start: seconds at which each caption begins.
        end: seconds at which it ends.
        text: what it says; None where a file holds no text, for example NaN.
    """

    start: list[float]
    end: list[float]
    text: list[str | None]

    def __len__(self) -> int:
        return len(self.text)

    def to_json(self) -> str:
        """Write them as the original's files hold them.

        Returns:
            JSON text in ASCII.
        """
        return json.dumps({"start": self.start, "end": self.end, "text": self.text})


def parse_captions(value: Any, *, backwards: bool = False) -> Captions:
    """Read the captions of one video out of a file's entry, and check them.

    Times may overlap and need not ascend, as they do not in automatic captions.

    Args:
        value: a mapping with `start`, `end` and `text`, or the JSON text of one; other keys are left aside.
        backwards: accept captions that end before they start, as cleaning leaves some where captions are out of order.

    Returns:
        The captions; texts that are no strings are None.

    Raises:
        ValueError: a list is missing, the lists differ in length, a time is not a number from 0 to `LATEST`, or a
            caption with text ends more than `END_TOLERANCE_S` before it starts. The message has its number, from 1.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"its captions are no JSON text ({error})") from error
    if not isinstance(value, Mapping):
        raise ValueError(f"its captions are of type {type(value).__name__}; they take the lists start, end and text")
    lists = [value.get(key) for key in KEYS]
    for key, found in zip(KEYS, lists, strict=True):
        if not isinstance(found, list | tuple):
            there = ", ".join(map(str, value)) or "nothing"
            raise ValueError(f"its captions have no list {key!r}; they hold {there}")
    start, end, text = (list(found) for found in lists if found is not None)
    if not len(start) == len(end) == len(text):
        raise ValueError(
            f"its lists differ in length: {len(start)} start, {len(end)} end, {len(text)} text; each caption takes one "
            "of each"
        )
    if set(map(type, text)) != {str}:
        text = [entry if isinstance(entry, str) else None for entry in text]
    captions = Captions(start, end, text)
    check_times(captions, backwards=backwards)
    return captions


def check_times(captions: Captions, *, backwards: bool = False) -> None:
    """Refuse times that are none.

    Args:
        captions: to look at.
        backwards: accept captions that end before they start.

    Raises:
        ValueError: a time is not a number from 0 to `LATEST`, or a caption with text ends more than `END_TOLERANCE_S`
            before it starts.
    """
    starts, ends = _numbers(captions.start), _numbers(captions.end)
    if starts is not None and ends is not None and ((starts >= 0) & (starts <= ends) & (ends <= LATEST)).all():
        return  # nearly always, and at a tenth of the time
    for number, (start, end, text) in enumerate(zip(captions.start, captions.end, captions.text, strict=True), 1):
        for time in (start, end):
            if isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time < math.inf:
                raise ValueError(f"caption {number} has the time {time!r}; a time takes seconds from 0 on")
            if time > LATEST:
                raise ValueError(
                    f"caption {number} has the time {repr(time)[:40]}, more than {LATEST:,.0f} seconds; if the file's "
                    "times are milliseconds, divide them by 1000"
                )
        if start > end + END_TOLERANCE_S and not backwards and text is not None and text.strip():
            raise ValueError(f"caption {number} ends before it starts: {start} to {end}, {text.strip()[:60]!r}")


def _numbers(times: list[Any]) -> np.ndarray | None:
    """Put times into an array; None where not all are numbers, and true and false are none."""
    if bool in set(map(type, times)):
        return None
    try:
        array = np.array(times)
    except (ValueError, OverflowError):  # lists of different length; an integer of hundreds of digits
        return None
    return array if array.ndim == 1 and array.dtype.kind in "fi" else None
