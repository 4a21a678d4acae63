"""`mmpt library`: what is in a library, whether it is sound, and all of it as plain files."""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmpt.cli.libraries import add_library, open_library

if TYPE_CHECKING:
    from mmpt.search.checking import Problem

SUBCOMMANDS = True  # its parser has commands of its own

EXAMPLES = """examples:
  mmpt library stats
  mmpt library check --repair
  mmpt library export plain/ --library films/
"""
CHECK_EXAMPLES = """examples:
  mmpt library check
  mmpt library check --repair && mmpt index update

Looks for files that are gone, videos without windows, numbers that are not
finite, and what killed processes left. --repair takes out videos that cannot
be used, so that `mmpt index update` brings them back, and removes leftovers.
The exit code is 1 when something is amiss that is not repaired.
"""
EXPORT_EXAMPLES = """example:
  mmpt library export plain/

about.json says what the library is; videos.jsonl has a line for each video, with
its captions and its first row in the arrays; windows.npy (N, 2), vectors.npy
(N, D) and tokens.npy (seconds, D) hold windows, their vectors and the seconds'.
"""
STATS_EXAMPLES = """example:
  mmpt library stats --videos
"""
LISTED = 20  # problems of a kind that are told one by one


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    raw = argparse.RawDescriptionHelpFormatter
    about = {
        "stats": ("say what is in it", "Say what is in a library.", STATS_EXAMPLES),
        "check": ("see whether it is sound", "See whether a library is sound.", CHECK_EXAMPLES),
        "export": ("write it as plain files", "Write a library as plain files.", EXPORT_EXAMPLES),
    }
    made = {
        name: commands.add_parser(name, help=short, description=text, epilog=epilog, formatter_class=raw)
        for name, (short, text, epilog) in about.items()
    }
    made["export"].add_argument("folder", type=Path, metavar="FOLDER", help="where the files go")
    made["stats"].add_argument("--videos", action="store_true", help="list the videos too")
    made["check"].add_argument("--repair", action="store_true", help="take out what cannot be used")
    for name, command in made.items():
        add_library(command)
        if name != "export":
            command.add_argument("--json", action="store_true", help="write JSON")
        command.add_argument(
            *("-v", "--verbose"), action="store_true", default=argparse.SUPPRESS, help="say more, and show tracebacks"
        )


def run(args: argparse.Namespace) -> int:
    """Do what was asked for.

    Returns:
        0, or 1 when a check finds something that is not repaired.
    """
    return {"stats": _stats, "check": _check, "export": _export}[args.command](args)


def _stats(args: argparse.Namespace) -> int:
    library = open_library(args)
    found = library.stats()
    listed = library.videos() if args.videos else []
    if args.json:
        listing = {"listing": [asdict(record) for record in listed]} if args.videos else {}
        json.dump({**found, **listing}, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return 0
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from mmpt.cli.console import out
    from mmpt.cli.timecode import timecode

    for name, value in _lines(found):
        out.print(Text(f"{name:<9} {value}"), soft_wrap=True)
    if listed:
        table = Table("id", box=box.SIMPLE_HEAD)
        table.add_column("video", overflow="fold")
        for name in ("length", "captions"):
            table.add_column(name, justify="right")
        for record in listed:
            cells = (record.path, timecode(record.seconds), f"{record.captions:,}")
            table.add_row(record.id, *map(Text, cells))
        out.print(table)
    return 0


def _lines(found: dict[str, Any]) -> list[tuple[str, str]]:
    from mmpt.cli.tally import spoken

    about = found["about"]
    notes = {"damaged in part": found["damaged"], "whose files are gone": found["missing"]}
    told = "".join(f", {count:,} {what}" for what, count in notes.items() if count)
    size = "" if found["bytes"] is None else f", {found['bytes'] / 1e6:,.1f} MB"
    lengths = ", ".join(map(str, about["windows"]))
    lines = [
        ("library", f"{found['address']}{size}"),
        ("videos", f"{found['videos']:,}, {spoken(found['seconds'])}{told}"),
        ("windows", f"{found['windows']:,} of {lengths} s, {about['dim']} numbers each"),
        ("captions", f"{found['captions']:,}, of {found['with_captions']:,} videos"),
        ("model", f"{about['model']['name']} (weights {about['model']['sha256'][:12]}), {about['backbone']} features"),
    ]
    return [*lines, *(("indexed", path) for path in found["sources"])]


def _check(args: argparse.Namespace) -> int:
    from mmpt.cli.progress import part_bar

    library = open_library(args)
    with part_bar("videos") as bar:
        problems = library.check(repair=args.repair, on_video=lambda done, count: bar.advance(done, done / count))
    left = [problem for problem in problems if not problem.repaired]
    if args.json:
        json.dump({"library": library.address, "problems": [asdict(p) for p in problems]}, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return 1 if left else 0
    from mmpt.cli.console import out

    _print_problems(problems)
    count = len(library.videos())
    if not problems:
        out.print(f"{library.address}: {count:,} videos, all is well", soft_wrap=True)
        return 0
    mended = len(problems) - len(left)
    out.print(f"{library.address}: {count:,} videos, {len(left):,} problems, {mended:,} repaired", soft_wrap=True)
    if mended:
        out.print("mmpt index update brings back what was taken out and is still on disk", soft_wrap=True)
    elif any(problem.kind != "missing file" for problem in left):
        out.print("mmpt library check --repair mends what can be mended", soft_wrap=True)
    return 1 if left else 0


def _print_problems(problems: "list[Problem]") -> None:
    from mmpt.cli.console import out

    for kind in dict.fromkeys(problem.kind for problem in problems):
        of_kind = [problem for problem in problems if problem.kind == kind]
        for problem in of_kind[:LISTED]:
            where = problem.path or problem.video
            done = " (repaired)" if problem.repaired else ""
            out.print(f"{kind}: {where + ': ' if where else ''}{problem.detail}{done}", soft_wrap=True)
        if len(of_kind) > LISTED:
            out.print(f"{kind}: and {len(of_kind) - LISTED:,} more; --json lists them all", soft_wrap=True)


def _export(args: argparse.Namespace) -> int:
    from mmpt.cli.console import out
    from mmpt.cli.progress import part_bar

    library = open_library(args)
    with part_bar("videos") as bar:
        count = library.export(args.folder, on_video=lambda done, total: bar.advance(done, done / total))
    out.print(f"written: {count:,} videos into {args.folder}", soft_wrap=True)
    return 0
