"""`mmpt index`: videos into a library that can be searched."""

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from mmpt.cli.inputs import add_max_gap
from mmpt.cli.libraries import add_library, add_model, open_library
from mmpt.cli.streams import list_items

if TYPE_CHECKING:
    from mmpt.cli.progress import SecondBar
    from mmpt.search.approximate import Outcome
    from mmpt.search.ingest import Event, Report
    from mmpt.search.library import VideoLibrary

EXAMPLES = """examples:
  mmpt index ~/Videos
  mmpt index talk.mp4 ~/Movies --captions subtitles/ --library films/
  mmpt index update
  mmpt index remove ~/Videos/old
  mmpt index optimize
  mmpt search "flip the pancake"

Each video is searchable as soon as its turn is over. Give the same command
again after any stop: what is done is skipped. Several may run at a time, also
while others search. A video is known by its content: a renamed one is not
encoded again. Subtitles (.srt, .vtt) are taken from beside each video.

  update    looks again at all that was ever indexed: new, changed and renamed
            videos, new subtitles; it tells which files are gone
  remove    takes videos out, by file, folder or id; the files stay
  optimize  makes an approximate index for large libraries, and says what it
            finds of what an exact search finds

A folder that is called update is given as ./update.
"""
VERBS = ("update", "remove", "optimize")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument(
        "words", nargs="+", metavar="PATH", help="video files, or folders of them; or update, remove, optimize"
    )
    add_library(parser)
    parser.add_argument("--captions", type=Path, metavar="FOLDER", help="of subtitles (beside the videos)")
    parser.add_argument("--language", default="", metavar="CODE", help="of subtitles, where a video has several")
    parser.add_argument("--encoding", default="", metavar="NAME", help="of subtitles not in UTF-8, such as cp1252")
    parser.add_argument("--prune", action="store_true", help="with update: take out videos whose files are gone")
    parser.add_argument("--recall", type=float, metavar="R", help="with optimize: what it must find, as 0.95")
    add_max_gap(parser)
    parser.add_argument("--json", action="store_true", help="write the summary as JSON")
    add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Index, and sum up.

    Returns:
        0, or 1 when some videos could not be indexed, or their captions not be read.
    """
    verb, paths = _parse(args)
    if verb == "optimize":
        return _optimize(args)
    if verb == "remove":
        return _remove(args, paths)
    from mmpt.cli.console import quiet_transformers
    from mmpt.cli.progress import second_bar

    library = open_library(args, create=verb == "add")
    begin = time.monotonic()
    with quiet_transformers(), second_bar() as bar:
        show = _Display(bar)
        if verb == "update":
            report = library.update(prune=args.prune, on_event=show)
        else:
            how = {"language": args.language, "encoding": args.encoding}
            report = library.add(paths, args.captions, on_event=show, **how)
    _tell(report, args.prune)
    _sum_up(args, report, library, time.monotonic() - begin)
    return 1 if report.failed or report.unread else 0


class _Display:
    """Shows what a library does.

    Args:
        bar: counts the seconds of the video that is in hand.
    """

    def __init__(self, bar: "SecondBar") -> None:
        self._bar = bar
        self._number, self._count, self._probed = 0, 0, ""

    def __call__(self, event: "Event") -> None:
        """Take what happened."""
        name = Path(event.path).name
        if event.kind == "begin":
            self._number, self._count = event.number, event.count
            self._bar.begin(name, self._number, self._count, 0.0)
        elif event.kind == "progress":
            if self._probed != event.path:  # only of videos that are computed: a look into each takes time
                from mmpt.video.reader import probe

                self._probed = event.path
                self._bar.begin(name, self._number, self._count, probe(event.path).duration)
            self._bar.advance(event.seconds)


def _parse(args: argparse.Namespace) -> tuple[str, list[str]]:
    """What is to be done, and with what."""
    verb = args.words[0] if args.words[0] in VERBS else "add"
    paths = args.words if verb == "add" else args.words[1:]
    if verb == "remove" and not paths:
        raise ValueError(
            "there is nothing to remove; give videos, folders or ids, for example: mmpt index remove a.mp4"
        )
    if verb in ("update", "optimize") and paths:
        raise ValueError(
            f"`mmpt index {verb}` takes no path, and {paths[0]!r} was given; a folder called {verb} is ./{verb}"
        )
    used = {"--captions": args.captions, "--language": args.language, "--encoding": args.encoding}
    wrong = [name for name, value in used.items() if value and verb != "add"]
    wrong += ["--prune"] * (args.prune and verb != "update") + ["--recall"] * (
        args.recall is not None and verb != "optimize"
    )
    if wrong:
        raise ValueError(f"{wrong[0]} says nothing here; see mmpt index --help for what takes it")
    if any(not path.strip() for path in paths):
        raise ValueError("one of the words is empty; give videos or folders (is a shell variable not set?)")
    return verb, paths


def _remove(args: argparse.Namespace, paths: list[str]) -> int:
    from mmpt.cli.console import out

    library = open_library(args)
    count = library.remove(paths, on_event=lambda event: _note(f"{event.path} {event.detail}"))
    if args.json:
        json.dump({"library": library.address, "removed": count, "videos": len(library.videos())}, sys.stdout)
        sys.stdout.write("\n")
        return 0
    out.print(f"{count:,} taken out; {len(library.videos()):,} videos are left in {library.address}", soft_wrap=True)
    return 0


def _optimize(args: argparse.Namespace) -> int:
    from rich.text import Text

    from mmpt.cli.console import err
    from mmpt.search.approximate import RECALL, optimize

    library = open_library(args)
    with err.status("") as status:
        status.update("bringing the windows up to date")
        outcome = optimize(
            library.matrix,
            RECALL if args.recall is None else args.recall,
            on_progress=lambda stage, done, total: status.update(Text(f"{stage}: {done / total:.0%}")),
        )
    if args.json:
        json.dump({"library": library.address, **asdict(outcome)}, sys.stdout, indent=1)
        sys.stdout.write("\n")
    else:
        _print_outcome(outcome)
    return 0


def _print_outcome(outcome: "Outcome") -> None:
    """Show what an approximate index finds, and how fast, against exact search."""
    from rich import box
    from rich.table import Table

    from mmpt.cli.console import out

    if outcome.settings:
        table = Table("windows compared", box=box.SIMPLE_HEAD)
        for name in ("finds of the ten best", "ms a search", "chosen"):
            table.add_column(name, justify="right")
        for setting in outcome.settings:
            mark = "*" if setting == outcome.chosen else ""
            name = f"{setting.candidates:,} of {outcome.windows:,}"
            table.add_row(name, f"{setting.recall:.1%}", f"{1000 * setting.seconds:.1f}", mark)
        table.add_row("all (exact search)", "100.0%", f"{1000 * outcome.exact:.1f}", "" if outcome.chosen else "*")
        out.print(table)
    if outcome.chosen is None:
        out.print(f"no index is made: {outcome.reason}", soft_wrap=True)


def _tell(report: "Report", prune: bool) -> None:
    """Report what went wrong, the first few of each kind one by one."""
    list_items("warning", [_about(*pair) for pair in report.warned])
    list_items("captions not read", [_about(*pair) for pair in report.unread])
    list_items("not indexed", [_about(*pair) for pair in report.failed], "; --json lists them all")
    if not prune:
        list_items("gone", [record.path for record in report.gone])
        if report.gone:
            _note("videos whose files are gone are still found; mmpt index update --prune removes them")


def _note(text: str) -> None:
    from mmpt.cli.console import legible

    sys.stderr.write(f"mmpt: note: {legible(text)}\n")


def _about(path: str, reason: str) -> str:
    return reason if path in reason else f"{path}: {reason}"


def _sum_up(args: argparse.Namespace, report: "Report", library: "VideoLibrary", wall: float) -> None:
    from mmpt.cli.console import out
    from mmpt.cli.tally import spoken

    videos = library.videos()
    if args.json:
        summary = {
            "library": library.address,
            "videos": len(videos),
            "added": [asdict(record) for record in report.added],
            "changed": [asdict(record) for record in report.changed],
            "renamed": [asdict(record) for record in report.renamed],
            "captions": [asdict(record) for record in report.captions],
            "known": report.known,
            "gone": [asdict(record) for record in report.gone],
            "removed": report.removed,
            "warnings": [{"path": path, "reason": reason} for path, reason in report.warned],
            "captions_not_read": [{"path": path, "reason": reason} for path, reason in report.unread],
            "failures": [{"path": path, "reason": reason} for path, reason in report.failed],
            "wall": round(wall, 3),
        }
        json.dump(summary, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    counts = {
        "added": len(report.added),
        "changed": len(report.changed),
        "renamed": len(report.renamed),
        "with new captions": len(report.captions),
        "gone": len(report.gone),
        "taken out": report.removed,
    }
    told = [f"{count:,} {name}" for name, count in counts.items() if count or name == "added"]
    told += [f"{report.known:,} known", f"{len(report.failed):,} failed"]
    speed = f": {report.seconds:,} s of video in {spoken(wall)}" if report.seconds else ""
    out.print(", ".join(told) + speed, soft_wrap=True)
    out.print(f"library: {library.address}, {len(videos):,} videos", soft_wrap=True)
