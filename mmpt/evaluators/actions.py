"""Zero-shot action recognition (HMDB51): which action's name a video is most like, on three splits."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mmpt.datasets.mmdataset import MMDataset
from mmpt.evaluators.base import Measure, Metric, Protocol
from mmpt.evaluators.encoding import Towers, distinct
from mmpt.evaluators.predicting import INDEX, Item, Predictor, Row, require_finite, stack
from mmpt.evaluators.ties import rounding_of_scores
from mmpt.models.base import MMPTPreTrainedModel
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
        numbers: of the splits; from 1 on where it is empty.
    """

    scores: np.ndarray
    right: np.ndarray
    splits: np.ndarray
    ids: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()


@register("metric")
class ActionRecognitionMetric(Metric):
    """Accuracy and recall at 1, 5 and 10 on the test part of each split; the headline is the first split's.

    Among equal scores the fixed protocol takes the mean over all orders. The original takes the first action for the
    accuracy, and lets all tied ones count for the recall, so that equal scores are always found.
    """

    def compute(self, answers: ActionAnswers, protocol: Protocol = "fixed") -> dict[str, Measure]:
        """Compute the measures.

        Args:
            answers: the scores.
            protocol: both give the splits; the fixed one adds their mean.

        Returns:
            `acc` of the first split; in the fixed protocol `acc_mean`, the mean over splits where there are several;
            `acc_split1`, `R1_split1` and so on.
        """
        right = np.asarray(answers.right)
        own = answers.scores[np.arange(len(right)), right][:, None]
        margin = 0 if protocol == "paper" else rounding_of_scores(answers.scores)
        better = (answers.scores > own + margin).sum(axis=1)
        tied = (answers.scores >= own - margin).sum(axis=1) - better
        if protocol == "paper":
            hit, recalls = answers.scores.argmax(axis=1) == right, {k: better < k for k in CUTS}
        else:
            recalls = {k: np.clip((k - better) / tied, 0, 1) for k in CUTS}
            hit = recalls[1]
        result: dict[str, Measure] = {}
        pairs = []
        for number, split in _splits(answers):
            test = split == TEST  # each video has a row in each measure, so that cards are compared video by video
            pairs += [hit * test, test]
            result[f"acc_split{number}"] = Measure.of(np.stack(pairs[-2:], axis=1), "ratio")
            for k in CUTS:
                result[f"R{k}_split{number}"] = Measure.of(np.stack([recalls[k] * test, test], axis=1), "ratio")
        headline = {"acc": next(iter(result.values()))}
        several = protocol == "fixed" and len(answers.splits) > 1
        mean = {"acc_mean": Measure.of(np.stack(pairs, axis=1), "mean_of_pairs")} if several else {}
        return {**headline, **mean, **result}

    def baselines(self, answers: ActionAnswers) -> dict[str, dict[str, float]]:
        """Compute what one gets by chance and with the most frequent action.

        Args:
            answers: only the truth is read.

        Returns:
            `chance` and `most frequent action`, counted on these very videos.
        """
        count = answers.scores.shape[1]
        frequent: dict[str, float] = {}
        for number, split in _splits(answers):
            true = np.asarray(answers.right)[split == TEST]
            frequent[f"acc_split{number}"] = float(np.bincount(true, minlength=1).max() / max(1, len(true)))
        chance = {f"acc_split{number}": 1 / count for number, _ in _splits(answers)}
        recalls = {f"R{k}_split{number}": min(1.0, k / count) for number, _ in _splits(answers) for k in CUTS}
        return {
            "chance": {**_with_mean(chance), **recalls},
            "most frequent action": _with_mean(frequent),
        }


def _splits(answers: ActionAnswers) -> list[tuple[int, np.ndarray]]:
    marks = np.asarray(answers.splits)
    return list(zip(answers.numbers or range(1, len(marks) + 1), marks, strict=True))


def _with_mean(each: dict[str, float]) -> dict[str, float]:
    values = list(each.values())
    mean = {"acc_mean": float(np.mean(values))} if len(values) > 1 else {}
    return {"acc": values[0], **mean, **each}


@register("predictor")
class ActionRecognitionPredictor(Predictor):
    """Compares videos with the names of actions, each in the sentence that `dataset.label_template` gives."""

    items_at_once = 256
    task = "zero-shot action recognition: which action's name a video is most like"

    def prepare(self, model: MMPTPreTrainedModel, dataset: MMDataset) -> None:
        """Encode the names of actions.

        Args:
            model: encodes either side on its own.
            dataset: of `HMDB51MetaProcessor`, or of one that gives the same.

        Raises:
            ValueError: the model mixes video and text, the data set has no actions, or what the model makes of them is
                no number.
        """
        meta: Any = dataset.meta
        needed = ("labels", "marks", "numbers", "meta_text_labels")
        if absent := [name for name in needed if not hasattr(meta, name)]:
            raise ValueError(
                f"{type(meta).__name__} does not list actions (it has no {absent[0]}); action recognition takes "
                "HMDB51MetaProcessor"
            )
        self._towers = Towers(model)
        self._meta = meta
        self._places = {label: place for place, label in enumerate(meta.labels)}
        laid_out = meta.meta_text_labels()
        with torch.inference_mode():
            vectors = self._towers.texts(laid_out["caps"], laid_out["cmasks"])  # (C, D)
        require_finite([f"the action {label!r}" for label in meta.labels], vectors)
        first, self._same = distinct(vectors)
        self._actions = vectors[first]

    def answer(self, model: MMPTPreTrainedModel, items: Sequence[Item]) -> list[Row]:
        """Score actions.

        Args:
            model: encodes either side on its own.
            items: of `DSAligner`.

        Returns:
            For each: `id`, `chosen` and `action`, the names; `right`, the number; `splits`, what each says of it, and
            `numbers` of the splits; `scores`, float (C,).
        """
        caps, cmasks, vfeats, vmasks = stack(items, "caps", "cmasks", "vfeats", "vmasks")
        scores = (self._towers.videos(vfeats, vmasks, caps, cmasks) @ self._actions.T)[:, self._same]  # (B, C)
        rows: list[Row] = []
        for item, own in zip(items, scores, strict=True):
            video, action = self._meta[item[INDEX]]
            rows.append(
                {
                    "id": str(video),
                    "chosen": self._meta.labels[int(own.argmax())],
                    "action": action,
                    "right": self._places[action],
                    "splits": list(self._meta.marks[item[INDEX]]),
                    "numbers": list(self._meta.numbers),
                    "scores": own,
                }
            )
        return rows

    def gather(self, rows: Sequence[Row], protocol: Protocol) -> ActionAnswers:
        """Put the scores beside each other.

        Args:
            rows: as `answer` gives them.
            protocol: both are the same here.

        Returns:
            The scores.
        """
        scores, right = np.stack([row["scores"] for row in rows]), np.array([row["right"] for row in rows])
        splits = np.array([row["splits"] for row in rows]).T
        return ActionAnswers(scores, right, splits, tuple(row["id"] for row in rows), tuple(rows[0]["numbers"]))

    def notes(self, rows: Sequence[Row]) -> Mapping[str, str]:
        """Say in what sentence actions stand; see `Predictor.notes`."""
        return {
            "actions": f"{len(self._meta.labels)}, each as {self._meta.options.label_template!r}",
            "splits": ", ".join(map(str, self._meta.numbers)) + "; acc is that of the first",
        }
