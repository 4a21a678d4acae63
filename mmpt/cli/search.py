"""`mmpt search`: moments of one's own videos."""

import argparse
import math
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from mmpt.cli.libraries import add_library, add_model, open_library
from mmpt.utils.legible import one_line, undirected

if TYPE_CHECKING:
    from mmpt.search.library import VideoLibrary
    from mmpt.search.query import Filter, Query, Results

EXAMPLES = """examples:
  mmpt search "flip the pancake"
  mmpt search "the engine starts" --mode said --folder ~/Videos/car --limit 3
  mmpt search --like clip.mp4@3-8
  mmpt search "a dog runs" --export-clips clips/ --edl dog.edl
  mmpt search --queries shots.txt --json > found.json

The score says how far a moment stands out: 1 is as good as chance alone would
bring from this library, and a moment is a match from 1.3 on (--threshold).
That nothing matches is an answer: the exit code is 0, not grep's 1. A program
asks for --json, where "match" is true, false, or null where the library is too
small to tell.
"""
MOST_LETTERS = 60  # of what is said and the like, in a table
LISTED = 5  # folders that are named where none fits


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("words", nargs="*", metavar="TEXT", help="what to look for")
    parser.add_argument("--like", metavar="CLIP[@FROM-TO]", help="what to look for, shown: a file, or a video's id")
    parser.add_argument("--queries", type=Path, metavar="FILE", help="of queries: one a line, or .csv, or .jsonl")
    add_library(parser)
    parser.add_argument("--mode", choices=("seen", "said", "both"), help="look in pictures, captions or both (both)")
    parser.add_argument("--limit", type=int, default=10, metavar="N", help="moments at most (%(default)s)")
    parser.add_argument("--threshold", metavar="X", help="score that a moment needs, or none (1.3)")
    parser.add_argument("--approximate", action="store_true", help="use the index that mmpt index optimize made")
    which = parser.add_argument_group("which videos")
    which.add_argument("--folder", metavar="FOLDER", help="only those below it")
    which.add_argument("--after", metavar="DATE", help="only files changed on this day or later, as 2026-05-31")
    which.add_argument("--before", metavar="DATE", help="only files changed before this day")
    which.add_argument("--min-seconds", metavar="TIME", help="only videos as long as this, as 90 or 1:30")
    which.add_argument("--max-seconds", metavar="TIME", help="only videos no longer than this")
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="write JSON")
    output.add_argument("--csv", action="store_true", help="write CSV")
    output.add_argument("--edl", type=Path, metavar="FILE", help="an edit list for cutting programs")
    output.add_argument("--chapters", type=Path, metavar="FILE", help="WebVTT chapters")
    output.add_argument("--export-clips", type=Path, metavar="FOLDER", help="cut the moments out")
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Search, and show what was found.

    Returns:
        0, also where nothing matches; 1 when some clips could not be cut.
    """
    default = _default_query(args)
    _check(args)
    from mmpt.cli.console import quiet_transformers

    library = open_library(args)
    _check_folder(args, library)
    with quiet_transformers():
        queries = _queries(args, library, default)
        results = library.search_many(queries)
    _note(results)
    _show(args, results)
    return _write(args, results)


def parse_like(text: str) -> tuple[str, float, float | None]:
    """Read which part of which video is meant.

    Args:
        text: ``clip.mp4@3-8``, ``clip.mp4@1:05-1:10``, ``clip.mp4@3-``, ``clip.mp4``; a video's id in place of a file.

    Returns:
        The file or id, where the part begins and ends, in seconds; None for the video's end.

    Raises:
        ValueError: what follows the last @ is no part.
    """
    from mmpt.cli.timecode import parse_time

    name, at, part = text.rpartition("@")
    if not at or Path(text).expanduser().exists():
        return text, 0.0, None
    first, dash, last = part.partition("-")
    if not name or not dash or not (first or last):
        raise ValueError(f"--like is {text!r}; write CLIP@FROM-TO in seconds or as m:ss, for example clip.mp4@3-8")
    return name, parse_time(first) if first else 0.0, parse_time(last) if last else None


def _check(args: argparse.Namespace) -> None:
    """Refuse before any work what cannot end well."""
    given = {"a text": bool(args.words), "--like": args.like is not None, "--queries": args.queries is not None}
    named = [name for name, there in given.items() if there]
    if not named:
        raise ValueError('there is nothing to look for; for example: mmpt search "flip the pancake"')
    if len(named) > 1:
        raise ValueError(f"{' and '.join(named)} were given; a search takes one of them")
    if args.like is not None and args.mode == "said":
        raise ValueError("--like looks for what is seen, and --mode is said; leave one of them out")
    if args.json and args.csv:
        raise ValueError("--json and --csv both write to the standard output; give one of them")
    for name in ("edl", "chapters"):
        target = getattr(args, name)
        if target is not None and not target.absolute().parent.is_dir():
            raise FileNotFoundError(f"--{name}: there is no folder {target.absolute().parent}; make it first")
        if target is not None and target.is_dir():
            raise ValueError(f"--{name}: {target} is a folder; name a file in it")


def _check_folder(args: argparse.Namespace, library: "VideoLibrary") -> None:
    """Refuse a library without a video, and a folder that holds none of its videos."""
    from mmpt.search.sources import absolute, is_below

    paths = [path for record in library.videos() for path in record.paths]
    if not paths:
        raise ValueError(f"the library at {library.address} holds no video yet; put some in: mmpt index ~/Videos")
    if args.folder is None or any(is_below(path, str(absolute(args.folder))) for path in paths):
        return
    folders = sorted({str(Path(path).parent) for path in paths})
    more = f" and {len(folders) - LISTED:,} more" if len(folders) > LISTED else ""
    raise ValueError(
        f"--folder is {args.folder}, and no video of the library at {library.address} lies below "
        f"{absolute(args.folder)}; its videos are in {', '.join(folders[:LISTED])}{more}"
    )


def _default_query(args: argparse.Namespace) -> "Query":
    from mmpt.search.query import Query

    query = Query(
        text=" ".join(args.words) if args.words else None,
        mode=args.mode or "both",
        limit=args.limit,
        where=_filter(args),
        approximate=args.approximate,
    )
    return query if args.threshold is None else replace(query, threshold=_threshold(args.threshold))


def _threshold(text: str) -> float | None:
    if text.lower() == "none":
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"--threshold is {text!r}; it takes a number, or none")
    return number


def _filter(args: argparse.Namespace) -> "Filter":
    from mmpt.cli.timecode import parse_time
    from mmpt.search.query import Filter

    days: dict[str, date | None] = {"after": None, "before": None}
    for name in days:
        text = getattr(args, name)
        try:
            days[name] = None if text is None else date.fromisoformat(text)
        except ValueError:
            raise ValueError(f"--{name} is {text!r}; it takes a day, as in 2026-05-31") from None
    lengths = [getattr(args, name) for name in ("min_seconds", "max_seconds")]
    shortest, longest = (None if text is None else parse_time(text) for text in lengths)
    return Filter(args.folder, days["after"], days["before"], shortest, longest)


def _queries(args: argparse.Namespace, library: "VideoLibrary", default: "Query") -> list["Query"]:
    if args.queries is not None:
        from mmpt.search.batch import read_queries

        return read_queries(args.queries, default)
    if args.like is None:
        return [default]
    from mmpt.cli.progress import second_bar
    from mmpt.search.example import example_vector

    name, start, end = parse_like(args.like)
    with second_bar() as bar:
        bar.begin(Path(name).name, 1, 1, None)
        vector = example_vector(library, name, start, end, on_progress=bar.advance)
    return [replace(default, vector=vector, mode="seen")]


def _note(results: list["Results"]) -> None:
    """Say what the reader has to know about the scores."""
    from mmpt.cli.console import err

    if any(result.searched and not result.judged for result in results):
        err.print(
            "mmpt: note: the library holds too few windows to tell what stands out; what is seen is ranked, and shown "
            "whatever it is worth",
            soft_wrap=True,
        )


def _show(args: argparse.Namespace, results: list["Results"]) -> None:
    from mmpt.search.exporting import write_csv, write_json

    if args.json:
        write_json(results, sys.stdout)
    elif args.csv:
        write_csv(results, sys.stdout)
    else:
        for number, result in enumerate(results):
            title = _plain(result.query.text if result.query.text is not None else args.like)
            _print(result, title, headed=len(results) > 1, first=number == 0)


def _print(result: "Results", title: str, *, headed: bool, first: bool) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mmpt.cli.console import out
    from mmpt.cli.timecode import timecode

    if headed and not first:
        out.print()
    if not result.moments:
        _print_none(result, title)
        return
    if headed:
        out.print(Text(title), soft_wrap=True)
    said = any(moment.said for moment in result.moments)
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("moment", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("why", no_wrap=True)
    table.add_column("video", overflow="fold")
    if said:
        table.add_column("said", overflow="fold")
    for moment in result.moments:
        span = f"{timecode(moment.start)}\N{EN DASH}{timecode(moment.end)}"
        cells = [span, f"{moment.score:.1f}", moment.why, _plain(one_line(Path(moment.video.path).name))]
        table.add_row(*map(Text, [*cells, *([_plain(undirected(moment.said or ""))] if said else [])]))
    out.print(table)


def _print_none(result: "Results", title: str) -> None:
    from rich.text import Text

    from mmpt.cli.console import out
    from mmpt.cli.timecode import timecode

    if not result.searched:
        out.print(Text(f"no match for {title!r}: no video passes the filters"), soft_wrap=True)
        return
    out.print(Text(f"no match for {title!r} in {result.searched:,} windows"), soft_wrap=True)
    if result.below is not None:
        best = result.below
        name = _plain(one_line(Path(best.video.path).name))
        where = f"{timecode(best.start)}\N{EN DASH}{timecode(best.end)} of {name}"
        out.print(
            Text(f"the nearest is {where}, score {best.score:.1f}; --threshold none shows what there is"),
            soft_wrap=True,
        )


def _plain(text: str) -> str:
    """Captions, names of files and the like on one line, as far as there is room, without what a terminal obeys."""
    line = one_line(" ".join(text.split()))
    return line if len(line) <= MOST_LETTERS else line[: MOST_LETTERS - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"


def _write(args: argparse.Namespace, results: list["Results"]) -> int:
    """Write the files that were asked for; gives the exit code."""
    from mmpt.cli.console import err
    from mmpt.search.exporting import write_edl, write_webvtt

    wanted = [(args.edl, write_edl), (args.chapters, write_webvtt)]
    if not any(result.moments for result in results):
        if args.edl or args.chapters or args.export_clips:
            err.print("mmpt: note: there is no moment, so that no file was written", soft_wrap=True)
        return 0
    for target, write in wanted:
        for path in write(results, target) if target is not None else ():
            err.print(f"written: {path}", soft_wrap=True)
    return _cut(results, args.export_clips) if args.export_clips is not None else 0


def _cut(results: list["Results"], folder: Path) -> int:
    from mmpt.cli.console import err
    from mmpt.cli.progress import count_bar
    from mmpt.search.exporting import export_clips

    count = sum(len(result.moments) for result in results)
    done = 0

    def advance(_: object) -> None:
        nonlocal done
        done += 1
        bar(done)

    with count_bar("cutting clips", count) as bar:
        clips = export_clips(results, folder, on_clip=advance)
    failed = [clip for clip in clips if clip.error]
    for clip in failed:
        sys.stderr.write(f"mmpt: not cut: {one_line(f'{clip.moment.video.path}: {clip.error}')}\n")
    written = len(clips) - len(failed)
    err.print(f"written: {written:,} {'clip' if written == 1 else 'clips'} in {folder}", soft_wrap=True)
    return 1 if failed else 0
