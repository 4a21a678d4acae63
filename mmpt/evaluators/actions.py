"""Zero-shot action recognition (HMDB51): which action's name a video is most like, on three splits."""

from dataclasses import dataclass

import numpy as np

from mmpt.evaluators.base import Measure, Metric, Protocol
from mmpt.utils.registry import register

CUTS = (1, 5, 10)
TEST = 2  # what a split's list says of a video: 0 neither, 1 training, 2 test


@dataclass(frozen=True, eq=False)
class ActionAnswers:
    """Scores of actions for each video.

    Attributes:
        scores: float (N, C).
        right: int (N,).
        splits: int (splits, N): 2 where a video is in the split's test part.
        ids: of the videos.
        actions: their names.
    """

    scores: np.ndarray
    right: np.ndarray
    splits: np.ndarray
    ids: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()


@register("metric")
class ActionRecognitionMetric(Metric):
    """Accuracy and recall at 1, 5 and 10 on the test part of each split; the headline is the first split's."""

    def compute(self, answers: ActionAnswers, protocol: Protocol = "fixed") -> dict[str, Measure]:
        """Compute the measures.

        Args:
            answers: the scores.
            protocol: both give the splits; the fixed one adds their mean.

        Returns:
            `acc` of the first split; `acc_split1`, `R1_split1` and so on; in the fixed protocol `acc_mean` over splits.
        """
        right = np.asarray(answers.right)
        own = answers.scores[np.arange(len(right)), right][:, None]
        rank = (answers.scores > own).sum(axis=1)
        chosen = answers.scores.argmax(axis=1)
        result: dict[str, Measure] = {}
        rows = []
        for number, split in enumerate(np.asarray(answers.splits), 1):
            test = split == TEST
            result[f"acc_split{number}"] = Measure.of((chosen == right)[test])
            for k in CUTS:
                result[f"R{k}_split{number}"] = Measure.of((rank < k)[test])
            rows += [(number, float(hit), 1.0) for hit in (chosen == right)[test]]
        headline = {"acc": result["acc_split1"]}
        mean = {"acc_mean": Measure.of(rows, "mean_of_ratios")} if protocol == "fixed" else {}
        return {**headline, **mean, **result}

    def baselines(self, answers: ActionAnswers) -> dict[str, dict[str, float]]:
        """Compute what one gets by chance and with the most frequent action.

        Args:
            answers: only the truth is read.

        Returns:
            `chance` and `most frequent action` (of the first split's test part).
        """
        count = answers.scores.shape[1]
        test = np.asarray(answers.right)[np.asarray(answers.splits)[0] == TEST]
        frequent = np.bincount(test, minlength=1).max() / max(1, len(test))
        return {"chance": {"acc": 1 / count}, "most frequent action": {"acc": float(frequent)}}
