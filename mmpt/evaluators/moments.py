"""Moment ranking (DiDeMo): which of a video's 21 moments a sentence means.

A video is six pieces of five seconds, a moment one or more of them in a row. The ranking is inside one video: it says
nothing of finding the video.
"""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import dataclass

import numpy as np
import torch

from mmpt.datasets.mmdataset import MMDataset
from mmpt.evaluators.base import PROTOCOLS, Measure, Metric, Protocol
from mmpt.evaluators.encoding import Once, Towers
from mmpt.evaluators.predicting import INDEX, Item, Predictor, Row, require_finite, stack
from mmpt.evaluators.ties import ranked
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.utils.registry import register

PIECES = 6
PIECE = 5  # seconds
Moment = tuple[int, int]  # first and last piece
MOMENTS: tuple[Moment, ...] = (
    *((piece, piece) for piece in range(PIECES)),
    *((first, last) for first in range(PIECES) for last in range(first + 1, PIECES)),
)
VIDEOS_REMEMBERED = 512  # of whose seconds the states are kept: 100 KB each
RANDOM_FEATURES_DRAWS = 4_000  # enough for three digits of a mean over a thousand sentences
ORDERS = 150_000  # looked at for what chance gives: all that four annotators' moments can have; of more, a sample
JUDGES = 3  # annotators that count, of those who marked a moment: those who agree best


@dataclass(frozen=True, eq=False)
class MomentAnswers:
    """A ranking of moments for each sentence.

    Attributes:
        rankings: for each sentence its video's moments, the best first.
        truths: for each sentence the moments that annotators marked.
        ids: of the videos.
    """

    rankings: Sequence[Sequence[Moment]]
    truths: Sequence[Sequence[Moment]]
    ids: tuple[str, ...] = ()


@register("metric")
class DiDeMoMetric(Metric):
    """rank@1, rank@5 and the mean overlap of the best moment (Hendricks et al., ICCV 2017, section 5).

    A moment that an annotator marked and that the video is too short for has no rank: the original leaves it out, and
    the fixed protocol puts it behind the last.
    """

    def compute(self, answers: MomentAnswers, protocol: Protocol = "fixed") -> dict[str, Measure]:
        """Compute the measures.

        Args:
            answers: the rankings.
            protocol: how moments that are not ranked count.

        Returns:
            `rank1`, `rank5` and `miou`.
        """
        ranks = np.array([mean_rank(r, t, protocol) for r, t in zip(answers.rankings, answers.truths, strict=True)])
        overlaps = [_best_overlap(r[0], t) for r, t in zip(answers.rankings, answers.truths, strict=True)]
        return {"rank1": Measure.of(ranks <= 1), "rank5": Measure.of(ranks <= 5), "miou": Measure.of(overlaps)}

    def baselines(self, answers: MomentAnswers) -> dict[str, dict[str, float]]:
        """Compute what one gets by chance, and with one order of the moments for all videos.

        Args:
            answers: which moments each video has, and the truths; the order of the moments is not read.

        Returns:
            `chance`, the mean over random orders; `random features`, where each piece has a random score and a moment
            the mean of its pieces: single pieces vary most, so that one of them is first far more often than a random
            order has it, and single pieces are what annotators mark; `always the first piece` and `most frequent
            moments first` (counted on these very truths).
        """
        counted = Counter(tuple(moment) for truth in answers.truths for moment in truth)
        popular = sorted(MOMENTS, key=lambda moment: -counted[moment])
        there = [{(first, last) for first, last in ranking} for ranking in answers.rankings]
        orders = {}
        orders["always the first piece"] = [[m for m in MOMENTS if m in known] for known in there]
        orders["most frequent moments first"] = [[m for m in popular if m in known] for known in there]
        chances = [_by_chance(known, truth) for known, truth in zip(there, answers.truths, strict=True)]
        rank1, rank5, miou = (float(np.mean(values)) for values in zip(*chances, strict=True))
        return {
            "chance": {"rank1": rank1, "rank5": rank5, "miou": miou},
            "random features": _by_random_features(there, answers.truths),
            **{name: self._values(order, answers.truths) for name, order in orders.items()},
        }

    def _values(self, rankings: Sequence[Sequence[Moment]], truths: Sequence[Sequence[Moment]]) -> dict[str, float]:
        return {name: measure.value for name, measure in self.compute(MomentAnswers(rankings, truths)).items()}


def rank_moments(seconds: np.ndarray, real: np.ndarray, text: np.ndarray, protocol: Protocol = "fixed") -> list[Moment]:
    """Rank the moments of a video.

    Args:
        seconds: float (V, D), the states of the video's seconds; at least 30 rows, those that are not real included.
        real: bool (V,), whether there is such a second.
        text: float (D,), the sentence.
        protocol: the fixed one takes the mean over the real seconds of a moment, the original over all of them.

    Returns:
        The moments that have a real second, the best first; equal ones in the order of `MOMENTS`, so that a model that
        says the same of all gets what `always the first piece` gets.
    """
    scores = seconds.astype(np.float64) @ text.astype(np.float64)  # the mean of dot products is that of the mean
    weights = real.astype(np.float64) if protocol == "fixed" else np.ones(len(real))
    rated: dict[Moment, float] = {}
    for first, last in MOMENTS:
        part = slice(first * PIECE, (last + 1) * PIECE)
        if real[part].any():
            rated[first, last] = float(np.average(scores[part], weights=weights[part]))
    moments, means = list(rated), np.array(list(rated.values()))
    order = np.argsort(-means, kind="stable") if protocol == "paper" else ranked(means)
    return [moments[place] for place in order]


def mean_rank(ranking: Sequence[Moment], truth: Sequence[Moment], protocol: Protocol = "fixed") -> float:
    """Say where a sentence's moments stand.

    Args:
        ranking: the video's moments, the best first.
        truth: the moments that annotators marked.
        protocol: how moments that are not ranked count.

    Returns:
        The mean rank, from 1 on, of the annotators' moments that stand highest; infinite where none is ranked.
    """
    places = {tuple(moment): place for place, moment in enumerate(ranking, 1)}
    ranks = [places[tuple(moment)] for moment in truth if tuple(moment) in places]
    if protocol == "fixed":
        ranks += [len(MOMENTS) + 1] * (len(truth) - len(ranks))
    return float(np.mean(sorted(ranks)[:JUDGES])) if ranks else float("inf")


def _by_chance(known: Set[Moment], truth: Sequence[Moment]) -> tuple[float, float, float]:
    """What random orders of a video's moments get for a sentence on average: `rank1`, `rank5` and `miou`."""
    marked = Counter(tuple(moment) for moment in truth)
    there = tuple(sorted(count for moment, count in marked.items() if moment in known))
    overlap = float(np.mean([_best_overlap(moment, truth) for moment in sorted(known)]))
    return *_ranks_by_chance(len(known), there, len(truth) - sum(there)), overlap


def _by_random_features(there: Sequence[Set[Moment]], truths: Sequence[Sequence[Moment]]) -> dict[str, float]:
    """The average result of random scores of pieces, each moment having the mean of its pieces."""
    found = [
        _of_random_ranks(frozenset(moments), tuple(sorted((first, last) for first, last in truth)))
        for moments, truth in zip(there, truths, strict=True)
    ]
    rank1, rank5, miou = (float(np.mean(values)) for values in zip(*found, strict=True))
    return {"rank1": rank1, "rank5": rank5, "miou": miou}


@functools.cache
def _of_random_ranks(known: frozenset[Moment], truth: tuple[Moment, ...]) -> tuple[float, float, float]:
    """`rank1`, `rank5` and `miou` of one sentence."""
    places, ranks = _random_ranks(known)
    absent = np.full(len(ranks), len(MOMENTS) + 1)
    marked = [ranks[:, places[moment]] if moment in places else absent for moment in truth]
    means = np.sort(np.stack(marked), axis=0)[:JUDGES].mean(axis=0)
    first = (ranks == 1).mean(axis=0)  # how often each moment is the best
    overlap = sum(first[place] * _best_overlap(moment, truth) for moment, place in places.items())
    return float((means <= 1).mean()), float((means <= 5).mean()), float(overlap)


@functools.cache
def _random_ranks(known: frozenset[Moment]) -> tuple[dict[Moment, int], np.ndarray]:
    """The place of each moment that a video has, and its rank in each draw: int (draws, moments)."""
    moments = sorted(known)
    pieces = np.random.default_rng(0).normal(size=(RANDOM_FEATURES_DRAWS, PIECES))
    scores = np.stack([pieces[:, first : last + 1].mean(axis=1) for first, last in moments], axis=1)
    order = np.argsort(-scores, axis=1)
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.arange(1, len(moments) + 1)[None], axis=1)
    return {moment: place for place, moment in enumerate(moments)}, ranks


@functools.cache
def _ranks_by_chance(moments: int, marked: tuple[int, ...], absent: int) -> tuple[float, float]:
    """`rank1` and `rank5` over random orders of so many moments, of which some were marked by so many annotators."""
    places = np.arange(1, moments + 1, dtype=np.int8)
    if math.perm(moments, len(marked)) <= ORDERS:
        taken = np.array(list(itertools.permutations(places, len(marked))), np.int8)
    else:
        taken = np.random.default_rng(0).permuted(np.tile(places, (ORDERS, 1)), axis=1)[:, : len(marked)]
    ranks = np.repeat(taken, marked, axis=1)
    ranks = np.pad(ranks, ((0, 0), (0, absent)), constant_values=len(MOMENTS) + 1)
    means = np.sort(ranks, axis=1)[:, :JUDGES].mean(axis=1)
    return float((means <= 1).mean()), float((means <= 5).mean())


def _best_overlap(moment: Moment, truth: Sequence[Moment]) -> float:
    """The mean overlap with the annotators' moments that overlap most, in pieces, ends included."""
    overlaps = []
    for first, last in truth:
        common = min(moment[1], last) - max(moment[0], first) + 1
        union = max(moment[1], last) - min(moment[0], first) + 1
        overlaps.append(max(0, common) / union)
    return float(np.mean(sorted(overlaps)[-JUDGES:]))


@register("predictor")
class DiDeMoPredictor(Predictor):
    """Ranks the moments of each sentence's video."""

    items_at_once = 128
    task = "moment ranking: which of the 21 moments of a sentence's own video it means; the video is given, not found"
    pooling = "mean over the seconds of a moment"

    def prepare(self, model: MMPTPreTrainedModel, dataset: MMDataset) -> None:
        """Take the annotators' moments.

        Args:
            model: of at least 30 seconds (max_video_len), encodes either side on its own.
            dataset: of `DiDeMoMetaProcessor`.

        Raises:
            ValueError: the model takes less than a whole video or mixes video and text, or the data set has no moments.
        """
        if model.config.max_video_len < PIECES * PIECE:
            raise ValueError(
                f"the model takes {model.config.max_video_len} seconds (dataset.max_video_len) and DiDeMo's videos "
                f"have {PIECES * PIECE}; evaluate a model that takes them whole"
            )
        times = getattr(dataset.meta, "times", None)
        if times is None:
            raise ValueError("the data set has no moments; moment ranking takes DiDeMoMetaProcessor")
        self._times = times
        self._towers = Towers(model)
        self._seconds = Once(functools.partial(_all_seconds, model), VIDEOS_REMEMBERED)

    def answer(self, model: MMPTPreTrainedModel, items: Sequence[Item]) -> list[Row]:
        """Rank.

        Args:
            model: encodes either side on its own.
            items: of `DiDeMoAligner`.

        Returns:
            For each: `id`, `truth`, and a ranking for each protocol.
        """
        caps, cmasks, vfeats, vmasks = stack(items, "caps", "cmasks", "vfeats", "vmasks")
        seconds = self._seconds(vmasks, (vfeats, vmasks, caps[:, :2], cmasks[:, :2]), model.device)  # (V, D) each
        texts = self._towers.texts(caps, cmasks)  # (B, D)
        for values in (seconds, texts):
            require_finite((item["video_id"] for item in items), values)
        real = vmasks.numpy()
        return [
            {
                "id": str(item["video_id"]),
                "truth": [list(moment) for moment in self._times[item[INDEX]]],
                **{protocol: rank_moments(*row, protocol=protocol) for protocol in PROTOCOLS},
            }
            for item, *row in zip(items, seconds, real, texts, strict=True)
        ]

    def gather(self, rows: Sequence[Row], protocol: Protocol) -> MomentAnswers:
        """Take the rankings of a protocol.

        Args:
            rows: as `answer` gives them.
            protocol: which rankings.

        Returns:
            The rankings.
        """
        rankings = [[(first, last) for first, last in row[protocol]] for row in rows]
        truths = [[(first, last) for first, last in row["truth"]] for row in rows]
        return MomentAnswers(rankings, truths, tuple(row["id"] for row in rows))


def _all_seconds(model: MMPTPreTrainedModel, *video: torch.Tensor) -> torch.Tensor:
    """The states of all seconds, padded ones too: the paper's protocol looks at them. (B, V, F) -> (B, V, D)."""
    trimmed, model.trim_padding = model.trim_padding, False
    try:
        return model.get_video_tokens(*video)
    finally:
        model.trim_padding = trimmed
