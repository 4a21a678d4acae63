"""What a search found, as tables, edit lists, chapters and clips.

Words come from people, and captions from anywhere: what a format would take for more than words is escaped.
"""

import csv
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TextIO

from mmpt.search.query import Results
from mmpt.search.records import Moment
from mmpt.text.chapters import Chapter, webvtt
from mmpt.utils.files import atomic_path
from mmpt.video.cutting import ENCODERS, cut_clip
from mmpt.video.reader import probe

COLUMNS = ("query", "rank", "video", "start", "end", "best", "score", "why", "seen", "said", "id", "match")
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # but ends of lines and tabs
FORMULA = ("=", "+", "-", "@", "\t")  # what makes a spreadsheet compute a cell instead of showing it
EXAMPLE = "example"  # what a query without words is called
MOST_EVENTS = 999  # of an edit list, whose events have three digits
RECORD_START = 3600  # seconds; an edited tape begins at one o'clock
USUAL_RATE = Fraction(25)  # frames per second, where no video says
NAME_BYTES = 60  # of a query, and of a video, in a clip's name


@dataclass(frozen=True)
class Clip:
    """What became of a moment that was to be cut out.

    Attributes:
        moment: the moment.
        path: of the clip.
        start: second of the video at which the clip really begins.
        end: second of the video at which it really ends.
        error: why there is no clip; empty where there is one.
    """

    moment: Moment
    path: Path
    start: float
    end: float
    error: str = ""


def write_json(results: Sequence[Results], stream: TextIO) -> None:
    """Write everything that is known of the moments, as one JSON list with an object for each query.

    `match` says whether anything matches, and of each moment whether it does; `below` is what comes closest where
    nothing reaches the threshold.

    Args:
        results: of one search or several.
        stream: where to.
    """
    json.dump([_as_object(result) for result in results], stream, indent=1, allow_nan=False)
    stream.write("\n")


def write_csv(results: Sequence[Results], stream: TextIO) -> None:
    """Write a table with a row for each moment, and a query's name in each row; none for a query without a moment.

    Args:
        results: of one search or several.
        stream: where to.
    """
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for result, rank, moment in _ranked(results):
        row = {"query": _name(result), "rank": rank, **_as_row(result, moment)}
        writer.writerow([_cell(row[column]) for column in COLUMNS])


def write_edl(results: Sequence[Results], target: str | os.PathLike[str], *, fps: float | None = None) -> list[Path]:
    """Write an edit decision list (CMX 3600) that puts the moments one after the other.

    Args:
        results: of one search or several.
        target: the file to write.
        fps: frames per second that time codes count in; by default what most of the videos have.

    Returns:
        The file.

    Raises:
        ValueError: there is no moment, or there are more than such a list holds.
    """
    moments = [(result, moment) for result, _, moment in _ranked(results)]
    if not 1 <= len(moments) <= MOST_EVENTS:
        raise ValueError(
            f"an edit list holds from 1 to {MOST_EVENTS} moments, and {len(moments)} were found; ask for "
            f"{'fewer' if moments else 'more, for example with --threshold none'}"
        )
    rate = Fraction(fps).limit_denominator(1001) if fps else _usual_rate([moment for _, moment in moments])
    lines = [f"TITLE: {_line(_name(results[0]))}", "FCM: NON-DROP FRAME", f"* FRAME RATE: {float(rate):g}"]
    recorded = RECORD_START * round(rate)  # time codes count frames, so many to a second
    for number, (result, moment) in enumerate(moments, 1):
        begin, end = round(moment.start * rate), round(moment.end * rate)
        length = max(1, end - begin)
        spans = (begin, begin + length, recorded, recorded + length)
        recorded += length
        codes = " ".join(_frames_code(frame, round(rate)) for frame in spans)
        lines += [
            "",
            f"{number:03}  AX       V     C        {codes}",
            f"* FROM CLIP NAME: {_line(Path(moment.video.path).name)}",
            f"* SOURCE FILE: {_line(moment.video.path)}",
            f"* COMMENT: {_line(_name(result))}, score {moment.score:.2f}",
        ]
    _write(Path(target), "\n".join(lines) + "\n")
    return [Path(target)]


def write_webvtt(results: Sequence[Results], target: str | os.PathLike[str]) -> list[Path]:
    """Write the moments as chapters, as players show them.

    Args:
        results: of one search or several.
        target: the file to write. Chapters belong to one video: where there are moments of several, each gets a file of
            its own, named after the target and the video.

    Returns:
        The files.

    Raises:
        ValueError: there is no moment.
    """
    target = Path(target)
    by_video: dict[str, list[Chapter]] = {}
    paths: dict[str, Path] = {}
    for result, _, moment in _ranked(results):
        by_video.setdefault(moment.video.id, []).append(Chapter(moment.start, moment.end, _name(result)))
        paths[moment.video.id] = Path(moment.video.path)
    if not by_video:
        raise ValueError(f"no moment was found, so {target} would have no chapter; try --threshold none")
    written = []
    for video, chapters in by_video.items():
        place = target
        if len(by_video) > 1:
            place = target.with_name(f"{target.stem}.{safe_name(paths[video].stem)}.{video}{target.suffix or '.vtt'}")
        _write(place, webvtt(_in_turn(chapters)))
        written.append(place)
    return written


def export_clips(
    results: Sequence[Results],
    folder: str | os.PathLike[str],
    *,
    on_clip: Callable[[Clip], None] | None = None,
) -> list[Clip]:
    """Cut the moments out of their videos, each as a file whose name says what it is.

    A file of that name is replaced. A video that cannot be cut is reported, and passed over.

    Args:
        results: of one search or several.
        folder: where the clips go; made if absent.
        on_clip: told of each one that is done or has failed.

    Returns:
        What became of each moment, in order.
    """
    clips = []
    for number, (result, _, moment) in enumerate(_ranked(results), 1):
        video = Path(moment.video.path)
        place = Path(folder) / clip_name(number, _name(result), video, moment.start)
        try:
            clip = Clip(moment, place, *cut_clip(video, moment.start, moment.end, place))
        except (OSError, ValueError) as error:
            clip = Clip(moment, place, moment.start, moment.end, str(error))
        clips.append(clip)
        if on_clip is not None:
            on_clip(clip)
    return clips


def clip_name(number: int, query: str, video: Path, start: float) -> str:
    """Name a clip.

    Args:
        number: of the clip.
        query: what it was found for.
        video: the file it comes from.
        start: in seconds.

    Returns:
        For example ``001_flip_the_pancake_breakfast_0m05s.mp4``. The ending is the video's where clips are written as
        such files, else .mp4.
    """
    suffix = video.suffix.lower() if video.suffix.lower() in ENCODERS else ".mp4"
    minutes, seconds = divmod(int(start), 60)
    words = [part for part in (safe_name(query), safe_name(video.stem)) if part]
    return "_".join([f"{number:03}", *words, f"{minutes}m{seconds:02}s"]) + suffix


def safe_name(text: str) -> str:
    """Make a part of a file's name out of any text: letters and digits, the rest as ``_``, and not too long."""
    kept = "_".join("".join(letter if letter.isalnum() else " " for letter in text).split())
    return kept.encode("utf-8", "ignore")[:NAME_BYTES].decode("utf-8", "ignore").strip("_")


def _ranked(results: Sequence[Results]) -> Iterator[tuple[Results, int, Moment]]:
    for result in results:
        for rank, moment in enumerate(result.moments, 1):
            yield result, rank, moment


def _name(result: Results) -> str:
    return result.query.text or EXAMPLE


def _as_row(result: Results, moment: Moment) -> dict[str, Any]:
    return {
        "video": moment.video.path,
        "start": round(moment.start, 3),
        "end": round(moment.end, 3),
        "best": round(moment.best, 3),
        "score": round(moment.score, 4),
        "why": moment.why,
        "seen": None if moment.seen is None else round(moment.seen, 4),
        "said": moment.said,
        "id": moment.video.id,
        "match": result.is_match(moment),
    }


def _as_object(result: Results) -> dict[str, Any]:
    return {
        "query": result.query.text,
        "mode": result.query.mode,
        "threshold": result.threshold,
        "judged": result.judged,
        "match": result.match,
        "searched_windows": result.searched,
        "seconds_taken": round(result.seconds_taken, 4),
        "moments": [{"rank": rank, **_as_row(result, moment)} for rank, moment in enumerate(result.moments, 1)],
        "below": None if result.below is None else _as_row(result, result.below),
    }


def _cell(value: object) -> object:
    """What a spreadsheet would compute gets an apostrophe, which makes it show it; what a terminal obeys is a code."""
    if isinstance(value, str):
        value = CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", value)
        return f"'{value}" if value.lstrip().startswith(FORMULA) or value.startswith(FORMULA) else value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else value


def _line(text: str) -> str:
    """One line of printable letters."""
    legible = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return " ".join("".join(letter if letter.isprintable() else " " for letter in legible).split())


def _usual_rate(moments: Sequence[Moment]) -> Fraction:
    """The frame rate that most of the videos have, of those that can be read."""
    rates: Counter[Fraction] = Counter()
    for path in dict.fromkeys(moment.video.path for moment in moments):
        try:
            fps = probe(path).fps
        except (OSError, ValueError):  # the list can be written without the video
            continue
        if fps and fps >= 1:
            rates[Fraction(fps).limit_denominator(1001)] += 1
    return rates.most_common(1)[0][0] if rates else USUAL_RATE


def _frames_code(frame: int, per_second: int) -> str:
    seconds, rest = divmod(frame, per_second)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}:{rest:02}"


def _in_turn(chapters: list[Chapter]) -> list[Chapter]:
    """Chapters in order of time, each ended by the next; of those that begin together the first stays."""
    ordered = sorted({chapter.start: chapter for chapter in reversed(chapters)}.values(), key=lambda c: c.start)
    following = [chapter.start for chapter in ordered[1:]] + [float("inf")]
    return [Chapter(c.start, min(c.end, then), c.title) for c, then in zip(ordered, following, strict=True)]


def _write(target: Path, text: str) -> None:
    with atomic_path(target) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
