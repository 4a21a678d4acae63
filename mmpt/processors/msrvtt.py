"""MSR-VTT: find the video that a sentence describes; and the same videos with one right sentence out of five."""

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmpt.processors.base import Listing, MetaProcessor, TextProcessor, existing
from mmpt.processors.ds import DSAligner
from mmpt.utils.registry import register
from mmpt.utils.tables import Row, json_part, read_json, read_table

ANSWER = re.compile(r"a\d+")  # a1, a2 ... : the columns of the sentences to choose from


@dataclass(frozen=True)
class MSRVTTOptions:
    """Keys of MSR-VTT.

    Args:
        json_path: `MSRVTT_data.json`, the sentences of the training videos.
        full_test_path: `MSRVTT_FULL_test.csv`; its videos are trained on too, but for those of `jsfusion_path`.
        jsfusion_path: `MSRVTT_JSFUSION_test.csv`, the videos that testing uses.
        dup: how often an epoch of training goes through the videos, each time with a sentence drawn anew.
    """

    json_path: str | None = None
    full_test_path: str | None = None
    jsfusion_path: str | None = None
    dup: int | None = None

    def __post_init__(self) -> None:
        if self.dup is not None and self.dup < 1:
            raise ValueError(f"dataset.dup is {self.dup}; it takes 1 or more")
        if (self.full_test_path is None) != (self.jsfusion_path is None):
            raise ValueError(
                "dataset.full_test_path and dataset.jsfusion_path belong together: training takes the videos of the "
                "first that are not in the second; set both or neither"
            )


@register("meta_processor")
class MSRVTTMetaProcessor(MetaProcessor):
    """Lists the videos of training (`video_id`), and the sentences of testing (`video_id,sentence`).

    Items: (video, video) in training, where the text processor draws one of the video's sentences; else (video,
    sentence).
    """

    Options = MSRVTTOptions

    def read(self) -> Listing:
        """Read the lists; see `MetaProcessor.read`."""
        return self._read_training() if self.config.split == "train" else self._read_testing()

    def _read_testing(self) -> Listing:
        path = self.split_path()
        rows, faults = read_table(path, ("video_id", "sentence"))
        items: list[tuple[str, str]] = []
        seen: dict[tuple[str, str], str] = {}
        again: list[str] = []
        for row in rows:
            item = (row["video_id"], row["sentence"])
            if not all(item):
                faults.append(f"{row.where} has an empty {'sentence' if item[0] else 'video_id'}; it is left out")
                continue
            items.append(item)
            if (first := seen.setdefault(item, row.where)) != row.where:
                again.append(f"{row.where} is the same as {first}")
        if again:  # kept, for the published numbers are over all rows
            faults.append(f"{path} says {len(again):,} items again, {again[0]} for one; each is an item")
        kept, missing = self.keep_available(items, lambda item: item[0])
        return Listing(kept, str(path), missing, tuple(faults))

    def _read_training(self) -> Listing:
        path = self.split_path()
        videos, faults = _read_videos(path)
        if self.options.full_test_path is not None:
            full, more = _read_videos(existing(self.options.full_test_path, "dataset.full_test_path"))
            held_out, _ = _read_videos(existing(self.options.jsfusion_path, "dataset.jsfusion_path"))
            known = {*videos, *held_out}
            videos = [*videos, *(video for video in full if video not in known)]
            faults += more
        json_path = existing(self.options.json_path, "dataset.json_path")
        sentences, more = read_sentences(json_path)
        faults += more
        faults += [
            f"{json_path} has no sentence for {video} of {path}; it is left out"
            for video in videos
            if video not in sentences
        ]
        kept, missing = self.keep_available((video for video in videos if video in sentences), str)
        return Listing([(video, video) for video in kept] * (self.options.dup or 1), str(path), missing, tuple(faults))


@register("text_processor")
class MSRVTTTextProcessor(TextProcessor):
    """Makes the token ids of a sentence; in training, of one that is drawn out of the video's."""

    Options = MSRVTTOptions

    def __call__(self, text_id: str, rng: np.random.Generator) -> list[int]:
        """Make an item's token ids.

        Args:
            text_id: in training the video, else the sentence.
            rng: draws the sentence, in training.

        Returns:
            Token ids without special tokens.

        Raises:
            ValueError: the video has no sentence.
        """
        if self.config.split != "train":
            return self.tokenize(text_id)
        sentences = self._sentences.get(text_id)
        if sentences is None:
            raise ValueError(f"{self.options.json_path} has no sentence for the video {text_id!r}")
        return self.tokenize(sentences[int(rng.integers(len(sentences)))])

    @functools.cached_property
    def _sentences(self) -> Mapping[str, Sequence[str]]:
        return read_sentences(existing(self.options.json_path, "dataset.json_path"))[0]


@register("meta_processor")
class MSRVTTQAMetaProcessor(MetaProcessor):
    """Lists the questions of `MSR_MC_test.csv`: a table with tabs, `vid_key`, `a1` to `a5` and `answer`.

    An item is (video, (number of the right sentence from 0 on, the sentences)).
    """

    def read(self) -> Listing:
        """Read the questions; see `MetaProcessor.read`."""
        path = self.split_path()
        rows, faults = read_table(path, ("vid_key", "a1", "answer"), delimiter="\t")
        items: list[tuple[str, tuple[int, tuple[str, ...]]]] = []
        seen: dict[Any, str] = {}
        for row in rows:
            sentences = tuple(row.values[name] for name in row.values if ANSWER.fullmatch(name))
            fault = _question_fault(row, sentences)
            item = (re.sub(r"^msr(?=\d)", "video", row["vid_key"]), (row["answer"], sentences))
            if fault is None and (first := seen.setdefault(item, row.where)) != row.where:
                fault = f"is the same as {first}"
            if fault is None:
                items.append((item[0], (int(row["answer"]), sentences)))
            else:
                faults.append(f"{row.where} {fault}; it is left out")
        kept, missing = self.keep_available(items, lambda item: item[0])
        return Listing(kept, str(path), missing, tuple(faults))


@register("text_processor")
class MSRVTTQATextProcessor(TextProcessor):
    """Makes the token ids of all sentences of a question."""

    def __call__(self, text_id: tuple[int, Sequence[str]], rng: np.random.Generator) -> tuple[int, list[list[int]]]:
        """Make an item's token ids.

        Args:
            text_id: number of the right sentence, and the sentences; they are not changed.
            rng: not used.

        Returns:
            The number, and for each sentence its token ids without special tokens.
        """
        answer, sentences = text_id
        return answer, [self.tokenize(sentence) for sentence in sentences]


@register("aligner")
class MSRVTTQAAligner(DSAligner):
    """Lays out a video beside several sentences."""

    def __call__(
        self, video_id: Any, video_feature: Any, text_feature: Any, rng: np.random.Generator
    ) -> dict[str, Any]:
        """Make an item.

        Args:
            video_id: kept as it is.
            video_feature: float (seconds, width).
            text_feature: number of the right sentence, and the token ids of each.
            rng: not used.

        Returns:
            As DSAligner, but `caps` and `cmasks` are (sentences, max_len - max_video_len), and `answers`, int64 (1,),
            is the number.
        """
        answer, sentences = text_feature
        item = super().__call__(video_id, video_feature, (), rng)
        laid_out = [self._build_text_seq(sentence) for sentence in sentences]
        item["caps"] = torch.stack([caps for caps, _ in laid_out])
        item["cmasks"] = torch.stack([cmasks for _, cmasks in laid_out])
        item["answers"] = torch.tensor([answer])
        return item


def read_sentences(path: Path) -> tuple[Mapping[str, Sequence[str]], tuple[str, ...]]:
    """Read `MSRVTT_data.json`.

    Args:
        path: the file.

    Returns:
        video -> its sentences, in the order of the file, to be shared and not changed; and the faults of its entries.

    Raises:
        ValueError: it is another file.
    """
    return _read_sentences(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=2)
def _read_sentences(path: Path, _changed: int) -> tuple[Mapping[str, Sequence[str]], tuple[str, ...]]:
    sentences: dict[str, list[str]] = {}
    faults: list[str] = []
    for index, entry in enumerate(json_part(read_json(path), "sentences", list, path)):
        video, caption = (entry.get("video_id"), entry.get("caption")) if isinstance(entry, dict) else (None, None)
        if isinstance(video, str) and isinstance(caption, str) and caption.strip():
            sentences.setdefault(video, []).append(caption)
        else:
            faults.append(f"{path}, sentences[{index}] has no 'video_id' or no 'caption'; it is left out")
    return sentences, tuple(faults)


def _read_videos(path: Path) -> tuple[list[str], list[str]]:
    """The different videos of a list, in its order."""
    rows, faults = read_table(path, ("video_id",))
    counts: dict[str, int] = {}
    for row in rows:
        counts[row["video_id"]] = counts.get(row["video_id"], 0) + 1
    again = [video for video, count in counts.items() if count > 1]
    if again:
        faults.append(f"{path} lists {len(again):,} videos more than once, {again[0]} for one; each counts once")
    return list(counts), faults


def _question_fault(row: Row, sentences: Sequence[str]) -> str | None:
    if not row["vid_key"]:
        return "has an empty vid_key"
    if not all(sentences):
        return "has an empty sentence"
    if not row["answer"].isdecimal() or int(row["answer"]) >= len(sentences):
        return f"has the answer {row['answer']!r}; it takes 0 to {len(sentences) - 1}"
    return None
