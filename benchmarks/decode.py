"""How fast videos are decoded, against the ffmpeg command that gives the same pixels.

    python -m benchmarks.decode [--turns 7] [VIDEO or FOLDER ...]

Both forms turn a file into numpy arrays of a second each, 30 frames of 224 x 224 red, green, blue: one with
`read_frames` inside this process, the other through a pipe from ffmpeg. They take turns; of each the median counts.
The pixels are compared beforehand. Starting ffmpeg takes about 0.1 s, which is most of its time on the shortest clips,
so the mean over the videos of at least 3 seconds is given as well.
"""

import argparse
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.paired import run_paired, show
from mmpt.video.errors import VideoDamageWarning
from mmpt.video.geometry import crop_start, scaled_size
from mmpt.video.reader import probe, read_frames

FPS = 30  # frames per second; what S3D takes
SIZE = 224  # pixels
LONG = 3 * FPS  # frames; clips from here on are more than ffmpeg's start
VIDEOS = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "videos"


def ffmpeg_command(path: Path) -> list[str]:
    """Write the command with explicit numbers, as the published features were made.

    Args:
        path: the video.

    Returns:
        The command's words; it writes raw frames to its standard output.
    """
    info = probe(path)
    width, height = scaled_size(info.width, info.height, SIZE)
    x, y = crop_start(width, height, SIZE)
    filters = f"fps=fps={FPS},scale={width}:{height},crop={SIZE}:{SIZE}:{x}:{y}"
    command = ["ffmpeg", "-v", "quiet", "-nostdin", "-i", str(path), "-filter:v", filters]
    return [*command, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:"]


def ffmpeg_frames(command: list[str]) -> Iterator[np.ndarray]:
    """Read the ffmpeg command's output through a pipe.

    Args:
        command: its words.

    Yields:
        Seconds (at most 30, 224, 224, 3) of uint8.
    """
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
        assert process.stdout is not None
        while True:
            second, filled = bytearray(FPS * SIZE * SIZE * 3), 0
            while count := os.readv(process.stdout.fileno(), [memoryview(second)[filled:]]):
                filled += count
            if filled:
                yield np.frombuffer(second, np.uint8, filled).reshape(-1, SIZE, SIZE, 3)
            if filled < len(second):
                return


def compare_pixels(path: Path) -> str:
    """Say in how many frames the two forms differ.

    Args:
        path: the video.

    Returns:
        "same", or what differs.
    """
    mine = np.concatenate(list(read_frames(path, FPS, SIZE)))
    other = np.concatenate(list(ffmpeg_frames(ffmpeg_command(path))))
    both = min(len(mine), len(other))
    differ = int((mine[:both] != other[:both]).any(axis=(1, 2, 3)).sum())
    parts = [f"{differ} of {both} frames differ"] if differ else []
    if len(mine) != len(other):
        parts.append(f"{len(mine)} frames, ffmpeg {len(other)}")
    return ", ".join(parts) or "same"


def measure(path: Path, turns: int) -> tuple[int, float, list[str]]:
    """Time both forms on one video.

    Args:
        path: the video.
        turns: counted turns.

    Returns:
        The number of frames, how many times as fast as ffmpeg, and the cells of the table's row.
    """
    pixels = compare_pixels(path)
    command = ffmpeg_command(path)
    ffmpeg, ours = run_paired(
        {
            "ffmpeg": lambda: sum(len(chunk) for chunk in ffmpeg_frames(command)),
            "read_frames": lambda: sum(len(chunk) for chunk in read_frames(path, FPS, SIZE)),
        },
        turns=turns,
    )
    milliseconds = [f"{form.seconds * 1e3:.0f}" for form in (ffmpeg, ours)]
    rate = f"{ours.result / ours.seconds:.0f}"
    return ours.result, ours.ratio, [path.name, f"{ours.result}", *milliseconds, rate, f"{ours.ratio:.2f}", pixels]


def main(arguments: list[str] | None = None) -> int:
    """Measure and print.

    Args:
        arguments: of the command line; by default those of the process.

    Returns:
        0, or 2 when there is nothing to measure with.
    """
    parser = argparse.ArgumentParser(description="Decoding speed against the ffmpeg command, with the same pixels.")
    parser.add_argument("videos", nargs="*", type=Path, default=[VIDEOS], help=f"files or folders (default: {VIDEOS})")
    parser.add_argument("--turns", type=int, default=7, help="counted turns (default: 7)")
    args = parser.parse_args(arguments)
    if shutil.which("ffmpeg") is None:
        sys.stderr.write(
            "ffmpeg is not installed, so there is nothing to compare with (Debian: apt-get install ffmpeg)\n"
        )
        return 2
    files = [file for given in args.videos for file in (sorted(given.iterdir()) if given.is_dir() else [given])]
    if not files:
        sys.stderr.write(f"no video in {', '.join(map(str, args.videos))}; name files or folders\n")
        return 2
    warnings.simplefilter("ignore", VideoDamageWarning)
    measured = [measure(file, args.turns) for file in files]
    rows = [row for _, _, row in measured]
    for least in (0, LONG):
        ratios = [ratio for frames, ratio, _ in measured if frames >= least]
        if ratios:
            mean = math.exp(statistics.fmean(map(math.log, ratios)))
            what = f"geometric mean of {'those from 3 s on' if least else 'all'}"
            rows.append([what, "", "", "", "", f"{mean:.2f}", ""])
    version = subprocess.run(["ffmpeg", "-version"], capture_output=True, text=True, check=True).stdout.split()[2]
    title = f"Decoding against ffmpeg {version}, {platform.machine()}, {os.cpu_count()} cores, {args.turns} turns"
    show(title, ["video", "frames", "ffmpeg ms", "ours ms", "frames/s", "times as fast", "pixels"], rows)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
