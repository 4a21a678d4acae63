"""The report of `mmpt demo`: one HTML file that asks no other for anything."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmpt.cli.report_charts import Strip, bar, film, loss_curve, picture, strips
from mmpt.cli.report_style import SCRIPT, STYLE
from mmpt.cli.timecode import timecode
from mmpt.utils.files import atomic_path


@dataclass(frozen=True)
class Measured:
    """A measure from 0 to 1, and what it is to be compared with.

    Attributes:
        what: the measure, in words.
        value: what the model gets.
        low: where its 95 % interval begins; None where there is none.
        high: where it ends.
        baselines: name and value of what one gets without looking.
        goal: what it is to reach; None for no goal.
        above: whether the goal is to be surpassed, and reaching it is not enough.
    """

    what: str
    value: float
    low: float | None
    high: float | None
    baselines: tuple[tuple[str, float], ...]
    goal: float | None = None
    above: bool = False

    @property
    def reached(self) -> bool:
        """Whether the value is as good as the goal asks for; true where there is none."""
        return self.goal is None or self.value > self.goal or (self.value == self.goal and not self.above)

    @property
    def wanted(self) -> str:
        """The goal as people read it; empty where there is none."""
        return "" if self.goal is None else f"{'> ' if self.above else ''}{percent(self.goal)}"


@dataclass(frozen=True, eq=False)
class Watched:
    """A video, scored second by second.

    Attributes:
        name: of the video.
        content: of its .mp4 file.
        thumbnails: uint8 (height, width, 3) frames of equal parts of the video, each with the second that it shows.
        strips: one for each step.
    """

    name: str
    content: bytes
    thumbnails: Sequence[tuple[float, np.ndarray]]
    strips: Sequence[Strip]


@dataclass(frozen=True, eq=False)
class Hit:
    """A moment that a query found.

    Attributes:
        video: its video.
        start: in seconds.
        end: in seconds.
        content: of an .mp4 file with that moment.
        still: uint8 (height, width, 3), a frame of it.
        right: whether it is the moment that the query tells of.
        facts: what the query names, and whether the moment shows it.
    """

    video: str
    start: float
    end: float
    content: bytes
    still: np.ndarray
    right: bool
    facts: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Query:
    """A sentence, and the moments that fit it best.

    Attributes:
        sentence: what was asked.
        hits: the best first.
    """

    sentence: str
    hits: tuple[Hit, ...]


@dataclass(frozen=True, eq=False)
class Report:
    """All that a report says.

    Attributes:
        title: its first line.
        about: paragraphs below it.
        tiles: a number, and what it is, for those who read no further.
        training: updates and losses.
        validation: updates and losses on the validation videos.
        measures: of all tasks.
        readers: who is asked for comparison, with R@1 and R@5; the model first.
        watched: a video.
        queries: with their moments.
        commands: what makes the same again.
    """

    title: str
    about: tuple[str, ...]
    tiles: tuple[tuple[str, str], ...]
    training: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    measures: tuple[Measured, ...]
    readers: tuple[tuple[str, float, float], ...]
    watched: Watched
    queries: tuple[Query, ...]
    commands: tuple[str, ...]


def write_report(target: Path, report: Report) -> None:
    """Write a report.

    Args:
        target: the .html file; it is whole or absent.
        report: what it says.
    """
    with atomic_path(target) as temporary:
        temporary.write_text(page(report), encoding="utf-8")


def page(report: Report) -> str:
    """Write a report as a page.

    Args:
        report: what it says.

    Returns:
        HTML that holds pictures, videos, style and script itself.
    """
    tiles = "".join(
        f'<div class="tile"><b>{html.escape(number)}</b><small>{html.escape(what)}</small></div>'
        for number, what in report.tiles
    )
    parts = [
        f"<h1>{html.escape(report.title)}</h1>",
        *(f"<p>{html.escape(text)}</p>" for text in report.about),
        f'<div class="tiles">{tiles}</div>',
        "<h2>Learning</h2><p>The loss of each update, and on videos that are not learnt from.</p>",
        f'<div class="card">{loss_curve(report.training, report.validation)}<small>'
        f"{_key('accent', 'training')}{_key('warm', 'validation')}</small></div>",
        _measures(report.measures),
        _readers(report.readers),
        _watched(report.watched),
        _queries(report.queries),
        "<h2>The same again</h2><p>Every step is a command of its own.</p>",
        f"<pre><code>{html.escape(chr(10).join(report.commands))}</code></pre>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f'<title>{html.escape(report.title)}</title><link rel="icon" href="data:,"><style>{STYLE}</style></head>'
        f"<body><main>{''.join(parts)}</main><script>{SCRIPT}</script></body></html>\n"
    )


def percent(value: float) -> str:
    """Write a part of 1 as people read it.

    Args:
        value: from 0 to 1.

    Returns:
        For example ``"34 %"``, or ``"2.5 %"`` below ten.
    """
    return f"{100 * value:.1f} %" if value < 0.0995 else f"{100 * value:.0f} %"


def _key(colour: str, what: str) -> str:
    return f'<span class="key" style="background:var(--{colour})"></span>{html.escape(what)}'


def _measures(measures: Sequence[Measured]) -> str:
    rows = []
    for told in measures:
        low, high = (told.value if edge is None else edge for edge in (told.low, told.high))
        against = ", ".join(f"{html.escape(name)} {percent(value)}" for name, value in told.baselines)
        rows.append(
            f'<tr><td>{html.escape(told.what)}<br><small>{against}</small></td><td class="n">{percent(told.value)}</td>'
            f'<td>{bar(told.value, low, high, told.baselines)}</td><td class="n">{_goal(told)}</td></tr>'
        )
    return (
        "<h2>What it learnt</h2><p>Zero-shot, on videos whose combinations of action, shape and colour never occurred "
        "in training: whoever only remembers finds nothing.</p>"
        '<div class="card scroll"><table><tr><th>measure</th><th class="n">value</th><th>0 to 100 %</th>'
        f'<th class="n">goal</th></tr>{"".join(rows)}</table><small>{_key("accent", "value")}'
        f"{_key('ink', '95 % interval')}{_key('warm', 'without looking at the video')}</small></div>"
    )


def _goal(told: Measured) -> str:
    """Write what a measure was to reach, and whether it did."""
    return told.wanted and f"{html.escape(told.wanted)} {_mark(told.reached)}"


def _mark(good: bool, what: str = "") -> str:
    return f'<span class="{"yes" if good else "no"}">{"&#10003;" if good else "&#10007;"} {html.escape(what)}</span>'


def _readers(readers: Sequence[tuple[str, float, float]]) -> str:
    rows = "".join(
        f'<tr{" class=own" if number == 0 else ""}><td>{html.escape(name)}</td><td class="n">{percent(first)}</td>'
        f'<td class="n">{percent(fifth)}</td><td>{bar(fifth, fifth, fifth, ())}</td></tr>'
        for number, (name, first, fifth) in enumerate(readers)
    )
    return (
        "<h2>Against those who see a part</h2><p>What a perfect reader would get who sees only some of what a sentence "
        "names, and guesses among the clips that fit.</p>"
        '<div class="card scroll"><table><tr><th>who</th><th class="n">R@1</th><th class="n">R@5</th>'
        f"<th>R@5, 0 to 100 %</th></tr>{rows}</table></div>"
    )


def _watched(watched: Watched) -> str:
    thumbs = "".join(
        f'<img src="{picture(frame)}" alt="{timecode(second)}" title="{timecode(second)}" data-second="{second:.1f}">'
        for second, frame in watched.thumbnails
    )
    still, name = picture(watched.thumbnails[len(watched.thumbnails) // 2][1]), html.escape(watched.name)
    return (
        "<h2>A video, second by second</h2><p>The brighter a second, the better it fits the sentence; the frame is "
        "where it truly happens. Click a second to see it.</p>"
        f'<div class="card watch"><div><video src="{film(watched.content)}" poster="{still}" '
        f'aria-label="{name}" controls muted playsinline loop></video>'
        f'<small>{name}</small></div><div><div class="thumbs">{thumbs}</div>'
        f"{strips(watched.strips)}</div></div>"
    )


def _queries(queries: Sequence[Query]) -> str:
    cards = "".join(
        f'<div class="card query"><p>{html.escape(query.sentence)}</p><div class="hits">'
        f"{''.join(map(_hit, query.hits))}</div></div>"
        for query in queries
    )
    return (
        "<h2>Ask, and see</h2><p>The three best moments of all held-out videos for sentences taken at equal distances "
        "from the list, not picked. A green frame is the very moment that the sentence tells of.</p>" + cards
    )


def _hit(hit: Hit) -> str:
    facts = " ".join(_mark(there, what) for what, there in hit.facts)
    where = f"{html.escape(hit.video)}, {timecode(hit.start)}\N{EN DASH}{timecode(hit.end)}"
    return (
        f'<div class="hit-card{" right" if hit.right else ""}">'
        f'<video src="{film(hit.content)}" poster="{picture(hit.still)}" aria-label="{where}" controls muted loop '
        f'playsinline preload="none"></video><small>{where}<br>{facts}</small></div>'
    )
