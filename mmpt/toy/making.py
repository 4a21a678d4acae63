"""Makes a toy world: draws what is not there yet, and writes what is said and shown in it."""

import itertools
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mmpt.toy.annotations import clip_id, is_clipped, write_annotations
from mmpt.toy.drawing import SIDE, draw
from mmpt.toy.narration import narrate, out_of_step, rolling
from mmpt.toy.plan import FPS, VERSION, Video, plan_videos, seen, unseen
from mmpt.utils.files import atomic_path
from mmpt.utils.folderlock import only_writer
from mmpt.utils.leftovers import half_written
from mmpt.utils.parallel import ordered_map
from mmpt.utils.tables import read_json
from mmpt.video.writer import write_video

WORLD, RECORD = "world.json", "record.json"
VIDEOS, HELD_OUT, CLIPS = FILMS = "videos", "heldout", "clips"  # folders
FEWEST = 2  # training videos: one to learn from, one to validate with
LONGEST_LAG = 30.0  # seconds; the shortest video is no longer


@dataclass(frozen=True)
class World:
    """What a world is made from.

    Attributes:
        seed: of all draws.
        videos: for training.
        lag: seconds by which narration is out of step at most.
    """

    seed: int = 0
    videos: int = 200
    lag: float = 2.5

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ValueError(f"the seed of a world is {self.seed}; it takes a whole number, 0 or more")
        if self.videos < FEWEST:
            raise ValueError(f"{self.videos} videos make no world; it takes {FEWEST} or more")
        if not 0 <= self.lag <= LONGEST_LAG:
            raise ValueError(f"the lag is {self.lag} s; it takes 0 to {LONGEST_LAG:g}")


@dataclass(frozen=True)
class Made:
    """What was made.

    Attributes:
        drawn: videos that were drawn.
        kept: videos that were there.
        held_out: videos of all that are for testing.
        seconds: of all videos together.
        clips: of all videos together.
    """

    drawn: int
    kept: int
    held_out: int
    seconds: int
    clips: int


@dataclass(frozen=True)
class _Job:
    out: Path
    seed: int
    video: Video


def make_world(
    out: Path, world: World, *, workers: int = 1, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Made:
    """Make a world, or go on with one.

    Args:
        out: its folder; what is whole there is kept.
        world: what it is made from.
        workers: processes that draw.
        on_progress: is given the videos that are done, and how many there are.

    Returns:
        What was made.

    Raises:
        ValueError: it is a file, another world is in the folder, or another process makes one there.
    """
    if out.is_file():
        raise ValueError(f"{out} is a file; a world takes an empty or a new folder")
    out.mkdir(parents=True, exist_ok=True)
    with only_writer(out, "a toy world"):
        _claim(out, world)
        _sweep(out)
        videos = plan_videos(world.seed, world.videos)
        jobs = [_Job(out, world.seed, video) for video in videos]
        missing = [job for job in jobs if not all(path.is_file() for path in _files(job))]
        kept = len(jobs) - len(missing)
        on_progress(kept, len(jobs))
        for done, _ in enumerate(ordered_map(_draw, missing, workers=workers), kept + 1):
            on_progress(done, len(jobs))
        for video in videos:
            lines = out_of_step(video, narrate(video, world.seed), world.seed, world.lag)
            _write(video_path(out, video).with_suffix(".en.vtt"), rolling(lines))
        write_annotations(out, videos, world.seed, world.lag)
        _write(out / RECORD, json.dumps(record(videos, world.seed), indent=1) + "\n")
    held_out = sum(video.held_out for video in videos)
    clips = sum(len(video.steps) for video in videos if is_clipped(video))
    return Made(len(missing), kept, held_out, sum(video.seconds for video in videos), clips)


def video_path(out: Path, video: Video) -> Path:
    """Say where a video's file lies.

    Args:
        out: the world's folder.
        video: which one.

    Returns:
        The path.
    """
    return out / (HELD_OUT if video.held_out else VIDEOS) / f"{video.id}.mp4"


def record(videos: list[Video], seed: int) -> dict[str, Any]:
    """Tell what the renderer draws, and what is said of it, in step.

    Args:
        videos: their plans.
        seed: of the world.

    Returns:
        video -> `heldout`, `task`, `seconds`, its file (`path`), `steps` and `narration`; plain values.
    """
    told: dict[str, Any] = {}
    for video in videos:
        steps = []
        for number, step in enumerate(video.steps):
            clip = clip_id(video, number) if is_clipped(video) else None
            times = {"start": step.start, "end": step.end, "clip": clip}
            steps.append({**times, "action": step.action, **asdict(step.thing), "text": step.text})
        told[video.id] = {
            "heldout": video.held_out,
            "task": video.task,
            "seconds": video.seconds,
            "path": video_path(Path(), video).as_posix(),
            "steps": steps,
            "narration": [asdict(line) for line in narrate(video, seed)],
        }
    return told


def _claim(out: Path, world: World) -> None:
    """Say in the folder which world it is; refuse another one."""
    path = out / WORLD
    told: dict[str, Any] = {
        "version": VERSION,
        "seed": world.seed,
        "lag": world.lag,
        "fps": FPS,
        "size": SIDE,
        "videos": world.videos,
    }
    if path.is_file():
        there = read_json(path)
        for key, value in told.items():
            found = there.get(key) if isinstance(there, dict) else None
            if found != value and not (key == "videos" and isinstance(found, int) and found < value):
                raise ValueError(
                    f"{out} holds a world with {key} {found}, and {value} is asked for; take another folder, or remove "
                    "this one"
                )
    elif any(entry for entry in out.iterdir() if not entry.name.startswith(".")):
        raise ValueError(f"{out} has files in it but no {WORLD}, so it is no toy world; take an empty or a new folder")
    pairs = unseen(world.seed)
    told["seen"] = sorted(seen(world.seed))
    told["unseen"] = sorted((action, *pair) for action, drawn in pairs.items() for pair in drawn)
    _write(path, json.dumps(told) + "\n")


def _sweep(out: Path) -> None:
    """Remove videos that a killed process left half-written. Other folders may be in use by other commands."""
    for folder in filter(Path.is_dir, (out / name for name in FILMS)):
        for path, _ in half_written(folder):
            path.unlink(missing_ok=True)


def _files(job: _Job) -> list[Path]:
    """All that is drawn of a video; the video itself comes last."""
    numbers = range(len(job.video.steps)) if is_clipped(job.video) else ()
    clips = [job.out / CLIPS / f"{clip_id(job.video, number)}.mp4" for number in numbers]
    return [*clips, video_path(job.out, job.video)]


def _draw(job: _Job) -> None:
    """Draw a video, and cut its clips out."""
    frames = list(draw(job.video, job.seed))
    *clips, whole = _files(job)
    for path, step in zip(clips, job.video.steps, strict=bool(clips)):
        shown = itertools.islice(frames, round(step.start * FPS), round(step.end * FPS))
        write_video(path, shown, fps=FPS)
    write_video(whole, frames, fps=FPS)


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")
