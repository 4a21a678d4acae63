"""Labels for seconds (COIN): windows of many videos through a model, and those of a video put together again.

Shapes: W windows, V seconds of a window, T seconds of a video, C labels, D width.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mmpt.datasets.mmdataset import MMDataset
from mmpt.evaluators.base import Protocol
from mmpt.evaluators.encoding import Towers, seconds_by_length
from mmpt.evaluators.predicting import Item, Predictor, Row, require_finite
from mmpt.evaluators.segmentation import BACKGROUND, LabelledVideo, best_threshold, largest_similarity, reject
from mmpt.models.base import MMPTPreTrainedModel
from mmpt.models.heads import SegmentationModel
from mmpt.processors.ds import cut_windows
from mmpt.utils.registry import register
from mmpt.video.windows import merge


class WindowPredictor(Predictor):
    """Scores windows of many videos at once, and puts those of a video together again."""

    items_at_once = 16  # videos of a few windows each
    task = "action segmentation: a label, or none, for every second"
    pooling = "none: each second's own state; scores are means over the windows that cover a second"

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
        """Score windows.

        Args:
            model: the model.
            caps: int64 (W, T).
            cmasks: bool (W, T).
            vfeats: float (W, V, F), cut to the longest window.
            vmasks: bool (W, V).

        Returns:
            float (W, V, C).
        """
        raise NotImplementedError

    def merged(self, model: MMPTPreTrainedModel, items: Sequence[Item]) -> list[np.ndarray]:
        """Score videos.

        Args:
            model: the model.
            items: of `COINActionSegmentationAligner`.

        Returns:
            For each video float (T, C), the mean over the windows that cover a second.
        """
        caps, cmasks, vfeats, vmasks = (
            torch.cat([item[key] for item in items]) for key in ("caps", "cmasks", "vfeats", "vmasks")
        )
        scores = seconds_by_length(
            lambda feats, masks, texts, text_masks: self.score(model, texts, text_masks, feats, masks),
            *(vfeats, vmasks, (caps, cmasks), model.device),
        )
        result, start = [], 0
        for item in items:
            count, length = len(item["vfeats"]), int(item["video_len"])
            require_finite([item["video_id"]], [scores[start : start + count]])
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
    is that of a text with itself, and next to nothing passes. The fixed protocol takes labels of one text as one, and
    finds the threshold on the other half of the videos.
    """

    def prepare(self, model: MMPTPreTrainedModel, dataset: MMDataset) -> None:
        """Encode the labels.

        Args:
            model: encodes either side on its own.
            dataset: of `COINActionSegmentationMetaProcessor`.

        Raises:
            ValueError: the model mixes video and text, the data set has no labels in words, or what the model makes of
                them is no number.
        """
        super().prepare(model, dataset)
        meta: Any = dataset.meta
        if not hasattr(meta, "meta_text_labels"):
            raise ValueError(
                f"{type(meta).__name__} gives no labels in words; zero-shot segmentation takes "
                "COINActionSegmentationMetaProcessor"
            )
        labels = meta.meta_text_labels()
        with torch.inference_mode():
            vectors = Towers(model).texts(labels["caps"], labels["cmasks"])  # (C, D)
        require_finite([f"the label {text!r}" for text in meta.text_labels], vectors)
        self._labels = torch.from_numpy(vectors).to(model.device)
        self._texts = tuple(meta.text_labels)
        first = {text: label for label, text in reversed(list(enumerate(self._texts, 1)))}
        self._first_of_text = np.array([BACKGROUND, *(first[text] for text in self._texts)])  # label -> label
        self._thresholds = (largest_similarity(vectors), largest_similarity(vectors, self._texts))

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
            protocol: which threshold; in the fixed one labels of one text are one, the first of them, also in what is
                true: nothing can tell them apart.

        Returns:
            The videos.
        """
        if protocol == "paper":
            return [_rejected(row, row["paper"]) for row in rows]
        rows = [{**row, **{key: self._merged_by_text(row[key]) for key in ("label", "true")}} for row in rows]
        thresholds = [best_threshold(half, rows[0]["deduplicated"]) for half in (rows[0::2], rows[1::2])]
        return [_rejected(row, thresholds[1 - number % 2]) for number, row in enumerate(rows)]

    def _merged_by_text(self, labels: np.ndarray) -> np.ndarray:
        """The first label of each label's text; those whose words are not known stay what they are. int (T,)."""
        known = labels < len(self._first_of_text)
        return np.where(known, self._first_of_text[np.where(known, labels, BACKGROUND)], labels)

    def notes(self, rows: Sequence[Row]) -> Mapping[str, str]:
        """Say what the thresholds are made of, and how much passes them; see `Predictor.notes`."""
        paper, deduplicated = (rows[0][name] for name in ("paper", "deduplicated"))
        calibrated = [video.found != BACKGROUND for video in self.gather(rows, "fixed")]
        labels, texts = len(self._texts), len(set(self._texts))
        merged = "; in the fixed protocol those of one text count as one" if texts < labels else ""
        fixed = "has the most right seconds in the other half of these very videos, so it has seen their labels"
        if len(rows) == 1:
            fixed = "is that of distinct texts too, for one video has no other half"
        return {
            "labels": f"{labels:,} labels have {texts:,} distinct texts{merged}",
            "thresholds": f"the paper's, {paper:.4g}, is the largest similarity of two labels, those of one text among "
            f"them: {_share([row['score'] > paper for row in rows])} of the seconds are above it and keep a label; the "
            f"same of distinct texts, {deduplicated:.4g}: {_share([row['score'] > deduplicated for row in rows])}; the "
            f"fixed one {fixed}: {_share(calibrated)}",
        }


def _rejected(row: Row, threshold: float) -> LabelledVideo:
    return LabelledVideo(row["id"], reject(row["label"], row["score"], threshold), row["true"])


def _share(accepted: Sequence[np.ndarray]) -> str:
    return f"{np.concatenate(accepted).mean():.1%}"


def _texts(dataset: MMDataset) -> Iterator[Any]:
    return (dataset.meta[index][1] for index in range(len(dataset)))
