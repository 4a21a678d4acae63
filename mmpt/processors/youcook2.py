"""YouCook2: clips of cooking videos, each with a sentence; for retrieval and for captioning."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmpt.processors.base import Listing, MetaProcessor, VideoProcessor, existing, feature_path
from mmpt.utils.featurefile import read_features
from mmpt.utils.registry import register
from mmpt.utils.safepickle import read_pickle
from mmpt.utils.tables import json_part, number, read_json, read_lines, read_table, segment_fault


class Clip(NamedTuple):
    """A listed clip, before anything of it was checked.

    Attributes:
        where: file and line or key, for messages.
        video: the video's id.
        start: its beginning in seconds.
        end: its end in seconds.
        text: its sentence.
    """

    where: str
    video: str
    start: Any
    end: Any
    text: Any


class YoucookListing(MetaProcessor):
    """Lists clips as ((video, first second, second after the last), sentence)."""

    def list_clips(self, clips: list[Clip], faults: list[str], source: Path) -> Listing:
        """Check clips and leave out those that cannot be used.

        Args:
            clips: what the files list.
            faults: what is wrong with them so far.
            source: the file, for messages.

        Returns:
            The items, what is missing, and the faults. Beginnings are rounded down and ends up.
        """
        items: list[tuple[tuple[str, int, int], str]] = []
        faults = list(faults)
        seen: dict[Any, str] = {}
        available, missing = self.keep_available(clips, lambda clip: clip.video)
        lengths = self._lengths({clip.video for clip in available})
        for clip in available:
            fault = _fault(clip, lengths.get(clip.video))
            if fault is None and (first := seen.setdefault(clip[1:], clip.where)) != clip.where:
                fault = f"is the same as {first}"
            if fault is None:
                items.append(((clip.video, math.floor(clip.start), math.ceil(clip.end)), clip.text.strip()))
            else:
                faults.append(f"{clip.where} {fault}; it is left out")
        return Listing(items, str(source), missing, tuple(faults))

    def _lengths(self, videos: set[str]) -> dict[str, int]:
        """Seconds of each video's features, by the heads of the files; of none where there are no features."""
        if self.config.vfeat_dir is None:
            return {}
        folder = existing(self.config.vfeat_dir, "dataset.vfeat_dir")
        return {video: len(read_features(feature_path(folder, video), mmap=True).array) for video in sorted(videos)}


def _fault(clip: Clip, length: int | None) -> str | None:
    if (fault := segment_fault(clip.start, clip.end)) is not None:
        return fault
    if math.ceil(clip.end) <= math.floor(clip.start):
        return f"is empty: it ends where it begins, at {clip.start} s"
    if length is not None and clip.start >= length:
        return f"begins at {clip.start} s, after the end of {clip.video}, whose features have {length} s"
    if not isinstance(clip.text, str) or not clip.text.strip():
        return "has an empty text"
    return None


@dataclass(frozen=True)
class YoucookOptions:
    """Keys of YouCook2.

    Args:
        trainval_annotation: `youcookii_annotations_trainval.json`, which says where clips begin and end; not needed
            where the list itself says it.
        use_annotation_text: take the annotation's sentence instead of the list's, which has no punctuation.
    """

    trainval_annotation: str | None = None
    use_annotation_text: bool | None = None


@register("meta_processor")
class YoucookMetaProcessor(YoucookListing):
    """Lists the clips of `youcook_val.pkl`, or of a table `end,start,task,text,video_id` (a file named .csv)."""

    Options = YoucookOptions

    def read(self) -> Listing:
        """Read the list and the annotations; see `MetaProcessor.read`."""
        path = self.split_path()
        if path.suffix.lower() == ".csv":
            rows, faults = read_table(path, ("video_id", "start", "end", "text"))
            clips = [Clip(r.where, r["video_id"], number(r["start"]), number(r["end"]), r["text"]) for r in rows]
            return self.list_clips(clips, faults, path)
        records = read_pickle(path)
        if not isinstance(records, list):
            raise ValueError(f"{path} holds a {type(records).__name__}; YouCook2's pickles are lists of clips")
        annotated = existing(self.options.trainval_annotation, "dataset.trainval_annotation")
        annotations, faults = read_annotations(annotated)
        clips: list[Clip] = []
        for index, record in enumerate(records):
            where = f"{path}, entry {index}"
            video, number_of_clip = _identified(record)
            clip = annotations.get(video, {}).get(number_of_clip)
            if clip is None:
                name = record.get("id") if isinstance(record, dict) else record
                faults.append(f"{where} is the clip {name!r}, which {annotated} does not have; it is left out")
            else:
                text = clip.text if self.options.use_annotation_text else record.get("caption")
                clips.append(clip._replace(where=where, text=text))
        return self.list_clips(clips, faults, path)


def _identified(record: Any) -> tuple[str, int]:
    """Video and number of a clip of the pickle, whose id is <video>_<number>."""
    name = record.get("id") if isinstance(record, dict) else None
    video, _, index = name.rpartition("_") if isinstance(name, str) else ("", "", "")
    return (video, int(index)) if index.isdecimal() else ("", -1)


@dataclass(frozen=True)
class YoucookNLGOptions:
    """Keys of YouCook2 captioning.

    Args:
        trainval_annotation: `youcookii_annotations_trainval.json`.
    """

    trainval_annotation: str


@register("meta_processor")
class YoucookNLGMetaProcessor(YoucookListing):
    """Lists all annotated clips of the videos in `val_list.txt` (`<recipe>/<video>`, one a line)."""

    Options = YoucookNLGOptions

    def read(self) -> Listing:
        """Read the list and the annotations; see `MetaProcessor.read`."""
        path = self.split_path()
        annotated = existing(self.options.trainval_annotation, "dataset.trainval_annotation")
        annotations, faults = read_annotations(annotated)
        clips: list[Clip] = []
        seen: dict[str, str] = {}
        for where, line in read_lines(path):
            video = line.rpartition("/")[2]
            if (first := seen.setdefault(video, where)) != where:
                faults.append(f"{where} lists {video} again, after {first}; it is left out")
            elif video not in annotations:
                faults.append(f"{where} lists {video}, which {annotated} does not have; it is left out")
            else:
                clips.extend(annotations[video].values())
        return self.list_clips(clips, faults, path)


def read_annotations(path: Path) -> tuple[dict[str, dict[int, Clip]], list[str]]:
    """Read `youcookii_annotations_trainval.json`.

    Args:
        path: the file.

    Returns:
        video -> number -> clip, in the order of the file; and the faults of its entries.

    Raises:
        ValueError: it is another file.
    """
    annotations: dict[str, dict[int, Clip]] = {}
    faults: list[str] = []
    database = json_part(read_json(path), "database", dict, path)
    for video, record in database.items():
        clips = annotations[video] = {}
        for index, entry in enumerate(json_part(record, "annotations", list, path)):
            where = f"{path}, {video}, annotations[{index}]"
            segment = entry.get("segment") if isinstance(entry, dict) else None
            number_of_clip = entry.get("id", index) if isinstance(entry, dict) else index
            if not isinstance(segment, list) or len(segment) != 2:
                faults.append(f"{where} has no segment [first second, last second]; it is left out")
            elif not isinstance(number_of_clip, int) or isinstance(number_of_clip, bool):
                faults.append(f"{where} has the id {number_of_clip!r}, which is no whole number; it is left out")
            elif number_of_clip in clips:
                faults.append(f"{where} has the id {number_of_clip}, as one before it has; it is left out")
            else:
                clips[number_of_clip] = Clip(where, video, segment[0], segment[1], entry.get("sentence"))
    return annotations, faults


@register("video_processor")
class YoucookVideoProcessor(VideoProcessor):
    """Reads the features of a clip."""

    def __call__(self, video_id: tuple[str, int, int]) -> np.ndarray:
        """Read an item's features.

        Args:
            video_id: video, first second, second after the last.

        Returns:
            (seconds, width), in the file's dtype; shorter than the clip where the video ends before it.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file is damaged, or the video ends before the clip begins.
        """
        video, start, end = video_id
        features = super().__call__(video)
        if start >= len(features):
            raise ValueError(
                f"the clip from {start} to {end} s of {video} begins after the end of its features, {len(features)} s; "
                "extract the video again, or take the clip out of the list"
            )
        return features[start:end]
