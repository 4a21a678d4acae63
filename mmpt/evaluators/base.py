"""Measures that know what they are made of, so that their uncertainty can be told."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from mmpt.evaluators.caption_statistics import bleu, meteor

Protocol = Literal["paper", "fixed"]  # what the original computes, faults included | the same with its faults mended
PROTOCOLS: tuple[Protocol, ...] = ("fixed", "paper")


@dataclass(frozen=True, eq=False)
class Measure:
    """One number, and the parts that it is computed from.

    Attributes:
        value: the number.
        parts: (N,) or (N, k) float, one row for each example that could have been another: a text, a video.
        statistic: name of the function in STATISTICS that makes the number of the rows.
        higher_is_better: whether a larger number is a better one.
    """

    value: float
    parts: np.ndarray
    statistic: str = "mean"
    higher_is_better: bool = True

    @classmethod
    def of(cls, parts: Any, statistic: str = "mean", *, higher_is_better: bool = True) -> "Measure":
        """Compute a measure of its parts.

        Args:
            parts: as `Measure.parts`.
            statistic: as `Measure.statistic`.
            higher_is_better: as `Measure.higher_is_better`.

        Returns:
            The measure.
        """
        rows = np.asarray(parts, np.float64)
        return cls(STATISTICS[statistic](rows), rows, statistic, higher_is_better)


class Metric(ABC):
    """Says what a task's answers are worth."""

    @abstractmethod
    def compute(self, answers: Any, protocol: Protocol = "fixed") -> dict[str, Measure]:
        """Compute the measures.

        Args:
            answers: what the task's predictor gives.
            protocol: whether the original's faults are mended or reproduced.

        Returns:
            Name -> measure, under the papers' names.
        """

    @abstractmethod
    def baselines(self, answers: Any) -> dict[str, dict[str, float]]:
        """Compute what one gets without looking at the video.

        Args:
            answers: what the task's predictor gives; only the truth in it is read.

        Returns:
            Name of the trivial method -> name of the measure -> value.
        """


def _mean(rows: np.ndarray) -> float:
    return float(rows.mean()) if len(rows) else float("nan")


def _median(rows: np.ndarray) -> float:
    return float(np.median(rows)) if len(rows) else float("nan")


def _ratio(rows: np.ndarray) -> float:
    """Rows are (part, whole): the sum of parts over the sum of wholes."""
    part, whole = rows.sum(axis=0) if len(rows) else (0.0, 0.0)
    return float(part / whole) if whole else float("nan")


def _mean_of_ratios(rows: np.ndarray) -> float:
    """Rows are (group, part, whole): the mean over groups of each group's ratio, those without a whole left out."""
    _, group = np.unique(rows[:, 0], return_inverse=True)
    parts, wholes = (np.bincount(group, weights=rows[:, column]) for column in (1, 2))
    known = wholes > 0
    return float((parts[known] / wholes[known]).mean()) if known.any() else float("nan")


def _mean_of_pairs(rows: np.ndarray) -> float:
    """Rows are (part, whole, part, whole, ...): the mean of each pair's ratio, those without a whole left out."""
    parts, wholes = rows.sum(axis=0).reshape(-1, 2).T
    known = wholes > 0
    return float((parts[known] / wholes[known]).mean()) if known.any() else float("nan")


STATISTICS: Mapping[str, Callable[[np.ndarray], float]] = {
    "mean": _mean,
    "median": _median,
    "ratio": _ratio,
    "mean_of_ratios": _mean_of_ratios,
    "mean_of_pairs": _mean_of_pairs,
    "bleu": bleu,
    "meteor": meteor,
}
