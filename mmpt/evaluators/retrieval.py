"""Text-to-video retrieval: where the right video stands among all, for each text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmpt.evaluators.base import Measure, Metric, Protocol
from mmpt.evaluators.predicting import Item, Predictor, Row, stack
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.utils.registry import register

CUTS = (1, 5, 10)
CHUNK = 1024  # texts scored at a time


@dataclass(frozen=True, eq=False)
class RetrievalAnswers:
    """Vectors of texts and videos that belong together row by row.

    Attributes:
        texts: float (N, D).
        videos: float (N, D).
        ids: of the videos.
        sentences: the texts.
    """

    texts: np.ndarray
    videos: np.ndarray
    ids: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """Where each text's own video stands: videos with a higher score, and videos with the same, itself included;
        int (N,) each. Scores are computed a chunk at a time."""
        return _count(self.texts[start : start + CHUNK] @ self.videos.T for start in range(0, len(self.texts), CHUNK))

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, eq=False)
class ScoredAnswers:
    """The same, of scores that are there already.

    Attributes:
        scores: float (N, N), texts by videos, own pairs on the diagonal.
    """

    scores: np.ndarray

    @cached_property
    def places(self) -> tuple[np.ndarray, np.ndarray]:
        """As `RetrievalAnswers.places`."""
        scores = np.asarray(self.scores, np.float32)
        return _count(scores[start : start + CHUNK] for start in range(0, len(scores), CHUNK))

    def __len__(self) -> int:
        return len(self.scores)


@register("metric")
class RetrievalMetric(Metric):
    """R@1, R@5, R@10 (parts of 1) and the median rank, 1 for the best.

    Among equal scores the fixed protocol takes the mean over all orders, so that a model that gives every video the
    same score is at chance. The original lets a text with ties count once for each of the tied places.
    """

    def compute(self, answers: RetrievalAnswers | ScoredAnswers, protocol: Protocol = "fixed") -> dict[str, Measure]:
        """Compute the measures.

        Args:
            answers: vectors or scores.
            protocol: how ties count.

        Returns:
            `R1`, `R5`, `R10` and `MR`.
        """
        better, tied = answers.places
        if protocol == "paper":
            first = np.repeat(better - np.cumsum(tied) + tied, tied)
            ranks = first + np.arange(len(first))  # better, better + 1, ... better + tied - 1 of each text
            hits = {k: ranks < k for k in CUTS}
            return _named(hits, ranks + 1)
        hits = {k: np.clip((k - better) / tied, 0, 1) for k in CUTS}
        return _named(hits, better + (tied + 1) / 2)

    def baselines(self, answers: RetrievalAnswers | ScoredAnswers) -> dict[str, dict[str, float]]:
        """Compute what a random order gets.

        Args:
            answers: only their number is read.

        Returns:
            `chance`.
        """
        count = len(answers)
        return {"chance": {**{f"R{k}": min(1.0, k / count) for k in CUTS}, "MR": (count + 1) / 2}}


def _named(hits: dict[int, np.ndarray], ranks: np.ndarray) -> dict[str, Measure]:
    recalls = {f"R{k}": Measure.of(values) for k, values in hits.items()}
    return {**recalls, "MR": Measure.of(ranks, "median", higher_is_better=False)}


def _count(chunks: Iterator[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    better, tied, start = [], [], 0
    for scores in chunks:
        own = scores[np.arange(len(scores)), start + np.arange(len(scores))][:, None]
        better.append((scores > own).sum(axis=1))
        tied.append((scores == own).sum(axis=1))
        start += len(scores)
    return np.concatenate(better), np.concatenate(tied)


@register("predictor")
class RetrievalPredictor(Predictor):
    """Encodes each pair of video and text."""

    def answer(self, model: MMPTPreTrainedModel, items: Sequence[Item]) -> list[Row]:
        """Encode pairs.

        Args:
            model: gives `pooled_video` and `pooled_text`.
            items: of `DSAligner`.

        Returns:
            For each: `id`, `text` and `video`, float32 (D,).
        """
        caps, cmasks, vfeats, vmasks = stack(items, "caps", "cmasks", "vfeats", "vmasks", device=model.device)
        output = model(caps=caps, cmasks=cmasks, vfeats=vfeats, vmasks=vmasks)
        texts, videos = output.pooled_text.float().cpu().numpy(), output.pooled_video.float().cpu().numpy()
        return [
            {"id": name_of(item["video_id"]), "text": text, "video": video}
            for item, text, video in zip(items, texts, videos, strict=True)
        ]

    def gather(self, rows: Sequence[Row], protocol: Protocol) -> RetrievalAnswers:
        """Put the vectors beside each other.

        Args:
            rows: as `answer` gives them.
            protocol: both are the same here.

        Returns:
            The vectors.
        """
        texts, videos = (np.stack([row[key] for row in rows]) for key in ("text", "video"))
        return RetrievalAnswers(texts, videos, tuple(row["id"] for row in rows))


def name_of(video_id: object) -> str:
    """Write a video's id in words: clips are named with their times.

    Args:
        video_id: what the data set calls it: an id, or (id, first second, last second).

    Returns:
        For example ``"xHr8X2Wpmno 47-60"``.
    """
    if isinstance(video_id, tuple | list) and len(video_id) == 3:
        return f"{video_id[0]} {video_id[1]}-{video_id[2]}"
    return str(video_id)
