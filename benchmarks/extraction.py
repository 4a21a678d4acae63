"""Extraction from files to feature files: speed against the plain form, waiting for frames, peak memory.

    python -m benchmarks.extraction [VIDEO or FOLDER ...] [--turns 3] [--minutes 1 4]

The plain form decodes a whole video to float32 in memory and then runs the trained S3D in eager fp32, clip by clip; it
and ours take turns in one process, weights loaded. Weights are seeded, at the published size.
"""

import argparse
import contextlib
import io
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.memory import frames_of
from benchmarks.paired import run_paired, show
from benchmarks.s3d import seeded_s3d
from mmpt.utils.featurefile import read_features
from mmpt.video.backbones.s3d import S3D, S3DBackbone
from mmpt.video.extractor import Extractor
from mmpt.video.jobs import Plan, Video, name_videos
from mmpt.video.reader import read_seconds
from mmpt.video.runners import extract_all
from mmpt.video.writer import write_video

VIDEOS = Path(__file__).resolve().parents[2] / "shared" / "data" / "videos"
SOURCE_FPS = 10  # of rendered videos; as long to extract as others, and quick to render
SPEED = ("form", "s of video", "wall s", "x real time", "ratio", "least cosine")
WAITING = ("workers", "wall s", "S3D s", "waiting s", "waiting %", "first frames s")
MEMORY = ("video", "wall s", "peak MB")


def run(videos: Sequence[Video], folder: Path, weights: Path, turns: int) -> list[tuple[str, ...]]:
    """Compare speeds.

    Args:
        videos: what is extracted.
        folder: to write to.
        weights: a folder of S3D's.
        turns: counted turns.

    Returns:
        Rows of `SPEED`.
    """
    model = seeded_s3d()
    forms: dict[str, Callable[[], dict[str, np.ndarray]]] = {"plain": lambda: plain(videos, model)}
    for precision in ("fp32", "bf16"):
        plan = Plan(folder / precision, options={"weights": weights, "precision": precision}, overwrite=True)
        plan.out.mkdir()
        backbone = S3DBackbone(weights, precision=precision)
        forms[f"ours, {precision}"] = lambda plan=plan, backbone=backbone: ours(videos, plan, backbone)
    timed = run_paired(forms, turns=turns)
    rows = []
    for form in timed:
        seconds = sum(map(len, form.result.values()))
        cosine = min(float((timed[0].result[name] * array).sum(1).min()) for name, array in form.result.items())
        speed = f"{seconds / form.seconds:.2f}"
        rows.append((form.name, str(seconds), f"{form.seconds:.1f}", speed, f"{form.ratio:.2f}", f"{cosine:.5f}"))
    return rows


@torch.no_grad()
def plain(videos: Sequence[Video], model: S3D) -> dict[str, np.ndarray]:
    """Decode each video to float32 in memory, then run clip by clip.

    Args:
        videos: the videos.
        model: the trained network.

    Returns:
        Rows of unit length, by video.
    """
    found = {}
    for video in videos:
        frames = torch.from_numpy(np.stack(list(read_seconds(video.path)))).float() / 255  # (n, 30, 224, 224, 3)
        clips = frames.permute(0, 4, 1, 2, 3)
        rows = [model(clip[None].contiguous()).video_embedding for clip in clips]
        found[video.id] = torch.nn.functional.normalize(torch.cat(rows), dim=1).numpy()
    return found


def ours(videos: Sequence[Video], plan: Plan, backbone: S3DBackbone) -> dict[str, np.ndarray]:
    """Extract to files, in this process.

    Args:
        videos: the videos.
        plan: how.
        backbone: as the plan says.

    Returns:
        What the files hold, by video.
    """
    Extractor(plan, backbone, lambda event: None).run(videos)
    return {video.id: read_features(plan.out / f"{video.id}.npy").array.astype(np.float32) for video in videos}


def waiting(videos: Sequence[Video], folder: Path, weights: Path) -> list[tuple[str, ...]]:
    """Measure how long S3D has nothing to do because no frames are ready.

    Args:
        videos: what is extracted.
        folder: to write to.
        weights: a folder of S3D's.

    Returns:
        Rows of `WAITING`, times of all workers together but the first.
    """
    rows = []
    for workers in (1, 2):
        plan = Plan(folder / f"workers{workers}", options={"weights": weights})
        begin = time.perf_counter()
        meter = extract_all(videos, plan, lambda event: None, workers=workers)
        wall = time.perf_counter() - begin
        part = 100 * meter.waiting / (meter.waiting + meter.computing)
        times = (f"{value:.2f}" for value in (wall, meter.computing, meter.waiting, part, meter.starting))
        rows.append((str(workers), *times))
    return rows


def memory(minutes: Sequence[float], folder: Path, weights: Path) -> list[tuple[str, ...]]:
    """Extract rendered videos with one worker each, in a process of its own.

    Args:
        minutes: their lengths.
        folder: to write to.
        weights: a folder of S3D's.

    Returns:
        Rows of `MEMORY`.
    """
    rows = []
    for length in minutes:
        video = folder / f"{length:g}.mp4"
        write_video(video, frames_of(int(length * 60 * SOURCE_FPS)), fps=SOURCE_FPS)
        words = ["extract", str(video), "-o", str(folder / "memory"), "--weights", str(weights)]
        # A child of a child: what RUSAGE_CHILDREN gives is the largest of all children so far.
        code = (
            "import resource, subprocess, sys\n"
            f"subprocess.run([sys.executable, '-m', 'mmpt', *{words!r}], check=True, stdout=subprocess.DEVNULL)\n"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
        )
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kilobytes elsewhere
        wall = time.perf_counter() - begin
        rows.append((f"{length:g} min, 640 x 360", f"{wall:.0f}", f"{int(done.stdout) * unit / 1e6:.0f}"))
    return rows


def find(words: Sequence[str], folder: Path) -> list[Video]:
    """Find the videos to measure with.

    Args:
        words: files and folders; by default the real videos, or rendered ones where these are absent.
        folder: where to render.

    Returns:
        The videos.
    """
    places = [Path(word) for word in words] or ([VIDEOS] if VIDEOS.is_dir() else [])
    paths = [path for place in places for path in (sorted(place.iterdir()) if place.is_dir() else [place])]
    if not paths:
        paths = [folder / f"{seconds}.mp4" for seconds in (3, 10, 20)]
        for path in paths:
            write_video(path, frames_of(int(path.stem) * SOURCE_FPS), fps=SOURCE_FPS)
    return name_videos(paths)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print.

    Args:
        arguments: of the command line; by default those of the process.

    Returns:
        0.
    """
    parser = argparse.ArgumentParser(description="Extraction, from files to feature files.")
    parser.add_argument("videos", nargs="*", metavar="VIDEO", help="files or folders (default: the real videos)")
    parser.add_argument("--turns", type=int, default=3, help="counted turns (default: 3)")
    parser.add_argument("--minutes", type=float, nargs="*", default=[1, 4], help="lengths for peak memory (1 4)")
    args = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # one of the real videos is damaged
    where = f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} of {os.cpu_count()} cores"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            seeded_s3d().save_pretrained(folder / "s3d")
        videos = find(args.videos, folder)
        show(f"extraction: {where}, {args.turns} turns", SPEED, run(videos, folder, folder / "s3d", args.turns))
        show("waiting for frames, fp32", WAITING, waiting(videos, folder, folder / "s3d"))
        show("peak memory of one worker, fp32", MEMORY, memory(args.minutes, folder, folder / "s3d"))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
