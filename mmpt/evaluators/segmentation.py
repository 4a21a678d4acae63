"""Action segmentation (COIN): a label for every second, 0 for none of them.

Shapes: T seconds, C labels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from mmpt.datasets.mmdataset import MMDataset
from mmpt.evaluators.base import Measure, Metric, Protocol
from mmpt.evaluators.predicting import Item, Predictor, Row
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.heads import SegmentationModel
from mmpt.processors.ds import cut_windows
from mmpt.utils.registry import register
from mmpt.video.windows import merge

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
    return np.where(scores > threshold, labels, BACKGROUND)


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


def _overlap(one: tuple[int, int], other: tuple[int, int]) -> float:
    common = min(one[1], other[1]) - max(one[0], other[0])
    return max(0, common) / (max(one[1], other[1]) - min(one[0], other[0]))


class WindowPredictor(Predictor):
    """Scores windows of many videos at once, and puts those of a video together again."""

    items_at_once = 8  # videos of a few windows each

    def prepare(self, model: MMPTPreTrainedModel, dataset: MMDataset) -> None:
        """Take how windows are cut.

        Args:
            model: the model.
            dataset: of `COINActionSegmentationMetaProcessor`.
        """
        self._config = dataset.aligner.config

    def score(
        self,
        model: MMPTPreTrainedModel,
        caps: torch.Tensor,
        cmasks: torch.Tensor,
        vfeats: torch.Tensor,
        vmasks: torch.Tensor,
    ) -> torch.Tensor:
        """Score windows: (W, T), (W, T), (W, V, F), (W, V) -> float (W, V, C)."""
        raise NotImplementedError

    def merged(self, model: MMPTPreTrainedModel, items: Sequence[Item]) -> list[np.ndarray]:
        """Score videos.

        Args:
            model: the model.
            items: of `COINActionSegmentationAligner`.

        Returns:
            For each video float (T, C), the mean over the windows that cover a second.
        """
        keys = ("caps", "cmasks", "vfeats", "vmasks")
        packed = [torch.cat([item[key] for item in items]).to(model.device) for key in keys]
        scores = self.score(model, *packed).float().cpu().numpy()
        result, start = [], 0
        for item in items:
            count, length = len(item["vfeats"]), int(item["video_len"])
            bounds = cut_windows(self._config, length, item["video_id"])
            result.append(merge(scores[start : start + count], bounds, length))
            start += count
        return result


@register("predictor")
class COINPredictor(WindowPredictor):
    """Takes each second's best label, by a model that was trained on them."""

    def prepare(self, model: MMPTPreTrainedModel, dataset: MMDataset) -> None:
        """See that the model has labels, and as many as the data.

        Args:
            model: one of the segmentation models.
            dataset: of `COINActionSegmentationMetaProcessor`.

        Raises:
            ValueError: it has none, or fewer than the data.
        """
        super().prepare(model, dataset)
        if not isinstance(model, SegmentationModel):
            raise ValueError(
                f"{type(model).__name__} has no labels; set model.model_cls to MMFusionSeparateActionSegmentation "
                "(VideoCLIP) or MMFusionActionSegmentation (VLM), or evaluate zero-shot with COINZSPredictor"
            )
        highest = max(max(text["label"], default=0) for text in _texts(dataset))
        if highest >= model.config.num_classes:
            raise ValueError(
                f"the data has the label {highest}, and the model labels 0 to {model.config.num_classes - 1} "
                "(model.num_labels); evaluate a model that was trained on this data"
            )

    def score(
        self,
        model: MMPTPreTrainedModel,
        caps: torch.Tensor,
        cmasks: torch.Tensor,
        vfeats: torch.Tensor,
        vmasks: torch.Tensor,
    ) -> torch.Tensor:
        """Score windows: (W, T), (W, T), (W, V, F), (W, V) -> float (W, V, C)."""
        assert isinstance(model, SegmentationModel)
        return model.window_logits(caps, cmasks, vfeats, vmasks)

    def answer(self, model: MMPTPreTrainedModel, items: Sequence[Item]) -> list[Row]:
        """Label.

        Args:
            model: one of the segmentation models.
            items: of `COINActionSegmentationAligner`.

        Returns:
            For each: `id`, `found` and `true`, int (T,).
        """
        return [
            {"id": str(item["video_id"]), "found": scores.argmax(axis=1), "true": item["video_targets"].numpy()}
            for item, scores in zip(items, self.merged(model, items), strict=True)
        ]

    def gather(self, rows: Sequence[Row], protocol: Protocol) -> list[LabelledVideo]:
        """Take the labels.

        Args:
            rows: as `answer` gives them.
            protocol: both are the same here.

        Returns:
            The videos.
        """
        return [LabelledVideo(row["id"], row["found"], row["true"]) for row in rows]


@register("predictor")
class COINZSPredictor(WindowPredictor):
    """Takes the label whose text a second is most like, where it is like enough.

    The paper's threshold is the largest similarity of two labels; 29 of COIN's 778 labels repeat another's text, so it
    is that of a text with itself, and next to nothing passes. The fixed protocol counts labels of one text once, and
    finds the threshold on the other half of the videos.
    """

    def prepare(self, model: MMPTPreTrainedModel, dataset: MMDataset) -> None:
        """Encode the labels.

        Args:
            model: encodes either side on its own.
            dataset: of `COINActionSegmentationMetaProcessor`.
        """
        super().prepare(model, dataset)
        meta: Any = dataset.meta
        labels = meta.meta_text_labels()
        caps, cmasks = labels["caps"].to(model.device), labels["cmasks"].to(model.device)
        with torch.inference_mode():
            parts = zip(caps.split(64), cmasks.split(64), strict=True)
            self._labels = torch.cat([model.get_text_features(*part) for part in parts])  # (C, D)
        vectors = self._labels.float().cpu().numpy()
        self._thresholds = (largest_similarity(vectors), largest_similarity(vectors, meta.text_labels))

    def score(
        self,
        model: MMPTPreTrainedModel,
        caps: torch.Tensor,
        cmasks: torch.Tensor,
        vfeats: torch.Tensor,
        vmasks: torch.Tensor,
    ) -> torch.Tensor:
        """Score windows: (W, T), (W, T), (W, V, F), (W, V) -> float (W, V, C)."""
        return model.get_video_tokens(vfeats, vmasks, caps, cmasks) @ self._labels.T

    def answer(self, model: MMPTPreTrainedModel, items: Sequence[Item]) -> list[Row]:
        """Label.

        Args:
            model: encodes either side on its own.
            items: of `COINActionSegmentationAligner`.

        Returns:
            For each: `id`; `label`, int (T,), the best one, and `score`, float (T,), of it; `true`, int (T,); and the
            thresholds: `paper`, and `deduplicated`.
        """
        paper, deduplicated = self._thresholds
        return [
            {
                "id": str(item["video_id"]),
                "label": scores.argmax(axis=1) + 1,
                "score": scores.max(axis=1),
                "true": item["video_targets"].numpy(),
                "paper": paper,
                "deduplicated": deduplicated,
            }
            for item, scores in zip(items, self.merged(model, items), strict=True)
        ]

    def gather(self, rows: Sequence[Row], protocol: Protocol) -> list[LabelledVideo]:
        """Reject what is not like enough.

        Args:
            rows: as `answer` gives them.
            protocol: which threshold.

        Returns:
            The videos.
        """
        if protocol == "paper":
            return [_rejected(row, row["paper"]) for row in rows]
        thresholds = [best_threshold(half, rows[0]["deduplicated"]) for half in (rows[0::2], rows[1::2])]
        return [_rejected(row, thresholds[1 - number % 2]) for number, row in enumerate(rows)]


def best_threshold(rows: Sequence[Row], default: float) -> float:
    """Find the threshold with the most right seconds.

    Args:
        rows: as `COINZSPredictor.answer` gives them.
        default: where there is no row.

    Returns:
        The threshold: half-way between two scores, or the default.
    """
    if not rows:
        return default
    score, label, true = (np.concatenate([row[key] for row in rows]) for key in ("score", "label", "true"))
    order = np.argsort(-score, kind="stable")
    # accepting one more second gains where its label is right, and loses where it was background
    steps = (label == true)[order].astype(int) - (true == BACKGROUND)[order]
    best = int(np.r_[0, np.cumsum(steps)].argmax())  # how many seconds are accepted
    bounds = np.r_[np.inf, score[order], -np.inf]
    return float((bounds[best] + bounds[best + 1]) / 2)


def _rejected(row: Row, threshold: float) -> LabelledVideo:
    return LabelledVideo(row["id"], reject(row["label"], row["score"], threshold), row["true"])


def _texts(dataset: MMDataset) -> Iterator[Any]:
    return (dataset.meta[index][1] for index in range(len(dataset)))
