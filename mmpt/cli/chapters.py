"""`mmpt chapters`: an ordered list of steps aligned with a video, as chapters."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpt.cli.watching import add_video
from mmpt.utils.legible import one_line

if TYPE_CHECKING:
    from mmpt.cli.watching import Watched
    from mmpt.search.timeline import Part
    from mmpt.text.chapters import Chapter

EXAMPLES = """examples:
  mmpt chapters pancakes.mp4 --steps recipe.txt
  mmpt chapters pancakes.mp4 --steps recipe.txt -o pancakes.vtt --plot strip.png
  mmpt chapters pancakes.mp4 --steps recipe.txt --format youtube

The file has a step on each line, in the order in which they are done. Every
step gets a part of the video, and the parts cover all of it; put a line such as
"a man greets the audience" first where the video has an introduction.
"""
FORMATS = {".vtt": "webvtt", ".json": "json", ".txt": "youtube"}  # by the ending of the file to write
LEAST = 3  # seconds of a chapter, where there is time enough


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    add_video(parser)
    parser.add_argument(
        "--steps", type=Path, required=True, metavar="FILE", help="text file with a step on each line; - for a pipe"
    )
    parser.add_argument(
        "--format", choices=("webvtt", "youtube", "json"), help="of the chapters (by the ending of -o, else webvtt)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write there; a table is printed then")
    parser.add_argument(
        "--min-seconds",
        type=int,
        metavar="S",
        help=f"a chapter's least length ({LEAST}, for YouTube 10; less where the video is short)",
    )
    parser.add_argument("--plot", type=Path, metavar="PNG", help="draw the chapters over a strip of the video")


def run(args: argparse.Namespace) -> int:
    """Align, and write.

    Returns:
        0.
    """
    from mmpt.cli.watching import read_lines, watch
    from mmpt.video.errors import check_file

    _check(args)
    kind = args.format or ("webvtt" if args.output is None else FORMATS[args.output.suffix.lower()])
    check_file(args.video)
    steps = read_lines(args.steps, "step")
    from mmpt.cli.console import err
    from mmpt.search.timeline import allot_steps
    from mmpt.text.chapters import Chapter, webvtt, youtube, youtube_faults
    from mmpt.utils.files import atomic_path

    watched = watch(args, steps)
    parts = allot_steps(watched.scores, _least(args, kind, len(steps), len(watched.scores)))
    chapters = [Chapter(part.start, min(part.end, watched.duration), steps[part.label]) for part in parts]
    write = {"webvtt": webvtt, "youtube": youtube, "json": lambda _: _as_json(args, chapters, parts, watched)}[kind]
    if args.output is None:
        sys.stdout.write(write(chapters))
    else:
        with atomic_path(args.output) as temporary:
            temporary.write_text(write(chapters), encoding="utf-8")
        _print(chapters)
        err.print(f"written: {args.output}", soft_wrap=True)
    for fault in youtube_faults(chapters) if kind == "youtube" else ():
        err.print(f"mmpt: note: {fault}", soft_wrap=True)
    if args.plot:
        _plot(args, steps, parts, watched)
    return 0


def _check(args: argparse.Namespace) -> None:
    """Refuse before any work what cannot end well."""
    from mmpt.utils.files import check_writable

    if args.min_seconds is not None and args.min_seconds < 1:
        raise ValueError(f"--min-seconds is {args.min_seconds}; a chapter takes a second at least")
    if args.output is not None:
        check_writable(args.output, "the chapters")
    if args.output is not None and args.format is None and args.output.suffix.lower() not in FORMATS:
        raise ValueError(f"{args.output} ends in none of {', '.join(FORMATS)}; name it so, or say --format")
    for given in (args.video, args.steps):
        if args.output is not None and args.output.exists() and given.exists() and args.output.samefile(given):
            raise ValueError(f"the chapters would take the place of {given}; name another file for them")
    if args.plot:
        from mmpt.cli.plots import check_target

        check_target(args.plot)


def _least(args: argparse.Namespace, kind: str, steps: int, seconds: int) -> int:
    """How long a chapter is at least: as asked for, else as long as is usual and fits."""
    from mmpt.text.chapters import YOUTUBE_LENGTH

    if args.min_seconds is not None:
        return args.min_seconds
    return max(1, min(YOUTUBE_LENGTH if kind == "youtube" else LEAST, seconds // steps))


def _as_json(args: argparse.Namespace, chapters: list["Chapter"], parts: list["Part"], watched: "Watched") -> str:
    rows: list[dict[str, Any]] = []
    for chapter, part in zip(chapters, parts, strict=True):
        scores = watched.scores[:, part.label].astype(float)
        inside, elsewhere = scores[part.start : part.end], [*scores[: part.start], *scores[part.end :]]
        rows.append(
            {
                "start": chapter.start,
                "end": round(chapter.end, 3),
                "title": chapter.title,
                "score": round(inside.mean(), 4),
                "score_elsewhere": round(sum(elsewhere) / len(elsewhere), 4) if elsewhere else None,
            }
        )
    result = {
        "video": os.fspath(args.video),
        "seconds": len(watched.scores),
        "model": args.model,
        "damage": watched.damage,
        "chapters": rows,
    }
    return json.dumps(result, indent=1) + "\n"


def _print(chapters: list["Chapter"]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mmpt.cli.console import out
    from mmpt.cli.timecode import timecode

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("chapter")
    for chapter in chapters:
        table.add_row(f"{timecode(chapter.start)}\N{EN DASH}{timecode(chapter.end)}", Text(chapter.title))
    out.print(table)


def _plot(args: argparse.Namespace, steps: list[str], parts: list["Part"], watched: "Watched") -> None:
    from mmpt.cli.console import err
    from mmpt.cli.plots import save_figure, thumbnails
    from mmpt.cli.plots_timeline import draw_parts

    strip = [frame for _, frame in thumbnails(args.video, count=8, size=160)]
    spans = [(part.start, part.end, part.label) for part in parts]
    figure = draw_parts(spans, steps, one_line(args.video.name), watched.duration, strip)
    save_figure(args.plot, figure)
    err.print(f"drawn: {args.plot}", soft_wrap=True)
