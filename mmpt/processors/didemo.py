"""DiDeMo: find the moment of a video that a sentence describes, in steps of five seconds."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmpt.processors.base import Listing, MetaProcessor, TextProcessor, stored_names
from mmpt.processors.ds import DSAligner
from mmpt.utils.registry import register
from mmpt.utils.tables import read_json

STEPS = 6  # a video has up to 6 steps of 5 seconds, counted from 0


@dataclass(frozen=True)
class DiDeMoOptions:
    """Keys of the `dataset:` block.

    Attributes:
        paragraphs: one item a video, all of its sentences joined in the file's order, for retrieval as CLIP4Clip and
            later papers do it; else one item a sentence.
    """

    paragraphs: bool = False


@register("meta_processor")
class DiDeMoMetaProcessor(MetaProcessor):
    """Lists the sentences of `train_data.json`, `val_data.json` or `test_data.json`.

    An item is (video, sentence). Videos are named as on Flickr, with their ending: `x_1.mov`. Files name some of them
    with two endings, `x_1.mov` here and `x_1.mp4` there, with one `dl_link`: such a video is one, under the name that
    has features, or the first.
    """

    Options = DiDeMoOptions

    def read(self) -> Listing:
        """Read the annotation file; see `MetaProcessor.read`."""
        path = self.split_path()
        kept, missing, faults = self._read(path)
        sentences = [(entry["video"], entry["description"].strip()) for entry in kept]
        if not self.options.paragraphs:
            return Listing(sentences, str(path), missing, faults)
        of_video: dict[str, list[str]] = {}
        for video, sentence in sentences:
            of_video.setdefault(video, []).append(sentence)
        return Listing([(video, " ".join(each)) for video, each in of_video.items()], str(path), missing, faults)

    @functools.cached_property
    def times(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """For each item, what each annotator chose: (first step, last step), from 0 on.

        Raises:
            ValueError: items are paragraphs, which have no moment.
        """
        if self.options.paragraphs:
            raise ValueError(
                "dataset.paragraphs joins all sentences of a video, and a paragraph has no moment to find; it is for "
                "retrieval (predictor: RetrievalPredictor)"
            )
        kept, _, _ = self._read(self.split_path())
        return tuple(tuple((first, last) for first, last in entry["times"]) for entry in kept)

    def _read(self, path: Path) -> tuple[list[dict[str, Any]], tuple[str, ...], tuple[str, ...]]:
        """The entries that can be used, the missing videos, the faults."""
        listed = read_json(path)
        if not isinstance(listed, list):
            raise ValueError(f"{path} holds a {type(listed).__name__}; DiDeMo's files are lists of descriptions")
        entries: list[dict[str, Any]] = []
        faults: list[str] = []
        seen: dict[str, int] = {}
        checked = [(_fault(entry), entry) for entry in listed]
        names = _names([entry for fault, entry in checked if fault is None], self.available())
        for index, (fault, entry) in enumerate(checked):
            if fault is None:
                entry = {**entry, "video": names[_identity(entry)]}
                if (first := seen.setdefault(_key(entry), index)) != index:
                    fault = f"is the same as entry {first}"
            if fault is None:
                entries.append(entry)
            else:
                faults.append(f"{path}, entry {index} {fault}; it is left out")
        kept, missing = self.keep_available(entries, lambda entry: entry["video"])
        return kept, missing, tuple(faults)


def _fault(entry: Any) -> str | None:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("video", "description")):
        return "has no 'video' and 'description'"
    if not entry["description"].strip():
        return f"({entry['video']}) has an empty description"
    if not isinstance(entry.get("times"), list) or not entry["times"]:
        return f"({entry['video']}) has no times"
    for time in entry["times"]:
        if not (isinstance(time, list) and len(time) == 2 and all(type(step) is int for step in time)):
            return f"({entry['video']}) has the time {time!r}; it must be [first step, last step]"
        if not 0 <= time[0] <= time[1] < STEPS:
            return f"({entry['video']}) has the time {time!r}; steps go from 0 to {STEPS - 1}, the first one first"
    return None


def _identity(entry: dict[str, Any]) -> str:
    """The key of an entry's video: its address, or its name if it has none."""
    return str(entry.get("dl_link") or entry["video"])


def _names(entries: Sequence[dict[str, Any]], stored: frozenset[str] | None) -> dict[str, str]:
    """The one name of each video: the first that has features, or the first."""
    given: dict[str, list[str]] = {}
    for entry in entries:
        given.setdefault(_identity(entry), []).append(entry["video"])
    known = stored or frozenset()
    return {
        identity: next((name for name in names if not known.isdisjoint(stored_names(name))), names[0])
        for identity, names in given.items()
    }


def _key(entry: dict[str, Any]) -> str:
    return repr((entry["video"], entry["description"], entry["times"]))


@register("text_processor")
class DiDeMoTextProcessor(TextProcessor):
    """Makes the token ids of a sentence."""


@register("aligner")
class DiDeMoAligner(DSAligner):
    """Lays out the video, at most 30 seconds, beside the sentence."""
