"""The drawings of a report, as SVG and HTML that take their colours from the page."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np

from mmpt.cli.timecode import timecode

WIDTH, HEIGHT = 720, 260  # of the curve, in units of the drawing
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 12, 30
POINTS = 80  # of a drawn curve; neighbours are averaged
TICKS = 4


@dataclass(frozen=True, eq=False)
class Strip:
    """How well each second of a video fits a sentence.

    Attributes:
        sentence: what was asked.
        scores: float (seconds,).
        start: where it truly happens, in seconds.
        end: where that ends.
    """

    sentence: str
    scores: np.ndarray
    start: float
    end: float


def loss_curve(training: tuple[np.ndarray, np.ndarray], validation: tuple[np.ndarray, np.ndarray]) -> str:
    """Draw the losses of a training.

    Args:
        training: updates and losses, float (N,) each; what is not finite is left out.
        validation: the same on the validation videos; may be empty.

    Returns:
        SVG; empty where nothing is left.
    """
    training, validation = _finite(*training), _finite(*validation)
    if not len(training[0]):
        return ""
    updates, losses = _averaged(*training)
    every = np.concatenate([losses, validation[1]])
    top, last = float(every.max()) * 1.05, float(max(training[0].max(), *validation[0], 1))

    def place(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
        across = LEFT + x / last * (WIDTH - LEFT - RIGHT)
        down = HEIGHT - BOTTOM - y / top * (HEIGHT - TOP - BOTTOM)
        return list(zip(across.tolist(), down.tolist(), strict=True))

    marks = []
    for value in ticks(top):
        ((x, y),) = place(np.array([0.0]), np.array([value]))
        marks.append(f'<path class="grid" d="M{x:.1f} {y:.1f}H{WIDTH - RIGHT}"/>')
        marks.append(f'<text x="{x - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
    for value in ticks(last)[1:]:
        ((x, _),) = place(np.array([value]), np.array([0.0]))
        marks.append(f'<text x="{x:.1f}" y="{HEIGHT - 10}" text-anchor="end">{value:,.0f}</text>')
    lines = [_line("training", place(updates, losses))]
    if len(validation[0]):
        points = place(*validation)
        lines.append(_line("validation", points))
        lines += [f'<circle class="validation" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in points]
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="loss by update">'
        f"{''.join(marks)}{''.join(lines)}</svg>"
    )


def ticks(top: float) -> np.ndarray:
    """Choose round numbers to mark an axis with.

    Args:
        top: the axis's end, above 0; its start is 0.

    Returns:
        About `TICKS` numbers of equal distance, 1, 2 or 5 times a power of ten, from 0 on.
    """
    power = 10.0 ** np.floor(np.log10(top / TICKS))
    step = next(times * power for times in (1, 2, 5, 10) if times * power * (TICKS + 1) > top)
    return np.arange(0, top * (1 + 1e-9), step)


def bar(value: float, low: float, high: float, marks: Sequence[tuple[str, float]]) -> str:
    """Draw a measure from 0 to 1 as a bar, with its interval, and what one gets without looking.

    Args:
        value: the measure.
        low: where its interval begins.
        high: where it ends.
        marks: name and value of each baseline.

    Returns:
        HTML.
    """
    lines = "".join(
        f'<b class="mark" style="left:{100 * min(at, 1):.1f}%" title="{html.escape(name)} {at:.1%}"></b>'
        for name, at in marks
    )
    return (
        f'<span class="bar"><b class="fill" style="width:{100 * value:.1f}%"></b>'
        f'<b class="interval" style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></b>{lines}</span>'
    )


def strips(rows: Sequence[Strip]) -> str:
    """Draw the seconds of a video for each of several sentences, brighter where a sentence fits better.

    Args:
        rows: of one video.

    Returns:
        HTML. All rows share one scale: from their middle score to the best of all.
    """
    every = np.concatenate([row.scores for row in rows])
    middle, best = float(np.median(every)), float(every.max())
    return "".join(_strip(row, middle, max(best - middle, 1e-9)) for row in rows)


def _strip(row: Strip, middle: float, span: float) -> str:
    seconds = len(row.scores)
    cells = []
    for second, score in enumerate(row.scores):
        light = min(max((float(score) - middle) / span, 0.0), 1.0)
        told = f"{timecode(second)}, score {score:.2f}"
        cells.append(
            f'<rect x="{second}" width="1.02" height="1" fill-opacity="{light:.3f}" data-second="{second}">'
            f"<title>{told}</title></rect>"
        )
    left, width = 100 * row.start / seconds, 100 * (row.end - row.start) / seconds
    peak = int(np.argmax(row.scores))
    hit = peak < row.end and row.start < peak + 1  # that second shows some of it
    return (
        f'<figure class="strip {"hit" if hit else "miss"}"><figcaption>{html.escape(row.sentence)}'
        f"<small>best at {timecode(peak)}, truly {timecode(row.start)}\N{EN DASH}{timecode(row.end)}</small>"
        f'</figcaption><div class="cells"><svg viewBox="0 0 {seconds} 1" preserveAspectRatio="none">'
        f'{"".join(cells)}</svg><b class="truth" style="left:{left:.2f}%;width:{width:.2f}%"></b></div></figure>'
    )


def picture(frame: np.ndarray) -> str:
    """Write a picture into a data: URI.

    Args:
        frame: uint8 (height, width, 3).

    Returns:
        The URI.
    """
    from matplotlib.image import imsave

    stream = BytesIO()
    imsave(stream, frame, format="jpg")
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"


def film(content: bytes) -> str:
    """Write a video into a data: URI.

    Args:
        content: of the .mp4 file.

    Returns:
        The URI.
    """
    return f"data:video/mp4;base64,{base64.b64encode(content).decode()}"


def _line(name: str, points: Sequence[tuple[float, float]]) -> str:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path class="line {name}" d="M{path}"/>'


def _finite(updates: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    there = np.isfinite(losses)
    return updates[there], losses[there]


def _averaged(updates: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    parts = min(POINTS, len(updates))
    return tuple(np.array([part.mean() for part in np.array_split(x, parts)]) for x in (updates, losses))  # pyright: ignore
