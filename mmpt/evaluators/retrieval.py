"""Text-to-video retrieval: where the right video stands among all, for each text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmpt.datasets.mmdataset import MMDataset
from mmpt.evaluators.base import Measure, Metric, Protocol
from mmpt.evaluators.encoding import Towers, distinct
from mmpt.evaluators.predicting import INDEX, Item, Predictor, Row, stack
from mmpt.evaluators.ties import rounding_of, rounding_of_scores
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.utils.registry import register

CUTS = (1, 5, 10)
SCORES = 4_000_000  # computed at a time, 16 MB


@dataclass(frozen=True, eq=False)
class RetrievalAnswers:
    """Vectors of texts, and of the videos to find.

    Attributes:
        texts: float (N, D).
        videos: float (M, D).
        ids: of the texts' videos, N.
        own: int (N,), which video belongs to each text; row by row where it is None.
    """

    texts: np.ndarray
    videos: np.ndarray
    ids: tuple[str, ...] = ()
    own: np.ndarray | None = None

    def places(self, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
        """Where each text's own video stands: videos with a higher score, and videos with the same, itself included;
        int (N,) each. Scores are computed a chunk at a time, and once for videos of one vector. In the fixed protocol
        scores that differ by rounding only are the same."""
        first, same = distinct(self.videos)
        own = same[np.arange(len(self)) if self.own is None else self.own]
        videos = self.videos if len(first) == len(same) else self.videos[first]
        margins = _exact(len(self)) if protocol == "paper" else rounding_of(self.texts, videos)
        chunks = ((self.texts[chunk] @ videos.T, own[chunk], margins[chunk]) for chunk in _chunks(self))
        return _count(chunks, np.bincount(same))

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def candidates(self) -> int:
        """How many videos there are to choose from."""
        return len(self.videos)


@dataclass(frozen=True, eq=False)
class ScoredAnswers:
    """The same, of scores that are there already.

    Attributes:
        scores: float (N, N), texts by videos, own pairs on the diagonal.
    """

    scores: np.ndarray

    def places(self, protocol: Protocol) -> tuple[np.ndarray, np.ndarray]:
        """As `RetrievalAnswers.places`."""
        own = np.arange(len(self))
        scores = ((np.asarray(self.scores[chunk], np.float32), own[chunk]) for chunk in _chunks(self))
        exact = protocol == "paper"
        chunks = ((part, mine, _exact(len(part)) if exact else rounding_of_scores(part)) for part, mine in scores)
        return _count(chunks, np.ones(len(self), np.int64))

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def candidates(self) -> int:
        """How many videos there are to choose from."""
        return len(self.scores)


@register("metric")
class RetrievalMetric(Metric):
    """R@1, R@5, R@10 (parts of 1) and the median rank, 1 for the best.

    Among scores that are equal but for rounding the fixed protocol takes the mean over all orders, so that a model that
    gives every video the same score is at chance. The original lets a text with ties count once for each of the tied
    places.
    """

    def compute(self, answers: RetrievalAnswers | ScoredAnswers, protocol: Protocol = "fixed") -> dict[str, Measure]:
        """Compute the measures.

        Args:
            answers: vectors or scores.
            protocol: how ties count.

        Returns:
            `R1`, `R5`, `R10` and `MR`.
        """
        better, tied = answers.places(protocol)
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
            answers: only the number of videos is read.

        Returns:
            `chance`.
        """
        count = answers.candidates
        return {"chance": {**{f"R{k}": min(1.0, k / count) for k in CUTS}, "MR": (count + 1) / 2}}


def _named(hits: dict[int, np.ndarray], ranks: np.ndarray) -> dict[str, Measure]:
    recalls = {f"R{k}": Measure.of(values) for k, values in hits.items()}
    return {**recalls, "MR": Measure.of(ranks, "median", higher_is_better=False)}


def _chunks(answers: RetrievalAnswers | ScoredAnswers) -> Iterator[slice]:
    """Texts whose scores are computed together, so that memory does not grow with their number."""
    size = max(1, SCORES // answers.candidates)
    return (slice(start, start + size) for start in range(0, len(answers), size))


def _exact(count: int) -> np.ndarray:
    return np.zeros((count, 1), np.float32)


def _count(
    chunks: Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]], copies: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Of scores, (n, M), the number of each row's own video, (n,), and by how much equal scores may differ, (n, 1), one
    chunk after the other; how often each of the M videos is there, (M,)."""
    better, tied = [], []
    weights = copies.astype(np.float32)  # small and fast, and exact for 16 million videos
    for scores, own, margin in chunks:
        right = np.take_along_axis(scores, own[:, None], axis=1)
        better.append((scores > right + margin) @ weights)
        tied.append((scores >= right - margin) @ weights - better[-1])
    if any((each == 0).any() for each in tied):
        raise ValueError(
            "some scores of texts with their own videos are not numbers (NaN); there is no ranking of them"
        )
    return np.concatenate(better).astype(np.int64), np.concatenate(tied).astype(np.int64)


@register("predictor")
class RetrievalPredictor(Predictor):
    """Encodes texts and videos."""

    items_at_once = 256
    task = "text-to-video retrieval: where a text's own video stands among all videos"

    def prepare(self, model: MMPTPreTrainedModel, dataset: MMDataset) -> None:
        """See that the model keeps video and text apart.

        Args:
            model: encodes either side on its own.
            dataset: of `DSAligner`.

        Raises:
            ValueError: the model mixes them: a video's vector would know the text that it is compared with.
        """
        self._towers = Towers(model)
        self._meta = dataset.meta

    def answer(self, model: MMPTPreTrainedModel, items: Sequence[Item]) -> list[Row]:
        """Encode pairs.

        Args:
            model: encodes either side on its own.
            items: of `DSAligner`.

        Returns:
            For each: `id`, `sentence`; `text` and `video`, float32 (D,).
        """
        caps, cmasks, vfeats, vmasks = stack(items, "caps", "cmasks", "vfeats", "vmasks")
        texts, videos = self._towers.texts(caps, cmasks), self._towers.videos(vfeats, vmasks, caps, cmasks)
        return [
            {
                "id": name_of(item["video_id"]),
                "sentence": str(self._meta[item[INDEX]][1]),
                "text": text,
                "video": video,
            }
            for item, text, video in zip(items, texts, videos, strict=True)
        ]

    def gather(self, rows: Sequence[Row], protocol: Protocol) -> RetrievalAnswers:
        """Put the vectors beside each other.

        Args:
            rows: as `answer` gives them.
            protocol: a video that several texts describe is one to find in the fixed protocol. The original has it
                once for each of them, and finds the right one of equal ones by chance only.

        Returns:
            The vectors.
        """
        ids = tuple(row["id"] for row in rows)
        texts, videos = (np.stack([row[key] for row in rows]) for key in ("text", "video"))
        if protocol == "paper":
            return RetrievalAnswers(texts, videos, ids)
        first = {name: place for place, name in reversed(list(enumerate(ids)))}
        place_of = {name: place for place, name in enumerate(dict.fromkeys(ids))}
        own = np.array([place_of[name] for name in ids])
        return RetrievalAnswers(texts, videos[[first[name] for name in place_of]], ids, own)

    def notes(self, rows: Sequence[Row]) -> Mapping[str, str]:
        """Notes on the number of candidate videos and texts; see `Predictor.notes`."""
        count = len({row["id"] for row in rows})
        joined = getattr(self._meta.options, "paragraphs", False)
        paragraphs = "paragraphs: all sentences of a video, joined in the file's order"
        return {
            "candidates": f"{count:,} videos or clips for {len(rows):,} texts",
            "texts": paragraphs if joined else "sentence by sentence",
        }


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
