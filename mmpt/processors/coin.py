"""COIN: say which of 778 steps, or none, each second of an instructional video shows."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmpt.config.schema import COIN_LABELS
from mmpt.processors.aligner import Aligner
from mmpt.processors.base import Listing, MetaProcessor, TextProcessor
from mmpt.processors.ds import covered_seconds, cut_windows
from mmpt.utils.registry import register
from mmpt.utils.tables import json_part, number, read_json, segment_fault

SUBSETS = {"train": "training", "valid": "testing", "test": "testing"}
OUTSIDE = 0  # the label of seconds without a step; steps are labelled 1 to 778
PADDING = -100  # the target of places without a second

Segments = Mapping[str, Sequence[Any]]  # "start" and "end" in seconds, "label": one entry a step


@register("meta_processor")
class COINActionSegmentationMetaProcessor(MetaProcessor):
    """Lists the videos of `COIN.json`.

    An item is (video, {"start": [...], "end": [...], "label": [...]}): times in seconds and numbers of its steps.
    """

    def read(self) -> Listing:
        """Read the annotation file; see `MetaProcessor.read`."""
        path = self.split_path()
        items: list[tuple[str, Segments]] = []
        faults: list[str] = []
        for video, record in _records(path):
            if record["subset"] == SUBSETS[self.config.split]:
                segments, found = _segments(record.get("annotation"), f"{path}, {video}")
                faults += found
                if segments is not None:
                    items.append((video, segments))
        kept, missing = self.keep_available(items, lambda item: item[0])
        return Listing(kept, str(path), missing, tuple(faults))

    @functools.cached_property
    def text_labels(self) -> list[str]:
        """The steps in words: that of label n at place n - 1; labels are those of the testing videos.

        Raises:
            ValueError: a number below the highest has no words.
        """
        path = self.split_path()
        words: dict[int, str] = {}
        for _, record in _records(path):
            steps = record.get("annotation") if record["subset"] == "testing" else None
            for step in steps if isinstance(steps, list) else ():
                if _label(step) and isinstance(step.get("label"), str):
                    words[_label(step)] = step["label"]
        absent = [label for label in range(1, max(words, default=0) + 1) if label not in words]
        if absent:
            raise ValueError(
                f"{path} has testing videos for the label {max(words)}, but none for {len(absent):,} labels below it, "
                f"{absent[0]} for one: their words are not known; use the whole COIN.json"
            )
        return [words[label] for label in sorted(words)]

    def meta_text_labels(self) -> dict[str, torch.Tensor]:
        """Lay out the steps in words, for labelling by their text alone.

        Returns:
            `caps`, int64, and `cmasks`, bool, both (labels, max_len - max_video_len).
        """
        text, aligner = TextProcessor(self.config), Aligner(self.config)
        laid_out = [aligner._build_text_seq(text.tokenize(label)) for label in self.text_labels]
        return {
            "caps": torch.stack([caps for caps, _ in laid_out]),
            "cmasks": torch.stack([cmasks for _, cmasks in laid_out]),
        }


@register("text_processor")
class COINActionSegmentationTextProcessor(TextProcessor):
    """Hands on the steps of a video; there is no text to cut."""

    def __call__(self, text_id: Segments, rng: np.random.Generator) -> Segments:
        """Hand on an item's steps.

        Args:
            text_id: times and labels.
            rng: not used.

        Returns:
            The same.
        """
        return text_id


@register("aligner")
class COINActionSegmentationAligner(Aligner):
    """Cuts a video into windows, each second with its label."""

    def __call__(
        self, video_id: Any, video_feature: Any, text_feature: Any, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Make an item.

        Args:
            video_id: kept as it is.
            video_feature: float (T seconds, width), at least one second.
            text_feature: times and labels of the steps; a later one covers an earlier one.
            rng: not used.

        Returns:
            For W windows: `vfeats` float32 (W, max_video_len, width), `vmasks` bool (W, max_video_len); `targets` int64
            (W, max_video_len), 0 outside of all steps, -100 where no second is; `caps` int64 and `cmasks` bool (W, 4),
            [CLS] [SEP] [PAD] [SEP] of which the two [SEP] are seen; `video_targets` int64 (T,) and `video_len`, T, of
            the whole video; `video_id`.

        Raises:
            ValueError: the video has no second.
        """
        windows = cut_windows(self.config, len(video_feature), video_id)
        labels = torch.full((len(video_feature),), OUTSIDE)  # (T,)
        steps = zip(text_feature["start"], text_feature["end"], text_feature["label"], strict=True)
        for start, end, label in steps:
            labels[covered_seconds(start, end, len(labels), video_id)] = label
        laid_out = [self._build_video_seq(video_feature[start:end]) for start, end in windows]
        targets = torch.full((len(windows), self.max_video_len), PADDING)
        for row, (start, end) in zip(targets, windows, strict=True):
            row[: end - start] = labels[start:end]
        tokens = (self.cls_token_id, self.sep_token_id, self.pad_token_id, self.sep_token_id)
        return {
            "vfeats": torch.stack([vfeats for vfeats, _ in laid_out]),
            "vmasks": torch.stack([vmasks for _, vmasks in laid_out]),
            "targets": targets,
            "caps": torch.tensor([tokens] * len(windows)),
            "cmasks": torch.tensor([(False, True, False, True)] * len(windows)),
            "video_targets": labels,
            "video_len": len(labels),
            "video_id": video_id,
        }


def _records(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Video -> what the file says of it."""
    database = json_part(read_json(path), "database", dict, path)
    for video, record in database.items():
        if not isinstance(record, dict) or record.get("subset") not in SUBSETS.values():
            raise ValueError(f"{path}, {video} has no 'subset' that is 'training' or 'testing'; is it COIN.json?")
    return list(database.items())


def _label(entry: Any) -> int:
    """The number of a step; old files write it as text. 0 when it is none that COIN has."""
    label = number(str(entry.get("id"))) if isinstance(entry, dict) else 0
    return label if isinstance(label, int) and 1 <= label < COIN_LABELS else 0


def _segments(annotation: Any, where: str) -> tuple[Segments | None, list[str]]:
    """A video's steps, None where the video cannot be used; and the faults."""
    if not isinstance(annotation, list):
        return None, [f"{where} has no list 'annotation'; it is left out"]
    segments: dict[str, list[Any]] = {"start": [], "end": [], "label": []}
    faults: list[str] = []
    for index, entry in enumerate(annotation):
        step = f"{where}, annotation[{index}]"
        segment = entry.get("segment") if isinstance(entry, dict) else None
        if not isinstance(segment, list) or len(segment) != 2:
            faults.append(f"{step} has no segment [first second, last second]; it is left out")
        elif not _label(entry):
            known = f"labels go from 1 to {COIN_LABELS - 1}"
            return None, [f"{step} has the id {entry.get('id')!r}; {known}; the video is left out"]
        elif (fault := segment_fault(*segment)) is not None:
            faults.append(f"{step} {fault}; it is left out")
        else:
            segments["start"].append(segment[0])
            segments["end"].append(segment[1])
            segments["label"].append(_label(entry))
    return segments, faults
