"""Peak memory of `mmpt score` by the video's length, as the operating system counts it for the whole process.

Run: python -m benchmarks.memory [--minutes 1 20]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.paired import show
from benchmarks.weights import make_weights
from mmpt.video.writer import write_video

WIDTH, HEIGHT, SOURCE_FPS = 640, 360, 10  # fewer frames than the model reads: quick to render, as long to score
HEADER = ("video", "wall s", "peak MB")


def run(minutes: Sequence[float]) -> list[tuple[str, ...]]:
    """Score rendered videos, each in a process of its own.

    Args:
        minutes: their lengths.

    Returns:
        Rows of `HEADER`.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        config = make_weights(home)
        for length in minutes:
            video = home / f"{length}.mp4"
            write_video(video, frames_of(int(length * 60 * SOURCE_FPS)), fps=SOURCE_FPS)
            wall, peak = _score(home, config, video)
            rows.append((f"{length:g} min, {WIDTH} x {HEIGHT}", f"{wall:.0f}", f"{peak:.0f}"))
    return rows


def _score(home: Path, config: Path, video: Path) -> tuple[float, float]:
    """Wall seconds, and peak resident megabytes."""
    # A child of a child: what RUSAGE_CHILDREN gives is the largest of all children so far.
    words = ["score", str(video), "a sentence", "--model", str(config), "--no-cache", "--json"]
    code = (
        "import resource, subprocess, sys\n"
        f"subprocess.run([sys.executable, '-m', 'mmpt', *{words!r}], check=True, stdout=subprocess.DEVNULL)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    begin = time.perf_counter()
    environment = {**os.environ, "MMPT_HOME": str(home)}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kilobytes elsewhere
    return time.perf_counter() - begin, int(done.stdout) * unit / 1e6


def frames_of(count: int) -> Iterator[np.ndarray]:
    """Draw a bar that moves over a noisy ground.

    Args:
        count: how many pictures.

    Yields:
        uint8 (360, 640, 3).
    """
    ground = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    for index in range(count):
        frame = ground.copy()
        start = index * 4 % (WIDTH - 80)
        frame[100:180, start : start + 80] = (220, 40, 40)
        yield frame


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 20])
    show("peak memory of mmpt score", HEADER, run(parser.parse_args().minutes))
