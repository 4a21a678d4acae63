"""Multiple choice: which of five sentences a video goes with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmpt.datasets.mmdataset import MMDataset
from mmpt.evaluators.base import Measure, Metric, Protocol
from mmpt.evaluators.encoding import Towers
from mmpt.evaluators.predicting import Item, Predictor, Row, stack
from mmpt.evaluators.ties import rounding_of_scores
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.utils.registry import register


@dataclass(frozen=True, eq=False)
class ChoiceAnswers:
    """A choice for each video.

    Attributes:
        chosen: int (N,), from 0 on.
        right: int (N,).
        choices: how many sentences there are to choose from.
        scores: float (N, choices), of the sentences; None where only the choice is known.
    """

    chosen: np.ndarray
    right: np.ndarray
    choices: int = 5
    scores: np.ndarray | None = None


@register("metric")
class QAMetric(Metric):
    """The part of right choices.

    Among equally good sentences the fixed protocol takes the mean over all choices of one of them, so that a model that
    says the same of every sentence is at chance. The original takes the first.
    """

    def compute(self, answers: ChoiceAnswers, protocol: Protocol = "fixed") -> dict[str, Measure]:
        """Compute the measure.

        Args:
            answers: the choices.
            protocol: how ties count.

        Returns:
            `acc`.
        """
        if protocol == "fixed" and answers.scores is not None:
            highest = answers.scores.max(axis=1, keepdims=True)
            best = answers.scores >= highest - rounding_of_scores(answers.scores)
            return {"acc": Measure.of(best[np.arange(len(best)), answers.right] / best.sum(axis=1))}
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


def rate(videos: np.ndarray, sentences: np.ndarray) -> np.ndarray:
    """Compare each video with its sentences.

    Args:
        videos: float (N, D).
        sentences: float (N, choices, D).

    Returns:
        float (N, choices), dot products; equal sentences have equal ones, as each is computed on its own.
    """
    return np.einsum("nd,ncd->nc", videos, sentences)


@register("predictor")
class QAPredictor(Predictor):
    """Takes the sentence whose vector is most like the video's."""

    items_at_once = 64
    task = "multiple choice: which of a few sentences belongs to a video"

    def prepare(self, model: MMPTPreTrainedModel, dataset: MMDataset) -> None:
        """See that the model keeps video and text apart.

        Args:
            model: encodes either side on its own.
            dataset: of `MSRVTTQAAligner`.

        Raises:
            ValueError: the model mixes them: a video's vector would know the sentence that it is compared with.
        """
        self._towers = Towers(model)

    def answer(self, model: MMPTPreTrainedModel, items: Sequence[Item]) -> list[Row]:
        """Choose.

        Args:
            model: encodes either side on its own.
            items: of `MSRVTTQAAligner`.

        Returns:
            For each: `id`, `chosen`, the first of equally good ones, `right` and `choices`; `scores`, float (choices,).
        """
        caps, cmasks, vfeats, vmasks = stack(items, "caps", "cmasks", "vfeats", "vmasks")
        choices = caps.shape[1]  # (B, choices, T)
        videos = self._towers.videos(vfeats, vmasks, caps[:, 0], cmasks[:, 0])  # (B, D)
        sentences = self._towers.texts(caps.flatten(0, 1), cmasks.flatten(0, 1))  # (B * choices, D)
        sentences = sentences.reshape(len(items), choices, -1)
        return [
            {
                "id": str(item["video_id"]),
                "chosen": int(scores.argmax()),
                "right": int(item["answers"]),
                "choices": choices,
                "scores": scores,
            }
            for item, scores in zip(items, rate(videos, sentences), strict=True)
        ]

    def gather(self, rows: Sequence[Row], protocol: Protocol) -> ChoiceAnswers:
        """Put the choices beside each other.

        Args:
            rows: as `answer` gives them.
            protocol: both are the same here.

        Returns:
            The choices.
        """
        chosen, right, scores = (np.array([row[key] for row in rows]) for key in ("chosen", "right", "scores"))
        return ChoiceAnswers(chosen, right, rows[0]["choices"], scores)
