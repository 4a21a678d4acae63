"""`mmpt extract`: videos -> one feature file each."""

import argparse
import json
import logging
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mmpt.cli.inputs import add_max_gap, find_videos
from mmpt.cli.streams import list_items
from mmpt.utils.tables import read_lines

if TYPE_CHECKING:
    from mmpt.cli.tally import Tally
    from mmpt.video.jobs import Event

EXAMPLES = """examples:
  mmpt extract ~/Videos -o feats/
  mmpt extract a.mp4 b.mkv -o feats/ --backbone grid
  mmpt extract --list videos.txt -o feats/ --workers 8 --shard 3/20
  mmpt extract ~/Videos -o feats/ --backbone frame_vit --model facebook/dinov2-small

Each video becomes <name>.npy, float16 (seconds, width), which says of itself
what it is. Give the same command again after any stop: what is done is skipped.
Several may run on one folder at a time. Videos that fail stand in
feats/failures.jsonl.
"""
SHARD = re.compile(r"(\d+)/(\d+)")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("videos", nargs="*", metavar="VIDEO", help="video files, or folders of them")
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FOLDER", help="where feature files go")
    parser.add_argument("--list", type=Path, metavar="FILE", help="file with one video's path a line; - for stdin")
    parser.add_argument("--no-l2", action="store_true", help="keep each second's length; by default it becomes 1")
    parser.add_argument("--strict", action="store_true", help="count videos that are damaged in part as failed")
    parser.add_argument("--overwrite", action="store_true", help="do again what is done")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes (%(default)s)")
    parser.add_argument("--shard", metavar="I/N", help="only part I of N of the videos, for N machines")
    parser.add_argument("--no-wait", action="store_true", help="leave what other extractors have in hand to them")
    add_max_gap(parser)
    parser.add_argument("--json", action="store_true", help="write the summary as JSON")
    add_backbone(parser)


def add_backbone(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that choose a backbone."""
    group = parser.add_argument_group("backbone")
    group.add_argument("--backbone", default="s3d", help="s3d, grid, frame_vit or package.module:Class (%(default)s)")
    group.add_argument("--weights", metavar="FILE", help="weights of S3D (the published ones)")
    group.add_argument("--model", metavar="NAME", help="image encoder of frame_vit: folder or hub name")
    group.add_argument("--precision", choices=("fp32", "bf16"), help="that it computes in (fp32)")
    group.add_argument("--runtime", choices=("torch", "openvino"), help="of S3D (torch)")
    group.add_argument("--device", help="cpu, cuda or mps (cpu)")


def backbone_options(args: argparse.Namespace) -> dict[str, str]:
    """Give what the backbone's constructor is given."""
    options = {key: getattr(args, key) for key in ("weights", "model", "precision", "runtime", "device")}
    return {key: value for key, value in options.items() if value is not None}


def run(args: argparse.Namespace) -> int:
    """Extract, and sum up.

    Returns:
        0, or 1 when some videos failed or some folders could not be read.
    """
    paths, unreadable = find_videos(_words(args))
    shard = _shard(args.shard)
    if args.workers < 1:
        raise ValueError(f"--workers is {args.workers}; it takes the number of processes, 1 or more")
    from mmpt.cli.console import err, quiet_transformers
    from mmpt.cli.tally import Tally, display
    from mmpt.video.jobs import Plan, in_shard, name_videos
    from mmpt.video.runners import extract_all

    videos = [video for video in name_videos(paths) if in_shard(video, *shard)]
    sizes = {video.id: file_size(video.path) for video in videos}
    if args.workers > 1:
        videos.sort(key=lambda video: -sizes[video.id])  # the longest first, so that none is left alone at the end
    plan = Plan(
        out=args.out,
        backbone=args.backbone,
        options=backbone_options(args),
        l2_normalize=not args.no_l2,
        strict=args.strict,
        overwrite=args.overwrite,
        durations=err.is_terminal,
    )
    tally = Tally(sizes)
    begin = time.monotonic()
    with quiet_transformers(), display(tally) as show:

        def take(event: "Event") -> None:
            tally.take(event)
            show()

        workers = min(args.workers, max(1, len(videos)))
        meter = extract_all(videos, plan, take, workers=workers, wait=not args.no_wait)
    logging.getLogger(__name__).info("%s", meter)
    _tell(tally, unreadable)
    _sum_up(args, tally, unreadable, time.monotonic() - begin)
    return 1 if tally.failed or unreadable else 0


def _words(args: argparse.Namespace) -> list[str]:
    """The videos and folders that were asked for."""
    listed: list[str] = []
    if args.list is not None:
        listed = _listed(args.list)
        if not listed:
            raise ValueError(f"--list {args.list} holds no line; it takes one video's path on each")
    if not args.videos and not listed:
        raise ValueError("there is nothing to extract; give video files or folders, or --list FILE")
    return [*args.videos, *listed]


def _listed(path: Path) -> list[str]:
    if path.is_file():
        return [line for _, line in read_lines(path)]
    text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")  # a pipe: --list <(find ...)
    return [line.strip() for line in text.removeprefix("\ufeff").split("\n") if line.strip()]


def _shard(text: str | None) -> tuple[int, int]:
    """Which part, of how many."""
    if text is None:
        return 1, 1
    match = SHARD.fullmatch(text)
    number, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= number <= count:
        raise ValueError(f"--shard is {text!r}; it takes I/N with I from 1 to N, for example 3/20")
    return number, count


def file_size(path: Path) -> int:
    """The size of a file in bytes; 0 if it cannot be read, which is reported when its turn comes."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _tell(tally: "Tally", unreadable: list[str]) -> None:
    """Report what went wrong, the first few of each kind one by one."""
    failed = [reason if path in reason else f"{path}: {reason}" for path, reason in tally.failed]
    list_items("warning", tally.damaged, "; their feature files say so")
    list_items("replaced", tally.replaced, "")
    list_items("not read", unreadable, "")
    list_items("not extracted", failed, "; all are listed in failures.jsonl")
    if tally.kept:
        sys.stderr.write(
            f"mmpt: note: {tally.kept} feature files were there that say nothing of themselves, as the published ones; "
            "they are kept (--overwrite replaces them)\n"
        )
    if tally.left:
        sys.stderr.write(f"mmpt: note: {tally.left} videos are left to other extractors, which have them in hand\n")


def _sum_up(args: argparse.Namespace, tally: "Tally", unreadable: list[str], wall: float) -> None:
    from mmpt.cli.console import out
    from mmpt.cli.tally import spoken

    if args.json:
        summary = {
            "out": str(args.out),
            "done": tally.done,
            "replaced": tally.replaced,
            "skipped": tally.skipped + tally.kept,
            "left": tally.left,
            "seconds": tally.seconds,
            "wall": round(wall, 3),
            "damaged": tally.damaged,
            "failures": [{"path": path, "reason": reason} for path, reason in tally.failed],
            "unreadable": unreadable,
        }
        json.dump(summary, sys.stdout, indent=1)
        sys.stdout.write("\n")
        return
    speed = f": {tally.seconds} s of video in {spoken(wall)} ({tally.seconds / wall:.1f} x real time)"
    skipped = tally.skipped + tally.kept
    replaced = f" ({len(tally.replaced)} replaced)" if tally.replaced else ""
    out.print(
        f"{tally.done} done{replaced}, {skipped} skipped, {len(tally.failed)} failed{speed if tally.done else ''}",
        soft_wrap=True,
    )
    out.print(f"features: {args.out}", soft_wrap=True)
