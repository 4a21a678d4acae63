"""Multiple choice: which of five sentences a video goes with."""

from dataclasses import dataclass

import numpy as np

from mmpt.evaluators.base import Measure, Metric, Protocol
from mmpt.utils.registry import register


@dataclass(frozen=True, eq=False)
class ChoiceAnswers:
    """A choice for each video.

    Attributes:
        chosen: int (N,), from 0 on.
        right: int (N,).
        choices: how many sentences there are to choose from.
    """

    chosen: np.ndarray
    right: np.ndarray
    choices: int = 5


@register("metric")
class QAMetric(Metric):
    """The part of right choices."""

    def compute(self, answers: ChoiceAnswers, protocol: Protocol = "fixed") -> dict[str, Measure]:
        """Compute the measure.

        Args:
            answers: the choices.
            protocol: both are the same here.

        Returns:
            `acc`.
        """
        return {"acc": Measure.of(np.asarray(answers.chosen) == np.asarray(answers.right))}

    def baselines(self, answers: ChoiceAnswers) -> dict[str, dict[str, float]]:
        """Compute what one gets by chance, and by always taking the place that is right most often.

        Args:
            answers: only the right ones are read.

        Returns:
            `chance` and `most frequent place`.
        """
        counts = np.bincount(answers.right, minlength=answers.choices)
        return {
            "chance": {"acc": 1 / answers.choices},
            "most frequent place": {"acc": float(counts.max() / counts.sum())},
        }


def choose(videos: np.ndarray, sentences: np.ndarray) -> np.ndarray:
    """Choose a sentence for each video.

    Args:
        videos: float (N, D).
        sentences: float (N, choices, D).

    Returns:
        int (N,), the sentence with the largest dot product; the first of equal ones.
    """
    return np.einsum("nd,ncd->nc", videos, sentences).argmax(axis=1)
