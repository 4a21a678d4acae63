"""Action segmentation (COIN): what labels of seconds are worth, 0 for none.

Shapes: T seconds, C labels, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mmpt.evaluators.base import Measure, Metric, Protocol
from mmpt.evaluators.predicting import Row
from mmpt.utils.registry import register

BACKGROUND = 0
OVERLAPS = (10, 25, 50)  # percent


@dataclass(frozen=True, eq=False)
class LabelledVideo:
    """The labels of one video.

    Attributes:
        video: its id.
        found: int (T,).
        true: int (T,).
    """

    video: str
    found: np.ndarray
    true: np.ndarray


@register("metric")
class COINActionSegmentationMetric(Metric):
    """The part of seconds with the right label; and, since most seconds have none, what that hides."""

    def compute(self, answers: Sequence[LabelledVideo], protocol: Protocol = "fixed") -> dict[str, Measure]:
        """Compute the measures.

        Args:
            answers: the videos.
            protocol: the paper reports the first one alone.

        Returns:
            `frame_acc`; in the fixed protocol also `foreground_acc`, over seconds that have a label, and `F1@10`,
            `F1@25`, `F1@50`: segments found with at least that overlap in percent (Lea et al., CVPR 2017).
        """
        frames = [((v.found == v.true).sum(), len(v.true)) for v in answers]
        result = {"frame_acc": Measure.of(frames, "ratio")}
        if protocol == "paper":
            return result
        labelled = [((v.found == v.true)[v.true != BACKGROUND].sum(), (v.true != BACKGROUND).sum()) for v in answers]
        result["foreground_acc"] = Measure.of(labelled, "ratio")
        for percent in OVERLAPS:
            # F1 = 2 hits / (segments found + segments there), over all videos
            counts = [matched_segments(v.found, v.true, percent / 100) for v in answers]
            result[f"F1@{percent}"] = Measure.of([(2 * hit, found + true) for hit, found, true in counts], "ratio")
        return result

    def baselines(self, answers: Sequence[LabelledVideo]) -> dict[str, dict[str, float]]:
        """Compute what one gets with the same label everywhere.

        Args:
            answers: only the truth is read.

        Returns:
            `all background` and `most frequent label` (counted on these very truths).
        """
        labels = np.concatenate([v.true for v in answers])
        frequent = np.bincount(labels[labels != BACKGROUND], minlength=1).argmax()
        result = {}
        for name, label in (("all background", BACKGROUND), ("most frequent label", frequent)):
            videos = [LabelledVideo(v.video, np.full_like(v.true, label), v.true) for v in answers]
            result[name] = {key: measure.value for key, measure in self.compute(videos).items()}
        return result


def segments(labels: np.ndarray) -> list[tuple[int, int, int]]:
    """List the runs of one label.

    Args:
        labels: int (T,).

    Returns:
        (label, first second, second after the last) of each run that is not background.
    """
    edges = np.flatnonzero(np.r_[True, labels[1:] != labels[:-1], True]) if len(labels) else np.zeros(0, int)
    return [(int(labels[a]), int(a), int(b)) for a, b in pairwise(edges) if labels[a] != BACKGROUND]


def matched_segments(found: np.ndarray, true: np.ndarray, overlap: float) -> tuple[int, int, int]:
    """Count the segments that were found.

    Args:
        found: int (T,).
        true: int (T,).
        overlap: least intersection over union with a segment of the same label; each is found once.

    Returns:
        How many were found, how many were said, how many there are.
    """
    said, there = segments(found), segments(true)
    free = set(range(len(there)))
    hits = 0
    for label, begin, end in said:
        rated = [(_overlap((begin, end), there[i][1:]), i) for i in free if there[i][0] == label]
        best, index = max(rated, default=(0.0, -1))
        if best >= overlap and best > 0:
            free.remove(index)
            hits += 1
    return hits, len(said), len(there)


def reject(labels: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Keep the best label where it is good enough.

    Args:
        labels: int (T,), the best labels.
        scores: float (T,), their scores.
        threshold: a score must be above it.

    Returns:
        int (T,), 0 where the score is not.
    """
    # in double: between neighbouring floats there is nothing
    return np.where(np.asarray(scores, np.float64) > threshold, labels, BACKGROUND)


def largest_similarity(labels: np.ndarray, texts: Sequence[str] | None = None) -> float:
    """Compute the papers' threshold: the largest similarity of two labels.

    Args:
        labels: float (C, D), the vectors of the labels' texts.
        texts: the texts; with them, labels of the same text count as one, as was surely meant. COIN has 778 labels
            and 749 texts, and a text is more like itself than anything else is.

    Returns:
        The largest dot product of two different ones.
    """
    if texts is not None:
        labels = labels[sorted({text: index for index, text in reversed(list(enumerate(texts)))}.values())]
    similar = labels @ labels.T
    np.fill_diagonal(similar, -np.inf)
    return float(similar.max())


def best_threshold(rows: Sequence[Row], default: float) -> float:
    """Find the threshold with the most right seconds.

    Args:
        rows: with `score`, `label` and `true` for every second.
        default: where there is no row.

    Returns:
        The threshold: half-way between two different scores, so that seconds of one score are accepted together; or the
        default.
    """
    if not rows:
        return default
    score, label, true = (np.concatenate([row[key] for row in rows]) for key in ("score", "label", "true"))
    order = np.argsort(-score, kind="stable")
    # accepting one more second gains where its label is right, and loses where it was background
    steps = (label == true)[order].astype(int) - (true == BACKGROUND)[order]
    bounds = np.r_[np.inf, score[order], -np.inf]
    falls = bounds[:-1] > bounds[1:]
    best = int(np.where(falls, np.r_[0, np.cumsum(steps)], -np.inf).argmax())  # how many seconds are accepted
    return float((bounds[best] + bounds[best + 1]) / 2)


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> float:
    common = min(one[1], other[1]) - max(one[0], other[0])
    return max(0, common) / (max(one[1], other[1]) - min(one[0], other[0]))
