"""Seconds as people write them."""

MINUTE, HOUR = 60, 3600  # seconds


def timecode(seconds: float) -> str:
    """Write a time.

    Args:
        seconds: from the video's start.

    Returns:
        ``m:ss``, or ``h:mm:ss`` from an hour on.
    """
    whole = int(seconds)
    if whole < HOUR:
        return f"{whole // MINUTE}:{whole % MINUTE:02}"
    return f"{whole // HOUR}:{whole % HOUR // MINUTE:02}:{whole % MINUTE:02}"


def parse_time(text: str) -> float:
    """Read a time as people write it.

    Args:
        text: ``90``, ``7.5``, ``1:30`` or ``1:02:03``.

    Returns:
        Seconds.

    Raises:
        ValueError: it is no time.
    """
    parts = text.strip().split(":")
    try:
        numbers = [*map(int, parts[:-1]), float(parts[-1])]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3 or any(not 0 <= number < float("inf") for number in numbers):
        raise ValueError(f"{text!r} is no time; write seconds, m:ss or h:mm:ss, as in 90, 7.5 or 1:30")
    return sum(number * unit for number, unit in zip(reversed(numbers), (1, MINUTE, HOUR), strict=False))
