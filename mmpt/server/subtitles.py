"""Captions for a player, as WebVTT in which no caption can be anything but text."""

from collections.abc import Iterable

from mmpt.search.records import Caption


def webvtt(captions: Iterable[Caption]) -> str:
    """Write captions.

    Args:
        captions: in any order.

    Returns:
        A WebVTT file. Markup in a caption is shown as it was written.
    """
    cues = ["WEBVTT\n"]
    for caption in sorted(captions, key=lambda caption: caption.start):
        text = " ".join(caption.text.split())  # one line: an empty one would end the cue
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        if text and caption.end > caption.start:
            cues.append(f"{_time(caption.start)} --> {_time(caption.end)}\n{text}\n")
    return "\n".join(cues)


def _time(seconds: float) -> str:
    thousandths = max(0, round(seconds * 1000))
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"
