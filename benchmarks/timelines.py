"""Chapters and timelines against what truly happens in the held-out videos of a toy world, with a model trained on it.

Run: python -m benchmarks.timelines WORLD --model MODEL [--bert-name FOLDER]

WORLD is a folder that `mmpt toy` wrote, with the features of its videos in WORLD/features.
"""

import argparse
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.paired import show
from mmpt.models.scorer import load
from mmpt.search.timeline import UNRELATED, Part, allot_steps, label_seconds, stand_out

LEAST, SWITCH = 3, 3.0  # as the commands have them
BACKGROUNDS = (None, 1.0, 2.0, 3.0, 4.0, 6.0)
APART = 7  # places from a video to the one whose steps it is not to show

Span = tuple[float, float]


@dataclass(frozen=True, eq=False)
class Watched:
    """A held-out video.

    Attributes:
        steps: first and last second of what happens.
        scores: float (T, steps), its seconds against them.
        own: float (T, steps), how far they stand out.
        absent: float (T, steps of another video), how far those do.
    """

    steps: Sequence[Span]
    scores: np.ndarray
    own: np.ndarray
    absent: np.ndarray


def watch(world: Path, model: str, bert_name: str | None) -> list[Watched]:
    """Score the held-out videos of a world."""
    record = json.loads((world / "record.json").read_text())
    videos = [(name, video["steps"]) for name, video in record.items() if video["heldout"]]
    scorer = load(model, bert_name=bert_name)
    watched = []
    for place, (name, steps) in enumerate(videos):
        own = [step["text"] for step in steps]
        others = videos[(place + APART) % len(videos)][1]
        absent = [step["text"] for step in others if step["text"] not in own]
        seconds = scorer.encode_video(world / "features" / f"{name}.npy").tokens
        scores = (seconds @ scorer.encode_text([*own, *absent, *UNRELATED]).T).numpy()
        far = stand_out(scores[:, : -len(UNRELATED)], scores[:, -len(UNRELATED) :])
        count = len(own)
        spans = [(step["start"], step["end"]) for step in steps]
        watched.append(Watched(spans, scores[:, :count], far[:, :count], far[:, count:]))
    return watched


def chapters(watched: Sequence[Watched]) -> list[tuple[str, ...]]:
    """Compare chapters, and even parts, with the steps: middles inside, and overlap."""
    rows = []
    for name, even in (("by the scores", False), ("even parts", True)):
        inside, overlap = [], []
        for video in watched:
            bounds = np.linspace(0, len(video.scores), len(video.steps) + 1)
            parts = [(p.start, p.end) for p in allot_steps(video.scores, LEAST)]
            parts = list(itertools.pairwise(bounds)) if even else parts
            for (start, end), (begin, stop) in zip(parts, video.steps, strict=True):
                inside.append(start <= (begin + stop) / 2 < end)
                common = max(0.0, min(end, stop) - max(start, begin))
                overlap.append(common / (max(end, stop) - min(start, begin)))
        rows.append((name, f"{np.mean(inside):.2f}", f"{np.mean(overlap):.2f}"))
    return rows


def timelines(watched: Sequence[Watched]) -> list[tuple[str, ...]]:
    """Measure, for each background, how many seconds get the right label, and how many get one that never happens."""
    rows = []
    for background in BACKGROUNDS:
        right = [_right(video.steps, label_seconds(video.own, background, SWITCH)) for video in watched]
        mixed = [np.hstack([video.own, video.absent]) for video in watched]
        among = [
            _right(video.steps, label_seconds(scores, background, SWITCH))
            for video, scores in zip(watched, mixed, strict=True)
        ]
        wrong = [_labelled(label_seconds(video.absent, background, SWITCH)) for video in watched]
        name = "none" if background is None else f"{background:g}"
        rows.append((name, *(f"{np.concatenate(part).mean():.2f}" for part in (right, among, wrong))))
    return rows


def _right(steps: Sequence[Span], parts: Sequence[Part]) -> np.ndarray:
    """Whether each second that lies in a step has the step's label."""
    labels = np.concatenate([np.full(part.end - part.start, part.label) for part in parts])
    return np.concatenate(
        [labels[int(np.ceil(start)) : int(end)] == number for number, (start, end) in enumerate(steps)]
    )


def _labelled(parts: Sequence[Part]) -> np.ndarray:
    return np.concatenate([np.full(part.end - part.start, part.label >= 0) for part in parts])


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("world", type=Path, help="folder that mmpt toy wrote")
    parser.add_argument("--model", required=True, help="what mmpt.load takes, trained on that world")
    parser.add_argument("--bert-name", help="folder of the vocabulary")
    args = parser.parse_args()
    watched = watch(args.world, args.model, args.bert_name)
    title = f"Chapters of {len(watched)} held-out videos"
    show(title, ("divided", "middles inside", "overlap (IoU)"), chapters(watched))
    title = "Shares of seconds that get a label: the right one, also with absent ones to choose, and an absent one"
    show(title, ("background", "right", "right among more", "absent"), timelines(watched))


if __name__ == "__main__":
    main()
