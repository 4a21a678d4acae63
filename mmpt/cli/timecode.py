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
