"""`mmpt shard` against the disk: python -m benchmarks.stores [--videos 2000] [--turns 5] [--folder DIR].

Both forms put the same bytes onto the same disk, in turn: the plain one writes them one after the other and waits for
the disk (fsync), ours reads them from one file a video, checks them, writes the shards and waits for the disk. The
plain form reads nothing, so no store can be faster than it; the feature files are in the system's cache, as after
extraction. Then memory: the largest resident size of a process that shards once and four times as many videos.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.paired import run_paired, show
from mmpt.utils.featurefile import read_features, write_features
from mmpt.utils.sharding import write_shards

SECONDS = 300  # of a video
WIDTH = 512
SHARD_SIZE = 512  # videos
BLOCK = 1 << 24  # bytes that the plain form writes at a time


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--videos", type=int, default=2000)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="on the disk to measure (the current folder)")
    parser.add_argument("--measure-memory", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.measure_memory:
        shard(args.measure_memory, args.videos)
        sys.stdout.write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}\n")
        return
    with tempfile.TemporaryDirectory(dir=args.folder or Path.cwd(), prefix=".stores-") as folder:
        work = Path(folder)
        make_features(work / "feats", args.videos)
        compare_rates(work, args.videos, args.turns)
        compare_memory(work, args.videos)


def make_features(folder: Path, count: int) -> None:
    """Write feature files, each of another length and content.

    Args:
        folder: for them.
        count: how many.
    """
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((SECONDS + 200, WIDTH), np.float32).astype(np.float16)
    about = {"backbone": "s3d", "version": 1, "precision": "fp32", "l2_normalized": True, "fps": 30}
    folder.mkdir()
    for number in range(count):
        first = number % 100
        write_features(folder / f"v{number:06d}.npy", rows[first : first + SECONDS - 50 + number % 101], about)


def shard(work: Path, count: int) -> None:
    """Shard the first videos of the folder."""
    target = work / "shards"
    shutil.rmtree(target, ignore_errors=True)
    report = write_shards(
        work / "feats", target, {"train": [f"v{number:06d}" for number in range(count)]}, shard_size=SHARD_SIZE
    )
    assert report.videos["train"] == count, report


def write_plainly(path: Path, size: int) -> None:
    """Write bytes in a row, and wait for the disk."""
    block = np.random.default_rng(1).integers(0, 256, BLOCK, np.uint8).data
    path.unlink(missing_ok=True)
    with path.open("wb", buffering=0) as file:
        for begin in range(0, size, BLOCK):
            file.write(block[: min(BLOCK, size - begin)])
        os.fsync(file.fileno())


def read_only(folder: Path) -> None:
    """Read and check every feature file: what one core has to do besides writing."""
    for path in sorted(folder.iterdir()):
        read_features(path)


def compare_rates(work: Path, count: int, turns: int) -> None:
    """Time the forms in turn."""
    size = sum(path.stat().st_size for path in (work / "feats").iterdir())
    forms = {
        "write + fsync of the same bytes": lambda: write_plainly(work / "plain", size),
        "reading and checking, one core": lambda: read_only(work / "feats"),
        "mmpt shard": lambda: shard(work, count),
    }
    timed = run_paired(forms, turns=turns)
    rows = [[t.name, f"{t.seconds:.2f}", f"{size / t.seconds / 1e6:,.0f}", f"{t.ratio:.0%}"] for t in timed]
    title = f"{count:,} videos, {size / 1e6:,.0f} MB, median of {turns} turns"
    show(title, ("form", "seconds", "MB/s", "of the disk's rate"), rows)
    (work / "plain").unlink()


def compare_memory(work: Path, count: int) -> None:
    """Measure the peak memory of a process that shards a quarter and one that shards all."""
    rows = []
    for videos in (count // 4, count):
        command = [sys.executable, "-m", "benchmarks.stores", "--measure-memory", str(work), "--videos", str(videos)]
        peak = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024
        rows.append([f"{videos:,} videos", f"{peak:,.0f}"])
    show("Peak memory", ("", "MB"), rows)


if __name__ == "__main__":
    main()
