"""`mmpt shard`: from one feature file a video to the shards that training reads."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mmpt.utils.legible import one_line

if TYPE_CHECKING:
    from mmpt.utils.sharding import ShardingReport

EXAMPLES = """examples:
  mmpt shard feats -o data/how2 --train how2_s3d_train.lst --val how2_s3d_val.lst
  mmpt shard feats -o data/mine --split train
  mmpt shard data/how2 --verify

A list holds one video id a line; the features of an id are in feats/<id>.npy.
Written are, for every split, <split>_<n>_data.npy and <split>_<n>_starts.npy
(float16, 4096 videos each), <split>_<n>_index.json with their checksums, and
<split>_meta.pkl, which says which videos are in which shard. Videos that cannot
be stored are listed in failures.jsonl, and the exit code is then 1.

The command may be stopped at any time: given again, it keeps the shards that
are whole and whose feature files did not change, and makes the rest.
"""
LISTS = ("train", "val", "test")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.epilog = EXAMPLES
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="of feature files; with --verify, of shards")
    parser.add_argument("-o", "--output", type=Path, metavar="SHARDS", help="folder that the shards go into")
    for split in LISTS:
        parser.add_argument(f"--{split}", type=Path, metavar="LIST", help=f"ids of the videos of the split {split!r}")
    parser.add_argument("--split", metavar="NAME", help="instead of lists: all videos of the folder, as this split")
    parser.add_argument("--shard-size", type=int, default=4096, metavar="N", help="videos in a shard (%(default)s)")
    parser.add_argument("--verify", action="store_true", help="read the shards of FOLDER and compare the checksums")


def run(args: argparse.Namespace) -> int:
    """Write or verify shards.

    Returns:
        0, or 1 when some videos could not be stored, or some shards are damaged.
    """
    if args.verify:
        return _verify(args)
    if args.output is None:
        raise ValueError("give the folder that the shards go into, for example: -o data/mine")
    from mmpt.cli.progress import part_bar
    from mmpt.utils.sharding import write_shards

    lists = _lists(args)
    with part_bar("videos") as bar:
        report = write_shards(
            args.folder,
            args.output,
            lists,
            shard_size=args.shard_size,
            on_progress=lambda done, total: bar.advance(done, done / total),
        )
    _print(args.output, report)
    return 1 if report.failures else 0


def _lists(args: argparse.Namespace) -> dict[str, list[str]]:
    """Read the ids of every split."""
    from mmpt.utils.tables import read_lines

    given = {split: path for split in LISTS if (path := getattr(args, split)) is not None}
    if args.split is None:
        lists = {split: [line for _, line in read_lines(path)] for split, path in given.items()}
    elif given:
        raise ValueError("--split takes all videos of the folder, and lists take some; give one or the other")
    elif not args.folder.is_dir():
        raise FileNotFoundError(f"there is no folder {args.folder.absolute()}; give the one of the feature files")
    else:
        names = (path.name for path in args.folder.iterdir() if path.suffix == ".npy")
        lists = {args.split: sorted(name[:-4] for name in names if not name.startswith("."))}
    if not lists:
        raise ValueError("give lists of video ids (--train LIST, --val LIST), or --split train for the whole folder")
    for split, ids in lists.items():
        if not ids:
            raise ValueError(f"{given.get(split, args.folder)} lists no video for the split {split!r}")
    return lists


def _print(target: Path, report: "ShardingReport") -> None:
    from mmpt.cli.console import err, out
    from mmpt.utils.failures import FAILURES

    for split, count in report.videos.items():
        out.print(f"{split:<9} {_count(count, 'video')}, {_count(report.rows[split], 'second')} of features")
    out.print(f"shards    {report.written:,} written, {report.kept:,} kept")
    out.print(f"folder    {target}", soft_wrap=True)
    if report.shared:
        stand = "stands" if report.shared == 1 else "stand"
        err.print(
            f"mmpt: note: {_count(report.shared, 'video')} {stand} in the lists of several splits", soft_wrap=True
        )
    for line in report.first:
        err.print(f"mmpt: not stored: {line}", soft_wrap=True)
    if report.failures:
        are = f"{_count(report.failures, 'video')} {'is' if report.failures == 1 else 'are'}"
        place = target / FAILURES
        err.print(f"mmpt: {are} not stored as listed; the reasons are in {place}", soft_wrap=True)


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _verify(args: argparse.Namespace) -> int:
    from mmpt.cli.console import out
    from mmpt.cli.progress import part_bar
    from mmpt.utils.shardcheck import verify_shards

    with part_bar("MB") as bar:
        found = verify_shards(args.folder, on_progress=lambda done, part: bar.advance(done // 1_000_000, part))
    out.print(f"whole     {_count(found.whole, 'shard')}, as their checksums say")
    if found.unindexed:
        out.print(f"unsure    {_count(found.unindexed, 'shard')} without an index: sizes and starts fit")
    for problem in found.problems:
        sys.stderr.write(f"mmpt: damaged: {one_line(problem)}\n")
    return 1 if found.problems else 0
