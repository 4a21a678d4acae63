"""What is said in the toy world's videos, and how automatic captions write it down.

A narrator says a step while it happens, or by up to `lag` seconds before or behind it, as real ones do. Captions
repeat themselves, as speech recognition does: they grow word by word, or begin with the last words of the one before.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mmpt.text.captions import Captions
from mmpt.toy.plan import STREAMS, Video
from mmpt.toy.words import spoken
from mmpt.utils.seeding import generator

WORDS = 2.7  # a second
BREATH = 0.2  # seconds between two lines
OVERHANG = 1.0  # seconds that a line may last beyond its step
ROLL = 0.01  # seconds for which a rolling subtitle shows its last line alone

_LINES, _TIMES, _CAPTIONS = STREAMS + 1, STREAMS + 2, STREAMS + 3


@dataclass(frozen=True)
class Line:
    """One line of the narration.

    Attributes:
        start: second at which it begins.
        end: second at which it ends.
        text: what is said.
        step: number of the step that it is about.
    """

    start: float
    end: float
    text: str
    step: int


def narrate(video: Video, seed: int) -> list[Line]:
    """Say what happens in a video while it happens.

    Args:
        video: its plan.
        seed: of the world.

    Returns:
        The lines in order; each begins while its step lasts.
    """
    rng = generator(seed, _LINES, _index(video))
    lines: list[Line] = []
    for number, step in enumerate(video.steps):
        now = step.start
        for count, text in enumerate(spoken(step.action, step.thing, rng)):
            end = now + len(text.split()) / WORDS
            if count == 0 or end <= step.end + OVERHANG:
                lines.append(Line(round(now, 3), round(end, 3), text, number))
                now = end + BREATH
    return lines


def out_of_step(video: Video, lines: Sequence[Line], seed: int, lag: float) -> list[Line]:
    """Move the narration away from what it is about.

    Args:
        video: its plan.
        lines: its narration, in step.
        seed: of the world.
        lag: by how many seconds at most a step's lines come early or late.

    Returns:
        The same lines in the same order, one after another, within the video's length.
    """
    moves = generator(seed, _TIMES, _index(video)).uniform(-1, 1, len(video.steps)) * lag
    latest = [float(video.seconds)] * len(lines)  # the second at which each must have ended
    for place in range(len(lines) - 2, -1, -1):
        latest[place] = latest[place + 1] - (lines[place + 1].end - lines[place + 1].start)
    moved: list[Line] = []
    free = 0.0
    for line, end in zip(lines, latest, strict=True):
        duration = line.end - line.start
        start = max(free, min(line.start + float(moves[line.step]), end - duration))
        free = round(start + duration, 3)
        moved.append(Line(round(start, 3), free, line.text, line.step))
    return moved


def recognised(video: Video, lines: Sequence[Line], seed: int) -> Captions:
    """Write lines down as speech recognition does.

    Args:
        video: its plan.
        lines: what is said, and when.
        seed: of the world.

    Returns:
        Captions of which most say again what the one before says.
    """
    rng = generator(seed, _CAPTIONS, _index(video))
    rows: list[tuple[float, float, str]] = []
    before: list[str] = []
    for line in lines:
        words = line.text.split()
        if before and rng.random() < 0.3:  # begins with what was said last
            words = [*before[-2:], *words]
        grown = len(words)
        if len(words) > 3 and rng.random() < 0.7:
            grown = int(rng.integers(2, len(words)))
            middle = round(line.start + (line.end - line.start) * grown / len(words), 3)
            rows.append((line.start, middle, " ".join(words[:grown])))
        rows.append((line.start, line.end, " ".join(words)))
        before = line.text.split()
    return Captions([start for start, _, _ in rows], [end for _, end, _ in rows], [text for _, _, text in rows])


def rolling(lines: Sequence[Line]) -> str:
    """Write lines as rolling subtitles: each stays below the picture while the next appears.

    Args:
        lines: what is said, and when.

    Returns:
        The text of a .vtt file.
    """
    cues = ["WEBVTT\nKind: captions\nLanguage: en"]
    above = ""
    for line in lines:
        cues.append(f"{_clock(line.start)} --> {_clock(line.end)}\n{above}{line.text}")
        cues.append(f"{_clock(line.end)} --> {_clock(line.end + ROLL)}\n{line.text}")
        above = f"{line.text}\n"
    return "\n\n".join(cues) + "\n"


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}.{rest % 1000:03}"


def _index(video: Video) -> int:
    """A number of its own for each video, of both kinds."""
    return 2 * video.number + video.held_out
