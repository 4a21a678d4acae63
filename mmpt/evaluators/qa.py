"""Multiple choice: which of five sentences a video goes with."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmpt.datasets.mmdataset import MMDataset
from mmpt.evaluators.base import Measure, Metric, Protocol
from mmpt.evaluators.encoding import Towers
from mmpt.evaluators.predicting import Item, Predictor, Row, stack
from mmpt.models.base import MMPTPreTrainedModel
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
            For each: `id`, `chosen`, `right` and `choices`.
        """
        caps, cmasks, vfeats, vmasks = stack(items, "caps", "cmasks", "vfeats", "vmasks")
        choices = caps.shape[1]  # (B, choices, T)
        videos = self._towers.videos(vfeats, vmasks, caps[:, 0], cmasks[:, 0])  # (B, D)
        sentences = self._towers.texts(caps.flatten(0, 1), cmasks.flatten(0, 1))  # (B * choices, D)
        sentences = sentences.reshape(len(items), choices, -1)
        return [
            {"id": str(item["video_id"]), "chosen": int(chosen), "right": int(item["answers"]), "choices": choices}
            for item, chosen in zip(items, choose(videos, sentences), strict=True)
        ]

    def gather(self, rows: Sequence[Row], protocol: Protocol) -> ChoiceAnswers:
        """Put the choices beside each other.

        Args:
            rows: as `answer` gives them.
            protocol: both are the same here.

        Returns:
            The choices.
        """
        chosen, right = (np.array([row[key] for row in rows]) for key in ("chosen", "right"))
        return ChoiceAnswers(chosen, right, rows[0]["choices"])
