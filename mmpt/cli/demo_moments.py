"""What a demo looks at: a held-out video second by second, and the best moments of all for a few sentences."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mmpt.cli.plots import thumbnails
from mmpt.cli.report import Hit, Query, Watched
from mmpt.cli.report_charts import Strip
from mmpt.models.scorer import Scorer, curves
from mmpt.utils.featurefile import read_features
from mmpt.video.reader import read_frames
from mmpt.video.windows import cut
from mmpt.video.writer import write_video

WINDOW, STRIDE = 6, 2  # seconds
THUMBNAILS, SIZE = 10, 96  # frames of the strip, and pixels
CLIP_FPS = 10  # frames per second of the clips that are shown
SHOWN = 3  # moments of a sentence
SEEN = 1.0  # seconds; what is seen for less is nothing that a moment shows


@dataclass(frozen=True)
class Step:
    """What happens in a held-out video.

    Attributes:
        video: its id.
        start: in seconds.
        end: in seconds.
        sentence: what tells of it.
        facts: its action, shape and colour, by these names.
    """

    video: str
    start: float
    end: float
    sentence: str
    facts: dict[str, str]


def watch(scorer: Scorer, video: Path, features: Path, steps: Sequence[Step]) -> Watched:
    """Score the seconds of a video against what is told of its steps.

    Args:
        scorer: the model.
        video: the file.
        features: its feature file.
        steps: of this video.

    Returns:
        The video, with a strip for each step.
    """
    encoded = scorer.encode_video(features)
    scores = curves(encoded, scorer.encode_text([step.sentence for step in steps])).numpy()
    strips = [Strip(step.sentence, row, step.start, step.end) for step, row in zip(steps, scores, strict=True)]
    return Watched(video.stem, video.read_bytes(), thumbnails(video, THUMBNAILS, SIZE), strips)


def ask(scorer: Scorer, videos: Path, features: Path, steps: Sequence[Step], asked: Sequence[Step]) -> list[Query]:
    """Find the moments of all held-out videos that fit sentences best.

    Args:
        scorer: the model.
        videos: the folder of the files.
        features: the folder of their features.
        steps: of all those videos.
        asked: those whose sentences are asked.

    Returns:
        For each sentence, its best moments; of moments that overlap the best only.
    """
    moments, vectors = _windows(scorer, features, list(dict.fromkeys(step.video for step in steps)))
    scores = (scorer.encode_text([step.sentence for step in asked]) @ vectors.T).numpy()
    return [
        Query(step.sentence, tuple(_hit(moment, step, videos, steps) for moment in _best(moments, row)))
        for step, row in zip(asked, scores, strict=True)
    ]


def _windows(scorer: Scorer, features: Path, names: Sequence[str]) -> tuple[list[tuple[str, int, int]], torch.Tensor]:
    """Encode windows of videos: (video, first second, second behind the last), and float (windows, D)."""
    moments, vectors = [], []
    for name in names:
        array = read_features(features / f"{name}.npy").array
        for start, end in cut(len(array), WINDOW, STRIDE):
            moments.append((name, start, end))
            vectors.append(scorer.encode_video(array[start:end]).vectors[0])
    return moments, torch.stack(vectors)


def _best(moments: Sequence[tuple[str, int, int]], scores: np.ndarray) -> list[tuple[str, int, int]]:
    found: list[tuple[str, int, int]] = []
    for place in np.argsort(-scores, kind="stable"):
        video, start, end = moments[place]
        if not any(video == other and start < until and since < end for other, since, until in found):
            found.append(moments[place])
        if len(found) == SHOWN:
            break
    return found


def _hit(moment: tuple[str, int, int], asked: Step, videos: Path, steps: Sequence[Step]) -> Hit:
    """Compare a moment with what was asked."""
    video, start, end = moment
    seen = shown(moment, steps)
    there = {} if seen is None else seen.facts
    facts = tuple((f"{name} {fact}", there.get(name) == fact) for name, fact in asked.facts.items())
    content, still = _film(videos / f"{video}.mp4", start, end)
    return Hit(video, start, end, content, still, seen == asked, facts)


def shown(moment: tuple[str, float, float], steps: Sequence[Step]) -> Step | None:
    """Say what is seen in a moment.

    Args:
        moment: its video, and its start and end in seconds.
        steps: of all videos.

    Returns:
        The step that fills most of it; None where none lasts for `SEEN` seconds of it.
    """
    video, start, end = moment
    lasting = {number: min(s.end, end) - max(s.start, start) for number, s in enumerate(steps) if s.video == video}
    most = max(lasting, key=lambda number: lasting[number], default=None)
    return None if most is None or lasting[most] < SEEN else steps[most]


def _film(video: Path, start: float, end: float) -> tuple[bytes, np.ndarray]:
    """Cut a moment out: an .mp4 file, and the frame in the middle."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "clip.mp4"
        frames = [frame for chunk in read_frames(video, CLIP_FPS, 2 * SIZE, start, end) for frame in chunk]
        write_video(target, frames, fps=CLIP_FPS)
        return target.read_bytes(), frames[len(frames) // 2]
